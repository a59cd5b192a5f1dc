//! Blocks whose parents this node does not have.

use std::fmt;
use std::time::Duration;

use spacetime_core::chain::HeaderInfo;
use spacetime_core::wire::Frame;
use spacetime_core::{Hash, Origin, Time};
use spacetime_relay::{Item, Pool, PoolLimits};

/// How much is kept.
///
/// # Security
///
/// A block without a parent costs its sender nothing: nobody can say whether it is good. Its host takes
/// the room of its own blocks first, so that it pushes out nobody else's; and what is not used within
/// ten minutes has come by sync, or is of no use. A restart forgets all of it.
const LIMITS: PoolLimits =
    PoolLimits { max_count: 256, max_bytes: 32 * 1024 * 1024, lifetime: Duration::from_secs(600) };

/// How far above the tip a block may be: what is higher comes by sync long before its parent is here.
const MAX_LEAD: u64 = 100;

/// Blocks that wait for their parents, by parent and by their own hash.
pub(super) struct Orphans(Pool<(Hash, Hash), Frame>);

impl Orphans {
    pub(super) fn new() -> Self {
        Self(Pool::new(LIMITS))
    }

    /// Keeps a block until its parent is there, if that may be soon. A second body with the same header
    /// is kept beside the first.
    pub(super) fn insert(
        &mut self,
        item: &Item,
        info: &HeaderInfo,
        tip: &HeaderInfo,
        from: Option<&Origin>,
        now: Time,
    ) {
        if (tip.height..=tip.height.saturating_add(MAX_LEAD)).contains(&info.height) {
            let frame = item.frame().clone();
            let bytes = frame.held_bytes();
            self.0.insert((info.parent, item.id()), frame, bytes, from.cloned(), now);
        }
    }

    /// Takes out the blocks that follow this one.
    pub(super) fn take_children(&mut self, parent: Hash) -> Vec<Frame> {
        let keys: Vec<_> = self.0.range((parent, Hash::ZERO)..=(parent, Hash([0xff; 32]))).copied().collect();
        keys.iter().filter_map(|key| self.0.remove(key)).collect()
    }
}

impl fmt::Debug for Orphans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Orphans").field("blocks", &self.0.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use spacetime_core::chain::{ChainRules as _, DevelopmentChain, SpacetimeRules, development_genesis};

    use super::*;

    fn infos(blocks: &[Vec<u8>]) -> Vec<HeaderInfo> {
        let rules = SpacetimeRules::new(&development_genesis()).unwrap();
        blocks.iter().map(|block| rules.check_block(block).unwrap()).collect()
    }

    fn host(number: u8) -> Origin {
        Origin::Host(IpAddr::from([8, 8, 8, number]))
    }

    #[test]
    fn one_sender_cannot_push_out_the_blocks_of_another() {
        let blocks: Vec<_> = DevelopmentChain::new(1, 500).take(3).collect();
        let infos = infos(&blocks);
        let mut orphans = Orphans::new();
        let tip = infos[0];
        let item = Item::block(&blocks[2]).unwrap();
        orphans.insert(&item, &infos[2], &tip, Some(&host(1)), Time::ZERO);
        for number in 0..1000_u32 {
            // Bodies around a header that it made up.
            let mut bytes = blocks[1].clone();
            bytes[226..230].copy_from_slice(&number.to_le_bytes());
            let flood = HeaderInfo { parent: Hash::of(&number.to_le_bytes()), ..infos[1] };
            orphans.insert(&Item::block(&bytes).unwrap(), &flood, &tip, Some(&host(2)), Time::ZERO);
        }
        assert_eq!(orphans.0.len(), 256);
        assert_eq!(orphans.take_children(infos[1].hash), [item.frame().clone()]);
        assert!(orphans.take_children(infos[1].hash).is_empty());
    }

    #[test]
    fn what_is_far_from_the_tip_or_old_is_not_kept() {
        let blocks: Vec<_> = DevelopmentChain::new(1, 500).take(2).collect();
        let infos = infos(&blocks);
        let mut orphans = Orphans::new();
        let item = Item::block(&blocks[1]).unwrap();
        for (height, is_kept) in [(0, false), (1, true), (101, true), (102, false)] {
            let info = HeaderInfo { height, ..infos[1] };
            orphans.insert(&item, &info, &infos[0], None, Time::ZERO);
            assert_eq!(!orphans.take_children(info.parent).is_empty(), is_kept, "{height}");
        }
        orphans.insert(&item, &infos[1], &infos[0], None, Time::ZERO);
        let later = Time::from_epoch(Duration::from_secs(600));
        orphans.insert(&item, &HeaderInfo { parent: Hash::ZERO, ..infos[1] }, &infos[0], None, later);
        assert!(orphans.take_children(infos[1].parent).is_empty());
    }
}
