//! Whom an item goes to, and how.

use alloc::vec::Vec;
use core::time::Duration;

use smallvec::SmallVec;
use spacetime_core::chain::ChainRules;
use spacetime_core::wire::{
    Announce, Announced, Hashes, MAX_POOL_HASHES, NotFound, PoolHashes, TxPoolRequest,
};
use spacetime_core::{ConnectionId, Context, Hash, Rate};

use crate::item::Item;
use crate::mempool::Mempool;
use crate::{Event, Relay};

/// How often a peer may ask for the pool.
const POOL_REQUESTS: Rate = Rate { capacity: 2, interval: Duration::from_secs(10) };

impl<R: ChainRules, M: Mempool> Relay<R, M> {
    /// Passes an item on to all who are not known to have it.
    pub(crate) fn spread(&mut self, cx: &mut Context<'_, Event>, item: &Item, have: &[ConnectionId]) {
        let payload_bytes = item.payload().len();
        let is_announced = payload_bytes >= self.config.announce_from_bytes;
        let mut whole = SmallVec::<[ConnectionId; 16]>::new();
        let mut named = SmallVec::<[ConnectionId; 16]>::new();
        for (connection, session) in self.sessions.iter() {
            if have.contains(&connection) {
                continue;
            }
            if is_announced && session.can_announce {
                named.push(connection);
            } else {
                whole.push(connection);
            }
        }
        if whole.is_empty() && named.is_empty() {
            return;
        }
        for _ in 0..self.config.push_peers.min(named.len()) {
            let place = self.rng.below(named.len() as u64) as usize;
            whole.push(named.swap_remove(place));
        }
        self.statistics.relayed += 1;
        cx.broadcast(whole, &item.frame);
        if named.is_empty() {
            return;
        }
        let announced = Announced {
            message_type: item.kind.message_type(),
            payload_bytes: payload_bytes as u32,
            id: item.id,
        };
        for connection in &named {
            // Who does not read hears of it from others.
            let _ = cx.send(*connection, &Announce::new(&[announced]));
            self.count(*connection, |it| it.announced += 1);
        }
        self.stock.insert(item.id, item.frame.clone(), named.into_iter().collect(), cx.now());
    }

    /// A peer wants items that were announced to it.
    pub(crate) fn on_fetch(&mut self, cx: &mut Context<'_, Event>, from: ConnectionId, hashes: Hashes<'_>) {
        let mut missing = Vec::new();
        for id in hashes.iter() {
            let sent = match self.stock.fetch(&id, from) {
                Some(frame) => cx.send_frame(from, frame).is_ok(),
                None => false,
            };
            if !sent {
                missing.push(id);
            }
        }
        if !missing.is_empty() {
            // If it does not even take this, it asks another one in time.
            let _ = cx.send(from, &NotFound { hashes: Hashes::from(&*missing) });
        }
    }

    /// A peer wants to know what is in the pool. Transactions go out one by one, as many as there is
    /// room for; hashes only to those that can read them.
    pub(crate) fn on_pool_request(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        request: TxPoolRequest,
    ) {
        let now = cx.now();
        let Some(session) = self.sessions.get_mut(from) else { return };
        if !session.pool_requests.take(POOL_REQUESTS, now) {
            return;
        }
        let max = usize::try_from(request.max_transactions).unwrap_or(0).min(MAX_POOL_HASHES);
        let transactions = self.mempool.transactions().take(max);
        if request.include_data {
            for (_, frame) in transactions {
                if cx.send_frame(from, frame).is_err() {
                    break;
                }
            }
        } else if session.can_announce {
            let hashes: Vec<Hash> = transactions.map(|(hash, _)| hash).collect();
            // If it does not read, it does not wait for this either.
            let _ = cx.send(from, &PoolHashes { hashes: Hashes::from(&*hashes) });
        }
    }
}
