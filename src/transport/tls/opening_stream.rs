//! A stream that is being secured.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use spacetime_core::SecurityError;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::refusal::refused;
use crate::transport::Stream;

/// What a peer may send until it is known, in bytes. A handshake of ours takes 1 KiB; with the longest
/// chain of certificates that is looked at it is 20 KiB.
///
/// # Security
///
/// Before anything is proven a peer can make this node hold what it sends. The handshake messages of
/// TLS may have 64 KiB each, which would be eight times a plaintext connection that is being opened.
const MAX_HANDSHAKE_BYTES: usize = 24 * 1024;

/// Bytes that tell TLS from plaintext: a record with a handshake message, of version 3.1 to 3.4.
///
/// As the beginning of a version-1 frame they would claim a length of 66,326 bytes at least, and
/// the first frame is capped at 1 KiB.
const SNIFFED_BYTES: usize = 3;

/// The stream below TLS. What was read to tell whether it is TLS is read again from it, and it ends
/// where a peer says more than a handshake can need.
pub(super) struct OpeningStream {
    stream: Box<dyn Stream>,
    sniffed: [u8; SNIFFED_BYTES],
    /// Which of the sniffed bytes are still to be read.
    unread: std::ops::Range<usize>,
    /// Bytes that the peer may still send; no end of them once it is known.
    left: Option<usize>,
    /// Bytes that were read since the peer is known.
    read_bytes: u64,
    /// It is served in plaintext before it has said enough to tell that from TLS.
    watches_for_tls: bool,
    /// Set when the first thing that the peer says is TLS.
    speaks_tls: Option<Arc<AtomicBool>>,
}

impl OpeningStream {
    pub(super) const fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            sniffed: [0; SNIFFED_BYTES],
            unread: 0..0,
            left: Some(MAX_HANDSHAKE_BYTES),
            read_bytes: 0,
            watches_for_tls: false,
            speaks_tls: None,
        }
    }

    /// The stream to a peer that was dialled, and is expected to answer in TLS.
    pub(super) fn dialled(stream: Box<dyn Stream>, speaks_tls: Arc<AtomicBool>) -> Self {
        let mut this = Self::new(stream);
        this.speaks_tls = Some(speaks_tls);
        this
    }

    /// Looks at the first bytes, and says whether they are TLS. Ends early where they cannot be.
    /// Dropping the future loses nothing.
    pub(super) async fn is_tls(&mut self) -> io::Result<bool> {
        while self.unread.end < SNIFFED_BYTES {
            let room = self.sniffed.get_mut(self.unread.end..).unwrap_or(&mut []);
            match self.stream.read(room).await? {
                0 => return Err(refused(SecurityError::Truncated)),
                count => self.unread.end += count,
            }
            if !self.may_be_tls() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn may_be_tls(&self) -> bool {
        let expected: [&dyn Fn(u8) -> bool; SNIFFED_BYTES] =
            [&|byte| byte == 0x16, &|byte| byte == 0x03, &|byte| (1..=4).contains(&byte)];
        let sniffed = self.sniffed.iter().take(self.unread.end);
        sniffed.zip(expected).all(|(byte, is_expected)| is_expected(*byte))
    }

    /// Whether the peer has said nothing so far.
    pub(super) const fn is_silent(&self) -> bool {
        self.unread.end == 0
    }

    /// The peer is known: it may send what it wants, which is counted.
    pub(super) const fn set_opened(&mut self) {
        self.left = None;
        self.read_bytes = 0;
    }

    /// How many bytes were read since the peer is known.
    pub(super) const fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    /// The peer is served in plaintext. If it then turns out to speak TLS, it is refused by name:
    /// taken for a frame, the beginning of that would be an offence.
    pub(super) fn set_plaintext(&mut self) {
        self.left = None;
        self.watches_for_tls = self.unread.end < SNIFFED_BYTES && self.may_be_tls();
    }

    /// Looks at what was read behind the sniffed bytes, as long as it may be TLS.
    fn watch(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = self.sniffed.get_mut(self.unread.end..).unwrap_or(&mut []);
        let count = room.len().min(bytes.len());
        room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        // They have been read.
        self.unread = self.unread.end + count..self.unread.end + count;
        self.watches_for_tls = self.may_be_tls();
        if self.watches_for_tls && self.unread.end == SNIFFED_BYTES {
            return Err(refused(SecurityError::Encrypted));
        }
        Ok(())
    }
}

impl AsyncRead for OpeningStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(unread) = this.sniffed.get(this.unread.clone()).filter(|unread| !unread.is_empty()) {
            let count = unread.len().min(buffer.remaining());
            buffer.put_slice(unread.get(..count).unwrap_or(unread));
            this.unread.start += count;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        let bytes = buffer.filled().get(before..).unwrap_or(&[]);
        this.read_bytes += bytes.len() as u64;
        if let [0x14..=0x17, 0x03, ..] = bytes
            && let Some(speaks_tls) = &this.speaks_tls
        {
            speaks_tls.store(true, Ordering::Relaxed);
        }
        if !bytes.is_empty() {
            this.speaks_tls = None;
        }
        if this.watches_for_tls
            && let Err(error) = this.watch(bytes)
        {
            buffer.set_filled(before);
            return Poll::Ready(Err(error));
        }
        if let Some(left) = &mut this.left {
            match left.checked_sub(buffer.filled().len() - before) {
                Some(fewer) => *left = fewer,
                None => return Poll::Ready(Err(refused(SecurityError::TooLarge))),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for OpeningStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
