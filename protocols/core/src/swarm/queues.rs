//! What waits to be sent on one connection.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

use super::output::QueueLoad;
use super::transmit::Transmit;
use crate::canary::{self, Canary};
use crate::limits::{Limits, MAX_COPIED_FRAME, MAX_SPARE_QUEUES, MAX_SPARE_RING_BYTES, QueueLimit};
use crate::wire::{CHUNK_HEADER, ChunkLevel, Frame, MAX_CHUNK_BYTES, MAX_SHARED_FRAME, Priority};

/// A queue that waited while this many bytes of more urgent frames went out gets one frame
/// through, so a steady stream of blocks cannot keep a transaction back for ever.
const MAX_PASSED_OVER: usize = 256 * 1024;

/// The size of a ring that is needed for the first time.
const MIN_RING_BYTES: usize = 256;

/// A frame on its way into a queue.
#[derive(Clone, Copy)]
pub(super) enum Outgoing<'a> {
    /// Encoded for this connection alone.
    Copied(&'a [u8]),
    /// Shared with whoever else holds the frame.
    Shared(&'a Frame),
}

impl Outgoing<'_> {
    const fn len(&self) -> usize {
        match self {
            Self::Copied(bytes) => bytes.len(),
            Self::Shared(frame) => frame.len(),
        }
    }
}

/// There is no room in the queue. Nothing was changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Stands in a ring in the place of a frame that is shared. No frame begins like this: a length is
/// at least 1.
const SHARED_MARK: [u8; 4] = [0; 4];

/// One level: frames in the order they came.
#[derive(Debug, Default)]
struct Queue {
    /// The frames one after the other, whose first bytes say how long they are, or
    /// [`SHARED_MARK`] for one in `shared`.
    ring: VecDeque<u8>,
    shared: VecDeque<Bytes>,
    frames: usize,
    bytes: usize,
    /// Bytes of more urgent frames that went out while this queue waited.
    passed_over: usize,
    /// Frames at the front that are not dropped: the last of them was sent to this peer alone.
    kept: usize,
    /// A large frame that goes out in chunks. It waits no more: to this queue's limit it is as if it had
    /// been handed over as a whole.
    open: Option<Open>,
}

/// A frame of which some chunks have gone out.
#[derive(Debug)]
struct Open {
    left: Bytes,
    /// How large the frame is. As long as any of it is left, all of it is held.
    frame_bytes: usize,
}

impl Queue {
    fn push(&mut self, frame: Outgoing<'_>, limit: QueueLimit) {
        let len = frame.len();
        match frame {
            Outgoing::Shared(frame) if len > MAX_COPIED_FRAME && frame.owns_its_buffer() => {
                self.reserve(SHARED_MARK.len(), limit);
                self.ring.extend(SHARED_MARK);
                self.shared.push_back(frame.bytes().clone());
            }
            Outgoing::Shared(frame) => self.copy(frame.bytes(), limit),
            Outgoing::Copied(bytes) => self.copy(bytes, limit),
        }
        self.frames += 1;
        self.bytes += len;
    }

    fn copy(&mut self, frame: &[u8], limit: QueueLimit) {
        debug_assert_eq!(frame.first_chunk().map(frame_len), Some(frame.len()), "whole frames are sent");
        self.reserve(frame.len(), limit);
        self.ring.extend(frame);
    }

    /// Makes room in the ring. It doubles, but never beyond what may wait in it.
    fn reserve(&mut self, len: usize, limit: QueueLimit) {
        let needed = self.ring.len() + len;
        if needed > self.ring.capacity() {
            let capacity = (self.ring.capacity() * 2).max(MIN_RING_BYTES).min(limit.max_bytes).max(needed);
            self.ring.reserve_exact(capacity - self.ring.len());
        }
    }

    /// Takes the oldest frame out, into `out` if there is one. Returns its length.
    fn pop(&mut self, out: Option<&mut Transmit>) -> Option<usize> {
        let mut first = self.ring.iter().copied();
        let mark = [first.next()?, first.next()?, first.next()?, first.next()?];
        let len = if mark == SHARED_MARK {
            self.ring.drain(..SHARED_MARK.len());
            let bytes = self.shared.pop_front()?;
            let len = bytes.len();
            if let Some(out) = out {
                out.push_shared(bytes);
            }
            len
        } else {
            let len = frame_len(&mark);
            if let Some(out) = out {
                let (first, second) = self.ring.as_slices();
                let split = len.min(first.len());
                out.push_copied(first.get(..split).unwrap_or(&[]));
                out.push_copied(second.get(..len - split).unwrap_or(&[]));
            }
            self.ring.drain(..len);
            len
        };
        self.frames -= 1;
        self.bytes -= len;
        self.kept = self.kept.saturating_sub(1);
        Some(len)
    }

    /// Takes everything out at once, if all of it is in the ring. Returns how many bytes that were.
    fn pop_copied(&mut self, max_bytes: usize, out: &mut Transmit) -> Option<usize> {
        if !self.shared.is_empty() || self.open.is_some() || self.bytes > max_bytes {
            return None;
        }
        debug_assert_eq!(self.bytes, self.ring.len());
        let (first, second) = self.ring.as_slices();
        out.push_copied(first);
        out.push_copied(second);
        self.ring.clear();
        (self.frames, self.kept) = (0, 0);
        Some(core::mem::take(&mut self.bytes))
    }

    /// Whether nothing is left to send.
    const fn is_empty(&self) -> bool {
        self.frames == 0 && self.open.is_none()
    }

    /// The same, but of a large frame one chunk after the other. Returns the bytes that went out, and
    /// how large the frame was that waits no more.
    fn pop_chunk(&mut self, level: ChunkLevel, out: &mut Transmit) -> Option<(usize, usize)> {
        let popped = if self.open.is_none() {
            let is_shared = self.ring.iter().take(SHARED_MARK.len()).eq(&SHARED_MARK);
            let large = self.shared.front().filter(|it| is_shared && it.len() > MAX_SHARED_FRAME).cloned();
            let bytes = self.pop(large.is_none().then_some(&mut *out))?;
            self.open = large.map(|left| Open { frame_bytes: left.len(), left });
            bytes
        } else {
            0
        };
        let Some(open) = &mut self.open else {
            return Some((popped, popped));
        };
        let chunk = open.left.split_to(open.left.len().min(MAX_CHUNK_BYTES));
        let bytes = CHUNK_HEADER + chunk.len();
        out.push_chunk(level, chunk);
        self.open.take_if(|open| open.left.is_empty());
        Some((bytes, popped))
    }

    fn held_bytes(&self) -> usize {
        let shared: usize = self.shared.iter().map(Bytes::len).sum();
        let open = self.open.as_ref().map_or(0, |open| open.frame_bytes);
        size_of::<Self>() + self.ring.capacity() + shared + open
    }
}

/// The length of a whole frame that begins like this.
const fn frame_len(length: &[u8; 4]) -> usize {
    u32::from_le_bytes(*length) as usize + length.len()
}

/// What the queues of all connections share: their limits, and the memory of those in which nothing
/// waits, as nothing does in most of them most of the time.
#[derive(Debug)]
pub(super) struct QueuePool {
    limits: [QueueLimit; 4],
    #[allow(clippy::vec_box, reason = "a queue moves between here and a connection by its pointer")]
    spare: Vec<Box<Queue>>,
}

impl QueuePool {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { limits: Priority::ALL.map(|priority| limits.queue(priority)), spare: Vec::new() }
    }

    #[allow(clippy::indexing_slicing, reason = "four limits, and index() is below four")]
    const fn limit(&self, priority: Priority) -> QueueLimit {
        self.limits[index(priority)]
    }

    fn take(&mut self) -> Box<Queue> {
        self.spare.pop().unwrap_or_default()
    }

    fn give_back(&mut self, mut queue: Box<Queue>) {
        debug_assert_eq!((queue.bytes, queue.ring.len(), queue.shared.len()), (0, 0, 0));
        debug_assert!(queue.is_empty());
        if self.spare.len() < MAX_SPARE_QUEUES {
            queue.ring.shrink_to(MAX_SPARE_RING_BYTES);
            queue.shared.shrink_to(0);
            queue.passed_over = 0;
            self.spare.push(queue);
        }
    }

    /// Memory held, in bytes.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.spare.iter().map(|queue| queue.held_bytes()).sum()
    }
}

/// The four send queues of a connection.
///
/// # Security
///
/// A peer that does not read makes us hold at most the sum of the four limits (1 MiB by default)
/// plus one larger frame, and one that is on its way at each of two levels if it takes chunks,
/// whatever is sent to it.
#[derive(Debug, Default)]
pub(super) struct SendQueues {
    /// Those in which something waits.
    queues: [Option<Box<Queue>>; 4],
    /// On which somebody was told `Full` and wants to hear when there is room, one bit each.
    refused: u8,
    /// A frame larger than its queue's limit waits.
    holds_larger: bool,
    /// The peer takes large frames in chunks.
    cuts: bool,
}

const fn index(priority: Priority) -> usize {
    match priority {
        Priority::Critical => 0,
        Priority::High => 1,
        Priority::Normal => 2,
        Priority::Low => 3,
    }
}

#[allow(clippy::indexing_slicing, reason = "four queues, and index() is below four")]
impl SendQueues {
    /// From now on large frames go out in chunks.
    pub(super) const fn cut_large_frames(&mut self) {
        self.cuts = true;
    }

    fn queue(&self, priority: Priority) -> Option<&Queue> {
        self.queues[index(priority)].as_deref()
    }

    /// The levels on which something waits, from the most urgent to the least.
    fn waiting(&self) -> impl DoubleEndedIterator<Item = Priority> {
        Priority::ALL.into_iter().filter(|priority| self.queues[index(*priority)].is_some())
    }

    /// Bytes that wait on one level.
    pub(super) fn queued_bytes(&self, priority: Priority) -> usize {
        self.queue(priority).map_or(0, |queue| queue.bytes)
    }

    /// Frames that wait on one level.
    pub(super) fn queued_frames(&self, priority: Priority) -> usize {
        self.queue(priority).map_or(0, |queue| queue.frames)
    }

    /// What waits on each level.
    pub(super) fn loads(&self) -> [QueueLoad; 4] {
        Priority::ALL.map(|priority| QueueLoad {
            frames: self.queued_frames(priority),
            bytes: self.queued_bytes(priority),
        })
    }

    /// Bytes that wait on all levels, and what is left of large frames that are on their way.
    pub(super) fn total_bytes(&self) -> usize {
        let left = |queue: &Queue| queue.bytes + queue.open.as_ref().map_or(0, |open| open.left.len());
        self.queues.iter().flatten().map(|queue| left(queue)).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queues.iter().all(Option::is_none)
    }

    /// Whether a frame of `len` bytes would be taken at this moment.
    fn has_room(&self, len: usize, priority: Priority, limit: QueueLimit) -> bool {
        let (frames, bytes) = (self.queued_frames(priority), self.queued_bytes(priority));
        (frames < limit.max_frames && bytes + len <= limit.max_bytes)
            || (frames == 0 && !self.holds_larger)
            || canary::is(Canary::UnboundedQueue)
    }

    fn push(
        &mut self,
        frame: Outgoing<'_>,
        priority: Priority,
        limit: QueueLimit,
        pool: &mut QueuePool,
    ) -> &mut Queue {
        self.holds_larger |= frame.len() > limit.max_bytes;
        let queue = self.queues[index(priority)].get_or_insert_with(|| pool.take());
        queue.push(frame, limit);
        debug_assert!(queue.frames <= limit.max_frames);
        debug_assert!(self.holds_larger || queue.bytes <= limit.max_bytes);
        queue
    }

    /// Queues a frame, or says that there is no room and remembers that somebody waits for it.
    pub(super) fn send(
        &mut self,
        frame: Outgoing<'_>,
        priority: Priority,
        pool: &mut QueuePool,
    ) -> Result<(), Full> {
        let limit = pool.limit(priority);
        if !self.has_room(frame.len(), priority, limit) {
            self.refused |= 1 << index(priority);
            return Err(Full);
        }
        let queue = self.push(frame, priority, limit, pool);
        queue.kept = queue.frames;
        Ok(())
    }

    /// Queues a frame of which the latest matter most: makes room by dropping the oldest of its
    /// level. Returns how many were dropped. What was sent to this peer alone is not dropped for what
    /// everybody is sent: somebody waits for it.
    pub(super) fn send_or_drop_oldest(
        &mut self,
        frame: Outgoing<'_>,
        priority: Priority,
        pool: &mut QueuePool,
    ) -> Result<usize, Full> {
        let limit = pool.limit(priority);
        let is_larger = frame.len() > limit.max_bytes;
        if is_larger && self.holds_larger && self.queued_bytes(priority) <= limit.max_bytes {
            // The larger frame that is in the way waits on another level.
            return Err(Full);
        }
        let mut dropped = 0;
        while !self.has_room(frame.len(), priority, limit) {
            self.drop_oldest(priority, limit).ok_or(Full)?;
            dropped += 1;
        }
        self.push(frame, priority, limit, pool);
        Ok(dropped)
    }

    fn drop_oldest(&mut self, priority: Priority, limit: QueueLimit) -> Option<usize> {
        if self.queue(priority).is_some_and(|queue| queue.kept > 0) {
            return None;
        }
        let len = self.pop(priority, None)?;
        self.holds_larger &= len <= limit.max_bytes;
        Some(len)
    }

    fn pop(&mut self, priority: Priority, out: Option<&mut Transmit>) -> Option<usize> {
        self.queues[index(priority)].as_mut()?.pop(out)
    }

    /// Moves frames into `out` until it holds `max_bytes` or nothing is left, the most urgent
    /// first.
    pub(super) fn transmit(&mut self, max_bytes: usize, pool: &mut QueuePool, out: &mut Transmit) {
        while out.len() < max_bytes {
            let Some(priority) = self.next_level() else { break };
            if self.transmit_copied(priority, max_bytes, pool, out) {
                break;
            }
            if self.transmit_one(priority, pool, out).is_none() {
                break;
            }
        }
    }

    /// The same with nothing but what is critical: last words, and signs of life while all else is
    /// held back.
    pub(super) fn transmit_critical(&mut self, max_bytes: usize, pool: &mut QueuePool, out: &mut Transmit) {
        while out.len() < max_bytes && self.transmit_one(Priority::Critical, pool, out).is_some() {}
    }

    /// Moves all that waits at once, if that is small frames of one level: most often it is. Whether it
    /// is so.
    fn transmit_copied(
        &mut self,
        priority: Priority,
        max_bytes: usize,
        pool: &mut QueuePool,
        out: &mut Transmit,
    ) -> bool {
        if self.waiting().nth(1).is_some() {
            return false;
        }
        let slot = &mut self.queues[index(priority)];
        let Some(bytes) = slot.as_mut().and_then(|queue| queue.pop_copied(max_bytes - out.len(), out)) else {
            return false;
        };
        self.holds_larger &= bytes <= pool.limit(priority).max_bytes;
        slot.take().into_iter().for_each(|empty| pool.give_back(empty));
        true
    }

    fn transmit_one(&mut self, priority: Priority, pool: &mut QueuePool, out: &mut Transmit) -> Option<()> {
        let level = ChunkLevel::of(priority).filter(|_| self.cuts);
        let queue = self.queues[index(priority)].as_mut()?;
        let (bytes, popped) = match level {
            Some(level) => queue.pop_chunk(level, out)?,
            None => queue.pop(Some(out)).map(|bytes| (bytes, bytes))?,
        };
        self.holds_larger &= popped <= pool.limit(priority).max_bytes;
        let (queue, less_urgent) = self.queues[index(priority)..].split_first_mut()?;
        for queue in less_urgent.iter_mut().flatten() {
            queue.passed_over += bytes;
        }
        match queue.take_if(|queue| queue.is_empty()) {
            Some(empty) => pool.give_back(empty),
            None => queue.iter_mut().for_each(|queue| queue.passed_over = 0),
        }
        Some(())
    }

    /// The level whose turn it is: the most urgent, unless one below has waited too long.
    fn next_level(&self) -> Option<Priority> {
        let is_starved = |priority: &Priority| {
            self.queue(*priority).is_some_and(|queue| queue.passed_over >= MAX_PASSED_OVER)
        };
        self.waiting().rfind(is_starved).or_else(|| self.waiting().next())
    }

    /// A level on which somebody was told `Full` and half of the room is free again. Asked once per
    /// refusal.
    pub(super) fn take_writable(&mut self, pool: &QueuePool) -> Option<Priority> {
        if self.refused == 0 {
            return None;
        }
        let writable = Priority::ALL.into_iter().find(|priority| {
            let limit = pool.limit(*priority);
            self.refused & 1 << index(*priority) != 0
                && self.queued_bytes(*priority) <= limit.max_bytes / 2
                && self.queued_frames(*priority) <= limit.max_frames / 2
        })?;
        self.refused &= !(1 << index(writable));
        Some(writable)
    }

    /// Memory held, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.queues.iter().flatten().map(|queue| queue.held_bytes()).sum()
    }
}
