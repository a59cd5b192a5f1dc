//! `spacetime addresses`: the address book of the running node.

use std::net::SocketAddr;

use clap::Args;
use jiff::Timestamp;

use super::running_node::RunningNode;
use super::say;
use super::table::{Table, rough};
use crate::app::AppError;
use crate::app::peers_file::{Date, StoredAddress};
use crate::app::questions::Question;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    node: RunningNode,

    /// Print one JSON array, as in peers.json
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), AppError> {
    let addresses: Vec<StoredAddress> = arguments.node.ask(&Question::Addresses)?;
    if arguments.json {
        let json = serde_json::to_string(&addresses)
            .map_err(|error| AppError::failed("cannot write JSON", error))?;
        say(json);
        return Ok(());
    }
    let tried = addresses.iter().filter(|address| address.is_tried).count();
    say(format_args!("{} known, {tried} of them tried", addresses.len()));
    let now = Timestamp::now().as_second();
    let ago = |date: Date| {
        let seconds = now.saturating_sub(date.unix_seconds);
        format!("{} ago", rough(seconds.max(0).unsigned_abs()))
    };
    let mut table = Table::new(["ADDRESS", "TABLE", "SEEN", "DIALLED", "REACHED", "FAILED", "TOLD BY"]);
    for it in addresses {
        table.add([
            SocketAddr::new(it.address, it.port).to_string(),
            if it.is_tried { "tried" } else { "new" }.into(),
            ago(it.last_seen),
            it.last_attempt.map_or_else(|| "never".into(), ago),
            it.success_count.to_string(),
            it.failure_count.to_string(),
            it.told_by.map_or_else(|| "-".into(), |by| by.to_string()),
        ]);
    }
    say(table);
    Ok(())
}
