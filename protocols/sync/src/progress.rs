//! How far the synchronisation has come.

use core::fmt;
use core::time::Duration;

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
    /// There are newer blocks, and no peer that gives them: all have failed too often in a row. Or what
    /// most have is more than two hours ahead of the wall clock.
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

/// Why nothing gets on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum StallReason {
    /// There is no peer.
    NoPeers,
    /// All peers have failed, and are asked again after a while.
    PeersRest,
    /// Nobody answers with headers.
    Headers,
    /// The next block does not come.
    NextBlock,
    /// The application has not verified and stored what it was given.
    Application,
    /// What peers have was made, they say, more than two hours ahead of the wall clock: the clock of this
    /// node is behind, or theirs are wrong.
    ClockBehind,
}

impl StallReason {
    /// The name, as in the status JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoPeers => "no_peers",
            Self::PeersRest => "peers_rest",
            Self::Headers => "headers",
            Self::NextBlock => "next_block",
            Self::Application => "application",
            Self::ClockBehind => "clock_behind",
        }
    }
}

impl fmt::Display for StallReason {
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
    /// The height to be reached, as far as the peers tell the truth: those that have sent good blocks, if
    /// there are any.
    pub target_height: u64,
    /// Blocks that were downloaded since the node started.
    pub downloaded_blocks: u64,
    /// Their bytes.
    pub downloaded_bytes: u64,
    /// Blocks that were applied since the node started.
    pub applied_blocks: u64,
    /// Blocks that were asked for and have not arrived.
    pub in_flight: usize,
    /// Headers that are kept: of the followed chain, those that wait for their blocks, and of its rivals.
    pub waiting_headers: usize,
    /// Blocks that are applied in a second, smoothed over about 10 s of this download; 0 while there is none.
    pub blocks_per_second: u64,
    /// Bytes of blocks that are downloaded in a second, smoothed in the same way.
    pub bytes_per_second: u64,
    /// How long it will take to reach `target_height` at this rate: nothing if it is reached, and none if that
    /// is not known, or longer than 99 hours.
    pub time_left: Option<Duration>,
    /// Why nothing gets on, if nobody gives anything, or while something is to be downloaded no block has come
    /// for 5 s and none was applied.
    pub stalled_because: Option<StallReason>,
    /// Whether it is further behind than [`Config::with_initial_download_threshold`](crate::Config::with_initial_download_threshold)
    /// says, by headers that were checked.
    pub is_initial_download: bool,
}
