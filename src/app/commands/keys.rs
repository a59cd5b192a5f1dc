//! `spacetime peer-id` and `spacetime key`: who a node is.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::say;
use crate::app::{AppError, DataFolder, KeyFile, KeyFileError, default_data_folder, hex};
use crate::transport::tls::NodeKey;

/// Whose key.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The data folder of the node [default: $XDG_DATA_HOME/spacetime/dev]
    #[arg(long, env = "SPACETIME_DATADIR", value_name = "D")]
    datadir: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Make a key, if the node has none yet, and print its peer id
    ///
    /// A node that starts without a key makes one as well. To be somebody else from now on, stop the
    /// node, move node.key away, make a new key, and tell those who dial ID@HOST:PORT the new id.
    New(Arguments),
    /// Print the peer id, the public key and the file; never the key itself
    Show(Arguments),
}

impl Arguments {
    fn folder(&self) -> Result<PathBuf, AppError> {
        self.datadir.clone().map_or_else(|| default_data_folder("dev"), Ok)
    }

    /// Reads the key, also while the node runs.
    fn load(&self) -> Result<(KeyFile, NodeKey), AppError> {
        let file = KeyFile::at(DataFolder::key_file_in(&self.folder()?));
        let key = file.load().map_err(failed)?;
        Ok((file, key))
    }
}

fn failed(error: KeyFileError) -> AppError {
    AppError::Failed(error.to_string())
}

pub(super) fn peer_id(arguments: &Arguments) -> Result<(), AppError> {
    let (_, key) = arguments.load()?;
    say(key.peer_id());
    Ok(())
}

pub(super) fn run(command: &Command) -> Result<(), AppError> {
    match command {
        Command::New(arguments) => {
            // No node may run in it: it would go on with the key that it has.
            let folder = DataFolder::open(&arguments.folder()?)?;
            let key = KeyFile::at(folder.key_file()).create().map_err(failed)?;
            say(key.peer_id());
        }
        Command::Show(arguments) => {
            let (file, key) = arguments.load()?;
            say(format_args!("peer id     {}", key.peer_id()));
            say(format_args!("public key  {}", hex::encode(key.public_key())));
            say(format_args!("file        {}", file.path().display()));
        }
    }
    Ok(())
}
