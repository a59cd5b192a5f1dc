//! Records: what is stored between runs of a node.

use core::time::Duration;

use spacetime_core::Now;

use super::AddressBook;
use super::config::{Added, NotAdded};
use super::entry::{Entry, LIFETIME_SECONDS, Record, Source};
use crate::group::canonical;

/// How far in the future a stamp may be, in seconds, for clocks that differ (Bitcoin Core).
const FUTURE_SECONDS: i64 = 600;

impl AddressBook {
    /// What to store: the tried table, then the new one, by slots.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        let ids = self.tried.iter().chain(self.new.iter()).map(|(_, id)| id);
        ids.filter_map(|id| Some(Record::from(&self.held(id)?.entry)))
    }

    /// Takes in a stored record, trusting it no more than what a peer tells. One that says tried gets
    /// its slot in the tried table if that is free, else one in the new table.
    ///
    /// If it was last seen or told more than 10 minutes in the future, one of the clocks was wrong: it counts as
    /// seen 15 days ago, so it will not live for ever.
    ///
    /// # Errors
    ///
    /// The rules do not admit it, it is terrible, or there is no place for it. Nothing has changed then.
    pub fn restore(&mut self, record: Record, now: Now) -> Result<Added, NotAdded> {
        self.follow(now);
        let address = canonical(record.address);
        if self.id(address).is_some() {
            return Ok(Added::Known);
        }
        self.config.rules.check(address)?;
        let entry = self.entry_of(record);
        if entry.is_terrible(self.unix_seconds) {
            return Err(NotAdded::Terrible);
        }
        // What is left of its wait; nobody knows for how long the node was away.
        let since_attempt = entry.last_attempt.map_or(i64::MAX, |at| self.unix_seconds.saturating_sub(at));
        let waited = Duration::from_secs(since_attempt.max(0).unsigned_abs());
        let wait = entry.retry_after(self.unix_seconds).saturating_sub(waited);
        self.take_in(entry, now.time + wait)?;
        Ok(Added::New)
    }

    fn entry_of(&self, record: Record) -> Entry {
        let is_verified = record.last_success.is_some();
        let checked = |stamp: i64| match stamp.saturating_sub(self.unix_seconds) {
            ahead if ahead > FUTURE_SECONDS => self.unix_seconds - LIFETIME_SECONDS / 2,
            _ => stamp.min(self.unix_seconds),
        };
        let last_seen = checked(record.last_seen);
        // Nothing else happened after it was last seen, but for attempts.
        let seen = |stamp: i64| stamp.clamp(0, last_seen.max(0));
        Entry {
            address: canonical(record.address),
            source: match record.source {
                Source::Peer(peer) => Source::Peer(canonical(peer)),
                source => source,
            },
            peer_id: record.peer_id,
            first_seen: seen(record.first_seen),
            last_seen,
            last_told: checked(record.last_told),
            last_attempt: record.last_attempt.map(|at| at.clamp(0, self.unix_seconds)),
            last_success: record.last_success.map(seen),
            success_count: record.success_count,
            failure_count: record.failure_count,
            failures_in_a_row: record.failures_in_a_row,
            is_tried: record.is_tried && is_verified,
        }
    }
}
