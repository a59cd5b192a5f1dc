//! Peer exchange: asking peers for addresses of others, and telling them.
//!
//! # What it promises
//!
//! * A peer that asks is answered at once: with what this node tells of the addresses it knows
//!   ([`Signal::AddressesToShare`]), or with nothing. It is never told its own address.
//! * Asking often gives nothing more, whatever connection it is done on: one full answer per peer in
//!   5 minutes, a few per address group, and one per connection to whoever connected to this node.
//! * Peers that this node has dialled are asked when the session begins, and then from time to time.
//!   What they tell is passed on to the tree ([`Signal::AddressesLearned`]) and believed in nothing.
//!   Those that connected are asked, two at a time, only when this node has too few peers and nobody
//!   left to dial ([`Signal::AddressesWanted`]): who comes by itself is not who chooses our peers.
//! * A version-1 node is never asked anything while it may be waiting for an answer.
//!
//! It dials nobody and knows no addresses of its own: the address book hears its signals, and says
//! what may be told.
//!
//! # On the wire
//!
//! [`GetPeers`] (10), with a maximum and addresses that the asker knows as text, and [`Peers`] (11)
//! as its answer. Peers that nobody asked for are gossip's. Neither has an id: a Peers that arrives
//! while a question waits is its answer. Gossip that crosses a question is therefore taken for its
//! answer, and the answer for gossip. Nobody is charged for that: both hold addresses, and gossip's
//! 20 at a time are never more than was asked for. Of the answer, what gossip takes at once from one
//! peer is learned, and the rest lost.
//!
//! ```text
//!   dialled, established                 answer: learn; the next question after 5 min,
//!          |                             or twice as long as last time if nothing was new
//!          v        send GetPeers
//!   may be asked? ----------------> asked -------------------> waits --+
//!     |      ^                        |                                |
//!     | no   | in due time            | 10 s over: charged             | time over
//!     +------+                        v                                |
//!            ^                not asked any more on                    |
//!            |                this connection                          |
//!            +---------------------------------------------------------+
//!
//!   peer asks --> too many questions? -- yes --> charged, no answer
//!                    | no
//!                    v
//!                 answered on this connection, and it is inbound? -- yes --> Peers: none
//!                    | no
//!                    v
//!                 something left for its key, its host, its group? -- no --> Peers: none
//!                    | yes
//!                    v
//!                 Peers: what may be told, less the exclusions and itself
//! ```
//!
//! A peer is its proven key, its host (IPv4 address, IPv6 /64) and its group (/16, /32), and must
//! have something left for each; on a private network, where it can be reached. See
//! [`Origin`](spacetime_core::Origin).
//!
//! # Limits
//!
//! | what | how much |
//! |---|---|
//! | answer | what was asked for, 1000 addresses at most, so 24 KB |
//! | question | 128 KiB (wire), read in place; 1000 exclusions take 32 KB while they are compared |
//! | questions of a peer | 10 at once, then one in 30 s |
//! | full answers | 1 in 5 min (seed) per key and host, 8 per group, 1 per inbound connection |
//! | own questions | 1 in 5 min (seed) per key and host; up to an hour apart while nothing is new |
//! | exclusions in them | 50 |
//! | remembered | 2 x 4096 origins, 4096 addresses: 2 MB |
//!
//! # What each violation costs
//!
//! | what the peer does | what happens | severity |
//! |---|---|---|
//! | malformed GetPeers, malformed answer | charged | serious |
//! | asks again too soon | answered with nothing | |
//! | floods with questions | charged for each, not answered | serious |
//! | does not answer in 10 s | charged, not asked again on this connection | minor |
//! | answers late | dropped by the Swarm | |
//! | answers with more than was asked for | charged; the first ones are taken | serious |
//! | answers with port 0, duplicates, our own address | left out | |

#![no_std]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

extern crate alloc;

mod answer;
mod ask;
mod config;
mod quotas;

use alloc::sync::Arc;
use core::convert::Infallible;
use core::net::SocketAddr;

use answer::Asker;
use ask::Source;
pub use ask::{MAX_EXCLUSIONS, VERSION_1_IDLE};
pub use config::{Config, InvalidConfig, MIN_ASK_COUNT};
use quotas::Quotas;
use spacetime_core::wire::{Frame, GetPeers, Peers};
use spacetime_core::{
    CloseReason, ConnectionId, ConnectionMap, Context, Deadlines, Direction, Protocol, Recent, RequestError,
    RequestId, Rng, Signal, Time, Violation,
};

/// Addresses that answers brought, which are remembered to see what is new.
const MAX_KNOWN: usize = 4096;

/// The behaviour. See the [crate].
#[derive(Debug)]
pub struct PeerExchange {
    config: Config,
    rng: Rng,
    to_share: Arc<[SocketAddr]>,
    sessions: ConnectionMap<Session>,
    /// When to ask.
    deadlines: Deadlines<ConnectionId>,
    answered: Quotas,
    asked: Quotas,
    known: Recent<SocketAddr, ()>,
}

#[derive(Debug)]
struct Session {
    asker: Asker,
    /// None of a peer that is not asked.
    source: Option<Source>,
}

impl PeerExchange {
    /// The behaviour with this configuration.
    pub fn new(config: Config, rng: &Rng) -> Result<Self, InvalidConfig> {
        config.validate()?;
        Ok(Self {
            config,
            rng: rng.fork("peer exchange"),
            to_share: Arc::default(),
            sessions: ConnectionMap::new(),
            deadlines: Deadlines::new(),
            answered: Quotas::new(),
            asked: Quotas::new(),
            known: Recent::new(MAX_KNOWN),
        })
    }

    /// Where others reach this node, where it is known only later.
    pub fn set_own_address(&mut self, address: Option<SocketAddr>) {
        self.config = self.config.clone().with_own_address(address);
    }
}

impl Protocol for PeerExchange {
    type Message<'a> = GetPeers<'a>;
    type Answer<'a> = Peers<'a>;
    type Event = Infallible;
    type Command = Infallible;

    fn on_established(&mut self, cx: &mut Context<'_, Infallible>, connection: ConnectionId) {
        let is_dialled = cx.peer(connection).is_some_and(|peer| peer.direction == Direction::Outbound);
        let source = is_dialled.then(|| self.new_source());
        self.sessions.insert(connection, Session { asker: Asker::new(cx.now()), source });
        if is_dialled {
            self.ask(cx, connection);
        }
    }

    fn on_closed(&mut self, _: &mut Context<'_, Infallible>, connection: ConnectionId, _: &CloseReason) {
        self.sessions.remove(connection);
        self.deadlines.cancel(connection);
    }

    fn on_message(
        &mut self,
        cx: &mut Context<'_, Infallible>,
        from: ConnectionId,
        question: GetPeers<'_>,
        _: &Frame,
    ) -> Result<(), Violation> {
        self.on_get_peers(cx, from, &question)
    }

    fn on_answer(
        &mut self,
        cx: &mut Context<'_, Infallible>,
        from: ConnectionId,
        request: RequestId,
        answer: Peers<'_>,
        _: &Frame,
    ) -> Result<(), Violation> {
        self.on_peers(cx, from, request, answer)
    }

    fn on_request_failed(
        &mut self,
        cx: &mut Context<'_, Infallible>,
        connection: ConnectionId,
        _: RequestId,
        error: RequestError,
    ) {
        self.on_no_answer(cx, connection, error);
    }

    fn on_signal(&mut self, cx: &mut Context<'_, Infallible>, signal: &Signal) {
        match signal {
            Signal::AddressesToShare(addresses) => self.to_share = Arc::clone(addresses),
            Signal::AddressesWanted => self.ask_who_has_dialled(cx),
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, Infallible>) {
        while let Some(connection) = self.deadlines.pop_due(cx.now()) {
            self.ask(cx, connection);
        }
    }
}
