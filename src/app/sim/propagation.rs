//! How long items take to reach everybody.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use spacetime_core::Time;

/// Items that are followed at the same time; older ones are let go.
const MAX_ITEMS: usize = 64;

/// What became of items.
#[derive(Debug, Default)]
pub(super) struct Propagation {
    items: BTreeMap<u64, Item>,
    order: VecDeque<u64>,
    /// How long each delivery took, in milliseconds.
    delays: Vec<u32>,
}

/// What became of an item.
#[derive(Debug)]
struct Item {
    made_at: Time,
    /// Who has it.
    holders: BTreeSet<usize>,
    /// Nodes that were started after it was made. If they hear of it, then from somebody who says old
    /// things again; how long that takes says nothing about the network.
    latecomers: BTreeSet<usize>,
}

impl Propagation {
    /// A node has made an item.
    pub(super) fn made(&mut self, id: u64, node: usize, now: Time) {
        let item = Item { made_at: now, holders: BTreeSet::from([node]), latecomers: BTreeSet::new() };
        self.items.insert(id, item);
        self.order.push_back(id);
        if self.order.len() > MAX_ITEMS
            && let Some(oldest) = self.order.pop_front()
        {
            self.items.remove(&oldest);
        }
    }

    /// An item is new to a node. An error if it was there already. Items that were let go come again
    /// from those who replay them.
    pub(super) fn arrived(&mut self, id: u64, node: usize, now: Time) -> Result<(), String> {
        let Some(item) = self.items.get_mut(&id) else { return Ok(()) };
        if !item.holders.insert(node) {
            return Err(format!("item {id} is new to a node that has it"));
        }
        if !item.latecomers.contains(&node) {
            self.delays.push(now.since(item.made_at).as_millis().try_into().unwrap_or(u32::MAX));
        }
        Ok(())
    }

    /// A node is started, and knows nothing.
    pub(super) fn started(&mut self, node: usize) {
        for item in self.items.values_mut() {
            item.holders.remove(&node);
            item.latecomers.insert(node);
        }
    }

    /// How many nodes have the last item.
    pub(super) fn holders_of_last(&self) -> usize {
        self.order.back().and_then(|id| self.items.get(id)).map_or(0, |item| item.holders.len())
    }

    /// Deliveries, but for those to who made an item or was started after that.
    pub(super) const fn deliveries(&self) -> u64 {
        self.delays.len() as u64
    }

    /// Within which time so many of a hundred deliveries were made.
    pub(super) fn percentile(&mut self, percent: usize) -> Duration {
        self.delays.sort_unstable();
        let index = (self.delays.len() * percent / 100).min(self.delays.len().saturating_sub(1));
        Duration::from_millis(self.delays.get(index).copied().unwrap_or(0).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_started_again_hears_old_items_late_and_that_is_no_delay() {
        let at = |seconds| Time::from_epoch(Duration::from_secs(seconds));
        let mut propagation = Propagation::default();
        propagation.made(7, 0, at(1));
        propagation.arrived(7, 1, at(2)).unwrap();
        propagation.started(1);
        assert_eq!(propagation.holders_of_last(), 1);
        propagation.arrived(7, 1, at(100)).unwrap();
        assert_eq!((propagation.holders_of_last(), propagation.deliveries()), (2, 1));
        assert!(propagation.arrived(7, 1, at(101)).is_err());
        propagation.made(8, 0, at(110));
        propagation.arrived(8, 1, at(113)).unwrap();
        assert_eq!((propagation.deliveries(), propagation.percentile(99)), (2, Duration::from_secs(3)));
    }
}
