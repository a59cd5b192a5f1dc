//! How entries are kept and moved, and the clock that their stamps follow.

use core::net::SocketAddr;

use spacetime_core::{Now, Time};

use super::entry::Entry;
use super::table::{EntryId, Table};
use super::{AddressBook, Held};
use crate::group::Group;

/// The latest moment that a unix clock is believed to show: in 34,000 years.
const MAX_UNIX_SECONDS: i64 = 1 << 40;
/// A clock that is less than this from where it was expected, in seconds, has not jumped.
const JUMP_SECONDS: u64 = 60;

impl AddressBook {
    pub(super) fn id(&self, address: SocketAddr) -> Option<EntryId> {
        self.ids.get(&address).copied()
    }

    pub(super) fn held(&self, id: EntryId) -> Option<&Held> {
        self.held.get(id as usize)?.as_ref()
    }

    pub(super) fn held_mut(&mut self, id: EntryId) -> Option<&mut Held> {
        self.held.get_mut(id as usize)?.as_mut()
    }

    pub(super) const fn table_mut(&mut self, is_tried: bool) -> &mut Table {
        if is_tried { &mut self.tried } else { &mut self.new }
    }

    /// Takes in an entry that the book does not have, in a free slot of the table that it says.
    pub(super) fn hold(&mut self, entry: Entry, group: Group, slot: u32, retry_at: Time) {
        let (address, is_tried) = (entry.address, entry.is_tried);
        let held = Held { entry, group, slot, place: 0, retry_at, counted_at: 0 };
        let id = self.free.pop().unwrap_or(self.held.len() as EntryId);
        match self.held.get_mut(id as usize) {
            Some(free) => *free = Some(held),
            None => self.held.push(Some(held)),
        }
        self.ids.insert(address, id);
        self.put(id, is_tried, slot);
    }

    /// Puts an entry that stands nowhere into a free slot.
    pub(super) fn put(&mut self, id: EntryId, is_tried: bool, slot: u32) {
        let Some(group) = self.held(id).map(|held| held.group) else { return };
        let place = self.table_mut(is_tried).insert(slot, group, id);
        if let Some(held) = self.held_mut(id) {
            held.entry.is_tried = is_tried;
            held.slot = slot;
            held.place = place;
        }
    }

    /// Takes an entry out of its slot. It stands nowhere then.
    pub(super) fn lift(&mut self, id: EntryId) {
        let Some(&Held { ref entry, group, slot, place, .. }) = self.held(id) else { return };
        let is_tried = entry.is_tried;
        let moved = self.table_mut(is_tried).remove(slot, group, place);
        if let Some(moved) = moved.and_then(|moved| self.held_mut(moved)) {
            moved.place = place;
        }
    }

    pub(super) fn forget(&mut self, id: EntryId) -> Option<Entry> {
        self.lift(id);
        self.forget_lifted(id)
    }

    /// Forgets an entry that stands nowhere, and that it waits for a place: who is told of again under
    /// the same address was not reached.
    pub(super) fn forget_lifted(&mut self, id: EntryId) -> Option<Entry> {
        let held = self.held.get_mut(id as usize)?.take()?;
        self.free.push(id);
        self.ids.remove(&held.entry.address);
        self.pending.retain(|pending| pending.candidate != held.entry.address);
        Some(held.entry)
    }

    /// Reads the unix clock. If it has jumped, the stamps jump with it.
    pub(super) fn follow(&mut self, now: Now) {
        self.unix_seconds = now.unix_seconds.clamp(0, MAX_UNIX_SECONDS);
        let at_zero = self.unix_seconds - now.time.since(Time::ZERO).as_secs().cast_signed();
        let jump = at_zero - *self.unix_at_zero.get_or_insert(at_zero);
        if jump.unsigned_abs() > JUMP_SECONDS {
            self.unix_at_zero = Some(at_zero);
            for stamp in self.held.iter_mut().flatten().flat_map(|held| held.entry.stamps_mut()) {
                *stamp = stamp.saturating_add(jump);
            }
        }
    }
}
