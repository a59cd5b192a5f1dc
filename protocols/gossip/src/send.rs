//! What peers are told unasked.

use alloc::vec::Vec;
use core::cmp::Reverse;
use core::convert::Infallible;
use core::net::SocketAddr;
use core::time::Duration;

use spacetime_core::wire::Peers;
use spacetime_core::{ConnectionId, Context, SendError, Time};

use crate::fingerprint::Fingerprint;
use crate::{Gossip, MAX_FORWARDED, Session, Timer};

/// How long a peer counts as knowing an address, as long as it is remembered.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 3600);

/// How long a version-1 node must have been silent before it is told anything. While it waits for an
/// answer of ours it would take the addresses for it; it gives up after 30 s at the latest (seed).
pub const VERSION_1_IDLE: Duration = Duration::from_secs(120);

/// Addresses that wait to be passed on to one peer.
pub const MAX_WAITING: usize = 100;

/// The shortest time for which an address waits.
const MIN_DELAY: Duration = Duration::from_millis(1);

impl Session {
    /// Whether there is no sense in telling the peer an address.
    fn knows(&self, address: SocketAddr, fingerprint: Fingerprint, now: Time) -> bool {
        self.listens_at == Some(address)
            || self.knows.get(&fingerprint).is_some_and(|at| *at + KNOWN_FOR > now)
    }

    /// Until when the peer must not be told anything.
    fn busy_until(&self, cx: &Context<'_, Infallible>, connection: ConnectionId) -> Option<Time> {
        let idle_at = cx.last_received(connection)? + VERSION_1_IDLE;
        (self.is_version_1 && idle_at > cx.now()).then_some(idle_at)
    }
}

impl Gossip {
    /// Passes an address on to a few peers, unless that was done a while ago.
    ///
    /// They are chosen by the address, not by chance, as in Bitcoin Core: however often somebody
    /// tells an address, it goes to the same few for a day. Whoever tells it to find out which peers
    /// this node has learns no more from the second time than from the first, and cannot make it
    /// reach them all.
    pub(crate) fn forward(
        &mut self,
        cx: &Context<'_, Infallible>,
        from: ConnectionId,
        address: SocketAddr,
        fingerprint: Fingerprint,
    ) {
        let now = cx.now();
        let window = self.config.dedup_window;
        if self.forwarded.get(&fingerprint).is_some_and(|at| *at + window > now) {
            return;
        }
        let others = self.sessions.iter().filter(|(id, it)| *id != from && !it.is_version_1);
        let mut ranked: Vec<_> =
            others.map(|(id, it)| (Reverse(fingerprint.rank(it.number, now)), id)).collect();
        ranked.sort_unstable();
        for (_, to) in ranked.into_iter().take(self.config.forward_peers) {
            let Some(session) = self.sessions.get_mut(to) else { continue };
            if session.knows(address, fingerprint, now) {
                self.forwarded.insert(fingerprint, now);
            } else if session.waiting.len() < MAX_WAITING {
                session.waiting.push(address);
                session.knows.insert(fingerprint, now);
                self.forwarded.insert(fingerprint, now);
                if self.deadlines.get(Timer::Forward(to)).is_none() {
                    let soon = now + self.delay();
                    self.deadlines.set(Timer::Forward(to), soon);
                }
            }
        }
    }

    /// Some of the time for which addresses wait.
    pub(crate) fn delay(&mut self) -> Duration {
        let longest = u64::try_from(self.config.forward_delay.as_nanos()).unwrap_or(u64::MAX);
        MIN_DELAY + Duration::from_nanos(self.rng.below(longest))
    }

    /// Sends a peer what waits for it, as much as one message of gossip holds.
    pub(crate) fn send_waiting(&mut self, cx: &mut Context<'_, Infallible>, to: ConnectionId) {
        let Some(session) = self.sessions.get_mut(to) else { return };
        // In another order than they came in.
        self.rng.shuffle(&mut session.waiting);
        let rest = session.waiting.split_off(session.waiting.len().min(MAX_FORWARDED));
        let now = core::mem::replace(&mut session.waiting, rest);
        if !session.waiting.is_empty() {
            let later = cx.now() + self.delay();
            self.deadlines.set(Timer::Forward(to), later);
        }
        send(cx, to, &now);
    }

    /// Tells a peer where this node is reached.
    pub(crate) fn send_own(&mut self, cx: &mut Context<'_, Infallible>, to: ConnectionId) {
        // One that is of no use to anybody would only show what our private network looks like.
        let Some(own) = self.config.own_address.filter(|own| self.config.is_of_use(*own)) else { return };
        let Some(session) = self.sessions.get(to) else { return };
        if let Some(idle_at) = session.busy_until(cx, to) {
            return self.deadlines.set(Timer::Own(to), idle_at);
        }
        send(cx, to, &[own]);
        let next = cx.now() + self.rng.jitter(self.config.own_interval);
        self.deadlines.set(Timer::Own(to), next);
    }

    /// Tells a few peers some of what this node tells.
    pub(crate) fn send_some(&mut self, cx: &mut Context<'_, Infallible>) {
        let now = cx.now();
        let idle = self.sessions.iter().filter(|(id, it)| it.busy_until(cx, *id).is_none());
        let idle: Vec<_> = idle.map(|(id, _)| id).collect();
        for to in self.rng.sample(&idle, self.config.peers) {
            let Some(session) = self.sessions.get_mut(to) else { continue };
            let mut some = Vec::new();
            for address in self.rng.sample(&self.to_share, self.to_share.len()) {
                let fingerprint = self.secret.fingerprint(address);
                if self.config.accepts(address) && !session.knows(address, fingerprint, now) {
                    session.knows.insert(fingerprint, now);
                    some.push(address);
                }
                if some.len() == self.config.count {
                    break;
                }
            }
            send(cx, to, &some);
        }
        self.deadlines.set(Timer::Some, now + self.rng.jitter(self.config.interval));
    }
}

fn send(cx: &mut Context<'_, Infallible>, to: ConnectionId, addresses: &[SocketAddr]) {
    if addresses.is_empty() {
        return;
    }
    match cx.send(to, &Peers::new(addresses)) {
        // Whoever does not read is told nothing.
        Ok(()) | Err(SendError::Full | SendError::Closed) => {}
        Err(error) => debug_assert!(false, "so many addresses can be sent: {error}"),
    }
}
