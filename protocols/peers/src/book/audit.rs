//! Whether a book is what it promises to be. For tests.

use alloc::collections::{BTreeMap, BTreeSet};

use super::AddressBook;
use super::config::MAX_ENTRIES;
use super::outcome::MAX_PENDING_TESTS;
use super::placement::{BUCKET_SLOTS, NEW_BUCKETS_PER_SOURCE_GROUP, TRIED_BUCKETS_PER_GROUP};
use crate::group::{Subnet, canonical};

impl AddressBook {
    /// Checks every promise about what is where. Walks the whole book: for tests and simulations.
    ///
    /// # Errors
    ///
    /// What is wrong. That is a bug.
    pub fn audit(&self) -> Result<(), &'static str> {
        self.new.audit()?;
        self.tried.audit()?;
        self.audit_numbers()?;
        let mut subnets: BTreeMap<Subnet, usize> = BTreeMap::new();
        let mut new_buckets: BTreeMap<_, BTreeSet<u32>> = BTreeMap::new();
        let mut tried_buckets: BTreeMap<_, BTreeSet<u32>> = BTreeMap::new();
        for (address, id) in &self.ids {
            let held = self.held(*id).ok_or("an address leads to no entry")?;
            let (entry, group) = (&held.entry, self.grouping.group(*address));
            if entry.address != *address || canonical(*address) != *address {
                return Err("an address leads to the entry of another one");
            }
            if self.config.rules.check(*address).is_err() {
                return Err("an entry is not admitted");
            }
            if entry.is_tried && !entry.is_verified() {
                return Err("an entry is tried that was never reached");
            }
            *subnets.entry(self.grouping.subnet(*address)).or_default() += 1;
            let (table, slot, buckets) = if entry.is_tried {
                let buckets = tried_buckets.entry(group).or_default();
                (&self.tried, self.key.tried_slot(*address, group), buckets)
            } else {
                let source_group = self.source_group(entry.source, group);
                let slot = self.key.new_slot(*address, group, source_group);
                (&self.new, slot, new_buckets.entry(source_group).or_default())
            };
            buckets.insert(slot / BUCKET_SLOTS as u32);
            if held.group != group || held.slot != slot || table.in_slot(slot) != Some(*id) {
                return Err("an entry stands where its hash does not say");
            }
            let members = table.groups().iter().find(|members| members.group == group);
            if members.and_then(|members| members.ids.get(held.place)) != Some(id) {
                return Err("an entry is not in its place in its group");
            }
        }
        if subnets.values().any(|count| *count > self.config.max_per_subnet) {
            return Err("a subnet has too many entries");
        }
        if new_buckets.values().any(|buckets| buckets.len() > NEW_BUCKETS_PER_SOURCE_GROUP) {
            return Err("a source group has too many buckets");
        }
        if tried_buckets.values().any(|buckets| buckets.len() > TRIED_BUCKETS_PER_GROUP) {
            return Err("a group has too many buckets of the tried table");
        }
        Ok(())
    }

    fn audit_numbers(&self) -> Result<(), &'static str> {
        let held = self.held.iter().flatten().count();
        if held != self.ids.len() || held != self.new.len() + self.tried.len() {
            return Err("entries, addresses and tables differ in number");
        }
        if held + self.free.len() != self.held.len() {
            return Err("a free place is lost");
        }
        if held > self.config.max_entries.min(MAX_ENTRIES) {
            return Err("there are too many entries");
        }
        if self.pending.len() > MAX_PENDING_TESTS {
            return Err("too many wait for a test");
        }
        Ok(())
    }
}
