//! Which node is meant.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::app::{AppError, FileConfig, default_config_file, default_data_folder};

/// The network of a node that is not told another one.
pub(super) const DEFAULT_NETWORK: &str = "dev";

/// The node of a data folder: the one that is given, that of the configuration file, or the default one.
#[derive(Args, Debug)]
pub(super) struct NodeFolder {
    /// The data folder of the node [default: that of the configuration file, or $XDG_DATA_HOME/spacetime/dev]
    #[arg(long, env = "SPACETIME_DATADIR", value_name = "D")]
    datadir: Option<PathBuf>,

    /// A configuration file [default: $XDG_CONFIG_HOME/spacetime/config.toml, if it is there]
    #[arg(long, env = "SPACETIME_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl NodeFolder {
    /// Where it is.
    pub(super) fn path(&self) -> Result<PathBuf, AppError> {
        if let Some(datadir) = &self.datadir {
            return Ok(datadir.clone());
        }
        let file = load_config(self.config.as_deref())?;
        match file.datadir {
            Some(datadir) => Ok(datadir),
            None => default_data_folder(file.network.as_deref().unwrap_or(DEFAULT_NETWORK)),
        }
    }
}

/// Reads the configuration file that is given, or the default one if it is there.
pub(super) fn load_config(path: Option<&Path>) -> Result<FileConfig, AppError> {
    match path {
        Some(path) => FileConfig::load(path),
        None => {
            default_config_file().map_or(Ok(FileConfig::default()), |path| FileConfig::load_if_there(&path))
        }
    }
}
