//! What sync wants done to the chain, and what it is told.

use alloc::vec::Vec;

use bytes::Bytes;
use spacetime_core::Hash;
use spacetime_core::chain::{HeaderInfo, InvalidObject};
use spacetime_core::wire::Frame;

use super::progress::{Progress, State};

/// Something to be read from the store for a peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReadId(pub(crate) u64);

/// What sync tells the node: effects to be carried out, off the network's path, and news.
///
/// Each read is answered with the [`Command`] of the same name, in any order; each `Apply` with
/// `Applied`, or `Rejected` and then `Applied`.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Read headers of the best chain.
    ReadHeaders {
        /// To be named in the answer.
        read: ReadId,
        /// The blocks after which they may begin: after the first that is on the best chain, from
        /// height 1 if that is zero. If there is none, there are no headers.
        locator: Vec<Hash>,
        /// The block with which they end, if it comes before `max_headers` are reached.
        stop: Option<Hash>,
        /// How many at most.
        max_headers: usize,
    },
    /// Read a block, of any chain.
    ReadBlock {
        /// To be named in the answer.
        read: ReadId,
        /// Its hash.
        hash: Hash,
    },
    /// Verify these blocks and keep them, in order. Each is well-formed, and its header commits to its body:
    /// that was checked when it came. If the chain that ends with them is heavier than the
    /// best one, it is the best one from then on, in one step.
    Apply {
        /// Each follows the one before; the first one follows the tip, or a block that is on the best
        /// chain or was applied before.
        blocks: Vec<Bytes>,
    },
    /// It has come further: at most once in
    /// [`Config::with_progress_interval`](crate::Config::with_progress_interval), and as often while something
    /// is to be downloaded, if anything has changed.
    Progressed {
        /// How far.
        progress: Progress,
    },
    /// The synchronisation went over into another state.
    StateChanged {
        /// Which one.
        state: State,
    },
}

/// What the node tells sync.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Command {
    /// The headers that were to be read, as the frame of a `Headers` message.
    HeadersRead {
        /// Which read.
        read: ReadId,
        /// The answer for the peer.
        answer: Frame,
    },
    /// The block that was to be read, as the frame of a `Block` message.
    BlockRead {
        /// Which read.
        read: ReadId,
        /// The answer for the peer; none if the block is not there.
        answer: Option<Frame>,
    },
    /// A block of the last `Apply` broke the rules. What stood before it is kept.
    Rejected {
        /// Which one.
        hash: Hash,
        /// Why.
        error: InvalidObject,
    },
    /// An `Apply` has ended.
    Applied {
        /// The last of its blocks that is kept; if none is, the block before the first.
        last: HeaderInfo,
        /// The last block of the best chain now.
        tip: HeaderInfo,
    },
    /// The best chain ends here now, by something else than an `Apply`. One that was begun goes on.
    TipMoved {
        /// The last block.
        tip: HeaderInfo,
    },
    /// Begin to download, or go on.
    Start,
    /// Stop downloading. What is being applied is finished; peers are served all the same.
    Stop,
}
