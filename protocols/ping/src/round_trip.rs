//! Statistics of round-trip times.

use core::time::Duration;

/// What was measured on one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoundTrip {
    /// The last one.
    pub last: Duration,
    /// The shortest one: how far away the peer is when nothing is in the way.
    pub min: Duration,
    /// Smoothed as in RFC 6298: each new one counts for an eighth.
    pub smoothed: Duration,
    /// How much they vary, smoothed as in RFC 6298: each new difference counts for a quarter.
    pub variation: Duration,
    /// How many there were.
    pub count: u64,
}

impl RoundTrip {
    /// The first one.
    pub const fn new(first: Duration) -> Self {
        Self {
            last: first,
            min: first,
            smoothed: first,
            variation: Duration::from_nanos((first.as_nanos() / 2) as u64),
            count: 1,
        }
    }

    /// One more.
    pub fn add(&mut self, sample: Duration) {
        let difference = self.smoothed.abs_diff(sample);
        self.variation = self.variation * 3 / 4 + difference / 4;
        self.smoothed = self.smoothed * 7 / 8 + sample / 8;
        self.last = sample;
        self.min = self.min.min(sample);
        self.count = self.count.saturating_add(1);
    }
}
