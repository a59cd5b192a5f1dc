//! Who a node is: an Ed25519 key in a file.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use pem_rfc7468::LineEnding;
use spacetime_core::PeerId;

use super::durable_file::{self, Former};

/// What stands before the 32 bytes of the seed in a PKCS#8 version 1 key (RFC 8410).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

const PEM_LABEL: &str = "PRIVATE KEY";

/// A key file is a few lines; whatever is longer is something else.
const MAX_FILE_BYTES: u64 = 4096;

/// The key of a node. The file is a PEM that other tools read too, `openssl pkey` among them.
pub struct Identity {
    seed: [u8; 32],
    peer_id: PeerId,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("peer_id", &self.peer_id).finish_non_exhaustive()
    }
}

/// Why a node has no identity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The file cannot be read or written.
    #[error("cannot use the key file {path}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Others can read the key.
    #[error("the key file {path} can be read by others (mode {mode:o}); run chmod 600 {path}")]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// What is in the file is no key.
    #[error("{path} is not an Ed25519 private key in PKCS#8 PEM; move it away to get a new identity")]
    Malformed {
        /// Which file.
        path: PathBuf,
    },
    /// The system has no randomness.
    #[error("the system gives no randomness for a key: {0}")]
    Randomness(io::Error),
}

impl Identity {
    /// A new key, kept nowhere.
    pub fn generate() -> Result<Self, IdentityError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| IdentityError::Randomness(error.into()))?;
        Ok(Self::from_seed(seed))
    }

    /// The key in a file; if there is no file, a new one that only its owner can read.
    pub fn load_or_generate(path: &Path) -> Result<Self, IdentityError> {
        match File::open(path) {
            Ok(file) => Self::load(path, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let identity = Self::generate()?;
                identity.save(path).map_err(|error| IdentityError::File { path: path.into(), error })?;
                Ok(identity)
            }
            Err(error) => Err(IdentityError::File { path: path.into(), error }),
        }
    }

    fn load(path: &Path, file: File) -> Result<Self, IdentityError> {
        let failed = |error| IdentityError::File { path: path.into(), error };
        let mode = file.metadata().map_err(failed)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(IdentityError::Exposed { path: path.into(), mode });
        }
        let mut pem = Vec::new();
        file.take(MAX_FILE_BYTES).read_to_end(&mut pem).map_err(failed)?;
        let malformed = || IdentityError::Malformed { path: path.into() };
        let (label, der) = pem_rfc7468::decode_vec(&pem).map_err(|_| malformed())?;
        let seed = der.strip_prefix(&PKCS8_PREFIX).and_then(|seed| seed.try_into().ok());
        match seed {
            Some(seed) if label == PEM_LABEL => Ok(Self::from_seed(seed)),
            _ => Err(malformed()),
        }
    }

    /// Writes the key to a new file, whole or not at all.
    fn save(&self, path: &Path) -> io::Result<()> {
        let der = [&PKCS8_PREFIX[..], &self.seed].concat();
        let pem = pem_rfc7468::encode_string(PEM_LABEL, LineEnding::LF, &der).map_err(io::Error::other)?;
        durable_file::write(path, pem.as_bytes(), Former::Replace)
    }

    #[allow(clippy::missing_panics_doc, reason = "any 32 bytes are an Ed25519 seed")]
    fn from_seed(seed: [u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("any 32 bytes are an Ed25519 seed");
        let public_key = pair.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes");
        Self { seed, peer_id: PeerId::of_public_key(public_key) }
    }

    /// Who the node is to others.
    pub const fn peer_id(&self) -> PeerId {
        self.peer_id
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        let first = Identity::load_or_generate(&path).unwrap().peer_id();
        assert_eq!(Identity::load_or_generate(&path).unwrap().peer_id(), first);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_ne!(Identity::generate().unwrap().peer_id(), first);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_peer_id_is_the_hash_of_the_public_key() {
        // The first test key of RFC 8032, section 7.1.
        let unhex = |text: &str| -> [u8; 32] { text.parse::<PeerId>().unwrap().0 };
        let seed = unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let public_key = unhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        assert_eq!(Identity::from_seed(seed).peer_id(), PeerId::of_public_key(&public_key));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        Identity::load_or_generate(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let error = Identity::load_or_generate(&path).unwrap_err().to_string();
        assert!(error.contains("640") && error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn what_is_no_key_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        for bad in ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            fs::write(&path, bad).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            assert!(
                matches!(Identity::load_or_generate(&path), Err(IdentityError::Malformed { .. })),
                "{bad}"
            );
            assert_eq!(fs::read_to_string(&path).unwrap(), bad);
        }
    }
}
