//! A stream that is secured.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

use super::opening_stream::OpeningStream;
use super::refusal::named;
use crate::transport::Overhead;

/// A TLS stream whose errors have our names, and whose records are counted.
pub(super) struct SecuredStream {
    stream: TlsStream<OpeningStream>,
    overhead: Overhead,
    /// Bytes that were passed on, and those beside them that are counted.
    passed_bytes: u64,
    counted_bytes: u64,
}

impl SecuredStream {
    pub(super) const fn new(stream: TlsStream<OpeningStream>, overhead: Overhead) -> Self {
        Self { stream, overhead, passed_bytes: 0, counted_bytes: 0 }
    }

    /// Counts what was read beyond what is passed on. A record that is still to be passed on counts as well
    /// for as long as it is not, so at the end this is too much by one record at most.
    fn count(&mut self, passed_bytes: usize) {
        self.passed_bytes += passed_bytes as u64;
        let read_bytes = self.stream.get_ref().0.read_bytes();
        let beside = read_bytes.saturating_sub(self.passed_bytes);
        self.overhead.add(beside.saturating_sub(self.counted_bytes) as usize);
        self.counted_bytes = self.counted_bytes.max(beside);
    }
}

impl AsyncRead for SecuredStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer).map_err(named);
        self.count(buffer.filled().len() - before);
        result
    }
}

impl AsyncWrite for SecuredStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes).map_err(named)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices).map_err(named)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx).map_err(named)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx).map_err(named)
    }
}
