//! `spacetime peer-id` and `spacetime key`: who a node is.

use clap::{Args, Subcommand};

use super::node_folder::NodeFolder;
use super::say;
use crate::app::{AppError, DataFolder, KeyFile, KeyFileError, hex};
use crate::transport::tls::NodeKey;

/// Whose key.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    node: NodeFolder,
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
    /// Reads the key, also while the node runs.
    fn load(&self) -> Result<(KeyFile, NodeKey), AppError> {
        let file = KeyFile::at(DataFolder::key_file_in(&self.node.path()?));
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
            let folder = DataFolder::open(&arguments.node.path()?)?;
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
