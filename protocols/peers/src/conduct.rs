//! Who may come, and what follows from what peers do.

use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use spacetime_core::{Address, CloseReason, ConnectionId, Context, Identity, Offence, Origin, Verdict};

use crate::bans::Ban;
use crate::behaviour::{Event, Peers, STORE_DELAY, STORE_INTERVAL};
use crate::book::{Added, Source};
use crate::eviction;
use crate::group::canonical;
use crate::reputation::Sentence;
use crate::session::Session;
use crate::target::Target;

/// Honest peers that may stand behind one public address, each with an identity of its own.
const PEERS_BEHIND_A_HOST: i32 = 4;

impl Peers {
    pub(crate) fn trusts(&self, address: &Address, identity: Option<&Identity>) -> bool {
        self.trusted.iter().any(|it| it.is_about(address, identity))
    }

    fn trusts_session(&self, session: &Session) -> bool {
        self.trusts(&session.address, Some(&session.identity))
    }

    pub(crate) fn bans_address(&self, address: SocketAddr) -> bool {
        self.bans.hold(&address.into(), None, self.unix_seconds)
    }

    fn inbound_sessions(&self) -> impl Iterator<Item = (ConnectionId, &Session)> {
        self.sessions.iter().filter(|(_, it)| it.is_inbound())
    }

    /// Whether there is a place for one more that comes from this address.
    pub(crate) fn admit_inbound(&self, address: &Address) -> Verdict {
        let count = |is_counted: &dyn Fn(&Session) -> bool| {
            self.inbound_sessions().filter(|(_, it)| is_counted(it)).count()
        };
        if let Some((host, group)) = address.ip().and_then(|ip| Origin::host_at(ip).zip(Origin::group_at(ip)))
        {
            if count(&|it| it.host == host) >= self.config.max_inbound_per_host {
                return Verdict::Deny("there are enough connections from this address");
            }
            if count(&|it| it.group == group) >= self.config.max_inbound_per_group {
                return Verdict::Deny("there are enough connections from this network");
            }
        }
        if self.inbound() >= self.config.max_inbound && self.choose_to_evict(None).is_none() {
            return Verdict::Deny("no place is left for connections from others");
        }
        Verdict::Accept
    }

    pub(crate) fn choose_to_evict(&self, newcomer: Option<ConnectionId>) -> Option<ConnectionId> {
        let candidates = self
            .inbound_sessions()
            .filter(|(connection, it)| Some(*connection) != newcomer && !self.trusts_session(it));
        let candidates = candidates.map(|(connection, it)| eviction::Candidate {
            connection,
            group: it.group.clone(),
            established_at: it.established_at,
            min_round_trip: it.min_round_trip,
            useful_at: it.useful_at,
        });
        eviction::choose(candidates.collect(), &self.group_secret)
    }

    /// A peer tells addresses.
    pub(crate) fn learn(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        addresses: &[SocketAddr],
    ) {
        let now = self.now(cx);
        let Some(session) = self.sessions.get(from) else { return };
        let (teller, listens_at) = (session.address.socket_addr(), session.listens_at);
        for address in addresses.iter().map(|it| canonical(*it)) {
            if self.own.contains(&address) {
                continue;
            }
            let source = match teller {
                _ if listens_at == Some(address) => Source::Announced,
                Some(teller) => Source::Peer(teller),
                // A peer that has no IP address has no group either: all of them are one source.
                None => Source::Seed,
            };
            if self.book.add(address, source, now) == Ok(Added::New) {
                self.pool.look_again();
                self.book_changed(now.time);
            }
        }
        self.fill(cx);
    }

    /// A peer was of use.
    pub(crate) fn reward(&mut self, cx: &Context<'_, Event>, connection: ConnectionId) {
        let now = self.now(cx);
        if let Some(session) = self.sessions.get_mut(connection) {
            session.useful_at = Some(now.time);
            self.reputation.reward(session.account(), now.unix_seconds);
            self.state_changed(now.time + STORE_INTERVAL);
        }
    }

    /// A peer offended, before it was let in, in its session, or at its end.
    ///
    /// # Security
    ///
    /// A key costs nothing. One that was never let in is not charged, but where it comes from: else
    /// whoever makes a new one for each connection would pay nothing, and fill the list of bans.
    pub(crate) fn charge(
        &mut self,
        cx: &mut Context<'_, Event>,
        connection: ConnectionId,
        address: Option<&Address>,
        identity: &Identity,
        offence: Offence,
    ) {
        let now = self.now(cx);
        let session =
            self.sessions.get(connection).or_else(|| self.departed.get(&connection).map(Box::as_ref));
        let address = session.map(|it| &it.address).or(match identity {
            Identity::Claimed { address, .. } => Some(address),
            Identity::Proven(_) => address,
        });
        let is_trusted = match address {
            Some(address) => self.trusts(address, Some(identity)),
            None => identity.proven().is_some_and(|it| self.trusted.contains(&Target::Peer(it))),
        };
        if is_trusted {
            return;
        }
        let host = session.map(|it| it.host.clone().into()).or_else(|| address.map(Target::host_of));
        let targets = match identity {
            Identity::Proven(peer_id) if session.is_some() => {
                [Some((Target::Peer(*peer_id), 1)), host.map(|it| (it, PEERS_BEHIND_A_HOST))]
            }
            Identity::Proven(_) | Identity::Claimed { .. } => [host.map(|it| (it, 1)), None],
        };
        let mut worst = Sentence::None;
        for (target, shared_by) in targets.into_iter().flatten() {
            let sentence =
                self.reputation.charge(target.clone(), offence.severity(), shared_by, now.unix_seconds);
            worst = worst.max(sentence);
            if sentence == Sentence::Ban {
                self.ban(cx, target, Some(self.config.ban_duration), offence.to_string().into());
            }
        }
        self.state_changed(now.time + STORE_INTERVAL);
        if worst >= Sentence::Close {
            cx.close(connection, CloseReason::Violation(offence));
        }
    }

    pub(crate) fn ban(
        &mut self,
        cx: &mut Context<'_, Event>,
        target: Target,
        duration: Option<Duration>,
        reason: Box<str>,
    ) {
        let unix_seconds = self.now(cx).unix_seconds;
        let seconds = duration.map(|it| i64::try_from(it.as_secs()).unwrap_or(i64::MAX));
        let until = seconds.map(|it| unix_seconds.saturating_add(it));
        let is_meant = |it: &Session| {
            target.is_about(&it.address, Some(&it.identity)) || Target::from(it.host.clone()) == target
        };
        // Whoever is trusted does not pay for its neighbours.
        let meant: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, it)| is_meant(it) && !self.trusts_session(it))
            .map(|(connection, _)| connection)
            .collect();
        self.bans.add(Ban { target, until, reason }, unix_seconds);
        for connection in meant {
            cx.close(connection, CloseReason::Refused("banned"));
        }
        self.state_changed(cx.now() + STORE_DELAY);
    }
}
