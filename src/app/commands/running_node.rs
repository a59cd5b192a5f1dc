//! Asking the node that runs in a folder.

use std::path::PathBuf;

use clap::Args;
use serde::de::DeserializeOwned;

use super::runtime;
use crate::app::questions::Question;
use crate::app::{AppError, control, default_data_folder};

/// Which node to ask.
#[derive(Args, Debug)]
pub(super) struct RunningNode {
    /// The data folder of the node [default: $XDG_DATA_HOME/spacetime/dev]
    #[arg(long, env = "SPACETIME_DATADIR", value_name = "D")]
    datadir: Option<PathBuf>,
}

impl RunningNode {
    /// Its answer.
    pub(super) fn ask<T: DeserializeOwned>(&self, question: &Question) -> Result<T, AppError> {
        let folder = match &self.datadir {
            Some(folder) => folder.clone(),
            None => default_data_folder("dev")?,
        };
        let answer = runtime()?.block_on(control::ask(&folder, question)).map_err(|error| {
            AppError::Failed(format!(
                "no node answers in {} ({error}); start one with this --datadir",
                folder.display()
            ))
        })?;
        answer.map_err(AppError::Failed)
    }
}
