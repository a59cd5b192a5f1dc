//! The behaviour: what happens to connections, and what follows from it.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use spacetime_core::wire::{Frame, Nothing};
use spacetime_core::{
    Address, Candidate, CloseReason, ConnectionId, ConnectionMap, Context, DialError, Direction, Now,
    Protocol, Recent, Rng, Signal, Stage, Time, Verdict, Violation,
};

use crate::bans::{Ban, Bans};
use crate::book::{Added, AddressBook, BucketKey, Record, Source};
use crate::config::{Config, InvalidConfig};
use crate::dialling::NEEDLESS_FEELER;
use crate::group::canonical;
use crate::kept::KeptAddresses;
use crate::pool::{Pool, Role};
use crate::reputation::Reputation;
use crate::session::Session;
use crate::state::{State, Stored};
use crate::target::Target;

/// Addresses of this node that are remembered: those it was told, and those at which it met itself.
pub(crate) const MAX_OWN_ADDRESSES: usize = 100;
/// Peers that can be trusted at the same time.
pub const MAX_TRUSTED: usize = 1000;
/// Addresses that one seed's name may lead to.
pub const MAX_ADDRESSES_PER_SEED: usize = 32;

/// Sessions that have ended and whose peers can still be charged by their host. About 400 bytes each;
/// whoever lets as many come and go while its bad item is judged is charged by its identity alone.
const MAX_DEPARTED: usize = 256;

/// How long a ban may last beyond its end.
const CLOCK_INTERVAL: Duration = Duration::from_secs(60);
/// How often the book is stored (Bitcoin Core), and scores with it.
pub(crate) const STORE_INTERVAL: Duration = Duration::from_secs(15 * 60);
/// How long after a change bans and anchors are, if nobody waits for it.
pub(crate) const STORE_DELAY: Duration = Duration::from_secs(1);

/// What the application tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Command {
    /// Keep a connection with this address from now on.
    Add(Address),
    /// Dial this address no more; a connection there is stays.
    Remove(Address),
    /// Close all sessions with this target, let it in and dial it no more, and trust it no more. Whoever
    /// is trusted for another reason stays.
    Ban {
        /// Whom.
        target: Target,
        /// For how long; for ever if there is nothing here.
        duration: Option<Duration>,
        /// Why, for whoever looks at the bans.
        reason: Box<str>,
    },
    /// Take a ban back, and forget what led to it.
    Unban(Target),
    /// Let it in whatever it did, however many there are and however often it comes, as far as the Swarm has
    /// room for sessions. One that is trusted by its id is known by it only when it has proven it: the rates
    /// of connections are for its host until then. Nothing happens if [`MAX_TRUSTED`] others are trusted.
    Trust(Target),
    /// Treat it like everybody.
    Distrust(Target),
    /// What a seed's name leads to, in answer to [`Event::Resolve`]. At most [`MAX_ADDRESSES_PER_SEED`]
    /// addresses are taken, drawn at random. If the seed is pinned they are dialled, one after the other, until
    /// that peer answers; else they go into the book.
    Resolved {
        /// The seed, as it was asked for.
        seed: Address,
        /// Nothing if it leads nowhere.
        addresses: Vec<SocketAddr>,
    },
    /// Say all that is to be stored, now.
    Store,
}

/// What the application is to do.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Find out where a seed's name leads, and answer with [`Command::Resolved`].
    Resolve(Address),
    /// Store the book, in the place of what was stored before.
    StoreBook(Vec<Record>),
    /// Store the rest, in the place of what was stored before.
    StoreState(Box<State>),
}

/// The behaviour. See the [crate].
#[derive(Debug)]
pub struct Peers {
    pub(crate) config: Config,
    pub(crate) rng: Rng,
    pub(crate) group_secret: Rng,
    pub(crate) book: AddressBook,
    pub(crate) reputation: Reputation,
    pub(crate) bans: Bans,
    pub(crate) trusted: BTreeSet<Target>,
    pub(crate) own: BTreeSet<SocketAddr>,
    pub(crate) kept: KeptAddresses,
    pub(crate) pool: Pool,
    pub(crate) sessions: ConnectionMap<Session>,
    /// Those with proven peers that ended last: what a peer has sent may prove bad when it has left,
    /// and its identity does not say where it was.
    pub(crate) departed: Recent<ConnectionId, Box<Session>>,
    /// Where the names of pinned seeds lead that were asked last, as far as it was not tried yet.
    pub(crate) pinned_seeds: Vec<Address>,
    /// Whom to dial first after a restart.
    pub(crate) anchors: Vec<SocketAddr>,
    /// When what may be shared is drawn again, and how many were in the tried table the last time.
    pub(crate) share_at: Time,
    pub(crate) shared_of: usize,
    /// When to store the book, and the rest; never while nothing has changed.
    pub(crate) store_book_at: Option<Time>,
    /// How large the book was when it was stored.
    pub(crate) stored_of: usize,
    pub(crate) store_state_at: Option<Time>,
    /// The wall clock, as of the last input: [`admit`](Protocol::admit) is not told. While there are
    /// bans it is looked at from time to time, so that they end also where nothing happens.
    pub(crate) unix_seconds: i64,
    pub(crate) clock_at: Time,
}

impl Peers {
    /// The behaviour, with what a former process has stored, and what the wall clock says at
    /// [`Time::ZERO`].
    ///
    /// # Errors
    ///
    /// The configuration cannot work.
    pub fn new(config: Config, stored: Stored, unix_seconds: i64, rng: &Rng) -> Result<Self, InvalidConfig> {
        config.validate()?;
        let now = Now::new(Time::ZERO, unix_seconds);
        let mut rng = rng.fork("peers");
        let Stored { records, state } = stored;
        let key = state.as_ref().map_or_else(|| BucketKey::random(&mut rng), |it| it.bucket_key.clone());
        let mut peers = Self {
            book: AddressBook::new(config.book.clone(), key, &rng),
            group_secret: rng.fork("groups"),
            reputation: Reputation::new(config.reputation),
            bans: Bans::default(),
            trusted: BTreeSet::new(),
            own: config.own_addresses.iter().map(|it| canonical(*it)).take(MAX_OWN_ADDRESSES).collect(),
            kept: KeptAddresses::default(),
            pool: Pool::new(config.max_outbound, config.feeler_interval, &mut rng),
            sessions: ConnectionMap::new(),
            departed: Recent::new(MAX_DEPARTED),
            pinned_seeds: Vec::new(),
            anchors: Vec::new(),
            share_at: now.time,
            shared_of: 0,
            store_book_at: None,
            stored_of: 0,
            store_state_at: None,
            unix_seconds,
            clock_at: now.time,
            config,
            rng,
        };
        for address in peers.config.kept.clone() {
            peers.kept.add(address, now.time);
        }
        for record in records {
            // What is not taken is worth nothing, or was changed by hand into something that is.
            let _ = peers.book.restore(record, now);
        }
        peers.stored_of = peers.book.len();
        match state {
            Some(state) => peers.restore(state),
            None => peers.store_state_at = Some(now.time),
        }
        Ok(peers)
    }

    /// The addresses that are known.
    pub const fn book(&self) -> &AddressBook {
        &self.book
    }

    /// Who is not let in.
    pub fn bans(&self) -> impl Iterator<Item = Ban> {
        self.bans.iter(self.unix_seconds)
    }

    /// Who always is.
    pub fn trusted(&self) -> impl Iterator<Item = &Target> {
        self.trusted.iter()
    }

    /// The score of a session's peer: 0 at first, less with each offence.
    pub fn score(&self, connection: ConnectionId) -> i32 {
        let session = self.sessions.get(connection);
        session.map_or(0, |it| self.reputation.score(&it.account(), self.unix_seconds))
    }

    /// What a session is for; nothing if the peer opened it.
    pub fn role(&self, connection: ConnectionId) -> Option<Role> {
        self.pool.get(connection).map(|it| it.role)
    }

    /// Sessions that this node chose, those among them that the user wants.
    pub fn outbound(&self) -> usize {
        self.pool.outbound_sessions()
    }

    /// Sessions that peers opened.
    pub fn inbound(&self) -> usize {
        self.sessions.iter().filter(|(_, it)| it.is_inbound()).count()
    }

    pub(crate) fn now(&mut self, cx: &Context<'_, Event>) -> Now {
        self.unix_seconds = cx.unix_seconds();
        self.clock_at = cx.now() + CLOCK_INTERVAL;
        Now::new(cx.now(), self.unix_seconds)
    }
}

impl Protocol for Peers {
    type Message<'a> = Nothing;
    type Answer<'a> = Nothing;
    type Event = Event;
    type Command = Command;

    fn admit(&self, candidate: &Candidate<'_>) -> Verdict {
        if self.is_needless_feeler(candidate) {
            return Verdict::Deny(NEEDLESS_FEELER);
        }
        if self.trusts(candidate.address, candidate.identity) {
            return Verdict::AcceptExempt;
        }
        if self.bans.hold(candidate.address, candidate.identity, self.unix_seconds) {
            return Verdict::Deny("banned");
        }
        match (candidate.stage, candidate.direction) {
            (Stage::Accept | Stage::Established, Direction::Inbound) => self.admit_inbound(candidate.address),
            _ => Verdict::Accept,
        }
    }

    fn on_established(&mut self, cx: &mut Context<'_, Event>, connection: ConnectionId) {
        let now = self.now(cx);
        let Some(peer) = cx.peer(connection) else { return };
        self.sessions.insert(connection, Session::new(peer, now.time));
        self.kept.on_established(connection);
        if let Some(opened) = self.pool.established(connection, now.time) {
            self.on_dial_established(cx, connection, opened);
        } else if self.inbound() > self.config.max_inbound
            && let Some(evicted) = self.choose_to_evict(Some(connection))
        {
            cx.close(evicted, CloseReason::Full);
        }
    }

    fn on_closed(&mut self, cx: &mut Context<'_, Event>, connection: ConnectionId, reason: &CloseReason) {
        let now = self.now(cx);
        let session = self.sessions.remove(connection);
        let had_session = session.is_some();
        if let Some(session) = session.filter(|it| it.identity.proven().is_some()) {
            self.departed.insert(connection, Box::new(session));
        }
        self.kept.on_ended(connection, Some(reason), now.time, &mut self.rng);
        let Some(opened) = self.pool.ended(connection, now.time) else { return };
        if let Some((address, _)) = opened.address
            && had_session
        {
            self.book.record_seen(address, now);
            self.book_changed(now.time);
            let by_nobody = matches!(
                reason,
                CloseReason::Transport(_)
                    | CloseReason::Insecure(_)
                    | CloseReason::EndOfStream
                    | CloseReason::PingTimeout
                    | CloseReason::SlowReader
                    | CloseReason::SlowSender
            );
            if by_nobody && opened.role == Role::Outbound {
                self.pool.lose(&opened, now.time, &mut self.rng);
            }
        }
        if *reason != CloseReason::Shutdown {
            self.connections_changed(now.time);
        }
        self.fill(cx);
    }

    fn on_dial_failed(
        &mut self,
        cx: &mut Context<'_, Event>,
        connection: ConnectionId,
        _: &Address,
        error: &DialError,
    ) {
        let now = self.now(cx);
        let reason = match error {
            DialError::Closed(reason) => Some(reason),
            _ => None,
        };
        self.kept.on_ended(connection, reason, now.time, &mut self.rng);
        let Some(opened) = self.pool.ended(connection, now.time) else { return };
        match error {
            // It says nothing about the address.
            DialError::AlreadyConnected
            | DialError::Refused(_)
            | DialError::Full
            | DialError::Unsupported => {}
            _ => self.record_failure(opened, reason, now),
        }
        self.fill(cx);
    }

    fn on_message(
        &mut self,
        _: &mut Context<'_, Event>,
        _: ConnectionId,
        never: Nothing,
        _: &Frame,
    ) -> Result<(), Violation> {
        match never {}
    }

    fn on_signal(&mut self, cx: &mut Context<'_, Event>, signal: &Signal) {
        match signal {
            Signal::Offence { connection, address, identity, offence } => {
                self.charge(cx, *connection, address.as_ref(), identity, *offence);
            }
            Signal::AddressesLearned { from, addresses } => self.learn(cx, *from, addresses),
            Signal::RoundTrip { connection, duration } => {
                if let Some(session) = self.sessions.get_mut(*connection) {
                    let shortest = session.min_round_trip.map_or(*duration, |it| it.min(*duration));
                    session.min_round_trip = Some(shortest);
                }
            }
            Signal::Useful { connection } => self.reward(cx, *connection),
            _ => {}
        }
    }

    fn on_command(&mut self, cx: &mut Context<'_, Event>, command: Command) {
        let now = self.now(cx);
        match command {
            Command::Add(address) => self.kept.add(address, now.time),
            Command::Remove(address) => self.kept.remove(&address),
            Command::Ban { target, duration, reason } => {
                self.trusted.remove(&target);
                self.ban(cx, target, duration, reason);
                self.state_changed(now.time);
            }
            Command::Unban(target) => {
                self.bans.remove(&target);
                self.reputation.pardon(&target, now.unix_seconds);
                self.state_changed(now.time);
            }
            Command::Trust(target) => {
                self.bans.remove(&target);
                if self.trusted.len() < MAX_TRUSTED {
                    self.trusted.insert(target);
                }
                self.state_changed(now.time);
            }
            Command::Distrust(target) => {
                self.trusted.remove(&target);
                self.state_changed(now.time);
            }
            Command::Resolved { seed, mut addresses } => {
                self.rng.shuffle(&mut addresses);
                addresses.truncate(MAX_ADDRESSES_PER_SEED);
                addresses.retain(|it| !self.own.contains(&canonical(*it)));
                match seed.peer_id() {
                    Some(peer_id) => self.set_pinned_seed(peer_id, &addresses),
                    None => {
                        for address in addresses {
                            if self.book.add(address, Source::Seed, now) == Ok(Added::New) {
                                self.book_changed(now.time);
                            }
                        }
                        self.pool.look_again();
                    }
                }
            }
            Command::Store => {
                self.store_book_at = Some(now.time);
                self.state_changed(now.time);
            }
        }
        self.on_deadline(cx);
    }

    fn deadline(&self) -> Option<Time> {
        let pool = self.pool.deadline();
        let clock_at = (!self.bans.is_empty()).then_some(self.clock_at);
        [Some(self.share_at), self.kept.deadline(), pool, self.store_book_at, self.store_state_at, clock_at]
            .into_iter()
            .flatten()
            .min()
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, Event>) {
        self.now(cx);
        self.dial_kept(cx);
        self.fill(cx);
        self.feel(cx);
        if self.share_at <= cx.now() {
            self.share(cx);
        }
        self.store(cx);
    }
}
