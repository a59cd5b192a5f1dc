//! What a ping waits for beside a stream of the largest blocks, over loopback TCP.
//!
//! `cargo bench --bench pings [-- SECONDS]`. Blocks of 16 MiB go out without a pause while pings go
//! both ways on the same connection, once in chunks and once to a peer that takes none. What a ping
//! still waits for is what the kernels of both ends hold of the blocks. Round trips are wall-clock
//! times: compare those of one run with each other.

#![allow(clippy::print_stdout, reason = "a benchmark prints its results")]

#[path = "../tests/chunks/blocks.rs"]
mod blocks;

use std::time::Duration;

use blocks::{Tree, TreeEvent, tree, without_chunks};
use futures::StreamExt as _;
use spacetime_network::swarm::Config;
use spacetime_network::transport::TcpTransport;
use spacetime_network::{Event, PeerId, Rng, Swarm};

/// One run.
struct Run {
    name: &'static str,
    sends: bool,
    /// Whether the receiver says that it takes chunks.
    takes_chunks: bool,
}

const RUNS: [Run; 3] = [
    Run { name: "idle", sends: false, takes_chunks: true },
    Run { name: "beside blocks in chunks", sends: true, takes_chunks: true },
    Run { name: "beside whole blocks", sends: true, takes_chunks: false },
];

fn main() {
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(10);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for run in RUNS {
        let (mut round_trips, bytes) = runtime.block_on(measure(&run, Duration::from_secs(seconds)));
        round_trips.sort_unstable();
        let at = |percent: usize| round_trips.get((round_trips.len().saturating_sub(1)) * percent / 100);
        println!(
            "{:<24} {:>6} pings, p50 {:>10.1?}, p99 {:>10.1?}, {:>6} MB/s of blocks",
            run.name,
            round_trips.len(),
            at(50).copied().unwrap_or_default(),
            at(99).copied().unwrap_or_default(),
            bytes as u64 / seconds / 1_000_000,
        );
    }
}

fn node(number: u8, sends: bool, takes_chunks: bool) -> Swarm<Tree> {
    let rng = Rng::from_number(number.into());
    let behaviour = if takes_chunks { tree(&rng, sends) } else { without_chunks(&rng, sends) };
    let config = Config::new(PeerId([number; 32])).with_transport(TcpTransport::new());
    Swarm::new(behaviour, config).expect("default limits are valid")
}

/// The round trips that the sender of blocks saw, and the bytes of blocks that arrived.
async fn measure(run: &Run, time: Duration) -> (Vec<Duration>, usize) {
    let mut far = node(2, false, run.takes_chunks);
    let mut near = node(1, run.sends, true);
    let address = far.listen("127.0.0.1:0".parse().expect("an address")).await.expect("a port on loopback");
    near.dial(address).expect("room for a connection");
    let far = tokio::spawn(async move {
        let _ = tokio::time::timeout(time, until_closed(&mut far)).await;
        far.behaviour().blocks.heard_bytes
    });
    let mut round_trips = Vec::new();
    let _ = tokio::time::timeout(time, async {
        while let Some(event) = near.next().await {
            match event {
                Event::Behaviour(TreeEvent::Ping(it)) => round_trips.push(it.round_trip),
                Event::Closed { reason, .. } => panic!("{reason}"),
                _ => {}
            }
        }
    })
    .await;
    (round_trips, far.await.expect("the other node"))
}

async fn until_closed(swarm: &mut Swarm<Tree>) {
    while swarm.next().await.is_some() {}
}
