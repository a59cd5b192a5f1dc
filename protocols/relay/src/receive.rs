//! What becomes of items that come.

use alloc::vec::Vec;

use smallvec::SmallVec;
use spacetime_core::chain::{ChainRules, InvalidObject};
use spacetime_core::wire::{self, Announce, Frame, Hashes, MAX_ANNOUNCED};
use spacetime_core::{ConnectionId, Context, Hash, Offence, Signal, Time, Violation};

use crate::fetch::{Ask, Failed, MAX_FETCHES_PER_PEER};
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
        // Of a Block the reader knows only the block's hash.
        let id = match frame.object_id() {
            Some(id) if frame.message_type() == kind.message_type() => id,
            _ => kind.id(frame.payload()),
        };
        let block_hash = if kind == Kind::Block { R::block_id(frame.payload()) } else { None };
        // What waits is known, however short the memory of what was there may be.
        if let Some(waiting) = self.pending.get_mut(&id) {
            waiting.add_holder(from, true);
            self.count(from, |it| it.duplicates += 1);
            return Ok(());
        }
        match self.seen.get(&id, now) {
            Some(Mark::Rejected) => {
                self.count(from, |it| it.rejected += 1);
                return Err(Violation::tolerable(kind.refused()));
            }
            Some(mark) => {
                if mark == Mark::Ignored {
                    say_who_has(cx, block_hash, from);
                }
                self.count(from, |it| it.duplicates += 1);
                return Ok(());
            }
            None => {}
        }
        // Another payload around a block that is known: its body was accepted, so this one is not it.
        if block_hash.is_some_and(|hash| self.seen.get(&hash, now).is_some()) {
            self.count(from, |it| it.duplicates += 1);
            return Ok(());
        }
        self.check(kind, frame)?;
        if self.is_quiet {
            say_who_has(cx, block_hash, from);
            self.count(from, |it| it.dropped += 1);
            return Ok(());
        }

        let is_asked = self.fetches.is_asked_of(&id, from);
        let Some(session) = self.sessions.get_mut(from) else { return Ok(()) };
        // What was asked for was counted when it was.
        let is_taken =
            is_asked || session.allowance.take(self.config.rate, self.config.is_adaptive, &self.load, now);
        if !is_taken || !self.pending.has_room(&session.share) {
            say_who_has(cx, block_hash, from);
            self.count(from, |it| it.dropped += 1);
            if let Some(failed) = self.fetches.not_found(&id, from, now) {
                self.fetch_failed(cx, failed);
            }
            return Ok(());
        }
        self.load.add(now);
        self.check_content(kind, frame)?;
        self.arrived(&id);
        let Some(session) = self.sessions.get_mut(from) else { return Ok(()) };
        let item = Item { kind, id, frame: frame.keep() };
        self.seen.insert(id, Mark::Pending, now);
        self.pending.insert(item.clone(), from, &mut session.share, now);
        self.count(from, |it| it.received += 1);
        if self.config.relay_first {
            self.spread(cx, &item, &[from]);
        }
        cx.emit(Event::Received { item, from });
        Ok(())
    }

    /// An item need not be waited for any more.
    fn arrived(&mut self, id: &Hash) {
        if let Some(asked) = self.fetches.arrived(id).and_then(|asked| self.sessions.get_mut(asked)) {
            asked.fetches -= 1;
        }
    }

    /// Whether an item has the layout that its type says.
    fn check(&self, kind: Kind, frame: &Frame) -> Result<(), Violation> {
        let result = match kind {
            Kind::Block => self.rules.header_of(frame.payload()).map(drop).map_err(Offence::InvalidBlock),
            Kind::Transaction => match self.rules.check_transaction(frame.payload()) {
                Ok(_) => Ok(()),
                Err(InvalidObject::Malformed(error)) => {
                    Err(Offence::Malformed { message_type: frame.message_type(), error })
                }
                Err(_) => Err(kind.refused()),
            },
            // Their layout is that of the message.
            Kind::Proof | Kind::BlockAccepted => Ok(()),
        };
        result.map_err(Violation::tolerable)
    }

    /// Whether a block's header is that of its body, which takes two hashes for each transaction.
    fn check_content(&self, kind: Kind, frame: &Frame) -> Result<(), Violation> {
        if kind == Kind::Block {
            let checked = self.rules.check_block(frame.payload()).map_err(Offence::InvalidBlock);
            checked.map_err(Violation::tolerable)?;
        }
        Ok(())
    }

    /// The application has decided, or has not in time.
    pub(crate) fn judge(&mut self, cx: &mut Context<'_, Event>, id: Hash, verdict: Verdict) {
        let now = cx.now();
        let Some(waiting) = self.pending.remove(&id) else { return };
        let (item, from) = (&waiting.item, waiting.from);
        if let Some(session) = self.sessions.get_mut(from) {
            session.share.give_back(item.frame.len());
            match verdict {
                Verdict::Accept => session.allowance.judged(true),
                Verdict::Reject => session.allowance.judged(false),
                Verdict::Ignore => {}
            }
        }
        match verdict {
            Verdict::Accept => {
                self.accepted(item, Some(from), now);
                // Transactions cost nothing, so they earn nothing.
                if item.kind == Kind::Block {
                    cx.signal(Signal::Useful { connection: from });
                }
                if !self.config.relay_first {
                    let have: SmallVec<[ConnectionId; 8]> =
                        waiting.holders.iter().map(|it| it.connection).chain([from]).collect();
                    self.spread(cx, item, &have);
                }
            }
            Verdict::Ignore => {
                self.seen.insert(id, Mark::Ignored, now);
                let block_hash = if item.kind == Kind::Block { R::block_id(item.payload()) } else { None };
                for sender in waiting.holders.iter().map(|it| it.connection).chain([from]) {
                    say_who_has(cx, block_hash, sender);
                }
            }
            Verdict::Reject => {
                self.seen.insert(id, Mark::Rejected, now);
                let senders = waiting.holders.iter().filter(|it| it.has_sent).map(|it| it.connection);
                for sender in senders.chain([from]) {
                    self.count(sender, |it| it.rejected += 1);
                    self.blame(cx, sender, item.kind);
                }
            }
        }
    }

    /// An item is valid: of a block no other payload is looked at, a transaction waits to be in one.
    fn accepted(&mut self, item: &Item, from: Option<ConnectionId>, now: Time) {
        self.seen.insert(item.id, Mark::Accepted, now);
        match item.kind {
            Kind::Block => {
                if let Some(hash) = R::block_id(item.payload()) {
                    self.seen.insert(hash, Mark::Accepted, now);
                }
                let mempool = &mut self.mempool;
                self.rules.for_each_transaction(item.payload(), &mut |hash| mempool.remove(&hash));
            }
            Kind::Transaction => {
                if let Ok(hash) = self.rules.check_transaction(item.payload()) {
                    let host = from.and_then(|from| {
                        let departed = || self.departed.get(&from).map(|(_, host)| host);
                        self.sessions.get(from).map(|it| &it.host).or_else(departed)
                    });
                    self.mempool.insert(hash, &item.frame, host, now);
                }
            }
            Kind::Proof | Kind::BlockAccepted => {}
        }
    }

    /// Charges who sent something that was rejected, also if it has left meanwhile.
    fn blame(&self, cx: &mut Context<'_, Event>, connection: ConnectionId, kind: Kind) {
        let offence = kind.refused();
        if self.sessions.contains(connection) {
            cx.report(connection, offence);
        } else if let Some((identity, _)) = self.departed.get(&connection) {
            cx.signal(Signal::Offence { connection, identity: identity.clone(), offence });
        }
    }

    /// This node has made something.
    pub(crate) fn publish(&mut self, cx: &mut Context<'_, Event>, item: &Item) {
        let have = match self.pending.remove(&item.id) {
            Some(waiting) => {
                if let Some(session) = self.sessions.get_mut(waiting.from) {
                    session.share.give_back(item.frame.len());
                }
                waiting.holders.iter().map(|it| it.connection).chain([waiting.from]).collect()
            }
            None => SmallVec::<[ConnectionId; 8]>::new(),
        };
        self.arrived(&item.id);
        self.accepted(item, None, cx.now());
        self.spread(cx, item, &have);
    }

    // What is announced.

    /// A peer has items. Those that are new are asked for, each of one peer.
    pub(crate) fn on_announce(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        announce: Announce<'_>,
    ) {
        let now = cx.now();
        let mut wanted = Vec::new();
        for announced in announce.iter() {
            let Some(kind) = Kind::of(announced.message_type) else { continue };
            if self.is_quiet && kind != Kind::Block {
                continue;
            }
            let id = announced.id;
            if let Some(waiting) = self.pending.get_mut(&id) {
                waiting.add_holder(from, false);
                continue;
            }
            if self.seen.get(&id, now).is_some() || self.fetches.add_other(&id, from) {
                continue;
            }
            let Some(session) = self.sessions.get_mut(from) else { return };
            let has_room = self.fetches.has_room() && session.fetches < MAX_FETCHES_PER_PEER;
            if has_room && session.allowance.take(self.config.rate, self.config.is_adaptive, &self.load, now)
            {
                session.fetches += 1;
                self.fetches.insert(announced, from, now);
                wanted.push(id);
            } else {
                self.count(from, |it| it.dropped += 1);
            }
        }
        self.ask(cx, from, &wanted);
    }

    fn ask(&mut self, cx: &mut Context<'_, Event>, from: ConnectionId, ids: &[Hash]) {
        for ids in ids.chunks(MAX_ANNOUNCED) {
            if cx.send(from, &wire::Fetch { hashes: ids.into() }).is_ok() {
                self.count(from, |it| it.fetched += ids.len() as u64);
                continue;
            }
            // It does not read, and was not asked: somebody else is.
            for id in ids {
                if let Some(failed) = self.fetches.not_found(id, from, cx.now()) {
                    self.fetch_failed(cx, failed);
                }
            }
        }
    }

    /// A peer does not have what it announced.
    pub(crate) fn on_not_found(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        hashes: Hashes<'_>,
    ) {
        let now = cx.now();
        for id in hashes.iter() {
            if let Some(failed) = self.fetches.not_found(&id, from, now) {
                self.fetch_failed(cx, failed);
            }
        }
    }

    pub(crate) fn fetch_failed(&mut self, cx: &mut Context<'_, Event>, failed: Failed) {
        if let Some(session) = self.sessions.get_mut(failed.by) {
            session.fetches -= 1;
        }
        self.count(failed.by, |it| it.not_sent += 1);
        self.ask_instead(cx, failed.next);
    }

    pub(crate) fn ask_instead(&mut self, cx: &mut Context<'_, Event>, ask: Option<Ask>) {
        let Some(Ask { from, id }) = ask else { return };
        if let Some(session) = self.sessions.get_mut(from) {
            session.fetches += 1;
            self.ask(cx, from, &[id]);
        }
    }
}

/// Whoever downloads blocks is told who has one that this node could not take as it came.
fn say_who_has(cx: &mut Context<'_, Event>, block_hash: Option<Hash>, from: ConnectionId) {
    if let Some(hash) = block_hash {
        cx.signal(Signal::BlockAnnounced { from, hash });
    }
}
