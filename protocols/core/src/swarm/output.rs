//! What comes out of a Swarm.

use core::time::Duration;

use super::transmit::Transmit;
use crate::address::Address;
use crate::close::{CloseReason, DialError};
use crate::connection::ConnectionId;
use crate::offence::Offence;
use crate::peer::{Identity, Peer};

/// What a Swarm tells the application.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event<E> {
    /// A session with a peer began.
    Established {
        /// The connection.
        connection: ConnectionId,
        /// Who it is with.
        peer: Peer,
    },
    /// A session ended.
    Closed {
        /// The connection.
        connection: ConnectionId,
        /// Who it was with.
        peer: Peer,
        /// Why.
        reason: CloseReason,
    },
    /// A peer that connected was not let in.
    Refused {
        /// The connection.
        connection: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
    /// A dial came to nothing.
    DialFailed {
        /// The connection that did not come to be.
        connection: ConnectionId,
        /// What was dialled.
        address: Address,
        /// Why.
        error: DialError,
    },
    /// A peer did something wrong.
    Offence {
        /// On which connection; it may be closed by now.
        connection: ConnectionId,
        /// Who.
        identity: Identity,
        /// What.
        offence: Offence,
    },
    /// A behaviour says something.
    Behaviour(E),
}

/// What the driver must do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Action {
    /// Connect to `address`, then call `handle_opened` or `handle_dial_failed`.
    Dial {
        /// The id of the connection that is to be.
        connection: ConnectionId,
        /// Where.
        address: Address,
    },
    /// The peer is known now: the reader may take [frames of all sizes](
    /// crate::wire::FrameReader::set_established).
    Established {
        /// The connection.
        connection: ConnectionId,
        /// And [chunks](crate::wire::FrameReader::take_chunks) of them: it is no version-1 node.
        may_send_chunks: bool,
    },
    /// Give a connection up: abort its dial, or finish the frame that is being written, write
    /// `last_words`, and close it. The Swarm takes nothing from it any more.
    Close {
        /// The connection.
        connection: ConnectionId,
        /// What is still to be sent, if the peer takes it within a moment.
        last_words: Transmit,
    },
}

/// What waits in one of a connection's send queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct QueueLoad {
    /// Frames.
    pub frames: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// What was held back by a limit of [bandwidth](crate::Bandwidth).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Delayed {
    /// Bytes that had to wait and have passed.
    pub bytes: u64,
    /// How long something waited; of several connections, the sum.
    pub time: Duration,
}

/// Numbers of one connection since it was dialled or accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ConnectionStatistics {
    /// Bytes of frames and of parts of frames that arrived, and what a transport that encrypts added.
    pub bytes_received: u64,
    /// Bytes that were handed to the driver to be sent.
    pub bytes_sent: u64,
    /// What had to wait until the Swarm took it.
    pub received_delayed: Delayed,
    /// What had to wait before it was handed to the driver.
    pub sent_delayed: Delayed,
}

/// Numbers since the Swarm began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Frames that were delivered to behaviours.
    pub frames_received: u64,
    /// Bytes of all frames and parts of frames that arrived, and what transports that encrypt added.
    pub bytes_received: u64,
    /// Frames that were queued to be sent.
    pub frames_sent: u64,
    /// Bytes that were handed to the driver to be sent.
    pub bytes_sent: u64,
    /// Frames of broadcasts that were dropped because a peer was slow.
    pub frames_dropped: u64,
    /// Answers that came after their request was given up.
    pub late_answers: u64,
    /// What had to wait until the Swarm took it.
    pub received_delayed: Delayed,
    /// What had to wait before it was handed to the driver.
    pub sent_delayed: Delayed,
}
