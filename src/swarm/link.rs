//! Between the Swarm and the task of one connection.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures::task::AtomicWaker;
use spacetime_core::Transmit;

/// Bytes that arrived and wait for the Swarm, per connection, before the task stops reading and the
/// transport holds the peer back: two batches, so that one is handled while the next is read.
pub(super) const MAX_UNHANDLED_BYTES: usize = 128 * 1024;

/// What both sides of a connection look at.
#[derive(Debug, Default)]
pub(super) struct Link {
    state: Mutex<LinkState>,
    task: AtomicWaker,
}

#[derive(Debug, Default)]
pub(super) struct LinkState {
    /// Frames that the Swarm handed over and the task has not begun to write.
    pub(super) out: Transmit,
    /// The task is writing a large frame; nothing is handed over meanwhile, so it holds at most
    /// one.
    pub(super) writes_large: bool,
    /// More frames wait in the Swarm: tell it when there is room.
    pub(super) more: bool,
    /// Bytes of frames that wait for the Swarm.
    pub(super) unhandled_bytes: usize,
    /// The task reads nothing because of them.
    pub(super) reading_paused: bool,
    /// The peer is established.
    pub(super) established: bool,
    /// The Swarm has given the connection up; what is still to be written.
    pub(super) close: Option<Transmit>,
}

impl LinkState {
    /// Whether the task can be handed more to write.
    pub(super) const fn has_room(&self) -> bool {
        self.out.is_empty() && !self.writes_large && self.close.is_none()
    }
}

impl Link {
    pub(super) fn lock(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the connection's task.
    pub(super) fn wake(&self) {
        self.task.wake();
    }

    /// Sets whom to wake. Call before looking.
    pub(super) fn register(&self, waker: &Waker) {
        self.task.register(waker);
    }

    /// Gives the connection up.
    pub(super) fn close(&self, last_words: Transmit) {
        self.lock().close = Some(last_words);
        self.wake();
    }

    /// The Swarm has handled frames of so many bytes.
    pub(super) fn handled(&self, bytes: usize) {
        let mut state = self.lock();
        state.unhandled_bytes -= bytes;
        if state.reading_paused && state.unhandled_bytes <= MAX_UNHANDLED_BYTES / 2 {
            state.reading_paused = false;
            drop(state);
            self.wake();
        }
    }
}
