//! What outlives the process, apart from the book.

use alloc::vec::Vec;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::bans::Ban;
use crate::book::{BucketKey, Record};
use crate::reputation::Standing;
use crate::target::Target;

/// What outlives the process, apart from the records of the book: small, and written at once when
/// somebody changes it by hand.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct State {
    /// The secret that decides where addresses stand in the book, as 64 hexadecimal digits.
    #[serde(with = "key_text")]
    pub bucket_key: BucketKey,
    /// Whom to dial first.
    #[serde(default)]
    pub anchors: Vec<SocketAddr>,
    /// Who is not let in.
    #[serde(default)]
    pub bans: Vec<Ban>,
    /// Who always is.
    #[serde(default)]
    pub trusted: Vec<Target>,
    /// What peers have earned.
    #[serde(default)]
    pub standings: Vec<Standing>,
}

/// What was stored by a former process. Trusted no more than what a peer tells: it is cut to the
/// limits and checked like that.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Stored {
    /// The book.
    pub records: Vec<Record>,
    /// The rest.
    pub state: Option<State>,
}

impl Stored {
    /// These records, and this state if there is one.
    pub const fn new(records: Vec<Record>, state: Option<State>) -> Self {
        Self { records, state }
    }
}

/// Keys in stored files.
mod key_text {
    use alloc::string::String;

    use serde::{Deserialize as _, Deserializer, Serializer, de};
    use spacetime_core::Hash;

    use crate::book::BucketKey;

    pub(super) fn serialize<S: Serializer>(key: &BucketKey, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Hash(*key.as_bytes()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BucketKey, D::Error> {
        let Hash(bytes) = String::deserialize(from)?.parse().map_err(de::Error::custom)?;
        Ok(BucketKey::from_bytes(bytes))
    }
}
