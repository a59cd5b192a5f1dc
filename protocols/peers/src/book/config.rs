//! How large the book is and what it takes.

use alloc::sync::Arc;
use core::fmt;

use super::placement::{BUCKET_SLOTS, NEW_BUCKETS, TRIED_BUCKETS};
use crate::admission::{AddressRules, NotAdmitted};
use crate::group::AsnMap;

/// Addresses that the tables can hold: 65,536 new and 16,384 tried.
pub const MAX_ENTRIES: usize = (NEW_BUCKETS + TRIED_BUCKETS) * BUCKET_SLOTS;

/// How large the book is and what it takes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BookConfig {
    /// Which addresses may enter.
    pub rules: AddressRules,
    /// The autonomous systems of networks, to group by them.
    pub asns: Option<Arc<AsnMap>>,
    /// Addresses at most; [`MAX_ENTRIES`] if it is more. The seed's book holds 10,000.
    pub max_entries: usize,
    /// Addresses of one [`Subnet`](crate::Subnet) at most: 10 (seed).
    pub max_per_subnet: usize,
}

impl Default for BookConfig {
    fn default() -> Self {
        Self { rules: AddressRules::default(), asns: None, max_entries: MAX_ENTRIES, max_per_subnet: 10 }
    }
}

/// What became of an address that was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Added {
    /// The book did not know it.
    New,
    /// It was there already. Only its own host's word changes anything about it then.
    Known,
}

/// Why an address did not get into the book.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NotAdded {
    /// The rules do not admit it.
    NotAdmitted(NotAdmitted),
    /// Its subnet has its share of the book.
    SubnetFull,
    /// The slot that it could have holds an address that is still worth keeping.
    SlotTaken,
    /// The book is full of addresses that are still worth keeping, in groups no larger than its own.
    Full,
    /// A stored record of an address that is [terrible](super::Entry::is_terrible).
    Terrible,
}

impl From<NotAdmitted> for NotAdded {
    fn from(why: NotAdmitted) -> Self {
        Self::NotAdmitted(why)
    }
}

impl fmt::Display for NotAdded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAdmitted(why) => return why.fmt(f),
            Self::SubnetFull => "the book has enough addresses of this subnet",
            Self::SlotTaken => "its slot in the book holds an address that is still worth keeping",
            Self::Full => "the book is full of addresses that are still worth keeping",
            Self::Terrible => "it was not seen for a long time, or fails all the time",
        })
    }
}

impl core::error::Error for NotAdded {}

/// What an address is wanted for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// To keep a connection: one that was reached before or one that was told, with equal chance.
    Outbound,
    /// To find out whether it can be reached: one that was told.
    Feeler,
}
