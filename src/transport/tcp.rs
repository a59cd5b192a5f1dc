//! Plain TCP.

use std::io;
use std::net::SocketAddr;

use futures::FutureExt as _;
use futures::future::{self, BoxFuture};
#[cfg(target_os = "linux")]
use socket2::SockRef;
use spacetime_core::{Address, Endpoint};
use tokio::net::{TcpListener, TcpStream, lookup_host};

use super::{Connected, Incoming, Listener, Outgoing, Transport};

/// A name may stand for many addresses; this many are tried.
const MAX_RESOLVED_ADDRESSES: usize = 8;

/// What the kernel may hold of a connection that it could not send yet. What is urgent overtakes what
/// waits in the Swarm, but not what waits in the kernel, which takes 4 MiB by default on Linux: four
/// seconds of a line of 1 MiB/s.
#[cfg(target_os = "linux")]
const MAX_UNSENT_BYTES: u32 = 128 * 1024;

/// TCP without encryption: addresses are `ip:port` and `name:port`.
///
/// Small frames are not held back to be sent together (`TCP_NODELAY`): the Swarm does that. On Linux
/// the kernel takes no more than 128 KiB ahead of what it sends (`TCP_NOTSENT_LOWAT`).
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpTransport;

impl TcpTransport {
    /// The transport.
    pub const fn new() -> Self {
        Self
    }
}

impl Transport for TcpTransport {
    fn supports(&self, endpoint: &Endpoint) -> bool {
        matches!(endpoint, Endpoint::Socket(_) | Endpoint::Name(..))
    }

    fn dial(&self, address: &Address) -> BoxFuture<'static, io::Result<Outgoing>> {
        let endpoint = address.endpoint().clone();
        async move {
            let mut last_error = None;
            for address in resolve(&endpoint).await? {
                match TcpStream::connect(address).await {
                    Ok(stream) => {
                        prepare(&stream)?;
                        return Ok(Outgoing::finished(Connected::unproven(stream)));
                    }
                    Err(error) => last_error = Some(error),
                }
            }
            Err(last_error.unwrap_or_else(|| io::Error::other("the name has no address")))
        }
        .boxed()
    }

    fn listen(&self, address: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let endpoint = address.endpoint().clone();
        async move {
            let addresses = resolve(&endpoint).await?;
            let listener = TcpListener::bind(&addresses[..]).await?;
            let local_address = Address::socket(listener.local_addr()?);
            Ok(Box::new(Tcp { listener, local_address }) as Box<dyn Listener>)
        }
        .boxed()
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(stream).set_tcp_notsent_lowat(MAX_UNSENT_BYTES) {
        // Without it all works, but what is urgent comes later.
        tracing::debug!(%error, "TCP_NOTSENT_LOWAT cannot be set");
    }
    Ok(())
}

async fn resolve(endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    match endpoint {
        Endpoint::Socket(address) => Ok(vec![*address]),
        Endpoint::Name(host, port) => {
            let addresses = lookup_host((&**host, *port)).await?;
            Ok(addresses.take(MAX_RESOLVED_ADDRESSES).collect())
        }
        _ => Err(io::Error::new(io::ErrorKind::Unsupported, "not a TCP address")),
    }
}

struct Tcp {
    listener: TcpListener,
    local_address: Address,
}

impl Listener for Tcp {
    fn local_address(&self) -> Address {
        self.local_address.clone()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Incoming>> {
        async {
            let (stream, remote) = self.listener.accept().await?;
            // It fails where the peer is gone already, which says nothing about the next one.
            let connected = prepare(&stream).map(|()| Connected::unproven(stream));
            let upgrade = future::ready(connected).boxed();
            Ok(Incoming { remote: Address::socket(remote), upgrade })
        }
        .boxed()
    }
}
