//! The address book, told 100,000 addresses by 1,000 peers; a fifth of them was reached.

use std::collections::HashMap;
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use spacetime_network::peers::book::{Added, Purpose, Source};
use spacetime_network::peers::{AddressBook, BookConfig, BucketKey};
use spacetime_network::{Now, Rng, Time};

use crate::{Done, Subject};

const ADDRESSES: usize = 100_000;
const SOURCES: u64 = 1000;

/// Operations at a time, but for what is done with all addresses.
const SOME: usize = 10_000;

trait Book: Sized + 'static {
    const NAME: &'static str;

    fn empty() -> Self;
    fn add(&mut self, address: SocketAddr, source: Source, now: Now) -> Option<Added>;
    fn record_success(&mut self, address: SocketAddr, now: Now);
    fn choose(&mut self, now: Now) -> Option<SocketAddr>;
}

impl Book for AddressBook {
    const NAME: &'static str = "ours";

    fn empty() -> Self {
        let mut rng = Rng::from_number(1);
        Self::new(BookConfig::default(), BucketKey::random(&mut rng), &rng)
    }

    fn add(&mut self, address: SocketAddr, source: Source, now: Now) -> Option<Added> {
        Self::add(self, address, source, now).ok()
    }

    fn record_success(&mut self, address: SocketAddr, now: Now) {
        Self::record_success(self, address, None, now);
    }

    fn choose(&mut self, now: Now) -> Option<SocketAddr> {
        self.select(Purpose::Outbound, now, |_, _| false)
    }
}

struct Known {
    source: Source,
    told_at: i64,
    reached_at: Option<i64>,
}

/// Bounded, and any address is worth as much as any other.
struct Plain {
    known: HashMap<SocketAddr, Known>,
    addresses: Vec<SocketAddr>,
    rng: Rng,
}

impl Book for Plain {
    const NAME: &'static str = "HashMap and Vec";

    fn empty() -> Self {
        Self { known: HashMap::new(), addresses: Vec::new(), rng: Rng::from_number(1) }
    }

    fn add(&mut self, address: SocketAddr, source: Source, now: Now) -> Option<Added> {
        if let Some(known) = self.known.get_mut(&address) {
            known.told_at = now.unix_seconds;
            return Some(Added::Known);
        }
        if self.addresses.len() == ADDRESSES {
            let place = self.rng.below(ADDRESSES as u64) as usize;
            let before = std::mem::replace(&mut self.addresses[place], address);
            black_box(self.known.remove(&before).map(|it| (it.source, it.reached_at)));
        } else {
            self.addresses.push(address);
        }
        self.known.insert(address, Known { source, told_at: now.unix_seconds, reached_at: None });
        Some(Added::New)
    }

    fn record_success(&mut self, address: SocketAddr, now: Now) {
        if let Some(known) = self.known.get_mut(&address) {
            known.reached_at = Some(now.unix_seconds);
        }
    }

    fn choose(&mut self, _: Now) -> Option<SocketAddr> {
        self.rng.pick(&self.addresses).copied()
    }
}

/// So long after the start, in hours.
fn at(hours: u32) -> Now {
    let elapsed = Duration::from_secs(3600) * hours;
    Now::new(Time::from_epoch(elapsed), 1_800_000_000 + elapsed.as_secs().cast_signed())
}

/// Addresses of 10,496 groups, and who tells them.
struct Gossip(Rng);

impl Iterator for Gossip {
    type Item = (SocketAddr, Source);

    fn next(&mut self) -> Option<Self::Item> {
        let [a, b, c, d] = self.0.bytes();
        let peer = self.0.below(SOURCES).to_be_bytes();
        let source = Source::Peer(SocketAddr::from(([100 + peer[6], peer[7], 1, 1], 8333)));
        Some((SocketAddr::from(([50 + a % 41, b, c, d], 8333)), source))
    }
}

fn gossip() -> Gossip {
    Gossip(Rng::from_number(2))
}

/// Told all addresses; and what it holds of them, in the order in which they came.
fn told<B: Book>() -> (B, Vec<(SocketAddr, Source)>) {
    let mut book = B::empty();
    let mut held: Vec<_> = gossip().take(ADDRESSES).collect();
    held.retain(|(address, source)| book.add(*address, *source, at(0)).is_some());
    for (address, _) in held.iter().step_by(5) {
        book.record_success(*address, at(0));
    }
    held.retain(|(address, source)| book.add(*address, *source, at(0)) == Some(Added::Known));
    (book, held)
}

fn add_known<B: Book>() -> Subject {
    let (mut book, held) = told::<B>();
    let mut next = 0;
    Subject::new(B::NAME, move || {
        let some = (next..next + SOME).map(|number| &held[number % held.len()]);
        next = (next + SOME) % held.len();
        let added = some.map(|(address, source)| book.add(black_box(*address), *source, at(1)));
        let known = added.filter(|it| *it == Some(Added::Known)).count();
        Done { operations: SOME as u64, passed: known as u64 }
    })
}

pub(crate) fn known() -> Vec<Subject> {
    vec![add_known::<AddressBook>(), add_known::<Plain>()]
}

/// Adds addresses to a book, and says how many of them were new to it.
fn add_all(book: &mut impl Book, all: &[(SocketAddr, Source)], now: Now) -> Done {
    let added = all.iter().map(|(address, source)| book.add(black_box(*address), *source, now));
    let new = added.filter(|it| *it == Some(Added::New)).count();
    Done { operations: all.len() as u64, passed: new as u64 }
}

fn fill<B: Book>() -> Subject {
    let all: Vec<_> = gossip().take(ADDRESSES).collect();
    Subject::new(B::NAME, move || add_all(&mut B::empty(), &all, at(0)))
}

pub(crate) fn filled() -> Vec<Subject> {
    vec![fill::<AddressBook>(), fill::<Plain>()]
}

fn add_to_full<B: Book>() -> Subject {
    let (mut book, _) = told::<B>();
    let all: Vec<_> = gossip().skip(ADDRESSES).take(20 * ADDRESSES).collect();
    let mut next = 0;
    Subject::new(B::NAME, move || {
        let some = &all[next..next + SOME];
        next = (next + SOME) % all.len();
        add_all(&mut book, some, at(1))
    })
}

pub(crate) fn full() -> Vec<Subject> {
    vec![add_to_full::<AddressBook>(), add_to_full::<Plain>()]
}

fn choose_one<B: Book>() -> Subject {
    let (mut book, _) = told::<B>();
    Subject::new(B::NAME, move || {
        let chosen = (0..SOME).filter(|_| black_box(book.choose(at(1))).is_some()).count();
        Done { operations: SOME as u64, passed: chosen as u64 }
    })
}

pub(crate) fn choose() -> Vec<Subject> {
    vec![choose_one::<AddressBook>(), choose_one::<Plain>()]
}
