//! Random histories, each step against what a naive reading of the rules says.

use alloc::collections::BTreeMap;
use alloc::vec;

use proptest::prelude::*;

use super::*;
use crate::book::{Added, Entry, NotAdded, Purpose};

#[derive(Clone, Debug)]
enum Step {
    Add(SocketAddr, Source),
    Remove(SocketAddr),
    Attempt(SocketAddr),
    Success(SocketAddr),
    Failure(SocketAddr),
    Seen(SocketAddr),
    Select(bool),
    Test,
    Sample,
    RemoveStale,
    RemovePoor,
    Restart,
    Wait(u64),
    Jump(i64),
}

/// Two groups with more addresses than their buckets hold, so that they get in each other's way.
fn address() -> impl Strategy<Value = SocketAddr> {
    (0_u8..2, 0_u8..16, 0_u8..14).prop_map(|(b, c, d)| v4(50, b, c, d))
}

fn source() -> impl Strategy<Value = Source> {
    prop_oneof![
        6 => (0_u16..2).prop_map(|number| Source::Peer(apart(number))),
        1 => Just(Source::Seed),
        1 => Just(Source::Announced),
        1 => Just(Source::Configured),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (address(), source()).prop_map(|(address, source)| Step::Add(address, source)),
        1 => address().prop_map(Step::Remove),
        2 => address().prop_map(Step::Attempt),
        8 => address().prop_map(Step::Success),
        6 => address().prop_map(Step::Failure),
        1 => address().prop_map(Step::Seen),
        2 => any::<bool>().prop_map(Step::Select),
        1 => Just(Step::Test),
        1 => Just(Step::Sample),
        1 => Just(Step::RemovePoor),
        1 => prop_oneof![Just(Step::RemoveStale), Just(Step::Restart)],
        2 => (0_u64..30 * HOUR).prop_map(Step::Wait),
        1 => prop_oneof![Just(40 * DAY), Just(30)].prop_map(Step::Wait),
        1 => prop_oneof![any::<i64>(), -100_000_i64..100_000].prop_map(Step::Jump),
    ]
}

/// A book and what it should be.
struct Checked {
    book: AddressBook,
    seconds: u64,
    clock_ahead: i64,
    /// What was in it before the step, with the stamps of the clock now.
    before: BTreeMap<SocketAddr, Entry>,
}

impl Checked {
    fn now(&self) -> Now {
        let now = after(self.seconds);
        Now::new(now.time, now.unix_seconds.saturating_add(self.clock_ahead))
    }

    fn entries(&self) -> BTreeMap<SocketAddr, Entry> {
        self.book.entries().map(|entry| (entry.address, entry.clone())).collect()
    }

    fn new_slot(&self, entry: &Entry) -> u32 {
        self.book.new_slot(entry, self.book.grouping().group(entry.address))
    }

    fn run(&mut self, step: &Step) {
        // The clock as it is now, so that nothing but the step changes a stamp.
        self.book.record_seen(v4(99, 9, 9, 9), self.now());
        self.before = self.entries();
        let now = self.now();
        let unix_seconds = self.book.unix_seconds;
        match step {
            Step::Add(address, source) => self.add(*address, *source),
            Step::Remove(address) => {
                assert_eq!(self.book.remove(*address), self.before.get(address).cloned());
                self.before.remove(address);
                self.expect_no_change();
            }
            Step::Attempt(address) => {
                self.book.record_attempt(*address, now);
                self.expect_change(*address, |entry| entry.last_attempt = Some(unix_seconds));
            }
            Step::Success(address) => self.succeed(*address),
            Step::Failure(address) => self.fail(*address),
            Step::Seen(address) => {
                self.book.record_seen(*address, now);
                self.expect_change(*address, |entry| entry.last_seen = unix_seconds);
            }
            Step::Select(is_feeler) => {
                let purpose = if *is_feeler { Purpose::Feeler } else { Purpose::Outbound };
                let drawn = self.book.select(purpose, now, |address, _| address.port() == 1);
                let may_be_drawn = |entry: &Entry| {
                    let held = self.book.held(self.book.id(entry.address).unwrap()).unwrap();
                    held.retry_at <= now.time && !(*is_feeler && entry.is_tried)
                };
                match drawn {
                    Some(address) => assert!(may_be_drawn(&self.before[&address])),
                    None => assert!(!self.before.values().any(may_be_drawn)),
                }
                self.expect_no_change();
            }
            Step::Test => {
                if let Some(address) = self.book.pending_test(now) {
                    assert!(self.book.get(address).unwrap().is_tried);
                }
                self.expect_only_moves();
            }
            Step::Sample => {
                let told = self.book.sample(1000, now);
                assert!(told.iter().all(|address| {
                    let entry = &self.before[address];
                    entry.is_verified() && !entry.is_terrible(unix_seconds)
                }));
                self.expect_no_change();
            }
            Step::RemoveStale => {
                let removed = self.book.remove_stale(now);
                let before = self.before.len();
                self.before.retain(|_, entry| !entry.is_stale(unix_seconds));
                assert_eq!(removed, before - self.before.len());
                self.expect_no_change();
            }
            Step::RemovePoor => {
                let removed = self.book.remove_poor(0.4, 2);
                let before = self.before.len();
                self.before.retain(|_, it| it.success_count + it.failure_count < 2 || it.quality() >= 0.4);
                assert_eq!(removed, before - self.before.len());
                self.expect_no_change();
            }
            Step::Restart => {
                let mut again = book();
                for record in self.book.records() {
                    let is_terrible = self.before[&record.address].is_terrible(unix_seconds);
                    assert_eq!(again.restore(record, now).is_err(), is_terrible);
                }
                self.book = again;
                self.before.retain(|_, entry| !entry.is_terrible(unix_seconds));
                assert!(self.entries().keys().eq(self.before.keys()));
            }
            Step::Wait(seconds) => self.seconds += seconds,
            Step::Jump(ahead) => self.clock_ahead = *ahead,
        }
        assert_eq!(self.book.audit(), Ok(()));
    }

    fn add(&mut self, address: SocketAddr, source: Source) {
        let unix_seconds = self.book.unix_seconds;
        let is_hearsay = matches!(source, Source::Peer(_) | Source::Seed);
        let result = self.book.add(address, source, self.now());
        let after = self.entries();
        if let Some(known) = self.before.get(&address) {
            assert_eq!(result, Ok(Added::Known));
            let mut expected = known.clone();
            expected.last_told = unix_seconds;
            if !is_hearsay && !known.is_verified() {
                expected.last_seen = unix_seconds;
                // It may have found the slot for what it is now taken.
                expected.source = after[&address].source;
                assert!(expected.source == source || expected.source == known.source);
            }
            assert_eq!(after[&address], expected);
            if is_hearsay {
                assert_eq!(after.len(), self.before.len());
            }
            return;
        }
        let entry = Entry::new(address, source, unix_seconds);
        let gives_way = |it: &Entry| {
            let dialled = it.last_attempt.is_some_and(|at| unix_seconds - at < 60);
            !it.is_tried && it.is_terrible(unix_seconds) && !dialled
        };
        let owner =
            self.before.values().find(|it| !it.is_tried && self.new_slot(it) == self.new_slot(&entry));
        let leaves_the_slot = |it: &Entry| {
            let dialled = it.last_attempt.is_some_and(|at| unix_seconds - at < 60);
            let is_wanted = it.is_verified() || it.source == Source::Configured;
            gives_way(it) || (source == Source::Configured && !is_wanted && !dialled)
        };
        let subnet = |it: &SocketAddr| self.book.grouping().subnet(*it);
        let neighbours: Vec<&Entry> = self
            .before
            .values()
            .filter(|it| subnet(&it.address) == subnet(&address))
            .filter(|it| owner.is_none_or(|owner| owner.address != it.address))
            .collect();
        let is_worse = |it: &&Entry| {
            let dialled = it.last_attempt.is_some_and(|at| unix_seconds - at < 60);
            let hearsay_only = !it.is_verified() && matches!(it.source, Source::Peer(_) | Source::Seed);
            gives_way(it) || (!is_hearsay && hearsay_only && !dialled)
        };
        let expected = if owner.is_some_and(|owner| !leaves_the_slot(owner)) {
            Err(NotAdded::SlotTaken)
        } else if neighbours.len() >= 10 && !neighbours.iter().any(is_worse) {
            Err(NotAdded::SubnetFull)
        } else {
            Ok(Added::New)
        };
        assert_eq!(result, expected);
        if expected.is_err() {
            return self.expect_no_change();
        }
        assert_eq!(after[&address], entry);
        let leaving = usize::from(owner.is_some()) + usize::from(neighbours.len() >= 10);
        assert_eq!(after.len(), self.before.len() + 1 - leaving);
        for gone in self.before.values().filter(|it| !after.contains_key(&it.address)) {
            assert!(
                owner.is_some_and(|it| it.address == gone.address)
                    || neighbours.iter().any(|it| it.address == gone.address && is_worse(it))
            );
        }
        assert!(after.values().all(|it| it.address == address || self.before[&it.address] == *it));
    }

    fn succeed(&mut self, address: SocketAddr) {
        let unix_seconds = self.book.unix_seconds;
        let tried_slot = |address| self.book.key().tried_slot(address, self.book.grouping().group(address));
        let owner =
            self.before.values().find(|it| it.is_tried && tried_slot(it.address) == tried_slot(address));
        let gets_the_slot = owner.is_none();
        self.book.record_success(address, None, self.now());
        self.expect_change(address, |entry| {
            entry.is_tried |= gets_the_slot;
            entry.last_seen = unix_seconds;
            entry.last_success = Some(unix_seconds);
            entry.success_count += 1;
            entry.failures_in_a_row = 0;
        });
    }

    fn fail(&mut self, address: SocketAddr) {
        self.book.record_failure(address, self.now());
        self.expect_only_moves();
        if let (Some(before), Some(after)) = (self.before.get(&address), self.book.get(address)) {
            let counted = after.failure_count - before.failure_count;
            assert!(counted <= 1);
            assert_eq!(after.failures_in_a_row, before.failures_in_a_row + counted);
        }
    }

    fn expect_change(&mut self, address: SocketAddr, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.before.get_mut(&address) {
            change(entry);
        }
        self.expect_no_change();
    }

    fn expect_no_change(&self) {
        assert_eq!(self.entries(), self.before);
    }

    /// Places in the tried table may have changed hands; who lost one may be gone, and may have driven
    /// out a terrible one.
    fn expect_only_moves(&self) {
        let after = self.entries();
        assert!(after.keys().all(|address| self.before.contains_key(address)));
        let moved = |is_tried: bool| {
            self.before
                .values()
                .filter(|it| {
                    it.is_tried != is_tried
                        && after.get(&it.address).is_some_and(|after| after.is_tried == is_tried)
                })
                .count()
        };
        let gone = self.before.values().filter(|it| !after.contains_key(&it.address));
        let (tried_gone, new_gone): (Vec<_>, Vec<_>) = gone.partition(|it| it.is_tried);
        assert!(moved(false) + tried_gone.len() <= moved(true), "nobody loses a place that nobody gets");
        // One that the user wants may drive out more.
        let is_wanted = |it: &Entry| it.source == Source::Configured && !it.is_tried;
        let may_go = |it: &Entry| {
            it.is_terrible(self.book.unix_seconds) || !it.is_verified() && after.values().any(is_wanted)
        };
        assert!(new_gone.into_iter().all(may_go));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn every_step_does_what_the_rules_say(steps in prop::collection::vec(step(), 1..400)) {
        let mut checked =
            Checked { book: book(), seconds: 0, clock_ahead: 0, before: BTreeMap::new() };
        for step in &steps {
            checked.run(step);
        }
    }
}
