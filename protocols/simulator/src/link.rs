//! Streams of bytes between two ends, with latency, bandwidth and a window.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::BytesMut;
use spacetime_core::{ConnectionId, Time};

use super::short_queue::ShortQueue;

/// How links and the hosts at their ends behave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkConfig {
    latency: Duration,
    jitter: Duration,
    window_bytes: usize,
    max_piece_bytes: usize,
    cut_percent: u8,
    upload_bytes_per_second: Option<u64>,
    download_bytes_per_second: Option<u64>,
}

impl Default for LinkConfig {
    /// 20 ms one way, up to 5 ms more, 64 KiB under way, in pieces of up to 3000 bytes of which
    /// every fourth is cut once more, and hosts without a limit of bandwidth.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(20),
            jitter: Duration::from_millis(5),
            window_bytes: 64 * 1024,
            max_piece_bytes: 3000,
            cut_percent: 25,
            upload_bytes_per_second: None,
            download_bytes_per_second: None,
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

    /// The largest piece in which bytes arrive.
    #[must_use]
    pub const fn with_max_piece_bytes(mut self, max_piece_bytes: usize) -> Self {
        self.max_piece_bytes = max_piece_bytes;
        self
    }

    /// How many pieces of a hundred are cut at a random place, and what is left of them again.
    #[must_use]
    pub const fn with_cut_percent(mut self, percent: u8) -> Self {
        self.cut_percent = percent;
        self
    }

    /// What each host can send and receive per second, over all its links.
    #[must_use]
    pub const fn with_bandwidth(mut self, upload_bytes: u64, download_bytes: u64) -> Self {
        self.upload_bytes_per_second = Some(upload_bytes);
        self.download_bytes_per_second = Some(download_bytes);
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

    pub(crate) const fn cut_percent(&self) -> u8 {
        self.cut_percent
    }

    pub(crate) const fn upload_bytes_per_second(&self) -> Option<u64> {
        self.upload_bytes_per_second
    }

    pub(crate) const fn download_bytes_per_second(&self) -> Option<u64> {
        self.download_bytes_per_second
    }
}

/// Who holds an end of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// A node, as this connection.
    Node(usize, ConnectionId),
    /// A puppet.
    Puppet(usize),
    /// A node that has dialled and not heard yet that it was answered.
    Awaited(usize),
    /// Nobody any more: what arrives is lost.
    Gone,
    /// Nobody any more, and whoever sends to it is told: the host has lost its memory.
    Forgotten(usize),
}

/// Something on its way, in order.
#[derive(Debug)]
pub(crate) enum Piece {
    Bytes(BytesMut),
    End,
    Reset,
}

impl Piece {
    /// Bytes that it takes on a line.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::End | Self::Reset => 0,
        }
    }
}

/// One direction of a link. There are thousands: what only faults need is kept beside it.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    /// Bytes that were sent and whose reading the sender has not heard of.
    pub(crate) under_way: usize,
    /// Bytes that were read, and when the sender hears of it.
    pub(crate) heard: ShortQueue<(Time, u32)>,
    /// When the last piece arrives; no later one arrives before it.
    pub(crate) last_arrival: Time,
    /// Arrived, but the reader does not read at the moment.
    pub(crate) unread: ShortQueue<BytesMut>,
    pub(crate) trouble: Option<Box<Trouble>>,
    /// The sender has more and waits for room.
    pub(crate) sender_waits: bool,
    /// A [`Room`](crate::queue::Scheduled::Room) is scheduled.
    pub(crate) room_scheduled: bool,
    /// The end of the stream arrived, behind what is unread.
    pub(crate) ended: bool,
    /// Nothing arrives any more.
    pub(crate) is_torn: bool,
    /// A fault has ended the stream: nothing more is sent.
    pub(crate) is_over: bool,
}

/// What faults do to a pipe.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// What is held up.
    pub(crate) held: VecDeque<Piece>,
    /// Bytes that were read while the way back was held up, on which the sender would hear of it.
    pub(crate) unheard: usize,
    /// How many faults turn bits over in it.
    pub(crate) corruptions: u32,
    /// How many faults wait for the next piece, to cut it and end the stream.
    pub(crate) truncations: u32,
}

impl Pipe {
    /// Bytes that may still be sent.
    pub(crate) fn room(&mut self, now: Time, window_bytes: usize) -> usize {
        self.hear(now);
        window_bytes.saturating_sub(self.under_way)
    }

    /// The sender hears of what was read.
    pub(crate) fn hear(&mut self, now: Time) {
        while let Some((_, bytes)) = self.heard.front().filter(|(at, _)| *at <= now) {
            self.under_way -= *bytes as usize;
            self.heard.pop_front();
        }
    }

    /// Nothing arrives any more, and nothing that arrived is read.
    pub(crate) fn tear(&mut self) {
        self.is_torn = true;
        self.unread.clear();
        self.heard.clear();
        if let Some(trouble) = &mut self.trouble {
            trouble.held = VecDeque::new();
            trouble.unheard = 0;
        }
    }

    /// What faults do to it from now on.
    pub(crate) fn trouble(&mut self) -> &mut Trouble {
        self.trouble.get_or_insert_default()
    }

    /// Whether something is held up.
    pub(crate) fn holds_something(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| !trouble.held.is_empty())
    }
}

/// A connection between two ends: 0 dialled, 1 accepted.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) ends: [End; 2],
    /// The hosts at the ends.
    pub(crate) hosts: [usize; 2],
    /// `pipes[i]` leads to `ends[i]`.
    pub(crate) pipes: [Pipe; 2],
    /// How many faults hold up what is sent through the pipes.
    pub(crate) clogs: [u32; 2],
    /// A fault swallows everything that is sent, and nobody is told.
    pub(crate) is_half_open: bool,
}

impl Link {
    pub(crate) fn new(ends: [End; 2], hosts: [usize; 2]) -> Self {
        Self { ends, hosts, pipes: [Pipe::default(), Pipe::default()], clogs: [0; 2], is_half_open: false }
    }

    /// Whether nobody hears what the holder of `side` sends.
    pub(crate) fn leads_nowhere(&self, side: usize) -> bool {
        self.is_half_open || matches!(self.ends[1 - side], End::Gone | End::Forgotten(_))
    }

    /// Whether both ends are held by somebody.
    pub(crate) fn is_open(&self) -> bool {
        self.ends.iter().all(|end| matches!(end, End::Node(..) | End::Puppet(_)))
    }
}
