//! The address book: which addresses there are, what is known of them, and which to dial next.
//!
//! # What it promises
//!
//! Whoever tells it addresses cannot take it over, however many they are.
//!
//! * An address that was told stands in the *new* table, one that was reached in the *tried* table. A
//!   secret [`BucketKey`] decides in which slot: what one source group tells can get into 64 of the
//!   1024 buckets of the new table, the addresses of one group into 8 of the 256 of the tried table
//!   (Bitcoin Core). Each address has one slot.
//! * What is worth keeping is not replaced. In the new table only a [terrible](Entry::is_terrible)
//!   address gives way. In the tried table an address that wants a taken slot waits, with at most 9
//!   others, until the one that has it was [tested](AddressBook::pending_test): it gives way if it
//!   cannot be reached, or was not seen for 4 hours and nobody came to test it in 40 minutes.
//! * An address to dial is drawn by [group first](AddressBook::select), so that many addresses in few
//!   groups are worth little.
//! * Hearsay adds addresses. About one that the book knows it changes nothing but
//!   [when it was last told](Entry::last_told), which matters only as long as it was never reached.
//! * Failures count only while anything can be reached: a night without a network costs nothing.
//!
//! ```text
//!           told                  reached, slot free or its owner failed
//!  (nobody) ----> new, 1024 x 64 ---------------------------------------> tried, 256 x 64
//!                  |     ^                                                 |         |
//!        removed   |     +---- lost its slot to another one ---------------+         | removed
//!                  v                                                                 v
//! ```
//!
//! # What an attacker gets
//!
//! 200 runs of `cargo bench --bench eclipse`, which also describes the model: 30 days of an attack at
//! the legal rate by 20 connections, a restart, then 8 outbound addresses. "By slot" is what Bitcoin
//! Core's selection would make of the same tables.
//!
//! | attacker's groups x addresses | of tried | of new | one draw | all 8 | all 8 by slot |
//! |---|---|---|---|---|---|
//! | 64 x 256 | 11 % | 73 % | 4.5 % | 1.0e-11 | 7.6e-4 |
//! | 256 x 256 | 33 % | 90 % | 16 % | 4.2e-7 | 2.0e-2 |
//!
//! 24 hours of made-up addresses from 100 connections cost a book 0.00 % of the honest addresses in its
//! tried table and 0.01 % of those in its new one. It finds new ones more slowly meanwhile: after that
//! day it has 2 % and 1.4 % fewer than without the flood.
//!
//! # Time
//!
//! Waiting goes by the monotonic clock. Stamps are unix seconds, since they outlive the process; when
//! that clock jumps by more than a minute, all stamps move with it, so ages stay what they are.
//!
//! # Limits
//!
//! [`MAX_ENTRIES`] addresses or [fewer](BookConfig::max_entries), about 360 bytes each; 10 of one
//! subnet. Adding, drawing and recording are O(log n); [`best`](AddressBook::best),
//! [`sample`](AddressBook::sample) and the removal of what is stale or poor walk the whole book.

mod audit;
mod config;
mod entry;
mod hold;
mod odds;
mod outcome;
mod placement;
mod restore;
mod room;
mod select;
mod table;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;

use spacetime_core::{Now, Rng, Time};

pub use config::{Added, BookConfig, MAX_ENTRIES, NotAdded, Purpose};
pub use entry::{
    Entry, FAILING_SECONDS, FIRST_RETRY, LIFETIME_SECONDS, LONGEST_RETRY, MAX_FAILURES_IN_A_ROW,
    MAX_FAILURES_WITHOUT_SUCCESS, Record, Source, UNVERIFIED_LIFETIME_SECONDS,
};
pub use outcome::{MAX_PENDING_TESTS, RECENTLY_SEEN_SECONDS, TEST_WINDOW};
pub use placement::{
    BUCKET_SLOTS, BucketKey, NEW_BUCKETS, NEW_BUCKETS_PER_SOURCE_GROUP, TRIED_BUCKETS,
    TRIED_BUCKETS_PER_GROUP,
};
pub use select::MAX_SAMPLE;

use self::outcome::Pending;
use self::table::{EntryId, Table};
use crate::group::{Group, Grouping, canonical};

/// An entry and where it stands.
#[derive(Debug)]
struct Held {
    entry: Entry,
    group: Group,
    slot: u32,
    /// Among the entries of its group in its table.
    place: usize,
    /// Not dialled before.
    retry_at: Time,
    /// How many successes the book had seen when a failure of this one was last counted.
    counted_at: u64,
}

/// The address book. See the [module](self).
#[derive(Debug)]
pub struct AddressBook {
    config: BookConfig,
    grouping: Grouping,
    key: BucketKey,
    rng: Rng,
    held: Vec<Option<Held>>,
    /// Indexes of `held` that are free.
    free: Vec<EntryId>,
    /// In the order of addresses, so those of a subnet are next to each other.
    ids: BTreeMap<SocketAddr, EntryId>,
    new: Table,
    tried: Table,
    pending: Vec<Pending>,
    /// Of all addresses together, since the start; one at first, so that every address may fail once.
    successes: u64,
    unix_seconds: i64,
    /// What the unix clock showed at `Time::ZERO`.
    unix_at_zero: Option<i64>,
}

impl AddressBook {
    /// An empty book. With the same key, the same records get the same slots.
    pub fn new(config: BookConfig, key: BucketKey, rng: &Rng) -> Self {
        Self {
            grouping: Grouping::new(config.rules, config.asns.clone()),
            config,
            key,
            rng: rng.fork("address book"),
            held: Vec::new(),
            free: Vec::new(),
            ids: BTreeMap::new(),
            new: Table::default(),
            tried: Table::default(),
            pending: Vec::new(),
            successes: 1,
            unix_seconds: 0,
            unix_at_zero: None,
        }
    }

    /// The secret to keep with the records.
    pub const fn key(&self) -> &BucketKey {
        &self.key
    }

    /// How addresses are grouped.
    pub const fn grouping(&self) -> &Grouping {
        &self.grouping
    }

    /// How many addresses there are, new and tried.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// How many of them are in the tried table.
    pub fn tried_len(&self) -> usize {
        self.tried.len()
    }

    /// What is known of an address.
    pub fn get(&self, address: SocketAddr) -> Option<&Entry> {
        self.held(self.id(address)?).map(|held| &held.entry)
    }

    /// All there is, in the order of addresses.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.ids.values().filter_map(|id| Some(&self.held(*id)?.entry))
    }

    /// Takes in an address that somebody told. [`Source::Announced`] and [`Source::Configured`] are no
    /// hearsay: they also bring up to date what the book knows.
    ///
    /// # Errors
    ///
    /// The rules do not admit it, or there is no place for it. Nothing has changed then.
    pub fn add(&mut self, address: SocketAddr, source: Source, now: Now) -> Result<Added, NotAdded> {
        self.follow(now);
        let address = canonical(address);
        if let Some(id) = self.id(address) {
            self.hear_again(id, source);
            return Ok(Added::Known);
        }
        self.config.rules.check(address)?;
        self.take_in(Entry::new(address, source, self.unix_seconds), now.time)?;
        Ok(Added::New)
    }

    /// Forgets an address.
    pub fn remove(&mut self, address: SocketAddr) -> Option<Entry> {
        self.forget(self.id(address)?)
    }

    /// Forgets what is [stale](Entry::is_stale): not seen for 24 hours if it was never reached, else
    /// for 30 days. Returns how many it were.
    ///
    /// Nothing needs this to be called: what is worth nothing gives way when its slot is wanted.
    /// Under a flood of made-up addresses, what was forgotten here does not get back in.
    pub fn remove_stale(&mut self, now: Now) -> usize {
        self.follow(now);
        let unix_seconds = self.unix_seconds;
        self.remove_if(|entry| entry.is_stale(unix_seconds))
    }

    /// Forgets what was dialled at least `min_attempts` times and has less than this
    /// [quality](Entry::quality). Returns how many it were.
    pub fn remove_poor(&mut self, min_quality: f64, min_attempts: u32) -> usize {
        self.remove_if(|entry| {
            entry.success_count.saturating_add(entry.failure_count) >= min_attempts
                && entry.quality() < min_quality
        })
    }

    fn remove_if(&mut self, mut is_unwanted: impl FnMut(&Entry) -> bool) -> usize {
        let unwanted: Vec<EntryId> = (0..)
            .zip(&self.held)
            .filter(|(_, held)| held.as_ref().is_some_and(|held| is_unwanted(&held.entry)))
            .map(|(id, _)| id)
            .collect();
        for id in &unwanted {
            self.forget(*id);
        }
        unwanted.len()
    }
}
