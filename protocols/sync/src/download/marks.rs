//! Blocks that were refused.

use alloc::collections::{BTreeSet, VecDeque};

use spacetime_core::Hash;

/// How many are remembered.
const MAX_MARKS: usize = 64;

/// Blocks that were refused, and that nobody gives otherwise. Headers are taken up to them only.
///
/// # Security
///
/// The hash of a block does not cover its signature and its proof, so a refused body says little about
/// the block. A block is marked once all who vouched for it have failed to give a good body, and the
/// marks are forgotten as soon as nobody has anything else: a lie costs time, and never a chain.
#[derive(Debug, Default)]
pub(super) struct Marks {
    hashes: BTreeSet<Hash>,
    /// The oldest first.
    order: VecDeque<Hash>,
}

impl Marks {
    pub(super) fn contains(&self, hash: &Hash) -> bool {
        self.hashes.contains(hash)
    }

    pub(super) fn insert(&mut self, hash: Hash) {
        if !self.hashes.insert(hash) {
            return;
        }
        self.order.push_back(hash);
        if self.order.len() > MAX_MARKS
            && let Some(oldest) = self.order.pop_front()
        {
            self.hashes.remove(&oldest);
        }
    }

    /// Forgets all; whether there were any.
    pub(super) fn clear(&mut self) -> bool {
        self.order.clear();
        !core::mem::take(&mut self.hashes).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_mark_makes_room() {
        let mut marks = Marks::default();
        for number in 0..200_u8 {
            marks.insert(Hash([number; 32]));
            marks.insert(Hash([number; 32]));
        }
        assert_eq!((marks.hashes.len(), marks.order.len()), (MAX_MARKS, MAX_MARKS));
        assert!(marks.contains(&Hash([199; 32])) && !marks.contains(&Hash([199 - 64; 32])));
        assert!(marks.clear() && !marks.clear() && !marks.contains(&Hash([199; 32])));
    }
}
