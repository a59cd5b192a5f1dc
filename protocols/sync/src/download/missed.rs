//! Blocks that a peer did not send.

use alloc::collections::BTreeMap;

use spacetime_core::Hash;

/// How many are remembered of one peer: more than it is asked for at a time.
const MAX_MISSED: usize = 256;

/// Blocks that a peer was asked for and did not send in their turn, and how often it failed to.
#[derive(Debug, Default)]
pub(super) struct Missed(BTreeMap<(u64, Hash), u32>);

impl Missed {
    /// It failed to send this block. Those up to the last applied one are not asked for any more.
    pub(super) fn failed(&mut self, height: u64, hash: Hash, applied_height: u64) {
        let times = self.entry(height, hash, applied_height);
        *times = times.saturating_add(1);
        self.make_room();
    }

    /// It sent others first. That is no failure yet.
    pub(super) fn put_off(&mut self, height: u64, hash: Hash, applied_height: u64) {
        self.entry(height, hash, applied_height);
        self.make_room();
    }

    /// How often it failed to send this block; none if it never put it off either.
    pub(super) fn times(&self, height: u64, hash: Hash) -> Option<u32> {
        self.0.get(&(height, hash)).copied()
    }

    fn entry(&mut self, height: u64, hash: Hash, applied_height: u64) -> &mut u32 {
        self.0 = self.0.split_off(&(applied_height.saturating_add(1), Hash::ZERO));
        self.0.entry((height, hash)).or_insert(0)
    }

    fn make_room(&mut self) {
        if self.0.len() > MAX_MISSED {
            // The next ones to be applied matter most.
            self.0.pop_last();
        }
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
            missed.failed(height, hash(height), 0);
            missed.put_off(height, hash(height), 0);
            missed.failed(height, hash(height), 0);
        }
        assert_eq!(missed.0.len(), MAX_MISSED);
        assert_eq!((missed.times(1, hash(1)), missed.times(256, hash(256))), (Some(2), Some(2)));
        assert_eq!((missed.times(257, hash(257)), missed.times(1, hash(2))), (None, None));
        missed.failed(200, hash(200), 199);
        assert_eq!((missed.times(199, hash(199)), missed.times(200, hash(200))), (None, Some(3)));
        missed.put_off(300, hash(300), 199);
        assert_eq!((missed.0.len(), missed.times(300, hash(300))), (58, Some(0)));
    }
}
