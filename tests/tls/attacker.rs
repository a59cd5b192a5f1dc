//! Somebody who speaks TLS, and chooses what to say.

use std::sync::Arc;

use rcgen::{
    CertificateParams, CertifiedIssuer, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ED25519, SignatureAlgorithm,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName as Subject, Error, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};
use spacetime_network::transport::tls::{NodeKey, TlsVersion};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

pub(crate) const PROTOCOL: &[u8] = b"spacetime/1";

/// What it says about itself. By default all of it is right.
pub(crate) struct Attacker {
    pub(crate) version: TlsVersion,
    pub(crate) protocols: Vec<Vec<u8>>,
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) key: KeyPair,
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "tls-aws-lc-rs")]
    return Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    #[cfg(not(feature = "tls-aws-lc-rs"))]
    return Arc::new(rustls::crypto::ring::default_provider());
}

pub(crate) fn ed25519() -> KeyPair {
    KeyPair::generate_for(&PKCS_ED25519).unwrap()
}

pub(crate) fn p256() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

/// The pair that belongs to a node's key.
pub(crate) fn pair_of(key: &NodeKey) -> KeyPair {
    let algorithm: &'static SignatureAlgorithm = &PKCS_ED25519;
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(key.to_pkcs8()), algorithm).unwrap()
}

pub(crate) fn parameters() -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "anybody");
    parameters
}

/// Somebody who issues certificates.
pub(crate) fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = parameters();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(DnType::CommonName, "authority");
    CertifiedIssuer::self_signed(parameters, p256()).unwrap()
}

impl Attacker {
    pub(crate) fn new(version: TlsVersion) -> Self {
        Self::with_key(version, ed25519())
    }

    pub(crate) fn with_key(version: TlsVersion, key: KeyPair) -> Self {
        let certificate = parameters().self_signed(&key).unwrap().der().clone();
        Self { version, protocols: vec![PROTOCOL.to_vec()], certificates: vec![certificate], key }
    }

    /// With another certificate for its key, which it signs itself.
    pub(crate) fn with_certificate(mut self, parameters: &CertificateParams) -> Self {
        self.certificates = vec![parameters.self_signed(&self.key).unwrap().der().clone()];
        self
    }

    fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        const ONLY_1_2: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
        const ONLY_1_3: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
        if self.version == TlsVersion::V1_2 { ONLY_1_2 } else { ONLY_1_3 }
    }

    fn certified_key(&self) -> SingleCertAndKey {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let key = provider().key_provider.load_private_key(key).unwrap();
        CertifiedKey::new(self.certificates.clone(), key).into()
    }

    pub(crate) fn client_config(&self) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(self.versions())
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Gullible));
        let mut config = if self.certificates.is_empty() {
            builder.with_no_client_auth()
        } else {
            builder.with_client_cert_resolver(Arc::new(self.certified_key()))
        };
        config.alpn_protocols = self.protocols.clone();
        config
    }

    /// Connects, and says who it is.
    pub(crate) async fn dial(&self, address: &str) -> std::io::Result<TlsStream<TcpStream>> {
        self.secure(TcpStream::connect(address).await?).await
    }

    /// The same on a connection that stands.
    pub(crate) async fn secure(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::new(self.client_config()));
        let name = ServerName::try_from("attacked").unwrap();
        Ok(connector.connect(name, stream).await?.into())
    }

    pub(crate) fn server_config(&self) -> ServerConfig {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(self.versions())
            .unwrap()
            .with_client_cert_verifier(Arc::new(Gullible))
            .with_cert_resolver(Arc::new(self.certified_key()));
        config.alpn_protocols = self.protocols.clone();
        config
    }

    /// Takes one connection, and says who it is.
    pub(crate) async fn accept(&self, listener: &TcpListener) -> std::io::Result<TlsStream<TcpStream>> {
        let (stream, _) = listener.accept().await?;
        Ok(TlsAcceptor::from(Arc::new(self.server_config())).accept(stream).await?.into())
    }
}

/// Believes everything.
#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

impl ClientCertVerifier for Gullible {
    fn root_hint_subjects(&self) -> &[Subject] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
