//! Why a command ends, and with which exit code.

use std::process::ExitCode;

/// Why a command failed. Each says what to do about it, and has an exit code of its own kind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// Exit code 1.
    #[error("{0}")]
    Failed(String),
    /// The data folder is locked or the port is in use: later it may work. Exit code 75.
    #[error("{0}")]
    Busy(String),
    /// The configuration makes no sense. Exit code 78.
    #[error("{0}")]
    Config(String),
}

impl AppError {
    /// The exit code for this error.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed(_) => 1,
            Self::Busy(_) => 75,
            Self::Config(_) => 78,
        })
    }

    /// An error about doing something.
    pub fn failed(doing: impl std::fmt::Display, error: impl std::fmt::Display) -> Self {
        Self::Failed(format!("{doing}: {error}"))
    }
}

impl From<crate::store::StoreError> for AppError {
    fn from(error: crate::store::StoreError) -> Self {
        match error {
            crate::store::StoreError::Locked => Self::Busy(error.to_string()),
            error => Self::Failed(error.to_string()),
        }
    }
}
