//! Items that were announced to this node, and who was asked for them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use smallvec::SmallVec;
use spacetime_core::wire::{Announced, MessageType};
use spacetime_core::{ConnectionId, Deadlines, Hash, Time};

/// Items that are waited for.
///
/// # Security
///
/// Announcing costs an attacker 37 bytes for each, and makes us keep 120 for as long as it may take to
/// send the item: 0.5 MB, of which one peer can take an eighth.
pub const MAX_FETCHES: usize = 4096;
/// Of one peer.
pub const MAX_FETCHES_PER_PEER: usize = MAX_FETCHES / 8;

/// Peers that can be asked for an item in the place of the one that was.
const MAX_OTHERS: usize = 8;

/// How many bytes a peer must send in a second.
const MIN_BYTES_PER_SECOND: u64 = 256 * 1024;

/// An item that is waited for.
#[derive(Debug)]
struct Wanted {
    message_type: MessageType,
    payload_bytes: u32,
    asked: ConnectionId,
    others: SmallVec<[ConnectionId; 2]>,
    /// Who was asked in vain, and is not asked again.
    tried: SmallVec<[ConnectionId; 2]>,
}

/// All items that are waited for.
#[derive(Debug)]
pub(crate) struct Fetches {
    timeout: Duration,
    wanted: BTreeMap<Hash, Wanted>,
    deadlines: Deadlines<Hash>,
}

/// An item that is to be asked for now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ask {
    pub(crate) from: ConnectionId,
    pub(crate) id: Hash,
}

/// A peer that did not send what it announced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Failed {
    pub(crate) by: ConnectionId,
    pub(crate) message_type: MessageType,
    /// Who is asked instead, if there is somebody.
    pub(crate) next: Option<Ask>,
}

impl Fetches {
    pub(crate) const fn new(timeout: Duration) -> Self {
        Self { timeout, wanted: BTreeMap::new(), deadlines: Deadlines::new() }
    }

    /// A peer has an item that is waited for. False if it is not.
    pub(crate) fn add_other(&mut self, id: &Hash, from: ConnectionId) -> bool {
        let Some(wanted) = self.wanted.get_mut(id) else { return false };
        let is_known = wanted.asked == from || wanted.others.contains(&from) || wanted.tried.contains(&from);
        if !is_known && wanted.others.len() + wanted.tried.len() < MAX_OTHERS {
            wanted.others.push(from);
        }
        true
    }

    pub(crate) fn has_room(&self) -> bool {
        self.wanted.len() < MAX_FETCHES
    }

    /// An item is asked for.
    pub(crate) fn insert(&mut self, item: Announced, from: ConnectionId, now: Time) {
        let wanted = Wanted {
            message_type: item.message_type,
            payload_bytes: item.payload_bytes,
            asked: from,
            others: SmallVec::new(),
            tried: SmallVec::new(),
        };
        self.deadlines.set(item.id, now + self.time_for(wanted.payload_bytes));
        self.wanted.insert(item.id, wanted);
    }

    fn time_for(&self, bytes: u32) -> Duration {
        self.timeout + Duration::from_millis(u64::from(bytes) * 1000 / MIN_BYTES_PER_SECOND)
    }

    /// Whether a peer was asked for an item.
    pub(crate) fn is_asked_of(&self, id: &Hash, peer: ConnectionId) -> bool {
        self.wanted.get(id).is_some_and(|wanted| wanted.asked == peer)
    }

    /// An item has come. Who was asked for it, if somebody was.
    pub(crate) fn arrived(&mut self, id: &Hash) -> Option<ConnectionId> {
        let wanted = self.wanted.remove(id)?;
        self.deadlines.cancel(*id);
        Some(wanted.asked)
    }

    /// A peer does not have what it announced. None if it was not asked.
    pub(crate) fn not_found(&mut self, id: &Hash, by: ConnectionId, now: Time) -> Option<Failed> {
        if self.wanted.get(id)?.asked != by {
            return None;
        }
        self.ask_next(*id, now)
    }

    /// One that took too long.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<Failed> {
        let id = self.deadlines.pop_due(now)?;
        self.ask_next(id, now)
    }

    fn ask_next(&mut self, id: Hash, now: Time) -> Option<Failed> {
        let timeout = self.time_for(self.wanted.get(&id)?.payload_bytes);
        let wanted = self.wanted.get_mut(&id)?;
        let (by, message_type) = (wanted.asked, wanted.message_type);
        if wanted.others.is_empty() {
            self.wanted.remove(&id);
            self.deadlines.cancel(id);
            return Some(Failed { by, message_type, next: None });
        }
        let next = wanted.others.remove(0);
        wanted.tried.push(by);
        wanted.asked = next;
        self.deadlines.set(id, now + timeout);
        Some(Failed { by, message_type, next: Some(Ask { from: next, id }) })
    }

    /// A peer is gone. What it was asked for, and who is asked instead.
    pub(crate) fn forget(&mut self, connection: ConnectionId, now: Time) -> Vec<Failed> {
        let mut ids = Vec::new();
        for (id, wanted) in &mut self.wanted {
            wanted.others.retain(|it| *it != connection);
            if wanted.asked == connection {
                ids.push(*id);
            }
        }
        ids.into_iter().filter_map(|id| self.ask_next(id, now)).collect()
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }

    pub(crate) fn len(&self) -> usize {
        self.wanted.len()
    }
}
