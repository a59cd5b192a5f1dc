//! The last blocks of the chain that a node has.

use alloc::collections::VecDeque;

use spacetime_core::chain::HeaderInfo;

/// The last blocks of a node's best chain, oldest first: as far back as it would leave them for a
/// heavier chain. Never empty.
///
/// A few numbers for each block: 88 KB for 1000.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecentChain {
    tip: HeaderInfo,
    /// The blocks before the tip.
    before: VecDeque<HeaderInfo>,
}

impl From<HeaderInfo> for RecentChain {
    /// The last block alone: nothing before it is ever left.
    fn from(tip: HeaderInfo) -> Self {
        Self { tip, before: VecDeque::new() }
    }
}

impl RecentChain {
    /// The last block.
    pub const fn tip(&self) -> &HeaderInfo {
        &self.tip
    }

    /// How many blocks it has.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.before.len() + 1
    }

    /// Adds the next block. If it does not follow the last one, what came before is forgotten.
    pub fn push(&mut self, next: HeaderInfo) {
        if next.parent == self.tip.hash && self.tip.height.checked_add(1) == Some(next.height) {
            self.before.push_back(self.tip);
        } else {
            self.before.clear();
        }
        self.tip = next;
    }

    /// Forgets all but the last `depth` blocks before the tip.
    pub(crate) fn keep(&mut self, depth: usize) {
        self.before.drain(..self.before.len().saturating_sub(depth));
    }

    /// The block of this height, if it is one of these.
    pub(crate) fn at(&self, height: u64) -> Option<&HeaderInfo> {
        match self.tip.height.checked_sub(height)? {
            0 => Some(&self.tip),
            back => {
                let index = self.before.len().checked_sub(usize::try_from(back).ok()?)?;
                self.before.get(index)
            }
        }
    }

    /// Goes back to a height, which must be that of one of these blocks.
    pub(crate) fn go_back(&mut self, height: u64) {
        while self.tip.height > height {
            let Some(before) = self.before.pop_back() else {
                debug_assert!(false, "no block of height {height}");
                return;
            };
            self.tip = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use spacetime_core::Hash;

    use super::*;

    fn header(height: u64) -> HeaderInfo {
        let hash = |height: u64| Hash::of(&height.to_le_bytes());
        let parent = hash(height.wrapping_sub(1));
        HeaderInfo { hash: hash(height), parent, height, timestamp: 0, weight: 1 }
    }

    #[test]
    fn blocks_are_found_by_height_as_far_back_as_they_are_kept() {
        let mut recent = RecentChain::from(header(5));
        (6..=20).for_each(|height| recent.push(header(height)));
        recent.keep(10);
        assert_eq!((recent.len(), recent.tip().height), (11, 20));
        for height in 0..30 {
            let is_there = (10..=20).contains(&height);
            assert_eq!(recent.at(height), is_there.then(|| header(height)).as_ref(), "{height}");
        }
        recent.go_back(12);
        assert_eq!((recent.len(), recent.tip().height), (3, 12));
    }

    #[test]
    fn what_does_not_follow_stands_alone() {
        let mut recent = RecentChain::from(header(5));
        recent.push(header(6));
        recent.push(header(8));
        assert_eq!((recent.len(), recent.tip().height, recent.at(6)), (1, 8, None));
    }
}
