//! What a peer is to be sent once it can take it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use spacetime_core::wire::{Announced, Frame, MAX_ANNOUNCED};
use spacetime_core::{Hash, Rate, Time, TokenBucket};

/// Items that a peer has asked for and was not sent, and answers that there are none.
///
/// # Security
///
/// 36 bytes each, and as many as one question names. An honest peer does not ask for more at a time; what
/// is more is not answered, and asked of another in its time.
const MAX_WANTED: usize = MAX_ANNOUNCED;

/// Announcements that wait, as many as one message holds. A peer that takes none for so long hears of
/// the older ones from others.
const MAX_WAITING_ANNOUNCEMENTS: usize = MAX_ANNOUNCED;

/// Items that are held back, and the memory of all but the last of them. The oldest make room, as in
/// a send queue.
const MAX_HELD: usize = 256;
const MAX_HELD_BYTES: usize = 1024 * 1024;

/// How often sync is told that a peer has a block which this node did not take: a peer announces no
/// more in earnest, and one input tells no more than so many of each peer.
const NEWS: Rate = Rate { capacity: 4, interval: core::time::Duration::from_secs(1) };

/// What a peer is to be sent.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// What it asked for.
    pub(crate) wanted: Vec<Hash>,
    /// What it asked for and cannot have.
    pub(crate) missing: Vec<Hash>,
    pub(crate) announced: VecDeque<Announced>,
    held: VecDeque<Frame>,
    held_bytes: usize,
}

impl Outbox {
    pub(crate) fn want(&mut self, id: Hash) {
        if self.wanted.len() + self.missing.len() < MAX_WANTED {
            self.wanted.push(id);
        }
    }

    pub(crate) fn announce(&mut self, item: Announced) {
        if self.announced.len() >= MAX_WAITING_ANNOUNCEMENTS {
            self.announced.pop_front();
        }
        self.announced.push_back(item);
    }

    /// Holds an item back. How many had to go for it.
    pub(crate) fn hold(&mut self, frame: &Frame) -> u64 {
        let mut dropped = 0;
        while self.held.len() >= MAX_HELD || self.held_bytes > MAX_HELD_BYTES {
            self.take_held();
            dropped += 1;
        }
        self.held_bytes += frame.held_bytes();
        self.held.push_back(frame.clone());
        dropped
    }

    pub(crate) fn holds_back(&self) -> bool {
        !self.held.is_empty()
    }

    /// The oldest of what was held back.
    pub(crate) fn held(&self) -> Option<&Frame> {
        self.held.front()
    }

    /// It need not be held back any more.
    pub(crate) fn take_held(&mut self) -> Option<Frame> {
        let frame = self.held.pop_front()?;
        self.held_bytes -= frame.held_bytes();
        Some(frame)
    }
}

/// What was said of a peer's blocks.
#[derive(Debug)]
pub(crate) struct News {
    last: Option<Hash>,
    bucket: TokenBucket,
}

impl News {
    pub(crate) const fn new(now: Time) -> Self {
        Self { last: None, bucket: TokenBucket::new(NEWS.capacity, now) }
    }

    /// Whether it is worth saying that the peer has this block.
    pub(crate) fn is_worth_telling(&mut self, hash: Hash, now: Time) -> bool {
        if self.last == Some(hash) || !self.bucket.take(NEWS, now) {
            return false;
        }
        self.last = Some(hash);
        true
    }
}
