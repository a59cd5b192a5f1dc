//! What peers tell unasked.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::net::SocketAddr;

use spacetime_core::{ConnectionId, Context, Signal, TokenBucket};

use crate::{Gossip, MAX_FORWARDED};

impl Gossip {
    /// A peer told `count` addresses: what its host may still tell is learned, and passed on if it
    /// is little.
    pub(crate) fn hear(
        &mut self,
        cx: &mut Context<'_, Infallible>,
        from: ConnectionId,
        count: usize,
        addresses: impl Iterator<Item = SocketAddr>,
    ) {
        let now = cx.now();
        let Some(session) = self.sessions.get_mut(from) else { return };
        let mut bucket = self
            .heard
            .get(&session.host)
            .copied()
            .unwrap_or(TokenBucket::new(self.config.accepted_from_strangers, now));
        let mut told = BTreeSet::new();
        let mut accepted = Vec::new();
        for address in addresses {
            let address = SocketAddr::new(address.ip().to_canonical(), address.port());
            if !self.config.accepts(address) {
                continue;
            }
            let fingerprint = self.secret.fingerprint(address);
            if !told.insert(fingerprint) {
                continue;
            }
            if !bucket.take(self.config.accepted, now) {
                break;
            }
            session.knows.insert(fingerprint, now);
            accepted.push((address, fingerprint));
        }
        self.heard.insert(session.host.clone(), bucket);
        if accepted.is_empty() {
            return;
        }
        // Only those that are passed on count as seen. Else whoever sends an address among a
        // thousand others would keep it from being passed on by anybody.
        if count <= MAX_FORWARDED {
            for (address, fingerprint) in &accepted {
                self.forward(cx, from, *address, *fingerprint);
            }
        }
        let addresses = accepted.into_iter().map(|(address, _)| address).collect();
        cx.signal(Signal::AddressesLearned { from, addresses });
    }
}
