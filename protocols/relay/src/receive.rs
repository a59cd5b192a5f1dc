//! What becomes of items that come.

use alloc::vec::Vec;

use smallvec::SmallVec;
use spacetime_core::chain::{ChainRules, InvalidObject};
use spacetime_core::wire::{Frame, MessageType};
use spacetime_core::{ConnectionId, Context, Hash, Offence, Origin, Signal, Time, Violation};

use crate::item::{Item, Kind};
use crate::mempool::Mempool;
use crate::seen::Mark;
use crate::{Event, Relay, Verdict};

impl<R: ChainRules, M: Mempool> Relay<R, M> {
    /// An item has come, asked for or not.
    pub(crate) fn receive(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        kind: Kind,
        frame: &Frame,
    ) -> Result<(), Violation> {
        let now = cx.now();
        let block_hash = if kind == Kind::Block { R::block_id(frame.payload()) } else { None };
        // Of a Block the reader knows only the block's hash, and its name costs a hash of all of it.
        let named = frame.object_id().filter(|_| frame.message_type() == kind.message_type());
        if let Some(id) = named
            && self.is_known(cx, from, kind, id, block_hash)?
        {
            return Ok(());
        }
        // Another payload around a block that is known: its body was accepted, so this one is not it.
        if block_hash.is_some_and(|hash| self.seen.get(&hash, now).is_some()) {
            self.count(from, |it| it.duplicates += 1);
            self.came(cx, named, kind, frame);
            return Ok(());
        }
        let transaction_hash = match self.check(from, kind, frame) {
            Ok(hash) => hash,
            Err(violation) => {
                self.count(from, |it| it.rejected += 1);
                self.came(cx, named, kind, frame);
                return Err(violation);
            }
        };
        // It waits for longer to be in a block than names are remembered.
        if let (Some(hash), Some(id)) = (transaction_hash, named)
            && self.mempool.contains(&hash, &id)
        {
            self.seen.insert(id, Mark::Accepted, now);
            self.count(from, |it| it.duplicates += 1);
            self.came(cx, named, kind, frame);
            return Ok(());
        }
        if self.is_quiet {
            self.say_who_has(cx, block_hash, from);
            self.count(from, |it| it.dropped += 1);
            return Ok(());
        }

        let is_asked = named.is_some_and(|id| self.fetches.is_asked_of(&id, from));
        // What was asked for was counted when it was.
        if !(is_asked || self.takes_from(from, now)) || !self.has_room_for(from) {
            self.say_who_has(cx, block_hash, from);
            self.count(from, |it| it.dropped += 1);
            let failed = named.and_then(|id| self.fetches.not_found(cx, &id, from));
            self.ask_others(cx, failed.into_iter().collect());
            return Ok(());
        }
        let id = match named {
            Some(id) => id,
            None => {
                let id = kind.id(frame.payload());
                if self.is_known(cx, from, kind, id, block_hash)? {
                    return Ok(());
                }
                id
            }
        };
        // It goes on under the name by which it is known, so that who is sent it knows that as well.
        let frame = match frame.message_type() {
            MessageType::BLOCK => Item::block(frame.payload()).map_or_else(|_| frame.keep(), |it| it.frame),
            _ => frame.keep(),
        };
        let item = Item { kind, id, frame };
        self.load.add(now);
        let holders = self.arrived(cx, &id, kind, item.payload().len());
        let Some(session) = self.sessions.get(from) else { return Ok(()) };
        let origin = session.host.clone();
        let Some(host) = self.hosts.get_mut(&origin) else { return Ok(()) };
        self.seen.insert(id, Mark::Pending, now);
        self.pending.insert(item.clone(), from, origin.clone(), &holders, &mut host.share, now);
        self.count(from, |it| it.received += 1);
        if self.config.relay_first {
            let have: SmallVec<[ConnectionId; 8]> = holders.into_iter().chain([from]).collect();
            self.spread(cx, &item, &have);
        }
        cx.emit(Event::Received { item, from, host: origin });
        Ok(())
    }

    /// What has come is of no use, but it is what was asked for.
    fn came(&mut self, cx: &mut Context<'_, Event>, named: Option<Hash>, kind: Kind, frame: &Frame) {
        if let Some(id) = named {
            self.arrived(cx, &id, kind, frame.payload().len());
        }
    }

    /// Whether an item was there already. Who sends what was rejected is charged.
    fn is_known(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        kind: Kind,
        id: Hash,
        block_hash: Option<Hash>,
    ) -> Result<bool, Violation> {
        // What waits is known, however short the memory of what was there may be.
        if let Some(waiting) = self.pending.get_mut(&id) {
            waiting.add_holder(from, true);
            self.count(from, |it| it.duplicates += 1);
            return Ok(true);
        }
        match self.seen.get(&id, cx.now()) {
            Some(Mark::Rejected) => {
                self.count(from, |it| it.rejected += 1);
                let is_version_1 = self.sessions.get(from).is_some_and(|it| it.is_version_1);
                return Err(Violation::tolerable(kind.refused(is_version_1)));
            }
            Some(mark) => {
                if mark == Mark::Ignored {
                    self.say_who_has(cx, block_hash, from);
                }
                self.count(from, |it| it.duplicates += 1);
            }
            None => return Ok(false),
        }
        Ok(true)
    }

    /// Whether one more new item is taken from a peer's host at its rate.
    pub(crate) fn takes_from(&mut self, peer: ConnectionId, now: Time) -> bool {
        let Some(session) = self.sessions.get(peer) else { return false };
        let Some(host) = self.hosts.get_mut(&session.host) else { return false };
        host.allowance.take(self.config.rate, self.config.is_adaptive, &self.load, now)
    }

    /// Whether one more of a peer's host can wait for a verdict.
    fn has_room_for(&mut self, peer: ConnectionId) -> bool {
        let Some(session) = self.sessions.get(peer) else { return false };
        self.hosts.get_mut(&session.host).is_some_and(|host| self.pending.has_room(&host.share))
    }

    /// Whether an item has the layout that its type says, as far as that is cheap to see. The hash, if it
    /// is a transaction.
    fn check(&self, from: ConnectionId, kind: Kind, frame: &Frame) -> Result<Option<Hash>, Violation> {
        let result = match kind {
            Kind::Block => self.rules.header_of(frame.payload()).map(|_| None).map_err(Offence::InvalidBlock),
            Kind::Transaction => match self.rules.check_transaction(frame.payload()) {
                Ok(hash) => Ok(Some(hash)),
                Err(InvalidObject::Malformed(error)) => {
                    Err(Offence::Malformed { message_type: frame.message_type(), error })
                }
                Err(_) => Err(kind.refused(false)),
            },
            // Their layout is that of the message.
            Kind::Proof | Kind::BlockAccepted => Ok(None),
        };
        result.map_err(|offence| {
            let is_version_1 = self.sessions.get(from).is_some_and(|it| it.is_version_1);
            Violation::tolerable(if is_version_1 { kind.refused(true) } else { offence })
        })
    }

    /// The application has decided, or has not in time.
    pub(crate) fn judge(&mut self, cx: &mut Context<'_, Event>, id: Hash, verdict: Verdict) {
        let now = cx.now();
        let Some(waiting) = self.pending.remove(&id) else { return };
        let (item, from) = (&waiting.item, waiting.from);
        if let Some(host) = self.hosts.get_mut(&waiting.host) {
            host.share.give_back(item);
            match verdict {
                Verdict::Accept => host.allowance.judged(true),
                Verdict::Reject => host.allowance.judged(false),
                Verdict::Ignore | Verdict::NotYet => {}
            }
        }
        match verdict {
            Verdict::Accept => {
                self.accepted(item, Some(&waiting.host), now);
                // Transactions cost nothing, so they earn nothing.
                if item.kind == Kind::Block {
                    cx.signal(Signal::Useful { connection: from });
                }
                if !self.config.relay_first {
                    let have: SmallVec<[ConnectionId; 8]> = waiting.holders().collect();
                    self.spread(cx, item, &have);
                }
            }
            Verdict::Ignore | Verdict::NotYet => {
                if verdict == Verdict::Ignore {
                    self.seen.insert(id, Mark::Ignored, now);
                } else {
                    self.seen.remove(&id);
                }
                let block_hash = if item.kind == Kind::Block { R::block_id(item.payload()) } else { None };
                for holder in waiting.holders() {
                    self.say_who_has(cx, block_hash, holder);
                }
            }
            Verdict::Reject => {
                self.seen.insert(id, Mark::Rejected, now);
                for sender in waiting.senders() {
                    self.count(sender, |it| it.rejected += 1);
                    self.blame(cx, sender, item.kind);
                }
            }
        }
    }

    /// An item is valid: of a block no other payload is looked at, a transaction waits to be in one.
    fn accepted(&mut self, item: &Item, from: Option<&Origin>, now: Time) {
        self.seen.insert(item.id, Mark::Accepted, now);
        match item.kind {
            Kind::Block => {
                if let Some(hash) = R::block_id(item.payload()) {
                    self.seen.insert(hash, Mark::Accepted, now);
                }
            }
            Kind::Transaction => {
                if let Ok(hash) = self.rules.check_transaction(item.payload()) {
                    self.mempool.insert(hash, item, from, now);
                }
            }
            Kind::Proof | Kind::BlockAccepted => {}
        }
    }

    /// Charges who sent something that was rejected, also if it has left meanwhile.
    fn blame(&self, cx: &mut Context<'_, Event>, connection: ConnectionId, kind: Kind) {
        if let Some(session) = self.sessions.get(connection) {
            cx.report(connection, kind.refused(session.is_version_1));
        } else if let Some((identity, is_version_1)) = self.departed.get(&connection) {
            let offence = kind.refused(*is_version_1);
            let identity = identity.clone();
            cx.signal(Signal::Offence { connection, address: None, identity, offence });
        }
    }

    /// This node has made something.
    pub(crate) fn publish(&mut self, cx: &mut Context<'_, Event>, item: &Item) {
        let mut have = Vec::new();
        if let Some(waiting) = self.pending.remove(&item.id) {
            if let Some(host) = self.hosts.get_mut(&waiting.host) {
                host.share.give_back(&waiting.item);
            }
            have.extend(waiting.holders());
        }
        have.extend(self.arrived(cx, &item.id, item.kind, item.payload().len()));
        self.accepted(item, None, cx.now());
        self.spread(cx, item, &have);
    }
}
