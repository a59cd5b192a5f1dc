//! One of the two tables: what stands in which slot, and what there is of each group.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use smallvec::SmallVec;

use crate::group::Group;

/// An entry, by its index in the book.
pub(super) type EntryId = u32;

/// The entries of one group, in no order.
#[derive(Debug)]
pub(super) struct Members {
    pub(super) group: Group,
    pub(super) ids: SmallVec<[EntryId; 4]>,
}

/// Slots and groups. Memory goes by what is in it, not by the number of slots.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: BTreeMap<u32, EntryId>,
    /// In no order, so that one can be drawn. None of them is empty.
    groups: Vec<Members>,
    /// Where a group is in `groups`.
    positions: BTreeMap<Group, usize>,
    sizes: BTreeSet<(usize, Group)>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn in_slot(&self, slot: u32) -> Option<EntryId> {
        self.slots.get(&slot).copied()
    }

    /// What stands in the slots, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, EntryId)> {
        self.slots.iter().map(|(slot, id)| (*slot, *id))
    }

    pub(super) fn groups(&self) -> &[Members] {
        &self.groups
    }

    pub(super) fn group_len(&self, group: Group) -> usize {
        self.positions.get(&group).and_then(|at| self.groups.get(*at)).map_or(0, |it| it.ids.len())
    }

    pub(super) fn largest_group(&self) -> Option<&Members> {
        let (_, group) = self.sizes.last()?;
        self.groups.get(*self.positions.get(group)?)
    }

    /// Puts an entry into a free slot. Returns its place among those of its group.
    pub(super) fn insert(&mut self, slot: u32, group: Group, id: EntryId) -> usize {
        let before = self.slots.insert(slot, id);
        debug_assert_eq!(before, None, "the slot is free");
        let position = *self.positions.entry(group).or_insert_with(|| {
            self.groups.push(Members { group, ids: SmallVec::new() });
            self.groups.len() - 1
        });
        let Some(members) = self.groups.get_mut(position) else { return 0 };
        let place = members.ids.len();
        members.ids.push(id);
        self.sizes.remove(&(place, group));
        self.sizes.insert((place + 1, group));
        place
    }

    /// Takes out what stands in a slot, at a place among those of its group. Returns which entry has
    /// that place now, if another one was moved there.
    pub(super) fn remove(&mut self, slot: u32, group: Group, place: usize) -> Option<EntryId> {
        self.slots.remove(&slot);
        let position = *self.positions.get(&group)?;
        let members = self.groups.get_mut(position)?;
        let len = members.ids.len();
        members.ids.swap_remove(place);
        let moved = members.ids.get(place).copied();
        self.sizes.remove(&(len, group));
        if len > 1 {
            self.sizes.insert((len - 1, group));
            return moved;
        }
        self.groups.swap_remove(position);
        self.positions.remove(&group);
        if let Some(members) = self.groups.get(position) {
            self.positions.insert(members.group, position);
        }
        None
    }

    /// Whether its parts say the same. For tests.
    pub(super) fn audit(&self) -> Result<(), &'static str> {
        let in_groups: usize = self.groups.iter().map(|members| members.ids.len()).sum();
        let sizes = self.groups.iter().map(|members| (members.ids.len(), members.group));
        let positions = self.groups.iter().enumerate().map(|(at, members)| (members.group, at));
        if in_groups != self.slots.len() {
            Err("what is in the groups is not what is in the slots")
        } else if self.groups.iter().any(|members| members.ids.is_empty()) {
            Err("a group is empty")
        } else if !sizes.collect::<BTreeSet<_>>().eq(&self.sizes) {
            Err("the sizes of groups are wrong")
        } else if !positions.collect::<BTreeMap<_, _>>().eq(&self.positions) {
            Err("the positions of groups are wrong")
        } else {
            Ok(())
        }
    }
}
