//! `spacetime status`: what the running node says of itself.

use clap::Args;
use indicatif::HumanBytes;
use spacetime_node::Status;

use super::running_node::RunningNode;
use super::{peers, say};
use crate::app::AppError;
use crate::app::progress::rates;
use crate::app::questions::Question;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    node: RunningNode,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), AppError> {
    let status: Status = arguments.node.ask(&Question::Status)?;
    if arguments.json {
        let json =
            serde_json::to_string(&status).map_err(|error| AppError::failed("cannot write JSON", error))?;
        say(json);
    } else {
        print(&status);
    }
    Ok(())
}

/// In total and per peer.
fn limits(total: Option<u64>, per_peer: Option<u64>) -> String {
    let rate =
        |limit: Option<u64>| limit.map_or("no limit".into(), |it| format!("{} a second", HumanBytes(it)));
    format!("{} in total, {}", rate(total), rate(per_peer))
}

fn print(status: &Status) {
    say(format_args!("peer id  {}", status.peer_id));
    say(format_args!("listens  {}", status.listen.join(", ")));
    say(format_args!("tip      {} {}", status.tip.height, status.tip.hash));
    say(format_args!("sync     {} ({} of {})", status.sync.state, status.tip.height, status.target));
    say(format_args!(
        "download {} blocks, {} headers ahead, {}",
        status.sync.downloaded_blocks,
        status.sync.header_height.saturating_sub(status.tip.height),
        rates(status)
    ));
    say(format_args!(
        "serving  {} answers read, {} without reading",
        status.sync.served_reads, status.sync.saved_reads
    ));
    say(format_args!(
        "relay    {} passed on, {} known, {} dropped, {} rejected",
        status.relay.relayed, status.relay.duplicates, status.relay.dropped, status.relay.rejected
    ));
    say(format_args!(
        "mempool  {} transactions, {} bytes",
        status.mempool.transactions, status.mempool.bytes
    ));
    let bandwidth = &status.bandwidth;
    say(format_args!(
        "sent     {} bytes, {} to each peer",
        bandwidth.sent_bytes,
        limits(bandwidth.upload, bandwidth.upload_per_peer)
    ));
    say(format_args!(
        "received {} bytes, {} from each peer",
        bandwidth.received_bytes,
        limits(bandwidth.download, bandwidth.download_per_peer)
    ));
    if !status.refusals.is_empty() {
        let refusals = status.refusals.iter().map(|(reason, count)| format!("{count} {reason}"));
        say(format_args!("refused  {}", refusals.collect::<Vec<_>>().join(", ")));
    }
    say(format_args!("peers    {}", status.peers.len()));
    if !status.peers.is_empty() {
        say(peers::table(&status.peers));
    }
}
