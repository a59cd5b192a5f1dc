//! Items that were announced to this node, and who was asked for them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use smallvec::SmallVec;
use spacetime_core::wire::{Announced, MessageType, Priority};
use spacetime_core::{ConnectionId, Context, Deadlines, Hash, Origin, Patience, Peer, Time};

use crate::Event;
use crate::announcers::Announcers;
use crate::item::Kind;

/// How many bytes a peer must send in a second. One of ours with all its 48 sessions busy has 213 KiB for
/// each, by the seed's limit of 10 MiB/s.
const MIN_BYTES_PER_SECOND: u64 = 128 * 1024;

/// How long an item is waited for, whoever is asked: the largest one from one peer that is as slow as
/// may be, and nearly as long again for others. What is new for longer comes by sync, or is old.
const MAX_WAIT: Duration = Duration::from_secs(240);

/// What a peer says of an item: that it has it, and what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Claim {
    by: ConnectionId,
    payload_bytes: u32,
    kind: Kind,
    /// It was asked in vain, and is not asked again.
    was_asked: bool,
}

/// An item that is waited for.
#[derive(Debug)]
struct Wanted {
    /// Of who is asked.
    asked: Claim,
    /// Until it has had the time for all that it was asked for before, and for an item as large as it said.
    patience: Patience,
    /// Of all others who say that they have it.
    others: SmallVec<[Claim; 2]>,
    /// When it is waited for no more.
    until: Time,
}

impl Wanted {
    fn claims(&self) -> impl Iterator<Item = Claim> {
        [self.asked].into_iter().chain(self.others.iter().copied())
    }

    /// Who can be asked instead.
    fn others(&self, announcers: &Announcers) -> impl Iterator<Item = Claim> {
        self.others.iter().copied().filter(|it| !it.was_asked && announcers.may_ask(it.by))
    }

    /// When to turn to somebody else.
    ///
    /// # Security
    ///
    /// While there is nobody else, a peer has the time of its patience. Otherwise it has that of the item
    /// alone, by the least that anybody says it takes: an item is as large as it is, so whoever says more
    /// lies, or who says less, and neither shall make the others wait. Whom this node holds back itself has
    /// more, unless the question has not even left.
    fn turns_at(&self, cx: &Context<'_, Event>, announcers: &Announcers, timeout: Duration) -> Time {
        let peer = self.asked.by;
        let ends = if self.others(announcers).next().is_none() {
            cx.patience_ends(peer, &self.patience)
        } else {
            let least = self.claims().map(|it| it.payload_bytes).min().unwrap_or(0);
            let time = time_for(timeout, least.into());
            if has_left(cx, peer) {
                cx.patience_ends(peer, &self.patience.with_timeout(time))
            } else {
                self.patience.began() + time
            }
        };
        ends.min(self.until)
    }
}

/// All items that are waited for.
#[derive(Debug)]
pub(crate) struct Fetches {
    timeout: Duration,
    wanted: BTreeMap<Hash, Wanted>,
    deadlines: Deadlines<Hash>,
    announcers: Announcers,
}

/// An item that is to be asked for now.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Ask {
    pub(crate) from: ConnectionId,
    pub(crate) id: Hash,
}

/// A peer that did not send what it announced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failed {
    pub(crate) id: Hash,
    pub(crate) by: ConnectionId,
    /// What it said that the item is.
    pub(crate) kind: Kind,
    /// It had the time that was its due, and was not charged since it was asked.
    pub(crate) is_charged: bool,
    pub(crate) next: Next,
}

/// What becomes of an item that a peer did not send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// Somebody else is asked.
    Ask(Ask),
    /// It is waited for no more. These say that it is a block, and were not asked in vain before.
    GiveUp(SmallVec<[ConnectionId; 2]>),
}

/// An item that has come.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Arrived {
    /// Who has it, as far as they said.
    pub(crate) holders: SmallVec<[ConnectionId; 8]>,
    /// Who announced it as something else than it is.
    pub(crate) liars: SmallVec<[ConnectionId; 2]>,
}

impl Fetches {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            wanted: BTreeMap::new(),
            deadlines: Deadlines::new(),
            announcers: Announcers::default(),
        }
    }

    /// A peer is there.
    pub(crate) fn enter(&mut self, connection: ConnectionId, peer: &Peer) {
        self.announcers.enter(connection, peer);
    }

    /// Whether an item is waited for.
    pub(crate) fn contains(&self, id: &Hash) -> bool {
        self.wanted.contains_key(id)
    }

    /// A peer has an item that is waited for. False if that cannot be noted.
    pub(crate) fn add_other(
        &mut self,
        cx: &Context<'_, Event>,
        item: &Announced,
        kind: Kind,
        from: ConnectionId,
    ) -> bool {
        let Some(wanted) = self.wanted.get_mut(&item.id) else { return false };
        if wanted.claims().any(|it| it.by == from) {
            return true;
        }
        if !self.announcers.note(from) {
            return false;
        }
        let payload_bytes = item.payload_bytes;
        wanted.others.push(Claim { by: from, payload_bytes, kind, was_asked: false });
        let at = wanted.turns_at(cx, &self.announcers, self.timeout);
        self.deadlines.set_earlier(item.id, at);
        true
    }

    /// Whether a peer can be asked for one more.
    pub(crate) fn has_room(&self, peer: ConnectionId) -> bool {
        self.announcers.may_ask(peer)
    }

    /// An item is asked for. False if there is no room for that.
    pub(crate) fn insert(
        &mut self,
        cx: &Context<'_, Event>,
        item: &Announced,
        kind: Kind,
        from: ConnectionId,
    ) -> bool {
        if !self.announcers.may_ask(from) || !self.announcers.note(from) {
            return false;
        }
        let claim = Claim { by: from, payload_bytes: item.payload_bytes, kind, was_asked: false };
        let patience = begin(&mut self.announcers, cx, &claim, self.timeout);
        let wanted = Wanted { asked: claim, patience, others: SmallVec::new(), until: cx.now() + MAX_WAIT };
        self.deadlines.set(item.id, wanted.turns_at(cx, &self.announcers, self.timeout));
        let before = self.wanted.insert(item.id, wanted);
        debug_assert!(before.is_none(), "an item is asked for once");
        true
    }

    /// Whether a peer was asked for an item.
    pub(crate) fn is_asked_of(&self, id: &Hash, peer: ConnectionId) -> bool {
        self.wanted.get(id).is_some_and(|wanted| wanted.asked.by == peer)
    }

    /// An item has come. Nobody had announced it if there is nobody in the answer.
    pub(crate) fn arrived(&mut self, id: &Hash, kind: Kind, payload_bytes: usize) -> Arrived {
        let Some(wanted) = self.remove(id) else { return Arrived::default() };
        let is_false = |it: &Claim| it.payload_bytes as usize != payload_bytes || it.kind != kind;
        Arrived {
            liars: wanted.claims().filter(is_false).map(|it| it.by).collect(),
            holders: wanted.claims().filter(|it| !it.was_asked).map(|it| it.by).collect(),
        }
    }

    /// Nothing is waited for any more.
    pub(crate) fn clear(&mut self) {
        for id in self.wanted.keys().copied().collect::<Vec<_>>() {
            self.remove(&id);
        }
    }

    /// An item is not waited for any more.
    fn remove(&mut self, id: &Hash) -> Option<Wanted> {
        let wanted = self.wanted.remove(id)?;
        self.deadlines.cancel(*id);
        self.announcers.ask_no_more(wanted.asked.by, wanted.asked.payload_bytes);
        wanted.claims().for_each(|it| self.announcers.forget(it.by));
        Some(wanted)
    }

    /// A peer does not have what it announced. None if it was not asked.
    pub(crate) fn not_found(
        &mut self,
        cx: &Context<'_, Event>,
        id: &Hash,
        by: ConnectionId,
    ) -> Option<Failed> {
        if self.is_asked_of(id, by) { self.turn(cx, *id) } else { None }
    }

    /// One that took too long.
    pub(crate) fn pop_due(&mut self, cx: &Context<'_, Event>) -> Option<Failed> {
        let now = cx.now();
        while let Some(id) = self.deadlines.pop_due(now) {
            let Some(wanted) = self.wanted.get(&id) else { continue };
            let at = wanted.turns_at(cx, &self.announcers, self.timeout);
            if at > now {
                self.deadlines.set(id, at);
                continue;
            }
            let (by, patience) = (wanted.asked.by, wanted.patience);
            let is_late = cx.patience_ends(by, &patience) <= now && !cx.is_excused(by, &patience);
            let is_charged = is_late && self.announcers.charge(by, patience.began(), now);
            return self.turn(cx, id).map(|failed| Failed { is_charged, ..failed });
        }
        None
    }

    /// Turns from who is asked to the next one that can be.
    fn turn(&mut self, cx: &Context<'_, Event>, id: Hash) -> Option<Failed> {
        let now = cx.now();
        let wanted = self.wanted.get(&id)?;
        let Claim { by, kind, .. } = wanted.asked;
        let next = self.next_of(wanted).filter(|_| now < wanted.until);
        let next = match next {
            Some(next) => Next::Ask(self.ask_instead(cx, id, next)?),
            None => {
                let wanted = self.remove(&id)?;
                let have_it = wanted.claims().filter(|it| it.kind == Kind::Block && !it.was_asked);
                Next::GiveUp(have_it.map(|it| it.by).collect())
            }
        };
        Some(Failed { id, by, kind, is_charged: false, next })
    }

    /// Whom to ask for an item when who was asked does not send it, as a place among the others.
    ///
    /// # Security
    ///
    /// Liars can be the first to announce, many of them. So nobody is asked on a host where somebody was
    /// asked in vain while there is one on another host; and first of all those whom this node has chosen
    /// itself, since the others may all be one and the same.
    fn next_of(&self, wanted: &Wanted) -> Option<usize> {
        let in_vain = wanted.claims().filter(|it| it.was_asked || it.by == wanted.asked.by);
        let hosts: SmallVec<[&Origin; 4]> = in_vain.filter_map(|it| self.announcers.host(it.by)).collect();
        let others = wanted.others.iter().enumerate();
        let can_be_asked = others.filter(|(_, it)| !it.was_asked && self.announcers.may_ask(it.by));
        let rank = |(_, claim): &(usize, &Claim)| {
            let is_of_them = self.announcers.host(claim.by).is_some_and(|host| hosts.contains(&host));
            (is_of_them, !self.announcers.is_dialled(claim.by))
        };
        can_be_asked.min_by_key(rank).map(|(place, _)| place)
    }

    fn ask_instead(&mut self, cx: &Context<'_, Event>, id: Hash, place: usize) -> Option<Ask> {
        let wanted = self.wanted.get_mut(&id)?;
        let before = mem::replace(&mut wanted.asked, *wanted.others.get(place)?);
        wanted.others.remove(place);
        wanted.others.push(Claim { was_asked: true, ..before });
        self.announcers.ask_no_more(before.by, before.payload_bytes);
        wanted.patience = begin(&mut self.announcers, cx, &wanted.asked, self.timeout);
        self.deadlines.set(id, wanted.turns_at(cx, &self.announcers, self.timeout));
        Some(Ask { from: wanted.asked.by, id })
    }

    /// A peer is gone. What it was asked for, and who is asked instead.
    pub(crate) fn leave(&mut self, cx: &Context<'_, Event>, connection: ConnectionId) -> Vec<Failed> {
        let of_it = self.wanted.iter().filter(|(_, wanted)| wanted.asked.by == connection);
        let ids: Vec<_> = of_it.map(|(id, _)| *id).collect();
        let failed = ids.into_iter().filter_map(|id| self.turn(cx, id)).collect();
        for wanted in self.wanted.values_mut() {
            let before = wanted.others.len();
            wanted.others.retain(|it| it.by != connection);
            (wanted.others.len()..before).for_each(|_| self.announcers.forget(connection));
        }
        self.announcers.leave(connection);
        failed
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }

    pub(crate) fn len(&self) -> usize {
        self.wanted.len()
    }
}

/// Begins to wait for an item. What stands before it in either direction takes its time first: what the
/// peer was asked for, and what is to be sent to it before the question. What it makes this node send
/// later does not, so it cannot put off the end.
fn begin(announcers: &mut Announcers, cx: &Context<'_, Event>, claim: &Claim, timeout: Duration) -> Patience {
    let before_question = Priority::ALL.into_iter().filter(|it| *it >= MessageType::FETCH.priority());
    let queued_bytes: usize = before_question.map(|priority| cx.queued_bytes(claim.by, priority)).sum();
    let before = announcers.ask(claim.by, claim.payload_bytes) + queued_bytes as u64;
    cx.patience(claim.by, time_for(timeout, before + u64::from(claim.payload_bytes)))
}

/// Whether a question to a peer is on its way: nothing that was sent with it or later waits.
fn has_left(cx: &Context<'_, Event>, peer: ConnectionId) -> bool {
    cx.queued_frames(peer, MessageType::FETCH.priority()) == 0
}

fn time_for(timeout: Duration, bytes: u64) -> Duration {
    timeout + Duration::from_millis(bytes.saturating_mul(1000) / MIN_BYTES_PER_SECOND)
}
