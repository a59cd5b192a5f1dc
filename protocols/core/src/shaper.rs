//! How many bytes there may be over time.

use core::fmt;
use core::time::Duration;

use crate::time::Time;

/// Bytes per second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ByteRate(u64);

/// A byte over a second is a nano-byte over a nanosecond: debts are counted in nano-bytes, so that
/// what is paid off is a product of integers.
const NANOS: u64 = 1_000_000_000;

impl ByteRate {
    /// No limit.
    pub const UNLIMITED: Self = Self(u64::MAX);

    /// So many bytes per second.
    pub const fn per_second(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Bytes per second.
    pub const fn bytes_per_second(self) -> u64 {
        self.0
    }

    /// Bytes per second, if it is a limit.
    pub const fn limit(self) -> Option<u64> {
        if self.is_unlimited() { None } else { Some(self.0) }
    }

    /// Whether it is no limit at all.
    pub const fn is_unlimited(self) -> bool {
        self.0 == u64::MAX
    }

    /// One of so many equal parts.
    pub(crate) const fn part(self, parts: u64) -> Self {
        if self.is_unlimited() { self } else { Self(self.0.div_ceil(parts)) }
    }

    /// What may pass at once, in nano-bytes: a tenth of a second's worth. A driver that is called
    /// 50 ms too late still has it full, and over 10 s it is 1 %, whatever the rate is.
    const fn burst(self) -> u64 {
        self.0.saturating_mul(NANOS / 10)
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_unlimited() { f.write_str("unlimited") } else { write!(f, "{} B/s", self.0) }
    }
}

/// Holds a stream of bytes to a [`ByteRate`] by delay: until it is in debt anything may pass, however
/// large, and is charged afterwards.
///
/// It is in debt when a tenth of a second's worth was not paid off, and until half of that is: so
/// whoever waits goes on with 50 ms' worth and not with one frame.
///
/// The rate stays with the one who counts by it, so a shaper takes 24 bytes. The arithmetic is exact:
/// no part of a byte or of a nanosecond is lost, and the time at which it says that something may
/// pass is the first at which it does. A debt of more than 2^64 nano-bytes, 18 GB, is taken for that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shaper {
    /// In nano-bytes, at the time `counted`.
    debt: u64,
    counted: Time,
    ready: Time,
}

impl Shaper {
    /// Without debt.
    pub const fn new() -> Self {
        Self { debt: 0, counted: Time::ZERO, ready: Time::ZERO }
    }

    /// The one of two that owes more.
    pub(crate) fn or_larger(self, other: Self, rate: ByteRate, now: Time) -> Self {
        if other.debt_at(rate, now) > self.debt_at(rate, now) { other } else { self }
    }

    /// The same, but it does not owe more than this.
    pub(crate) fn at_most(self, max_bytes: u64, rate: ByteRate, now: Time) -> Self {
        if self.debt_at(rate, now) <= max_bytes.saturating_mul(NANOS) {
            return self;
        }
        let mut capped = Self { counted: now, ..Self::new() };
        capped.charge(rate, now, max_bytes);
        capped
    }

    /// Whether anything is not paid for yet.
    pub(crate) fn owes(&self, rate: ByteRate, now: Time) -> bool {
        self.debt_at(rate, now) > 0
    }

    /// Whether something may pass.
    #[inline]
    pub fn is_ready(&self, now: Time) -> bool {
        self.ready <= now
    }

    /// When something may pass: now, or later.
    pub fn ready_at(&self, now: Time) -> Time {
        self.ready.max(now)
    }

    /// How many bytes may pass until it is in debt; the last frame may go beyond. None while it is.
    pub fn room(&self, rate: ByteRate, now: Time) -> u64 {
        if !self.is_ready(now) {
            return 0;
        }
        // It is in debt with the first nano-byte above the burst.
        rate.burst().saturating_sub(self.debt_at(rate, now)) / NANOS + 1
    }

    /// Something has passed, whether it might or not.
    #[inline]
    pub fn charge(&mut self, rate: ByteRate, now: Time, bytes: u64) {
        let was_ready = self.is_ready(now);
        let debt = self.debt_at(rate, now).saturating_add(bytes.saturating_mul(NANOS));
        self.debt = debt;
        // Time that goes back is not paid for twice.
        self.counted = self.counted.max(now);
        if debt > rate.burst() || !was_ready {
            self.ready = self.paid_at(rate);
        }
    }

    /// Lets something pass, if it may. Whether it did.
    #[inline]
    pub fn pass(&mut self, rate: ByteRate, now: Time, bytes: u64) -> bool {
        let is_ready = self.is_ready(now);
        if is_ready {
            self.charge(rate, now, bytes);
        }
        is_ready
    }

    #[inline]
    fn debt_at(&self, rate: ByteRate, now: Time) -> u64 {
        let elapsed = now.as_nanos().saturating_sub(self.counted.as_nanos());
        // A product that saturates is larger than any debt.
        self.debt.saturating_sub(elapsed.saturating_mul(rate.0))
    }

    /// When half of the burst is free again.
    fn paid_at(&self, rate: ByteRate) -> Time {
        let to_pay = self.debt.saturating_sub(rate.burst() / 2);
        match to_pay {
            0 => self.counted,
            _ if rate.0 == 0 => Time::MAX,
            _ => self.counted + Duration::from_nanos(to_pay.div_ceil(rate.0)),
        }
    }
}

impl Default for Shaper {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: ByteRate = ByteRate::per_second(1000);

    fn at(milliseconds: u64) -> Time {
        Time::from_epoch(Duration::from_millis(milliseconds))
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let mut shaper = Shaper::new();
        assert_eq!(shaper.room(RATE, at(0)), 101);
        let passed = (0..200).filter(|_| shaper.pass(RATE, at(0), 1)).count();
        assert_eq!(passed, 101, "a tenth of a second, and the byte that goes beyond");
        assert_eq!(shaper.ready_at(at(0)), at(51));
        assert_eq!(shaper.room(RATE, at(50)), 0);
        assert_eq!(shaper.room(RATE, at(51)), 51, "half of it is free again");
        assert_eq!(shaper.room(RATE, at(1000)), 101, "what is not used is not saved up");
    }

    #[test]
    fn what_is_larger_than_a_second_passes_and_is_paid_for() {
        let mut shaper = Shaper::new();
        assert!(shaper.pass(RATE, at(0), 16_000));
        assert!(!shaper.pass(RATE, at(15_949), 1));
        assert_eq!(shaper.ready_at(at(0)), at(15_950));
        assert!(shaper.pass(RATE, at(15_950), 16_000));
        assert_eq!(shaper.ready_at(at(0)), at(31_950));
    }

    #[test]
    fn what_passes_in_spite_of_a_debt_is_charged_all_the_same() {
        let mut shaper = Shaper::new();
        shaper.charge(RATE, at(0), 1000);
        assert_eq!(shaper.ready_at(at(0)), at(950));
        shaper.charge(RATE, at(940), 20);
        assert_eq!(shaper.ready_at(at(0)), at(970));
    }

    #[test]
    fn nothing_is_ever_delayed_without_a_limit() {
        let mut shaper = Shaper::new();
        for now in [Time::ZERO, Time::MAX, at(1)] {
            for bytes in [0, 1, u64::MAX] {
                assert!(shaper.pass(ByteRate::UNLIMITED, now, bytes));
            }
        }
    }

    #[test]
    fn extremes_and_time_that_goes_back_break_nothing() {
        let mut shaper = Shaper::new();
        shaper.charge(ByteRate::per_second(1), Time::MAX, u64::MAX);
        assert_eq!(shaper.ready_at(at(0)), Time::MAX);
        assert_eq!(shaper.room(ByteRate::per_second(u64::MAX - 1), Time::ZERO), 0);
        let mut never = Shaper::new();
        assert!(never.pass(ByteRate::per_second(0), at(1), 1));
        assert_eq!(never.ready_at(at(1)), Time::MAX);

        let mut shaper = Shaper::new();
        assert!(shaper.pass(RATE, at(5000), 1100));
        assert_eq!(shaper.ready_at(at(0)), at(6050));
        shaper.charge(RATE, at(0), 100);
        assert_eq!(shaper.ready_at(at(0)), at(6150), "as if it had stood still");
    }

    /// The same with numbers that are large enough, counted from the beginning at each question.
    #[derive(Default)]
    struct Model {
        debt: u128,
        counted: u128,
        in_debt: bool,
    }

    impl Model {
        fn advance(&mut self, rate: u64, now: Time) {
            let now = u128::from(now.as_nanos()).max(self.counted);
            self.debt = self.debt.saturating_sub((now - self.counted) * u128::from(rate));
            self.counted = now;
            self.in_debt &= self.debt > u128::from(rate) * 100_000_000 / 2;
        }

        fn charge(&mut self, rate: u64, bytes: u64) {
            self.debt += u128::from(bytes) * 1_000_000_000;
            self.in_debt |= self.debt > u128::from(rate) * 100_000_000;
            self.in_debt &= self.debt > u128::from(rate) * 100_000_000 / 2;
        }
    }

    fn rates() -> impl Strategy<Value = u64> {
        prop_oneof![1..100_u64, 1000..100_000_000_u64, 1..100_000_000_000_u64]
    }

    proptest! {
        #[test]
        fn it_is_what_a_naive_count_says(
            rate in rates(),
            steps in prop::collection::vec(
                (
                    prop_oneof![0..2_u64, 0..1_000_000_u64, 0..20_000_000_000_u64, 0..1_000_000_000_000_000_u64],
                    prop_oneof![Just(5_u64), 0..100_000_u64, 0..17_000_000_u64],
                    any::<bool>(),
                ),
                1..100,
            ),
        ) {
            let (mut shaper, mut model) = (Shaper::new(), Model::default());
            let mut now = Time::ZERO;
            for (nanos, bytes, always) in steps {
                now += Duration::from_nanos(nanos);
                model.advance(rate, now);
                let rate = ByteRate::per_second(rate);
                prop_assert_eq!(shaper.is_ready(now), !model.in_debt);
                // The last moment before is too early.
                let ready_at = shaper.ready_at(now);
                prop_assert!(ready_at == now || !shaper.is_ready(ready_at - Duration::from_nanos(1)));
                let room = shaper.room(rate, now);
                if room > 0 {
                    let mut filled = shaper;
                    filled.charge(rate, now, room - 1);
                    prop_assert!(filled.is_ready(now));
                    filled.charge(rate, now, 1);
                    prop_assert!(!filled.is_ready(now));
                }
                if always {
                    shaper.charge(rate, now, bytes);
                    model.charge(rate.bytes_per_second(), bytes);
                } else if shaper.pass(rate, now, bytes) {
                    model.charge(rate.bytes_per_second(), bytes);
                }
            }
        }

        #[test]
        fn whoever_takes_all_he_can_gets_the_rate_and_no_more(
            rate in 1000..1_000_000_000_u64,
            frame in prop_oneof![Just(5_u64), Just(1024_u64), Just(16_777_220_u64)],
        ) {
            let (rate, mut shaper) = (ByteRate::per_second(rate), Shaper::new());
            let (mut passed, mut now) = (0_u64, Time::ZERO);
            let mut rounds = 0;
            while rounds < 300 || now < at(10_000) {
                now = shaper.ready_at(now);
                // In the time up to here so much was due, and has come.
                let due = rate.bytes_per_second() * now.as_nanos() / 1_000_000_000;
                let burst = rate.bytes_per_second() / 10;
                prop_assert!(passed <= due + burst / 2 + 1, "{passed} of {due}");
                prop_assert!(passed + 1 >= due, "{passed} of {due}");
                let frames = shaper.room(rate, now).div_ceil(frame);
                shaper.charge(rate, now, frames * frame);
                passed += frames * frame;
                prop_assert!(!shaper.is_ready(now));
                rounds += 1;
            }
        }
    }
}
