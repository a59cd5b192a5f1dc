//! `peers.json`: an array with one object per address, a line each.

use std::fmt;
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};

use serde::de::{self, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use spacetime_core::PeerId;
use spacetime_peers::book::{MAX_ENTRIES, Record, Source};

use super::date::Date;

/// An address as it is stored. The reference has the fields whose names begin with a capital, and
/// ignores the others.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(in super::super) struct StoredAddress {
    #[serde(rename = "Address")]
    pub(in super::super) address: IpAddr,
    #[serde(rename = "Port")]
    pub(in super::super) port: u16,
    #[serde(rename = "FirstSeen", default)]
    pub(in super::super) first_seen: Option<Date>,
    #[serde(rename = "LastSeen")]
    pub(in super::super) last_seen: Date,
    #[serde(rename = "LastAttempt", default, with = "never")]
    pub(in super::super) last_attempt: Option<Date>,
    #[serde(rename = "SuccessCount", default, deserialize_with = "count")]
    pub(in super::super) success_count: u32,
    #[serde(rename = "FailureCount", default, deserialize_with = "count")]
    pub(in super::super) failure_count: u32,
    #[serde(rename = "Source", default)]
    reference_source: ReferenceSource,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) told_by: Option<ToldBy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_told: Option<Date>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_success: Option<Date>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failures_in_a_row: Option<u32>,
    #[serde(default)]
    pub(in super::super) is_tried: bool,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "peer_id_text")]
    peer_id: Option<PeerId>,
}

impl From<Record> for StoredAddress {
    fn from(record: Record) -> Self {
        Self {
            address: record.address.ip(),
            port: record.address.port(),
            first_seen: Some(Date::new(record.first_seen)),
            last_seen: Date::new(record.last_seen),
            last_attempt: record.last_attempt.map(Date::new),
            success_count: record.success_count,
            failure_count: record.failure_count,
            reference_source: ReferenceSource,
            told_by: Some(ToldBy(record.source)),
            last_told: Some(Date::new(record.last_told)),
            last_success: record.last_success.map(Date::new),
            failures_in_a_row: Some(record.failures_in_a_row),
            is_tried: record.is_tried,
            peer_id: record.peer_id,
        }
    }
}

impl From<StoredAddress> for Record {
    fn from(stored: StoredAddress) -> Self {
        let address = SocketAddr::new(stored.address, stored.port);
        let seconds = |date: Date| date.unix_seconds;
        let last_seen = stored.last_seen.unix_seconds;
        // The reference does not count them; if nothing else ever happened, all failures were.
        let failures_in_a_row = if stored.success_count == 0 { stored.failure_count } else { 0 };
        Self {
            address,
            // The reference does not say who told it. With each address as its own source, what one
            // network could have told gets into as few places as if it had told it to this node.
            source: stored.told_by.map_or(Source::Peer(address), |ToldBy(source)| source),
            peer_id: stored.peer_id,
            first_seen: stored.first_seen.map_or(last_seen, seconds),
            last_seen,
            last_told: stored.last_told.map_or(last_seen, seconds),
            last_attempt: stored.last_attempt.map(seconds),
            last_success: stored.last_success.map(seconds),
            success_count: stored.success_count,
            failure_count: stored.failure_count,
            failures_in_a_row: stored.failures_in_a_row.unwrap_or(failures_in_a_row),
            is_tried: stored.is_tried,
        }
    }
}

/// The reference's `Source` is an enumeration, as a number or a name. Whatever it says, an address of
/// another node's book is hearsay; the first of its values can be read with every setting.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct ReferenceSource;

impl Serialize for ReferenceSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(0)
    }
}

impl<'de> Deserialize<'de> for ReferenceSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// Who told an address: a word, or the address of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) struct ToldBy(Source);

impl fmt::Display for ToldBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Source::Configured => f.pad("configured"),
            Source::Seed => f.pad("seed"),
            Source::Announced => f.pad("announced"),
            Source::Peer(peer) => peer.fmt(f),
        }
    }
}

impl Serialize for ToldBy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ToldBy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match String::deserialize(deserializer)?.as_str() {
            "configured" => Source::Configured,
            "seed" => Source::Seed,
            "announced" => Source::Announced,
            peer => Source::Peer(peer.parse().map_err(de::Error::custom)?),
        }))
    }
}

/// The reference counts in a signed type.
fn count<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let count = i64::deserialize(from)?;
    Ok(u32::try_from(count.max(0)).unwrap_or(u32::MAX))
}

/// A date that may be `null`. It is written as the year 1, which can be read whether the reader's type
/// has a null or not.
mod never {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::Date;

    pub(super) fn serialize<S: Serializer>(date: &Option<Date>, serializer: S) -> Result<S::Ok, S::Error> {
        date.unwrap_or(Date::NEVER).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Date>, D::Error> {
        Ok(Option::<Date>::deserialize(from)?.filter(|date| date.unix_seconds > 0))
    }
}

mod peer_id_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de};
    use spacetime_core::PeerId;

    pub(super) fn serialize<S: Serializer>(id: &Option<PeerId>, serializer: S) -> Result<S::Ok, S::Error> {
        match id {
            Some(id) => serializer.collect_str(id),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PeerId>, D::Error> {
        Option::<String>::deserialize(from)?.map(|text| text.parse().map_err(de::Error::custom)).transpose()
    }
}

/// A file that is an array.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) records: Vec<Record>,
    /// Which entries make no sense, counted from 0, and why.
    pub(super) unreadable: Vec<(usize, String)>,
}

/// Reads a file. An entry that makes no sense is left out; the others do not depend on it.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, String> {
    // .NET writes a byte order mark if it is asked for UTF-8 by name.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Parsed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of addresses")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Parsed, A::Error> {
                let mut parsed = Parsed::default();
                let mut number = 0;
                // The text of one entry at a time, so that an error in it is its own.
                while let Some(entry) = seq.next_element::<&RawValue>()? {
                    if number == MAX_ENTRIES {
                        return Err(de::Error::custom(format!("more than {MAX_ENTRIES} entries")));
                    }
                    match serde_json::from_str::<StoredAddress>(entry.get()) {
                        Ok(stored) => parsed.records.push(stored.into()),
                        Err(error) => parsed.unreadable.push((number, error.to_string())),
                    }
                    number += 1;
                }
                Ok(parsed)
            }
        }

        deserializer.deserialize_seq(Entries)
    }
}

/// Writes a file.
pub(super) fn print(records: Vec<Record>) -> io::Result<Vec<u8>> {
    let mut text = b"[".to_vec();
    let mut separator = "\n";
    for record in records {
        text.write_all(separator.as_bytes())?;
        serde_json::to_writer(&mut text, &StoredAddress::from(record))?;
        separator = ",\n";
    }
    text.extend(b"\n]\n");
    Ok(text)
}
