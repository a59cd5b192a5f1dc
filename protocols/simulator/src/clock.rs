//! The time of the simulation, and the wall clock of one node, which may be wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use spacetime_core::{Now, Time};

/// Unix seconds at the beginning of every simulation.
pub const UNIX_START: i64 = 1_800_000_000;

/// Parts of a whole that clocks drift by.
const PARTS_PER_MILLION: i64 = 1_000_000;

/// What time it is in the simulation, for what is used outside of its calls as well. Clones tell the
/// same time.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrueTime {
    nanos: Arc<AtomicU64>,
}

impl TrueTime {
    pub(crate) fn set(&self, now: Time) {
        self.nanos.store(now.as_nanos(), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Time {
        Time::from_nanos(self.nanos.load(Ordering::Relaxed))
    }
}

/// How one node's wall clock differs from the true one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// Seconds that it is ahead, at the time of its last change.
    offset_seconds: i64,
    /// How much too fast it runs, in parts per million.
    drift: i64,
    changed_at: Time,
}

impl Clock {
    pub(crate) fn unix_seconds(&self, now: Time) -> i64 {
        let true_seconds = (now.as_nanos() / 1_000_000_000) as i64;
        UNIX_START + true_seconds + self.offset_at(now)
    }

    fn offset_at(&self, now: Time) -> i64 {
        let since = i64::try_from(now.since(self.changed_at).as_secs()).unwrap_or(i64::MAX);
        self.offset_seconds.saturating_add(since.saturating_mul(self.drift) / PARTS_PER_MILLION)
    }

    /// Somebody sets the clock.
    pub(crate) fn jump(&mut self, now: Time, seconds: i64) {
        self.offset_seconds = self.offset_at(now).saturating_add(seconds);
        self.changed_at = now;
    }

    /// It runs faster from now on, or slower.
    pub(crate) fn add_drift(&mut self, now: Time, parts_per_million: i64) {
        self.offset_seconds = self.offset_at(now);
        self.drift += parts_per_million;
        self.changed_at = now;
    }

    /// Both clocks of a node whose monotonic one began at `epoch`.
    pub(crate) fn read(&self, now: Time, epoch: Time) -> Now {
        Now::new(Time::from_epoch(now.since(epoch)), self.unix_seconds(now))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn jumps_and_drifts_add_up() {
        let at = |seconds| Time::from_epoch(Duration::from_secs(seconds));
        let mut clock = Clock::default();
        assert_eq!(clock.unix_seconds(at(5)), UNIX_START + 5);
        clock.jump(at(5), -100);
        assert_eq!(clock.unix_seconds(at(5)), UNIX_START - 95);
        clock.add_drift(at(10), 100_000);
        assert_eq!(clock.unix_seconds(at(110)), UNIX_START + 110 - 100 + 10);
        clock.add_drift(at(110), -100_000);
        assert_eq!(clock.unix_seconds(at(210)), UNIX_START + 210 - 100 + 10);
    }
}
