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
use spacetime_core::{CloseReason, ConnectionId, DialError, Direction, Transmit};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::time::timeout;
use tokio_util::io::poll_read_buf;

use super::inbox::{Inbox, Input};
use super::link::{Link, MAX_UNHANDLED_BYTES};
use crate::transport::{Connected, Stream};

/// How long a peer has to take the last words of a connection.
const LINGER: Duration = Duration::from_secs(1);

/// Reads or writes that a task does before others have their turn.
const MAX_OPERATIONS: usize = 32;

/// Pieces of one vectored write.
const MAX_SLICES: usize = 16;

pub(super) struct ConnectionTask {
    pub(super) connection: ConnectionId,
    pub(super) direction: Direction,
    pub(super) link: Arc<Link>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) reader: FrameReader,
}

impl ConnectionTask {
    /// Connects, then moves bytes until the connection ends.
    pub(super) async fn run(self, connecting: BoxFuture<'static, io::Result<Connected>>) {
        let Self { connection, direction, link, inbox, reader } = self;
        let Some(connected) = connect(connecting, &link).await else {
            return;
        };
        match connected {
            Ok(Connected { stream, peer_id }) => {
                inbox.push(Input::Opened(connection, peer_id));
                let mut flow = Flow {
                    connection,
                    link,
                    inbox,
                    reader,
                    stream,
                    writing: Transmit::new(),
                    needs_flush: false,
                    last_words: None,
                    reads: Reads::Open,
                };
                poll_fn(|cx| flow.poll(cx)).await;
                let _too_slow = timeout(LINGER, flow.linger()).await;
            }
            Err(error) if direction == Direction::Outbound => {
                let error = DialError::Transport(error.to_string().into());
                inbox.push(Input::DialFailed(connection, error));
            }
            Err(error) => inbox.push(Input::Closed(connection, transport_error(&error))),
        }
    }
}

fn transport_error(error: &io::Error) -> CloseReason {
    CloseReason::Transport(error.to_string().into())
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

struct Flow {
    connection: ConnectionId,
    link: Arc<Link>,
    inbox: Arc<Inbox>,
    reader: FrameReader,
    stream: Box<dyn Stream>,
    writing: Transmit,
    /// Something was written that may still be in the stream's own buffer.
    needs_flush: bool,
    /// The Swarm has given the connection up.
    last_words: Option<Transmit>,
    reads: Reads,
}

impl Flow {
    /// Moves bytes in both directions. Ready when the Swarm has given the connection up, or has
    /// been told that it is lost.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.link.register(cx.waker());
        self.look_at_link();
        if self.last_words.is_some() {
            return Poll::Ready(());
        }
        if let Poll::Ready(Err(error)) = self.poll_write(cx) {
            return self.lost(transport_error(&error));
        }
        if self.last_words.is_some() {
            return Poll::Ready(());
        }
        match self.poll_read(cx) {
            Poll::Ready(Err(reason @ CloseReason::Violation(_))) => {
                // The stream still stands: the Swarm closes it, with a word to the peer.
                self.reads = Reads::Over;
                self.inbox.push(Input::Closed(self.connection, reason));
                Poll::Pending
            }
            Poll::Ready(Err(reason)) => self.lost(reason),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    fn lost(&self, reason: CloseReason) -> Poll<()> {
        self.inbox.push(Input::Closed(self.connection, reason));
        Poll::Ready(())
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
        if state.established {
            self.reader.set_established();
            if self.reads == Reads::Blocked {
                self.reads = Reads::Open;
            }
        }
        if self.writing.is_empty() {
            std::mem::swap(&mut self.writing, &mut state.out);
            state.writes_large = self.writing.holds_large();
            let wants_more = state.more && state.has_room();
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
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        for _ in 0..MAX_OPERATIONS {
            if !self.pass_frames()? {
                return Poll::Pending;
            }
            let mut buffer = self.reader.read_buffer();
            match ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut buffer)) {
                Ok(0) => {
                    let end =
                        self.reader.finish().map_or_else(CloseReason::from, |()| CloseReason::EndOfStream);
                    return Poll::Ready(Err(end));
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(transport_error(&error))),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Passes whole frames on to the Swarm. Whether more bytes are wanted.
    fn pass_frames(&mut self) -> Result<bool, CloseReason> {
        while self.reads == Reads::Open {
            {
                let mut state = self.link.lock();
                if state.unhandled_bytes >= MAX_UNHANDLED_BYTES {
                    state.reading_paused = true;
                    return Ok(false);
                }
            }
            match self.reader.poll_frames()? {
                ReadStep::Frames(batch) => {
                    self.link.lock().unhandled_bytes += batch.len();
                    self.inbox.push(Input::Frames(self.connection, batch));
                }
                ReadStep::NeedBytes => return Ok(true),
                ReadStep::Blocked => self.reads = Reads::Blocked,
            }
        }
        Ok(false)
    }

    /// Finishes what was begun, writes the last words, and closes in a way that lets the peer read
    /// them: whoever closes a socket with unread bytes in it resets the connection.
    async fn linger(mut self) -> io::Result<()> {
        if let Some(mut last_words) = self.last_words.take() {
            self.writing.append(&mut last_words);
            while !self.writing.is_empty() {
                poll_fn(|cx| write_some(&mut *self.stream, &mut self.writing, cx)).await?;
            }
            poll_fn(|cx| Pin::new(&mut self.stream).poll_flush(cx)).await?;
        }
        poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await?;
        let mut nobody_reads_this = [0; 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut nobody_reads_this);
            poll_fn(|cx| Pin::new(&mut self.stream).poll_read(cx, &mut buffer)).await?;
            if buffer.filled().is_empty() {
                return Ok(());
            }
        }
    }
}

/// Writes as much of `out` as the stream takes at once.
fn write_some(stream: &mut dyn Stream, out: &mut Transmit, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
