//! Items about which the application has not decided.

use alloc::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;
use spacetime_core::{ConnectionId, Hash, Origin, Time};

use crate::item::Item;

/// Items that wait for a verdict, and their bytes, apart from the one that passes the bound.
///
/// # Security
///
/// An application that decides slowly makes a flood wait here: 32 MiB. What does not fit is dropped
/// as if it had not come, so it can come again; one host cannot take more than a quarter of it. What
/// counts is the memory that an item keeps, which may be four times its size.
pub const MAX_PENDING_ITEMS: usize = 4096;
/// See [`MAX_PENDING_ITEMS`].
pub const MAX_PENDING_BYTES: usize = 32 * 1024 * 1024;
/// What one host may have waiting.
const SHARE: usize = 4;
/// Peers of which is noted that they have an item as well. One of ours has 125 connections by default;
/// what is not noted is sent an item that it has, or is not charged for one that is bad.
const MAX_HOLDERS: usize = 256;

/// An item that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) item: Item,
    /// Who brought it.
    pub(crate) from: ConnectionId,
    /// And on which host that is, which it may have left.
    pub(crate) host: Origin,
    /// Who brought it as well, or announced it.
    holders: SmallVec<[Holder; 4]>,
    since: Time,
}

/// A peer that has an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Holder {
    connection: ConnectionId,
    /// It has sent the item, and not only said that it has it.
    has_sent: bool,
}

/// How much of one host waits.
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
    /// Whether there is room for one more of this host, however large it is.
    pub(crate) fn has_room(&self, share: &Share) -> bool {
        self.items.len() < MAX_PENDING_ITEMS
            && share.items < MAX_PENDING_ITEMS / SHARE
            && self.bytes < MAX_PENDING_BYTES
            && share.bytes < MAX_PENDING_BYTES / SHARE
    }

    /// Puts in an item that `from` brought, and that all of `holders` say they have.
    pub(crate) fn insert(
        &mut self,
        item: Item,
        from: ConnectionId,
        host: Origin,
        holders: &[ConnectionId],
        share: &mut Share,
        now: Time,
    ) {
        let (id, bytes) = (item.id, item.frame.held_bytes());
        share.items += 1;
        share.bytes += bytes;
        self.bytes += bytes;
        self.order.insert((now, id));
        let mut waiting = Waiting { item, from, host, holders: SmallVec::new(), since: now };
        holders.iter().for_each(|holder| waiting.add_holder(*holder, false));
        let before = self.items.insert(id, waiting);
        debug_assert!(before.is_none(), "an item waits once");
    }

    pub(crate) fn get_mut(&mut self, id: &Hash) -> Option<&mut Waiting> {
        self.items.get_mut(id)
    }

    /// Takes an item out. Its share is still to be given back.
    pub(crate) fn remove(&mut self, id: &Hash) -> Option<Waiting> {
        let waiting = self.items.remove(id)?;
        self.bytes -= waiting.item.frame.held_bytes();
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
    pub(crate) const fn give_back(&mut self, item: &Item) {
        self.items = self.items.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(item.frame.held_bytes());
    }
}

impl Waiting {
    /// One more peer has it.
    pub(crate) fn add_holder(&mut self, connection: ConnectionId, has_sent: bool) {
        if connection == self.from {
            return;
        }
        if let Some(holder) = self.holders.iter_mut().find(|it| it.connection == connection) {
            holder.has_sent |= has_sent;
        } else if self.holders.len() < MAX_HOLDERS {
            self.holders.push(Holder { connection, has_sent });
        }
    }

    /// All who have it, as far as that is known.
    pub(crate) fn holders(&self) -> impl Iterator<Item = ConnectionId> {
        self.holders.iter().map(|it| it.connection).chain([self.from])
    }

    /// All who have sent it.
    pub(crate) fn senders(&self) -> impl Iterator<Item = ConnectionId> {
        self.holders.iter().filter(|it| it.has_sent).map(|it| it.connection).chain([self.from])
    }
}
