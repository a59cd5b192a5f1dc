//! Every bound of a Swarm in one value.

use core::fmt;
use core::time::Duration;

use crate::bandwidth::Bandwidth;
use crate::token_bucket::Rate;
use crate::wire::{FRAME_HEADER, MAX_BATCH_FRAMES, MAX_PAYLOAD, MAX_SHARED_FRAME, Priority};

/// Frames up to this size are copied into a queue's ring of bytes; larger ones are shared. Copying
/// 4 KiB costs less than the bookkeeping of a shared buffer and its own slot in a vectored write,
/// and makes the memory of a queue exactly what it holds. A frame that was received inside of a
/// larger buffer is copied as well: 64 KiB would wait with 5.
pub(crate) const MAX_COPIED_FRAME: usize = 4096;

/// Empty queues that a Swarm keeps, with rings of up to so many bytes: enough for what is told to each
/// of 125 connections at once.
pub(crate) const MAX_SPARE_QUEUES: usize = 128;
pub(crate) const MAX_SPARE_RING_BYTES: usize = 4096;

/// A queue itself, and the beginning of what it holds.
const QUEUE_BYTES: usize = 512;

/// What a driver lets wait of one connection until the Swarm handles it: bytes that were read, and
/// batches of frames. A read buffer that was used for a quarter may be kept alive by what is left in
/// it.
const MAX_WAITING_BYTES: usize = 128 * 1024;
const MAX_WAITING_BATCHES: usize = 86;

/// What a transport that encrypts keeps of one session: 64 KiB that are to be sent, two records of 16
/// KiB that arrive, and its keys; a buffer that grows doubles.
const SECURED_SESSION_BYTES: usize = 224 * 1024;

/// The same of a connection that is being secured: 24 KiB may arrive, and a record goes out. The most that
/// was measured is 37 KiB, all else that the driver has of it included (`tests/tls_memory.rs`).
const SECURED_OPENING_BYTES: usize = 64 * 1024;

/// How often hosts and groups have connected: 8192 of each.
const ACCEPT_RATES_BYTES: usize = 2 * 8192 * 160;

/// The bounds of a Swarm.
///
/// Defaults marked "seed" are those of the reference node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    max_connections: usize,
    max_opening: usize,
    accept_rate_per_host: Rate,
    accept_rate_per_group: Rate,
    dial_timeout: Duration,
    opening_timeout: Duration,
    write_timeout: Duration,
    first_frame_bytes: u32,
    max_requests: usize,
    queues: [QueueLimit; 4],
    bandwidth: Bandwidth,
}

/// The bound of one of a connection's four send queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueLimit {
    /// Frames that may wait.
    pub max_frames: usize,
    /// Bytes that may wait. One frame larger than this may wait if its queue is empty and no other
    /// such frame waits on the connection.
    pub max_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let queue = |kib: usize| QueueLimit { max_frames: 1000, max_bytes: kib * 1024 };
        Self {
            max_connections: 50,
            max_opening: 512,
            accept_rate_per_host: Rate { capacity: 8, interval: Duration::from_secs(5) },
            accept_rate_per_group: Rate { capacity: 64, interval: Duration::from_millis(16) },
            dial_timeout: Duration::from_secs(10),
            opening_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(30),
            first_frame_bytes: 1024,
            max_requests: 256,
            // Critical, High, Normal, Low: 1 MiB together.
            queues: [queue(64), queue(320), queue(512), queue(128)],
            bandwidth: Bandwidth::default(),
        }
    }
}

impl Limits {
    /// Sessions and dials at a time. 50 (seed).
    #[must_use]
    pub const fn with_max_connections(mut self, max_connections: usize) -> Self {
        self.max_connections = max_connections;
        self
    }

    /// Accepted connections that are not established yet, at a time. 512, as commonware-p2p.
    #[must_use]
    pub const fn with_max_opening(mut self, max_opening: usize) -> Self {
        self.max_opening = max_opening;
        self
    }

    /// How often one host with a public address may connect: its IPv4 address, or the /64 of its IPv6
    /// address. 8 times at once, and once in 5 s (commonware-p2p).
    #[must_use]
    pub const fn with_accept_rate_per_host(mut self, rate: Rate) -> Self {
        self.accept_rate_per_host = rate;
        self
    }

    /// How often all hosts of one public /16 of IPv4, or /32 of IPv6, may connect together. 64 times at
    /// once, and 62 times a second (commonware-p2p: 64).
    #[must_use]
    pub const fn with_accept_rate_per_group(mut self, rate: Rate) -> Self {
        self.accept_rate_per_group = rate;
        self
    }

    /// How long a dial may take until the transport is connected. 10 s (seed).
    #[must_use]
    pub const fn with_dial_timeout(mut self, timeout: Duration) -> Self {
        self.dial_timeout = timeout;
        self
    }

    /// How long a connection may take from then on (an accepted one: from being accepted) until
    /// the peer has said who it is. 5 s.
    #[must_use]
    pub const fn with_opening_timeout(mut self, timeout: Duration) -> Self {
        self.opening_timeout = timeout;
        self
    }

    /// How long frames may wait for a peer that takes none, and, beside the time for its bytes, how long a
    /// frame may take that a peer has begun in chunks. 30 s.
    #[must_use]
    pub const fn with_write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// The largest payload before a peer has said who it is. 1024, which holds any handshake.
    #[must_use]
    pub const fn with_first_frame_bytes(mut self, bytes: u32) -> Self {
        self.first_frame_bytes = bytes;
        self
    }

    /// Requests that may wait for an answer on one connection. 256.
    #[must_use]
    pub const fn with_max_requests(mut self, max_requests: usize) -> Self {
        self.max_requests = max_requests;
        self
    }

    /// The bound of one of the send queues of each connection. 1000 frames each (seed); 64, 320,
    /// 512 and 128 KiB from `Critical` to `Low`, 1 MiB together.
    #[must_use]
    pub const fn with_queue(mut self, priority: Priority, limit: QueueLimit) -> Self {
        match priority {
            Priority::Critical => self.queues[0] = limit,
            Priority::High => self.queues[1] = limit,
            Priority::Normal => self.queues[2] = limit,
            Priority::Low => self.queues[3] = limit,
        }
        self
    }

    /// How many bytes a second may be sent and received. No limit.
    #[must_use]
    pub const fn with_bandwidth(mut self, bandwidth: Bandwidth) -> Self {
        self.bandwidth = bandwidth;
        self
    }

    /// Sessions and dials at a time.
    pub const fn max_connections(&self) -> usize {
        self.max_connections
    }

    /// Accepted connections that are not established yet.
    pub const fn max_opening(&self) -> usize {
        self.max_opening
    }

    /// How often one host may connect.
    pub const fn accept_rate_per_host(&self) -> Rate {
        self.accept_rate_per_host
    }

    /// How often one group of hosts may connect.
    pub const fn accept_rate_per_group(&self) -> Rate {
        self.accept_rate_per_group
    }

    /// How long a dial may take.
    pub const fn dial_timeout(&self) -> Duration {
        self.dial_timeout
    }

    /// How long a connection may take until the peer has said who it is.
    pub const fn opening_timeout(&self) -> Duration {
        self.opening_timeout
    }

    /// How long frames may wait for a peer that takes none, and beside the time for its bytes a frame that a
    /// peer has begun in chunks.
    pub const fn write_timeout(&self) -> Duration {
        self.write_timeout
    }

    /// The largest payload before a peer has said who it is.
    pub const fn first_frame_bytes(&self) -> u32 {
        self.first_frame_bytes
    }

    /// Requests that may wait for an answer on one connection.
    pub const fn max_requests(&self) -> usize {
        self.max_requests
    }

    /// The bound of one send queue.
    pub const fn queue(&self, priority: Priority) -> QueueLimit {
        match priority {
            Priority::Critical => self.queues[0],
            Priority::High => self.queues[1],
            Priority::Normal => self.queues[2],
            Priority::Low => self.queues[3],
        }
    }

    /// How many bytes a second may be sent and received.
    pub const fn bandwidth(&self) -> &Bandwidth {
        &self.bandwidth
    }

    /// Bytes of frames that may wait on one connection, apart from one larger frame.
    pub fn queue_bytes(&self) -> usize {
        self.queues.iter().map(|queue| queue.max_bytes).sum()
    }

    /// The most memory, in bytes, that messages of all connections together can take in this node:
    /// what waits to be sent, what the driver has taken to write, what is arriving, what has arrived
    /// and waits for the Swarm, and the last words of connections that are being closed, of which
    /// there are as many as there may be connections. 9.1 GiB by default, nearly all of it for
    /// messages of 16 MiB, which a tree without such messages never sees.
    ///
    /// The driver is that of `spacetime-network`, which takes over 64 KiB at a time and one larger
    /// frame, and holds a peer back once 128 KiB of it wait. What behaviours and the application
    /// keep of messages that were delivered to them is theirs.
    pub fn worst_case_bytes(&self) -> usize {
        let frame = FRAME_HEADER + MAX_PAYLOAD as usize;
        // Handed over at once, up to a small frame more; a buffer that grows doubles.
        let handed_over = 2 * (MAX_SHARED_FRAME + MAX_COPIED_FRAME);
        // A frame that is cut short at the end of a read buffer moves on into the next one.
        let read_buffer = 2 * MAX_SHARED_FRAME;
        let hashes = MAX_BATCH_FRAMES * size_of::<Option<crate::Hash>>();
        // Marks and handles of frames that are shared.
        let queue = |it: &QueueLimit| {
            let handles = (it.max_bytes / 64).saturating_add(it.max_frames.saturating_mul(8));
            it.max_bytes.saturating_add(handles).saturating_add(QUEUE_BYTES)
        };
        let queues = self.queues.iter().map(queue).fold(0, usize::saturating_add);

        // Frames: one that waits, one that is being written, one that arrives or has arrived. While
        // it is handed over, a batch of half a read buffer keeps two of them.
        // Instead of that one, one may be on its way in chunks at each of two levels, and the last chunk
        // of another one be among what is being written: it keeps all of that.
        let sending = queues.saturating_add(4 * frame + 2 * handed_over);
        let waiting = MAX_WAITING_BYTES * 4 + MAX_WAITING_BATCHES * hashes;
        // At each of two levels one more may arrive in chunks.
        let receiving = 3 * frame + waiting + 4 * read_buffer;
        let session = sending.saturating_add(receiving);
        // Two of which the last chunk is being written and one with its first, and a critical one.
        let closing = 4 * frame + 3 * handed_over;
        // One batch waits. The gate sends critical frames, and none that are large.
        let first_frame = FRAME_HEADER + self.first_frame_bytes as usize;
        let opening =
            queue(&self.queues[0]).saturating_add(2 * (read_buffer + first_frame + handed_over) + hashes);
        let session = session.saturating_add(SECURED_SESSION_BYTES);
        let opening = opening.saturating_add(SECURED_OPENING_BYTES);
        (self.max_connections.saturating_mul(session.saturating_add(closing)))
            .saturating_add(self.max_opening.saturating_mul(opening))
            .saturating_add(ACCEPT_RATES_BYTES)
            .saturating_add(MAX_SPARE_QUEUES * 2 * MAX_SPARE_RING_BYTES)
    }

    /// Whether a Swarm can work with these.
    pub fn validate(&self) -> Result<(), InvalidLimits> {
        let positive = [
            (self.max_connections, "max_connections"),
            (self.max_opening, "max_opening"),
            (self.max_requests, "max_requests"),
        ];
        for (value, name) in positive {
            if value == 0 {
                return Err(InvalidLimits { name, must: "be at least 1" });
            }
        }
        for (rate, name) in [
            (self.accept_rate_per_host, "accept_rate_per_host"),
            (self.accept_rate_per_group, "accept_rate_per_group"),
        ] {
            if rate.capacity == 0 {
                return Err(InvalidLimits { name, must: "let somebody in" });
            }
        }
        let timeouts = [
            (self.dial_timeout, "dial_timeout"),
            (self.opening_timeout, "opening_timeout"),
            (self.write_timeout, "write_timeout"),
        ];
        for (value, name) in timeouts {
            if value.is_zero() {
                return Err(InvalidLimits { name, must: "be longer than nothing" });
            }
        }
        if self.queues.iter().any(|queue| queue.max_frames == 0 || queue.max_bytes < 1024) {
            return Err(InvalidLimits { name: "queue", must: "hold at least one frame and 1024 bytes" });
        }
        if self.first_frame_bytes < 128 || self.first_frame_bytes > MAX_PAYLOAD {
            return Err(InvalidLimits {
                name: "first_frame_bytes",
                must: "hold a handshake and fit a frame",
            });
        }
        self.bandwidth.validate()
    }
}

/// Which limit makes no sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidLimits {
    pub(crate) name: &'static str,
    pub(crate) must: &'static str,
}

impl fmt::Display for InvalidLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} must {}", self.name, self.must)
    }
}

impl core::error::Error for InvalidLimits {}
