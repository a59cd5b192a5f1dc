//! The folder in which a node keeps what it must not lose.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;

use super::AppError;
use super::peers_file::PeersFiles;

/// A data folder that this process has to itself.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    /// Locked for as long as it is open; the system unlocks it when the process is gone.
    _lock: File,
}

impl DataFolder {
    /// Opens a folder, or makes it, readable by nobody else.
    pub fn open(path: &Path) -> Result<Self, AppError> {
        let doing = || format!("cannot make the data folder {}", path.display());
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| AppError::failed(doing(), error))?;
        let path = fs::canonicalize(path).map_err(|error| AppError::failed(doing(), error))?;
        let lock = File::create(path.join("LOCK"))
            .map_err(|error| AppError::failed(format!("cannot write in {}", path.display()), error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(AppError::Busy(format!(
                "{} is in use by another node; give each node a --datadir of its own",
                path.display()
            ))),
            Err(TryLockError::Error(error)) => {
                Err(AppError::failed(format!("cannot lock {}", path.display()), error))
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file with the node's private key.
    pub fn key_file(&self) -> PathBuf {
        Self::key_file_in(&self.path)
    }

    /// The same of a folder that this process need not have to itself.
    pub(super) fn key_file_in(path: &Path) -> PathBuf {
        path.join("node.key")
    }

    /// The address book, and the rest of what it knows of its peers.
    pub(super) fn peers_files(&self) -> PeersFiles {
        PeersFiles::in_folder(&self.path)
    }

    /// The file with the chain.
    pub fn chain_file(&self) -> PathBuf {
        self.path.join("chain.redb")
    }
}

fn strategy() -> Result<etcetera::base_strategy::Xdg, AppError> {
    etcetera::base_strategy::Xdg::new()
        .map_err(|_| AppError::Config("there is no home folder; give --datadir and --config".into()))
}

/// Where a node of this network keeps its data if nothing else is said: in the XDG data folder.
pub fn default_data_folder(network: &str) -> Result<PathBuf, AppError> {
    Ok(strategy()?.data_dir().join("spacetime").join(network))
}

/// The configuration file that is read if there is one and nothing else is said: in the XDG config
/// folder.
pub fn default_config_file() -> Option<PathBuf> {
    Some(strategy().ok()?.config_dir().join("spacetime").join("config.toml"))
}
