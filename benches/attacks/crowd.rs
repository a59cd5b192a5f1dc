//! Sources of connections on loopback.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use futures::FutureExt as _;
use futures::future::{self, BoxFuture};
use spacetime_network::transport::{Connected, Listener, Outgoing, Transport};
use spacetime_network::{Address, Endpoint};
use tokio::net::{TcpSocket, TcpStream};

/// Connects from this address, as another host would.
pub(crate) async fn connect(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    // So that places are not used up that wait for stragglers.
    socket.set_reuseaddr(true)?;
    socket.bind((from, 0).into())?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// TCP from one address.
pub(crate) struct From(pub(crate) Ipv4Addr);

impl Transport for From {
    fn supports(&self, endpoint: &Endpoint) -> bool {
        matches!(endpoint, Endpoint::Socket(_))
    }

    fn dial(&self, address: &Address) -> BoxFuture<'static, io::Result<Outgoing>> {
        let (from, to) = (self.0, address.socket_addr());
        async move {
            let to = to.ok_or(io::ErrorKind::Unsupported)?;
            Ok(Outgoing::finished(Connected::unproven(connect(from, to).await?)))
        }
        .boxed()
    }

    fn listen(&self, _: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        future::ready(Err(io::ErrorKind::Unsupported.into())).boxed()
    }
}
