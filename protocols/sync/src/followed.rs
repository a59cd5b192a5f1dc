//! The chain that is followed: what is applied of it, and what waits.

use alloc::vec::Vec;

use bytes::Bytes;
use spacetime_core::chain::{ChainRules, HeaderInfo};
use spacetime_core::{ConnectionId, Hash};

use crate::recent::RecentChain;
use crate::window::Window;

/// The best chain, and the headers and blocks that are to follow some block of it.
///
/// ```text
///   recent:  ... o -- o -- o -- o  tip         the best chain; only verified blocks
///                      \
///   side:               o -- o  anchor         verified, and not heavier yet than what they replace
///                             \
///   window:                    o -- o -- o  head    headers, and blocks that have arrived
/// ```
///
/// As long as the window goes on from the tip, the side is empty.
#[derive(Debug)]
pub(crate) struct Followed {
    recent: RecentChain,
    /// How many blocks before the tip there are that may be left.
    max_reorg_depth: usize,
    /// The last block that the followed chain and the best one have in common.
    fork_height: u64,
    side: Vec<HeaderInfo>,
    pub(crate) window: Window,
    /// The blocks that are being applied, and those beside the best chain that they follow.
    applying: Vec<HeaderInfo>,
}

impl Followed {
    pub(crate) fn new(mut recent: RecentChain, max_reorg_depth: usize) -> Self {
        recent.keep(max_reorg_depth);
        let tip = *recent.tip();
        let (fork_height, window) = (tip.height, Window::new(tip));
        Self { recent, max_reorg_depth, fork_height, side: Vec::new(), window, applying: Vec::new() }
    }

    /// The last block of the best chain.
    pub(crate) const fn tip(&self) -> &HeaderInfo {
        self.recent.tip()
    }

    /// The last header.
    pub(crate) fn head(&self) -> &HeaderInfo {
        self.window.head()
    }

    /// The height of the last block that the followed chain and the best one have in common.
    pub(crate) const fn fork_height(&self) -> u64 {
        self.fork_height
    }

    /// The last header, or the tip, whichever is higher.
    pub(crate) fn height(&self) -> u64 {
        self.head().height.max(self.tip().height)
    }

    /// Whether the followed chain goes on from the tip.
    pub(crate) const fn extends_tip(&self) -> bool {
        self.fork_height == self.recent.tip().height
    }

    /// The block of this height in the followed chain.
    pub(crate) fn at(&self, height: u64) -> Option<&HeaderInfo> {
        if height <= self.fork_height {
            return self.recent.at(height);
        }
        let index = usize::try_from(height - self.fork_height - 1).ok()?;
        match self.side.get(index) {
            Some(info) => Some(info),
            None => self.window.at(height),
        }
    }

    /// Whether the followed chain has this block, as far back as that is known.
    pub(crate) fn has(&self, height: u64, hash: Hash) -> bool {
        self.at(height).is_some_and(|info| info.hash == hash)
    }

    /// Whether this block is one of the best chain, as far back as that is known.
    pub(crate) fn best_has(&self, block: &HeaderInfo) -> bool {
        self.recent.at(block.height).is_some_and(|info| info.hash == block.hash)
    }

    /// Blocks of the followed chain: the last ones, then further and further apart, and the oldest one
    /// that is known.
    pub(crate) fn locator(&self) -> Vec<HeaderInfo> {
        let mut blocks = Vec::new();
        let (mut height, mut step) = (self.head().height, 1);
        while let Some(info) = self.at(height) {
            blocks.push(*info);
            if blocks.len() >= 2 {
                step *= 2;
            }
            match height.checked_sub(step) {
                Some(lower) if self.at(lower).is_some() => height = lower,
                _ => break,
            }
        }
        let tip = self.tip();
        let oldest = tip.height - (self.recent.len() as u64 - 1).min(tip.height);
        match self.recent.at(oldest) {
            Some(oldest) if blocks.last() != Some(oldest) => blocks.push(*oldest),
            _ => {}
        }
        blocks
    }

    /// Takes the blocks that can be applied now; none while others are being applied.
    pub(crate) fn take_applicable(&mut self) -> Vec<Bytes> {
        let blocks = self.window.take_applicable();
        if !blocks.is_empty() {
            self.applying.clone_from(&self.side);
            self.applying.extend(self.window.infos().take(blocks.len()));
        }
        blocks
    }

    /// The weight of the blocks after a height, up to `max` of them: in the followed chain or in the
    /// best one, whichever has more.
    pub(crate) fn weight_after(&self, rules: &impl ChainRules, height: u64, max: usize) -> u128 {
        let Some(fork) = self.at(height) else { return 0 };
        let followed = (height + 1..).map_while(|height| self.at(height)).take(max);
        let followed = rules.branch_weight(fork, followed);
        if self.extends_tip() {
            return followed;
        }
        let best = (height + 1..).map_while(|height| self.recent.at(height)).take(max);
        let best = self.recent.at(height).map_or(0, |fork| rules.branch_weight(fork, best));
        followed.max(best)
    }

    /// Follows another chain: these headers after `fork`, a block of the followed chain. Of those,
    /// `verified` are applied already. Nothing may be being applied.
    pub(crate) fn follow(&mut self, fork: HeaderInfo, headers: &[HeaderInfo], verified: usize) {
        debug_assert!(!self.window.is_applying() && self.has(fork.height, fork.hash));
        if fork.height >= self.window.anchor().height && verified == 0 {
            self.window.truncate(fork.height);
        } else {
            let kept = fork.height.saturating_sub(self.fork_height);
            self.side.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
            self.fork_height = self.fork_height.min(fork.height);
            let (verified, _) = headers.split_at_checked(verified).unwrap_or((headers, &[]));
            let best = verified.partition_point(|info| self.best_has(info));
            self.fork_height += best as u64;
            self.side.extend(verified.iter().skip(best));
            self.window.restart(verified.last().copied().unwrap_or(fork));
        }
        headers.iter().skip(verified).for_each(|info| self.window.push(*info));
    }

    /// Forgets all headers and goes on from the tip. What is being applied stays until that ends.
    pub(crate) fn abandon(&mut self) {
        if self.extends_tip() || self.window.is_applying() {
            self.window.clear();
        } else {
            self.restart();
        }
    }

    fn restart(&mut self) {
        self.side.clear();
        self.fork_height = self.tip().height;
        self.window.restart(*self.recent.tip());
    }

    /// An `Apply` of blocks of the window has ended with `last`, and the best chain with `tip`. Who
    /// sent the blocks that were applied. None if the chain went elsewhere: then what was downloaded
    /// is forgotten.
    pub(crate) fn applied(&mut self, last: &HeaderInfo, tip: &HeaderInfo) -> Option<Vec<ConnectionId>> {
        let applying = core::mem::take(&mut self.applying);
        let is_followed = self.window.anchor().hash == last.hash || self.window.has(last.height, last.hash);
        if !is_followed && tip.hash == self.tip().hash {
            self.window.end_apply();
            return Some(Vec::new());
        }
        if !is_followed || self.extends_tip() && tip.hash != last.hash {
            self.window.end_apply();
            self.move_along(applying, tip);
            return None;
        }
        let was_extending = self.extends_tip();
        let (applied, senders) = self.window.set_anchor(*last);
        if was_extending {
            applied.into_iter().for_each(|info| self.recent.push(info));
            self.fork_height = self.tip().height;
        } else {
            self.side.extend(applied);
            if tip.hash == last.hash {
                self.recent.go_back(self.fork_height);
                self.side.drain(..).for_each(|info| self.recent.push(info));
                self.fork_height = self.tip().height;
            } else if tip.hash != self.tip().hash {
                self.move_tip(tip);
                return None;
            }
        }
        self.recent.keep(self.max_reorg_depth);
        Some(senders)
    }

    /// The best chain has come to `tip` by something else than an `Apply` of the window; such a one
    /// goes on.
    pub(crate) fn move_tip(&mut self, tip: &HeaderInfo) {
        if tip.hash == self.tip().hash {
            return;
        }
        let (is_next, was_extending) = (tip.parent == self.tip().hash, self.extends_tip());
        if is_next && !was_extending {
            // The followed chain is another one, and goes on from where it was.
            self.recent.push(*tip);
        } else if was_extending && self.window.has(tip.height, tip.hash) {
            let passed = self.window.pass(*tip);
            passed.into_iter().for_each(|info| self.recent.push(info));
            self.fork_height = tip.height;
        } else if let Some(known) = self.recent.at(tip.height).filter(|known| known.hash == tip.hash) {
            self.recent.go_back(known.height);
            self.restart();
        } else {
            self.go_over_to(&[*tip]);
        }
        self.recent.keep(self.max_reorg_depth);
    }

    /// The best chain has gone over to `tip`, which may be one of the blocks that were being applied: then
    /// what stood before them is known.
    fn move_along(&mut self, mut applying: Vec<HeaderInfo>, tip: &HeaderInfo) {
        match applying.iter().position(|info| info.hash == tip.hash) {
            Some(index) if tip.hash != self.tip().hash => {
                applying.truncate(index + 1);
                self.go_over_to(&applying);
                self.recent.keep(self.max_reorg_depth);
            }
            _ => self.move_tip(tip),
        }
    }

    /// The best chain ends with these blocks, the first of which may follow an earlier one than the tip.
    fn go_over_to(&mut self, branch: &[HeaderInfo]) {
        let parent = branch.first().and_then(|first| Some((first.height.checked_sub(1)?, first.parent)));
        if let Some((height, hash)) = parent
            && self.recent.at(height).is_some_and(|info| info.hash == hash)
        {
            self.recent.go_back(height);
        }
        branch.iter().for_each(|info| self.recent.push(*info));
        self.restart();
    }
}
