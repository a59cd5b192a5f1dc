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
    /// but for its failures in a row, of which each costs a third of its chance. What is
    /// [terrible](Entry::is_terrible) is drawn only where nothing else is left.
    ///
    /// O(1) unless nearly all groups have nothing; then it looks once or twice at every address.
    pub fn select(
        &mut self,
        purpose: Purpose,
        now: Now,
        mut skip: impl FnMut(&SocketAddr, Group) -> bool,
    ) -> Option<SocketAddr> {
        self.follow(now);
        let tables: &[&Table] = match purpose {
            Purpose::Feeler => &[&self.new],
            Purpose::Outbound if self.rng.chance(1, 2) => &[&self.tried, &self.new],
            Purpose::Outbound => &[&self.new, &self.tried],
        };
        let moment = Moment { time: now.time, unix_seconds: self.unix_seconds };
        let mut draw = Draw { held: &self.held, moment, rng: &mut self.rng, skip: &mut skip };
        [Worth::Something, Worth::Nothing]
            .into_iter()
            .find_map(|worth| tables.iter().find_map(|table| draw.in_table(table, worth)))
    }

    /// Random addresses to tell others: at most `max_count`, at most [`MAX_SAMPLE`], and at most 23 % of
    /// a book of more than 100. Only what was reached by this node, and is neither stale nor failing:
    /// this node spreads no rumours, not even those that a host spreads of itself.
    pub fn sample(&mut self, max_count: usize, now: Now) -> Vec<SocketAddr> {
        self.follow(now);
        let part = if self.len() > SMALL_BOOK { self.len() * SAMPLE_PERCENT / 100 } else { self.len() };
        let is_good = |entry: &&Entry| {
            entry.is_verified() && !entry.is_terrible(self.unix_seconds) && !entry.is_stale(self.unix_seconds)
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

/// Whether an entry is terrible. Those that are come last.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Worth {
    Something,
    Nothing,
}

/// Both clocks.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) time: Time,
    pub(super) unix_seconds: i64,
}

impl Held {
    /// How likely it is to be drawn. Zero while it waits after an attempt, and if it is not the turn of
    /// its like.
    pub(super) fn weight(&self, moment: Moment, worth: Worth) -> u64 {
        let is_turn = self.entry.is_terrible(moment.unix_seconds) == (worth == Worth::Nothing);
        if is_turn && self.retry_at <= moment.time { self.entry.weight() } else { 0 }
    }
}

/// One draw from the book.
struct Draw<'a, F> {
    held: &'a [Option<Held>],
    moment: Moment,
    rng: &'a mut Rng,
    skip: &'a mut F,
}

impl<F: FnMut(&SocketAddr, Group) -> bool> Draw<'_, F> {
    fn in_table(&mut self, table: &Table, worth: Worth) -> Option<SocketAddr> {
        let groups = table.groups();
        for _ in 0..GROUP_DRAWS.min(groups.len()) {
            let drawn = self.rng.pick(groups).and_then(|group| self.in_group(group, worth));
            if drawn.is_some() {
                return drawn;
            }
        }
        let mut left: Vec<&Members> = groups.iter().collect();
        while !left.is_empty() {
            let group = left.swap_remove(self.rng.below(left.len() as u64) as usize);
            let drawn = self.in_group(group, worth);
            if drawn.is_some() {
                return drawn;
            }
        }
        None
    }

    fn in_group(&mut self, group: &Members, worth: Worth) -> Option<SocketAddr> {
        for _ in 0..ADDRESS_DRAWS {
            let drawn = self.rng.pick(&group.ids).and_then(|id| self.candidate(*id, worth));
            if let Some((address, weight)) = drawn
                && self.rng.below(Entry::FULL_WEIGHT) < weight
            {
                return Some(address);
            }
        }
        let all: Vec<(SocketAddr, u64)> =
            group.ids.iter().filter_map(|id| self.candidate(*id, worth)).collect();
        let mut drawn = self.rng.below(all.iter().map(|(_, weight)| weight).sum());
        all.into_iter().find_map(|(address, weight)| {
            let is_it = drawn < weight;
            drawn = drawn.saturating_sub(weight);
            is_it.then_some(address)
        })
    }

    /// An address and its weight, if it can be drawn at all.
    fn candidate(&mut self, id: EntryId, worth: Worth) -> Option<(SocketAddr, u64)> {
        let held = self.held.get(id as usize)?.as_ref()?;
        let weight = held.weight(self.moment, worth);
        let address = held.entry.address;
        (weight > 0 && !(self.skip)(&address, held.group)).then_some((address, weight))
    }
}
