//! How many new items a host may send.

use core::time::Duration;

use spacetime_core::{Rate, Time, TokenBucket};

/// How much the whole node takes in a second before hosts that are of little use get less: what ten
/// hosts may send by the seed's limit.
const BUSY_PER_SECOND: u32 = 100;

/// For how many judged items behaviour counts; older ones count half.
const MEMORY: u16 = 64;

/// What a host may still send, and what became of what it sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    bucket: TokenBucket,
    good: u16,
    bad: u16,
}

/// How many items came from everybody of late.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    second: u64,
    now: u32,
    before: u32,
}

impl Load {
    pub(crate) const fn new() -> Self {
        Self { second: 0, now: 0, before: 0 }
    }

    pub(crate) fn add(&mut self, now: Time) {
        let second = now.since(Time::ZERO).as_secs();
        if second != self.second {
            self.before = if second == self.second + 1 { self.now } else { 0 };
            (self.second, self.now) = (second, 0);
        }
        self.now = self.now.saturating_add(1);
    }

    fn is_busy(&self) -> bool {
        self.now.max(self.before) > BUSY_PER_SECOND
    }
}

impl Allowance {
    pub(crate) const fn new(rate: Rate, now: Time) -> Self {
        Self { bucket: TokenBucket::new(rate.capacity, now), good: 0, bad: 0 }
    }

    /// Whether one more new item is taken.
    pub(crate) fn take(&mut self, rate: Rate, is_adaptive: bool, load: &Load, now: Time) -> bool {
        let rate = if is_adaptive { self.share(rate, load) } else { rate };
        self.bucket.take(rate, now)
    }

    /// One of its items was judged.
    pub(crate) fn judged(&mut self, is_good: bool) {
        if self.good + self.bad >= MEMORY {
            (self.good, self.bad) = (self.good / 2, self.bad / 2);
        }
        if is_good {
            self.good += 1;
        } else {
            self.bad += 1;
        }
    }

    /// A host of which a tenth of what it sent was bad gets a quarter, whatever the load is. One that
    /// brought what was new and good gets four times as much while there is little to do, and as much
    /// as is its due when there is.
    fn share(&self, rate: Rate, load: &Load) -> Rate {
        if self.bad > 0 && u32::from(self.bad) * 9 >= u32::from(self.good) {
            return Rate { interval: rate.interval.saturating_mul(4), ..rate };
        }
        if self.good > 0 && !load.is_busy() {
            return Rate { interval: (rate.interval / 4).max(Duration::from_nanos(1)), ..rate };
        }
        rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { capacity: 100, interval: Duration::from_millis(100) };

    fn taken(allowance: &mut Allowance, load: &Load, is_adaptive: bool) -> usize {
        // Every 5 ms for ten seconds, after the first hundred.
        (0..100).for_each(|_| assert!(allowance.take(RATE, is_adaptive, load, Time::ZERO)));
        let times = (1..=2000).map(|step| Time::ZERO + Duration::from_millis(step * 5));
        times.filter(|now| allowance.take(RATE, is_adaptive, load, *now)).count()
    }

    fn busy() -> Load {
        let mut load = Load::new();
        (0..200).for_each(|_| load.add(Time::ZERO));
        load
    }

    #[test]
    fn everybody_has_the_seeds_rate() {
        let mut stranger = Allowance::new(RATE, Time::ZERO);
        assert_eq!(taken(&mut stranger, &Load::new(), true), 100);
        let mut fixed = Allowance::new(RATE, Time::ZERO);
        fixed.judged(true);
        assert_eq!(taken(&mut fixed, &Load::new(), false), 100);
    }

    #[test]
    fn who_is_of_use_may_send_more_while_there_is_little_to_do() {
        let mut useful = Allowance::new(RATE, Time::ZERO);
        useful.judged(true);
        assert_eq!(taken(&mut useful, &Load::new(), true), 400);
        let mut useful = Allowance::new(RATE, Time::ZERO);
        useful.judged(true);
        assert_eq!(taken(&mut useful, &busy(), true), 100);
    }

    #[test]
    fn who_sends_what_is_bad_may_send_less_until_it_was_good_for_long() {
        let mut liar = Allowance::new(RATE, Time::ZERO);
        liar.judged(false);
        assert_eq!(taken(&mut liar, &Load::new(), true), 25);
        for _ in 0..18 {
            liar.judged(true);
        }
        let mut better = Allowance { bucket: TokenBucket::new(100, Time::ZERO), ..liar };
        assert_eq!(taken(&mut better, &busy(), true), 100);
    }

    #[test]
    fn the_load_is_that_of_this_second_or_the_last() {
        let mut load = busy();
        assert!(load.is_busy());
        load.add(Time::ZERO + Duration::from_secs(1));
        assert!(load.is_busy());
        load.add(Time::ZERO + Duration::from_secs(2));
        assert!(!load.is_busy());
        let mut load = busy();
        load.add(Time::MAX);
        assert!(!load.is_busy());
    }
}
