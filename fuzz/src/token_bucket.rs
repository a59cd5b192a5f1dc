//! A token bucket, against one that is filled moment by moment.

use std::time::Duration;

use spacetime_core::{Rate, Time, TokenBucket};

/// What passes in one step at most, in microseconds.
const MAX_PASSED: u16 = 2000;

/// `u8 capacity | u8 interval | u8 tokens`, then steps of `u16 passed | u8 wanted`, in microseconds.
pub fn token_bucket(data: &[u8]) {
    let Some(([capacity, interval, tokens], steps)) = data.split_first_chunk() else { return };
    let capacity = u32::from(*capacity) + 1;
    let interval = u64::from(*interval) + 1;
    let rate = Rate { capacity, interval: Duration::from_micros(interval) };
    let mut bucket = TokenBucket::new(u32::from(*tokens), Time::ZERO);
    let mut model = Model { tokens: u32::from(*tokens), phase: 0 };
    let mut now = Time::ZERO;
    for step in steps.as_chunks::<3>().0.iter().take(200) {
        let [low, high, wanted] = *step;
        let passed = u16::from_le_bytes([low, high]) % MAX_PASSED;
        now += Duration::from_micros(passed.into());
        (0..passed).for_each(|_| model.pass(capacity, interval));
        let ready_at = bucket.ready_at(rate, now);
        assert_eq!(ready_at > now, model.tokens == 0);
        if model.tokens == 0 {
            assert_eq!(ready_at.since(now), Duration::from_micros(interval - model.phase));
        }
        for _ in 0..wanted % 8 {
            assert_eq!(bucket.take(rate, now), model.take());
        }
    }
    // However long nothing is wanted, there are no more than it holds.
    let taken = (0..=capacity).filter(|_| bucket.take(rate, Time::MAX)).count() as u32;
    assert_eq!(taken, capacity.max(model.tokens.min(capacity + 1)));
}

/// What is there now, and how long ago the last one came, as far as there is room for one.
struct Model {
    tokens: u32,
    phase: u64,
}

impl Model {
    fn pass(&mut self, capacity: u32, interval: u64) {
        self.phase += 1;
        if self.tokens >= capacity {
            self.phase = 0;
        } else if self.phase == interval {
            self.tokens += 1;
            self.phase = 0;
        }
    }

    fn take(&mut self) -> bool {
        let has_one = self.tokens > 0;
        self.tokens -= u32::from(has_one);
        has_one
    }
}
