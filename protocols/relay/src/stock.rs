//! Items that were announced, for those who want them.

use alloc::collections::{BTreeMap, VecDeque};
use core::time::Duration;

use smallvec::SmallVec;
use spacetime_core::wire::Frame;
use spacetime_core::{ConnectionId, Hash, Time};

/// Items that were announced and can be fetched, once by each peer to which they were.
#[derive(Debug)]
pub(crate) struct Stock {
    max_bytes: usize,
    lifetime: Duration,
    items: BTreeMap<Hash, Stocked>,
    /// The memory that all of them keep.
    bytes: usize,
    /// The oldest first.
    order: VecDeque<(Time, Hash)>,
}

#[derive(Debug)]
struct Stocked {
    frame: Frame,
    /// To whom it was announced, and who has not fetched it; some may be gone.
    ///
    /// # Security
    ///
    /// A question of 41 bytes is answered with up to 16 MiB, so each is answered once.
    offered_to: SmallVec<[ConnectionId; 8]>,
}

impl Stock {
    pub(crate) const fn new(max_bytes: usize, lifetime: Duration) -> Self {
        Self { max_bytes, lifetime, items: BTreeMap::new(), bytes: 0, order: VecDeque::new() }
    }

    /// Keeps an item that was announced to these peers.
    pub(crate) fn insert(&mut self, id: Hash, frame: &Frame, offered_to: &[ConnectionId], now: Time) {
        if let Some(stocked) = self.items.get_mut(&id) {
            for peer in offered_to {
                if !stocked.offered_to.contains(peer) {
                    stocked.offered_to.push(*peer);
                }
            }
            return;
        }
        self.drop_old(now);
        let bytes = frame.held_bytes();
        while self.bytes > 0 && self.bytes.saturating_add(bytes) > self.max_bytes {
            self.drop_oldest();
        }
        self.bytes += bytes;
        self.order.push_back((now, id));
        self.items.insert(id, Stocked { frame: frame.clone(), offered_to: offered_to.into() });
        debug_assert_eq!(self.items.len(), self.order.len(), "one place for each");
    }

    /// Drops what has been there for too long.
    pub(crate) fn drop_old(&mut self, now: Time) {
        while self.deadline().is_some_and(|at| at <= now) {
            self.drop_oldest();
        }
    }

    /// When the oldest has been there for too long.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.order.front().map(|(since, _)| *since + self.lifetime)
    }

    fn drop_oldest(&mut self) {
        if let Some((_, id)) = self.order.pop_front()
            && let Some(stocked) = self.items.remove(&id)
        {
            self.bytes -= stocked.frame.held_bytes();
        }
    }

    /// An item, for a peer to which it was announced and which has not fetched it.
    pub(crate) fn offered(&self, id: &Hash, to: ConnectionId) -> Option<&Frame> {
        let stocked = self.items.get(id)?;
        stocked.offered_to.contains(&to).then_some(&stocked.frame)
    }

    /// A peer has been sent an item.
    pub(crate) fn fetched(&mut self, id: &Hash, by: ConnectionId) {
        if let Some(stocked) = self.items.get_mut(id) {
            stocked.offered_to.retain(|it| *it != by);
        }
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}
