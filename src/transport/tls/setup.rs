//! What all connections of a transport have in common.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{CipherSuite, ClientConfig, ServerConfig, SupportedProtocolVersion};
use spacetime_core::{PeerId, SecurityError};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::NodeKey;
use super::config::{InvalidTlsConfig, TlsConfig, TlsVersion};
use super::opening_stream::OpeningStream;
use super::refusal::{named, refused};
use super::secured_stream::SecuredStream;
use super::verifier::{MAX_CERTIFICATE_BYTES, Trust, Verifier, peer_id};
use crate::transport::{Connected, Overhead};

/// What is spoken inside of TLS, as ALPN (RFC 7301) names it.
const PROTOCOL: &[u8] = b"spacetime/1";

/// rustls wants a name for every server. Peers are known by their keys, and this one is neither sent
/// nor compared.
const NO_NAME: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The provider is always named: the default of the process panics where two are linked.
fn provider() -> CryptoProvider {
    #[cfg(feature = "tls-aws-lc-rs")]
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "tls-aws-lc-rs"))]
    let mut provider = rustls::crypto::ring::default_provider();
    // The others stay behind it, in their order.
    provider.cipher_suites.sort_by_key(|it| !is_preferred(it.suite()));
    provider
}

/// AES-128 is as strong as the X25519 and Ed25519 that stand beside it. It takes a tenth less per byte
/// than AES-256, and its SHA-256 is in the instructions of today's processors where SHA-384 is not:
/// an eighth of a handshake.
const fn is_preferred(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256 | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
    )
}

pub(super) struct Setup {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    trust: Arc<Trust>,
}

impl Setup {
    pub(super) fn new(config: &TlsConfig) -> Result<Self, InvalidTlsConfig> {
        config.validate()?;
        let own = |_| InvalidTlsConfig::Certificates;
        let certificates = match config.certificates.as_slice() {
            [] => vec![self_signed(&config.key).map_err(|_| InvalidTlsConfig::Certificates)?],
            certificates => certificates.iter().map(|it| CertificateDer::from(it.clone())).collect(),
        };
        let are_taken = certificates.iter().all(|it| it.len() <= MAX_CERTIFICATE_BYTES);
        match certificates.first().map(peer_id) {
            // What peers would refuse is no certificate to start with.
            Some(Ok(peer_id)) if peer_id == config.key.peer_id() && are_taken => {}
            _ => return Err(InvalidTlsConfig::Certificates),
        }
        let key = || PrivateKeyDer::from(PrivatePkcs8KeyDer::from(config.key.to_pkcs8()));
        let versions = versions(config);
        let provider = Arc::new(provider());
        let trust = Arc::new(Trust::new(config, &provider)?);
        let verifier = Arc::new(Verifier { trust: Arc::clone(&trust), expected: None });

        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(|_| InvalidTlsConfig::Versions)?
            .with_client_cert_verifier(Arc::clone(&verifier) as _)
            .with_single_cert(certificates.clone(), key())
            .map_err(own)?;
        server.alpn_protocols = vec![PROTOCOL.to_vec()];
        // Who is there is proven each time anew.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.max_early_data_size = 0;
        server.require_ems = true;

        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|_| InvalidTlsConfig::Versions)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(certificates, key())
            .map_err(own)?;
        client.alpn_protocols = vec![PROTOCOL.to_vec()];
        client.resumption = Resumption::disabled();
        client.enable_sni = false;
        client.enable_early_data = false;
        client.require_ems = true;
        Ok(Self { server: Arc::new(server), client: Arc::new(client), trust })
    }

    /// Secures a connection that a peer opened.
    pub(super) async fn accept(&self, stream: OpeningStream) -> std::io::Result<Connected> {
        let stream = TlsAcceptor::from(Arc::clone(&self.server)).accept(stream).await;
        secured(stream.map_err(named)?.into())
    }

    /// Secures a connection that this node opened, and refuses all but the expected peer.
    pub(super) async fn connect(
        &self,
        stream: OpeningStream,
        expected: Option<PeerId>,
    ) -> std::io::Result<Connected> {
        let mut client = Arc::clone(&self.client);
        if expected.is_some() {
            let verifier = Verifier { trust: Arc::clone(&self.trust), expected };
            Arc::make_mut(&mut client).dangerous().set_certificate_verifier(Arc::new(verifier));
        }
        let stream = TlsConnector::from(client).connect(NO_NAME.into(), stream).await;
        secured(stream.map_err(named)?.into())
    }
}

fn versions(config: &TlsConfig) -> Vec<&'static SupportedProtocolVersion> {
    let all = [(TlsVersion::V1_2, &rustls::version::TLS12), (TlsVersion::V1_3, &rustls::version::TLS13)];
    let is_wanted = |version| (config.min_version..=config.max_version).contains(&version);
    all.into_iter().filter(|(version, _)| is_wanted(*version)).map(|(_, it)| it).collect()
}

/// The certificate that a node makes for itself. It says nothing but the key: not when it was made,
/// so it is the same after each start, and no clock can be wrong about it.
fn self_signed(key: &NodeKey) -> Result<CertificateDer<'static>, rcgen::Error> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "spacetime");
    Ok(parameters.self_signed(&key.key_pair()?)?.der().clone())
}

/// Who is on the other end of a handshake that has succeeded.
fn secured(mut stream: TlsStream<OpeningStream>) -> std::io::Result<Connected> {
    let (opening, session) = stream.get_mut();
    opening.set_opened();
    // Whoever offers no protocol at all gets this far.
    if session.alpn_protocol() != Some(PROTOCOL) {
        return Err(refused(SecurityError::WrongProtocol));
    }
    let certificate = session.peer_certificates().and_then(|chain| chain.first());
    let certificate = certificate.ok_or_else(|| refused(SecurityError::NoCertificate))?;
    let peer_id = Some(peer_id(certificate).map_err(refused)?);
    let overhead = Overhead::new();
    let stream = Box::new(SecuredStream::new(stream, overhead.clone()));
    Ok(Connected { stream, peer_id, overhead: Some(overhead) })
}
