//! Whom a node believes to be whom, on private networks.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use spacetime_core::{Hash, PeerId};

use super::{AppError, FileConfig};
use crate::transport::TlsConfig;

/// Whom a node believes to be whom, as its configuration file says. By default everybody who proves to hold
/// its key.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct TrustOptions {
    /// See [`TlsConfig::with_allowed_peers`]; all if there is nothing here.
    pub allowed_peers: Option<Vec<PeerId>>,
    /// See [`TlsConfig::with_authorities`].
    pub authorities: Vec<Vec<u8>>,
    /// See [`TlsConfig::with_certificates`].
    pub certificates: Vec<Vec<u8>>,
    /// See [`TlsConfig::with_pinned_keys`].
    pub pinned_keys: Vec<Hash>,
}

impl TrustOptions {
    /// What a configuration file says, with the certificates in the files that it names.
    ///
    /// # Errors
    ///
    /// What cannot be read.
    pub fn read(file: &FileConfig) -> Result<Self, AppError> {
        let allowed_peers = match &file.allowed_peers {
            Some(texts) => Some(parse_all(texts, "allowed_peers", "a peer id")?),
            None => None,
        };
        let mut authorities = Vec::new();
        for path in file.authorities.iter().flatten() {
            authorities.extend(read_certificates(path)?);
        }
        let certificates = file.certificates.as_deref().map_or(Ok(Vec::new()), read_certificates)?;
        let pinned_keys =
            parse_all(file.pinned_keys.as_deref().unwrap_or_default(), "pinned_keys", "a hash")?;
        Ok(Self { allowed_peers, authorities, certificates, pinned_keys })
    }

    pub(super) fn apply(&self, config: TlsConfig) -> TlsConfig {
        let config = config
            .with_authorities(self.authorities.iter().cloned())
            .with_certificates(self.certificates.iter().cloned())
            .with_pinned_keys(self.pinned_keys.iter().copied());
        match &self.allowed_peers {
            Some(peers) => config.with_allowed_peers(peers.iter().copied()),
            None => config,
        }
    }
}

/// Reads peer ids or hashes.
fn parse_all<T: std::str::FromStr>(texts: &[String], entry: &str, what: &str) -> Result<Vec<T>, AppError> {
    let parse = |text: &String| {
        text.parse().map_err(|_| {
            AppError::Config(format!("{entry}: {text:?} is not {what} of 64 hexadecimal digits"))
        })
    };
    texts.iter().map(parse).collect()
}

/// The certificates in a PEM file, of which there is one at least.
fn read_certificates(path: &Path) -> Result<Vec<Vec<u8>>, AppError> {
    let unusable = |why: &str| AppError::Config(format!("no certificates in {}: {why}", path.display()));
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error.to_string()))? {
        certificates.push(certificate.map_err(|error| unusable(&error.to_string()))?.to_vec());
    }
    if certificates.is_empty() {
        return Err(unusable("it is no PEM file with certificates"));
    }
    Ok(certificates)
}
