//! How much to download at a time, from how many.

use core::fmt;
use core::time::Duration;

use spacetime_core::wire::MAX_HEADERS;

/// Headers that may wait for their blocks: three messages full, so that one is downloaded while the
/// blocks of the others are. As many of a rival chain are kept.
pub(crate) const MAX_WAITING_HEADERS: usize = 6000;

/// The longest of all intervals and timeouts: what is meant to happen happens.
const MAX_DURATION: Duration = Duration::from_secs(3600);

/// As many threads as nobody's disk needs.
const MAX_READS: usize = 64;

/// The deepest reorganisation that can be configured: the heavier chain must fit what is kept of headers.
pub const MAX_REORG_DEPTH: usize = 2000;

/// The configuration of the synchronisation. Defaults marked "seed" are the reference node's; its limit of
/// 10 MiB/s is [`Bandwidth::reference`](spacetime_core::Bandwidth::reference), which holds for all protocols.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    max_peers: usize,
    parallel_downloads: usize,
    max_headers_per_request: usize,
    max_retries: u32,
    request_timeout: Duration,
    max_in_flight_per_peer: usize,
    max_window_blocks: usize,
    max_window_bytes: usize,
    poll_interval: Duration,
    max_reorg_depth: usize,
    initial_download_threshold: u64,
    stale_tip_timeout: Duration,
    progress_interval: Duration,
    max_reads: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_peers: 8,
            parallel_downloads: 4,
            max_headers_per_request: MAX_HEADERS,
            max_retries: 3,
            request_timeout: Duration::from_secs(30),
            max_in_flight_per_peer: 128,
            max_window_blocks: 1024,
            max_window_bytes: 32 << 20,
            poll_interval: Duration::from_secs(10),
            max_reorg_depth: 1000,
            initial_download_threshold: 1000,
            stale_tip_timeout: Duration::from_secs(600),
            progress_interval: Duration::from_secs(1),
            max_reads: 4,
        }
    }
}

impl Config {
    /// Peers that are asked for headers, or whether they have some, at the same time. 8 (seed).
    #[must_use]
    pub const fn with_max_peers(mut self, max_peers: usize) -> Self {
        self.max_peers = max_peers;
        self
    }

    /// Peers that blocks are asked from at the same time. 4 (seed).
    #[must_use]
    pub const fn with_parallel_downloads(mut self, parallel_downloads: usize) -> Self {
        self.parallel_downloads = parallel_downloads;
        self
    }

    /// Headers that are asked for at once. 2000 (seed), the most that a message holds.
    #[must_use]
    pub const fn with_max_headers_per_request(mut self, max_headers: usize) -> Self {
        self.max_headers_per_request = max_headers;
        self
    }

    /// How often a peer is asked for a block that it does not send; and failures in a row after which it is
    /// not asked for anything for 10 minutes. 3 (seed).
    #[must_use]
    pub const fn with_max_retries(mut self, max_retries: u32) -> Self {
        self.max_retries = max_retries;
        self
    }

    /// How long an answer may take. 30 s (seed).
    #[must_use]
    pub const fn with_request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Blocks that one peer is asked for at the same time, if they come fast enough. 128: as many of 4 KB
    /// as are under way at 10 MB/s and 50 ms. Version-1 nodes are asked for 16 at most (Bitcoin Core).
    #[must_use]
    pub const fn with_max_in_flight_per_peer(mut self, blocks: usize) -> Self {
        self.max_in_flight_per_peer = blocks;
        self
    }

    /// How far ahead of the last applied block blocks are asked for. 1024 (Bitcoin Core).
    #[must_use]
    pub const fn with_max_window_blocks(mut self, blocks: usize) -> Self {
        self.max_window_blocks = blocks;
        self
    }

    /// Bytes of blocks that may have arrived and wait or are being applied. 32 MiB; one block more
    /// is taken if nothing can go on without it.
    #[must_use]
    pub const fn with_max_window_bytes(mut self, bytes: usize) -> Self {
        self.max_window_bytes = bytes;
        self
    }

    /// How long after a peer had nothing newer it is asked again, once it has had nothing newer a
    /// few times; and how long it rests after a failure, and for how long a version-1 node that
    /// connected must be quiet. 10 s.
    #[must_use]
    pub const fn with_poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// How many blocks a node leaves for a heavier chain. 1000. A chain that parts earlier is never
    /// followed: more depth heals longer partitions, less limits what an attacker can undo.
    #[must_use]
    pub const fn with_max_reorg_depth(mut self, blocks: usize) -> Self {
        self.max_reorg_depth = blocks;
        self
    }

    /// How many blocks behind is far behind, by headers that were checked: then what is new is of no use
    /// yet, and [`Signal::InitialDownload`](spacetime_core::Signal::InitialDownload) says so. 1000 (seed).
    #[must_use]
    pub const fn with_initial_download_threshold(mut self, blocks: u64) -> Self {
        self.initial_download_threshold = blocks;
        self
    }

    /// After how long without a new block all peers are asked whether they have one. 10 min, as many
    /// blocks as 30 min are to Bitcoin Core and more.
    #[must_use]
    pub const fn with_stale_tip_timeout(mut self, timeout: Duration) -> Self {
        self.stale_tip_timeout = timeout;
        self
    }

    /// How often [`Event::Progressed`](crate::Event::Progressed) comes at most. 1 s (seed).
    #[must_use]
    pub const fn with_progress_interval(mut self, interval: Duration) -> Self {
        self.progress_interval = interval;
        self
    }

    /// How much is read from the store at a time for peers that ask, all together; a node has as many
    /// threads for it. 4, so that a disk is never idle between two reads.
    #[must_use]
    pub const fn with_max_reads(mut self, reads: usize) -> Self {
        self.max_reads = reads;
        self
    }

    /// How much is read from the store at a time.
    pub const fn max_reads(&self) -> usize {
        self.max_reads
    }

    pub(crate) const fn progress_interval(&self) -> Duration {
        self.progress_interval
    }

    pub(crate) const fn max_reorg_depth(&self) -> usize {
        self.max_reorg_depth
    }

    pub(crate) const fn initial_download_threshold(&self) -> u64 {
        self.initial_download_threshold
    }

    pub(crate) const fn stale_tip_timeout(&self) -> Duration {
        self.stale_tip_timeout
    }

    pub(crate) const fn max_peers(&self) -> usize {
        self.max_peers
    }

    pub(crate) const fn parallel_downloads(&self) -> usize {
        self.parallel_downloads
    }

    pub(crate) const fn max_headers_per_request(&self) -> usize {
        self.max_headers_per_request
    }

    pub(crate) const fn max_retries(&self) -> u32 {
        self.max_retries
    }

    pub(crate) const fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    pub(crate) const fn max_in_flight_per_peer(&self) -> usize {
        self.max_in_flight_per_peer
    }

    pub(crate) const fn max_window_blocks(&self) -> usize {
        self.max_window_blocks
    }

    pub(crate) const fn max_window_bytes(&self) -> usize {
        self.max_window_bytes
    }

    pub(crate) const fn poll_interval(&self) -> Duration {
        self.poll_interval
    }

    /// Whether a node can synchronise by this.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let numbers = [
            (self.max_peers, 1000, "max_peers"),
            (self.parallel_downloads, 1000, "parallel_downloads"),
            (self.max_headers_per_request, MAX_HEADERS, "max_headers_per_request"),
            (usize::try_from(self.max_retries).unwrap_or(usize::MAX), 1000, "max_retries"),
            (self.max_in_flight_per_peer, 200, "max_in_flight_per_peer"),
            (self.max_reads, MAX_READS, "max_reads"),
            (self.max_reorg_depth, MAX_REORG_DEPTH, "max_reorg_depth"),
            // There are no headers further ahead.
            (self.max_window_blocks, MAX_WAITING_HEADERS, "max_window_blocks"),
            (self.max_window_bytes, 1 << 32, "max_window_bytes"),
        ];
        for (value, max, name) in numbers {
            if !(1..=max).contains(&value) {
                return Err(InvalidConfig { name, max: max as u64 });
            }
        }
        for (value, name) in [
            (self.request_timeout, "request_timeout"),
            (self.poll_interval, "poll_interval"),
            (self.stale_tip_timeout, "stale_tip_timeout"),
            (self.progress_interval, "progress_interval"),
        ] {
            if value.is_zero() || value > MAX_DURATION {
                return Err(InvalidConfig { name, max: MAX_DURATION.as_secs() });
            }
        }
        Ok(())
    }
}

/// Which value makes no sense: it must be between 1 (or longer than nothing) and a maximum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidConfig {
    name: &'static str,
    max: u64,
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of the synchronisation must be more than nothing and at most {}", self.name, self.max)
    }
}

impl core::error::Error for InvalidConfig {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_make_no_sense_are_refused_by_name() {
        let default = Config::default;
        assert_eq!(default().validate(), Ok(()));
        let hour = Duration::from_secs(3600);
        let too_long = hour + Duration::from_secs(1);
        for (config, name) in [
            (default().with_max_peers(0), "max_peers"),
            (default().with_max_peers(1001), "max_peers"),
            (default().with_parallel_downloads(0), "parallel_downloads"),
            (default().with_parallel_downloads(1001), "parallel_downloads"),
            (default().with_max_headers_per_request(0), "max_headers_per_request"),
            (default().with_max_headers_per_request(MAX_HEADERS + 1), "max_headers_per_request"),
            (default().with_max_retries(0), "max_retries"),
            (default().with_max_retries(1001), "max_retries"),
            (default().with_max_in_flight_per_peer(0), "max_in_flight_per_peer"),
            (default().with_max_in_flight_per_peer(201), "max_in_flight_per_peer"),
            (default().with_max_reads(0), "max_reads"),
            (default().with_max_reads(65), "max_reads"),
            (default().with_max_reorg_depth(0), "max_reorg_depth"),
            (default().with_max_reorg_depth(MAX_REORG_DEPTH + 1), "max_reorg_depth"),
            (default().with_max_window_blocks(0), "max_window_blocks"),
            (default().with_max_window_blocks(6001), "max_window_blocks"),
            (default().with_max_window_bytes(0), "max_window_bytes"),
            (default().with_max_window_bytes((1 << 32) + 1), "max_window_bytes"),
            (default().with_request_timeout(Duration::ZERO), "request_timeout"),
            (default().with_request_timeout(too_long), "request_timeout"),
            (default().with_poll_interval(Duration::ZERO), "poll_interval"),
            (default().with_poll_interval(too_long), "poll_interval"),
            (default().with_stale_tip_timeout(Duration::ZERO), "stale_tip_timeout"),
            (default().with_stale_tip_timeout(too_long), "stale_tip_timeout"),
            (default().with_progress_interval(Duration::ZERO), "progress_interval"),
            (default().with_progress_interval(too_long), "progress_interval"),
        ] {
            assert_eq!(config.validate().map_err(|error| error.name), Err(name), "{config:?}");
        }
        assert_eq!(default().with_request_timeout(hour).validate(), Ok(()));
    }
}
