//! `spacetime peers`: with whom the running node has sessions.

use std::io::{self, IsTerminal as _, Write as _};
use std::thread::sleep;
use std::time::Duration;

use clap::Args;
use console::Term;
use spacetime_node::{PeerStatus, Status};

use super::running_node::RunningNode;
use super::table::{Table, rough};
use crate::app::AppError;
use crate::app::questions::Question;

/// How often `--watch` looks.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    node: RunningNode,

    /// Print one JSON array
    #[arg(long)]
    json: bool,

    /// Print it again every second, until the node ends
    #[arg(long)]
    watch: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), AppError> {
    let screen = Term::stdout();
    loop {
        let status: Status = arguments.node.ask(&Question::Status)?;
        let text = if arguments.json {
            serde_json::to_string(&status.peers)
                .map_err(|error| AppError::failed("cannot write JSON", error))?
        } else {
            let outbound = status.peers.iter().filter(|peer| peer.direction == "outbound").count();
            let inbound = status.peers.len() - outbound;
            format!("{outbound} outbound, {inbound} inbound\n{}", table(&status.peers))
        };
        if arguments.watch && !arguments.json && io::stdout().is_terminal() {
            // A screen that cannot be cleared scrolls.
            let _ = screen.clear_screen();
        }
        if writeln!(io::stdout(), "{text}").is_err() || !arguments.watch {
            return Ok(());
        }
        sleep(WATCH_INTERVAL);
    }
}

/// What a peer is called, and a mark if that is only what it says.
fn name(peer: &PeerStatus) -> String {
    let name = peer.peer_id.chars().take(16).collect();
    if peer.proven { name } else { name + " (unproven)" }
}

/// One line for each.
pub(super) fn table(peers: &[PeerStatus]) -> Table<8> {
    let mut table = Table::new(["ROLE", "ADDRESS", "PEER", "GROUP", "UP", "LATENCY", "HEIGHT", "SCORE"]);
    for peer in peers {
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".into());
        table.add([
            peer.role.clone(),
            peer.address.clone(),
            name(peer),
            or_dash(peer.group.clone()),
            rough(peer.connected_seconds),
            or_dash(peer.latency_ms.map(|ms| format!("{ms} ms"))),
            or_dash(peer.height.map(|height| height.to_string())),
            peer.score.to_string(),
        ]);
    }
    table
}
