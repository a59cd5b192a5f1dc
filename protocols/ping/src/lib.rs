//! Ping: is the peer still there, and how far away is it?
//!
//! # What it promises
//!
//! * A peer that does not answer within the timeout is closed with
//!   [`CloseReason::PingTimeout`], unless this node's own limits of bandwidth hold the connection back at
//!   that moment: then its answer may be among what is not read yet, and it is alive.
//! * Every peer's round-trip time is known soon after it is established and kept up to date.
//! * A version-1 node is never sent anything while it may be waiting for an answer.
//!
//! # On the wire
//!
//! [`Ping`](wire::Ping) (04) and [`Pong`](wire::Pong) (05), each a nonce and a clock. A version-1
//! node cannot send 05: it answers a Ping with a Ping of the same nonce, and takes 05 for a Ping. So
//! a Ping with the nonce of ours *is* its answer and is not answered; and since it would answer an
//! answer, no nonce is answered twice.
//!
//! ```text
//!             established, interval over
//!   waiting ------------------------------> asked (nonce, since)
//!      ^   send Ping                          |        |
//!      +--------------------------------------+        | timeout over
//!        Pong or Ping with that nonce                  v
//!        note the round trip                    close: PingTimeout
//! ```
//!
//! # Limits
//!
//! One question at a time per peer. Of a peer's questions the last [`ANSWERED_NONCES`] are
//! remembered. Answers go out at `Critical` priority: a peer that asks without reading fills that
//! queue (64 KiB) and is closed by the Swarm.
//!
//! # What each violation costs
//!
//! | what the peer does | what happens |
//! |---|---|
//! | malformed Ping or Pong | charged |
//! | Pong that answers nothing | charged; ignored from a version-1 node |
//! | no answer in time, not counting the time in which this node's own limits of bandwidth hold the connection back | closed, not charged |

#![no_std]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

extern crate alloc;

mod round_trip;

use core::convert::Infallible;
use core::fmt;
use core::time::Duration;

pub use round_trip::RoundTrip;
use spacetime_core::canary::{self, Canary};
use spacetime_core::message_set;
use spacetime_core::wire::{self, Frame, MessageType, Nothing};
use spacetime_core::{
    CloseReason, ConnectionId, ConnectionMap, Context, Deadlines, Offence, Patience, Protocol, Rng,
    SendError, Signal, Time, Violation,
};

/// How many of a peer's nonces are remembered as answered.
pub const ANSWERED_NONCES: usize = 8;

/// When to ask, and how long to wait.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    interval: Duration,
    timeout: Duration,
}

impl Default for Config {
    /// Every 2 minutes (Bitcoin Core), 20 s for the answer.
    fn default() -> Self {
        Self { interval: Duration::from_secs(120), timeout: Duration::from_secs(20) }
    }
}

impl Config {
    /// How long after an answer the next question is asked; up to a quarter is added at random. 2
    /// minutes.
    #[must_use]
    pub const fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How long an answer may take. 20 s.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Whether a node can ping by this.
    pub const fn validate(&self) -> Result<(), InvalidConfig> {
        if self.interval.is_zero() || self.timeout.is_zero() { Err(InvalidConfig) } else { Ok(()) }
    }
}

/// The interval or the timeout is zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidConfig;

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interval and timeout of pings must be longer than nothing")
    }
}

impl core::error::Error for InvalidConfig {}

message_set! {
    /// What a peer sends.
    #[derive(Debug)]
    pub enum Message {
        /// A question, or a version-1 node's answer.
        Ping(wire::Ping),
        /// An answer.
        Pong(wire::Pong),
    }
}

/// A measurement, for the application.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// Of which connection.
    pub connection: ConnectionId,
    /// How long the answer took.
    pub round_trip: Duration,
}

/// The behaviour. See the [crate].
#[derive(Debug)]
pub struct Ping {
    config: Config,
    rng: Rng,
    peers: ConnectionMap<Peer>,
    /// When to ask or to give up, per peer.
    deadlines: Deadlines<ConnectionId>,
}

#[derive(Debug)]
struct Peer {
    is_version_1: bool,
    /// The question that waits for an answer.
    asked: Option<Asked>,
    /// Its questions that were answered last, oldest first.
    answered: [Option<i64>; ANSWERED_NONCES],
    round_trip: Option<RoundTrip>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    nonce: i64,
    patience: Patience,
}

impl Ping {
    /// The behaviour with this configuration.
    pub fn new(config: Config, rng: &Rng) -> Result<Self, InvalidConfig> {
        config.validate()?;
        Ok(Self { config, rng: rng.fork("ping"), peers: ConnectionMap::new(), deadlines: Deadlines::new() })
    }

    /// What was measured on a connection.
    pub fn round_trip(&self, connection: ConnectionId) -> Option<RoundTrip> {
        self.peers.get(connection)?.round_trip
    }

    fn ask(&mut self, cx: &mut Context<'_, Event>, connection: ConnectionId) {
        let Some(peer) = self.peers.get_mut(connection) else {
            return;
        };
        let now = cx.now();
        if peer.is_version_1 {
            // It may be waiting for an answer of ours and would take the Ping for it. A peer that
            // is talking is alive anyway.
            let idle_at = cx.last_received(connection).unwrap_or(now) + self.config.interval;
            if idle_at > now {
                self.deadlines.set(connection, idle_at);
                return;
            }
        }
        let nonce = self.rng.u64() as i64;
        match cx.send(connection, &wire::Ping { nonce, timestamp: cx.unix_seconds() }) {
            Ok(()) => {
                peer.asked = Some(Asked { nonce, patience: cx.patience(connection, self.config.timeout) });
                if canary::is(Canary::ForgottenDeadline) {
                    return;
                }
                self.deadlines.set(connection, now + self.config.timeout);
            }
            // Too much that is critical waits for the peer, and the Swarm closes; or for this node's own
            // limits.
            Err(SendError::Closed | SendError::Full) => {
                self.deadlines.set(connection, now + self.config.timeout);
            }
            Err(error) => debug_assert!(false, "a Ping can always be encoded: {error}"),
        }
    }

    /// Whether `nonce` answers our question; then the round trip is noted.
    fn take_answer(&mut self, cx: &mut Context<'_, Event>, connection: ConnectionId, nonce: i64) -> bool {
        let Some(peer) = self.peers.get_mut(connection) else {
            return false;
        };
        let Some(asked) = peer.asked.take_if(|asked| asked.nonce == nonce) else {
            return false;
        };
        let round_trip = cx.now().since(asked.patience.began());
        match &mut peer.round_trip {
            Some(statistics) => statistics.add(round_trip),
            first => *first = Some(RoundTrip::new(round_trip)),
        }
        let next = cx.now() + self.rng.jitter(self.config.interval);
        self.deadlines.set(connection, next);
        cx.signal(Signal::RoundTrip { connection, duration: round_trip });
        cx.emit(Event { connection, round_trip });
        true
    }

    fn on_ping(&mut self, cx: &mut Context<'_, Event>, from: ConnectionId, ping: wire::Ping) {
        if self.take_answer(cx, from, ping.nonce) {
            return;
        }
        let Some(peer) = self.peers.get_mut(from) else {
            return;
        };
        if peer.answered.contains(&Some(ping.nonce)) {
            return;
        }
        peer.answered.rotate_left(1);
        if let Some(last) = peer.answered.last_mut() {
            *last = Some(ping.nonce);
        }
        match cx.send(from, &wire::Pong { nonce: ping.nonce, timestamp: cx.unix_seconds() }) {
            // As with a Ping. A peer that asks so much loses some answers.
            Ok(()) | Err(SendError::Closed | SendError::Full) => {}
            Err(error) => debug_assert!(false, "a Pong can always be encoded: {error}"),
        }
    }
}

impl Protocol for Ping {
    type Message<'a> = Message;
    type Answer<'a> = Nothing;
    type Event = Event;
    type Command = Infallible;

    fn on_established(&mut self, cx: &mut Context<'_, Event>, connection: ConnectionId) {
        let is_version_1 = cx.peer(connection).is_some_and(spacetime_core::Peer::is_version_1);
        let peer = Peer { is_version_1, asked: None, answered: [None; ANSWERED_NONCES], round_trip: None };
        self.peers.insert(connection, peer);
        self.ask(cx, connection);
    }

    fn on_closed(&mut self, _: &mut Context<'_, Event>, connection: ConnectionId, _: &CloseReason) {
        self.peers.remove(connection);
        self.deadlines.cancel(connection);
    }

    fn on_message(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        message: Message,
        _: &Frame,
    ) -> Result<(), Violation> {
        match message {
            Message::Ping(ping) => self.on_ping(cx, from, ping),
            Message::Pong(pong) => {
                let is_version_1 = self.peers.get(from).is_some_and(|peer| peer.is_version_1);
                if !self.take_answer(cx, from, pong.nonce) && !is_version_1 {
                    return Err(Violation::tolerable(Offence::Unsolicited(MessageType::PONG)));
                }
            }
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, Event>) {
        if canary::is(Canary::StuckDeadline) {
            return;
        }
        while let Some(connection) = self.deadlines.pop_due(cx.now()) {
            let Some(peer) = self.peers.get(connection) else {
                continue;
            };
            match peer.asked {
                Some(asked) => {
                    let ends = cx.patience_ends(connection, &asked.patience);
                    if ends > cx.now() {
                        self.deadlines.set(connection, ends);
                    } else if cx.is_held(connection) {
                        // The answer may stand behind what this node does not read yet. A peer that is
                        // gone is found out once that is read.
                        self.deadlines.set(connection, cx.now() + self.config.timeout);
                    } else {
                        cx.close(connection, CloseReason::PingTimeout);
                    }
                }
                None => self.ask(cx, connection),
            }
        }
    }
}
