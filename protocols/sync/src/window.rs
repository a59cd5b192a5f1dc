//! The part of the chain that is being downloaded: from the last applied block on.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;
use spacetime_core::chain::HeaderInfo;
use spacetime_core::{ConnectionId, Hash};

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
    Asked,
    /// Arrived, waits for the blocks before it.
    Arrived { from: ConnectionId, bytes: Bytes },
    /// Handed over to be applied.
    Applying { from: ConnectionId },
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    info: HeaderInfo,
    stage: Stage,
}

/// Headers that link to the tip, and the blocks of theirs that have arrived.
///
/// # Security
///
/// Headers are bounded by whoever asks for them; bytes that wait by `max_bytes` plus the one block
/// that everything waits for. A peer that pads a body cannot make it hold more.
#[derive(Debug)]
pub(crate) struct Window {
    tip: HeaderInfo,
    entries: VecDeque<Entry>,
    arrived_bytes: usize,
    in_flight: usize,
    applying: usize,
    /// All entries before this one are past being asked for.
    first_wanted: usize,
}

impl Window {
    pub(crate) const fn new(tip: HeaderInfo) -> Self {
        Self { tip, entries: VecDeque::new(), arrived_bytes: 0, in_flight: 0, applying: 0, first_wanted: 0 }
    }

    /// The last applied block.
    pub(crate) const fn tip(&self) -> &HeaderInfo {
        &self.tip
    }

    /// The last header.
    pub(crate) fn head(&self) -> &HeaderInfo {
        self.entries.back().map_or(&self.tip, |entry| &entry.info)
    }

    /// Headers after the tip.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Blocks that were asked for and have not arrived.
    pub(crate) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(crate) const fn is_applying(&self) -> bool {
        self.applying > 0
    }

    /// Whether the next block to be applied has arrived.
    pub(crate) fn next_is_there(&self) -> bool {
        self.entries.front().is_some_and(|entry| matches!(entry.stage, Stage::Arrived { .. }))
    }

    /// Adds a header. It must link to the last one.
    pub(crate) fn push(&mut self, info: HeaderInfo) {
        debug_assert_eq!((self.head().hash, self.head().height + 1), (info.parent, info.height));
        self.entries.push_back(Entry { info, stage: Stage::Wanted });
    }

    /// The next block to be asked for, within `max_blocks` of the tip, while what has arrived and
    /// will arrive stays within `max_bytes` at `expected_bytes` for each. The very next block may
    /// always be asked for.
    pub(crate) fn next_wanted(
        &mut self,
        max_blocks: usize,
        max_bytes: usize,
        expected_bytes: usize,
    ) -> Option<HeaderInfo> {
        while self.entries.get(self.first_wanted).is_some_and(|entry| entry.stage != Stage::Wanted) {
            self.first_wanted += 1;
        }
        let index = self.first_wanted;
        let entry = self.entries.get(index)?;
        let expected = (self.in_flight + 1).saturating_mul(expected_bytes);
        let has_room = index < max_blocks && self.arrived_bytes.saturating_add(expected) <= max_bytes;
        (index == 0 || has_room).then_some(entry.info)
    }

    /// A block was asked for.
    pub(crate) fn set_asked(&mut self, height: u64) {
        if let Some(entry) = self.entry_mut(height) {
            debug_assert_eq!(entry.stage, Stage::Wanted);
            entry.stage = Stage::Asked;
            self.in_flight += 1;
        }
    }

    /// A block that was asked for will not come, or was of no use: it is wanted again.
    pub(crate) fn set_wanted(&mut self, height: u64, hash: Hash) {
        let Some(index) = self.index(height) else { return };
        let Some(entry) = self.entries.get_mut(index).filter(|entry| entry.info.hash == hash) else { return };
        match core::mem::replace(&mut entry.stage, Stage::Wanted) {
            Stage::Asked => self.in_flight -= 1,
            Stage::Arrived { bytes, .. } => self.arrived_bytes -= bytes.len(),
            Stage::Wanted | Stage::Applying { .. } => {}
        }
        self.first_wanted = self.first_wanted.min(index);
    }

    /// A block that was asked for arrived. Not kept if it is too large for what may wait.
    pub(crate) fn set_arrived(
        &mut self,
        height: u64,
        hash: Hash,
        from: ConnectionId,
        bytes: Bytes,
        max_bytes: usize,
    ) {
        let Some(index) = self.index(height) else { return };
        let Some(entry) = self.entries.get_mut(index) else { return };
        if entry.info.hash != hash || entry.stage != Stage::Asked {
            return;
        }
        self.in_flight -= 1;
        if index > 0 && self.arrived_bytes.saturating_add(bytes.len()) > max_bytes {
            entry.stage = Stage::Wanted;
            self.first_wanted = self.first_wanted.min(index);
            return;
        }
        self.arrived_bytes += bytes.len();
        entry.stage = Stage::Arrived { from, bytes };
    }

    /// Takes the blocks that can be applied now; none while others are being applied.
    pub(crate) fn take_applicable(&mut self) -> Vec<Bytes> {
        let mut blocks = Vec::new();
        let mut bytes = 0;
        if self.is_applying() {
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
            entry.stage = Stage::Applying { from: *from };
        }
        self.applying = blocks.len();
        self.arrived_bytes -= bytes;
        blocks
    }

    /// A block that was to be applied broke the rules: it is wanted again, from somebody else, and
    /// so are those behind it that were to be applied. Who sent it.
    pub(crate) fn set_rejected(&mut self, hash: Hash) -> Option<ConnectionId> {
        let index = self.entries.iter().take(self.applying).position(|entry| entry.info.hash == hash)?;
        let mut sender = None;
        for entry in self.entries.iter_mut().take(self.applying).skip(index) {
            if let Stage::Applying { from } = entry.stage {
                sender = sender.or(Some(from));
                entry.stage = Stage::Wanted;
            }
        }
        self.first_wanted = self.first_wanted.min(index);
        sender
    }

    /// The chain ends at `tip` now. How many blocks of the window were applied by that.
    pub(crate) fn set_tip(&mut self, tip: HeaderInfo) -> u64 {
        let applied = match self.index(tip.height) {
            Some(index) if self.entries.get(index).is_some_and(|entry| entry.info.hash == tip.hash) => {
                index + 1
            }
            _ if tip.hash == self.tip.hash => 0,
            // The chain went elsewhere; what was downloaded does not link to it.
            _ => {
                *self = Self::new(tip);
                return 0;
            }
        };
        for entry in self.entries.drain(..applied) {
            match entry.stage {
                Stage::Asked => self.in_flight -= 1,
                Stage::Arrived { bytes, .. } => self.arrived_bytes -= bytes.len(),
                Stage::Wanted | Stage::Applying { .. } => {}
            }
        }
        // What was to be applied and is not, was not done.
        for entry in &mut self.entries {
            if matches!(entry.stage, Stage::Applying { .. }) {
                entry.stage = Stage::Wanted;
            }
        }
        self.tip = tip;
        self.applying = 0;
        self.first_wanted = 0;
        applied as u64
    }

    /// Forgets all blocks that have arrived and all headers. What was asked for is not waited for.
    pub(crate) fn clear(&mut self) {
        let applying = self.applying;
        self.entries.truncate(applying);
        self.arrived_bytes = 0;
        self.in_flight = 0;
        self.first_wanted = applying;
    }

    fn index(&self, height: u64) -> Option<usize> {
        let first = self.tip.height.checked_add(1)?;
        usize::try_from(height.checked_sub(first)?).ok().filter(|index| *index < self.entries.len())
    }

    fn entry_mut(&mut self, height: u64) -> Option<&mut Entry> {
        let index = self.index(height)?;
        self.entries.get_mut(index)
    }
}
