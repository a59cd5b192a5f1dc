//! TLS 1.3 with keys of Ed25519 on both ends, without resumption: what ours does, and no more.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CipherSuite, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// Checks that the peer holds its key, and nothing about the certificate.
#[derive(Debug)]
struct AnyKey(Arc<CryptoProvider>);

macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.0.signature_verification_algorithms;
            verify_tls12_signature(message, certificate, signature, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.0.signature_verification_algorithms;
            verify_tls13_signature(message, certificate, signature, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }
    };
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

    signatures!();
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

    signatures!();
}

/// What both ends of a connection are configured with.
pub(crate) struct Ends {
    connector: TlsConnector,
    acceptor: TlsAcceptor,
}

impl Ends {
    pub(crate) fn new() -> Self {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        // AES-128 first, as ours.
        provider.cipher_suites.sort_by_key(|it| it.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
        let provider = Arc::new(provider);
        let verifier = Arc::new(AnyKey(Arc::clone(&provider)));
        let own = || {
            let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
            let certificate = CertificateParams::default().self_signed(&key).expect("a certificate");
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
            (vec![certificate.der().clone()], key)
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
        Self { connector: Arc::new(client).into(), acceptor: Arc::new(server).into() }
    }

    pub(crate) async fn connect(&self, stream: TcpStream) -> TlsStream<TcpStream> {
        let name = ServerName::try_from("anybody").expect("a name");
        self.connector.connect(name, stream).await.expect("it is secured").into()
    }

    pub(crate) async fn accept(&self, stream: TcpStream) -> TlsStream<TcpStream> {
        self.acceptor.accept(stream).await.expect("it is secured").into()
    }
}
