//! Items that were announced to this node, and who was asked for them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use smallvec::SmallVec;
use spacetime_core::wire::{Announced, MessageType};
use spacetime_core::{ConnectionId, ConnectionMap, Context, Deadlines, Hash, Patience, Time};

use crate::Event;

/// Items that are waited for.
///
/// # Security
///
/// Announcing costs an attacker 37 bytes for each, and makes us keep 160 for as long as it may take to
/// send the item: 0.7 MB, of which one peer can take an eighth.
pub const MAX_FETCHES: usize = 4096;
/// Of one peer.
pub const MAX_FETCHES_PER_PEER: usize = MAX_FETCHES / 8;

/// Peers that can be asked for an item in the place of the one that was.
const MAX_OTHERS: usize = 8;

/// How many bytes a peer must send in a second.
const MIN_BYTES_PER_SECOND: u64 = 256 * 1024;

/// How long an item is waited for, whoever is asked: the largest one from one peer that is as slow as
/// may be, and as long again for others. What is new for longer comes by sync, or is old.
const MAX_WAIT: Duration = Duration::from_secs(120);

/// A peer that says it has an item, and how large it says that is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Announcer {
    connection: ConnectionId,
    payload_bytes: u32,
}

/// An item that is waited for.
#[derive(Debug)]
struct Wanted {
    message_type: MessageType,
    asked: Announcer,
    /// Until it has had the time that an item takes which is as large as it said.
    patience: Patience,
    others: SmallVec<[Announcer; 2]>,
    /// Who was asked in vain, and is not asked again.
    tried: SmallVec<[Announcer; 2]>,
    /// When it is waited for no more.
    until: Time,
}

impl Wanted {
    fn announcers(&self) -> impl Iterator<Item = Announcer> {
        [self.asked].into_iter().chain(self.others.iter().copied()).chain(self.tried.iter().copied())
    }

    /// The least that any peer says it takes. An item is as large as it is, so whoever says more lies,
    /// or who says less: neither shall make the others wait.
    fn payload_bytes(&self) -> u32 {
        self.announcers().map(|it| it.payload_bytes).min().unwrap_or(0)
    }
}

/// All items that are waited for.
#[derive(Debug)]
pub(crate) struct Fetches {
    timeout: Duration,
    wanted: BTreeMap<Hash, Wanted>,
    deadlines: Deadlines<Hash>,
    /// How many each peer was asked for.
    asked: ConnectionMap<usize>,
}

/// An item that is to be asked for now.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Ask {
    pub(crate) from: ConnectionId,
    pub(crate) id: Hash,
}

/// A peer that did not send what it announced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Failed {
    pub(crate) id: Hash,
    pub(crate) by: ConnectionId,
    pub(crate) message_type: MessageType,
    /// It was asked, and has had the time that an item takes which is as large as it said.
    pub(crate) is_late: bool,
    /// Who is asked instead, if there is somebody.
    pub(crate) next: Option<Ask>,
}

/// An item that has come.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Arrived {
    /// Who has it, as far as they said.
    pub(crate) holders: SmallVec<[ConnectionId; 8]>,
    /// Who announced it with another size than it has.
    pub(crate) liars: SmallVec<[ConnectionId; 2]>,
}

impl Fetches {
    pub(crate) const fn new(timeout: Duration) -> Self {
        Self { timeout, wanted: BTreeMap::new(), deadlines: Deadlines::new(), asked: ConnectionMap::new() }
    }

    /// A peer has an item that is waited for. False if it is not.
    pub(crate) fn add_other(&mut self, item: &Announced, from: ConnectionId) -> bool {
        let Some(wanted) = self.wanted.get_mut(&item.id) else { return false };
        let is_known = wanted.announcers().any(|it| it.connection == from);
        if !is_known && wanted.others.len() + wanted.tried.len() < MAX_OTHERS {
            let was = wanted.payload_bytes();
            wanted.others.push(Announcer { connection: from, payload_bytes: item.payload_bytes });
            if item.payload_bytes < was {
                let at = wanted.patience.began() + time_for(self.timeout, item.payload_bytes);
                self.deadlines.set_earlier(item.id, at);
            }
        }
        true
    }

    /// Whether a peer can be asked for one more.
    pub(crate) fn has_room(&self, peer: ConnectionId) -> bool {
        self.wanted.len() < MAX_FETCHES && may_ask(&self.asked, peer)
    }

    /// An item is asked for.
    pub(crate) fn insert(&mut self, cx: &Context<'_, Event>, item: Announced, from: ConnectionId) {
        let (now, time) = (cx.now(), time_for(self.timeout, item.payload_bytes));
        let wanted = Wanted {
            message_type: item.message_type,
            asked: Announcer { connection: from, payload_bytes: item.payload_bytes },
            patience: cx.patience(from, time),
            others: SmallVec::new(),
            tried: SmallVec::new(),
            until: now + MAX_WAIT,
        };
        self.deadlines.set(item.id, now + time);
        let before = self.wanted.insert(item.id, wanted);
        debug_assert!(before.is_none(), "an item is asked for once");
        count(&mut self.asked, from);
    }

    /// Whether a peer was asked for an item.
    pub(crate) fn is_asked_of(&self, id: &Hash, peer: ConnectionId) -> bool {
        self.wanted.get(id).is_some_and(|wanted| wanted.asked.connection == peer)
    }

    /// An item has come, of so many bytes. Nobody had announced it if there is nobody in the answer.
    pub(crate) fn arrived(&mut self, id: &Hash, payload_bytes: usize) -> Arrived {
        let Some(wanted) = self.wanted.remove(id) else { return Arrived::default() };
        self.deadlines.cancel(*id);
        discount(&mut self.asked, wanted.asked.connection);
        let is_false = |it: &Announcer| it.payload_bytes as usize != payload_bytes;
        Arrived {
            liars: wanted.announcers().filter(is_false).map(|it| it.connection).collect(),
            holders: [wanted.asked].iter().chain(&wanted.others).map(|it| it.connection).collect(),
        }
    }

    /// A peer does not have what it announced. None if it was not asked.
    pub(crate) fn not_found(
        &mut self,
        cx: &Context<'_, Event>,
        id: &Hash,
        by: ConnectionId,
    ) -> Option<Failed> {
        if self.wanted.get(id)?.asked.connection != by {
            return None;
        }
        self.ask_next(cx, *id)
    }

    /// One that took too long. Whom this node holds back itself has more time, unless others say that
    /// the item takes less, or the question has not even left.
    pub(crate) fn pop_due(&mut self, cx: &Context<'_, Event>) -> Option<Failed> {
        let now = cx.now();
        while let Some(id) = self.deadlines.pop_due(now) {
            let Some(wanted) = self.wanted.get(&id) else { continue };
            let Announcer { connection, payload_bytes } = wanted.asked;
            let ends = cx.patience_ends(connection, &wanted.patience).min(wanted.until);
            if ends <= now || wanted.payload_bytes() < payload_bytes || !has_left(cx, connection) {
                return self.ask_next(cx, id);
            }
            self.deadlines.set(id, ends);
        }
        None
    }

    /// Turns from who is asked to the next one that can be.
    fn ask_next(&mut self, cx: &Context<'_, Event>, id: Hash) -> Option<Failed> {
        let now = cx.now();
        let wanted = self.wanted.get_mut(&id)?;
        let by = wanted.asked;
        discount(&mut self.asked, by.connection);
        // What this node has held back may be the question or the answer.
        let was_held = cx.was_held_since(by.connection, wanted.patience.began());
        let is_over = cx.patience_ends(by.connection, &wanted.patience) <= now;
        let is_late = is_over && !was_held && has_left(cx, by.connection);
        let mut failed =
            Failed { id, by: by.connection, message_type: wanted.message_type, is_late, next: None };
        let can_be_asked = |it: &Announcer| may_ask(&self.asked, it.connection);
        let next = wanted.others.iter().position(can_be_asked).filter(|_| now < wanted.until);
        let Some(next) = next else {
            self.wanted.remove(&id);
            self.deadlines.cancel(id);
            return Some(failed);
        };
        let next = wanted.others.remove(next);
        wanted.tried.push(by);
        wanted.asked = next;
        wanted.patience = cx.patience(next.connection, time_for(self.timeout, next.payload_bytes));
        let time = time_for(self.timeout, wanted.payload_bytes());
        self.deadlines.set(id, (now + time).min(wanted.until));
        count(&mut self.asked, next.connection);
        failed.next = Some(Ask { from: next.connection, id });
        Some(failed)
    }

    /// A peer is gone. What it was asked for, and who is asked instead.
    pub(crate) fn forget(&mut self, cx: &Context<'_, Event>, connection: ConnectionId) -> Vec<Failed> {
        let mut ids = Vec::new();
        for (id, wanted) in &mut self.wanted {
            wanted.others.retain(|it| it.connection != connection);
            if wanted.asked.connection == connection {
                ids.push(*id);
            }
        }
        let failed = ids.into_iter().filter_map(|id| self.ask_next(cx, id)).collect();
        self.asked.remove(connection);
        failed
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }

    pub(crate) fn len(&self) -> usize {
        self.wanted.len()
    }
}

/// Whether a question to a peer is on its way: nothing that was sent with it or later waits.
fn has_left(cx: &Context<'_, Event>, peer: ConnectionId) -> bool {
    cx.queued_frames(peer, MessageType::FETCH.priority()) == 0
}

fn time_for(timeout: Duration, payload_bytes: u32) -> Duration {
    timeout + Duration::from_millis(u64::from(payload_bytes) * 1000 / MIN_BYTES_PER_SECOND)
}

fn may_ask(asked: &ConnectionMap<usize>, peer: ConnectionId) -> bool {
    asked.get(peer).is_none_or(|count| *count < MAX_FETCHES_PER_PEER)
}

fn count(asked: &mut ConnectionMap<usize>, peer: ConnectionId) {
    match asked.get_mut(peer) {
        Some(count) => *count += 1,
        None => drop(asked.insert(peer, 1)),
    }
}

fn discount(asked: &mut ConnectionMap<usize>, peer: ConnectionId) {
    if let Some(count) = asked.get_mut(peer) {
        debug_assert!(*count > 0, "it was counted when it was asked");
        *count = count.saturating_sub(1);
    }
}
