//! Streams of bytes between two ends, with latency and a window.

use std::collections::VecDeque;
use std::time::Duration;

use spacetime_core::{ConnectionId, Time};

/// How links behave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkConfig {
    latency: Duration,
    jitter: Duration,
    window_bytes: usize,
    max_piece_bytes: usize,
}

impl Default for LinkConfig {
    /// 20 ms one way, up to 5 ms more, 64 KiB under way, cut into pieces of up to 3000 bytes.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(20),
            jitter: Duration::from_millis(5),
            window_bytes: 64 * 1024,
            max_piece_bytes: 3000,
        }
    }
}

impl LinkConfig {
    /// How long bytes take at least, one way.
    #[must_use]
    pub const fn with_latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// How much longer they may take.
    #[must_use]
    pub const fn with_jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// How many bytes may be under way or unread in each direction before the sender must wait.
    #[must_use]
    pub const fn with_window_bytes(mut self, window_bytes: usize) -> Self {
        self.window_bytes = window_bytes;
        self
    }

    /// The largest piece in which bytes arrive; the cuts are random.
    #[must_use]
    pub const fn with_max_piece_bytes(mut self, max_piece_bytes: usize) -> Self {
        self.max_piece_bytes = max_piece_bytes;
        self
    }

    pub(crate) const fn latency(&self) -> Duration {
        self.latency
    }

    pub(crate) const fn jitter(&self) -> Duration {
        self.jitter
    }

    pub(crate) const fn window_bytes(&self) -> usize {
        self.window_bytes
    }

    pub(crate) const fn max_piece_bytes(&self) -> usize {
        self.max_piece_bytes
    }
}

/// Who holds an end of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// A connection of a node.
    Node(usize, ConnectionId),
    /// A puppet.
    Puppet(usize),
    /// Nobody any more: what arrives is lost.
    Gone,
}

/// One direction of a link.
#[derive(Debug)]
pub(crate) struct Pipe {
    /// Bytes that were sent and not read yet.
    pub(crate) under_way: usize,
    /// When the last piece arrives; no later one arrives before it.
    pub(crate) last_arrival: Time,
    /// Arrived, but the reader does not read at the moment.
    pub(crate) unread: VecDeque<Vec<u8>>,
    /// The end of the stream arrived, behind what is unread.
    pub(crate) ended: bool,
}

impl Pipe {
    const fn new() -> Self {
        Self { under_way: 0, last_arrival: Time::ZERO, unread: VecDeque::new(), ended: false }
    }
}

/// A connection between two ends: 0 dialled, 1 accepted.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) ends: [End; 2],
    /// `pipes[i]` leads to `ends[i]`.
    pub(crate) pipes: [Pipe; 2],
}

impl Link {
    pub(crate) const fn new(dialer: End, listener: End) -> Self {
        Self { ends: [dialer, listener], pipes: [Pipe::new(), Pipe::new()] }
    }
}
