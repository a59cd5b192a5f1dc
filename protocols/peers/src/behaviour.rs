//! The behaviour: what happens to connections, and what follows from it.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::ToString as _;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use spacetime_core::wire::{Frame, Nothing};
use spacetime_core::{
    Address, Candidate, CloseReason, ConnectionId, ConnectionMap, Context, DialError, Direction, Identity,
    Now, Offence, Origin, Protocol, Rng, Signal, Stage, Time, Verdict, Violation, is_public, listens_at,
};

use crate::bans::{Ban, Bans};
use crate::book::{AddressBook, BucketKey, Purpose, Record, Source};
use crate::config::{Config, InvalidConfig};
use crate::eviction;
use crate::kept::KeptAddresses;
use crate::pool::{Opened, Pool, Role};
use crate::reputation::{Reputation, Sentence};
use crate::state::{State, Stored};
use crate::target::Target;

/// Honest peers that may stand behind one public address, each with an identity of its own.
const PEERS_BEHIND_A_HOST: i32 = 4;

/// Addresses of this node that are remembered: those it was told, and those at which it met itself.
const MAX_OWN_ADDRESSES: usize = 100;
/// Trusted peers.
const MAX_TRUSTED: usize = 1000;
/// Seeds that are asked at a time (Bitcoin Core).
const SEEDS_AT_A_TIME: usize = 3;
/// Addresses that one seed's name may lead to.
const MAX_ADDRESSES_PER_SEED: usize = 32;

/// How long what may be shared stays the same, for a book that does not grow: so that nobody learns by
/// asking often who is in it, or when a peer is added (Bitcoin Core: 21 to 27 hours).
const SHARE_INTERVAL: Duration = Duration::from_secs(21 * 3600);
/// A book that is smaller, or has doubled, is shared again after so long.
const SHARE_DELAY: Duration = Duration::from_secs(2);
const SMALL_BOOK: usize = 100;

/// How often the book is stored (Bitcoin Core).
const STORE_INTERVAL: Duration = Duration::from_secs(15 * 60);
/// How long after it has doubled it is: what a first start found out is not lost with a power failure.
const STORE_GROWTH_DELAY: Duration = Duration::from_secs(10);
/// How long after a change the rest is, if nobody waits for it.
const STORE_DELAY: Duration = Duration::from_secs(1);

/// What the application tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Command {
    /// Keep a connection with this address from now on.
    Add(Address),
    /// Dial this address no more; a connection there is stays.
    Remove(Address),
    /// Close all sessions with this target and let it in no more.
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
    /// Let it in whatever it did and however many there are.
    Trust(Target),
    /// Treat it like everybody.
    Distrust(Target),
    /// What a seed's name leads to, in answer to [`Event::Resolve`]; nothing if it leads nowhere.
    Resolved(Vec<SocketAddr>),
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

/// A session, whoever opened it.
#[derive(Debug)]
struct Session {
    direction: Direction,
    /// Whom its offences are charged to: its identity, and where it comes from.
    identity: Target,
    host: Origin,
    group: Origin,
    /// Where others can reach it, if that is known.
    listens_at: Option<SocketAddr>,
    established_at: Time,
    min_round_trip: Option<Duration>,
    useful_at: Option<Time>,
}

/// The behaviour. See the [crate].
#[derive(Debug)]
pub struct Peers {
    config: Config,
    rng: Rng,
    group_secret: Rng,
    book: AddressBook,
    reputation: Reputation,
    bans: Bans,
    trusted: BTreeSet<Target>,
    own: BTreeSet<SocketAddr>,
    kept: KeptAddresses,
    pool: Pool,
    sessions: ConnectionMap<Session>,
    /// When what may be shared is drawn again, and how large the book was the last time.
    share_at: Time,
    shared_of: usize,
    /// When to store the book, and the rest; never while nothing has changed.
    store_book_at: Option<Time>,
    stored_of: usize,
    store_state_at: Option<Time>,
    /// The wall clock, as of the last input: [`admit`](Protocol::admit) is not told.
    unix_seconds: i64,
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
            own: config.own_addresses.iter().copied().take(MAX_OWN_ADDRESSES).collect(),
            kept: KeptAddresses::default(),
            pool: Pool::new(config.max_outbound, config.feeler_interval, &mut rng),
            sessions: ConnectionMap::new(),
            share_at: now.time,
            shared_of: 0,
            store_book_at: None,
            stored_of: 0,
            store_state_at: None,
            unix_seconds,
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

    fn restore(&mut self, state: State) {
        let State { bucket_key: _, anchors, bans, trusted, standings } = state;
        for ban in bans.into_iter().take(crate::bans::MAX_BANS) {
            self.bans.add(ban, self.unix_seconds);
        }
        self.trusted.extend(trusted.into_iter().take(MAX_TRUSTED));
        self.reputation.restore(standings, self.unix_seconds);
        let rules = self.config.book.rules;
        let may_be_dialled = |address: &SocketAddr| rules.check(*address).is_ok();
        self.pool.anchors =
            anchors.into_iter().filter(may_be_dialled).take(self.config.max_anchors).collect();
    }

    /// The book as it is to be stored: who is connected was seen now, or a peer that stays for a month
    /// would be worth nothing after a crash.
    pub fn records(&self) -> Vec<Record> {
        let sessions = self.pool.iter().filter(|(_, it)| it.is_session);
        let connected: BTreeSet<_> = sessions.filter_map(|(_, it)| Some(it.address?.0)).collect();
        let as_of_now = |mut record: Record| {
            if connected.contains(&record.address) {
                record.last_seen = record.last_seen.max(self.unix_seconds);
            }
            record
        };
        self.book.records().map(as_of_now).collect()
    }

    /// What is to be stored beside the book.
    pub fn state(&self) -> State {
        State {
            bucket_key: self.book.key().clone(),
            anchors: self.anchors(),
            bans: self.bans.iter(self.unix_seconds).collect(),
            trusted: self.trusted.iter().cloned().collect(),
            standings: self.reputation.standings(self.unix_seconds),
        }
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
        session.map_or(0, |it| self.reputation.score(&it.identity, self.unix_seconds))
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
        self.sessions.iter().filter(|(_, it)| it.direction == Direction::Inbound).count()
    }

    // Who may come.

    fn is_trusted(&self, target: &Target, address: &Address) -> bool {
        self.trusted.contains(target)
            || address.ip().is_some_and(|ip| self.trusted.iter().any(|it| it.holds(ip)))
    }

    fn is_banned(&self, address: &Address, identity: Option<&Identity>) -> bool {
        let is_banned = |target: &Target| self.bans.is_banned(target, self.unix_seconds);
        address.ip().is_some_and(|ip| self.bans.holds(ip, self.unix_seconds))
            || is_banned(&Target::Endpoint(address.endpoint().clone()))
            || address.peer_id().is_some_and(|peer_id| is_banned(&Target::Peer(peer_id)))
            || identity.is_some_and(|identity| is_banned(&Target::of_identity(identity)))
    }

    /// Whether there is a place for one more that comes from this address.
    fn admit_inbound(&self, address: &Address) -> Verdict {
        let inbound = || self.sessions.iter().filter(|(_, it)| it.direction == Direction::Inbound);
        if let Some(ip) = address.ip().filter(|ip| is_public(*ip)) {
            let (host, group) = (Target::host(ip), Target::from(Origin::Group(ip)));
            let from = |target: &Target| {
                inbound().filter(|(_, it)| matches!(&it.host, Origin::Host(ip) if target.holds(*ip))).count()
            };
            if from(&host) >= self.config.max_inbound_per_host {
                return Verdict::Deny("there are enough connections from this address");
            }
            if from(&group) >= self.config.max_inbound_per_group {
                return Verdict::Deny("there are enough connections from this network");
            }
        }
        if inbound().count() >= self.config.max_inbound && self.choose_to_evict(None).is_none() {
            return Verdict::Deny("no place is left for connections from others");
        }
        Verdict::Accept
    }

    fn choose_to_evict(&self, newcomer: Option<ConnectionId>) -> Option<ConnectionId> {
        let candidates = self.sessions.iter().filter(|(connection, it)| {
            it.direction == Direction::Inbound
                && Some(*connection) != newcomer
                && !self.trusted.contains(&it.identity)
                && !self.trusted.contains(&Target::from(it.host.clone()))
        });
        let candidates = candidates.map(|(connection, it)| eviction::Candidate {
            connection,
            group: it.group.clone(),
            established_at: it.established_at,
            min_round_trip: it.min_round_trip,
            useful_at: it.useful_at,
        });
        eviction::choose(candidates.collect(), &self.group_secret)
    }

    // Whom to dial.

    fn now(&mut self, cx: &Context<'_, Event>) -> Now {
        self.unix_seconds = cx.unix_seconds();
        Now::new(cx.now(), self.unix_seconds)
    }

    fn dial_kept(&mut self, cx: &mut Context<'_, Event>) {
        while let Some((index, address)) = self.kept.take_due(cx.now()) {
            match self.dial(cx, address, Role::Kept) {
                Some(connection) => self.kept.dialled(index, connection),
                None => self.kept.try_later(index, cx.now(), &mut self.rng),
            }
        }
    }

    fn dial(&mut self, cx: &mut Context<'_, Event>, address: Address, role: Role) -> Option<ConnectionId> {
        let socket = address.socket_addr();
        let now = self.now(cx);
        if let Some(socket) = socket {
            self.book.record_attempt(socket, now);
        }
        let connection = cx.dial(address).ok()?;
        let address = socket.map(|it| (it, self.book.grouping().group(it)));
        self.pool.dialled(
            connection,
            Opened { role, address, is_session: false, since: now.time },
            now.time,
            &mut self.rng,
        );
        Some(connection)
    }

    /// Where there is a connection already, or will be.
    fn taken(&self) -> BTreeSet<SocketAddr> {
        let sessions = self.sessions.iter().filter_map(|(_, it)| it.listens_at);
        let opened = self.pool.iter().filter_map(|(_, it)| Some(it.address?.0));
        sessions.chain(opened).chain(self.own.iter().copied()).collect()
    }

    /// Dials until there are enough, or nobody is left to be dialled.
    fn fill(&mut self, cx: &mut Context<'_, Event>) {
        let now = self.now(cx);
        while self.pool.wants_dial(now.time) {
            let (taken, groups) = (self.taken(), self.pool.groups());
            let (bans, unix_seconds) = (&self.bans, self.unix_seconds);
            let is_banned = |address: &SocketAddr| bans.holds(address.ip(), unix_seconds);
            let anchor = self.pool.anchors.pop().filter(|it| !taken.contains(it) && !is_banned(it));
            let found = anchor.or_else(|| {
                self.book.select(Purpose::Outbound, now, |address, group| {
                    taken.contains(address) || groups.contains(&group) || is_banned(address)
                })
            });
            let Some(address) = found else {
                self.pool.found_nobody(now.time, &mut self.rng);
                break;
            };
            if self.dial(cx, address.into(), Role::Outbound).is_none() {
                self.pool.found_nobody(now.time, &mut self.rng);
            }
        }
        if !self.config.seeds.is_empty() && self.pool.wants_seeds(now.time, self.book.is_empty()) {
            self.pool.seeds_asked(now.time, &mut self.rng);
            for seed in self.rng.sample(&self.config.seeds, SEEDS_AT_A_TIME) {
                self.ask_seed(cx, seed);
            }
        }
    }

    fn ask_seed(&mut self, cx: &mut Context<'_, Event>, seed: Address) {
        match seed.endpoint() {
            spacetime_core::Endpoint::Name(..) => cx.emit(Event::Resolve(seed)),
            _ if seed.socket_addr().is_some_and(|it| self.taken().contains(&it)) => {}
            _ => {
                self.dial(cx, seed, Role::Seed);
            }
        }
    }

    /// Looks for peers that were lost, and tests an address that was only told, or one whose place
    /// another one wants.
    fn feel(&mut self, cx: &mut Context<'_, Event>) {
        let now = self.now(cx);
        while let Some(lost) = self.pool.take_lost(now.time, &mut self.rng) {
            if !self.taken().contains(&lost) && !self.bans.holds(lost.ip(), now.unix_seconds) {
                self.dial(cx, lost.into(), Role::Feeler);
            }
        }
        if !self.pool.wants_feeler(now.time) {
            return;
        }
        self.pool.schedule_feeler(now.time, &mut self.rng);
        let taken = self.taken();
        let (bans, unix_seconds) = (&self.bans, self.unix_seconds);
        let is_unwanted =
            |address: &SocketAddr| taken.contains(address) || bans.holds(address.ip(), unix_seconds);
        let found = self
            .book
            .pending_test(now)
            .filter(|it| !is_unwanted(it))
            .or_else(|| self.book.select(Purpose::Feeler, now, |address, _| is_unwanted(address)));
        if let Some(address) = found {
            self.dial(cx, address.into(), Role::Feeler);
        }
    }

    /// Closes connections with seeds when there are enough others, some of them through the seed: one
    /// that had nobody to tell of yet may be the only way to a part of the network.
    fn release_seeds(&self, cx: &mut Context<'_, Event>) {
        if !self.pool.is_full() {
            return;
        }
        let chosen = self.pool.iter().filter(|(_, it)| it.is_session && it.role == Role::Outbound);
        let chosen: Vec<_> = chosen.filter_map(|(_, it)| self.book.get(it.address?.0)).collect();
        for (connection, opened) in self.pool.iter() {
            let Some((address, _)) = opened.address.filter(|_| opened.role == Role::Seed) else { continue };
            if opened.is_session && chosen.iter().any(|it| it.source == Source::Peer(address)) {
                cx.close(connection, CloseReason::Requested);
            }
        }
    }

    // What is told and stored.

    /// The book has changed: it is to be stored, and shared if it is small or much larger than before.
    fn book_changed(&mut self, now: Time) {
        self.store_book_at.get_or_insert(now + STORE_INTERVAL);
        let len = self.book.len();
        if len <= SMALL_BOOK || len / 2 >= self.shared_of {
            self.share_at = self.share_at.min(now + SHARE_DELAY);
        }
        if len / 2 >= self.stored_of {
            let at = now + STORE_GROWTH_DELAY;
            self.store_book_at = Some(self.store_book_at.map_or(at, |before| before.min(at)));
        }
    }

    fn state_changed(&mut self, at: Time) {
        self.store_state_at = Some(self.store_state_at.map_or(at, |before| before.min(at)));
    }

    fn share(&mut self, cx: &mut Context<'_, Event>) {
        let now = self.now(cx);
        let addresses: Arc<[SocketAddr]> = self.book.sample(crate::book::MAX_SAMPLE, now).into();
        self.shared_of = self.book.len();
        self.share_at = now.time + self.rng.jitter(SHARE_INTERVAL);
        cx.signal(Signal::AddressesToShare(addresses));
    }

    fn store(&mut self, cx: &mut Context<'_, Event>) {
        let now = self.now(cx).time;
        if self.store_book_at.is_some_and(|at| at <= now) {
            self.store_book_at = None;
            self.stored_of = self.book.len();
            cx.emit(Event::StoreBook(self.records()));
            // Scores change all the time, and are stored with the book.
            self.state_changed(now);
        }
        if self.store_state_at.is_some_and(|at| at <= now) {
            self.store_state_at = None;
            cx.emit(Event::StoreState(Box::new(self.state())));
        }
    }

    /// Whom to dial first after a restart: those connected for longest, and those of before for as
    /// long as there are too few.
    fn anchors(&self) -> Vec<SocketAddr> {
        let mut chosen: Vec<_> = self
            .pool
            .iter()
            .filter(|(_, it)| it.is_session && matches!(it.role, Role::Outbound | Role::Kept))
            .filter_map(|(connection, it)| {
                Some((self.sessions.get(connection)?.established_at, it.address?.0))
            })
            .collect();
        chosen.sort_unstable();
        let mut anchors: Vec<_> = chosen.into_iter().map(|(_, address)| address).collect();
        for before in &self.pool.anchors {
            if !anchors.contains(before) {
                anchors.push(*before);
            }
        }
        anchors.truncate(self.config.max_anchors);
        anchors
    }

    // What peers do.

    fn learn(&mut self, cx: &mut Context<'_, Event>, from: ConnectionId, addresses: &[SocketAddr]) {
        let now = self.now(cx);
        let Some(session) = self.sessions.get(from) else { return };
        let listens_at = session.listens_at;
        let teller = cx.peer(from).and_then(|peer| peer.address.socket_addr());
        for address in addresses {
            if self.own.contains(address) {
                continue;
            }
            let source = match teller {
                _ if listens_at == Some(*address) => Source::Announced,
                Some(teller) => Source::Peer(teller),
                // A peer that has no IP address has no group either: all of them are one source.
                None => Source::Seed,
            };
            if self.book.add(*address, source, now).is_ok() {
                self.pool.look_again();
                self.book_changed(now.time);
            }
        }
        self.fill(cx);
    }

    fn charge(
        &mut self,
        cx: &mut Context<'_, Event>,
        connection: ConnectionId,
        identity: &Identity,
        offence: Offence,
    ) {
        let unix_seconds = self.now(cx).unix_seconds;
        let session = self.sessions.get(connection);
        let host = session.map(|it| Target::from(it.host.clone())).or_else(|| match identity {
            Identity::Claimed { address, .. } => Some(host_of(address)),
            Identity::Proven(_) => None,
        });
        let targets = match identity {
            Identity::Proven(peer_id) => {
                [Some((Target::Peer(*peer_id), 1)), host.map(|it| (it, PEERS_BEHIND_A_HOST))]
            }
            // A claimed name costs nothing.
            Identity::Claimed { .. } => [host.map(|it| (it, 1)), None],
        };
        let is_trusted = |(target, _): &(Target, i32)| self.trusted.contains(target);
        if targets.iter().flatten().any(is_trusted) {
            return;
        }
        let mut worst = Sentence::None;
        for (target, shared_by) in targets.into_iter().flatten() {
            let sentence =
                self.reputation.charge(target.clone(), offence.severity(), shared_by, unix_seconds);
            worst = worst.max(sentence);
            if sentence == Sentence::Ban {
                self.ban(cx, target, Some(self.config.ban_duration), offence.to_string().into());
            }
        }
        if worst >= Sentence::Close {
            cx.close(connection, CloseReason::Violation(offence));
        }
    }

    fn ban(
        &mut self,
        cx: &mut Context<'_, Event>,
        target: Target,
        duration: Option<Duration>,
        reason: Box<str>,
    ) {
        let unix_seconds = self.now(cx).unix_seconds;
        let seconds = duration.map(|it| i64::try_from(it.as_secs()).unwrap_or(i64::MAX));
        let until = seconds.map(|it| unix_seconds.saturating_add(it));
        let of_target: Vec<_> = self
            .sessions
            .iter()
            .filter(|(connection, it)| {
                it.identity == target
                    || Target::from(it.host.clone()) == target
                    || cx.peer(*connection).and_then(|it| it.address.ip()).is_some_and(|ip| target.holds(ip))
            })
            .map(|(connection, _)| connection)
            .collect();
        self.bans.add(Ban { target, until, reason }, unix_seconds);
        for connection in of_target {
            cx.close(connection, CloseReason::Refused("banned"));
        }
        self.state_changed(cx.now() + STORE_DELAY);
    }

    /// What a dial or a session that this node opened has told about its address.
    fn record_failure(&mut self, opened: Opened, reason: Option<&CloseReason>, now: Now) {
        let Some((address, _)) = opened.address else { return };
        match reason {
            Some(CloseReason::SelfConnection) => {
                self.book.remove(address);
                if self.own.len() < MAX_OWN_ADDRESSES {
                    self.own.insert(address);
                }
            }
            // It can be reached; it has no place, or one with us already.
            Some(CloseReason::Duplicate | CloseReason::Refused(_)) => {}
            Some(CloseReason::Remote(reason)) if **reason == CloseReason::Full => {}
            _ => self.book.record_failure(address, now),
        }
        self.book_changed(now.time);
    }
}

/// Where somebody is who claims to be at this address.
fn host_of(address: &Address) -> Target {
    match address.ip().filter(|ip| is_public(*ip)) {
        Some(ip) => Target::host(ip),
        None => Target::Endpoint(address.endpoint().clone()),
    }
}

impl Protocol for Peers {
    type Message<'a> = Nothing;
    type Answer<'a> = Nothing;
    type Event = Event;
    type Command = Command;

    fn admit(&self, candidate: &Candidate<'_>) -> Verdict {
        let target = match candidate.identity {
            Some(identity) => Target::of_identity(identity),
            None => host_of(candidate.address),
        };
        if self.is_trusted(&target, candidate.address) {
            return Verdict::Accept;
        }
        if self.is_banned(candidate.address, candidate.identity) {
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
        let host = Origin::host(peer);
        let proven = peer.identity.proven();
        let session = Session {
            direction: peer.direction,
            identity: proven.map_or_else(|| Target::from(host.clone()), Target::Peer),
            group: Origin::group(peer).unwrap_or_else(|| host.clone()),
            host,
            listens_at: listens_at(peer),
            established_at: now.time,
            min_round_trip: None,
            useful_at: None,
        };
        self.sessions.insert(connection, session);
        self.kept.on_established(connection);

        match self.pool.established(connection, now.time) {
            Some(opened) => {
                if let Some((address, group)) = opened.address {
                    if matches!(opened.role, Role::Kept | Role::Seed) {
                        // The user knows it, so it is no hearsay; the rules may still not want it.
                        let _ = self.book.add(address, Source::Configured, now);
                    }
                    self.book.record_success(address, proven, now);
                    self.book_changed(now.time);
                    if self.pool.find(address) && opened.role == Role::Feeler {
                        self.pool.promote(connection);
                        if let Some(superfluous) = self.pool.superfluous(connection) {
                            cx.close(superfluous, CloseReason::Requested);
                        }
                    } else if opened.role == Role::Feeler {
                        let others =
                            self.pool.iter().filter(|(id, it)| *id != connection && it.role != Role::Feeler);
                        let is_new_group =
                            others.filter_map(|(_, it)| it.address).all(|(_, other)| other != group);
                        if self.pool.is_full() || !is_new_group {
                            cx.close(connection, CloseReason::Requested);
                        } else {
                            self.pool.promote(connection);
                        }
                    }
                }
                self.release_seeds(cx);
                self.state_changed(now.time + STORE_DELAY);
                self.fill(cx);
            }
            None => {
                if self.inbound() > self.config.max_inbound
                    && let Some(evicted) = self.choose_to_evict(Some(connection))
                {
                    cx.close(evicted, CloseReason::Full);
                }
            }
        }
    }

    fn on_closed(&mut self, cx: &mut Context<'_, Event>, connection: ConnectionId, reason: &CloseReason) {
        let now = self.now(cx);
        let session = self.sessions.remove(connection);
        self.kept.on_ended(connection, Some(reason), now.time, &mut self.rng);
        let Some(opened) = self.pool.ended(connection, now.time) else { return };
        if let Some((address, _)) = opened.address
            && session.is_some()
        {
            self.book.record_seen(address, now);
            self.book_changed(now.time);
            let by_nobody = matches!(
                reason,
                CloseReason::Transport(_)
                    | CloseReason::EndOfStream
                    | CloseReason::PingTimeout
                    | CloseReason::SlowReader
            );
            if by_nobody && opened.role == Role::Outbound {
                self.pool.lose(address, now.time, &mut self.rng);
            }
        }
        if matches!(opened.role, Role::Outbound | Role::Kept) {
            self.state_changed(now.time + STORE_DELAY);
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
            Signal::Offence { connection, identity, offence } => {
                self.charge(cx, *connection, identity, *offence);
            }
            Signal::AddressesLearned { from, addresses } => self.learn(cx, *from, addresses),
            Signal::RoundTrip { connection, duration } => {
                if let Some(session) = self.sessions.get_mut(*connection) {
                    let shortest = session.min_round_trip.map_or(*duration, |it| it.min(*duration));
                    session.min_round_trip = Some(shortest);
                }
            }
            Signal::Useful { connection } => {
                let now = self.now(cx);
                if let Some(session) = self.sessions.get_mut(*connection) {
                    session.useful_at = Some(now.time);
                    self.reputation.reward(session.identity.clone(), now.unix_seconds);
                }
            }
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
            Command::Resolved(mut addresses) => {
                self.rng.shuffle(&mut addresses);
                for address in addresses.into_iter().take(MAX_ADDRESSES_PER_SEED) {
                    if !self.own.contains(&address) && self.book.add(address, Source::Seed, now).is_ok() {
                        self.book_changed(now.time);
                    }
                }
                self.pool.look_again();
            }
            Command::Store => {
                self.store_book_at = Some(now.time);
                self.state_changed(now.time);
            }
        }
        self.on_deadline(cx);
    }

    fn deadline(&self) -> Option<Time> {
        let pool = self.pool.deadline(!self.config.seeds.is_empty());
        [Some(self.share_at), self.kept.deadline(), pool, self.store_book_at, self.store_state_at]
            .into_iter()
            .flatten()
            .min()
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, Event>) {
        self.dial_kept(cx);
        self.fill(cx);
        self.feel(cx);
        if self.share_at <= cx.now() {
            self.share(cx);
        }
        self.store(cx);
    }
}
