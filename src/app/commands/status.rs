//! `spacetime status`: what the running node says of itself.

use std::path::PathBuf;

use clap::Args;
use spacetime_node::Status;

use super::{runtime, say};
use crate::app::{AppError, default_data_folder, query_status};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The data folder of the node [default: $XDG_DATA_HOME/spacetime/dev]
    #[arg(long, env = "SPACETIME_DATADIR", value_name = "D")]
    datadir: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), AppError> {
    let folder = match arguments.datadir {
        Some(folder) => folder,
        None => default_data_folder("dev")?,
    };
    let status = runtime()?.block_on(query_status(&folder)).map_err(|error| {
        AppError::Failed(format!(
            "no node answers in {} ({error}); start one with this --datadir",
            folder.display()
        ))
    })?;
    if arguments.json {
        let json =
            serde_json::to_string(&status).map_err(|error| AppError::failed("cannot write JSON", error))?;
        say(json);
    } else {
        print(&status);
    }
    Ok(())
}

fn print(status: &Status) {
    say(format_args!("peer id  {}", status.peer_id));
    say(format_args!("listens  {}", status.listen.join(", ")));
    say(format_args!("tip      {} {}", status.tip.height, status.tip.hash));
    say(format_args!("sync     {} ({} of {})", status.sync.state, status.tip.height, status.target));
    say(format_args!("peers    {}", status.peers.len()));
    for peer in &status.peers {
        let or_unknown = |value: Option<u64>| value.map_or_else(|| "?".to_owned(), |value| value.to_string());
        let name: String = peer.peer_id.chars().filter(|c| !c.is_control()).take(16).collect();
        say(format_args!(
            "  {:8} {:24} {name:16} {:>5} ms  height {:>8}  score {}",
            peer.direction,
            peer.address,
            or_unknown(peer.latency_ms),
            or_unknown(peer.height),
            peer.score
        ));
    }
}
