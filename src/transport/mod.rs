//! How bytes get from one node to another: memory, TCP, TLS over either, and what you add.
//!
//! A transport turns an [`Address`] into an ordered stream of bytes, in both directions, and may
//! prove who is on the other end. All of them pass one conformance suite
//! (`tests/transports.rs`), which a new one joins with a few lines.

mod memory;
mod tcp;
#[cfg(feature = "__tls")]
pub mod tls;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt as _;
use futures::future::{self, BoxFuture};
use spacetime_core::{Address, Endpoint, PeerId};
use tokio::io::{AsyncRead, AsyncWrite};

pub use memory::{MemoryNetwork, MemoryTransport};
pub use tcp::TcpTransport;
#[cfg(feature = "__tls")]
pub use tls::{TlsConfig, TlsMode, TlsTransport};

/// Dials and listens on one kind of address.
pub trait Transport: Send + Sync + 'static {
    /// Whether it understands this kind of address.
    fn supports(&self, endpoint: &Endpoint) -> bool;

    /// Connects to an address. Dropping the future gives the attempt up.
    fn dial(&self, address: &Address) -> BoxFuture<'static, io::Result<Outgoing>>;

    /// Starts to listen on an address.
    fn listen(&self, address: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>>;
}

impl<T: Transport + ?Sized> Transport for Box<T> {
    fn supports(&self, endpoint: &Endpoint) -> bool {
        (**self).supports(endpoint)
    }

    fn dial(&self, address: &Address) -> BoxFuture<'static, io::Result<Outgoing>> {
        (**self).dial(address)
    }

    fn listen(&self, address: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        (**self).listen(address)
    }
}

/// Takes connections on one address, until it is dropped.
pub trait Listener: Send {
    /// Where it listens; if a port was left to the system, the one it chose.
    fn local_address(&self) -> Address;

    /// The next connection. Dropping the future loses no connection.
    ///
    /// An error is about one connection, or about a shortage; calling again is right. The Swarm does
    /// so at once if the kind is `ConnectionAborted`, `ConnectionRefused`, `ConnectionReset`,
    /// `HostUnreachable`, `Interrupted`, `NetworkUnreachable` or `TimedOut`, and for all others after
    /// 100 ms.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Incoming>>;
}

/// A peer that connected. Nothing was read from it and nothing was computed for it yet.
pub struct Incoming {
    /// Where it comes from.
    pub remote: Address,
    /// Finishes the connection: what costs cryptography happens here, after admission.
    pub upgrade: BoxFuture<'static, io::Result<Connected>>,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("remote", &self.remote).finish_non_exhaustive()
    }
}

/// Somebody who was reached. Nothing was said to it yet.
pub struct Outgoing {
    /// Finishes the connection. The peer has less time for this than it had to be reached.
    pub upgrade: BoxFuture<'static, io::Result<Connected>>,
}

impl Outgoing {
    /// A connection with which there is nothing more to do.
    pub fn finished(connected: Connected) -> Self {
        Self { upgrade: future::ready(Ok(connected)).boxed() }
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").finish_non_exhaustive()
    }
}

/// A connection that stands.
pub struct Connected {
    /// The bytes.
    pub stream: Box<dyn Stream>,
    /// Who is on the other end, if the transport has proven it.
    pub peer_id: Option<PeerId>,
    /// What the transport reads beside what it passes on, if that is anything to speak of.
    pub overhead: Option<Overhead>,
}

impl Connected {
    /// A connection whose other end is unproven.
    pub fn unproven(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), peer_id: None, overhead: None }
    }
}

/// Counts the bytes that a transport reads of a connection beside those that it passes on: the driver
/// charges them to the limits of bandwidth.
///
/// # Security
///
/// TLS adds 22 bytes to each record, and a record may hold one byte. Uncounted, a peer could send 23 times
/// as much as it may.
#[derive(Clone, Debug, Default)]
pub struct Overhead(Arc<AtomicUsize>);

impl Overhead {
    /// Nothing so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// The transport has read so many bytes more.
    pub fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What was read since this was asked the last time.
    pub fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected").field("peer_id", &self.peer_id).finish_non_exhaustive()
    }
}

/// An ordered stream of bytes in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}
