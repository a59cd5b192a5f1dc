//! What connection tasks tell the Swarm.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

use futures::task::AtomicWaker;
use spacetime_core::wire::Batch;
use spacetime_core::{CloseReason, ConnectionId, DialError, PeerId};
use tokio::sync::OwnedSemaphorePermit;

use crate::transport::Incoming;

/// Something that happened outside of the Swarm.
pub(super) enum Input {
    /// A peer connected; the permit is given back when it was let in or not.
    Incoming(Incoming, OwnedSemaphorePermit),
    /// A dial has reached somebody.
    Connected(ConnectionId),
    /// The transport of a connection stands.
    Opened(ConnectionId, Option<PeerId>),
    /// A dial came to nothing.
    DialFailed(ConnectionId, DialError),
    /// Frames arrived; with what they are charged to the connection.
    Frames(ConnectionId, Batch, usize),
    /// All that was handed over was taken, and more was waiting.
    Writable(ConnectionId),
    /// A connection ended, and so many bytes of a frame were cut short.
    Closed(ConnectionId, CloseReason, usize),
}

/// An empty queue keeps room for at most so many.
const MAX_IDLE_INPUTS: usize = 1024;

/// A queue from all tasks to the Swarm, in the order of arrival.
///
/// It has no bound of its own: each connection has at most 86 batches (see
/// [`MAX_UNHANDLED_BYTES`](super::link::MAX_UNHANDLED_BYTES)) and a few notes in it, each listener at
/// most its permits.
#[derive(Default)]
pub(super) struct Inbox {
    inputs: Mutex<VecDeque<Input>>,
    swarm: AtomicWaker,
}

impl Inbox {
    pub(super) fn push(&self, input: Input) {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner).push_back(input);
        self.swarm.wake();
    }

    /// Sets whom to wake. Call before looking.
    pub(super) fn register(&self, waker: &Waker) {
        self.swarm.register(waker);
    }

    /// Takes everything out at once, in exchange for an empty queue.
    pub(super) fn take(&self, empty: &mut VecDeque<Input>) {
        debug_assert!(empty.is_empty(), "what was taken before is handled first");
        empty.shrink_to(MAX_IDLE_INPUTS);
        std::mem::swap(&mut *self.inputs.lock().unwrap_or_else(PoisonError::into_inner), empty);
    }
}
