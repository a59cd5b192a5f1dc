//! Frames and requests on their way out.

use core::fmt;

use super::network::{Delivery, Network};
use super::queues::{Full, Outgoing};
use super::requests::Match;
use super::table::Connection;
use super::transmit::Transmit;
use crate::behaviour::Role;
use crate::close::CloseReason;
use crate::connection::ConnectionId;
use crate::limits::MAX_COPIED_FRAME;
use crate::request::{Expect, RequestId};
use crate::wire::{self, EncodeError, FRAME_HEADER, Frame, Message, MessageType, Priority};

/// Why a frame was not queued. The state of the connection did not change, with one exception: a
/// `Full` queue of critical frames closes it, if they wait for the peer and not for a limit of this
/// node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SendError {
    /// There is no such connection any more, or its peer is not established.
    Closed,
    /// The queue of this priority is full, or too many requests wait for answers. `on_writable`
    /// says when the queue has room again.
    Full,
    /// The message is one that a receiver would refuse.
    Invalid(EncodeError),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection is closed"),
            Self::Full => f.write_str("too much waits to be sent to this peer already"),
            Self::Invalid(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for SendError {}

impl From<EncodeError> for SendError {
    fn from(error: EncodeError) -> Self {
        Self::Invalid(error)
    }
}

impl Network {
    pub(crate) fn send<M: Message>(&mut self, id: ConnectionId, message: &M) -> Result<(), SendError> {
        let small = (M::MAX_PAYLOAD as usize) < MAX_COPIED_FRAME
            || FRAME_HEADER + message.encoded_len() <= MAX_COPIED_FRAME;
        if !small {
            return self.send_frame(id, &Frame::encode(message)?);
        }
        self.scratch.clear();
        wire::write_frame(message, &mut self.scratch)?;
        let scratch = core::mem::take(&mut self.scratch);
        let result = self.queue(id, Outgoing::Copied(&scratch), M::TYPE, M::PRIORITY);
        self.scratch = scratch;
        result
    }

    pub(crate) fn send_frame(&mut self, id: ConnectionId, frame: &Frame) -> Result<(), SendError> {
        self.queue(id, Outgoing::Shared(frame), frame.message_type(), frame.priority())
    }

    fn queue(
        &mut self,
        id: ConnectionId,
        frame: Outgoing<'_>,
        message_type: MessageType,
        priority: Priority,
    ) -> Result<(), SendError> {
        let connection = self.table.get_mut(id).filter(|it| it.can_send()).ok_or(SendError::Closed)?;
        // Nothing may overtake a handshake, however urgent it is.
        let priority = if connection.is_established() { priority } else { Priority::Critical };
        match connection.queues.send(frame, priority, &mut self.queue_pool) {
            Ok(()) => {
                connection.questions.answered(message_type);
                self.was_queued(id, priority);
                Ok(())
            }
            Err(Full) => {
                self.refuse(id, priority);
                Err(SendError::Full)
            }
        }
    }

    /// Queues a frame for each of `targets`; to how many.
    pub(crate) fn broadcast(&mut self, targets: impl Iterator<Item = ConnectionId>, frame: &Frame) -> usize {
        let priority = frame.priority();
        let mut queued = 0;
        for id in targets {
            let Some(connection) = self.table.get_mut(id).filter(|it| it.is_established()) else {
                continue;
            };
            let (outgoing, pool) = (Outgoing::Shared(frame), &mut self.queue_pool);
            let result = match priority {
                Priority::High | Priority::Low => {
                    connection.queues.send_or_drop_oldest(outgoing, priority, pool)
                }
                Priority::Critical | Priority::Normal => {
                    connection.queues.send(outgoing, priority, pool).map(|()| 0)
                }
            };
            match result {
                Ok(dropped) => {
                    self.statistics.frames_dropped += dropped as u64;
                    self.was_queued(id, priority);
                    queued += 1;
                }
                Err(Full) => {
                    self.statistics.frames_dropped += 1;
                    self.refuse(id, priority);
                }
            }
        }
        queued
    }

    fn was_queued(&mut self, id: ConnectionId, priority: Priority) {
        self.statistics.frames_sent += 1;
        let now = self.now.time;
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        if connection.is_held() && priority != Priority::Critical {
            // It is named when it may send. That this takes time is not the peer's fault.
            return;
        }
        if !connection.is_ready {
            connection.is_ready = true;
            self.ready.push_back(id);
        }
        if connection.waiting_since.is_none() {
            connection.waiting_since = Some(now);
            self.arm(id, now + self.limits.write_timeout());
        }
    }

    /// A peer that does not even take signs of life is gone, unless they wait for our own limits.
    fn refuse(&mut self, id: ConnectionId, priority: Priority) {
        let is_held = self.table.get(id).is_some_and(Connection::is_held);
        if priority == Priority::Critical && !is_held {
            self.close(id, CloseReason::SlowReader);
        }
    }

    /// Moves what waits on a connection into `out`; whether more waits.
    pub(super) fn transmit(&mut self, id: ConnectionId, max_bytes: usize, out: &mut Transmit) -> bool {
        let now = self.now.time;
        let Some(connection) = self.table.get_mut(id) else {
            return false;
        };
        let before = out.len();
        let max_len = before.saturating_add(max_bytes);
        if self.upload.is_limited() {
            let (upload, pool) = (&mut self.upload, &mut self.queue_pool);
            Self::transmit_shaped(upload, id, connection, now, max_len, pool, out);
        } else {
            connection.queues.transmit(max_len, &mut self.queue_pool, out);
        }
        let bytes = (out.len() - before) as u64;
        self.statistics.bytes_sent += bytes;
        connection.bytes_sent += bytes;
        let is_held = connection.is_held();
        let more = !connection.queues.is_empty() && !is_held;
        if bytes > 0 || is_held {
            connection.waiting_since = more.then_some(now);
        }
        while let Some(priority) = connection.queues.take_writable(&self.queue_pool) {
            self.deliveries.push_back(Delivery::Writable(id, priority));
        }
        if let Some(at) = connection.shares.as_ref().and_then(|it| it.upload.wake_at()) {
            self.arm(id, at);
        }
        more
    }

    /// The next connection on which something new waits to be sent, or which has waited for a limit
    /// of bandwidth.
    pub(super) fn poll_ready(&mut self) -> Option<ConnectionId> {
        while let Some(id) = self.ready.pop_front() {
            if let Some(connection) = self.table.get_mut(id) {
                connection.is_ready = false;
                return Some(id);
            }
        }
        if self.upload.is_limited() { self.poll_writable() } else { None }
    }

    pub(crate) fn request<M: Message>(
        &mut self,
        id: ConnectionId,
        message: &M,
        expect: Expect,
    ) -> Result<RequestId, SendError> {
        debug_assert!(
            self.claims.takes(expect.answer, Role::Answer),
            "nobody in the tree would hear the answer: {} is not claimed as one",
            expect.answer
        );
        let max_requests = self.limits.max_requests();
        let connection = self.table.get_mut(id).filter(|it| it.is_established()).ok_or(SendError::Closed)?;
        if !connection.requests.make_room(max_requests) {
            return Err(SendError::Full);
        }
        self.send(id, message)?;
        let request = RequestId(self.next_request);
        self.next_request += 1;
        let patience = self.patience(id, expect.timeout);
        if let Some(connection) = self.table.get_mut(id) {
            connection.requests.push(request, expect, patience);
        }
        self.arm(id, self.patience_ends(id, &patience));
        Ok(request)
    }

    pub(super) fn take_answered(&mut self, id: ConnectionId, frame: &Frame) -> Match {
        let Some(connection) = self.table.get_mut(id) else {
            return Match::None;
        };
        let answered = connection.requests.take_answered(frame);
        if connection.requests.take_writable(self.limits.max_requests()) {
            self.deliveries.push_back(Delivery::Writable(id, Priority::Normal));
        }
        if answered == Match::Late {
            self.statistics.late_answers += 1;
        }
        answered
    }
}
