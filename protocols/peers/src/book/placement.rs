//! Which slot of the tables an address may stand in: a secret decides, not whoever tells it.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use spacetime_core::{Hash, Rng};

use crate::group::Group;

/// Buckets of the table of addresses that were only told (Bitcoin Core).
pub const NEW_BUCKETS: usize = 1024;
/// Buckets of the table of addresses that were reached (Bitcoin Core).
pub const TRIED_BUCKETS: usize = 256;
/// Addresses in one bucket (Bitcoin Core).
pub const BUCKET_SLOTS: usize = 64;
/// Buckets of the new table that what one source group tells can get into (Bitcoin Core).
pub const NEW_BUCKETS_PER_SOURCE_GROUP: usize = 64;
/// Buckets of the tried table that the addresses of one group can get into (Bitcoin Core).
pub const TRIED_BUCKETS_PER_GROUP: usize = 8;

/// The secret that decides where addresses stand. Whoever does not know it cannot aim.
///
/// Keep it for as long as the book: with another one, restored addresses get in each other's way.
#[derive(Clone, PartialEq, Eq)]
pub struct BucketKey([u8; 32]);

impl BucketKey {
    /// The key that was kept.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A new one.
    pub fn random(rng: &mut Rng) -> Self {
        Self(rng.bytes())
    }

    /// The bytes to keep. They are a secret.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The slot in the new table: one bucket per pair of group and source group.
    pub(super) fn new_slot(&self, address: SocketAddr, group: Group, source_group: Group) -> u32 {
        let (group, source_group) = (GroupBytes::of(group), GroupBytes::of(source_group));
        let choice = self.hash(b'n', &[&group, &source_group], NEW_BUCKETS_PER_SOURCE_GROUP);
        let bucket = self.hash(b'N', &[&source_group, &choice.to_le_bytes()], NEW_BUCKETS);
        self.slot(b'p', bucket, address)
    }

    /// The slot in the tried table.
    pub(super) fn tried_slot(&self, address: SocketAddr, group: Group) -> u32 {
        let choice = self.hash(b't', &[&address_bytes(address)], TRIED_BUCKETS_PER_GROUP);
        let bucket = self.hash(b'T', &[&GroupBytes::of(group), &choice.to_le_bytes()], TRIED_BUCKETS);
        self.slot(b'P', bucket, address)
    }

    fn slot(&self, use_for: u8, bucket: u32, address: SocketAddr) -> u32 {
        let place = self.hash(use_for, &[&bucket.to_le_bytes(), &address_bytes(address)], BUCKET_SLOTS);
        bucket * BUCKET_SLOTS as u32 + place
    }

    /// A number below `bound`, a power of two.
    fn hash(&self, use_for: u8, parts: &[&[u8]], bound: usize) -> u32 {
        todo!()
    }
}

struct GroupBytes;

impl GroupBytes {
    fn of(_: Group) -> [u8; 20] {
        todo!()
    }
}

fn address_bytes(_: SocketAddr) -> [u8; 18] {
    todo!()
}
