//! Which names were there: a full set of 100,000.

use std::collections::{HashSet, VecDeque};
use std::hint::black_box;
use std::time::Duration;

use hashlink::LruCache;
use quick_cache::unsync::Cache;
use sha2::{Digest as _, Sha256};
use spacetime_network::relay::{Mark, Seen};
use spacetime_network::{Hash, Rng, Time};

use crate::{Done, Subject};

/// What a set holds.
const CAPACITY: usize = 100_000;

/// Random names that are at hand. Each time that they are through, they are changed.
const NAMES: usize = 1 << 18;

/// Names that are looked up at a time.
const LOOKUPS: usize = 100_000;

/// Bytes of an item that is hashed, and how many of them at a time.
const ITEM_BYTES: usize = 256;
const ITEMS: usize = 10_000;

trait Names {
    fn knows(&self, name: &Hash) -> bool;
    fn note(&mut self, name: Hash);
}

impl Names for Seen {
    fn knows(&self, name: &Hash) -> bool {
        self.get(name, Time::ZERO).is_some()
    }

    fn note(&mut self, name: Hash) {
        self.insert(name, Mark::Pending, Time::ZERO);
    }
}

impl Names for LruCache<Hash, Mark> {
    fn knows(&self, name: &Hash) -> bool {
        self.peek(name).is_some()
    }

    fn note(&mut self, name: Hash) {
        self.insert(name, Mark::Pending);
    }
}

impl Names for Cache<Hash, Mark> {
    fn knows(&self, name: &Hash) -> bool {
        self.get(name).is_some()
    }

    fn note(&mut self, name: Hash) {
        self.insert(name, Mark::Pending);
    }
}

/// A set, and the order in which names came.
struct Plain {
    set: HashSet<Hash>,
    order: VecDeque<Hash>,
}

impl Names for Plain {
    fn knows(&self, name: &Hash) -> bool {
        self.set.contains(name)
    }

    fn note(&mut self, name: Hash) {
        if self.order.len() == CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
        self.set.insert(name);
        self.order.push_back(name);
    }
}

fn seen() -> Seen {
    Seen::new(CAPACITY, Duration::from_secs(300), &mut Rng::from_number(1))
}

fn plain() -> Plain {
    Plain { set: HashSet::with_capacity(CAPACITY), order: VecDeque::with_capacity(CAPACITY) }
}

/// The name with this number, of which no two are the same.
fn name(names: &[Hash], number: usize) -> Hash {
    let mut name = names[number % NAMES];
    let changes = (number / NAMES).to_le_bytes();
    name.0.iter_mut().zip(changes).for_each(|(byte, change)| *byte ^= change);
    name
}

/// Looks names up, of which so many in a hundred are one of the last hundred, and notes those that are new.
fn look_up(subject: &'static str, mut set: impl Names + 'static, known_percent: usize) -> Subject {
    let mut rng = Rng::from_number(1);
    let names: Vec<Hash> = (0..NAMES).map(|_| Hash(rng.bytes())).collect();
    for number in 0..CAPACITY {
        set.note(name(&names, number));
    }
    let mut next = CAPACITY;
    Subject::new(subject, move || {
        let mut known = 0;
        for lookup in 0..LOOKUPS {
            let number = if lookup % 100 < known_percent {
                next - 1 - lookup % 100
            } else {
                next += 1;
                next - 1
            };
            let name = name(&names, number);
            if set.knows(black_box(&name)) {
                known += 1;
            } else {
                set.note(name);
            }
        }
        Done { operations: LOOKUPS as u64, passed: known }
    })
}

fn look_up_all(known_percent: usize) -> Vec<Subject> {
    vec![
        look_up("ours", seen(), known_percent),
        look_up("hashlink", LruCache::<Hash, Mark>::new(CAPACITY), known_percent),
        look_up("quick_cache", Cache::<Hash, Mark>::new(CAPACITY), known_percent),
        look_up("HashSet and VecDeque", plain(), known_percent),
    ]
}

pub(crate) fn all_new() -> Vec<Subject> {
    look_up_all(0)
}

pub(crate) fn three_of_four_known() -> Vec<Subject> {
    look_up_all(75)
}

/// Names items, each of which is new.
fn name_items(subject: &'static str, mut is_known: impl FnMut(Hash) -> bool + 'static) -> Subject {
    let (mut item, mut number) = ([7; ITEM_BYTES], 0_u64);
    Subject::new(subject, move || {
        let mut known = 0;
        for _ in 0..ITEMS {
            number += 1;
            item[..8].copy_from_slice(&number.to_le_bytes());
            known += u64::from(is_known(Hash(Sha256::digest(black_box(&item)).into())));
        }
        Done { operations: ITEMS as u64, passed: known }
    })
}

/// Names items and notes them in a full set.
fn name_and_note(subject: &'static str, mut set: impl Names + 'static) -> Subject {
    let mut rng = Rng::from_number(1);
    for _ in 0..CAPACITY {
        set.note(Hash(rng.bytes()));
    }
    name_items(subject, move |name| {
        let is_known = set.knows(&name);
        if !is_known {
            set.note(name);
        }
        is_known
    })
}

pub(crate) fn hashed() -> Vec<Subject> {
    vec![
        name_and_note("ours", seen()),
        name_and_note("HashSet and VecDeque", plain()),
        name_items("SHA-256 alone", |name| {
            black_box(name);
            false
        }),
    ]
}
