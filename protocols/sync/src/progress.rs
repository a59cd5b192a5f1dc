//! How far the synchronisation has come.

use core::fmt;

use spacetime_core::Hash;

/// What the synchronisation is doing. The names are the reference node's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum State {
    /// There is nobody to download from.
    Idle,
    /// It is finding out what the peers have.
    Discovering,
    /// It downloads headers and has no block to ask for.
    DownloadingHeaders,
    /// It downloads blocks.
    DownloadingBlocks,
    /// All blocks that it knows of are there, and the last of them are being verified.
    Validating,
    /// No peer has anything newer.
    Synced,
    /// There are newer blocks, and no peer that gives them.
    Failed,
    /// It was told to stop.
    Cancelled,
}

impl State {
    /// The name, as in the reference and in the status JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Discovering => "Discovering",
            Self::DownloadingHeaders => "DownloadingHeaders",
            Self::DownloadingBlocks => "DownloadingBlocks",
            Self::Validating => "Validating",
            Self::Synced => "Synced",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How far the synchronisation has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// What it is doing.
    pub state: State,
    /// The height of the last block that is applied.
    pub height: u64,
    /// Its hash.
    pub tip: Hash,
    /// The height of the last header that links to it.
    pub header_height: u64,
    /// The height to be reached, as far as the peers tell the truth.
    pub target_height: u64,
    /// Blocks that were downloaded since the node started.
    pub downloaded_blocks: u64,
    /// Their bytes.
    pub downloaded_bytes: u64,
    /// Blocks that were applied since the node started.
    pub applied_blocks: u64,
    /// Blocks that were asked for and have not arrived.
    pub in_flight: usize,
    /// Whether it is further behind than [`Config::with_initial_download_threshold`](crate::Config::with_initial_download_threshold)
    /// says, by headers that were checked.
    pub is_initial_download: bool,
}
