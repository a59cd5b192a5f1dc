//! How much of something there may be over time.

use core::time::Duration;

use crate::time::Time;

/// So many at once, and one more in each interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// How many tokens a [`TokenBucket`] holds.
    pub capacity: u32,
    /// How long until there is one more.
    pub interval: Duration,
}

/// What is left of a [`Rate`]. The rate stays with the one who counts by it, so that thousands of
/// buckets take 16 bytes each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TokenBucket {
    tokens: u32,
    /// Up to when the tokens that came are counted.
    counted: Time,
}

impl TokenBucket {
    /// A bucket with so many tokens in it.
    pub const fn new(tokens: u32, now: Time) -> Self {
        Self { tokens, counted: now }
    }

    /// Takes a token out, if there is one.
    pub fn take(&mut self, rate: Rate, now: Time) -> bool {
        self.fill(rate, now);
        let Some(left) = self.tokens.checked_sub(1) else { return false };
        self.tokens = left;
        true
    }

    /// When there is a token: now, or later.
    pub fn ready_at(mut self, rate: Rate, now: Time) -> Time {
        self.fill(rate, now);
        if self.tokens > 0 { now } else { self.counted + rate.interval }
    }

    fn fill(&mut self, rate: Rate, now: Time) {
        let interval = rate.interval.as_nanos().max(1);
        let elapsed = now.since(self.counted).as_nanos();
        let missing = rate.capacity.saturating_sub(self.tokens);
        let come = elapsed / interval;
        if come >= u128::from(missing) {
            // A full bucket does not save time up.
            self.tokens = self.tokens.max(rate.capacity);
            self.counted = now;
        } else {
            self.tokens += come as u32;
            self.counted += Duration::from_nanos((come * interval) as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { capacity: 3, interval: Duration::from_secs(10) };

    fn at(seconds: u64) -> Time {
        Time::from_epoch(Duration::from_secs(seconds))
    }

    fn take_all(bucket: &mut TokenBucket, now: Time) -> usize {
        core::iter::from_fn(|| bucket.take(RATE, now).then_some(())).count()
    }

    #[test]
    fn one_comes_in_each_interval_and_parts_of_it_are_not_lost() {
        let mut bucket = TokenBucket::new(1, at(0));
        assert_eq!(take_all(&mut bucket, at(0)), 1);
        assert_eq!(bucket.ready_at(RATE, at(4)), at(10));
        assert_eq!(take_all(&mut bucket, at(9)), 0);
        assert_eq!(take_all(&mut bucket, at(15)), 1);
        assert_eq!(take_all(&mut bucket, at(20)), 1);
        assert_eq!(bucket.ready_at(RATE, at(30)), at(30));
    }

    #[test]
    fn there_are_never_more_than_it_holds() {
        let mut bucket = TokenBucket::new(0, at(0));
        assert_eq!(take_all(&mut bucket, at(1_000_000)), 3);
        assert_eq!(take_all(&mut bucket, at(1_000_009)), 0);
        let mut bucket = TokenBucket::new(3, at(0));
        assert_eq!(take_all(&mut bucket, Time::MAX), 3);
    }

    #[test]
    fn time_that_is_extreme_or_goes_back_breaks_nothing() {
        let rate = Rate { capacity: u32::MAX, interval: Duration::ZERO };
        let mut bucket = TokenBucket::new(0, Time::ZERO);
        assert!(bucket.take(rate, Time::MAX));
        assert!(bucket.take(rate, Time::ZERO));
        let never = Rate { capacity: 1, interval: Duration::MAX };
        assert_eq!(TokenBucket::new(0, at(1)).ready_at(never, at(2)), Time::MAX);
    }
}
