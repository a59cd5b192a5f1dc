//! The log, on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::app::AppError;

/// Begins to log what `filter` lets through.
pub(super) fn start(filter: &str) -> Result<(), AppError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| AppError::Config(format!("{filter:?} is not a log filter: {error}")))?;
    // A second subscriber in one process is a test's; the first one stays.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    Ok(())
}
