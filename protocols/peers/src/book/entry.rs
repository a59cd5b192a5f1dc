//! What the book knows about one address.

use core::net::SocketAddr;
use core::time::Duration;

use serde::{Deserialize, Serialize};
use spacetime_core::PeerId;

/// How long an address is fresh that this node has never reached (seed), in seconds.
pub const UNVERIFIED_LIFETIME_SECONDS: i64 = DAY;
/// How long any address is worth keeping after it was last seen (Bitcoin Core), in seconds.
pub const LIFETIME_SECONDS: i64 = 30 * DAY;
/// Failures after which an address that was never reached is worth nothing (Bitcoin Core).
pub const MAX_FAILURES_WITHOUT_SUCCESS: u32 = 3;
/// Failures in a row after which an address is worth nothing if it was not reached for
/// [`FAILING_SECONDS`] (Bitcoin Core).
pub const MAX_FAILURES_IN_A_ROW: u32 = 10;
/// See [`MAX_FAILURES_IN_A_ROW`].
pub const FAILING_SECONDS: i64 = 7 * DAY;
/// How long after an attempt an address is dialled again; doubled with each failure in a row.
pub const FIRST_RETRY: Duration = Duration::from_secs(30);
/// The longest that an address waits after a failure, but for a quarter more of jitter.
pub const LONGEST_RETRY: Duration = Duration::from_secs(12 * 3600);

const DAY: i64 = 86_400;

/// Who told us an address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Source {
    /// The user: configuration or a command.
    Configured,
    /// A seed's DNS name. All seeds together are one source.
    Seed,
    /// Its own host, connected from this IP address, said that it listens there.
    Announced,
    /// Hearsay of the peer at this address.
    Peer(SocketAddr),
}

/// What the book knows about one address. Stamps are seconds since 1970-01-01 UTC.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// Where.
    pub address: SocketAddr,
    /// Who told it first, or the host itself if it did since.
    pub source: Source,
    /// Who was last proven to be there.
    pub peer_id: Option<PeerId>,
    /// When it entered the book.
    pub first_seen: i64,
    /// When it was last seen by this node or announced by its host. Hearsay does not count: for an
    /// address that was never reached, it is when it was first told.
    pub last_seen: i64,
    /// When anybody last told it.
    pub last_told: i64,
    /// When it was last dialled.
    pub last_attempt: Option<i64>,
    /// When it was last reached.
    pub last_success: Option<i64>,
    /// How often it was reached.
    pub success_count: u32,
    /// How often it was not.
    pub failure_count: u32,
    /// How often it was not since it was last reached.
    pub failures_in_a_row: u32,
    /// Whether it stands in the tried table.
    pub is_tried: bool,
}

/// An entry as it is stored between runs of a node. Everything in it is checked when it is
/// restored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// [`Entry::address`]
    pub address: SocketAddr,
    /// [`Entry::source`]
    pub source: Source,
    /// [`Entry::peer_id`], as 64 hexadecimal digits.
    #[serde(default, with = "peer_id_text")]
    pub peer_id: Option<PeerId>,
    /// [`Entry::first_seen`]
    pub first_seen: i64,
    /// [`Entry::last_seen`]
    pub last_seen: i64,
    /// [`Entry::last_told`]
    #[serde(default)]
    pub last_told: i64,
    /// [`Entry::last_attempt`]
    #[serde(default)]
    pub last_attempt: Option<i64>,
    /// [`Entry::last_success`]
    #[serde(default)]
    pub last_success: Option<i64>,
    /// [`Entry::success_count`]
    #[serde(default)]
    pub success_count: u32,
    /// [`Entry::failure_count`]
    #[serde(default)]
    pub failure_count: u32,
    /// [`Entry::failures_in_a_row`]
    #[serde(default)]
    pub failures_in_a_row: u32,
    /// [`Entry::is_tried`]
    #[serde(default)]
    pub is_tried: bool,
}

impl From<&Entry> for Record {
    fn from(entry: &Entry) -> Self {
        Self {
            address: entry.address,
            source: entry.source,
            peer_id: entry.peer_id,
            first_seen: entry.first_seen,
            last_seen: entry.last_seen,
            last_told: entry.last_told,
            last_attempt: entry.last_attempt,
            last_success: entry.last_success,
            success_count: entry.success_count,
            failure_count: entry.failure_count,
            failures_in_a_row: entry.failures_in_a_row,
            is_tried: entry.is_tried,
        }
    }
}

impl Entry {
    /// An address that was just told.
    pub(super) const fn new(address: SocketAddr, source: Source, unix_seconds: i64) -> Self {
        Self {
            address,
            source,
            peer_id: None,
            first_seen: unix_seconds,
            last_seen: unix_seconds,
            last_told: unix_seconds,
            last_attempt: None,
            last_success: None,
            success_count: 0,
            failure_count: 0,
            failures_in_a_row: 0,
            is_tried: false,
        }
    }

    /// Whether this node has ever reached it.
    pub const fn is_verified(&self) -> bool {
        self.last_success.is_some()
    }

    /// Whether its own host announced it.
    pub const fn is_announced(&self) -> bool {
        matches!(self.source, Source::Announced)
    }

    /// Successes divided by attempts; 0.5 without any attempt (seed).
    pub fn quality(&self) -> f64 {
        let (successes, failures) = (f64::from(self.success_count), f64::from(self.failure_count));
        if successes + failures == 0.0 { 0.5 } else { successes / (successes + failures) }
    }

    /// Whether it was last seen too long ago to count on it: 24 hours if it was never reached, else
    /// 30 days.
    pub const fn is_stale(&self, unix_seconds: i64) -> bool {
        let lifetime = if self.is_verified() { LIFETIME_SECONDS } else { UNVERIFIED_LIFETIME_SECONDS };
        unix_seconds.saturating_sub(self.last_seen) > lifetime
    }

    /// Whether it is worth nothing, so that any other address may have its place: not seen for 30
    /// days (not even told, if it was never reached), or failing all the time.
    ///
    /// An address that is stale only because it waits for its first test is not: else a flood of
    /// made-up addresses would replace all honest ones in 24 hours.
    pub const fn is_terrible(&self, unix_seconds: i64) -> bool {
        let fails = match self.last_success {
            None => self.failures_in_a_row >= MAX_FAILURES_WITHOUT_SUCCESS,
            Some(last_success) => {
                self.failures_in_a_row >= MAX_FAILURES_IN_A_ROW
                    && unix_seconds.saturating_sub(last_success) > FAILING_SECONDS
            }
        };
        let is_mere_rumour = !self.is_verified() && self.last_told > self.last_seen;
        let last_sign = if is_mere_rumour { self.last_told } else { self.last_seen };
        fails || unix_seconds.saturating_sub(last_sign) > LIFETIME_SECONDS
    }

    /// All stamps that there are.
    pub(super) fn stamps_mut(&mut self) -> impl Iterator<Item = &mut i64> {
        let Self { first_seen, last_seen, last_told, last_attempt, last_success, .. } = self;
        [first_seen, last_seen, last_told].into_iter().chain(last_attempt).chain(last_success)
    }

    /// How long to leave it alone after an attempt, before any jitter: 30 seconds, doubled with each
    /// failure, up to 12 hours; but no longer than an eighth of the time for which it has been gone,
    /// so that what comes back is found soon.
    pub(super) fn retry_after(&self, unix_seconds: i64) -> Duration {
        let doubled = FIRST_RETRY.saturating_mul(1 << self.failures_in_a_row.min(12)).min(LONGEST_RETRY);
        match self.last_success {
            None => doubled,
            Some(last_success) => {
                let gone_seconds = unix_seconds.saturating_sub(last_success).max(0).unsigned_abs();
                doubled.min(Duration::from_secs(gone_seconds / 8).max(2 * FIRST_RETRY))
            }
        }
    }

    /// The weight of an entry without failures in a row.
    pub(super) const FULL_WEIGHT: u64 = 1 << 16;

    /// How likely it is to be taken when its turn comes: two thirds with each failure in a row, at most
    /// eight of them counted (Bitcoin Core).
    pub(super) fn weight(&self) -> u64 {
        (0..self.failures_in_a_row.min(8)).fold(Self::FULL_WEIGHT, |weight, _| weight * 2 / 3)
    }
}

/// Peer ids in stored files: as people see them elsewhere.
mod peer_id_text {
    use alloc::string::String;

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
