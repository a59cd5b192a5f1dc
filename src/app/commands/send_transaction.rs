//! `spacetime send-tx`: a transaction for everybody.

use std::fs;
use std::path::Path;

use clap::Args;
use spacetime_core::chain::TRANSACTION_BYTES;

use super::running_node::RunningNode;
use super::say;
use crate::app::questions::{Question, SentAnswer};
use crate::app::{AppError, hex};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    node: RunningNode,

    /// The serialized transaction: 310 hexadecimal digits, or a file with its bytes or its digits
    #[arg(value_name = "FILE|HEX")]
    transaction: String,
}

pub(super) fn run(arguments: Arguments) -> Result<(), AppError> {
    let Arguments { node, transaction } = arguments;
    let transaction = read(&transaction)?;
    let SentAnswer { hash, peers } = node.ask(&Question::SendTransaction { transaction })?;
    match peers {
        0 => say(format_args!("{hash} waits in the pool: no peer is there to pass it on")),
        1 => say(format_args!("{hash} is on its way, through 1 peer")),
        _ => say(format_args!("{hash} is on its way, through {peers} peers")),
    }
    Ok(())
}

/// The transaction in hexadecimal digits.
fn read(file_or_digits: &str) -> Result<String, AppError> {
    let is_digits = |text: &str| text.len() == 2 * TRANSACTION_BYTES && hex::decode(text.as_bytes()).is_ok();
    if is_digits(file_or_digits) {
        return Ok(file_or_digits.to_owned());
    }
    let bytes = fs::read(Path::new(file_or_digits)).map_err(|error| {
        AppError::Failed(format!(
            "{file_or_digits:.40} is neither a transaction in hexadecimal digits nor a file: {error}"
        ))
    })?;
    if bytes.len() == TRANSACTION_BYTES {
        return Ok(hex::encode(&bytes));
    }
    let text = String::from_utf8(bytes).unwrap_or_default();
    if is_digits(text.trim()) {
        return Ok(text.trim().to_owned());
    }
    Err(AppError::Failed(format!(
        "{file_or_digits} holds no transaction: it takes {TRANSACTION_BYTES} bytes, or twice as many digits"
    )))
}
