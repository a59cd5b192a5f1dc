//! Items about which the application has not decided.

use alloc::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;
use spacetime_core::{ConnectionId, Hash, Time};

use crate::item::Item;

/// Items that wait for a verdict, and their bytes, apart from the one that passes the bound.
///
/// # Security
///
/// An application that decides slowly makes a flood wait here: 32 MiB. What does not fit is dropped
/// as if it had not come, so it can come again; one peer cannot take more than a quarter of it.
pub const MAX_PENDING_ITEMS: usize = 4096;
/// See [`MAX_PENDING_ITEMS`].
pub const MAX_PENDING_BYTES: usize = 32 * 1024 * 1024;
/// What one peer may have waiting.
const SHARE: usize = 4;

/// An item that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) item: Item,
    /// Who brought it.
    pub(crate) from: ConnectionId,
    /// Who brought it as well, or announced it.
    pub(crate) holders: SmallVec<[Holder; 4]>,
    since: Time,
}

/// A peer that has an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Holder {
    pub(crate) connection: ConnectionId,
    /// It has sent the item, and not only said that it has it.
    pub(crate) has_sent: bool,
}

/// How much of one peer waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Share {
    items: usize,
    bytes: usize,
}

/// All that wait.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    items: BTreeMap<Hash, Waiting>,
    bytes: usize,
    /// In the order in which they came.
    order: BTreeSet<(Time, Hash)>,
}

impl Pending {
    /// Whether there is room for one more of this peer, however large it is.
    pub(crate) fn has_room(&self, share: &Share) -> bool {
        self.items.len() < MAX_PENDING_ITEMS
            && share.items < MAX_PENDING_ITEMS / SHARE
            && self.bytes < MAX_PENDING_BYTES
            && share.bytes < MAX_PENDING_BYTES / SHARE
    }

    pub(crate) fn insert(&mut self, item: Item, from: ConnectionId, share: &mut Share, now: Time) {
        let (id, len) = (item.id, item.frame.len());
        share.items += 1;
        share.bytes += len;
        self.bytes += len;
        self.order.insert((now, id));
        let before = self.items.insert(id, Waiting { item, from, holders: SmallVec::new(), since: now });
        debug_assert!(before.is_none(), "an item waits once");
    }

    pub(crate) fn get_mut(&mut self, id: &Hash) -> Option<&mut Waiting> {
        self.items.get_mut(id)
    }

    /// Takes an item out. The share is that of who brought it, if it is still there.
    pub(crate) fn remove(&mut self, id: &Hash) -> Option<Waiting> {
        let waiting = self.items.remove(id)?;
        self.bytes -= waiting.item.frame.len();
        self.order.remove(&(waiting.since, *id));
        Some(waiting)
    }

    /// The one that waits for longest, and since when.
    pub(crate) fn oldest(&self) -> Option<(Time, Hash)> {
        self.order.first().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Share {
    /// One of its items does not wait any more.
    pub(crate) const fn give_back(&mut self, len: usize) {
        self.items = self.items.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(len);
    }
}

impl Waiting {
    /// One more peer has it.
    pub(crate) fn add_holder(&mut self, connection: ConnectionId, has_sent: bool) {
        if connection == self.from {
            return;
        }
        match self.holders.iter_mut().find(|it| it.connection == connection) {
            Some(holder) => holder.has_sent |= has_sent,
            None => self.holders.push(Holder { connection, has_sent }),
        }
    }
}
