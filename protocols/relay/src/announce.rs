//! What peers announce, and what becomes of it.

use alloc::vec::Vec;

use spacetime_core::chain::ChainRules;
use spacetime_core::wire::{Announce, Fetch, Hashes, MAX_ANNOUNCED};
use spacetime_core::{ConnectionId, Context, Hash, Offence, Signal};

use crate::fetch::{Ask, Failed, Next};
use crate::item::Kind;
use crate::mempool::Mempool;
use crate::seen::Mark;
use crate::{Event, Relay};

/// What a peer is charged with that announced an item with another size or type than it has. The name
/// of an item says what it is to the last bit, so no honest peer does that.
const FALSE_ANNOUNCEMENT: Offence = Offence::Other("an item was announced as something else than it is");

impl<R: ChainRules, M: Mempool> Relay<R, M> {
    /// A peer has items. Those that are new are asked for, each of one peer.
    pub(crate) fn on_announce(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        announce: Announce<'_>,
    ) {
        let now = cx.now();
        let mut asks = Vec::new();
        for announced in announce.iter() {
            let Some(kind) = Kind::of(announced.message_type) else { continue };
            let id = announced.id;
            let block_hash = (kind == Kind::Block).then_some(id);
            if let Some(waiting) = self.pending.get_mut(&id) {
                waiting.add_holder(from, false);
                continue;
            }
            if let Some(mark) = self.seen.get(&id, now) {
                if mark == Mark::Ignored {
                    self.say_who_has(cx, block_hash, from);
                }
                continue;
            }
            if self.is_quiet {
                // Whoever downloads the chain wants to know who has more of it.
                self.say_who_has(cx, block_hash, from);
                continue;
            }
            let is_taken = if self.fetches.contains(&id) {
                self.fetches.add_other(cx, &announced, kind, from)
            } else {
                let is_asked = self.fetches.has_room(from)
                    && self.takes_from(from, now)
                    && self.fetches.insert(cx, &announced, kind, from);
                asks.extend(is_asked.then_some(Ask { from, id }));
                is_asked
            };
            if !is_taken {
                self.say_who_has(cx, block_hash, from);
                self.count(from, |it| it.dropped += 1);
            }
        }
        self.ask(cx, asks);
    }

    /// Asks peers for items, each for all of its own at a time. Who cannot be asked is passed over.
    fn ask(&mut self, cx: &mut Context<'_, Event>, mut asks: Vec<Ask>) {
        while !asks.is_empty() {
            asks.sort_unstable();
            let mut next = Vec::new();
            for of_peer in asks.chunk_by(|one, other| one.from == other.from) {
                for asks in of_peer.chunks(MAX_ANNOUNCED) {
                    let Some(Ask { from, .. }) = asks.first().copied() else { continue };
                    let hashes: Vec<Hash> = asks.iter().map(|it| it.id).collect();
                    if cx.send(from, &Fetch { hashes: Hashes::from(&*hashes) }).is_ok() {
                        self.count(from, |it| it.fetched += hashes.len() as u64);
                        continue;
                    }
                    // It does not read, and was not asked: somebody else is.
                    for id in hashes {
                        let failed = self.fetches.not_found(cx, &id, from);
                        next.extend(failed.and_then(|failed| self.turn_away(cx, failed)));
                    }
                }
            }
            asks = next;
        }
    }

    /// A peer does not have what it announced.
    pub(crate) fn on_not_found(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        hashes: Hashes<'_>,
    ) {
        let failed: Vec<Failed> =
            hashes.iter().filter_map(|id| self.fetches.not_found(cx, &id, from)).collect();
        self.count(from, |it| it.not_sent += failed.len() as u64);
        self.ask_others(cx, failed);
    }

    /// Peers have not sent what they announced for long enough.
    pub(crate) fn on_fetch_deadline(&mut self, cx: &mut Context<'_, Event>) {
        let mut all = Vec::new();
        while let Some(failed) = self.fetches.pop_due(cx) {
            self.count(failed.by, |it| it.not_sent += 1);
            if failed.is_charged {
                cx.report(failed.by, Offence::NoAnswer(failed.kind.message_type()));
            }
            all.push(failed);
        }
        self.ask_others(cx, all);
    }

    /// Asks others for what these peers do not send.
    pub(crate) fn ask_others(&mut self, cx: &mut Context<'_, Event>, failed: Vec<Failed>) {
        let asks = failed.into_iter().filter_map(|failed| self.turn_away(cx, failed)).collect();
        self.ask(cx, asks);
    }

    /// Whom to ask in the place of a peer; of a block that nobody can be asked for sync hears.
    fn turn_away(&mut self, cx: &mut Context<'_, Event>, failed: Failed) -> Option<Ask> {
        match failed.next {
            Next::Ask(ask) => Some(ask),
            Next::GiveUp(have_it) => {
                have_it.into_iter().for_each(|peer| self.say_who_has(cx, Some(failed.id), peer));
                None
            }
        }
    }

    /// An item has come, and need not be waited for any more. Who has it, as far as they said.
    pub(crate) fn arrived(
        &mut self,
        cx: &mut Context<'_, Event>,
        id: &Hash,
        kind: Kind,
        payload_bytes: usize,
    ) -> Vec<ConnectionId> {
        let arrived = self.fetches.arrived(id, kind, payload_bytes);
        for liar in arrived.liars {
            cx.report(liar, FALSE_ANNOUNCEMENT);
        }
        arrived.holders.to_vec()
    }

    /// Whoever downloads blocks is told who has one that this node does not take as it came, or not yet.
    pub(crate) fn say_who_has(
        &mut self,
        cx: &mut Context<'_, Event>,
        block_hash: Option<Hash>,
        from: ConnectionId,
    ) {
        let now = cx.now();
        if let Some(hash) = block_hash
            && let Some(session) = self.sessions.get_mut(from)
            && session.news.is_worth_telling(hash, now)
        {
            cx.signal(Signal::BlockAnnounced { from, hash });
        }
    }
}
