//! tokio-rustls and nothing else: the floor.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::MESSAGE_BYTES;

/// Both ends have it.
const NAME: &str = "anybody";

fn provider() -> CryptoProvider {
    #[cfg(feature = "tls-aws-lc-rs")]
    return rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "tls-aws-lc-rs"))]
    return rustls::crypto::ring::default_provider();
}

/// A key, its certificate, and who believes in it.
struct End {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    roots: Arc<RootCertStore>,
}

fn end() -> End {
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let parameters = CertificateParams::new([NAME.to_owned()]).expect("a name");
    let certificate = parameters.self_signed(&key).expect("a certificate").der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a certificate that can be read");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    End { certificate, key, roots: Arc::new(roots) }
}

/// Both ends: mutual, without resumption, as ours. Each believes the certificate of the other one, and
/// that is checked as rustls does it: that it is signed, and for which time.
fn ends() -> (TlsConnector, TlsAcceptor) {
    let provider = Arc::new(provider());
    let (near, far) = (end(), end());
    let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("a version")
        .with_root_certificates(Arc::clone(&far.roots))
        .with_client_auth_cert(vec![near.certificate], near.key)
        .expect("a key that fits");
    client.resumption = Resumption::disabled();
    let verifier = WebPkiClientVerifier::builder_with_provider(near.roots, Arc::clone(&provider));
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("a version")
        .with_client_cert_verifier(verifier.build().expect("a root"))
        .with_single_cert(vec![far.certificate], far.key)
        .expect("a key that fits");
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    (TlsConnector::from(Arc::new(client)), TlsAcceptor::from(Arc::new(server)))
}

async fn dial(connector: &TlsConnector, to: &TcpListener) -> tokio_rustls::client::TlsStream<TcpStream> {
    let stream = TcpStream::connect(to.local_addr().expect("a bound listener")).await.expect("it listens");
    stream.set_nodelay(true).expect("an option that every system has");
    let name = ServerName::try_from(NAME).expect("a name");
    connector.connect(name, stream).await.expect("it is secured")
}

async fn accept(
    acceptor: &TlsAcceptor,
    listener: &TcpListener,
) -> tokio_rustls::server::TlsStream<TcpStream> {
    let (stream, _) = listener.accept().await.expect("it was dialled");
    stream.set_nodelay(true).expect("an option that every system has");
    acceptor.accept(stream).await.expect("it is secured")
}

pub(crate) async fn handshakes(count: usize) {
    let (connector, acceptor) = ends();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
    for _ in 0..count {
        let (mut dialled, mut accepted) =
            tokio::join!(dial(&connector, &listener), accept(&acceptor, &listener));
        // Both say a little, as a Handshake is, and close.
        dialled.write_all(&[7; 200]).await.expect("the other end reads");
        let mut heard = [0; 200];
        accepted.read_exact(&mut heard).await.expect("the other end writes");
        accepted.write_all(&[7; 200]).await.expect("the other end reads");
        dialled.read_exact(&mut heard).await.expect("the other end writes");
        dialled.shutdown().await.expect("the other end listens");
    }
}

pub(crate) async fn bulk(count: usize) {
    let (connector, acceptor) = ends();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
    let (mut dialled, mut accepted) = tokio::join!(dial(&connector, &listener), accept(&acceptor, &listener));
    let sender = tokio::spawn(async move {
        let message = vec![7; MESSAGE_BYTES];
        for _ in 0..count {
            dialled.write_all(&message).await.expect("the other end reads");
        }
        dialled.shutdown().await.expect("the other end listens");
    });
    let mut message = vec![0; MESSAGE_BYTES];
    for _ in 0..count {
        accepted.read_exact(&mut message).await.expect("the other end writes");
    }
    sender.await.expect("the sender ends");
}
