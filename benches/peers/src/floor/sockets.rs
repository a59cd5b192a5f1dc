//! Connections over loopback, secured or not.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use spacetime_comparisons::Security;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsStream;

use crate::tls::Ends;

/// One end of a connection.
pub(crate) enum Socket {
    Plain(TcpStream),
    Secured(Box<TlsStream<TcpStream>>),
}

/// A listener, and what it takes to secure connections with it.
pub(crate) struct Sockets {
    listener: TcpListener,
    ends: Option<Ends>,
}

fn no_delay(stream: TcpStream) -> TcpStream {
    stream.set_nodelay(true).expect("an option that every system has");
    stream
}

impl Sockets {
    pub(crate) async fn listen(security: Security) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
        Self { listener, ends: (security == Security::Secured).then(Ends::new) }
    }

    pub(crate) async fn dial(&self) -> Socket {
        let address = self.listener.local_addr().expect("a bound listener");
        let stream = no_delay(TcpStream::connect(address).await.expect("it listens"));
        match &self.ends {
            Some(ends) => Socket::Secured(Box::new(ends.connect(stream).await)),
            None => Socket::Plain(stream),
        }
    }

    /// The next that was dialled, which is secured apart.
    pub(crate) async fn accept_stream(&self) -> TcpStream {
        no_delay(self.listener.accept().await.expect("it was dialled").0)
    }

    pub(crate) async fn secure(&self, stream: TcpStream) -> Socket {
        match &self.ends {
            Some(ends) => Socket::Secured(Box::new(ends.accept(stream).await)),
            None => Socket::Plain(stream),
        }
    }

    /// Both ends of a connection.
    pub(crate) async fn pair(&self) -> (Socket, Socket) {
        tokio::join!(self.dial(), async { self.secure(self.accept_stream().await).await })
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Secured(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Secured(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Secured(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Secured(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
