//! How much one peer is asked for at a time.

use core::time::Duration;

/// Blocks that a peer is asked for at a time before it has sent one.
const FIRST_MAX_IN_FLIGHT: usize = 2;

/// Blocks that a version-1 node is asked for at a time (Bitcoin Core): the reference serves 10 messages
/// a second to each peer, after a first 100.
const MAX_VERSION_1_IN_FLIGHT: usize = 16;

/// Blocks that one peer is asked for are expected to have no more bytes than this, unless it is
/// only one: they all arrive within the default timeout over a line of 35 KB/s.
const MAX_IN_FLIGHT_BYTES: usize = 1 << 20;

/// How long a block may take from the question on, while the peer is asked for more and more, or twice as
/// long as the fastest took. What is asked for beyond what fills the line only waits in it, and whatever is
/// asked for next waits behind that: half of the shortest stalling timeout.
const TARGET: Duration = Duration::from_millis(500);

/// Blocks that take longer than this, on average, come from a slow peer.
const SLOW: Duration = Duration::from_secs(2);

/// Once one has come late, so many must come soon before one more is asked for.
const STEADY_BLOCKS: usize = 8;

/// How many blocks a peer is asked for at a time: one more with each that comes soon, until the first that
/// does not; then a quarter less, and slowly more again. So it follows both its latency and its throughput,
/// as windows of TCP do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    max_in_flight: usize,
    /// The most there may be.
    limit: usize,
    /// One has come late: it grows slowly.
    is_steady: bool,
    /// Blocks that came soon since it grew.
    soon: usize,
    /// Blocks that were asked for before it was reduced, and say nothing of what is asked for since.
    settling: usize,
    /// How long a block takes, smoothed; none before the first one.
    smoothed: Option<Duration>,
    /// How long the fastest took: latency, and its size.
    fastest: Duration,
}

impl Pace {
    pub(super) fn new(max_in_flight: usize, is_version_1: bool) -> Self {
        let limit = if is_version_1 { max_in_flight.min(MAX_VERSION_1_IN_FLIGHT) } else { max_in_flight };
        Self {
            max_in_flight: FIRST_MAX_IN_FLIGHT.min(limit),
            limit,
            is_steady: false,
            soon: 0,
            settling: 0,
            smoothed: None,
            fastest: Duration::MAX,
        }
    }

    /// Whether it may be asked for one block more, if blocks have the size that is expected.
    pub(super) const fn has_room(&self, in_flight: usize, expected_bytes: usize) -> bool {
        let expected = (in_flight + 1).saturating_mul(expected_bytes);
        in_flight < self.max_in_flight && (in_flight == 0 || expected <= MAX_IN_FLIGHT_BYTES)
    }

    /// A block came so long after it was asked for.
    pub(super) fn arrived(&mut self, took: Duration) {
        self.smoothed = Some(self.smoothed.map_or(took, |before| (before * 7 + took) / 8));
        self.fastest = self.fastest.min(took);
        if took <= TARGET.max(self.fastest.saturating_mul(2)) {
            self.soon += 1;
            if !self.is_steady || self.soon >= STEADY_BLOCKS {
                self.soon = 0;
                self.max_in_flight = (self.max_in_flight + 1).min(self.limit);
            }
        } else if self.settling == 0 {
            self.is_steady = true;
            self.soon = 0;
            self.settling = self.max_in_flight;
            self.max_in_flight -= self.max_in_flight.div_ceil(4).min(self.max_in_flight - 1);
        }
        self.settling = self.settling.saturating_sub(1);
    }

    /// A block did not come.
    pub(super) fn missed(&mut self) {
        self.max_in_flight = 1;
        self.is_steady = false;
        self.settling = 0;
    }

    /// Whether its blocks take long.
    pub(super) fn is_slow(&self) -> bool {
        self.smoothed.is_some_and(|took| took > SLOW)
    }

    /// How long a block takes, smoothed; nothing before the first one.
    pub(super) fn smoothed(&self) -> Duration {
        self.smoothed.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line that passes a block in so many milliseconds, after a latency; how many blocks are on
    /// their way at the end.
    fn settled(block_ms: u64, latency_ms: u64) -> usize {
        let mut pace = Pace::new(128, false);
        for _ in 0..1000 {
            let in_flight = pace.max_in_flight as u64;
            pace.arrived(Duration::from_millis((in_flight * block_ms).max(latency_ms)));
        }
        pace.max_in_flight
    }

    #[test]
    fn what_is_asked_for_follows_throughput_and_latency() {
        // As much as passes in half a second, or in twice the latency; and no more than there may be.
        assert!((37..=51).contains(&settled(10, 50)), "{}", settled(10, 50));
        assert!((4..=7).contains(&settled(100, 300)), "{}", settled(100, 300));
        assert!((12..=17).contains(&settled(100, 800)), "{}", settled(100, 800));
        assert_eq!(settled(1, 50), 128);
    }

    #[test]
    fn a_version_1_node_is_asked_for_few_and_who_missed_a_block_for_one() {
        let mut pace = Pace::new(128, true);
        (0..100).for_each(|_| pace.arrived(Duration::from_millis(1)));
        assert!(pace.has_room(15, 1) && !pace.has_room(16, 1));
        assert!(!pace.has_room(1, 1 << 20) && pace.has_room(0, usize::MAX));
        pace.missed();
        assert!(!pace.has_room(1, 1));
    }
}
