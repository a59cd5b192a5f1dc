//! Cutting a stream of bytes into frames.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use bytes::buf::Limit;
use bytes::{Buf as _, BufMut, Bytes, BytesMut};
use smallvec::{SmallVec, smallvec};

use super::frame::Frame;
use super::message::TypeRule;
use super::rules::FrameRules;
use super::types::{FRAME_HEADER, MAX_LENGTH, MessageType, Priority};
use crate::hash::Hash;

/// The largest frame that is cut out of the shared read buffer. A larger one gets a buffer of its
/// own, which grows as its bytes arrive and then becomes the frame without a copy.
pub const MAX_SHARED_FRAME: usize = 64 * 1024;

/// The most frames in a [`Batch`]: what one connection may have done before others have their turn.
pub const MAX_BATCH_FRAMES: usize = 256;

/// The read buffer of a quiet connection. It doubles while reads fill it, up to
/// [`MAX_SHARED_FRAME`].
const MIN_READ: usize = 1024;

/// Why a stream of bytes cannot be read on. Fatal: there is no way to find the next frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FrameError {
    /// The length field is not between 1 and 16 777 216.
    Length {
        /// What it says.
        found: i32,
    },
    /// Nobody knows this type, or it was not announced to us.
    UnknownType {
        /// The type byte.
        found: u8,
    },
    /// A payload larger than its type may carry.
    TooLarge {
        /// The type.
        message_type: MessageType,
        /// Bytes of payload that were announced.
        bytes: u32,
        /// The limit of the type.
        max_bytes: u32,
    },
    /// The first frame of a connection is larger than a Handshake.
    FirstFrame {
        /// Bytes of payload that were announced.
        bytes: u32,
        /// The limit of a first frame.
        max_bytes: u32,
    },
    /// The stream ended inside a frame.
    Truncated {
        /// Bytes of the frame that did arrive.
        bytes: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { found } => {
                write!(f, "frame length {found} is not between 1 and {MAX_LENGTH}")
            }
            Self::UnknownType { found } => write!(f, "unknown message type 0x{found:02x}"),
            Self::TooLarge { message_type, bytes, max_bytes } => {
                write!(f, "{message_type} of {bytes} bytes, at most {max_bytes} are allowed")
            }
            Self::FirstFrame { bytes, max_bytes } => {
                write!(f, "first frame of {bytes} bytes, a handshake has at most {max_bytes}")
            }
            Self::Truncated { bytes } => write!(f, "the stream ended after {bytes} bytes of a frame"),
        }
    }
}

impl core::error::Error for FrameError {}

/// What a [`FrameReader`] can hand out.
#[derive(Debug)]
pub enum ReadStep {
    /// Whole frames; or none, and [ignored bytes](Batch::ignored_bytes).
    Frames(Batch),
    /// Nothing until more bytes arrive.
    NeedBytes,
    /// A frame too large for a peer that has not said who it is. Read no more bytes until the
    /// connection is established.
    Blocked,
}

/// How much a connection is trusted with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Nothing was read yet.
    First,
    /// The first frame was read, the handshake is not over.
    Opening,
    /// The peer said who it is.
    Established,
}

/// A frame over [`MAX_SHARED_FRAME`] that is arriving.
#[derive(Debug)]
struct Large {
    bytes: Vec<u8>,
    total: usize,
    rule: TypeRule,
}

/// Cuts what arrives on one connection into frames. Any fragmentation of the same bytes gives the
/// same frames and the same error.
///
/// # Security
///
/// A peer that claims a length makes this reserve nothing: buffers grow with the bytes that arrived,
/// at most to twice their number. A reader holds at most one frame and one read buffer of 128 KiB;
/// before the handshake is over, at most [`first_frame_bytes`](Self::new) and a read buffer.
#[derive(Debug)]
pub struct FrameReader {
    rules: Arc<FrameRules>,
    max_opening_payload: u32,
    phase: Phase,
    /// What arrived and is not cut yet.
    buffer: BytesMut,
    /// Size of the allocation that `buffer` is a part of.
    chunk_bytes: usize,
    /// By how much `buffer` grows.
    read_bytes: usize,
    /// The most bytes that waited to be cut at once, and how often they were looked at, since
    /// `read_bytes` was last judged.
    most_waiting: usize,
    polls: u8,
    large: Option<Box<Large>>,
    /// Payload bytes of an ignored frame that are still to come.
    skip: usize,
    /// Bytes of ignored frames that went by since the last batch.
    ignored: usize,
}

impl FrameReader {
    /// A reader for a new connection, which takes no payload over `first_frame_bytes` until
    /// [`set_established`](Self::set_established).
    pub fn new(rules: Arc<FrameRules>, first_frame_bytes: u32) -> Self {
        Self {
            rules,
            max_opening_payload: first_frame_bytes,
            phase: Phase::First,
            buffer: BytesMut::new(),
            chunk_bytes: 0,
            read_bytes: MIN_READ,
            most_waiting: 0,
            polls: 0,
            large: None,
            skip: 0,
            ignored: 0,
        }
    }

    /// The peer said who it is: from now on the limits of the types hold.
    pub const fn set_established(&mut self) {
        self.phase = Phase::Established;
    }

    /// Where to put the next bytes, never without room. What was written into it counts at once.
    pub fn read_buffer(&mut self) -> Limit<&mut dyn BufMut> {
        if let Some(large) = self.large.as_mut().filter(|large| large.bytes.len() < large.total) {
            let missing = large.total - large.bytes.len();
            if large.bytes.len() == large.bytes.capacity() {
                large.bytes.reserve_exact(missing.min(large.bytes.len()));
            }
            let room = missing.min(large.bytes.capacity() - large.bytes.len());
            return (&mut large.bytes as &mut dyn BufMut).limit(room);
        }
        if self.buffer.is_empty() {
            // If all frames are gone, from the start again: that memory is in the caches.
            let _has_room = self.buffer.try_reclaim(self.chunk_bytes);
        }
        let mut room = self.buffer.capacity() - self.buffer.len();
        if room == 0 && !self.buffer.is_empty() {
            // The last read filled the buffer: more is waiting than it can take at once.
            self.read_bytes = (self.read_bytes * 2).min(MAX_SHARED_FRAME);
        }
        if room < self.read_bytes / 2 {
            if !self.buffer.try_reclaim(self.read_bytes) {
                // Not `reserve`, which doubles what is there.
                let mut buffer = BytesMut::with_capacity(self.buffer.len() + self.read_bytes);
                buffer.extend_from_slice(&self.buffer);
                self.buffer = buffer;
            }
            self.chunk_bytes = self.buffer.capacity();
            room = self.buffer.capacity() - self.buffer.len();
        }
        (&mut self.buffer as &mut dyn BufMut).limit(room)
    }

    /// Takes bytes that were read elsewhere.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let mut room = self.read_buffer();
            let (now, later) = bytes.split_at(bytes.len().min(room.remaining_mut()));
            room.put_slice(now);
            bytes = later;
        }
    }

    /// Takes bytes that stand in a buffer of their own: without a copy where nothing waits, or else
    /// the buffer is given back.
    ///
    /// A driver that feeds a reader so, and takes the buffer back with
    /// [`take_buffer`](Self::take_buffer), needs no read buffer per connection.
    #[must_use = "the buffer can be used again"]
    pub fn push_buffer(&mut self, bytes: BytesMut) -> Option<BytesMut> {
        if self.buffer.is_empty() && self.large.is_none() {
            self.chunk_bytes = bytes.capacity();
            self.buffer = bytes;
            None
        } else {
            self.push(&bytes);
            Some(bytes)
        }
    }

    /// The read buffer, if nothing is left in it.
    pub fn take_buffer(&mut self) -> Option<BytesMut> {
        let is_used = self.chunk_bytes > 0 && self.buffer.is_empty();
        is_used.then(|| {
            self.chunk_bytes = 0;
            core::mem::take(&mut self.buffer)
        })
    }

    /// The next whole frames. Call until it answers something else, then read more bytes.
    pub fn poll_frames(&mut self) -> Result<ReadStep, FrameError> {
        if let Some(large) = self.large.take_if(|large| large.bytes.len() == large.total) {
            return Ok(ReadStep::Frames(self.batch_of_one(*large)));
        }
        if self.large.is_some() {
            return Ok(ReadStep::NeedBytes);
        }
        self.discard_skipped();
        self.judge_read_bytes();
        if self.ignored >= MAX_SHARED_FRAME {
            return Ok(ReadStep::Frames(self.batch_of_none()));
        }

        let mut scanned = 0;
        let mut frames = 0;
        let mut object_ids = ObjectIds::new();
        while frames < MAX_BATCH_FRAMES {
            match self.scan(scanned) {
                Ok(Scan::Whole { end, object_id }) => {
                    if object_id.is_some() || !object_ids.is_empty() {
                        object_ids.resize(frames, None);
                        object_ids.push(object_id);
                    }
                    frames += 1;
                    scanned = end;
                }
                // First hand out what stands before; the next call comes back to this place.
                _ if frames > 0 => break,
                Ok(Scan::Large { total, rule }) => {
                    self.start_large(total, rule);
                    return self.poll_frames();
                }
                Ok(Scan::Ignored { total }) => {
                    self.skip = total;
                    self.leave_first_phase();
                    self.discard_skipped();
                    if self.ignored >= MAX_SHARED_FRAME {
                        return Ok(ReadStep::Frames(self.batch_of_none()));
                    }
                    if self.skip > 0 {
                        return Ok(ReadStep::NeedBytes);
                    }
                }
                Ok(Scan::Partial) => return Ok(ReadStep::NeedBytes),
                Ok(Scan::Blocked) => return Ok(ReadStep::Blocked),
                Err(error) => return Err(error),
            }
        }
        self.leave_first_phase();
        let pinned_bytes = self.chunk_bytes;
        let bytes = self.buffer.split_to(scanned).freeze();
        let object_ids = object_ids.into_iter();
        let ignored = core::mem::take(&mut self.ignored);
        let rules = Arc::clone(&self.rules);
        Ok(ReadStep::Frames(Batch { bytes, rules, object_ids, pinned_bytes, ignored }))
    }

    /// The stream ended. An error if it ended inside a frame.
    pub fn finish(&self) -> Result<(), FrameError> {
        let bytes = self.cut_bytes();
        if bytes > 0 || self.skip > 0 { Err(FrameError::Truncated { bytes }) } else { Ok(()) }
    }

    /// Bytes of a frame that has not wholly arrived.
    pub fn cut_bytes(&self) -> usize {
        self.buffer.len() + self.large.as_ref().map_or(0, |large| large.bytes.len())
    }

    /// Bytes of memory held at this moment.
    pub fn held_bytes(&self) -> usize {
        self.chunk_bytes + self.large.as_ref().map_or(0, |large| large.bytes.capacity())
    }

    /// Looks at the frame that starts at `start` of the buffer.
    fn scan(&self, start: usize) -> Result<Scan, FrameError> {
        let bytes = self.buffer.get(start..).unwrap_or(&[]);
        let Some((length, rest)) = bytes.split_first_chunk() else {
            return Ok(Scan::Partial);
        };
        let found = i32::from_le_bytes(*length);
        let length = match u32::try_from(found) {
            Ok(length) if (1..=MAX_LENGTH).contains(&length) => length,
            _ => return Err(FrameError::Length { found }),
        };
        let Some(type_byte) = rest.first() else {
            return Ok(Scan::Partial);
        };
        let message_type = MessageType::from_byte(*type_byte);
        let payload = length - 1;
        let rule = self.rules.get(message_type);
        let max_bytes = match rule {
            Some(rule) => rule.max_payload,
            None if message_type.is_version_1() => message_type.max_payload(),
            None => return Err(FrameError::UnknownType { found: *type_byte }),
        };
        if payload > max_bytes {
            return Err(FrameError::TooLarge { message_type, bytes: payload, max_bytes });
        }
        if payload > self.max_opening_payload {
            match self.phase {
                Phase::First => {
                    let max_bytes = self.max_opening_payload;
                    return Err(FrameError::FirstFrame { bytes: payload, max_bytes });
                }
                Phase::Opening => return Ok(Scan::Blocked),
                Phase::Established => {}
            }
        }
        let total = FRAME_HEADER + payload as usize;
        let Some(rule) = rule else {
            return Ok(Scan::Ignored { total });
        };
        if total > MAX_SHARED_FRAME {
            return Ok(Scan::Large { total, rule: *rule });
        }
        match bytes.get(FRAME_HEADER..total) {
            Some(payload) => {
                let object_id = rule.object_id.and_then(|object_id| object_id(payload));
                Ok(Scan::Whole { end: start + total, object_id })
            }
            None => Ok(Scan::Partial),
        }
    }

    /// Moves what arrived of a large frame, which stands at the start of the buffer, into a buffer
    /// of its own.
    fn start_large(&mut self, total: usize, rule: TypeRule) {
        self.leave_first_phase();
        let arrived = self.buffer.len().min(total);
        let mut bytes = Vec::with_capacity(total.min(MAX_SHARED_FRAME.max(arrived)));
        bytes.extend_from_slice(&self.buffer.split_to(arrived));
        self.large = Some(Box::new(Large { bytes, total, rule }));
    }

    fn batch_of_one(&mut self, large: Large) -> Batch {
        let object_id = large
            .rule
            .object_id
            .and_then(|object_id| object_id(large.bytes.get(FRAME_HEADER..).unwrap_or(&[])));
        Batch {
            pinned_bytes: large.total,
            bytes: large.bytes.into(),
            rules: Arc::clone(&self.rules),
            object_ids: smallvec![object_id].into_iter(),
            ignored: core::mem::take(&mut self.ignored),
        }
    }

    /// Only says how many bytes were ignored.
    fn batch_of_none(&mut self) -> Batch {
        Batch {
            bytes: Bytes::new(),
            rules: Arc::clone(&self.rules),
            object_ids: ObjectIds::new().into_iter(),
            pinned_bytes: 0,
            ignored: core::mem::take(&mut self.ignored),
        }
    }

    /// Halves the read buffer of a connection that has not used a quarter of it for a while, and
    /// gives its memory back.
    fn judge_read_bytes(&mut self) {
        self.most_waiting = self.most_waiting.max(self.buffer.len());
        self.polls = self.polls.wrapping_add(1);
        if self.polls == 0 {
            if self.most_waiting < self.read_bytes / 4 {
                self.read_bytes = (self.read_bytes / 2).max(MIN_READ);
                if self.buffer.is_empty() {
                    self.buffer = BytesMut::new();
                    self.chunk_bytes = 0;
                }
            }
            self.most_waiting = 0;
        }
    }

    fn leave_first_phase(&mut self) {
        if self.phase == Phase::First {
            self.phase = Phase::Opening;
        }
    }

    fn discard_skipped(&mut self) {
        let now = self.skip.min(self.buffer.len());
        self.buffer.advance(now);
        self.skip -= now;
        self.ignored += now;
    }
}

/// What stands at a place of the buffer.
enum Scan {
    /// A whole frame, up to `end`.
    Whole { end: usize, object_id: Option<Hash> },
    /// A part of a frame.
    Partial,
    /// A frame for a buffer of its own.
    Large { total: usize, rule: TypeRule },
    /// A frame that nobody takes.
    Ignored { total: usize },
    /// A frame that is too large for now.
    Blocked,
}

/// Per frame the hash of its object. A large frame, which most often is a block, has it in place.
type ObjectIds = SmallVec<[Option<Hash>; 1]>;

/// Frames that were received together, in the order of the stream.
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Bytes,
    rules: Arc<FrameRules>,
    /// Per frame the hash of its object; empty if no frame has one.
    object_ids: smallvec::IntoIter<[Option<Hash>; 1]>,
    pinned_bytes: usize,
    ignored: usize,
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

    /// Bytes that came before these frames, of types that nobody here takes, and those that a driver has
    /// [added](Self::add_ignored_bytes). They cost what frames do; the former are told of at the latest with
    /// each 64 KiB.
    pub const fn ignored_bytes(&self) -> usize {
        self.ignored
    }

    /// Counts bytes to these that came with the frames and were none of any, as those of a transport that
    /// encrypts: they cost what frames do.
    pub const fn add_ignored_bytes(&mut self, bytes: usize) {
        self.ignored = self.ignored.saturating_add(bytes);
    }

    pub(crate) const fn set_ignored_bytes(&mut self, bytes: usize) {
        self.ignored = bytes;
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
            ignored: core::mem::take(&mut self.ignored),
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
