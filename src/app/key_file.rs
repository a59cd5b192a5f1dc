//! The file with the key of a node.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use pem_rfc7468::LineEnding;
use rustix::process::geteuid;

use super::durable_file::{self, Former};
use crate::transport::tls::NodeKey;

const PEM_LABEL: &str = "PRIVATE KEY";

/// A key file is a few lines; whatever is longer is something else.
const MAX_FILE_BYTES: u64 = 4096;

/// The file with the key of a node: a PEM that other tools read too, `openssl pkey` among them. Only
/// its owner may read it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyFile {
    path: PathBuf,
}

/// Why a node has no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file cannot be read or written.
    #[error("cannot use the key file {path}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is no file.
    #[error("there is no key file {path}; spacetime key new makes one, and so does the first start")]
    Missing {
        /// Which file.
        path: PathBuf,
    },
    /// There is a file where a new one is to be.
    #[error("there is a key in {path}; move it away to get a new one")]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// Others can read the key.
    #[error("the key file {path} can be read by others (mode {mode:o}); run chmod 600 {path}")]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is somebody else's file, who may know the key or change it.
    #[error("the key file {path} belongs to another user ({owner}); chown it, or run as that user")]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// The number of that user.
        owner: u32,
    },
    /// What is in the file is no key.
    #[error("{path} is not an Ed25519 private key in PKCS#8 PEM; move it away to get a new one")]
    Malformed {
        /// Which file.
        path: PathBuf,
    },
    /// The system has no randomness.
    #[error("the system gives no randomness for a key: {0}")]
    Randomness(io::Error),
}

impl KeyFile {
    /// The key file at a path, whether it is there or not.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key in the file; if there is no file, a new one that only its owner can read.
    pub fn load_or_create(&self) -> Result<NodeKey, KeyFileError> {
        match self.load() {
            Err(KeyFileError::Missing { .. }) => self.create(),
            result => result,
        }
    }

    /// The key in the file.
    pub fn load(&self) -> Result<NodeKey, KeyFileError> {
        let path = || self.path.clone();
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => KeyFileError::Missing { path: path() },
            _ => KeyFileError::File { path: path(), error },
        };
        let file = File::open(&self.path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        check_access(&self.path, metadata.uid(), metadata.mode() & 0o777)?;
        let mut pem = Vec::new();
        file.take(MAX_FILE_BYTES).read_to_end(&mut pem).map_err(failed)?;
        let malformed = || KeyFileError::Malformed { path: path() };
        let (label, der) = pem_rfc7468::decode_vec(&pem).map_err(|_| malformed())?;
        NodeKey::from_pkcs8(&der).filter(|_| label == PEM_LABEL).ok_or_else(malformed)
    }

    /// Writes a new key to a new file, whole or not at all.
    pub fn create(&self) -> Result<NodeKey, KeyFileError> {
        let path = || self.path.clone();
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path() },
            _ => KeyFileError::File { path: path(), error },
        };
        let key = NodeKey::generate().map_err(KeyFileError::Randomness)?;
        let pem = pem_rfc7468::encode_string(PEM_LABEL, LineEnding::LF, &key.to_pkcs8());
        let pem = pem.map_err(|error| failed(io::Error::other(error)))?;
        durable_file::write(&self.path, pem.as_bytes(), Former::Refuse).map_err(failed)?;
        Ok(key)
    }
}

/// Whether nobody but this user can know or change the key.
fn check_access(path: &Path, owner: u32, mode: u32) -> Result<(), KeyFileError> {
    if owner != geteuid().as_raw() {
        return Err(KeyFileError::Foreign { path: path.to_owned(), owner });
    }
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::at(folder.path().join("node.key"));
        assert!(matches!(file.load(), Err(KeyFileError::Missing { .. })));
        let first = file.load_or_create().unwrap().peer_id();
        assert_eq!(file.load_or_create().unwrap().peer_id(), first);
        assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::at(folder.path().join("node.key"));
        let first = file.create().unwrap().peer_id();
        assert!(matches!(file.create(), Err(KeyFileError::Exists { .. })));
        assert_eq!(file.load().unwrap().peer_id(), first);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::at(folder.path().join("node.key"));
        file.create().unwrap();
        fs::set_permissions(file.path(), Permissions::from_mode(0o640)).unwrap();
        let error = file.load_or_create().unwrap_err().to_string();
        assert!(error.contains("640") && error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_key_that_belongs_to_somebody_else_is_refused() {
        let (path, own) = (Path::new("node.key"), geteuid().as_raw());
        assert!(check_access(path, own, 0o600).is_ok());
        let error = check_access(path, own + 1, 0o600).unwrap_err().to_string();
        assert!(error.contains(&(own + 1).to_string()) && error.contains("chown"), "{error}");
    }

    #[test]
    fn a_key_that_appears_meanwhile_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::at(folder.path().join("node.key"));
        // Where nothing seems to be: it leads nowhere.
        std::os::unix::fs::symlink(folder.path().join("nowhere"), file.path()).unwrap();
        assert!(matches!(file.create(), Err(KeyFileError::Exists { .. })));
        assert!(fs::symlink_metadata(file.path()).unwrap().is_symlink());
    }

    #[test]
    fn what_is_no_key_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::at(folder.path().join("node.key"));
        for bad in ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            fs::write(file.path(), bad).unwrap();
            fs::set_permissions(file.path(), Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(file.load_or_create(), Err(KeyFileError::Malformed { .. })), "{bad}");
            assert_eq!(fs::read_to_string(file.path()).unwrap(), bad);
        }
    }
}
