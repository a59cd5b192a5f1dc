//! Asking the node that runs in a folder.

use clap::Args;
use serde::de::DeserializeOwned;

use super::node_folder::NodeFolder;
use super::runtime;
use crate::app::questions::Question;
use crate::app::{AppError, control};

/// Which node to ask.
#[derive(Args, Debug)]
pub(super) struct RunningNode {
    #[command(flatten)]
    folder: NodeFolder,
}

impl RunningNode {
    /// Its answer.
    pub(super) fn ask<T: DeserializeOwned>(&self, question: &Question) -> Result<T, AppError> {
        let folder = self.folder.path()?;
        let answer = runtime()?.block_on(control::ask(&folder, question)).map_err(|error| {
            AppError::Failed(format!(
                "no node answers in {} ({error}); start one with this --datadir",
                folder.display()
            ))
        })?;
        answer.map_err(AppError::Failed)
    }
}
