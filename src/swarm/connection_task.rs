//! The task that moves the bytes of one connection.
//!
//! One task does both directions: a stream that encrypts needs no lock between its halves then, an
//! idle connection costs one task, and a round trip wakes one task instead of two. Neither
//! direction waits for the other.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf as _;
use futures::future::BoxFuture;
use spacetime_core::wire::{FrameReader, ReadStep};
use spacetime_core::{CloseReason, ConnectionId, DialError, Direction, SecurityError, Transmit};
use tokio::io::AsyncWrite as _;
use tokio::task::coop::has_budget_remaining;
use tokio::time::timeout;
use tokio_util::io::poll_read_buf;

use super::farewell::Farewell;
use super::inbox::{Inbox, Input};
use super::link::{Established, Link, MIN_BATCH_CHARGE};
use crate::transport::{Connected, Overhead, Stream};

/// How long a peer has to take the last words of a connection.
const LINGER: Duration = Duration::from_secs(1);

/// Reads or writes that a task does before others have their turn.
pub(super) const MAX_OPERATIONS: usize = 32;

/// Pieces of one vectored write.
const MAX_SLICES: usize = 16;

pub(super) struct ConnectionTask {
    pub(super) connection: ConnectionId,
    pub(super) direction: Direction,
    pub(super) link: Arc<Link>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) reader: FrameReader,
    /// Somebody listens before the peer is established.
    pub(super) has_gate: bool,
}

impl ConnectionTask {
    /// Connects, then moves bytes until the connection ends.
    pub(super) async fn run(self, connecting: BoxFuture<'static, io::Result<Connected>>) {
        let Self { connection, direction, link, inbox, reader, has_gate } = self;
        let Some(connected) = connect(connecting, &link).await else {
            return;
        };
        match connected {
            Ok(Connected { stream, peer_id, overhead }) => {
                inbox.push(Input::Opened(connection, peer_id));
                let mut flow = Flow {
                    connection,
                    link,
                    inbox,
                    reader,
                    stream,
                    overhead,
                    writing: Transmit::new(),
                    needs_flush: false,
                    write_error: None,
                    last_words: None,
                    // Without a gate the limits of first frames are not for this peer.
                    reads: if has_gate { Reads::Open } else { Reads::Blocked },
                    uncharged: 0,
                    overdue: 0,
                };
                poll_fn(|cx| flow.poll(cx)).await;
                if let Some(mut farewell) = flow.into_farewell() {
                    let _too_slow = timeout(LINGER, poll_fn(|cx| farewell.poll(cx))).await;
                }
            }
            Err(error) if direction == Direction::Outbound => {
                let error = match transport_error(&error) {
                    CloseReason::Transport(text) => DialError::Transport(text),
                    refused => DialError::Closed(refused),
                };
                inbox.push(Input::DialFailed(connection, error));
            }
            Err(error) => inbox.push(Input::Closed(connection, transport_error(&error), 0)),
        }
    }
}

fn transport_error(error: &io::Error) -> CloseReason {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<SecurityError>()) {
        Some(error) => (*error).into(),
        None => CloseReason::Transport(error.to_string().into()),
    }
}

/// Waits for the transport to stand; nothing if the Swarm gives the connection up before.
async fn connect(
    mut connecting: BoxFuture<'static, io::Result<Connected>>,
    link: &Link,
) -> Option<io::Result<Connected>> {
    poll_fn(|cx| {
        link.register(cx.waker());
        if link.lock().close.is_some() {
            return Poll::Ready(None);
        }
        connecting.as_mut().poll(cx).map(Some)
    })
    .await
}

/// What the task does about bytes from the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reads {
    /// Takes them.
    Open,
    /// Waits until the peer is established.
    Blocked,
    /// They have ended, or make no sense any more.
    Over,
}

/// Why the task reads no further for the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pause {
    /// All that has arrived was read.
    Dry,
    /// It is not to read on yet, or others have their turn.
    Held,
}

struct Flow {
    connection: ConnectionId,
    link: Arc<Link>,
    inbox: Arc<Inbox>,
    reader: FrameReader,
    stream: Box<dyn Stream>,
    overhead: Option<Overhead>,
    writing: Transmit,
    /// Something was written that may still be in the stream's own buffer.
    needs_flush: bool,
    /// Nothing can be written any more.
    write_error: Option<io::Error>,
    /// The Swarm has given the connection up.
    last_words: Option<Transmit>,
    reads: Reads,
    /// Bytes of the last read that are not in a batch.
    uncharged: usize,
    /// Bytes of the reads before that are in no batch: parts of frames, and frames that nobody
    /// takes. The next batch is charged with them.
    overdue: usize,
}

impl Flow {
    /// Moves bytes in both directions. Ready when the Swarm has given the connection up, or has
    /// been told that it is lost.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.link.register(cx.waker());
        self.look_at_link();
        if self.write_error.is_none()
            && self.last_words.is_none()
            && let Poll::Ready(Err(error)) = self.poll_write(cx)
        {
            // What the peer said before it went is still heard.
            self.write_error = Some(error);
        }
        if self.last_words.is_some() {
            return Poll::Ready(());
        }
        let lost = match self.poll_read(cx) {
            Err(reason) => Some(reason),
            Ok(Pause::Dry) => self.write_error.as_ref().map(transport_error),
            Ok(Pause::Held) => None,
        };
        if let Some(reason) = lost {
            self.reads = Reads::Over;
            let is_broken = matches!(reason, CloseReason::Transport(_) | CloseReason::Insecure(_));
            let cut_bytes = self.reader.cut_bytes() + self.overhead_bytes();
            self.inbox.push(Input::Closed(self.connection, reason, cut_bytes));
            if is_broken {
                return Poll::Ready(());
            }
            // After its last word, or after garbage, the peer may still listen: the Swarm says when
            // everything was said.
        }
        if self.reads == Reads::Over && self.write_error.is_some() {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// What is left to do for a connection that the Swarm has given up, unless it is broken.
    fn into_farewell(self) -> Option<Farewell> {
        let Self { stream, mut writing, write_error: None, last_words, .. } = self else {
            return None;
        };
        writing.append(&mut last_words?);
        Some(Farewell::new(stream, writing))
    }

    /// Takes what the Swarm has left in the link.
    fn look_at_link(&mut self) {
        let mut state = self.link.lock();
        if let Some(last_words) = state.close.take() {
            let mut out = std::mem::take(&mut state.out);
            drop(state);
            self.writing.append(&mut out);
            self.last_words = Some(last_words);
            return;
        }
        if let Some(Established { may_send_chunks }) = state.established {
            self.reader.set_established();
            if may_send_chunks {
                self.reader.take_chunks();
            }
            if self.reads == Reads::Blocked {
                self.reads = Reads::Open;
            }
        }
        // A stream that keeps what it takes is given no more before that has gone out.
        if self.writing.is_empty() && !self.needs_flush && self.write_error.is_none() {
            std::mem::swap(&mut self.writing, &mut state.out);
            state.writes_large = self.writing.holds_large();
            let wants_more = state.more && state.room() > 0;
            if wants_more {
                state.more = false;
                drop(state);
                self.inbox.push(Input::Writable(self.connection));
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..MAX_OPERATIONS {
            if self.writing.is_empty() {
                if self.needs_flush {
                    ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
                    self.needs_flush = false;
                }
                self.look_at_link();
                if self.writing.is_empty() || self.last_words.is_some() {
                    return Poll::Ready(Ok(()));
                }
            }
            ready!(write_some(&mut *self.stream, &mut self.writing, cx))?;
            self.needs_flush = true;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads until there is nothing to read, the Swarm has enough, or the stream ends, which is an
    /// error here.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<Pause, CloseReason> {
        for _ in 0..MAX_OPERATIONS {
            if !self.pass_frames()? {
                return Ok(Pause::Held);
            }
            self.overdue += std::mem::take(&mut self.uncharged);
            let mut buffer = self.reader.read_buffer();
            match poll_read_buf(Pin::new(&mut self.stream), cx, &mut buffer) {
                Poll::Ready(Ok(0)) => {
                    let end = self.reader.finish();
                    return Err(end.map_or_else(CloseReason::from, |()| CloseReason::EndOfStream));
                }
                Poll::Ready(Ok(count)) => self.uncharged = count,
                Poll::Ready(Err(error)) => return Err(transport_error(&error)),
                // The runtime's sockets also say this when a task has had its turn.
                Poll::Pending if !has_budget_remaining() => return Ok(Pause::Held),
                Poll::Pending => return Ok(Pause::Dry),
            }
        }
        cx.waker().wake_by_ref();
        Ok(Pause::Held)
    }

    /// What the transport has read beside the frames, since this was asked the last time.
    fn overhead_bytes(&self) -> usize {
        self.overhead.as_ref().map_or(0, Overhead::take)
    }

    /// Passes whole frames on to the Swarm. Whether more bytes are wanted.
    fn pass_frames(&mut self) -> Result<bool, CloseReason> {
        while self.reads == Reads::Open {
            if !self.link.lock().takes_frames() {
                return Ok(false);
            }
            match self.reader.poll_frames()? {
                ReadStep::Frames(mut batch) => {
                    batch.add_unframed_bytes(self.overhead_bytes());
                    self.uncharged = self.uncharged.saturating_sub(batch.len());
                    let overdue = std::mem::take(&mut self.overdue);
                    let charge = (batch.len() + overdue).max(MIN_BATCH_CHARGE);
                    self.link.lock().charge(charge);
                    self.inbox.push(Input::Frames(self.connection, batch, charge));
                }
                ReadStep::NeedBytes => return Ok(true),
                ReadStep::Blocked => self.reads = Reads::Blocked,
            }
        }
        Ok(false)
    }
}

/// Writes as much of `out` as the stream takes at once.
pub(super) fn write_some(
    stream: &mut dyn Stream,
    out: &mut Transmit,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let mut count = 0;
    for (slice, segment) in slices.iter_mut().zip(out.segments()) {
        *slice = IoSlice::new(segment);
        count += 1;
    }
    let slices = slices.get(..count).unwrap_or(&[]);
    let written = ready!(Pin::new(stream).poll_write_vectored(cx, slices))?;
    if written == 0 {
        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
    }
    out.advance(written);
    Poll::Ready(Ok(()))
}
