//! Whether something may pass: 1,000 peers in turn, 100 at once and 10 a second each.

use std::collections::HashMap;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::FakeRelativeClock;
use governor::{Quota, RateLimiter};
use spacetime_network::{Rate, Time, TokenBucket};

use crate::{Done, Subject};

const PEERS: u32 = 1000;

/// How often each of them asks at a time.
const TURNS: u64 = 100;

const BURST: u32 = 100;
const INTERVAL: Duration = Duration::from_millis(100);
const RATE: Rate = Rate { capacity: BURST, interval: INTERVAL };

/// Between two turns, so that everything passes.
const LONG_STEP: Duration = INTERVAL;
/// So that one in ten thousand passes, once the buckets are empty.
const SHORT_STEP: Duration = Duration::from_micros(10);

trait Limiter {
    fn set_on(&mut self, step: Duration);
    fn check(&mut self, peer: u32) -> bool;
}

/// Told the time at each check, as the Swarm does it.
struct Ours<F> {
    now: Time,
    take: F,
}

impl<F: FnMut(u32, Time) -> bool> Limiter for Ours<F> {
    fn set_on(&mut self, step: Duration) {
        self.now += step;
    }

    fn check(&mut self, peer: u32) -> bool {
        (self.take)(peer, self.now)
    }
}

/// Looks at its clock at each check: here a number in memory.
struct Governor<F> {
    clock: FakeRelativeClock,
    check: F,
}

impl<F: FnMut(u32) -> bool> Limiter for Governor<F> {
    fn set_on(&mut self, step: Duration) {
        self.clock.advance(step);
    }

    fn check(&mut self, peer: u32) -> bool {
        (self.check)(peer)
    }
}

fn ask(name: &'static str, step: Duration, mut limiter: impl Limiter + 'static) -> Subject {
    Subject::new(name, move || {
        let mut passed = 0;
        for _ in 0..TURNS {
            limiter.set_on(step);
            for peer in 0..PEERS {
                passed += u64::from(limiter.check(black_box(peer)));
            }
        }
        Done { operations: TURNS * u64::from(PEERS), passed }
    })
}

fn ours(take: impl FnMut(u32, Time) -> bool + 'static) -> impl Limiter {
    Ours { now: Time::ZERO, take }
}

fn governor<F: FnMut(u32) -> bool + 'static>(make: impl Fn(Quota, FakeRelativeClock) -> F) -> impl Limiter {
    let burst = NonZeroU32::new(BURST).expect("it is more than 0");
    let quota = Quota::with_period(INTERVAL).expect("it is more than 0").allow_burst(burst);
    let clock = FakeRelativeClock::default();
    Governor { check: make(black_box(quota), clock.clone()), clock }
}

/// Rates are as if they had been configured: the compiler does not know them.
fn all(step: Duration) -> Vec<Subject> {
    let rate = black_box(RATE);
    let bucket = TokenBucket::new(BURST, Time::ZERO);
    let mut in_place = vec![bucket; PEERS as usize];
    let mut by_number: HashMap<u32, TokenBucket> = (0..PEERS).map(|peer| (peer, bucket)).collect();
    let in_place = ours(move |peer, now| in_place[peer as usize].take(rate, now));
    let by_number =
        ours(move |peer, now| by_number.get_mut(&peer).is_some_and(|bucket| bucket.take(rate, now)));
    let direct = governor(|quota, clock| {
        let limiter = || RateLimiter::direct_with_clock(quota, clock.clone());
        let limiters: Vec<_> = (0..PEERS).map(|_| limiter()).collect();
        move |peer| limiters[peer as usize].check().is_ok()
    });
    let hash_map = governor(|quota, clock| {
        let limiter = RateLimiter::hashmap_with_clock(quota, clock);
        move |peer| limiter.check_key(&peer).is_ok()
    });
    let dash_map = governor(|quota, clock| {
        let limiter = RateLimiter::dashmap_with_clock(quota, clock);
        move |peer| limiter.check_key(&peer).is_ok()
    });
    vec![
        ask("ours", step, in_place),
        ask("ours in a HashMap", step, by_number),
        ask("governor, direct", step, direct),
        ask("governor, keyed, HashMap", step, hash_map),
        ask("governor, keyed, DashMap", step, dash_map),
    ]
}

pub(crate) fn passing() -> Vec<Subject> {
    all(LONG_STEP)
}

pub(crate) fn refused() -> Vec<Subject> {
    all(SHORT_STEP)
}
