//! What became of dials and sessions, and who has which place in the tried table.

use core::mem;
use core::net::SocketAddr;
use core::time::Duration;

use spacetime_core::{Now, PeerId, Time};

use super::entry::FIRST_RETRY;
use super::table::EntryId;
use super::{AddressBook, Held};
use crate::group::canonical;

/// Addresses that can wait at the same time for a place in the tried table that is taken (Bitcoin
/// Core).
pub const MAX_PENDING_TESTS: usize = 10;
/// For how long one waits, at most (Bitcoin Core).
pub const TEST_WINDOW: Duration = Duration::from_secs(40 * 60);
/// An address that was seen less than this ago, in seconds, keeps its place without a test (Bitcoin
/// Core).
pub const RECENTLY_SEEN_SECONDS: i64 = 4 * 3600;

/// A reached address that waits for the place of another one in the tried table.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) candidate: SocketAddr,
    pub(super) incumbent: SocketAddr,
    until: Time,
}

impl AddressBook {
    /// It is being dialled. It will not be drawn again for half a minute, or for longer if the dial
    /// [fails](Self::record_failure).
    pub fn record_attempt(&mut self, address: SocketAddr, now: Now) {
        self.follow(now);
        let (unix_seconds, retry_at) = (self.unix_seconds, now.time + self.rng.jitter(FIRST_RETRY));
        if let Some((_, held)) = self.find(address) {
            held.entry.last_attempt = Some(unix_seconds);
            held.retry_at = retry_at;
        }
    }

    /// A session with it was established, as this peer if that was proven. The address moves to the
    /// tried table, or waits for the place there that another one has.
    ///
    /// # Security
    ///
    /// A session that proves nothing takes back no proof: else whoever gets one in plaintext at the
    /// place of a proven peer could go on so for ever.
    pub fn record_success(&mut self, address: SocketAddr, peer_id: Option<PeerId>, now: Now) {
        self.follow(now);
        self.successes = self.successes.saturating_add(1);
        let (unix_seconds, retry_at) = (self.unix_seconds, now.time + self.rng.jitter(FIRST_RETRY));
        let Some((id, held)) = self.find(address) else { return };
        held.retry_at = retry_at;
        held.entry.peer_id = peer_id.or(held.entry.peer_id);
        held.entry.last_seen = unix_seconds;
        held.entry.last_success = Some(unix_seconds);
        held.entry.success_count = held.entry.success_count.saturating_add(1);
        held.entry.failures_in_a_row = 0;
        let address = held.entry.address;
        if held.entry.is_tried {
            // It has passed the test, if there was one.
            self.pending.retain(|pending| pending.incumbent != address);
        } else {
            self.promote(id, now.time);
        }
    }

    /// The dial came to nothing. It waits longer for the next one. It counts against the address only
    /// if anything was reached since the last failure that did.
    pub fn record_failure(&mut self, address: SocketAddr, now: Now) {
        self.follow(now);
        let (unix_seconds, successes) = (self.unix_seconds, self.successes);
        let Some((id, held)) = self.find(address) else { return };
        let counts = held.counted_at < successes;
        if counts {
            held.counted_at = successes;
            held.entry.failure_count = held.entry.failure_count.saturating_add(1);
            held.entry.failures_in_a_row = held.entry.failures_in_a_row.saturating_add(1);
        }
        let wait = held.entry.retry_after(unix_seconds);
        let address = held.entry.address;
        let retry_at = now.time + self.rng.jitter(wait);
        if let Some(held) = self.held_mut(id) {
            held.retry_at = retry_at;
        }
        if counts && let Some(at) = self.pending.iter().position(|it| it.incumbent == address) {
            let pending = self.pending.remove(at);
            self.replace(&pending);
        }
    }

    /// The session with it lives, so others could be reached as well: their failures count.
    pub fn record_seen(&mut self, address: SocketAddr, now: Now) {
        self.follow(now);
        let unix_seconds = self.unix_seconds;
        if let Some((_, held)) = self.find(address) {
            held.entry.last_seen = unix_seconds;
            self.successes = self.successes.saturating_add(1);
        }
    }

    /// The address whose place in the tried table another one waits for: whether it can still be
    /// reached should be found out next. Ask at least every few minutes; what has waited for too
    /// long is settled here.
    pub fn pending_test(&mut self, now: Now) -> Option<SocketAddr> {
        self.follow(now);
        for pending in mem::take(&mut self.pending) {
            let incumbent = self.id(pending.incumbent).and_then(|id| self.held(id));
            match incumbent.filter(|held| held.entry.is_tried) {
                // Gone by itself: the place may be free.
                None => {
                    if let Some(candidate) = self.id(pending.candidate) {
                        self.promote(candidate, now.time);
                    }
                }
                Some(held)
                    if self.unix_seconds.saturating_sub(held.entry.last_seen) < RECENTLY_SEEN_SECONDS => {}
                Some(_) if pending.until <= now.time => self.replace(&pending),
                Some(_) if self.id(pending.candidate).is_none() => {}
                Some(_) => self.pending.push(pending),
            }
        }
        let is_due = |address: SocketAddr| {
            self.id(address).and_then(|id| self.held(id)).is_some_and(|held| held.retry_at <= now.time)
        };
        self.pending.iter().map(|pending| pending.incumbent).find(|incumbent| is_due(*incumbent))
    }

    fn find(&mut self, address: SocketAddr) -> Option<(EntryId, &mut Held)> {
        let id = self.id(canonical(address))?;
        Some((id, self.held_mut(id)?))
    }

    /// Moves a reached address of the new table to its slot in the tried one, or lets it wait for that.
    fn promote(&mut self, id: EntryId, now: Time) {
        let Some(held) = self.held(id).filter(|held| !held.entry.is_tried) else { return };
        let (candidate, slot) = (held.entry.address, self.key.tried_slot(held.entry.address, held.group));
        let Some(owner) = self.tried.in_slot(slot) else {
            self.lift(id);
            self.put(id, true, slot);
            return;
        };
        let waits = self.pending.iter().any(|pending| pending.candidate == candidate);
        if let Some(owner) = self.held(owner)
            && !waits
            && self.pending.len() < MAX_PENDING_TESTS
        {
            let incumbent = owner.entry.address;
            self.pending.push(Pending { candidate, incumbent, until: now + TEST_WINDOW });
        }
    }

    /// Gives the candidate the place of the incumbent, which goes back to the new table if there is
    /// a slot for it.
    fn replace(&mut self, pending: &Pending) {
        let (Some(candidate), Some(incumbent)) = (self.id(pending.candidate), self.id(pending.incumbent))
        else {
            return;
        };
        let Some(slot) = self.held(incumbent).filter(|it| it.entry.is_tried).map(|it| it.slot) else {
            return;
        };
        if self.held(candidate).is_none_or(|held| held.entry.is_tried) {
            return;
        }
        self.lift(candidate);
        self.lift(incumbent);
        self.put(candidate, true, slot);
        self.demote(incumbent);
    }

    /// Puts an address that lost its place in the tried table into the new one, or forgets it.
    fn demote(&mut self, id: EntryId) {
        let Some(held) = self.held(id) else { return };
        let (slot, source) = (self.new_slot(&held.entry, held.group), held.entry.source);
        match self.owner_to_replace(slot, source) {
            Ok(owner) => {
                if let Some(owner) = owner {
                    self.forget(owner);
                }
                self.put(id, false, slot);
            }
            Err(_) => drop(self.forget_lifted(id)),
        }
    }
}
