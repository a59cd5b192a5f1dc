//! What can happen to a tree.

use super::NetworkBehaviour;
use super::claims::Role;
use crate::address::Address;
use crate::close::{CloseReason, DialError};
use crate::connection::ConnectionId;
use crate::request::{RequestError, RequestId};
use crate::signal::Signal;
use crate::time::Time;
use crate::wire::{Frame, MessageType, Priority};

/// One thing that happened. Trees route it, [`Protocol`](super::Protocol)s have a method for each.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// A transport was connected. For the gate.
    Opened {
        /// The connection.
        connection: ConnectionId,
    },
    /// A frame arrived from a peer that was not let in yet. For the gate.
    OpeningFrame {
        /// The connection.
        connection: ConnectionId,
        /// What arrived.
        frame: &'a Frame,
    },
    /// A connection ended before its peer was let in. For the gate.
    OpeningClosed {
        /// The connection.
        connection: ConnectionId,
        /// Why.
        reason: &'a CloseReason,
    },
    /// A session began. For all.
    Established {
        /// The connection.
        connection: ConnectionId,
    },
    /// A session ended. For all.
    Closed {
        /// The connection.
        connection: ConnectionId,
        /// Why.
        reason: &'a CloseReason,
    },
    /// A dial came to nothing. For all.
    DialFailed {
        /// The connection that did not come to be.
        connection: ConnectionId,
        /// What was dialled.
        address: &'a Address,
        /// Why.
        error: &'a DialError,
    },
    /// A frame arrived by itself. For who claims it as a message.
    Frame {
        /// The connection.
        connection: ConnectionId,
        /// What arrived.
        frame: &'a Frame,
    },
    /// A frame arrived that answers a request. For who claims it as an answer.
    Answer {
        /// The connection.
        connection: ConnectionId,
        /// Which request.
        request: RequestId,
        /// What arrived.
        frame: &'a Frame,
    },
    /// A request will not be answered. For who claims its answer.
    RequestFailed {
        /// The connection.
        connection: ConnectionId,
        /// Which request.
        request: RequestId,
        /// The type of the answer that will not come.
        answer: MessageType,
        /// Why.
        error: RequestError,
    },
    /// A queue that answered `Full` has room again. For all.
    Writable {
        /// The connection.
        connection: ConnectionId,
        /// Which of its queues.
        priority: Priority,
    },
    /// A behaviour or the Swarm says something to all.
    Signal(&'a Signal),
    /// Time has passed. For those whose deadline is over.
    Deadline,
}

impl Input<'_> {
    /// Whether it is for a behaviour. A tree passes it on to each of its members for which it is.
    #[inline]
    pub fn is_for<B: NetworkBehaviour>(&self, behaviour: &B, now: Time) -> bool {
        match self {
            Self::Frame { frame, .. } => behaviour.takes(frame.message_type(), Role::Message),
            Self::Answer { frame, .. } => behaviour.takes(frame.message_type(), Role::Answer),
            Self::RequestFailed { answer, .. } => behaviour.takes(*answer, Role::Answer),
            Self::Opened { .. } | Self::OpeningFrame { .. } | Self::OpeningClosed { .. } => {
                const { B::CLAIMS.has_gate() }
            }
            Self::Deadline => behaviour.deadline().is_some_and(|at| at <= now),
            Self::Established { .. }
            | Self::Closed { .. }
            | Self::DialFailed { .. }
            | Self::Writable { .. }
            | Self::Signal(_) => true,
        }
    }
}
