//! Whom to dial, and what becomes of it.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::SocketAddr;

use spacetime_core::{
    Address, Candidate, CloseReason, ConnectionId, Context, Endpoint, Identity, Now, PeerId, Signal,
};

use crate::behaviour::{Event, MAX_ADDRESSES_PER_SEED, MAX_OWN_ADDRESSES, Peers};
use crate::book::{Purpose, Source};
use crate::group::{Group, canonical};
use crate::pool::{Opened, Promoted, Role};

/// Seeds that are asked at a time (Bitcoin Core).
const SEEDS_AT_A_TIME: usize = 3;

/// Why a feeler goes no further than to learn who is there.
pub(crate) const NEEDLESS_FEELER: &str = "there is a session with this peer";

impl Peers {
    pub(crate) fn dial_kept(&mut self, cx: &mut Context<'_, Event>) {
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
        self.pool.dialled(connection, Opened::dial(role, address, now.time), now.time, &mut self.rng);
        Some(connection)
    }

    /// Whether it is a feeler that has found a peer with which there is a session.
    ///
    /// # Security
    ///
    /// Of two connections with one peer one is closed, by a rule that both ends share, and it may be the
    /// session; then the feeler ends as well. Whoever tells another address of a peer would cut it off.
    pub(crate) fn is_needless_feeler(&self, candidate: &Candidate<'_>) -> bool {
        let opened = candidate.connection.and_then(|it| self.pool.get(it));
        let proven = candidate.identity.and_then(Identity::proven);
        opened.is_some_and(|it| it.role == Role::Feeler)
            && proven.is_some()
            && self.sessions.iter().any(|(_, it)| it.identity.proven() == proven)
    }

    /// Where there is a connection already, or will be, or ought to be none.
    fn taken(&self) -> BTreeSet<SocketAddr> {
        let sessions = self.sessions.iter().filter_map(|(_, it)| it.listens_at);
        let opened = self.pool.iter().filter_map(|(_, it)| Some(it.address?.0));
        sessions.chain(opened).chain(self.own.iter().copied()).collect()
    }

    /// Dials until there are enough, or nobody is left to be dialled.
    pub(crate) fn fill(&mut self, cx: &mut Context<'_, Event>) {
        let now = self.now(cx);
        while self.pool.wants_dial(now.time) {
            let (taken, groups) = (self.taken(), self.pool.groups());
            let (bans, unix_seconds) = (&self.bans, self.unix_seconds);
            let is_unwanted = |address: &SocketAddr, group: Group| {
                taken.contains(address)
                    || groups.contains(&group)
                    || bans.hold(&(*address).into(), None, unix_seconds)
            };
            let anchor = self.pool.dial_first.pop();
            let anchor = anchor.filter(|it| !is_unwanted(it, self.book.grouping().group(*it)));
            let found = anchor.or_else(|| self.book.select(Purpose::Outbound, now, is_unwanted));
            let Some(address) = found else {
                self.pool.found_nobody(now.time, &mut self.rng);
                break;
            };
            if self.dial(cx, address.into(), Role::Outbound).is_none() {
                self.pool.found_nobody(now.time, &mut self.rng);
            }
        }
        if self.pool.wants_seeds(now.time, self.book.is_empty()) {
            self.pool.seeds_asked(now.time, &mut self.rng);
            cx.signal(Signal::AddressesWanted);
            for seed in self.rng.sample(&self.config.seeds, SEEDS_AT_A_TIME) {
                self.ask_seed(cx, seed);
            }
        }
        self.dial_pinned_seed(cx);
    }

    /// What the name of a pinned seed leads to.
    pub(crate) fn set_pinned_seed(&mut self, peer_id: PeerId, addresses: &[SocketAddr]) {
        let rules = self.config.book.rules;
        let admitted = addresses.iter().filter(|it| rules.check(canonical(**it)).is_ok());
        self.pinned_seeds.retain(|it| it.peer_id() != Some(peer_id));
        self.pinned_seeds.extend(admitted.map(|it| Address::from(*it).pinned(peer_id)));
        // As many as one question leads to.
        let too_many = self.pinned_seeds.len().saturating_sub(SEEDS_AT_A_TIME * MAX_ADDRESSES_PER_SEED);
        self.pinned_seeds.drain(..too_many);
    }

    /// Dials the next place of a pinned seed, once it is known what has become of the last one.
    fn dial_pinned_seed(&mut self, cx: &mut Context<'_, Event>) {
        let is_dialling = |(_, it): (ConnectionId, &Opened)| it.role == Role::Seed && !it.is_session;
        while !self.pinned_seeds.is_empty() && !self.pool.iter().any(is_dialling) {
            if let Some(seed) = self.pinned_seeds.pop() {
                self.dial(cx, seed, Role::Seed);
            }
        }
    }

    fn ask_seed(&mut self, cx: &mut Context<'_, Event>, seed: Address) {
        match seed.endpoint() {
            Endpoint::Name(..) => cx.emit(Event::Resolve(seed)),
            _ if seed.socket_addr().is_some_and(|it| self.taken().contains(&it)) => {}
            _ => {
                self.dial(cx, seed, Role::Seed);
            }
        }
    }

    /// Looks for peers that were lost, and tests an address that was only told, or one whose place
    /// another one wants.
    pub(crate) fn feel(&mut self, cx: &mut Context<'_, Event>) {
        let now = self.now(cx);
        while let Some(lost) = self.pool.take_lost(now.time, &mut self.rng) {
            if !self.taken().contains(&lost) && !self.bans_address(lost) {
                self.dial(cx, lost.into(), Role::Feeler);
            }
        }
        if !self.pool.wants_feeler(now.time) {
            return;
        }
        self.pool.schedule_feeler(now.time, &mut self.rng);
        // Sessions test their addresses as long as they last.
        for (_, opened) in self.pool.iter().filter(|(_, it)| it.is_session) {
            if let Some((address, _)) = opened.address {
                self.book.record_seen(address, now);
            }
        }
        let taken = self.taken();
        let (bans, unix_seconds) = (&self.bans, self.unix_seconds);
        let is_unwanted = |address: &SocketAddr| {
            taken.contains(address) || bans.hold(&(*address).into(), None, unix_seconds)
        };
        let found = self
            .book
            .pending_test(now)
            .filter(|it| !is_unwanted(it))
            .or_else(|| self.book.select(Purpose::Feeler, now, |address, _| is_unwanted(address)));
        if let Some(address) = found {
            self.dial(cx, address.into(), Role::Feeler);
        }
    }

    /// A dial led to a session: what comes of it.
    pub(crate) fn on_dial_established(
        &mut self,
        cx: &mut Context<'_, Event>,
        connection: ConnectionId,
        opened: Opened,
    ) {
        let now = self.now(cx);
        if let Some((address, group)) = opened.address {
            if matches!(opened.role, Role::Kept | Role::Seed) {
                // The user knows it, so it is no hearsay; the rules may still not want it.
                let _ = self.book.add(address, Source::Configured, now);
            }
            let session = self.sessions.get(connection);
            let proven = session.and_then(|it| it.identity.proven());
            if let Some(peer_id) = session.and_then(|it| it.address.peer_id()) {
                self.pinned_seeds.retain(|it| it.peer_id() != Some(peer_id));
            }
            self.book.record_success(address, proven, now);
            self.book_changed(now.time);
            let before = self.pool.find(address);
            if opened.role == Role::Feeler {
                let is_new_group = !self.pool.groups().contains(&group);
                match is_new_group.then(|| self.pool.promote(connection, before)).flatten() {
                    Some(Promoted { leaves: Some(other) }) => cx.close(other, CloseReason::Requested),
                    Some(_) => {}
                    None => cx.close(connection, CloseReason::Requested),
                }
            }
        }
        self.release_seeds(cx);
        self.connections_changed(now.time);
        self.fill(cx);
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

    /// What a dial that came to nothing has told about its address.
    pub(crate) fn record_failure(&mut self, opened: Opened, reason: Option<&CloseReason>, now: Now) {
        let Some((address, _)) = opened.address else { return };
        match reason {
            Some(CloseReason::SelfConnection) => {
                self.book.remove(address);
                if self.own.len() < MAX_OWN_ADDRESSES {
                    self.own.insert(address);
                }
            }
            Some(CloseReason::Refused(NEEDLESS_FEELER)) => {
                self.pool.find(address);
            }
            // It can be reached, but has no place, or one with us already; or we were not patient.
            Some(CloseReason::Duplicate | CloseReason::Requested) => {}
            Some(CloseReason::Remote(reason)) if **reason == CloseReason::Full => {}
            _ => self.book.record_failure(address, now),
        }
        self.book_changed(now.time);
    }
}
