//! The address book: which addresses there are, what is known of them, and which to dial next.

mod config;
mod entry;
mod placement;

use alloc::vec::Vec;
use core::net::SocketAddr;

use spacetime_core::{Now, PeerId, Rng};

pub use config::{Added, BookConfig, MAX_ENTRIES, NotAdded, Purpose};
pub use entry::{Entry, Record, Source};
pub use placement::BucketKey;

use crate::group::{Group, Grouping};

/// The address book. See the [module](self).
#[derive(Debug)]
pub struct AddressBook {
    grouping: Grouping,
}

#[allow(unused_variables, missing_docs)]
impl AddressBook {
    /// An empty book.
    pub fn new(config: BookConfig, key: BucketKey, rng: &Rng) -> Self {
        todo!()
    }

    /// The key to keep with the records.
    pub fn key(&self) -> &BucketKey {
        todo!()
    }

    /// How addresses are grouped.
    pub const fn grouping(&self) -> &Grouping {
        &self.grouping
    }

    /// Takes in an address that somebody told.
    pub fn add(&mut self, address: SocketAddr, source: Source, now: Now) -> Result<Added, NotAdded> {
        todo!()
    }

    /// Forgets an address.
    pub fn remove(&mut self, address: SocketAddr) -> Option<Entry> {
        todo!()
    }

    /// What is known of an address.
    pub fn get(&self, address: SocketAddr) -> Option<&Entry> {
        todo!()
    }

    /// All of them, in no order that means anything, the same for the same history.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        core::iter::empty()
    }

    /// How many addresses there are, new and tried.
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        todo!()
    }

    /// How many of them were reached.
    pub fn tried_len(&self) -> usize {
        todo!()
    }

    /// It is being dialled.
    pub fn record_attempt(&mut self, address: SocketAddr, now: Now) {}

    /// A session with it was established: it moves to the tried table, or becomes a candidate for the
    /// place of the address that is there.
    pub fn record_success(&mut self, address: SocketAddr, peer_id: Option<PeerId>, now: Now) {}

    /// The dial came to nothing.
    pub fn record_failure(&mut self, address: SocketAddr, now: Now) {}

    /// The session with it lives.
    pub fn record_seen(&mut self, address: SocketAddr, now: Now) {}

    /// An address to dial: a random group, then a random address in it.
    pub fn select(
        &mut self,
        purpose: Purpose,
        now: Now,
        skip: impl FnMut(&SocketAddr, Group) -> bool,
    ) -> Option<SocketAddr> {
        todo!()
    }

    /// The tried address that should be dialled next, because another one wants its place.
    pub fn pending_test(&mut self, now: Now) -> Option<SocketAddr> {
        todo!()
    }

    /// Random addresses to tell others: at most `max_count`, 1000, and 23 % of a book of more than 100.
    pub fn sample(&mut self, max_count: usize, now: Now) -> Vec<SocketAddr> {
        todo!()
    }

    /// The addresses of the highest quality.
    pub fn best(&self, count: usize, excluded: &[SocketAddr]) -> Vec<SocketAddr> {
        todo!()
    }

    /// Forgets what is stale. Returns how many.
    pub fn remove_stale(&mut self, now: Now) -> usize {
        todo!()
    }

    /// Forgets what was tried often enough and failed too often. Returns how many.
    pub fn remove_poor(&mut self, min_quality: f64, min_attempts: u32) -> usize {
        todo!()
    }

    /// What to store.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        self.entries().map(Record::from)
    }

    /// Takes in a stored record.
    pub fn restore(&mut self, record: Record, now: Now) -> Result<(), NotAdded> {
        todo!()
    }

    /// The probability that `draws` outbound addresses, each of another group, are all an attacker's.
    pub fn capture_probability(
        &self,
        draws: usize,
        now: Now,
        is_attacker: impl Fn(&SocketAddr) -> bool,
    ) -> f64 {
        todo!()
    }
}
