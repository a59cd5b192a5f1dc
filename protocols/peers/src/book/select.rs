//! Which address comes next, and which ones others are told.

use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::SocketAddr;

use spacetime_core::{Now, Rng, Time};

use super::config::Purpose;
use super::entry::Entry;
use super::table::{EntryId, Members, Table};
use super::{AddressBook, Held};
use crate::group::{Group, canonical};

/// The most addresses that [`AddressBook::sample`] returns (seed).
pub const MAX_SAMPLE: usize = 1000;
/// A smaller book may be told whole.
const SMALL_BOOK: usize = 100;
/// The part of a larger book that is told, in percent (Bitcoin Core).
const SAMPLE_PERCENT: usize = 23;

/// How often a group is drawn blindly before all of them are looked through.
const GROUP_DRAWS: usize = 20;
/// How often an address of a group is drawn blindly before all of them are weighed.
const ADDRESS_DRAWS: usize = 4;

impl AddressBook {
    /// An address to dial, of those that do not wait after an attempt and for which `skip`, which is
    /// given the address and its group, says false. Say [`record_attempt`](Self::record_attempt) when
    /// it is dialled.
    ///
    /// First a table: for [`Purpose::Outbound`] tried or new with equal chance, as long as both have
    /// something. Then a group of those that have something, each equally likely: this is what makes
    /// many addresses in few groups worth little. Then an address of that group, each equally likely
    /// but for its failures in a row, of which each costs a third of its chance.
    ///
    /// O(1) unless nearly all groups have nothing; then it looks once at every address.
    pub fn select(
        &mut self,
        purpose: Purpose,
        now: Now,
        mut skip: impl FnMut(&SocketAddr, Group) -> bool,
    ) -> Option<SocketAddr> {
        self.follow(now);
        let tables = match purpose {
            Purpose::Feeler => [Some(&self.new), None],
            Purpose::Outbound if self.rng.chance(1, 2) => [Some(&self.tried), Some(&self.new)],
            Purpose::Outbound => [Some(&self.new), Some(&self.tried)],
        };
        let mut draw = Draw { held: &self.held, now: now.time, rng: &mut self.rng, skip: &mut skip };
        tables.into_iter().flatten().find_map(|table| draw.in_table(table))
    }

    /// Random addresses to tell others: at most `max_count`, at most [`MAX_SAMPLE`], and at most 23 % of
    /// a book of more than 100. Only what was reached by this node or announced by its own host, and
    /// neither stale nor failing: this node spreads no rumours.
    pub fn sample(&mut self, max_count: usize, now: Now) -> Vec<SocketAddr> {
        self.follow(now);
        let part = if self.len() > SMALL_BOOK { self.len() * SAMPLE_PERCENT / 100 } else { self.len() };
        let is_good = |entry: &&Entry| {
            (entry.is_tried || entry.is_announced())
                && !entry.is_terrible(self.unix_seconds)
                && !entry.is_stale(self.unix_seconds)
        };
        let good: Vec<SocketAddr> = self.entries().filter(is_good).map(|entry| entry.address).collect();
        self.rng.sample(&good, max_count.min(MAX_SAMPLE).min(part))
    }

    /// The addresses of the highest [quality](Entry::quality), but for the excluded ones. Of equals, the
    /// ones reached more often come first.
    pub fn best(&self, count: usize, excluded: &[SocketAddr]) -> Vec<SocketAddr> {
        let mut excluded: Vec<SocketAddr> = excluded.iter().copied().map(canonical).collect();
        excluded.sort_unstable();
        let mut all: Vec<&Entry> =
            self.entries().filter(|entry| excluded.binary_search(&entry.address).is_err()).collect();
        all.sort_by(|a, b| {
            let by_success = |entry: &Entry| (Reverse(entry.success_count), entry.address);
            b.quality().total_cmp(&a.quality()).then_with(|| by_success(a).cmp(&by_success(b)))
        });
        all.into_iter().take(count).map(|entry| entry.address).collect()
    }
}

impl Held {
    /// How likely it is to be drawn; zero while it waits after an attempt.
    pub(super) fn weight(&self, now: Time) -> u64 {
        if self.retry_at <= now { self.entry.weight() } else { 0 }
    }
}

/// One draw from the book.
struct Draw<'a, F> {
    held: &'a [Option<Held>],
    now: Time,
    rng: &'a mut Rng,
    skip: &'a mut F,
}

impl<F: FnMut(&SocketAddr, Group) -> bool> Draw<'_, F> {
    fn in_table(&mut self, table: &Table) -> Option<SocketAddr> {
        let groups = table.groups();
        for _ in 0..GROUP_DRAWS.min(groups.len()) {
            let drawn = self.rng.pick(groups).and_then(|group| self.in_group(group));
            if drawn.is_some() {
                return drawn;
            }
        }
        let mut left: Vec<&Members> = groups.iter().collect();
        while !left.is_empty() {
            let group = left.swap_remove(self.rng.below(left.len() as u64) as usize);
            let drawn = self.in_group(group);
            if drawn.is_some() {
                return drawn;
            }
        }
        None
    }

    fn in_group(&mut self, group: &Members) -> Option<SocketAddr> {
        for _ in 0..ADDRESS_DRAWS {
            let drawn = self.rng.pick(&group.ids).and_then(|id| self.candidate(*id));
            if let Some((address, weight)) = drawn
                && self.rng.below(Entry::FULL_WEIGHT) < weight
            {
                return Some(address);
            }
        }
        let all: Vec<(SocketAddr, u64)> = group.ids.iter().filter_map(|id| self.candidate(*id)).collect();
        let mut drawn = self.rng.below(all.iter().map(|(_, weight)| weight).sum());
        all.into_iter().find_map(|(address, weight)| {
            let is_it = drawn < weight;
            drawn = drawn.saturating_sub(weight);
            is_it.then_some(address)
        })
    }

    /// An address and its weight, if it can be drawn at all.
    fn candidate(&mut self, id: EntryId) -> Option<(SocketAddr, u64)> {
        let held = self.held.get(id as usize)?.as_ref()?;
        let weight = held.weight(self.now);
        let address = held.entry.address;
        (weight > 0 && !(self.skip)(&address, held.group)).then_some((address, weight))
    }
}
