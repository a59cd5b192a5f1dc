//! Each connection proves anew who is there.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, HandshakeKind};
use spacetime_network::SecurityError;
use spacetime_network::transport::Transport as _;
use spacetime_network::transport::tls::TlsVersion;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::attacker::Attacker;
use crate::records::sending;
use crate::{VERSIONS, accept, listen, speaks, transport};

#[tokio::test]
async fn a_peer_that_wants_to_resume_its_session_proves_itself_each_time() {
    for version in VERSIONS {
        let mut listener = listen(&speaks(version)).await;
        let address = listener.local_address().to_string();
        // It remembers sessions, and takes tickets.
        let connector = TlsConnector::from(Arc::new(Attacker::new(version).client_config()));
        for _ in 0..3 {
            let comes = async {
                let stream = TcpStream::connect(&address).await.unwrap();
                let name = ServerName::try_from("attacked").unwrap();
                let mut stream = connector.connect(name, stream).await.unwrap();
                // Tickets come behind the handshake.
                let _ = stream.read(&mut [0]).await;
                stream.get_ref().1.handshake_kind()
            };
            let taken = async {
                let accepted = accept(&mut *listener).await.unwrap();
                assert!(accepted.peer_id.is_some());
            };
            let (kind, ()) = tokio::join!(comes, taken);
            assert_eq!(kind, Some(HandshakeKind::Full), "{version:?}");
        }
    }
}

#[tokio::test]
async fn this_node_wants_to_resume_nothing() {
    for version in VERSIONS {
        let mut config = Attacker::new(version).server_config();
        config.send_tls13_tickets = 4;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().into();
        let near = transport(&speaks(version));
        for _ in 0..3 {
            let takes = async {
                let (stream, _) = listener.accept().await.unwrap();
                let mut stream = acceptor.accept(stream).await.unwrap();
                stream.write_all(b"tickets").await.unwrap();
                stream.flush().await.unwrap();
                stream.get_ref().1.handshake_kind()
            };
            let comes = async {
                let mut dialled = near.dial(&address).await.unwrap().upgrade.await.unwrap();
                dialled.stream.read_exact(&mut [0; 7]).await.unwrap();
            };
            let (kind, ()) = tokio::join!(takes, comes);
            assert_eq!(kind, Some(HandshakeKind::Full), "{version:?}");
        }
    }
}

/// What a dialer says first.
fn client_hello(version: TlsVersion) -> Vec<u8> {
    let config = Arc::new(Attacker::new(version).client_config());
    let mut connection = ClientConnection::new(config, ServerName::try_from("attacked").unwrap()).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    hello
}

/// The same without one of its extensions, which is empty.
fn without_extension(hello: &[u8], extension: [u8; 2]) -> Vec<u8> {
    let extension = [&extension[..], &[0, 0]].concat();
    let at = hello.windows(4).position(|it| it == extension).expect("it is offered");
    let mut hello = [&hello[..at], &hello[at + 4..]].concat();
    // The lengths of the record, of the message (of which the first byte is 0) and of all extensions,
    // which stands behind the session id, the ciphers and the methods of compression.
    let ciphers_at = 44 + usize::from(hello[43]);
    let methods_at =
        ciphers_at + 2 + usize::from(u16::from_be_bytes([hello[ciphers_at], hello[ciphers_at + 1]]));
    let extensions_at = methods_at + 1 + usize::from(hello[methods_at]);
    for at in [3, 7, extensions_at] {
        let length = u16::from_be_bytes([hello[at], hello[at + 1]]) - 4;
        hello[at..at + 2].copy_from_slice(&length.to_be_bytes());
    }
    hello
}

#[tokio::test]
async fn tls_1_2_without_extended_master_secret_is_refused() {
    let hello = client_hello(TlsVersion::V1_2);
    let [whole, _] = &sending(&hello).await[..] else { panic!("one reason for each version") };
    assert_eq!(*whole, SecurityError::Truncated, "it is fine as far as it goes");
    let weak = without_extension(&hello, [0, 0x17]);
    let [refused, _] = &sending(&weak).await[..] else { panic!("one reason for each version") };
    assert_eq!(*refused, SecurityError::Incompatible);
}
