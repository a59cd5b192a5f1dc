//! Gossip: addresses of nodes that spread by themselves.
//!
//! # What it promises
//!
//! * An address that a node tells its peers becomes known to nearly all nodes within some hops of
//!   seconds each, without anybody's configuration: every node passes what is new to it on to a few
//!   others, never back to who told it, and only once in a while.
//! * A peer that connects and announces on which port it listens is made known in the same way: the
//!   IP address it came from, with that port.
//! * What peers tell is passed on to the tree ([`Signal::AddressesLearned`]) and believed in nothing.
//!   One host can tell only so much, whatever connection it does it on.
//! * A version-1 node is told nothing while it may be waiting for an answer: it would take it for
//!   that. It is sent something only after 2 minutes of silence, and nothing is passed on to it.
//!
//! It dials nobody and knows no addresses of its own: the address book hears its signals, and says
//! what may be told ([`Signal::AddressesToShare`]).
//!
//! # On the wire
//!
//! [`Peers`] (11) that nobody asked for; ours hold 20 addresses at most. As an answer Peers belongs
//! to peer exchange, which see for what happens when the two cross.
//!
//! ```text
//!   told by a peer --> each address, in its usual form:
//!                          |
//!                 accepted by the rules? ---- no --> left out
//!                          | yes
//!                 its host may tell more? --- no --> this one and the rest are left out
//!                          | yes
//!                       learned
//!                          |
//!                 at most 20 in the message, and not passed on in the last hour?
//!                          | yes                                      | no
//!                          v                                          v
//!                 waits for 3 peers that do not know it           nothing more
//!                          | up to 5 s
//!                          v
//!                 sent, together with what else waits for that peer
//!
//!   every 10 min: 20 of those that may be told, to each of 3 peers, if they do not know them
//!   soon after the beginning of a session, then every 24 h: our own address
//! ```
//!
//! The peers to which an address goes are chosen by a secret hash of both, and change once a day.
//! By chance they would be others each time: telling an address again and again would show who the
//! peers of a node are, and bring it to all of them.
//!
//! # Limits
//!
//! | what | how much |
//! |---|---|
//! | a message | 1000 addresses (wire), so 24 KB |
//! | addresses taken from a host | 20 from a stranger, then 0.1/s, up to 1000 saved up (Bitcoin Core) |
//! | hosts remembered for that | 4096, the oldest forgotten |
//! | addresses passed on | 100,000 remembered for an hour: 6 MB |
//! | addresses that wait for a peer | 100 |
//! | addresses that a peer is known to have | 1000 for a day: 60 KB |
//! | a peer is sent | one message of 20 in 10 min, one address a day, and what is passed on |
//!
//! A host is an IPv4 address or an IPv6 /64; on a private network, where the node can be reached. See
//! [`Origin`].
//!
//! # What each violation costs
//!
//! | what the peer does | what happens | severity |
//! |---|---|---|
//! | malformed Peers, so also 1001 addresses | charged | serious |
//! | tells more than its host may | the rest is left out, which honest peers of many nodes see too | |
//! | port 0, addresses of no use, duplicates, our own address | left out | |
//! | tells what was told before | learned, not passed on | |

#![no_std]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

extern crate alloc;

mod config;
mod fingerprint;
mod receive;
mod send;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::net::SocketAddr;

pub use config::{Config, InvalidConfig};
use fingerprint::{Fingerprint, Secret};
pub use send::{MAX_WAITING, VERSION_1_IDLE};
use spacetime_core::wire::{Frame, Nothing, Peers};
use spacetime_core::{
    CloseReason, ConnectionId, ConnectionMap, Context, Deadlines, Direction, Origin, Peer, Protocol, Recent,
    Rng, Signal, Time, TokenBucket, Violation, listens_at,
};

/// The most addresses in a message that are passed on, and in one of ours: as many as the seed
/// gossips at a time. Whoever tells more answers a question, or wants to flood.
pub const MAX_FORWARDED: usize = 20;

/// Hosts of which is remembered how much they may still tell.
const MAX_HOSTS: usize = 4096;
/// Addresses of which is remembered that they were passed on.
const MAX_SEEN: usize = 100_000;
/// Addresses of which is remembered that a peer has them.
const MAX_KNOWN: usize = 1000;

/// The behaviour. See the [crate].
#[derive(Debug)]
pub struct Gossip {
    config: Config,
    rng: Rng,
    secret: Secret,
    to_share: Arc<[SocketAddr]>,
    sessions: ConnectionMap<Session>,
    deadlines: Deadlines<Timer>,
    /// What hosts may still tell.
    heard: Recent<Origin, TokenBucket>,
    /// When addresses were passed on last.
    forwarded: Recent<Fingerprint, Time>,
}

#[derive(Debug)]
struct Session {
    host: Origin,
    listens_at: Option<SocketAddr>,
    is_version_1: bool,
    /// Made up, to choose whom to tell what.
    number: u64,
    /// What it has, and since when.
    knows: Recent<Fingerprint, Time>,
    /// What is to be passed on to it.
    waiting: Vec<SocketAddr>,
}

/// What is done at a time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Timer {
    /// Send a peer what waits for it.
    Forward(ConnectionId),
    /// Tell a peer where this node is reached.
    Own(ConnectionId),
    /// Tell some peers some addresses.
    Some,
}

impl Gossip {
    /// The behaviour with this configuration.
    pub fn new(config: Config, rng: &Rng) -> Result<Self, InvalidConfig> {
        config.validate()?;
        let mut rng = rng.fork("gossip");
        Ok(Self {
            config,
            secret: Secret::new(&mut rng),
            rng,
            to_share: Arc::default(),
            sessions: ConnectionMap::new(),
            deadlines: Deadlines::new(),
            heard: Recent::new(MAX_HOSTS),
            forwarded: Recent::new(MAX_SEEN),
        })
    }

    /// Where others reach this node, where it is known only later, or has changed. All peers are
    /// told soon.
    pub fn set_own_address(&mut self, address: Option<SocketAddr>) {
        if address != self.config.own_address {
            self.config = self.config.clone().with_own_address(address);
            for (connection, _) in self.sessions.iter() {
                self.deadlines.set(Timer::Own(connection), Time::ZERO);
            }
        }
    }
}

impl Protocol for Gossip {
    type Message<'a> = Peers<'a>;
    type Answer<'a> = Nothing;
    type Event = Infallible;
    type Command = Infallible;

    fn on_established(&mut self, cx: &mut Context<'_, Infallible>, connection: ConnectionId) {
        let Some(peer) = cx.peer(connection) else { return };
        let session = Session {
            host: Origin::host(peer),
            listens_at: listens_at(peer),
            is_version_1: Peer::is_version_1(peer),
            number: self.rng.u64(),
            knows: Recent::new(MAX_KNOWN),
            waiting: Vec::new(),
        };
        let newcomer = session.listens_at.filter(|_| peer.direction == Direction::Inbound);
        self.sessions.insert(connection, session);
        let now = cx.now();
        if self.config.own_address.is_some() {
            let soon = now + self.delay();
            self.deadlines.set(Timer::Own(connection), soon);
        }
        if self.deadlines.get(Timer::Some).is_none() {
            self.deadlines.set(Timer::Some, now + self.rng.jitter(self.config.interval));
        }
        if let Some(address) = newcomer {
            self.hear(cx, connection, 1, [address].into_iter());
        }
    }

    fn on_closed(&mut self, _: &mut Context<'_, Infallible>, connection: ConnectionId, _: &CloseReason) {
        self.sessions.remove(connection);
        self.deadlines.cancel(Timer::Forward(connection));
        self.deadlines.cancel(Timer::Own(connection));
        if self.sessions.is_empty() {
            self.deadlines.cancel(Timer::Some);
        }
    }

    fn on_message(
        &mut self,
        cx: &mut Context<'_, Infallible>,
        from: ConnectionId,
        peers: Peers<'_>,
        _: &Frame,
    ) -> Result<(), Violation> {
        self.hear(cx, from, peers.len(), peers.iter());
        Ok(())
    }

    fn on_signal(&mut self, _: &mut Context<'_, Infallible>, signal: &Signal) {
        if let Signal::AddressesToShare(addresses) = signal {
            self.to_share = Arc::clone(addresses);
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, Infallible>) {
        while let Some(timer) = self.deadlines.pop_due(cx.now()) {
            match timer {
                Timer::Forward(to) => self.send_waiting(cx, to),
                Timer::Own(to) => self.send_own(cx, to),
                Timer::Some => self.send_some(cx),
            }
        }
    }
}
