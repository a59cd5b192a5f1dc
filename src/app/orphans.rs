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
/// ten minutes, or is no higher than the tip, has come by sync, or is of no use. A restart forgets all of it.
const LIMITS: PoolLimits =
    PoolLimits { max_count: 256, max_bytes: 32 * 1024 * 1024, lifetime: Duration::from_secs(600) };

/// How far above the tip a block may be: what is higher comes by sync long before its parent is here.
const MAX_LEAD: u64 = 100;

/// Blocks that wait for their parents, by parent and by their own name, and their heights.
pub(super) struct Orphans(Pool<(Hash, Hash), (u64, Frame)>);

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
            self.0.insert((info.parent, item.id()), (info.height, frame), bytes, from.cloned(), now);
        }
    }

    /// Takes out the blocks that follow the tip, and drops those that are no higher than it.
    pub(super) fn take_children(&mut self, tip: &HeaderInfo) -> Vec<Frame> {
        let low = self.0.iter().filter(|(_, (height, _))| *height <= tip.height).map(|(key, _)| *key);
        for key in low.collect::<Vec<_>>() {
            self.0.remove(&key);
        }
        let of_tip = (tip.hash, Hash::ZERO)..=(tip.hash, Hash([0xff; 32]));
        let keys: Vec<_> = self.0.range(of_tip).copied().collect();
        keys.iter().filter_map(|key| self.0.remove(key)).map(|(_, frame)| frame).collect()
    }

    /// Drops what has been there for too long.
    pub(super) fn drop_old(&mut self, now: Time) {
        self.0.drop_old(now);
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
        assert_eq!(orphans.take_children(&infos[1]), [item.frame().clone()]);
        assert!(orphans.take_children(&infos[1]).is_empty());
    }

    #[test]
    fn what_is_far_from_the_tip_or_old_is_not_kept() {
        let blocks: Vec<_> = DevelopmentChain::new(1, 500).take(2).collect();
        let infos = infos(&blocks);
        let mut orphans = Orphans::new();
        let item = Item::block(&blocks[1]).unwrap();
        let parent = HeaderInfo { height: 0, ..infos[0] };
        for (height, is_kept) in [(0, false), (1, true), (2, true), (101, true), (102, false)] {
            let info = HeaderInfo { height, ..infos[1] };
            orphans.insert(&item, &info, &infos[0], None, Time::ZERO);
            assert_eq!(!orphans.take_children(&parent).is_empty(), is_kept, "{height}");
        }
        orphans.insert(&item, &infos[1], &infos[0], None, Time::ZERO);
        orphans.drop_old(Time::from_epoch(Duration::from_secs(599)));
        assert_eq!(orphans.0.len(), 1);
        orphans.drop_old(Time::from_epoch(Duration::from_secs(600)));
        assert!(orphans.0.is_empty());
    }

    #[test]
    fn what_the_chain_has_grown_beyond_is_dropped() {
        let blocks: Vec<_> = DevelopmentChain::new(1, 500).take(3).collect();
        let infos = infos(&blocks);
        let mut orphans = Orphans::new();
        for (block, info) in blocks.iter().zip(&infos).skip(1) {
            let beside = HeaderInfo { parent: Hash::of(block), ..*info };
            orphans.insert(&Item::block(block).unwrap(), &beside, &infos[0], None, Time::ZERO);
        }
        assert!(orphans.take_children(&infos[1]).is_empty());
        assert_eq!(orphans.0.len(), 1, "the higher one may still be of use");
        assert!(orphans.take_children(&infos[2]).is_empty() && orphans.0.is_empty());
    }
}
