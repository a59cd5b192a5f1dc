//! Lists of headers that were sent a moment ago, for the next peer that asks for the same.

use alloc::collections::VecDeque;

use spacetime_core::Hash;
use spacetime_core::wire::{Frame, Headers};

/// Bytes of the lists that are kept: seven full ones.
const MAX_BYTES: usize = 4 << 20;

/// Lists that are kept, however short they are.
const MAX_LISTS: usize = 64;

/// A question for headers with one block as locator and no end: what a node asks while it downloads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Question {
    pub(crate) locator: Hash,
    pub(crate) max_headers: usize,
}

/// The last lists that were asked for, as the frames that were sent.
///
/// Nodes that download at the same time ask for the same lists: all that have got 2000 headers after the same
/// one go on after the same one. A list that is full holds as long as the chain only grows. And those that
/// have all of it ask every few seconds whether there is more.
///
/// # Security
///
/// Whoever asks for what nobody else does has lists pushed out, at the cost of a read for each as without
/// them; what is kept stays within 4 MiB and one list.
#[derive(Debug, Default)]
pub(crate) struct HotHeaders {
    /// The one that was asked for last stands at the end.
    lists: VecDeque<(Question, Frame)>,
    bytes: usize,
    /// The last block of the best chain: there are no headers after it.
    tip: Hash,
    /// How often all were forgotten.
    generation: u64,
}

impl HotHeaders {
    /// A chain that ends with this block.
    pub(crate) fn new(tip: Hash) -> Self {
        Self { tip, ..Self::default() }
    }

    /// The list that answers a question.
    pub(crate) fn get(&mut self, question: Question) -> Option<Frame> {
        if question.locator == self.tip {
            return Frame::encode(&Headers::new(&[])).ok();
        }
        let index = self.lists.iter().position(|(kept, _)| *kept == question)?;
        let (_, frame) = self.lists.remove(index)?;
        self.lists.push_back((question, frame.clone()));
        Some(frame)
    }

    /// What tells whether the chain has gone elsewhere since.
    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Keeps a list that was read in this generation.
    pub(crate) fn insert(&mut self, question: Question, frame: &Frame, generation: u64) {
        let is_full = count(frame) == Some(question.max_headers);
        if !is_full || generation != self.generation || self.lists.iter().any(|(kept, _)| *kept == question) {
            return;
        }
        self.bytes += frame.len();
        self.lists.push_back((question, frame.clone()));
        while self.lists.len() > MAX_LISTS || self.bytes > MAX_BYTES && self.lists.len() > 1 {
            let Some((_, oldest)) = self.lists.pop_front() else { return };
            self.bytes -= oldest.len();
        }
    }

    /// The chain ends here now. If it has left some of its blocks, nothing of it holds any more.
    pub(crate) fn set_tip(&mut self, tip: Hash, has_left_blocks: bool) {
        if has_left_blocks {
            *self = Self { generation: self.generation + 1, ..Self::default() };
        }
        self.tip = tip;
    }
}

/// How many headers there are in a list, which begins with that.
fn count(frame: &Frame) -> Option<usize> {
    let count = frame.payload().first_chunk()?;
    usize::try_from(i32::from_le_bytes(*count)).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    fn question(number: u8, max_headers: usize) -> Question {
        Question { locator: Hash([number; 32]), max_headers }
    }

    fn list(headers: usize) -> Frame {
        let header = [1; 290];
        let headers: Vec<&[u8]> = vec![&header; headers];
        Frame::encode(&Headers::new(&headers)).unwrap()
    }

    #[test]
    fn full_lists_are_kept_until_the_chain_goes_elsewhere() {
        let mut hot = HotHeaders::new(Hash([255; 32]));
        hot.insert(question(1, 10), &list(10), 0);
        hot.insert(question(2, 10), &list(9), 0);
        assert!(hot.get(question(1, 10)).is_some() && hot.get(question(1, 11)).is_none());
        assert!(hot.get(question(2, 10)).is_none(), "there may be a tenth one soon");
        hot.set_tip(Hash([8; 32]), false);
        assert!(hot.get(question(1, 10)).is_some(), "it has only grown");
        let nothing = hot.get(question(8, 2000)).unwrap();
        assert_eq!(count(&nothing), Some(0), "nothing comes after the last one");
        hot.set_tip(Hash([9; 32]), true);
        assert!(hot.get(question(8, 2000)).is_none());
        assert!(hot.get(question(1, 10)).is_none());
        // It was read before.
        hot.insert(question(1, 10), &list(10), 0);
        assert!(hot.get(question(1, 10)).is_none());
        hot.insert(question(1, 10), &list(10), hot.generation());
        assert!(hot.get(question(1, 10)).is_some());
    }

    #[test]
    fn the_list_that_nobody_has_asked_for_longest_makes_room() {
        let mut hot = HotHeaders::new(Hash([255; 32]));
        let full = list(2000);
        for number in 0..8 {
            hot.insert(question(number, 2000), &full, 0);
            hot.insert(question(number, 2000), &full, 0);
            assert!(hot.get(question(0, 2000)).is_some());
        }
        assert!(hot.get(question(1, 2000)).is_none() && hot.get(question(2, 2000)).is_some());
        assert!(hot.bytes <= MAX_BYTES && hot.bytes == full.len() * hot.lists.len());
        for number in 0..200 {
            hot.insert(question(number, 1), &list(1), 0);
        }
        assert_eq!((hot.lists.len(), hot.bytes), (MAX_LISTS, MAX_LISTS * list(1).len()));
    }
}
