//! Whether something may pass, and whether it was there.

use std::hint::black_box;
use std::time::Duration;

use spacetime_network::relay::{Mark, Seen};
use spacetime_network::{ByteRate, Hash, Rate, Rng, Shaper, Time, TokenBucket};

const SEEN: usize = 5000;

fn full() -> (Seen, Rng) {
    let mut rng = Rng::from_number(1);
    let mut seen = Seen::new(SEEN, Duration::from_secs(300), &mut Rng::from_number(2));
    for _ in 0..SEEN {
        seen.insert(Hash(rng.bytes()), Mark::Accepted, Time::ZERO);
    }
    (seen, rng)
}

pub(crate) fn new_names(count: usize) {
    let (mut seen, mut rng) = full();
    for _ in 0..count {
        let name = Hash(rng.bytes());
        assert!(seen.get(&name, Time::ZERO).is_none());
        seen.insert(name, Mark::Pending, Time::ZERO);
    }
}

pub(crate) fn known_names(count: usize) {
    let (seen, _) = full();
    let mut known = Rng::from_number(1);
    for _ in 0..count {
        assert!(seen.get(&Hash(known.bytes()), Time::ZERO).is_some());
    }
}

pub(crate) fn tokens(count: usize) {
    let rate = Rate { capacity: 100, interval: Duration::from_millis(100) };
    let mut bucket = TokenBucket::new(100, Time::ZERO);
    let mut now = Time::ZERO;
    for _ in 0..count {
        now += Duration::from_millis(60);
        black_box(bucket.take(rate, now));
    }
}

pub(crate) fn shapers(count: usize) {
    let mut shaper = Shaper::new();
    let mut now = Time::ZERO;
    for _ in 0..count {
        now += Duration::from_millis(1);
        black_box(shaper.pass(ByteRate::per_second(1 << 20), now, 1024));
    }
}
