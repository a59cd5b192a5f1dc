//! Frames that arrive in a buffer of their own.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::BufMut;
use bytes::buf::Limit;

use super::chunk::ChunkLevel;
use super::message::TypeRule;
use super::reader::MAX_SHARED_FRAME;

/// A frame over [`MAX_SHARED_FRAME`] that is arriving, as a whole or in chunks.
#[derive(Debug)]
pub(super) struct Large {
    pub(super) bytes: Vec<u8>,
    pub(super) total: usize,
    pub(super) rule: TypeRule,
    /// Up to where of it the bytes that come next on the stream are: all of it, or of this chunk.
    pub(super) until: usize,
    /// The level of its chunks.
    pub(super) level: Option<ChunkLevel>,
    /// Which one of those in chunks it is.
    pub(super) number: u32,
    /// Bytes that batches have told of.
    pub(super) told: usize,
}

/// A frame of which some chunks have come.
#[derive(Debug)]
pub(super) enum Open {
    Frame(Box<Large>),
    /// Nobody takes it; so many bytes of it are to come.
    Ignored(usize),
}

impl Large {
    /// With room for what has arrived.
    pub(super) fn new(total: usize, rule: TypeRule, level: Option<ChunkLevel>, arrived: usize) -> Self {
        let bytes = Vec::with_capacity(total.min(MAX_SHARED_FRAME.max(arrived)));
        Self { bytes, total, rule, until: total, level, number: 0, told: 0 }
    }

    /// Whether the bytes that come next on the stream are not of it.
    pub(super) const fn is_filled(&self) -> bool {
        self.bytes.len() >= self.until
    }

    /// Where those bytes go. It doubles when it is full, whatever was claimed.
    pub(super) fn read_buffer(&mut self) -> Limit<&mut dyn BufMut> {
        if self.bytes.len() == self.bytes.capacity() {
            let missing = self.total - self.bytes.len();
            self.bytes.reserve_exact(missing.min(self.bytes.len()));
        }
        let room = (self.until - self.bytes.len()).min(self.bytes.capacity() - self.bytes.len());
        (&mut self.bytes as &mut dyn BufMut).limit(room)
    }
}
