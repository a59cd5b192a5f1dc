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

    /// The slot in the new table. What one source group tells of one group is in one bucket.
    pub(super) fn new_slot(&self, address: SocketAddr, group: Group, source_group: Option<Group>) -> u32 {
        let (group, source_group) = (group_bytes(Some(group)), group_bytes(source_group));
        let choice = self.number(b'n', &group, &source_group) % NEW_BUCKETS_PER_SOURCE_GROUP as u64;
        let bucket = self.number(b'N', &source_group, &choice.to_le_bytes()) % NEW_BUCKETS as u64;
        self.slot(b'o', bucket, address)
    }

    /// The slot in the tried table.
    pub(super) fn tried_slot(&self, address: SocketAddr, group: Group) -> u32 {
        let choice = self.number(b't', &address_bytes(address), &[]) % TRIED_BUCKETS_PER_GROUP as u64;
        let bucket =
            self.number(b'T', &group_bytes(Some(group)), &choice.to_le_bytes()) % TRIED_BUCKETS as u64;
        self.slot(b'u', bucket, address)
    }

    fn slot(&self, purpose: u8, bucket: u64, address: SocketAddr) -> u32 {
        let place =
            self.number(purpose, &bucket.to_le_bytes(), &address_bytes(address)) % BUCKET_SLOTS as u64;
        (bucket * BUCKET_SLOTS as u64 + place) as u32
    }

    /// A number that only the key's owner can foresee. Each purpose has parts of fixed lengths.
    fn number(&self, purpose: u8, first: &[u8], second: &[u8]) -> u64 {
        let Hash([a, b, c, d, e, f, g, h, ..]) = Hash::of_parts(&[&self.0, &[purpose], first, second]);
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Debug for BucketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BucketKey")
    }
}

/// A group in 19 bytes: its kind and, from the left, what it is. All seeds are one group.
fn group_bytes(group: Option<Group>) -> [u8; 19] {
    match group {
        None => [0; 19],
        Some(Group::V4(prefix)) => padded(1, prefix),
        Some(Group::V6(prefix)) => padded(2, prefix),
        Some(Group::Asn(number)) => padded(3, number.to_be_bytes()),
        Some(Group::Private(address)) => padded(4, address_bytes(address)),
    }
}

fn padded<const N: usize>(kind: u8, what: [u8; N]) -> [u8; 19] {
    let mut bytes = [0; 19];
    let all = [kind].into_iter().chain(what);
    bytes.iter_mut().zip(all).for_each(|(to, from)| *to = from);
    bytes
}

fn address_bytes(address: SocketAddr) -> [u8; 18] {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut bytes = [0; 18];
    let all = ip.octets().into_iter().chain(address.port().to_be_bytes());
    bytes.iter_mut().zip(all).for_each(|(to, from)| *to = from);
    bytes
}
