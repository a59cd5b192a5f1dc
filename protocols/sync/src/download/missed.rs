//! Blocks that a peer did not send.

use alloc::collections::BTreeMap;

use spacetime_core::Hash;

/// How many are remembered of one peer: more than it is asked for at a time.
const MAX_MISSED: usize = 256;

/// Blocks that a peer was asked for and did not send, and how often.
#[derive(Debug, Default)]
pub(super) struct Missed(BTreeMap<(u64, Hash), u32>);

impl Missed {
    /// It did not send this block. Those up to the last applied one are not asked for any more.
    pub(super) fn insert(&mut self, height: u64, hash: Hash, applied_height: u64) {
        self.0 = self.0.split_off(&(applied_height.saturating_add(1), Hash::ZERO));
        let times = self.0.entry((height, hash)).or_insert(0);
        *times = times.saturating_add(1);
        if self.0.len() > MAX_MISSED {
            // The next ones to be applied matter most.
            self.0.pop_last();
        }
    }

    /// How often it did not send this block.
    pub(super) fn times(&self, height: u64, hash: Hash) -> u32 {
        self.0.get(&(height, hash)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_blocks_to_be_applied_are_remembered_and_those_that_are_applied_are_not() {
        let mut missed = Missed::default();
        let hash = |height: u64| Hash::of(&height.to_le_bytes());
        for height in (1..=1000).rev() {
            missed.insert(height, hash(height), 0);
            missed.insert(height, hash(height), 0);
        }
        assert_eq!(missed.0.len(), MAX_MISSED);
        assert_eq!((missed.times(1, hash(1)), missed.times(256, hash(256))), (2, 2));
        assert_eq!((missed.times(257, hash(257)), missed.times(1, hash(2))), (0, 0));
        missed.insert(200, hash(200), 199);
        assert_eq!((missed.times(199, hash(199)), missed.times(200, hash(200))), (0, 3));
        assert_eq!(missed.0.len(), 57);
    }
}
