//! Peers: with whom to keep connections.
//!
//! # What it promises
//!
//! * The addresses that the node was given are dialled, and dialled again when a connection fails
//!   or ends: soon at first, then less and less often, never all at the same moment.
//! * A peer whose offences add up is closed and not let in again while it would be the same one.
//!
//! It sends nothing and receives nothing; [`Peers`] only watches and dials.
//!
//! ```text
//!             dial               established
//!   waiting ---------> dialling ------------> connected
//!      ^                  | failed                | closed
//!      +------------------+-----------------------+
//!        wait 1 s, doubled with each failure up to 1 min, and up to a quarter more
//! ```
//!
//! # Scores
//!
//! Each session begins at 0. A minor offence costs 1, a serious one 2 (the seed's price of a
//! failure), a grave one 10. At -10 (seed) the session ends.
//!
//! # Limits
//!
//! [`MAX_ADDRESSES`] addresses; one score per session.

#![no_std]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

extern crate alloc;

mod admission;
pub mod book;
mod group;

use alloc::vec::Vec;
use core::convert::Infallible;
use core::time::Duration;

use spacetime_core::canary::{self, Canary};
use spacetime_core::wire::{Frame, Nothing};
use spacetime_core::{
    Address, CloseReason, ConnectionId, ConnectionMap, Context, Deadlines, DialError, Protocol, Rng,
    Severity, Signal, Time, Violation,
};

pub use admission::{AddressRules, NotAdmitted};
pub use book::{AddressBook, BookConfig, BucketKey};
pub use group::{AsnMap, Group, Grouping, InvalidPrefix, Subnet};

/// Addresses that can be kept connected at the same time.
pub const MAX_ADDRESSES: usize = 1000;

/// The score at which a session ends (seed).
pub const MIN_SCORE: i32 = -10;

/// How long after the first failure an address is dialled again.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// How long at most, whatever the number of failures.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long after a peer turned out to be of no use: another chain, another version, ourselves.
const USELESS_WAIT: Duration = Duration::from_secs(600);

/// What the application tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Command {
    /// Keep a connection with this address from now on.
    Add(Address),
    /// Dial this address no more; a connection there is stays.
    Remove(Address),
}

/// An address that is to be kept connected.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Kept {
    address: Address,
    /// The dial or the session there is.
    connection: Option<ConnectionId>,
    /// In a row.
    failures: u32,
}

/// The behaviour. See the [crate].
#[derive(Debug)]
pub struct Peers {
    rng: Rng,
    kept: Vec<Kept>,
    /// When to dial, by the index in `kept`.
    deadlines: Deadlines<usize>,
    scores: ConnectionMap<i32>,
}

impl Peers {
    /// Keeps these addresses connected; the first [`MAX_ADDRESSES`] of them.
    pub fn new(addresses: impl IntoIterator<Item = Address>, rng: &Rng) -> Self {
        let mut peers = Self {
            rng: rng.fork("peers"),
            kept: Vec::new(),
            deadlines: Deadlines::new(),
            scores: ConnectionMap::new(),
        };
        for address in addresses {
            peers.add(address, Time::ZERO);
        }
        peers
    }

    /// The score of a session: 0 at first, less with each offence.
    pub fn score(&self, connection: ConnectionId) -> i32 {
        self.scores.get(connection).copied().unwrap_or(0)
    }

    fn add(&mut self, address: Address, dial_at: Time) {
        if self.kept.len() < MAX_ADDRESSES && !self.kept.iter().any(|kept| kept.address == address) {
            self.deadlines.set(self.kept.len(), dial_at);
            self.kept.push(Kept { address, connection: None, failures: 0 });
        }
    }

    fn remove(&mut self, address: &Address) {
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

    fn index_of(&self, connection: ConnectionId) -> Option<usize> {
        self.kept.iter().position(|kept| kept.connection == Some(connection))
    }

    fn dial(&mut self, cx: &mut Context<'_, Infallible>, index: usize) {
        let Some(kept) = self.kept.get_mut(index) else { return };
        match cx.dial(kept.address.clone()) {
            Ok(connection) => kept.connection = Some(connection),
            // Somebody else's connection with the same peer, or with too many others.
            Err(_) => self.deadlines.set(index, cx.now() + self.rng.jitter(LONGEST_WAIT)),
        }
    }

    /// A connection came to nothing or has ended: it is dialled again after a while.
    fn wait(&mut self, now: Time, index: usize, wait: Option<Duration>) {
        let Some(kept) = self.kept.get_mut(index) else { return };
        kept.connection = None;
        let doubled = FIRST_WAIT.saturating_mul(1 << kept.failures.min(10));
        kept.failures = kept.failures.saturating_add(1);
        let wait = wait.unwrap_or(doubled.min(LONGEST_WAIT));
        if canary::is(Canary::ForgottenRedial) {
            return;
        }
        self.deadlines.set(index, now + self.rng.jitter(wait));
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

impl Protocol for Peers {
    type Message<'a> = Nothing;
    type Answer<'a> = Nothing;
    type Event = Infallible;
    type Command = Command;

    fn on_established(&mut self, _: &mut Context<'_, Infallible>, connection: ConnectionId) {
        self.scores.insert(connection, 0);
        if let Some(kept) = self.index_of(connection).and_then(|index| self.kept.get_mut(index)) {
            kept.failures = 0;
        }
    }

    fn on_closed(
        &mut self,
        cx: &mut Context<'_, Infallible>,
        connection: ConnectionId,
        reason: &CloseReason,
    ) {
        self.scores.remove(connection);
        if let Some(index) = self.index_of(connection) {
            self.wait(cx.now(), index, wait_after(reason));
        }
    }

    fn on_dial_failed(
        &mut self,
        cx: &mut Context<'_, Infallible>,
        connection: ConnectionId,
        _: &Address,
        error: &DialError,
    ) {
        let wait = match error {
            DialError::Closed(reason) => wait_after(reason),
            _ => None,
        };
        if let Some(index) = self.index_of(connection) {
            self.wait(cx.now(), index, wait);
        }
    }

    fn on_message(
        &mut self,
        _: &mut Context<'_, Infallible>,
        _: ConnectionId,
        never: Nothing,
        _: &Frame,
    ) -> Result<(), Violation> {
        match never {}
    }

    fn on_signal(&mut self, cx: &mut Context<'_, Infallible>, signal: &Signal) {
        let Signal::Offence { connection, offence, .. } = signal else { return };
        let Some(score) = self.scores.get_mut(*connection) else { return };
        let price = match offence.severity() {
            Severity::Minor => 1,
            Severity::Serious => 2,
            Severity::Grave => 10,
        };
        *score = score.saturating_sub(price);
        if *score <= MIN_SCORE {
            cx.close(*connection, CloseReason::Violation(*offence));
        }
    }

    fn on_command(&mut self, cx: &mut Context<'_, Infallible>, command: Command) {
        match command {
            Command::Add(address) => {
                self.add(address, cx.now());
                self.on_deadline(cx);
            }
            Command::Remove(address) => self.remove(&address),
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, Infallible>) {
        while let Some(index) = self.deadlines.pop_due(cx.now()) {
            self.dial(cx, index);
        }
    }
}
