//! What a TLS transport is made of.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use spacetime_core::{Endpoint, Hash, PeerId};

use super::NodeKey;

/// Certificates above the node's own that may be presented.
pub(super) const MAX_ISSUERS: usize = 3;

/// Whether connections are encrypted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TlsMode {
    /// All of them. Whoever does not encrypt is refused.
    #[default]
    Required,
    /// Those with peers that can. Others are served in plaintext on the same port, and dialled in
    /// plaintext where no identity is expected: none is pinned, and none was proven there before.
    ///
    /// # Security
    ///
    /// Whoever sits between two nodes that know nothing of each other can keep them from encrypting; so
    /// can a node that is too crowded to take a connection, and whoever crowds it. A version-1 node that is
    /// dialled with TLS hangs up without a word, or says nothing for 2 s, so both are taken for one. To take
    /// them for a failure would shut out all version-1 nodes; what is answered in TLS never is. Pins and
    /// former proofs hold. It is for a network that still has version-1 nodes.
    Optional,
    /// None of them.
    Off,
}

/// A version of TLS.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246), with extended master secret (RFC 7627). The certificates of both ends,
    /// and so who they are, can be read on the way.
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

/// Who the node is, whom it believes, and how connections are encrypted.
#[derive(Clone)]
pub struct TlsConfig {
    pub(super) key: Arc<NodeKey>,
    pub(super) mode: TlsMode,
    pub(super) min_version: TlsVersion,
    pub(super) max_version: TlsVersion,
    pub(super) certificates: Vec<Vec<u8>>,
    pub(super) authorities: Vec<Vec<u8>>,
    pub(super) pinned_keys: BTreeSet<Hash>,
    pub(super) allowed_peers: Option<BTreeSet<PeerId>>,
    pub(super) plaintext_after: Option<Duration>,
    pub(super) proven_endpoints: Vec<Endpoint>,
}

impl TlsConfig {
    /// The node that has this key; everything else at its default.
    pub fn new(key: NodeKey) -> Self {
        Self {
            key: Arc::new(key),
            mode: TlsMode::default(),
            min_version: TlsVersion::V1_3,
            max_version: TlsVersion::V1_3,
            certificates: Vec::new(),
            authorities: Vec::new(),
            pinned_keys: BTreeSet::new(),
            allowed_peers: None,
            plaintext_after: None,
            proven_endpoints: Vec::new(),
        }
    }

    /// Whether connections are encrypted. Required.
    #[must_use]
    pub const fn with_mode(mut self, mode: TlsMode) -> Self {
        self.mode = mode;
        self
    }

    /// The lowest and the highest version of TLS, in both directions. 1.3 and 1.3.
    #[must_use]
    pub const fn with_versions(mut self, min: TlsVersion, max: TlsVersion) -> Self {
        self.min_version = min;
        self.max_version = max;
        self
    }

    /// The certificate for the node's own key, and those of its issuers up to an authority, in DER.
    /// At most 4 of 4096 bytes. One that the node signs itself.
    #[must_use]
    pub fn with_certificates(mut self, certificates: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.certificates = certificates.into_iter().collect();
        self
    }

    /// Certificates, in DER, of authorities that issue those of all peers. None: peers sign their
    /// certificates themselves. For private networks.
    ///
    /// Peers are known by their Ed25519 keys all the same; names in certificates mean nothing.
    #[must_use]
    pub fn with_authorities(mut self, authorities: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.authorities = authorities.into_iter().collect();
        self
    }

    /// SHA-256 hashes of public keys (of the whole SubjectPublicKeyInfo, as in RFC 7469), one of which
    /// must be in the chain of each peer: its own, an issuer's or the authority's. None: all keys are
    /// taken.
    #[must_use]
    pub fn with_pinned_keys(mut self, keys: impl IntoIterator<Item = Hash>) -> Self {
        self.pinned_keys = keys.into_iter().collect();
        self
    }

    /// The only peers that there are for this node. All.
    #[must_use]
    pub fn with_allowed_peers(mut self, peers: impl IntoIterator<Item = PeerId>) -> Self {
        self.allowed_peers = Some(peers.into_iter().collect());
        self
    }

    /// After which time a peer that connected and says nothing is taken for one that does not
    /// encrypt, if encryption is optional. Never; one that is served without a Handshake may wait for
    /// our first word.
    #[must_use]
    pub const fn with_plaintext_after(mut self, silence: Option<Duration>) -> Self {
        self.plaintext_after = silence;
        self
    }

    /// Where peers have proven who they are in former runs of the node: if encryption is optional, none of
    /// these is dialled in plaintext. At most 10,000 are remembered, the last ones. None.
    #[must_use]
    pub fn with_proven_endpoints(mut self, endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        self.proven_endpoints = endpoints.into_iter().collect();
        self
    }

    /// Whether connections are encrypted.
    pub const fn mode(&self) -> TlsMode {
        self.mode
    }

    /// The lowest and the highest version of TLS.
    pub const fn versions(&self) -> (TlsVersion, TlsVersion) {
        (self.min_version, self.max_version)
    }

    /// Who the node is.
    pub fn peer_id(&self) -> PeerId {
        self.key.peer_id()
    }

    /// Whether a transport can be made of this, as far as can be said without reading certificates.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn validate(&self) -> Result<(), InvalidTlsConfig> {
        if self.min_version > self.max_version {
            return Err(InvalidTlsConfig::Versions);
        }
        if self.certificates.len() > MAX_ISSUERS + 1 {
            return Err(InvalidTlsConfig::Certificates);
        }
        let is_open =
            self.authorities.is_empty() && self.pinned_keys.is_empty() && self.allowed_peers.is_none();
        if self.mode != TlsMode::Required && !is_open {
            return Err(InvalidTlsConfig::NotRequired);
        }
        Ok(())
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("peer_id", &self.peer_id())
            .field("mode", &self.mode)
            .field("versions", &self.versions())
            .finish_non_exhaustive()
    }
}

/// Why no TLS transport can be made of a configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum InvalidTlsConfig {
    /// The lowest version is above the highest.
    Versions,
    /// The node's own certificates are broken, too long, too many, or the first is not for its key.
    Certificates,
    /// An authority's certificate is broken.
    Authorities,
    /// Only some peers are wanted, and those that do not encrypt could not be told from them.
    NotRequired,
}

impl fmt::Display for InvalidTlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Versions => "the lowest version of TLS is above the highest",
            Self::Certificates => {
                "of the certificates, four at most of 4096 bytes at most, the first must be for the key of the \
                 node, and all whole"
            }
            Self::Authorities => "the certificate of an authority is broken",
            Self::NotRequired => {
                "authorities, pinned keys and a list of allowed peers need encryption to be required"
            }
        })
    }
}

impl std::error::Error for InvalidTlsConfig {}
