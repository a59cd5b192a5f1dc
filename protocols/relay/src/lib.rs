//! Relay: blocks, transactions and proofs that spread through a network which does not cooperate.
//!
//! # What it promises
//!
//! * What is new and valid reaches everybody, and nobody twice as far as that can be had; what is
//!   invalid goes no further. An item is passed on when the application has accepted it
//!   ([`Command::Verdict`]), and whoever sent one that it rejects is charged, also if it has left.
//! * A corrupted copy suppresses nothing. An item is known by the hash of its type and all of its
//!   payload; a *block* counts as known only once its body was accepted.
//! * Cheap comes before dear: known? well-formed? within the sender's rate? room? Then only the
//!   application is asked.
//! * Who sends more than its rate loses what is too much, and is charged nothing: a busy honest
//!   relay does that too. A host has one rate, whatever connections it has or comes with again.
//! * Large items are announced by name to most peers and sent to few. Each peer asks one of those who
//!   have an item, and another one if it does not come. What was asked for is sent when there is room.
//! * A version-1 node is sent items whole, and nothing else; and nothing while it may be waiting for an
//!   answer, since it takes whatever comes next for that.
//! * While this node downloads the chain ([`Signal::InitialDownload`]) nothing is taken: whoever
//!   downloads hears who has blocks ([`Signal::BlockAnnounced`]).
//!
//! # On the wire
//!
//! [`NewBlock`](wire::NewBlock) (31), [`Block`](wire::Block) (23) that nobody asked for,
//! [`Transaction`](wire::Transaction) (30), [`ProofSubmission`](wire::ProofSubmission) (40),
//! [`BlockAccepted`](wire::BlockAccepted) (41), [`TxPoolRequest`](wire::TxPoolRequest) (32). With peers
//! that announced `relay.announce`: [`Announce`](wire::Announce) (33), [`Fetch`](wire::Fetch) (34),
//! [`NotFound`](wire::NotFound) (35), [`PoolHashes`](wire::PoolHashes) (36).
//!
//! ```text
//!   announced --> known, or on its way? -- yes --> nothing
//!                      | no
//!                 asked for --- does not come, or NotFound --> the next that has it
//!                      |
//!   sent --------------+
//!       |
//!   known? --------- yes --> a duplicate; who sends what was rejected is charged
//!       | no
//!   well-formed? --- no ---> charged
//!       | yes
//!   within rate? --- no ---> dropped
//!       | yes
//!   waits for the verdict -- accept --> passed on to all who do not have it
//!                         -- ignore --> known, not passed on
//!                         -- not yet --> forgotten
//!                         -- reject --> known; all who sent it are charged
//! ```
//!
//! # Limits
//!
//! | what | how much |
//! |---|---|
//! | items that are remembered | 100,000 for 5 min (seed): 7.7 MB |
//! | new items of a host | 100, then 10 a second (seed); 40 of a useful one, 2.5 of a bad one |
//! | hosts remembered after they left | 4096, the oldest forgotten |
//! | items that wait for a verdict | 4096 in 32 MiB and one item, for 60 s; a quarter of that from one host |
//! | items that were asked for | 256 of one host; 3 s, and 1 s for every 128 KiB; 4 min in all, whoever is asked |
//! | items that others are asked for, and a peer has as well | 1024 are noted |
//! | items that can be fetched | 32 MiB for 5 min, each once by each peer |
//! | what waits for room in a peer's queues | 500 items it asked for, 500 announcements |
//! | what is held back from a version-1 node that waits | 256 items, 1 MiB and one item; the oldest make room |
//! | transactions in the pool | 50,000 of 32 MiB for 3 h; when it is full, who takes most makes room |
//! | questions about the pool | 1 in 10 s from each host; answered with what fits its queue, 4000 hashes at most |
//! | blocks that sync is told of | 4 at once of each peer, then 1 a second |
//!
//! # What each violation costs
//!
//! | what the peer does | what happens | severity |
//! |---|---|---|
//! | malformed or ill-formed item | charged | serious; a block grave |
//! | an item that the application rejects, each time | charged | serious; a block grave |
//! | the same by a version-1 node, which passes on before its application looks | charged | minor |
//! | announces an item with another size or type than it has | charged when that comes | serious |
//! | does not send what it announced in the time for all that it was asked for | asked of another, charged once at a time | minor |
//! | more than its rate, or than there is room for | dropped | |
//! | announces what is known | ignored | |
//! | asks for the pool too often | not answered | |
//! | fetches what was not announced to it, or twice | NotFound | |

#![no_std]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

extern crate alloc;

mod announce;
mod announcers;
mod config;
mod fetch;
mod hosts;
mod item;
mod mempool;
mod messages;
mod outbox;
mod pending;
mod pool;
mod rate;
mod receive;
mod seen;
mod serve;
mod spread;
mod statistics;
mod stock;

pub use announcers::MAX_FETCHES_PER_HOST;
use bytes::Bytes;
pub use config::{Config, InvalidConfig};
use fetch::Fetches;
use hosts::Hosts;
pub use item::{Item, Kind};
pub use mempool::{MemoryPool, Mempool};
pub use messages::Message;
use outbox::{News, Outbox};
use pending::Pending;
pub use pending::{MAX_PENDING_BYTES, MAX_PENDING_ITEMS};
pub use pool::{Pool, PoolLimits};
use rate::Load;
pub use seen::{Mark, Seen};
use spacetime_core::chain::ChainRules;
use spacetime_core::wire::{self, Frame, Nothing, Priority};
use spacetime_core::{
    CloseReason, ConnectionId, ConnectionMap, Context, Hash, Identity, Origin, Protocol, Recent, Rng, Signal,
    Time, Violation,
};
pub use statistics::Statistics;
use stock::Stock;

/// The capability under which peers understand Announce, Fetch, NotFound and PoolHashes.
pub const CAPABILITY: &str = "relay.announce";
/// Its version.
pub const CAPABILITY_VERSION: u16 = 1;

/// Peers that have left while items of theirs waited for a verdict.
const MAX_DEPARTED: usize = 256;

/// What the application tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Command {
    /// Pass this on to everybody: it is ours.
    Publish(Item),
    /// What was decided about an item, in answer to [`Event::Received`].
    Verdict {
        /// Its name.
        id: Hash,
        /// What was decided.
        verdict: Verdict,
    },
    /// This block, which was checked, is on the best chain now: what is in it waits no more. It is read if
    /// anything waits at all.
    Included(Bytes),
}

/// What the application decides about an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is valid: pass it on.
    Accept,
    /// It breaks the rules of the chain, whoever looks at it: charge who sent it.
    Reject,
    /// It is of no use here, and nobody did wrong: do not pass it on, and do not ask again.
    Ignore,
    /// It cannot be judged yet: forget that it was there, so that it is looked at when it comes again.
    /// For what is small: every peer that has it may send it once more.
    NotYet,
}

/// What the application is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Something new has come. Decide about it, and answer with [`Command::Verdict`].
    ///
    /// Of a block the layout of the header was checked, of a transaction its layout, and nothing else:
    /// what takes time is not done where all frames pass.
    Received {
        /// What.
        item: Item,
        /// Who was the first to bring it.
        from: ConnectionId,
        /// On which host that is, for limits that outlast its connection.
        host: Origin,
    },
}

/// The behaviour. See the [crate].
#[derive(Debug)]
pub struct Relay<R, M = MemoryPool> {
    mempool: M,
    config: Config,
    rules: R,
    rng: Rng,
    sessions: ConnectionMap<Session>,
    seen: Seen,
    pending: Pending,
    fetches: Fetches,
    stock: Stock,
    hosts: Hosts,
    /// Who has left before the verdict about what it sent, and whether it was a version-1 node.
    departed: Recent<ConnectionId, (Identity, bool)>,
    load: Load,
    /// When to look at what is held back from version-1 peers, if anything is.
    look_at: Option<Time>,
    /// This node downloads the chain, and nothing new is of use to it.
    is_quiet: bool,
    statistics: Statistics,
}

#[derive(Debug)]
struct Session {
    host: Origin,
    identity: Identity,
    can_announce: bool,
    is_version_1: bool,
    outbox: Outbox,
    news: News,
    statistics: Statistics,
}

impl<R: ChainRules, M: Mempool> Relay<R, M> {
    /// The behaviour with this configuration, for a chain with these rules. What is accepted goes into
    /// `mempool`.
    ///
    /// # Errors
    ///
    /// The configuration cannot work.
    pub fn new(config: Config, rules: R, mempool: M, rng: &Rng) -> Result<Self, InvalidConfig> {
        config.validate()?;
        let mut rng = rng.fork("relay");
        Ok(Self {
            mempool,
            seen: Seen::new(config.max_seen, config.seen_lifetime, &mut rng),
            fetches: Fetches::new(config.fetch_timeout),
            stock: Stock::new(config.max_stock_bytes, config.stock_lifetime),
            config,
            rules,
            rng,
            sessions: ConnectionMap::new(),
            pending: Pending::default(),
            hosts: Hosts::new(),
            departed: Recent::new(MAX_DEPARTED),
            load: Load::new(),
            look_at: None,
            is_quiet: false,
            statistics: Statistics::default(),
        })
    }

    /// What became of the items of all sessions, and of those that this node published.
    pub const fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// What became of the items of one session.
    pub fn session_statistics(&self, connection: ConnectionId) -> Option<Statistics> {
        self.sessions.get(connection).map(|it| it.statistics)
    }

    /// The transactions that wait to be in a block.
    pub const fn mempool(&self) -> &M {
        &self.mempool
    }

    /// What is known of an item.
    pub fn mark(&self, id: &Hash, now: Time) -> Option<Mark> {
        self.seen.get(id, now)
    }

    /// Items that wait for a verdict, and the memory that they keep.
    pub fn pending(&self) -> (usize, usize) {
        (self.pending.len(), self.pending.bytes())
    }

    /// Items that were asked for.
    pub fn fetches(&self) -> usize {
        self.fetches.len()
    }

    /// The memory that items keep which can be fetched.
    pub const fn stock_bytes(&self) -> usize {
        self.stock.bytes()
    }

    fn count(&mut self, connection: ConnectionId, count: impl Fn(&mut Statistics)) {
        count(&mut self.statistics);
        if let Some(session) = self.sessions.get_mut(connection) {
            count(&mut session.statistics);
        }
    }
}

impl<R: ChainRules, M: Mempool> Protocol for Relay<R, M> {
    type Message<'a> = Message<'a>;
    type Answer<'a> = Nothing;
    type Event = Event;
    type Command = Command;

    fn on_established(&mut self, cx: &mut Context<'_, Event>, connection: ConnectionId) {
        let Some(peer) = cx.peer(connection) else { return };
        let host = Origin::host(peer);
        self.hosts.enter(&host, self.config.rate, cx.now());
        self.fetches.enter(connection, peer);
        let session = Session {
            identity: peer.identity.clone(),
            can_announce: peer.can(CAPABILITY, CAPABILITY_VERSION),
            is_version_1: peer.is_version_1(),
            host,
            outbox: Outbox::default(),
            news: News::new(cx.now()),
            statistics: Statistics::default(),
        };
        self.sessions.insert(connection, session);
    }

    fn on_closed(&mut self, cx: &mut Context<'_, Event>, connection: ConnectionId, _: &CloseReason) {
        let Some(session) = self.sessions.remove(connection) else { return };
        // It may have sent what somebody else brought first.
        if self.pending.len() > 0 {
            self.departed.insert(connection, (session.identity, session.is_version_1));
        }
        self.hosts.leave(&session.host);
        let failed = self.fetches.leave(cx, connection);
        self.ask_others(cx, failed);
    }

    fn on_message(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        message: Message<'_>,
        frame: &Frame,
    ) -> Result<(), Violation> {
        match message {
            Message::Item(kind) => self.receive(cx, from, kind, frame),
            Message::Announce(announce) => {
                self.on_announce(cx, from, announce);
                Ok(())
            }
            Message::Fetch(wire::Fetch { hashes }) => {
                self.on_fetch(cx, from, hashes);
                Ok(())
            }
            Message::NotFound(wire::NotFound { hashes }) => {
                self.on_not_found(cx, from, hashes);
                Ok(())
            }
            // Whoever asked for them did so by hand.
            Message::PoolHashes(_) => Ok(()),
            Message::TxPoolRequest(request) => {
                self.on_pool_request(cx, from, request);
                Ok(())
            }
        }
    }

    fn on_signal(&mut self, _: &mut Context<'_, Event>, signal: &Signal) {
        if let Signal::InitialDownload(is_on) = signal {
            self.is_quiet = *is_on;
            if self.is_quiet {
                // Nothing of it would be taken, and nobody is to be charged for that.
                self.fetches.clear();
            }
        }
    }

    fn on_command(&mut self, cx: &mut Context<'_, Event>, command: Command) {
        match command {
            Command::Publish(item) => self.publish(cx, &item),
            Command::Verdict { id, verdict } => self.judge(cx, id, verdict),
            Command::Included(block) if !self.mempool.is_empty() => {
                self.rules.for_each_transaction(&block, &mut |hash| self.mempool.remove(&hash));
            }
            Command::Included(_) => {}
        }
    }

    fn on_writable(&mut self, cx: &mut Context<'_, Event>, connection: ConnectionId, _: Priority) {
        self.go_on(cx, connection);
    }

    fn deadline(&self) -> Option<Time> {
        let verdict_at = self.pending.oldest().map(|(since, _)| since + self.config.verdict_timeout);
        let stores = [self.stock.deadline(), self.mempool.deadline()];
        let others = [verdict_at, self.fetches.deadline(), self.look_at];
        others.into_iter().chain(stores).flatten().min()
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, Event>) {
        let now = cx.now();
        while let Some((since, id)) = self.pending.oldest()
            && since + self.config.verdict_timeout <= now
        {
            self.judge(cx, id, Verdict::Ignore);
        }
        self.on_fetch_deadline(cx);
        if self.look_at.is_some_and(|at| at <= now) {
            self.send_held(cx);
        }
        self.stock.drop_old(now);
        self.mempool.drop_old(now);
    }
}
