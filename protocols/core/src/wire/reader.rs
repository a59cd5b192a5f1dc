//! Cutting a stream of bytes into frames.

use alloc::boxed::Box;
use alloc::sync::Arc;

use bytes::buf::Limit;
use bytes::{Buf as _, BufMut, Bytes, BytesMut};
use smallvec::smallvec;

use super::batch::{Batch, ObjectIds};
use super::chunk::{BegunFrame, CHUNK_HEADER, ChunkError, ChunkLevel, MAX_CHUNK_BYTES};
use super::error::FrameError;
use super::large::{Large, Open};
use super::message::TypeRule;
use super::rules::FrameRules;
use super::types::{FRAME_HEADER, MAX_LENGTH, MessageType};
use crate::hash::Hash;

/// The largest frame that is cut out of the shared read buffer. A larger one gets a buffer of its
/// own, which grows as its bytes arrive and then becomes the frame without a copy.
pub const MAX_SHARED_FRAME: usize = 64 * 1024;

/// The most frames in a [`Batch`]: what one connection may have done before others have their turn.
pub const MAX_BATCH_FRAMES: usize = 256;

/// The read buffer of a quiet connection. It doubles while reads fill it, up to
/// [`MAX_SHARED_FRAME`].
const MIN_READ: usize = 1024;

/// What a [`FrameReader`] can hand out.
#[derive(Debug)]
pub enum ReadStep {
    /// Whole frames; or none, and [bytes outside of frames](Batch::unframed_bytes).
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

/// Cuts what arrives on one connection into frames. Any fragmentation of the same bytes gives the
/// same frames and the same error.
///
/// # Security
///
/// A peer that claims a length makes this reserve nothing: buffers grow with the bytes that arrived,
/// at most to twice their number. A reader holds at most one frame, one more for each level at which
/// chunks may come, and one read buffer of 128 KiB;
/// before the handshake is over, at most [`first_frame_bytes`](Self::new) and a read buffer.
#[derive(Debug)]
pub struct FrameReader {
    rules: Arc<FrameRules>,
    max_opening_payload: u32,
    phase: Phase,
    /// What arrived and is not cut yet.
    buffer: BytesMut,
    /// Size of the allocation that `buffer` is a part of.
    allocation_bytes: usize,
    /// By how much `buffer` grows.
    read_bytes: usize,
    /// The most bytes that waited to be cut at once, and how often they were looked at, since
    /// `read_bytes` was last judged.
    most_waiting: usize,
    polls: u8,
    /// Where the bytes go that come next.
    large: Option<Box<Large>>,
    /// Frames whose next chunk has not begun, by level; none unless the peer may send chunks.
    open: Option<Box<[Option<Open>; 2]>>,
    /// Frames that have begun in chunks.
    begun: u32,
    /// Payload bytes of an ignored frame that are still to come.
    skip: usize,
    /// Bytes outside of frames since the last batch.
    unframed: usize,
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
            allocation_bytes: 0,
            read_bytes: MIN_READ,
            most_waiting: 0,
            polls: 0,
            large: None,
            open: None,
            begun: 0,
            skip: 0,
            unframed: 0,
        }
    }

    /// The peer said who it is: from now on the limits of the types hold.
    pub const fn set_established(&mut self) {
        self.phase = Phase::Established;
    }

    /// The peer may send chunks: it has heard that this node takes them.
    pub fn take_chunks(&mut self) {
        self.open.get_or_insert_default();
    }

    /// Where to put the next bytes, never without room. What was written into it counts at once.
    pub fn read_buffer(&mut self) -> Limit<&mut dyn BufMut> {
        if let Some(large) = self.large.as_mut().filter(|large| !large.is_filled()) {
            return large.read_buffer();
        }
        if self.buffer.is_empty() {
            // If all frames are gone, from the start again: that memory is in the caches.
            let _has_room = self.buffer.try_reclaim(self.allocation_bytes);
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
            self.allocation_bytes = self.buffer.capacity();
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
            self.allocation_bytes = bytes.capacity();
            self.buffer = bytes;
            None
        } else {
            self.push(&bytes);
            Some(bytes)
        }
    }

    /// The read buffer, if nothing is left in it.
    pub fn take_buffer(&mut self) -> Option<BytesMut> {
        let is_used = self.allocation_bytes > 0 && self.buffer.is_empty();
        is_used.then(|| {
            self.allocation_bytes = 0;
            core::mem::take(&mut self.buffer)
        })
    }

    /// The next whole frames. Call until it answers something else, then read more bytes.
    pub fn poll_frames(&mut self) -> Result<ReadStep, FrameError> {
        loop {
            if let Some(step) = self.poll_some()? {
                return Ok(step);
            }
        }
    }

    /// The same, or nothing if something was begun or ended that is no step.
    fn poll_some(&mut self) -> Result<Option<ReadStep>, FrameError> {
        if let Some(large) = self.large.take_if(|large| large.is_filled()) {
            if large.bytes.len() == large.total {
                return Ok(Some(ReadStep::Frames(self.batch_of_one(*large))));
            }
            self.put_aside(large);
        }
        if self.large.is_some() {
            return Ok(Some(ReadStep::NeedBytes));
        }
        self.discard_skipped();
        if self.unframed >= MAX_SHARED_FRAME {
            return Ok(Some(ReadStep::Frames(self.batch_of_none())));
        }
        if self.skip > 0 {
            return Ok(Some(ReadStep::NeedBytes));
        }
        self.judge_read_bytes();

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
                    return Ok(None);
                }
                Ok(Scan::Chunk { level, len }) => {
                    self.start_chunk(level, len)?;
                    return Ok(None);
                }
                Ok(Scan::Ignored { total }) => {
                    self.skip = total;
                    self.leave_first_phase();
                    return Ok(None);
                }
                Ok(Scan::Partial) => return Ok(Some(ReadStep::NeedBytes)),
                Ok(Scan::Blocked) => return Ok(Some(ReadStep::Blocked)),
                Err(error) => return Err(error),
            }
        }
        self.leave_first_phase();
        let pinned_bytes = self.allocation_bytes;
        let bytes = self.buffer.split_to(scanned).freeze();
        let object_ids = object_ids.into_iter();
        let unframed = core::mem::take(&mut self.unframed);
        let rules = Arc::clone(&self.rules);
        let batch = Batch { bytes, rules, object_ids, pinned_bytes, unframed, told: 0, begun: self.begun() };
        Ok(Some(ReadStep::Frames(batch)))
    }

    /// The stream ended. An error if it ended inside a frame; between two chunks it may.
    pub fn finish(&self) -> Result<(), FrameError> {
        let bytes = self.partial_bytes();
        if bytes > 0 || self.skip > 0 { Err(FrameError::Truncated { bytes }) } else { Ok(()) }
    }

    /// Bytes that arrived and that no batch has told of: of a frame or of a chunk that is not whole, and
    /// those outside of frames.
    pub fn cut_bytes(&self) -> usize {
        self.partial_bytes() + self.unframed
    }

    /// Bytes of a frame, or of a chunk, that has not wholly arrived.
    fn partial_bytes(&self) -> usize {
        self.buffer.len() + self.large.as_ref().map_or(0, |large| large.bytes.len() - large.told)
    }

    /// Bytes of memory held at this moment.
    pub fn held_bytes(&self) -> usize {
        let open = self.open.iter().flat_map(|open| open.iter()).flatten().map(|open| match open {
            Open::Frame(large) => large.bytes.capacity(),
            Open::Ignored(_) => 0,
        });
        self.allocation_bytes
            + self.large.as_ref().map_or(0, |large| large.bytes.capacity())
            + open.sum::<usize>()
    }

    /// Looks at the frame that starts at `start` of the buffer.
    fn scan(&self, start: usize) -> Result<Scan, FrameError> {
        let bytes = self.buffer.get(start..).unwrap_or(&[]);
        let Some((length, message_type)) = read_header(bytes)? else {
            return Ok(Scan::Partial);
        };
        if message_type == MessageType::CHUNK {
            return self.scan_chunk(length, bytes);
        }
        let (payload, rule) = self.check_header(length, message_type)?;
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
            return Ok(Scan::Large { total, rule });
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
        self.fill(Box::new(Large::new(total, rule, None, arrived)));
    }

    /// Moves what arrived of a frame into it, and all that follows until it is filled.
    fn fill(&mut self, mut large: Box<Large>) {
        let len = large.bytes.len();
        let arrived = self.buffer.len().min(large.until - len);
        if large.bytes.capacity() - len < arrived {
            // To twice as much, and never beyond its end.
            large.bytes.reserve_exact((large.total - len).min(len.max(arrived)));
        }
        large.bytes.extend_from_slice(&self.buffer.split_to(arrived));
        self.large = Some(large);
    }

    /// Looks at the chunk that begins here.
    fn scan_chunk(&self, length: u32, bytes: &[u8]) -> Result<Scan, FrameError> {
        match (self.phase, &self.open) {
            // Whether it may is not known before.
            (Phase::Opening, _) => return Ok(Scan::Blocked),
            (Phase::Established, Some(_)) => {}
            _ => return Err(FrameError::UnknownType { found: MessageType::CHUNK.byte() }),
        }
        let len = (length as usize).saturating_sub(2);
        if !(1..=MAX_CHUNK_BYTES).contains(&len) {
            return Err(FrameError::Chunk(ChunkError::Length { found: length }));
        }
        let Some(level) = bytes.get(FRAME_HEADER) else {
            return Ok(Scan::Partial);
        };
        let level = ChunkLevel::from_byte(*level).map_err(FrameError::Chunk)?;
        // The first one begins with the header of its frame.
        let is_first = self.open_at(level).is_none();
        let needed = CHUNK_HEADER + if is_first { FRAME_HEADER.min(len) } else { 0 };
        Ok(if bytes.len() < needed { Scan::Partial } else { Scan::Chunk { level, len } })
    }

    /// The frames of which some chunks have come, by level.
    fn begun(&self) -> [Option<BegunFrame>; 2] {
        let Some(open) = self.open.as_deref() else { return [None; 2] };
        let begun = |large: &Large| BegunFrame { number: large.number, total_bytes: large.total as u32 };
        let mut all = open.each_ref().map(|open| match open {
            Some(Open::Frame(large)) => Some(begun(large)),
            _ => None,
        });
        if let Some(large) = &self.large
            && let Some(slot) = large.level.and_then(|level| all.get_mut(level.index()))
        {
            *slot = Some(begun(large));
        }
        all
    }

    fn open_at(&self, level: ChunkLevel) -> Option<&Open> {
        self.open.as_ref()?.get(level.index())?.as_ref()
    }

    /// Begins with a chunk, whose header stands at the start of the buffer.
    fn start_chunk(&mut self, level: ChunkLevel, len: usize) -> Result<(), FrameError> {
        self.buffer.advance(CHUNK_HEADER);
        self.unframed += CHUNK_HEADER;
        let slot = self.open.as_mut().and_then(|open| open.get_mut(level.index()));
        let open = match slot.and_then(Option::take) {
            Some(open) => open,
            None => self.open_frame(level, len)?,
        };
        let left = match &open {
            Open::Frame(large) => large.total - large.bytes.len(),
            Open::Ignored(left) => *left,
        };
        let Some(left) = left.checked_sub(len) else {
            return Err(FrameError::Chunk(ChunkError::Overrun { bytes: len, left }));
        };
        match open {
            Open::Frame(mut large) => {
                large.until = large.bytes.len() + len;
                self.fill(large);
            }
            Open::Ignored(_) => {
                self.skip = len;
                if left > 0 {
                    self.set_open(level, Open::Ignored(left));
                }
            }
        }
        Ok(())
    }

    /// Begins with a frame, whose header stands at the start of the buffer, in a chunk of so many
    /// bytes.
    fn open_frame(&mut self, level: ChunkLevel, len: usize) -> Result<Open, FrameError> {
        if len < FRAME_HEADER {
            return Err(FrameError::Chunk(ChunkError::NoHeader { bytes: len }));
        }
        let Some((length, message_type)) = read_header(&self.buffer)? else {
            return Err(FrameError::Chunk(ChunkError::NoHeader { bytes: len }));
        };
        if message_type == MessageType::CHUNK {
            return Err(FrameError::Chunk(ChunkError::Nested));
        }
        let (payload, rule) = self.check_header(length, message_type)?;
        let total = FRAME_HEADER + payload as usize;
        if total <= MAX_SHARED_FRAME {
            return Err(FrameError::Chunk(ChunkError::Needless { bytes: total }));
        }
        Ok(match rule {
            Some(rule) => {
                self.begun = self.begun.wrapping_add(1);
                let large = Large::new(total, rule, Some(level), len);
                Open::Frame(Box::new(Large { number: self.begun, ..large }))
            }
            None => Open::Ignored(total),
        })
    }

    /// Keeps a frame until its next chunk.
    fn put_aside(&mut self, mut large: Box<Large>) {
        self.unframed += large.bytes.len() - large.told;
        large.told = large.bytes.len();
        debug_assert!(large.level.is_some(), "only chunks end inside of a frame");
        if let Some(level) = large.level {
            self.set_open(level, Open::Frame(large));
        }
    }

    fn set_open(&mut self, level: ChunkLevel, frame: Open) {
        if let Some(slot) = self.open.as_mut().and_then(|open| open.get_mut(level.index())) {
            *slot = Some(frame);
        }
    }

    /// Checks what a frame's header says: the bytes of its payload, and the rule for it, if anybody
    /// takes such frames.
    fn check_header(
        &self,
        length: u32,
        message_type: MessageType,
    ) -> Result<(u32, Option<TypeRule>), FrameError> {
        let payload = length - 1;
        let rule = self.rules.get(message_type).copied();
        let max_bytes = match rule {
            Some(rule) => rule.max_payload,
            None if message_type.is_version_1() => message_type.max_payload(),
            None => return Err(FrameError::UnknownType { found: message_type.byte() }),
        };
        if payload > max_bytes {
            return Err(FrameError::TooLarge { message_type, bytes: payload, max_bytes });
        }
        Ok((payload, rule))
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
            unframed: core::mem::take(&mut self.unframed),
            told: large.told,
            begun: self.begun(),
        }
    }

    /// Only says how many bytes came outside of frames.
    fn batch_of_none(&mut self) -> Batch {
        Batch {
            bytes: Bytes::new(),
            rules: Arc::clone(&self.rules),
            object_ids: ObjectIds::new().into_iter(),
            pinned_bytes: 0,
            unframed: core::mem::take(&mut self.unframed),
            told: 0,
            begun: self.begun(),
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
                    self.allocation_bytes = 0;
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
        self.unframed += now;
    }
}

/// The length, from 1, and the type of the frame that begins like this, if that much is there.
fn read_header(bytes: &[u8]) -> Result<Option<(u32, MessageType)>, FrameError> {
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return Ok(None);
    };
    let found = i32::from_le_bytes(*length);
    match u32::try_from(found) {
        Ok(length) if (1..=MAX_LENGTH).contains(&length) => {
            Ok(rest.first().map(|byte| (length, MessageType::from_byte(*byte))))
        }
        _ => Err(FrameError::Length { found }),
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
    /// A part of a large frame, of so many bytes.
    Chunk { level: ChunkLevel, len: usize },
    /// A frame that nobody takes.
    Ignored { total: usize },
    /// A frame that is too large for now.
    Blocked,
}
