//! Questions to peers and what becomes of them.

use core::fmt;
use core::time::Duration;

use crate::hash::Hash;
use crate::wire::MessageType;

/// One request, from the moment it was sent to its answer or its failure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub(crate) u64);

/// What answers a request, and how long to wait for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expect {
    /// The type of the answer. The behaviour must claim it as an answer.
    pub answer: MessageType,
    /// The hash of the object that is asked for, where the answer has one: it is then matched by
    /// it. Answers without one are matched in the order of the requests, which is the only order
    /// that version 1 has.
    pub object_id: Option<Hash>,
    /// How long to wait. What this node holds back itself, by its limits of bandwidth, does not count:
    /// see [`Patience`](crate::Patience).
    pub timeout: Duration,
}

/// Why a request was not answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RequestError {
    /// The peer did not answer in time. An answer that comes later is dropped.
    Timeout,
    /// It did not, but this node's own limits of [bandwidth](crate::Bandwidth) have held the
    /// connection back for three timeouts: the peer need not be to blame.
    HeldBack,
    /// The connection ended.
    Closed,
    /// The answer was not what its type says.
    Malformed,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "the peer did not answer in time",
            Self::HeldBack => "the limits of bandwidth of this node left no time for an answer",
            Self::Closed => "the connection ended before the answer",
            Self::Malformed => "the answer was malformed",
        })
    }
}

impl core::error::Error for RequestError {}
