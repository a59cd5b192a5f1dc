//! How long items take to reach everybody.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use spacetime_core::Time;

/// Items that are followed at the same time; older ones are let go.
const MAX_ITEMS: usize = 64;

/// What became of items.
#[derive(Debug, Default)]
pub(super) struct Propagation {
    /// When each item was made, and who has it.
    items: BTreeMap<u64, (Time, BTreeSet<usize>)>,
    order: std::collections::VecDeque<u64>,
    /// How long each delivery took, in milliseconds.
    delays: Vec<u32>,
}

impl Propagation {
    /// A node has made an item.
    pub(super) fn made(&mut self, id: u64, node: usize, now: Time) {
        self.items.insert(id, (now, BTreeSet::from([node])));
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
        let Some((made_at, holders)) = self.items.get_mut(&id) else { return Ok(()) };
        if !holders.insert(node) {
            return Err(format!("item {id} is new to a node that has it"));
        }
        self.delays.push(now.since(*made_at).as_millis().try_into().unwrap_or(u32::MAX));
        Ok(())
    }

    /// A node has forgotten everything.
    pub(super) fn forget(&mut self, node: usize) {
        for (_, holders) in self.items.values_mut() {
            holders.remove(&node);
        }
    }

    /// How many nodes have the last item.
    pub(super) fn holders_of_last(&self) -> usize {
        self.order.back().and_then(|id| self.items.get(id)).map_or(0, |(_, holders)| holders.len())
    }

    /// Deliveries, but for those to who made an item.
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
