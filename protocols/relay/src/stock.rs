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
    pub(crate) fn insert(
        &mut self,
        id: Hash,
        frame: Frame,
        offered_to: SmallVec<[ConnectionId; 8]>,
        now: Time,
    ) {
        if let Some(stocked) = self.items.get_mut(&id) {
            stocked.offered_to.extend(offered_to);
            return;
        }
        while let Some((since, _)) = self.order.front() {
            let fits = self.bytes == 0 || self.bytes + frame.len() <= self.max_bytes;
            if fits && *since + self.lifetime > now {
                break;
            }
            self.drop_oldest();
        }
        self.bytes += frame.len();
        self.order.push_back((now, id));
        self.items.insert(id, Stocked { frame, offered_to });
        debug_assert_eq!(self.items.len(), self.order.len(), "one place for each");
    }

    fn drop_oldest(&mut self) {
        if let Some((_, id)) = self.order.pop_front()
            && let Some(stocked) = self.items.remove(&id)
        {
            self.bytes -= stocked.frame.len();
        }
    }

    /// An item for a peer to which it was announced. The second time there is none.
    pub(crate) fn fetch(&mut self, id: &Hash, by: ConnectionId) -> Option<&Frame> {
        let stocked = self.items.get_mut(id)?;
        let place = stocked.offered_to.iter().position(|it| *it == by)?;
        stocked.offered_to.swap_remove(place);
        Some(&stocked.frame)
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}
