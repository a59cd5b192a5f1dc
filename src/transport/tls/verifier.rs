//! Who is on the other end, and whether to believe it.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use spacetime_core::{Hash, PeerId, SecurityError};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, anchor_from_trusted_cert};

use super::config::{InvalidTlsConfig, MAX_ISSUERS, TlsConfig};
use super::signed_certificate::SignedCertificate;

/// What stands before the 32 bytes of the key in the SubjectPublicKeyInfo of an Ed25519 key (RFC
/// 8410).
const ED25519_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The longest certificate, in bytes. Ours have 200, and what `openssl` makes has 600.
pub(super) const MAX_CERTIFICATE_BYTES: usize = 4096;

/// Whom a node believes to be whom.
#[derive(Debug)]
pub(super) struct Trust {
    authorities: Vec<TrustAnchor<'static>>,
    pinned_keys: BTreeSet<Hash>,
    allowed_peers: Option<BTreeSet<PeerId>>,
    /// For the signatures of authorities.
    all_algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
    /// For those of peers.
    ed25519: WebPkiSupportedAlgorithms,
}

/// A peer is known by its key; its certificate may say of its use what it wants.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

impl Trust {
    pub(super) fn new(config: &TlsConfig, provider: &CryptoProvider) -> Result<Self, InvalidTlsConfig> {
        let mut authorities = Vec::new();
        for der in &config.authorities {
            let der = CertificateDer::from(der.as_slice());
            let anchor = anchor_from_trusted_cert(&der).map_err(|_| InvalidTlsConfig::Authorities)?;
            authorities.push(anchor.to_owned());
        }
        let algorithms = provider.signature_verification_algorithms;
        // Never missing: both providers have it.
        let ed25519 = algorithms.mapping.iter().find(|(scheme, _)| *scheme == SignatureScheme::ED25519);
        let (all, mapping) = ed25519.map_or((&[][..], &[][..]), |it| (it.1, std::slice::from_ref(it)));
        Ok(Self {
            authorities,
            pinned_keys: config.pinned_keys.clone(),
            allowed_peers: config.allowed_peers.clone(),
            all_algorithms: algorithms.all,
            ed25519: WebPkiSupportedAlgorithms { all, mapping },
        })
    }

    /// Whether a peer with these certificates may be who it is.
    ///
    /// # Security
    ///
    /// An attacker chooses every byte of them, and has it read before it has proven anything: they
    /// are few and short, and nothing is looked up. That the peer holds the key, its signature of
    /// the handshake shows.
    fn check(
        &self,
        expected: Option<PeerId>,
        certificate: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), SecurityError> {
        let is_too_long = |it: &CertificateDer<'_>| it.len() > MAX_CERTIFICATE_BYTES;
        if issuers.len() > MAX_ISSUERS || is_too_long(certificate) || issuers.iter().any(is_too_long) {
            return Err(SecurityError::MalformedCertificate);
        }
        let peer_id = peer_id(certificate)?;
        let keys = match self.authorities.as_slice() {
            [] => self.check_self_signed(certificate, now)?,
            authorities => self.check_issued(certificate, issuers, authorities, now)?,
        };
        if !self.pinned_keys.is_empty() && keys.is_disjoint(&self.pinned_keys) {
            return Err(SecurityError::NotPinned);
        }
        if expected.is_some_and(|expected| expected != peer_id) {
            return Err(SecurityError::WrongPeer);
        }
        if self.allowed_peers.as_ref().is_some_and(|allowed| !allowed.contains(&peer_id)) {
            return Err(SecurityError::NotAllowed);
        }
        Ok(())
    }

    /// The hash of the only key there is.
    fn check_self_signed(
        &self,
        certificate: &CertificateDer<'_>,
        now: UnixTime,
    ) -> Result<BTreeSet<Hash>, SecurityError> {
        let malformed = |_| SecurityError::MalformedCertificate;
        let anchor = anchor_from_trusted_cert(certificate).map_err(malformed)?;
        let parsed = EndEntityCert::try_from(certificate).map_err(malformed)?;
        match parsed.verify_for_usage(self.ed25519.all, &[anchor], &[], now, AnyUsage, None, None) {
            Ok(_) => {}
            // As `openssl req -x509` makes them. The dates were looked at before this was found, the
            // signature was not.
            Err(webpki::Error::CaUsedAsEndEntity) => self.check_own_signature(certificate, &parsed)?,
            Err(error) => return Err(refusal(&error)),
        }
        Ok([Hash::of(parsed.subject_public_key_info().as_ref())].into())
    }

    /// Whether a certificate is signed with its own key.
    fn check_own_signature(
        &self,
        certificate: &CertificateDer<'_>,
        parsed: &EndEntityCert<'_>,
    ) -> Result<(), SecurityError> {
        let parts = SignedCertificate::parse(certificate).ok_or(SecurityError::MalformedCertificate)?;
        let is_own = |algorithm: &&dyn SignatureVerificationAlgorithm| {
            parsed.verify_signature(*algorithm, parts.signed, parts.signature).is_ok()
        };
        if self.ed25519.all.iter().any(is_own) { Ok(()) } else { Err(SecurityError::UntrustedIssuer) }
    }

    /// The hashes of all keys from the peer's up to the authority's.
    fn check_issued(
        &self,
        certificate: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        authorities: &[TrustAnchor<'_>],
        now: UnixTime,
    ) -> Result<BTreeSet<Hash>, SecurityError> {
        let parsed = EndEntityCert::try_from(certificate).map_err(|_| SecurityError::MalformedCertificate)?;
        let path = parsed
            .verify_for_usage(self.all_algorithms, authorities, issuers, now, AnyUsage, None, None)
            .map_err(|error| refusal(&error))?;
        let issuers = path.intermediate_certificates().map(|it| it.subject_public_key_info());
        let authority = webpki::spki_for_anchor(path.anchor());
        let keys = issuers.chain([parsed.subject_public_key_info(), authority]);
        Ok(keys.map(|it| Hash::of(it.as_ref())).collect())
    }
}

fn refusal(error: &webpki::Error) -> SecurityError {
    use webpki::Error as E;
    match error {
        E::CertExpired { .. } => SecurityError::Expired,
        E::CertNotValidYet { .. } => SecurityError::NotYetValid,
        E::UnknownIssuer | E::InvalidSignatureForPublicKey | E::CaUsedAsEndEntity => {
            SecurityError::UntrustedIssuer
        }
        E::UnsupportedSignatureAlgorithmContext(_)
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => SecurityError::UntrustedIssuer,
        _ => SecurityError::MalformedCertificate,
    }
}

/// Whose certificate it is.
pub(super) fn peer_id(certificate: &CertificateDer<'_>) -> Result<PeerId, SecurityError> {
    let parsed = ParsedCertificate::try_from(certificate).map_err(|_| SecurityError::MalformedCertificate)?;
    let key = parsed.subject_public_key_info();
    let key = key.strip_prefix(&ED25519_PREFIX).and_then(|key| key.try_into().ok());
    key.map(PeerId::of_public_key).ok_or(SecurityError::WrongKeyType)
}

/// Asks [`Trust`] about one peer, or about all.
#[derive(Clone, Debug)]
pub(super) struct Verifier {
    pub(super) trust: Arc<Trust>,
    /// Who must answer where this node dials.
    pub(super) expected: Option<PeerId>,
}

impl Verifier {
    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        self.trust.check(self.expected, certificate, issuers, now).map_err(|error| {
            // Those that TLS has alerts for, so that the peer hears them.
            Error::InvalidCertificate(match error {
                SecurityError::Expired => CertificateError::Expired,
                SecurityError::NotYetValid => CertificateError::NotValidYet,
                SecurityError::UntrustedIssuer => CertificateError::UnknownIssuer,
                SecurityError::MalformedCertificate => CertificateError::BadEncoding,
                SecurityError::NotAllowed => CertificateError::ApplicationVerificationFailure,
                error => CertificateError::Other(OtherError(Arc::new(error))),
            })
        })
    }

    fn verify_tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.trust.ed25519)
    }

    fn verify_tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.trust.ed25519)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(certificate, issuers, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.ed25519.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(certificate, issuers, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.ed25519.supported_schemes()
    }
}
