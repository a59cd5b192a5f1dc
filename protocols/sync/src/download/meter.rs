//! How fast a download gets on.

use core::time::Duration;

use spacetime_core::Time;

use crate::progress::Progress;

/// How far back a rate looks, about.
const SMOOTHING: Duration = Duration::from_secs(10);

/// For so long nothing may come before that is called a stall: as long as the block that all wait for is
/// asked from two or three peers.
const STALL_TIME: Duration = Duration::from_secs(5);

/// Times left beyond this say nothing.
const MAX_TIME_LEFT: Duration = Duration::from_secs(99 * 3600);

/// Parts of one, in which rates are counted: a block a day is 11 of them.
const MICRO: u128 = 1_000_000;

/// What was counted up to a time.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Time,
    blocks: u64,
    bytes: u64,
}

/// Measures a download, from its begin to its end, and says when its progress is to be told.
#[derive(Debug)]
pub(super) struct Meter {
    interval: Duration,
    /// The last time that it was looked at; none while nothing is to be downloaded.
    last: Option<Sample>,
    blocks: Rate,
    bytes: Rate,
    /// When something last came, or was applied.
    moved_at: Time,
    told: Option<(Time, Progress)>,
    /// There is something to tell.
    has_news: bool,
}

impl Meter {
    pub(super) const fn new(interval: Duration) -> Self {
        Self {
            interval,
            last: None,
            blocks: Rate::NONE,
            bytes: Rate::NONE,
            moved_at: Time::ZERO,
            told: None,
            has_news: false,
        }
    }

    /// When progress is to be told.
    pub(super) fn deadline(&self) -> Option<Time> {
        let (told_at, _) = self.told?;
        (self.has_news || self.last.is_some()).then(|| told_at + self.interval)
    }

    /// Whether it is time to look, and to tell what has changed.
    pub(super) fn is_due(&self, now: Time) -> bool {
        self.told.is_none_or(|(told_at, _)| told_at + self.interval <= now)
    }

    /// Looks at what was counted, while something is to be downloaded.
    pub(super) fn measure(&mut self, is_active: bool, blocks: u64, bytes: u64, now: Time) {
        if !is_active {
            (self.last, self.blocks, self.bytes) = (None, Rate::NONE, Rate::NONE);
            return;
        }
        let sample = Sample { at: now, blocks, bytes };
        let Some(last) = self.last.replace(sample) else {
            self.moved_at = now;
            return;
        };
        if (last.blocks, last.bytes) != (blocks, bytes) {
            self.moved_at = now;
        }
        let elapsed = now.since(last.at);
        self.blocks.add(blocks.saturating_sub(last.blocks), elapsed);
        self.bytes.add(bytes.saturating_sub(last.bytes), elapsed);
    }

    /// Whether it looks again by itself.
    pub(super) const fn is_measuring(&self) -> bool {
        self.last.is_some()
    }

    /// Whether nothing has come for long. It has been looked at just now.
    pub(super) fn is_stalled(&self) -> bool {
        self.last.is_some_and(|last| last.at.since(self.moved_at) >= STALL_TIME)
    }

    pub(super) fn blocks_per_second(&self) -> u64 {
        self.blocks.rounded()
    }

    pub(super) fn bytes_per_second(&self) -> u64 {
        self.bytes.rounded()
    }

    /// How long so many blocks take.
    pub(super) fn time_left(&self, blocks: u64) -> Option<Duration> {
        if blocks == 0 {
            return Some(Duration::ZERO);
        }
        let millis = u128::from(blocks).saturating_mul(1000 * MICRO).checked_div(self.blocks.per_second())?;
        let time = Duration::from_millis(u64::try_from(millis).ok()?);
        (time <= MAX_TIME_LEFT).then_some(time)
    }

    /// Whether this is to be told now.
    pub(super) fn tell(&mut self, progress: Progress, now: Time) -> bool {
        let is_new = self.told.is_none_or(|(_, told)| told != progress);
        self.has_news = false;
        // Looked at, even if there was nothing to tell.
        self.told = Some((now, progress));
        is_new
    }

    /// What there is to tell before it is time.
    pub(super) fn note(&mut self, progress: &Progress) {
        self.has_news = self.told.is_none_or(|(_, told)| told != *progress);
    }
}

/// How much comes in a second: of late, so that each time counts for less the longer ago it is.
#[derive(Clone, Copy, Debug)]
struct Rate {
    /// Millionths of what came, and the microseconds in which it did.
    count: u128,
    micros: u128,
}

impl Rate {
    const NONE: Self = Self { count: 0, micros: 0 };

    /// So much has come in this time. Time before the first of it is that of questions.
    fn add(&mut self, count: u64, elapsed: Duration) {
        let micros = elapsed.as_micros();
        if self.micros == 0 && count == 0 {
            return;
        }
        let (kept, whole) = (SMOOTHING.as_micros(), SMOOTHING.as_micros() + micros);
        self.count = (self.count * kept / whole).saturating_add(u128::from(count) * MICRO);
        self.micros = self.micros * kept / whole + micros;
    }

    /// In millionths.
    fn per_second(self) -> u128 {
        self.count.saturating_mul(MICRO).checked_div(self.micros).unwrap_or(0)
    }

    fn rounded(self) -> u64 {
        u64::try_from((self.per_second() + MICRO / 2) / MICRO).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Time {
        Time::ZERO + SECOND * u32::try_from(seconds).unwrap_or(u32::MAX)
    }

    #[test]
    fn rates_follow_the_download_and_the_time_left_follows_the_rates() {
        let mut meter = Meter::new(SECOND);
        for second in 0..100 {
            meter.measure(true, second * 50, second * 50_000, at(second));
        }
        assert_eq!((meter.blocks_per_second(), meter.bytes_per_second()), (50, 50_000));
        assert!(meter.time_left(5050).is_some_and(|it| it.abs_diff(SECOND * 101) < SECOND / 100));
        assert_eq!(meter.time_left(0), Some(Duration::ZERO));
        // Half as fast: after as long as it looks back it has come more than half of the way.
        for second in 100..110 {
            meter.measure(true, 4950 + (second - 99) * 25, 0, at(second));
        }
        assert!((25..38).contains(&meter.blocks_per_second()), "{}", meter.blocks_per_second());
    }

    #[test]
    fn the_time_left_never_explodes_and_a_new_download_is_measured_anew() {
        let mut meter = Meter::new(SECOND);
        assert_eq!(meter.time_left(10), None);
        meter.measure(true, 0, 0, at(0));
        meter.measure(true, 0, 0, at(0));
        assert_eq!(meter.time_left(10), None);
        meter.measure(true, 1, 1, at(1));
        assert_eq!((meter.time_left(u64::MAX), meter.time_left(60)), (None, Some(SECOND * 60)));
        // Nothing comes any more.
        let mut last = Some(Duration::ZERO);
        for second in 2..2000 {
            meter.measure(true, 1, 1, at(second));
            let left = meter.time_left(60);
            assert!(left.is_none() || left >= last && last.is_some(), "{left:?} after {last:?}");
            last = left;
        }
        assert_eq!((last, meter.blocks_per_second()), (None, 0));
        meter.measure(false, 1, 1, at(2000));
        meter.measure(true, 1, 1, at(3000));
        meter.measure(true, 101, 1, at(3001));
        assert_eq!((meter.blocks_per_second(), meter.bytes_per_second()), (100, 0));
        meter.measure(true, u64::MAX, u64::MAX, at(3002));
        meter.measure(true, 0, 0, at(3003));
        assert!(meter.time_left(u64::MAX).is_some());
    }

    #[test]
    fn nothing_for_five_seconds_is_a_stall() {
        let mut meter = Meter::new(SECOND);
        for second in 0..20 {
            meter.measure(true, second.min(3), second.min(7), at(second));
            assert_eq!(meter.is_stalled(), second >= 12, "{second}");
        }
        meter.measure(false, 3, 7, at(20));
        assert!(!meter.is_stalled());
        meter.measure(true, 3, 7, at(40));
        assert!(!meter.is_stalled(), "it has just begun");
    }
}
