//! Addresses that the user wants connected, whatever happens.

use alloc::vec::Vec;
use core::time::Duration;

use spacetime_core::canary::{self, Canary};
use spacetime_core::{Address, CloseReason, ConnectionId, Deadlines, Rng, Time};

/// Addresses that can be kept connected at the same time.
pub const MAX_KEPT: usize = 1000;

/// How long after the first failure an address is dialled again.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// How long at most, whatever the number of failures.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long after a peer turned out to be of no use: another chain, another version, ourselves.
const USELESS_WAIT: Duration = Duration::from_secs(600);

/// An address that is to be kept connected.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Kept {
    address: Address,
    /// The dial or the session there is.
    connection: Option<ConnectionId>,
    /// In a row.
    failures: u32,
}

/// All of them, and when to dial them again.
///
/// ```text
///             dial               established
///   waiting ---------> dialling ------------> connected
///      ^                  | failed                | closed
///      +------------------+-----------------------+
///        wait 1 s, doubled with each failure up to 1 min, and up to a quarter more
/// ```
#[derive(Debug, Default)]
pub(crate) struct KeptAddresses {
    kept: Vec<Kept>,
    /// When to dial, by the index in `kept`.
    deadlines: Deadlines<usize>,
}

impl KeptAddresses {
    pub(crate) fn add(&mut self, address: Address, dial_at: Time) {
        if self.kept.len() < MAX_KEPT && !self.kept.iter().any(|kept| kept.address == address) {
            self.deadlines.set(self.kept.len(), dial_at);
            self.kept.push(Kept { address, connection: None, failures: 0 });
        }
    }

    pub(crate) fn remove(&mut self, address: &Address) {
        if let Some(index) = self.kept.iter().position(|kept| kept.address == *address) {
            // The last one takes its place, and its deadline with it.
            let last = self.kept.len() - 1;
            let deadline_of_last = self.deadlines.get(last);
            self.deadlines.cancel(last);
            self.kept.swap_remove(index);
            if index < last {
                self.deadlines.cancel(index);
                if let Some(at) = deadline_of_last {
                    self.deadlines.set(index, at);
                }
            }
        }
    }

    fn of(&mut self, connection: ConnectionId) -> Option<(usize, &mut Kept)> {
        self.kept.iter_mut().enumerate().find(|(_, kept)| kept.connection == Some(connection))
    }

    /// When the next one is dialled.
    pub(crate) const fn deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }

    /// One that is to be dialled now.
    pub(crate) fn take_due(&mut self, now: Time) -> Option<(usize, Address)> {
        let index = self.deadlines.pop_due(now)?;
        Some((index, self.kept.get(index)?.address.clone()))
    }

    /// One is being dialled.
    pub(crate) fn dialled(&mut self, index: usize, connection: ConnectionId) {
        if let Some(kept) = self.kept.get_mut(index) {
            kept.connection = Some(connection);
        }
    }

    /// One cannot be dialled now: there is another connection with its peer, or too many with others.
    pub(crate) fn try_later(&mut self, index: usize, now: Time, rng: &mut Rng) {
        self.deadlines.set(index, now + rng.jitter(LONGEST_WAIT));
    }

    pub(crate) fn on_established(&mut self, connection: ConnectionId) {
        if let Some((_, kept)) = self.of(connection) {
            kept.failures = 0;
        }
    }

    /// A connection came to nothing or has ended, for this reason if it is known: it is dialled again
    /// after a while.
    pub(crate) fn on_ended(
        &mut self,
        connection: ConnectionId,
        reason: Option<&CloseReason>,
        now: Time,
        rng: &mut Rng,
    ) {
        let Some((index, kept)) = self.of(connection) else { return };
        kept.connection = None;
        let doubled = FIRST_WAIT.saturating_mul(1 << kept.failures.min(10));
        kept.failures = kept.failures.saturating_add(1);
        let wait = reason.and_then(wait_after).unwrap_or(doubled.min(LONGEST_WAIT));
        if canary::is(Canary::ForgottenRedial) {
            return;
        }
        self.deadlines.set(index, now + rng.jitter(wait));
    }
}

/// How long to wait after a reason that will not go away by itself.
fn wait_after(reason: &CloseReason) -> Option<Duration> {
    match reason {
        CloseReason::SelfConnection
        | CloseReason::WrongChain
        | CloseReason::WrongVersion
        | CloseReason::WrongPeer
        | CloseReason::Violation(_) => Some(USELESS_WAIT),
        // There is a session with it; it is looked at again in a while.
        CloseReason::Duplicate => Some(LONGEST_WAIT),
        CloseReason::Remote(reason) => wait_after(reason),
        _ => None,
    }
}
