//! The part of the chain that is being downloaded: from the last applied block on.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;
use spacetime_core::chain::HeaderInfo;
use spacetime_core::{ConnectionId, Hash, RequestId};

/// Blocks that are applied at once: what a store commits in one transaction.
const MAX_APPLY_BLOCKS: usize = 256;
/// Their bytes; the first block counts whatever its size.
const MAX_APPLY_BYTES: usize = 8 << 20;

/// How far one block has come.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Stage {
    /// To be asked for.
    Wanted,
    /// Asked for.
    Asked(RequestId),
    /// Arrived, waits for the blocks before it.
    Arrived { from: ConnectionId, bytes: Bytes },
    /// Handed over to be applied.
    Applying { from: ConnectionId, bytes: Bytes },
}

impl Stage {
    /// Bytes of the block that are held because of it.
    const fn held_bytes(&self) -> usize {
        match self {
            Self::Wanted | Self::Asked(_) => 0,
            Self::Arrived { bytes, .. } | Self::Applying { bytes, .. } => bytes.len(),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    info: HeaderInfo,
    stage: Stage,
}

/// Headers that link to an applied block, the anchor, and the blocks of theirs that have arrived.
///
/// # Security
///
/// Headers are bounded by whoever asks for them; bytes that wait or are being applied by `max_bytes`
/// plus the one block that everything waits for. A peer that pads a body cannot make it hold more.
#[derive(Debug)]
pub(crate) struct Window {
    anchor: HeaderInfo,
    entries: VecDeque<Entry>,
    held_bytes: usize,
    in_flight: usize,
    is_applying: bool,
    /// All entries before this one are past being asked for.
    first_wanted: usize,
}

impl Window {
    pub(crate) const fn new(anchor: HeaderInfo) -> Self {
        Self {
            anchor,
            entries: VecDeque::new(),
            held_bytes: 0,
            in_flight: 0,
            is_applying: false,
            first_wanted: 0,
        }
    }

    /// The last applied block.
    pub(crate) const fn anchor(&self) -> &HeaderInfo {
        &self.anchor
    }

    /// The last header.
    pub(crate) fn head(&self) -> &HeaderInfo {
        self.entries.back().map_or(&self.anchor, |entry| &entry.info)
    }

    /// What the headers after the anchor say.
    pub(crate) fn infos(&self) -> impl Iterator<Item = &HeaderInfo> {
        self.entries.iter().map(|entry| &entry.info)
    }

    /// Headers after the anchor.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Blocks that were asked for and have not arrived.
    pub(crate) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether blocks were handed over, and their `Apply` has not ended.
    pub(crate) const fn is_applying(&self) -> bool {
        self.is_applying
    }

    /// The block after the anchor.
    pub(crate) fn next(&self) -> Option<&HeaderInfo> {
        self.entries.front().map(|entry| &entry.info)
    }

    /// Whether the block after the anchor is to be asked for.
    pub(crate) fn next_is_wanted(&self) -> bool {
        self.entries.front().is_some_and(|entry| entry.stage == Stage::Wanted)
    }

    /// The header of this height, if it is one of these.
    pub(crate) fn at(&self, height: u64) -> Option<&HeaderInfo> {
        self.index(height).and_then(|index| self.entries.get(index)).map(|entry| &entry.info)
    }

    /// Whether one of the headers has this height and hash.
    pub(crate) fn has(&self, height: u64, hash: Hash) -> bool {
        self.at(height).is_some_and(|info| info.hash == hash)
    }

    /// The request for the block after the anchor, if it is under way.
    pub(crate) fn next_request(&self) -> Option<RequestId> {
        match self.entries.front()?.stage {
            Stage::Asked(request) => Some(request),
            _ => None,
        }
    }

    /// Adds a header. It must link to the last one.
    pub(crate) fn push(&mut self, info: HeaderInfo) {
        debug_assert_eq!((self.head().hash, self.head().height + 1), (info.parent, info.height));
        self.entries.push_back(Entry { info, stage: Stage::Wanted });
    }

    /// The height of the first block that is to be asked for.
    pub(crate) fn first_wanted_height(&mut self) -> Option<u64> {
        while self.entries.get(self.first_wanted).is_some_and(|entry| entry.stage != Stage::Wanted) {
            self.first_wanted += 1;
        }
        self.entries.get(self.first_wanted).map(|entry| entry.info.height)
    }

    /// The next block to be asked for, within `max_blocks` of the anchor, while what has arrived and
    /// will arrive stays within `max_bytes` at `expected_bytes` for each. The very next block may
    /// always be asked for.
    pub(crate) fn next_wanted(
        &mut self,
        max_blocks: usize,
        max_bytes: usize,
        expected_bytes: usize,
    ) -> Option<HeaderInfo> {
        self.first_wanted_height()?;
        let index = self.first_wanted;
        let entry = self.entries.get(index)?;
        let expected = (self.in_flight + 1).saturating_mul(expected_bytes);
        let has_room = index < max_blocks && self.held_bytes.saturating_add(expected) <= max_bytes;
        (index == 0 || has_room).then_some(entry.info)
    }

    /// A block was asked for.
    pub(crate) fn set_asked(&mut self, height: u64, request: RequestId) {
        if let Some(index) = self.index(height) {
            self.set_stage(index, Stage::Asked(request));
        }
    }

    /// A block that was asked for will not come, or not soon: if nobody else was asked for it, it is
    /// wanted again.
    pub(crate) fn set_wanted(&mut self, height: u64, request: RequestId) {
        let Some(index) = self.index(height) else { return };
        if self.entries.get(index).is_some_and(|entry| entry.stage == Stage::Asked(request)) {
            self.set_stage(index, Stage::Wanted);
        }
    }

    /// A block arrived. Not kept if it is there already, or too large for what may wait.
    pub(crate) fn set_arrived(
        &mut self,
        height: u64,
        hash: Hash,
        from: ConnectionId,
        bytes: Bytes,
        max_bytes: usize,
    ) {
        let Some(index) = self.index(height) else { return };
        let Some(entry) = self.entries.get(index).filter(|entry| entry.info.hash == hash) else { return };
        let is_missing = matches!(entry.stage, Stage::Wanted | Stage::Asked(_));
        if is_missing && (index == 0 || self.held_bytes.saturating_add(bytes.len()) <= max_bytes) {
            self.set_stage(index, Stage::Arrived { from, bytes });
        }
    }

    /// Takes the blocks that can be applied now; none while others are being applied.
    pub(crate) fn take_applicable(&mut self) -> Vec<Bytes> {
        let mut blocks = Vec::new();
        let mut bytes = 0;
        if self.is_applying {
            return blocks;
        }
        for entry in &mut self.entries {
            let Stage::Arrived { from, bytes: block } = &entry.stage else { break };
            let fits = blocks.len() < MAX_APPLY_BLOCKS && bytes + block.len() <= MAX_APPLY_BYTES;
            if !blocks.is_empty() && !fits {
                break;
            }
            bytes += block.len();
            blocks.push(block.clone());
            entry.stage = Stage::Applying { from: *from, bytes: block.clone() };
        }
        self.is_applying = !blocks.is_empty();
        blocks
    }

    /// How many of the first blocks are being applied and were not rejected.
    fn applying(&self) -> usize {
        self.entries.iter().take_while(|entry| matches!(entry.stage, Stage::Applying { .. })).count()
    }

    /// A block that was to be applied broke the rules: it is wanted again, from somebody else. Those
    /// behind it wait again. Who sent it.
    pub(crate) fn set_rejected(&mut self, hash: Hash) -> Option<ConnectionId> {
        let applying = self.applying();
        let index = self.entries.iter().take(applying).position(|entry| entry.info.hash == hash)?;
        let Stage::Applying { from, .. } = self.entries.get(index)?.stage else { return None };
        self.set_stage(index, Stage::Wanted);
        for index in index..applying {
            if let Some(Entry { stage: Stage::Applying { from, bytes }, .. }) = self.entries.get(index) {
                let stage = Stage::Arrived { from: *from, bytes: bytes.clone() };
                self.set_stage(index, stage);
            }
        }
        Some(from)
    }

    /// Blocks that one peer has sent, and that are not being applied, are wanted again.
    pub(crate) fn distrust(&mut self, sender: ConnectionId) {
        for index in 0..self.entries.len() {
            let is_sent =
                |entry: &Entry| matches!(entry.stage, Stage::Arrived { from, .. } if from == sender);
            if self.entries.get(index).is_some_and(is_sent) {
                self.set_stage(index, Stage::Wanted);
            }
        }
    }

    /// What is applied ends now with `last`, the anchor or one of the headers after it; nothing is being
    /// applied any more. What was applied by that, and who sent those blocks.
    pub(crate) fn set_anchor(&mut self, last: HeaderInfo) -> (Vec<HeaderInfo>, Vec<ConnectionId>) {
        let (mut infos, mut senders) = (Vec::new(), Vec::new());
        let applied = self.index(last.height).map_or(0, |index| index + 1);
        for entry in self.entries.drain(..applied) {
            self.held_bytes -= entry.stage.held_bytes();
            infos.push(entry.info);
            match entry.stage {
                Stage::Asked(_) => self.in_flight -= 1,
                Stage::Applying { from, .. } => senders.push(from),
                Stage::Wanted | Stage::Arrived { .. } => {}
            }
        }
        self.anchor = last;
        self.first_wanted = 0;
        self.end_apply();
        (infos, senders)
    }

    /// Nothing is being applied any more. What was to be applied and is not, was not done.
    pub(crate) fn end_apply(&mut self) {
        self.is_applying = false;
        (0..self.applying()).for_each(|index| self.set_stage(index, Stage::Wanted));
    }

    /// The chain has come to `last`, one of the headers, by another way, maybe while blocks are being
    /// applied, which goes on. What is passed by that.
    pub(crate) fn pass(&mut self, last: HeaderInfo) -> Vec<HeaderInfo> {
        let (is_applying, applying) = (self.is_applying, self.applying());
        let passed = self.index(last.height).map_or(0, |index| index + 1);
        let left = self.entries.iter().take(applying).skip(passed).cloned().collect::<Vec<_>>();
        let (infos, _) = self.set_anchor(last);
        for (index, entry) in left.into_iter().enumerate() {
            self.set_stage(index, entry.stage);
        }
        self.is_applying = is_applying;
        infos
    }

    /// Begins anew after another block. What was asked for is not waited for.
    pub(crate) fn restart(&mut self, anchor: HeaderInfo) {
        *self = Self { is_applying: self.is_applying, ..Self::new(anchor) };
    }

    /// Forgets the headers after a height.
    pub(crate) fn truncate(&mut self, height: u64) {
        let kept = self.index(height).map_or(0, |index| index + 1);
        for entry in self.entries.drain(kept..) {
            self.held_bytes -= entry.stage.held_bytes();
            self.in_flight -= usize::from(matches!(entry.stage, Stage::Asked(_)));
        }
        self.first_wanted = self.first_wanted.min(kept);
    }

    /// Forgets all headers and blocks but those that are being applied. What was asked for is not
    /// waited for.
    pub(crate) fn clear(&mut self) {
        self.entries.truncate(self.applying());
        self.held_bytes = self.entries.iter().map(|entry| entry.stage.held_bytes()).sum();
        self.in_flight = 0;
        self.first_wanted = 0;
    }

    fn set_stage(&mut self, index: usize, stage: Stage) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        self.held_bytes += stage.held_bytes();
        self.in_flight += usize::from(matches!(stage, Stage::Asked(_)));
        if stage == Stage::Wanted {
            self.first_wanted = self.first_wanted.min(index);
        }
        let before = core::mem::replace(&mut entry.stage, stage);
        self.held_bytes -= before.held_bytes();
        self.in_flight -= usize::from(matches!(before, Stage::Asked(_)));
    }

    fn index(&self, height: u64) -> Option<usize> {
        let first = self.anchor.height.checked_add(1)?;
        usize::try_from(height.checked_sub(first)?).ok().filter(|index| *index < self.entries.len())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use spacetime_core::{Limits, Now, PeerId, Rng, Swarm, Time};

    use alloc::vec;

    use super::*;

    fn header(height: u64) -> HeaderInfo {
        let hash = |height: u64| Hash::of(&height.to_le_bytes());
        HeaderInfo {
            hash: hash(height),
            parent: hash(height.wrapping_sub(1)),
            height,
            timestamp: 0,
            weight: 1,
        }
    }

    /// A connection, wherever it leads.
    fn connection() -> ConnectionId {
        let config = spacetime_handshake::Config::new(Hash([1; 32]));
        let gate = spacetime_handshake::Handshake::new(config, &Rng::from_number(1)).unwrap();
        let mut swarm = Swarm::new(gate, PeerId([0; 32]), Limits::default()).unwrap();
        swarm.handle_accept(Now::new(Time::ZERO, 0), "memory:1".parse().unwrap()).unwrap()
    }

    #[test]
    fn what_is_being_applied_stays_that_when_its_first_block_comes_by_another_way() {
        let from = connection();
        let mut window = Window::new(header(0));
        (1..=4).for_each(|height| window.push(header(height)));
        for height in 1..=3 {
            window.set_arrived(height, header(height).hash, from, Bytes::from_static(&[1; 10]), 1000);
        }
        assert_eq!(window.take_applicable().len(), 3);
        assert_eq!(window.pass(header(1)), [header(1)]);
        assert!(window.is_applying() && window.take_applicable().is_empty());
        assert_eq!((window.len(), window.held_bytes, window.next_is_wanted()), (3, 20, false));

        // The third one is bad: who sent it is still known.
        assert_eq!(window.set_rejected(header(3).hash), Some(from));
        assert_eq!(window.set_anchor(header(2)), (vec![header(2)], vec![from]));
        assert!(!window.is_applying() && window.next_is_wanted());
        assert_eq!((window.len(), window.held_bytes), (2, 0));
    }

    #[test]
    fn what_stands_behind_a_bad_block_is_not_downloaded_again() {
        let (from, max_bytes) = (connection(), 1000);
        let mut window = Window::new(header(0));
        (1..=5).for_each(|height| window.push(header(height)));
        for height in 1..=5 {
            window.set_arrived(height, header(height).hash, from, Bytes::from_static(&[1; 10]), max_bytes);
        }
        assert_eq!(window.take_applicable().len(), 5);
        assert_eq!(window.set_rejected(header(2).hash), Some(from));
        window.set_anchor(header(1));
        assert_eq!((window.first_wanted_height(), window.held_bytes), (Some(2), 30));
        window.set_arrived(2, header(2).hash, from, Bytes::from_static(&[2; 10]), max_bytes);
        assert_eq!((window.first_wanted_height(), window.take_applicable().len()), (None, 4));
    }
}
