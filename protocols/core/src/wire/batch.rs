//! Frames that were received together.

use alloc::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::chunk::BegunFrame;
use super::frame::Frame;
use super::message::TypeRule;
use super::rules::FrameRules;
use super::types::{MessageType, Priority};
use crate::hash::Hash;

/// Per frame the hash of its object. A large frame, which most often is a block, has it in place.
pub(super) type ObjectIds = SmallVec<[Option<Hash>; 1]>;

/// Frames that were received together, in the order of the stream.
#[derive(Clone, Debug)]
pub struct Batch {
    pub(super) bytes: Bytes,
    pub(super) rules: Arc<FrameRules>,
    /// Per frame the hash of its object; empty if no frame has one.
    pub(super) object_ids: smallvec::IntoIter<[Option<Hash>; 1]>,
    pub(super) pinned_bytes: usize,
    /// See [`unframed_bytes`](Self::unframed_bytes).
    pub(super) unframed: usize,
    /// Bytes of the one frame that batches before have told of as unframed.
    pub(super) told: usize,
    pub(super) begun: [Option<BegunFrame>; 2],
}

impl Batch {
    /// Bytes of the frames that are left.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether no frame is left.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes that came before these frames and are in none of them: of types that nobody here takes,
    /// [chunks](super::CHUNK_CAPABILITY) of a frame that is not whole, and those that a driver has
    /// [added](Self::add_unframed_bytes). They cost what frames do; the former are told of at the latest
    /// with each 64 KiB.
    pub const fn unframed_bytes(&self) -> usize {
        self.unframed
    }

    /// Counts bytes to these that came with the frames and were none of any, as those of a transport that
    /// encrypts: they cost what frames do.
    pub const fn add_unframed_bytes(&mut self, bytes: usize) {
        self.unframed = self.unframed.saturating_add(bytes);
    }

    pub(crate) const fn set_unframed_bytes(&mut self, bytes: usize) {
        self.unframed = bytes;
    }

    /// Bytes of frames that were told of before, chunk by chunk. Then there is one frame.
    pub(crate) const fn told_bytes(&self) -> usize {
        self.told
    }

    /// The frames of which chunks had come and others were missing when these were read, by level.
    pub(crate) const fn begun(&self) -> [Option<BegunFrame>; 2] {
        self.begun
    }

    /// Bytes of the stream that no batch has told of before.
    pub(crate) const fn arrived_bytes(&self) -> usize {
        self.unframed + self.bytes.len() - self.told
    }

    /// Bytes of the frames from `start` on that reach `max_bytes`, the last one beyond; of those that
    /// are as urgent as `only`, if that is said.
    pub(crate) fn front_bytes(&self, start: usize, max_bytes: usize, only: Option<Priority>) -> usize {
        if only.is_none() && max_bytes >= self.bytes.len() - start {
            return self.bytes.len() - start;
        }
        let mut front = 0;
        while front < max_bytes
            && let Some((rule, total)) = self.peek(start + front)
            && only.is_none_or(|priority| rule.priority == priority)
        {
            front += total;
        }
        front
    }

    /// Splits off so many bytes of whole frames.
    pub(crate) fn split_front(&mut self, bytes: usize) -> Self {
        let mut frames = 0;
        let mut start = 0;
        while start < bytes
            && let Some((_, total)) = self.peek(start)
        {
            start += total;
            frames += 1;
        }
        debug_assert_eq!(start, bytes, "whole frames");
        let object_ids: ObjectIds = self.object_ids.by_ref().take(frames).collect();
        Self {
            bytes: self.bytes.split_to(start),
            rules: Arc::clone(&self.rules),
            object_ids: object_ids.into_iter(),
            pinned_bytes: self.pinned_bytes,
            unframed: core::mem::take(&mut self.unframed),
            told: if bytes > 0 { core::mem::take(&mut self.told) } else { 0 },
            begun: self.begun,
        }
    }

    /// The rule and the length of the frame that begins at `start`.
    fn peek(&self, start: usize) -> Option<(&TypeRule, usize)> {
        let (length, rest) = self.bytes.get(start..)?.split_first_chunk()?;
        let total = 4 + u32::from_le_bytes(*length) as usize;
        Some((self.rules.get(MessageType::from_byte(*rest.first()?))?, total))
    }
}

impl Iterator for Batch {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        let (rule, total) = self.peek(0)?;
        let priority = rule.priority;
        let object_id = self.object_ids.next().flatten();
        let bytes = self.bytes.split_to(total.min(self.bytes.len()));
        Some(Frame::received(bytes, object_id, priority, self.pinned_bytes))
    }
}
