//! What a node stands, over real sockets on loopback, and what it costs.
//!
//! ```text
//! cargo bench --bench attacks -- slow [CONNECTIONS]          2,000 that say a byte a second, half of them in TLS
//! cargo bench --bench attacks -- flood [SECONDS]             connections from one address, then from 256 networks
//! cargo bench --bench attacks -- cycles [COUNT]              1,000,000 that come and go
//! ```
//!
//! The node is the whole one, in a process of its own, with its default configuration but for places for 125
//! peers; its book is full, and 125 honest peers are there all the time, which answer its pings and ping it.
//! They and newcomers are in this process; a flood comes from one that runs when nobody else wants to, as
//! attackers have processors of their own (`chrt` of util-linux). What they must not do to the node stands
//! beside each figure; nothing is asserted but that they ran.
//!
//! Loopback addresses are no public ones, so rates of connections do not hold for them: what is left are the
//! places, which is the worse case.

#![allow(clippy::print_stdout, reason = "a benchmark prints its results")]

mod crowd;
mod cycles;
mod flood;
mod flooders;
mod node;
mod peer;
mod slow;

use std::time::Duration;

use node::AttackedNode;
use peer::Peers;

/// Honest peers that are there all the time.
const PEERS: usize = 125;

/// The milliseconds below which so many of a hundred are.
fn percentile(durations: &mut [Duration], percent: usize) -> f64 {
    durations.sort_unstable();
    let index = (durations.len() * percent / 100).min(durations.len().saturating_sub(1));
    durations.get(index).map_or(f64::NAN, |it| it.as_secs_f64() * 1000.0)
}

/// A node with all its peers.
async fn crowded_node() -> (AttackedNode, Peers) {
    let node = AttackedNode::start();
    let peers = Peers::connect(&node, PEERS).await;
    (node, peers)
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |default| arguments.get(1).and_then(|it| it.parse().ok()).unwrap_or(default);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    match arguments.first().map(String::as_str) {
        Some(node::COMMAND) => runtime.block_on(node::run()),
        Some(flooders::COMMAND) => runtime.block_on(flooders::run()),
        Some("slow") => runtime.block_on(slow::run(number(2000))),
        Some("flood") => runtime.block_on(flood::run(Duration::from_secs(number(60) as u64))),
        Some("cycles") => runtime.block_on(cycles::run(number(1_000_000))),
        // Without arguments it is short, as all benchmarks are run one after the other.
        _ => runtime.block_on(async {
            slow::run(500).await;
            flood::run(Duration::from_secs(5)).await;
            cycles::run(5000).await;
        }),
    }
}
