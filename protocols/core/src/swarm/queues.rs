//! What waits to be sent on one connection.

use alloc::collections::VecDeque;

use bytes::Bytes;

use super::output::QueueLoad;
use super::transmit::Transmit;
use crate::canary::{self, Canary};
use crate::limits::{Limits, QueueLimit};
use crate::wire::{Frame, Priority};

/// Frames up to this size are copied into a queue's ring of bytes; larger ones are shared. Copying
/// 4 KiB costs less than the bookkeeping of a shared buffer and its own slot in a vectored write,
/// and makes the memory of a queue exactly what it holds. A frame that was received inside of a
/// larger buffer is copied as well: 64 KiB would wait with 5.
pub(super) const MAX_COPIED_FRAME: usize = 4096;

/// A queue that waited while this many bytes of more urgent frames went out gets one frame
/// through, so a steady stream of blocks cannot keep a transaction back for ever.
const MAX_PASSED_OVER: usize = 256 * 1024;

/// An empty ring keeps at most this much memory.
const MAX_IDLE_BYTES: usize = 4096;

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

/// One level: frames in the order they came.
#[derive(Debug, Default)]
struct Queue {
    /// The length of each frame; zero for one in `shared`.
    lens: VecDeque<u32>,
    copied: VecDeque<u8>,
    shared: VecDeque<Bytes>,
    bytes: usize,
    /// Bytes of more urgent frames that went out while this queue waited.
    passed_over: usize,
    /// Frames at the front that are not dropped: the last of them was sent to this peer alone.
    kept: usize,
}

impl Queue {
    fn fits(&self, len: usize, limit: QueueLimit) -> bool {
        self.lens.len() < limit.max_frames && self.bytes + len <= limit.max_bytes
    }

    fn is_empty(&self) -> bool {
        self.lens.is_empty()
    }

    fn push(&mut self, frame: Outgoing<'_>, limit: QueueLimit) {
        let len = frame.len();
        match frame {
            Outgoing::Shared(frame) if len > MAX_COPIED_FRAME && frame.owns_its_buffer() => {
                self.lens.push_back(0);
                self.shared.push_back(frame.bytes().clone());
            }
            Outgoing::Shared(frame) => {
                self.lens.push_back(len as u32);
                self.reserve(len, limit);
                self.copied.extend(frame.bytes());
            }
            Outgoing::Copied(bytes) => {
                self.lens.push_back(len as u32);
                self.reserve(len, limit);
                self.copied.extend(bytes);
            }
        }
        self.bytes += len;
    }

    /// Makes room in the ring. It doubles, but never beyond what may wait in it.
    fn reserve(&mut self, len: usize, limit: QueueLimit) {
        let needed = self.copied.len() + len;
        if needed > self.copied.capacity() {
            let capacity = (self.copied.capacity() * 2).min(limit.max_bytes).max(needed);
            self.copied.reserve_exact(capacity - self.copied.len());
        }
    }

    /// Takes the oldest frame out, into `out` if there is one. Returns its length.
    fn pop(&mut self, out: Option<&mut Transmit>) -> Option<usize> {
        let len = match self.lens.pop_front()? {
            0 => {
                let bytes = self.shared.pop_front()?;
                let len = bytes.len();
                if let Some(out) = out {
                    out.push_shared(bytes);
                }
                len
            }
            len => {
                let len = len as usize;
                if let Some(out) = out {
                    let (first, second) = self.copied.as_slices();
                    let split = len.min(first.len());
                    out.push_copied(first.get(..split).unwrap_or(&[]));
                    out.push_copied(second.get(..len - split).unwrap_or(&[]));
                }
                self.copied.drain(..len);
                len
            }
        };
        self.bytes -= len;
        self.kept = self.kept.saturating_sub(1);
        if self.is_empty() {
            debug_assert_eq!((self.bytes, self.copied.len(), self.shared.len()), (0, 0, 0));
            self.copied.shrink_to(MAX_IDLE_BYTES);
            self.lens.shrink_to(MAX_IDLE_BYTES / 4);
            self.shared.shrink_to(0);
        }
        Some(len)
    }
}

/// The four send queues of a connection.
///
/// # Security
///
/// A peer that does not read makes us hold at most the sum of the four limits (1 MiB by default)
/// plus one larger frame, whatever is sent to it.
#[derive(Debug, Default)]
pub(super) struct SendQueues {
    queues: [Queue; 4],
    /// Which of them hold frames, one bit each: most of the time nothing more need be looked at.
    waiting: Levels,
    /// On which somebody was told `Full` and wants to hear when there is room.
    refused: Levels,
    /// A frame larger than its queue's limit waits.
    holds_larger: bool,
}

/// Some of the four levels.
#[derive(Clone, Copy, Debug, Default)]
struct Levels(u8);

impl Levels {
    const fn is_empty(self) -> bool {
        self.0 == 0
    }

    const fn contains(self, priority: Priority) -> bool {
        self.0 & 1 << index(priority) != 0
    }

    const fn set(&mut self, priority: Priority, is_in: bool) {
        let bit = 1 << index(priority);
        self.0 = if is_in { self.0 | bit } else { self.0 & !bit };
    }

    /// From the most urgent to the least.
    fn iter(self) -> impl DoubleEndedIterator<Item = Priority> {
        Priority::ALL.into_iter().filter(move |priority| self.contains(*priority))
    }
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
    fn queue(&self, priority: Priority) -> &Queue {
        &self.queues[index(priority)]
    }

    fn queue_mut(&mut self, priority: Priority) -> &mut Queue {
        &mut self.queues[index(priority)]
    }

    /// Bytes that wait on one level.
    pub(super) fn queued_bytes(&self, priority: Priority) -> usize {
        self.queue(priority).bytes
    }

    /// Frames that wait on one level.
    pub(super) fn queued_frames(&self, priority: Priority) -> usize {
        self.queue(priority).lens.len()
    }

    /// What waits on each level.
    pub(super) fn loads(&self) -> [QueueLoad; 4] {
        Priority::ALL.map(|priority| QueueLoad {
            frames: self.queued_frames(priority),
            bytes: self.queued_bytes(priority),
        })
    }

    /// Bytes that wait on all levels.
    pub(super) fn total_bytes(&self) -> usize {
        self.waiting.iter().map(|priority| self.queue(priority).bytes).sum()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a frame of `len` bytes would be taken at this moment.
    fn has_room(&self, len: usize, priority: Priority, limit: QueueLimit) -> bool {
        let queue = self.queue(priority);
        queue.fits(len, limit)
            || (queue.is_empty() && !self.holds_larger)
            || canary::is(Canary::UnboundedQueue)
    }

    fn push(&mut self, frame: Outgoing<'_>, priority: Priority, limit: QueueLimit) {
        self.holds_larger |= frame.len() > limit.max_bytes;
        self.queue_mut(priority).push(frame, limit);
        self.waiting.set(priority, true);
        debug_assert!(self.queue(priority).lens.len() <= limit.max_frames);
        debug_assert!(self.holds_larger || self.queue(priority).bytes <= limit.max_bytes);
    }

    /// Queues a frame, or says that there is no room and remembers that somebody waits for it.
    pub(super) fn send(
        &mut self,
        frame: Outgoing<'_>,
        priority: Priority,
        limits: &Limits,
    ) -> Result<(), Full> {
        let limit = limits.queue(priority);
        if !self.has_room(frame.len(), priority, limit) {
            self.refused.set(priority, true);
            return Err(Full);
        }
        self.push(frame, priority, limit);
        let queue = self.queue_mut(priority);
        queue.kept = queue.lens.len();
        Ok(())
    }

    /// Queues a frame of which the latest matter most: makes room by dropping the oldest of its
    /// level. Returns how many were dropped. What was sent to this peer alone is not dropped for what
    /// everybody is sent: somebody waits for it.
    pub(super) fn send_or_drop_oldest(
        &mut self,
        frame: Outgoing<'_>,
        priority: Priority,
        limits: &Limits,
    ) -> Result<usize, Full> {
        let limit = limits.queue(priority);
        let is_larger = frame.len() > limit.max_bytes;
        if is_larger && self.holds_larger && self.queue(priority).bytes <= limit.max_bytes {
            // The larger frame that is in the way waits on another level.
            return Err(Full);
        }
        let mut dropped = 0;
        while !self.has_room(frame.len(), priority, limit) {
            if self.drop_oldest(priority, limit).is_none() {
                return Err(Full);
            }
            dropped += 1;
        }
        self.push(frame, priority, limit);
        Ok(dropped)
    }

    fn drop_oldest(&mut self, priority: Priority, limit: QueueLimit) -> Option<usize> {
        if self.queue(priority).kept > 0 {
            return None;
        }
        let len = self.pop(priority, None)?;
        self.holds_larger &= len <= limit.max_bytes;
        Some(len)
    }

    fn pop(&mut self, priority: Priority, out: Option<&mut Transmit>) -> Option<usize> {
        let queue = self.queue_mut(priority);
        let len = queue.pop(out);
        let is_waiting = !queue.is_empty();
        self.waiting.set(priority, is_waiting);
        len
    }

    /// Moves frames into `out` until it holds `max_bytes` or nothing is left, the most urgent
    /// first.
    pub(super) fn transmit(&mut self, max_bytes: usize, limits: &Limits, out: &mut Transmit) {
        while out.len() < max_bytes {
            let Some(priority) = self.next_level() else { break };
            if self.transmit_one(priority, limits, out).is_none() {
                break;
            }
        }
    }

    /// The same with nothing but what is critical: last words, and signs of life while all else is
    /// held back.
    pub(super) fn transmit_critical(&mut self, max_bytes: usize, limits: &Limits, out: &mut Transmit) {
        while out.len() < max_bytes && self.transmit_one(Priority::Critical, limits, out).is_some() {}
    }

    fn transmit_one(&mut self, priority: Priority, limits: &Limits, out: &mut Transmit) -> Option<()> {
        let len = self.pop(priority, Some(out))?;
        self.holds_larger &= len <= limits.queue(priority).max_bytes;
        self.queue_mut(priority).passed_over = 0;
        for less_urgent in self.waiting.iter().filter(|it| index(*it) > index(priority)) {
            self.queue_mut(less_urgent).passed_over += len;
        }
        Some(())
    }

    /// The level whose turn it is: the most urgent, unless one below has waited too long.
    fn next_level(&self) -> Option<Priority> {
        let most_urgent = self.waiting.iter().next()?;
        let mut less_urgent = self.waiting.iter().filter(|it| index(*it) > index(most_urgent));
        let starved = less_urgent.rfind(|priority| self.queue(*priority).passed_over >= MAX_PASSED_OVER);
        Some(starved.unwrap_or(most_urgent))
    }

    /// A level on which somebody was told `Full` and half of the room is free again. Asked once per
    /// refusal.
    pub(super) fn take_writable(&mut self, limits: &Limits) -> Option<Priority> {
        let writable = self.refused.iter().find(|priority| {
            let (queue, limit) = (self.queue(*priority), limits.queue(*priority));
            queue.bytes <= limit.max_bytes / 2 && queue.lens.len() <= limit.max_frames / 2
        })?;
        self.refused.set(writable, false);
        Some(writable)
    }

    /// Memory held, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        let held = |queue: &Queue| {
            queue.copied.capacity()
                + queue.lens.capacity() * size_of::<u32>()
                + queue.shared.iter().map(Bytes::len).sum::<usize>()
        };
        self.queues.iter().map(held).sum()
    }
}
