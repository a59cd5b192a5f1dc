//! Between the Swarm and the task of one connection.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures::task::AtomicWaker;
use spacetime_core::Transmit;

/// Bytes that are handed to a connection's task at once.
const TRANSMIT_BYTES: usize = 64 * 1024;

/// What may wait for the Swarm, per connection, before the task stops reading and the transport
/// holds the peer back: two batches, so that one is handled while the next is read. Of a peer that
/// is not established, one batch waits.
///
/// # Security
///
/// Each batch is charged with the bytes that were read for it, not only with those of its frames: it
/// keeps a whole read buffer alive, however small it is and whatever else that buffer held.
pub(super) const MAX_UNHANDLED_BYTES: usize = 128 * 1024;

/// What a batch is charged with at least, for what goes with it: a place in the inbox, the hashes of
/// its objects, and a read buffer of 1 KiB on a quiet connection. So 86 of them may wait.
pub(super) const MIN_BATCH_CHARGE: usize = 1536;

/// What the reader may take once the peer is established.
#[derive(Clone, Copy, Debug)]
pub(super) struct Established {
    pub(super) may_send_chunks: bool,
}

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
    /// What the frames that wait for the Swarm were charged with.
    unhandled_bytes: usize,
    /// The task reads nothing because of them.
    reading_paused: bool,
    /// The peer is established.
    pub(super) established: Option<Established>,
    /// The Swarm has given the connection up; what is still to be written.
    pub(super) close: Option<Transmit>,
}

impl LinkState {
    /// How many bytes more the task can be handed to write; none while a large frame is among those
    /// it has.
    pub(super) fn room(&self) -> usize {
        if self.writes_large || self.out.holds_large() || self.close.is_some() {
            return 0;
        }
        TRANSMIT_BYTES.saturating_sub(self.out.len())
    }

    /// Whether more frames may wait for the Swarm. If not, the task is woken when they may.
    pub(super) const fn takes_frames(&mut self) -> bool {
        let max_bytes = if self.established.is_some() { MAX_UNHANDLED_BYTES } else { 1 };
        self.reading_paused = self.unhandled_bytes >= max_bytes;
        !self.reading_paused
    }

    /// Frames wait for the Swarm.
    pub(super) const fn charge(&mut self, bytes: usize) {
        self.unhandled_bytes += bytes;
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

    /// The Swarm has handled frames that were charged with so many bytes.
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
