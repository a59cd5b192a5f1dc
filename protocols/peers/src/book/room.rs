//! Room for one more address: who gives way to it, if anybody.

use smallvec::SmallVec;
use spacetime_core::Time;

use super::AddressBook;
use super::config::{MAX_ENTRIES, NotAdded};
use super::entry::{Entry, Source};
use super::table::EntryId;
use crate::group::Group;

/// An address that was dialled less than this ago, in seconds, keeps its place: the dial may be under
/// way (Bitcoin Core).
const DIALLING_SECONDS: i64 = 60;
/// How many of the largest group are looked at for the worst one, so that it costs the same however
/// large the group is.
const WORST_OF: usize = 32;

impl AddressBook {
    /// Takes in an entry that the book does not have: in the tried table if it says so and its slot
    /// is free, else in the new one.
    pub(super) fn take_in(&mut self, mut entry: Entry, retry_at: Time) -> Result<(), NotAdded> {
        let group = self.grouping.group(entry.address);
        let tried_slot = entry.is_tried.then(|| self.key.tried_slot(entry.address, group));
        let tried_slot = tried_slot.filter(|slot| self.tried.in_slot(*slot).is_none());
        entry.is_tried = tried_slot.is_some();
        let slot = tried_slot.unwrap_or_else(|| self.new_slot(&entry, group));

        let mut leaving = SmallVec::<[EntryId; 3]>::new();
        if !entry.is_tried {
            leaving.extend(self.owner_to_replace(slot, entry.source)?);
        }
        leaving.extend(self.neighbour_to_replace(&entry, &leaving)?);
        if self.len() - leaving.len() >= self.config.max_entries.min(MAX_ENTRIES) {
            leaving.push(self.worst_of_the_largest_group(group).ok_or(NotAdded::Full)?);
        }
        for id in leaving {
            self.forget(id);
        }
        self.hold(entry, group, slot, retry_at);
        Ok(())
    }

    /// Somebody tells an address that the book knows. If it was hearsay until now, and its own host or
    /// the user says so, it counts as told by itself, in the slot for that if it can have it.
    pub(super) fn hear_again(&mut self, id: EntryId, source: Source) {
        let unix_seconds = self.unix_seconds;
        let Some(held) = self.held_mut(id) else { return };
        held.entry.last_told = unix_seconds;
        if held.entry.is_verified() || is_hearsay(source) {
            return;
        }
        held.entry.last_seen = unix_seconds;
        if held.entry.source == source || held.entry.is_announced() {
            return;
        }
        let told = Entry { source, ..held.entry.clone() };
        let (group, slot_before) = (held.group, held.slot);
        let slot = self.new_slot(&told, group);
        if slot != slot_before {
            let Ok(owner) = self.owner_to_replace(slot, source) else { return };
            if let Some(owner) = owner {
                self.forget(owner);
            }
            self.lift(id);
            self.put(id, false, slot);
        }
        if let Some(held) = self.held_mut(id) {
            held.entry.source = source;
        }
    }

    pub(super) fn new_slot(&self, entry: &Entry, group: Group) -> u32 {
        self.key.new_slot(entry.address, group, self.source_group(entry.source, group))
    }

    /// The group of who told an address of `group`; none for all seeds.
    pub(super) fn source_group(&self, source: Source, group: Group) -> Option<Group> {
        match source {
            Source::Configured | Source::Announced => Some(group),
            Source::Seed => None,
            Source::Peer(peer) => Some(self.grouping.group(peer)),
        }
    }

    /// Who has a slot of the new table and gives way: a worthless address, and for one that the user
    /// wants, any that was never reached.
    pub(super) fn owner_to_replace(&self, slot: u32, source: Source) -> Result<Option<EntryId>, NotAdded> {
        let Some(owner) = self.new.in_slot(slot) else { return Ok(None) };
        let is_less = |owner: &Entry| {
            let is_wanted = owner.is_verified() || owner.source == Source::Configured;
            source == Source::Configured && !is_wanted && !self.is_dialling(owner)
        };
        let gives_way = self.gives_way(owner) || self.held(owner).is_some_and(|it| is_less(&it.entry));
        if gives_way { Ok(Some(owner)) } else { Err(NotAdded::SlotTaken) }
    }

    /// Which address of a crowded subnet gives way to an entry: a worthless one, or for an address that
    /// somebody vouches for, one that is mere hearsay.
    fn neighbour_to_replace(&self, entry: &Entry, leaving: &[EntryId]) -> Result<Option<EntryId>, NotAdded> {
        let (first, last) = self.grouping.subnet(entry.address).bounds();
        let neighbours = || {
            let all = self.ids.range(first..=last).map(|(_, id)| *id);
            all.filter(|id| !leaving.contains(id)).take(self.config.max_per_subnet)
        };
        if neighbours().count() < self.config.max_per_subnet {
            return Ok(None);
        }
        let vouched_for = entry.is_verified() || !is_hearsay(entry.source);
        let is_worse = |neighbour: &Entry| {
            vouched_for
                && !neighbour.is_verified()
                && is_hearsay(neighbour.source)
                && !self.is_dialling(neighbour)
        };
        neighbours()
            .find(|id| self.gives_way(*id) || self.held(*id).is_some_and(|held| is_worse(&held.entry)))
            .map(Some)
            .ok_or(NotAdded::SubnetFull)
    }

    /// Which address gives way in a full book: a worthless one of the largest group in the new table,
    /// or any if the groups become more equal by it.
    fn worst_of_the_largest_group(&mut self, newcomer: Group) -> Option<EntryId> {
        let largest = self.new.largest_group()?;
        let len = largest.ids.len();
        let mut worst = None;
        for at in 0..len.min(WORST_OF) {
            let id = if len > WORST_OF { self.rng.pick(&largest.ids) } else { largest.ids.get(at) };
            let held = id.and_then(|id| Some((*id, self.held.get(*id as usize)?.as_ref()?)));
            let Some((id, held)) = held.filter(|(_, held)| !self.is_dialling(&held.entry)) else { continue };
            let is_fresh =
                !held.entry.is_terrible(self.unix_seconds) && !held.entry.is_stale(self.unix_seconds);
            let rank = (is_fresh, held.entry.last_seen, id);
            worst = Some(worst.map_or(rank, |before| rank.min(before)));
        }
        let (is_fresh, _, id) = worst?;
        (!is_fresh || len >= self.new.group_len(newcomer) + 2).then_some(id)
    }

    /// Whether an entry of the new table is worth nothing. One of the tried table never gives way here.
    fn gives_way(&self, id: EntryId) -> bool {
        self.held(id).is_some_and(|held| {
            let entry = &held.entry;
            !entry.is_tried && entry.is_terrible(self.unix_seconds) && !self.is_dialling(entry)
        })
    }

    fn is_dialling(&self, entry: &Entry) -> bool {
        entry.last_attempt.is_some_and(|at| self.unix_seconds.saturating_sub(at) < DIALLING_SECONDS)
    }
}

const fn is_hearsay(source: Source) -> bool {
    matches!(source, Source::Peer(_) | Source::Seed)
}
