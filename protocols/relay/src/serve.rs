//! What peers ask for.

use alloc::vec::Vec;

use smallvec::SmallVec;
use spacetime_core::chain::ChainRules;
use spacetime_core::wire::{
    Announce, Announced, Hashes, MAX_ANNOUNCED, NotFound, PoolHashes, Priority, TxPoolRequest,
};
use spacetime_core::{ConnectionId, Context, Hash, SendError};

use crate::mempool::Mempool;
use crate::{Event, Relay};

/// Hashes of the pool that are told at a time: half of what may wait for a peer.
const MAX_TOLD_HASHES: usize = 4000;

impl<R: ChainRules, M: Mempool> Relay<R, M> {
    /// A peer wants items that were announced to it.
    pub(crate) fn on_fetch(&mut self, cx: &mut Context<'_, Event>, from: ConnectionId, hashes: Hashes<'_>) {
        let Some(session) = self.sessions.get_mut(from) else { return };
        hashes.iter().for_each(|id| session.outbox.want(id));
        self.go_on(cx, from);
    }

    /// Sends a peer what waits for it, as far as its queues have room. [`on_writable`] goes on.
    ///
    /// [`on_writable`]: spacetime_core::Protocol::on_writable
    pub(crate) fn go_on(&mut self, cx: &mut Context<'_, Event>, to: ConnectionId) {
        let Some(session) = self.sessions.get_mut(to) else { return };
        let outbox = &mut session.outbox;
        let (stock, missing) = (&mut self.stock, &mut outbox.missing);
        // A block need not wait for room among the transactions.
        let mut full: SmallVec<[Priority; 4]> = SmallVec::new();
        outbox.wanted.retain(|id| {
            let Some(frame) = stock.offered(id, to) else {
                missing.push(*id);
                return false;
            };
            if full.contains(&frame.priority()) {
                return true;
            }
            match cx.send_frame(to, frame) {
                Err(SendError::Full) => {
                    full.push(frame.priority());
                    return true;
                }
                result => debug_assert!(result.is_ok(), "a session takes frames that were encoded"),
            }
            stock.fetched(id, to);
            false
        });
        while !outbox.missing.is_empty() {
            let count = outbox.missing.len().min(MAX_ANNOUNCED);
            let hashes = outbox.missing.get(..count).unwrap_or(&[]);
            if cx.send(to, &NotFound { hashes: hashes.into() }).is_err() {
                break;
            }
            outbox.missing.drain(..count);
        }
        if !outbox.announced.is_empty() {
            let items: &[Announced] = outbox.announced.make_contiguous();
            if cx.send(to, &Announce::new(items)).is_ok() {
                outbox.announced.clear();
            }
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
        let Some(session) = self.sessions.get(from) else { return };
        if !self.hosts.get_mut(&session.host).is_some_and(|it| it.may_ask_for_pool(now)) {
            return;
        }
        let max = usize::try_from(request.max_transactions).unwrap_or(0);
        let transactions = self.mempool.transactions().take(max);
        if request.include_data {
            for (_, frame) in transactions {
                if cx.send_frame(from, frame).is_err() {
                    break;
                }
            }
        } else if session.can_announce {
            let hashes: Vec<Hash> = transactions.map(|(hash, _)| hash).take(MAX_TOLD_HASHES).collect();
            // If it does not read, it does not wait for this either.
            let _ = cx.send(from, &PoolHashes { hashes: Hashes::from(&*hashes) });
        }
    }
}
