//! Whom an item goes to, and how.

use core::time::Duration;

use smallvec::SmallVec;
use spacetime_core::chain::ChainRules;
use spacetime_core::wire::Announced;
use spacetime_core::{ConnectionId, Context, SendError};

use crate::item::Item;
use crate::mempool::Mempool;
use crate::{Event, Relay};

/// How often it is looked whether a version-1 peer has got its answer, while something is held back
/// from one.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

impl<R: ChainRules, M: Mempool> Relay<R, M> {
    /// Passes an item on to all who are not known to have it.
    pub(crate) fn spread(&mut self, cx: &mut Context<'_, Event>, item: &Item, have: &[ConnectionId]) {
        let payload_bytes = item.payload().len();
        let is_announced = payload_bytes >= self.config.announce_from_bytes;
        let mut whole = SmallVec::<[ConnectionId; 16]>::new();
        let mut named = SmallVec::<[ConnectionId; 16]>::new();
        let mut held = 0;
        for (connection, session) in self.sessions.iter_mut() {
            if have.contains(&connection) {
                continue;
            }
            if session.outbox.holds_back() || cx.may_wait_for_answer(connection) {
                let dropped = session.outbox.hold(&item.frame);
                session.statistics.dropped += dropped;
                self.statistics.dropped += dropped;
                held += 1;
            } else if is_announced && session.can_announce {
                named.push(connection);
            } else {
                whole.push(connection);
            }
        }
        if whole.is_empty() && named.is_empty() && held == 0 {
            return;
        }
        for _ in 0..self.config.push_peers.min(named.len()) {
            let place = self.rng.below(named.len() as u64) as usize;
            whole.push(named.swap_remove(place));
        }
        self.statistics.relayed += 1;
        cx.broadcast(whole, &item.frame);
        if held > 0 && self.look_at.is_none() {
            self.look_at = Some(cx.now() + LOOK_INTERVAL);
        }
        if named.is_empty() {
            return;
        }
        self.stock.insert(item.id, &item.frame, &named, cx.now());
        let announced = Announced {
            message_type: item.kind.message_type(),
            payload_bytes: payload_bytes as u32,
            id: item.id,
        };
        for connection in named {
            if let Some(session) = self.sessions.get_mut(connection) {
                session.outbox.announce(announced);
            }
            self.count(connection, |it| it.announced += 1);
            self.go_on(cx, connection);
        }
    }

    /// Sends version-1 peers what was held back from them, if they wait for no answer now.
    pub(crate) fn send_held(&mut self, cx: &mut Context<'_, Event>) {
        let mut holds_back = false;
        for (connection, session) in self.sessions.iter_mut() {
            if !session.outbox.holds_back() {
                continue;
            }
            if cx.may_wait_for_answer(connection) {
                holds_back = true;
                continue;
            }
            while let Some(frame) = session.outbox.held() {
                if cx.send_frame(connection, frame) == Err(SendError::Full) {
                    break;
                }
                session.outbox.take_held();
            }
            holds_back |= session.outbox.holds_back();
        }
        self.look_at = holds_back.then(|| cx.now() + LOOK_INTERVAL);
    }
}
