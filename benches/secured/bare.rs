//! tokio-rustls and nothing else: the floor.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::MESSAGE_BYTES;

/// Checks that the peer holds its key, and nothing about the certificate.
#[derive(Debug)]
struct AnyKey(Arc<CryptoProvider>);

impl AnyKey {
    fn tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for AnyKey {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

fn provider() -> CryptoProvider {
    #[cfg(feature = "tls-aws-lc-rs")]
    return rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "tls-aws-lc-rs"))]
    return rustls::crypto::ring::default_provider();
}

/// Both ends: mutual, without resumption, as ours.
fn ends() -> (TlsConnector, TlsAcceptor) {
    let provider = Arc::new(provider());
    let verifier = Arc::new(AnyKey(Arc::clone(&provider)));
    let own = || {
        let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
        let certificate = CertificateParams::default().self_signed(&key).expect("a certificate");
        (vec![certificate.der().clone()], PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())))
    };
    let (certificates, key) = own();
    let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("a version")
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&verifier) as _)
        .with_client_auth_cert(certificates, key)
        .expect("a key that fits");
    client.resumption = Resumption::disabled();
    let (certificates, key) = own();
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("a version")
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates, key)
        .expect("a key that fits");
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    (TlsConnector::from(Arc::new(client)), TlsAcceptor::from(Arc::new(server)))
}

async fn dial(connector: &TlsConnector, to: &TcpListener) -> tokio_rustls::client::TlsStream<TcpStream> {
    let stream = TcpStream::connect(to.local_addr().expect("a bound listener")).await.expect("it listens");
    stream.set_nodelay(true).expect("an option that every system has");
    let name = ServerName::try_from("anybody").expect("a name");
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
