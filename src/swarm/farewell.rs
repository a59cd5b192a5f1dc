//! The end of a stream.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use spacetime_core::Transmit;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::connection_task::{MAX_OPERATIONS, write_some};
use crate::transport::Stream;

/// Writes what is left, and closes in a way that lets the peer read it: whoever closes a socket with
/// unread bytes in it resets the connection. What the peer still says is thrown away meanwhile; it
/// may read nothing before it has said it.
pub(super) struct Farewell {
    stream: Box<dyn Stream>,
    writing: Transmit,
    /// Everything is written, and our direction has ended.
    is_said: bool,
    /// The peer's direction has ended.
    is_heard: bool,
}

/// The stream is broken.
struct Broken;

impl Farewell {
    pub(super) const fn new(stream: Box<dyn Stream>, writing: Transmit) -> Self {
        Self { stream, writing, is_said: false, is_heard: false }
    }

    /// Ready when both directions have ended, or the stream is broken.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match (self.poll_say(cx), self.poll_hear(cx)) {
            (Poll::Ready(Err(Broken)), _) | (_, Poll::Ready(Err(Broken))) => Poll::Ready(()),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }

    fn poll_say(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.is_said {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..MAX_OPERATIONS {
            if self.writing.is_empty() {
                ready!(Pin::new(&mut self.stream).poll_flush(cx)).map_err(|_| Broken)?;
                ready!(Pin::new(&mut self.stream).poll_shutdown(cx)).map_err(|_| Broken)?;
                self.is_said = true;
                return Poll::Ready(Ok(()));
            }
            ready!(write_some(&mut *self.stream, &mut self.writing, cx)).map_err(|_| Broken)?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.is_heard {
            return Poll::Ready(Ok(()));
        }
        let mut nobody_reads_this = [0; 4096];
        for _ in 0..MAX_OPERATIONS {
            let mut buffer = ReadBuf::new(&mut nobody_reads_this);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)).map_err(|_| Broken)?;
            if buffer.filled().is_empty() {
                self.is_heard = true;
                return Poll::Ready(Ok(()));
            }
        }
        // A peer that never stops talking keeps nobody waiting.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
