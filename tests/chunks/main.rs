//! Large blocks and pings on one connection: between the chunks of a block a ping passes.

mod blocks;

use std::time::Duration;

use blocks::{MILLISECOND, TreeEvent, tree, without_chunks};
use spacetime_network::Limits;
use spacetime_network::wire::MAX_CHUNK_BYTES;
use spacetime_simulator::{LinkConfig, Simulation};

/// What the line takes in a second.
const LINE: u64 = 10 << 20;

/// The round trips of half a minute, from the shortest to the longest, and the bytes of blocks that came.
fn round_trips(sends: bool) -> (Vec<Duration>, usize) {
    let links = LinkConfig::default()
        .with_latency(MILLISECOND * 20)
        .with_jitter(MILLISECOND)
        .with_cut_percent(0)
        .with_window_bytes(256 * 1024)
        .with_bandwidth(LINE, LINE);
    let mut simulation = Simulation::new(1).link(links);
    simulation.add_node(Limits::default(), move |boot| tree(&boot.rng, sends));
    simulation.add_node(Limits::default(), |boot| tree(&boot.rng, false));
    simulation.dial(0, 1).unwrap();
    simulation.run_for(Duration::from_secs(30));
    let mut round_trips: Vec<_> = simulation
        .events(0)
        .iter()
        .filter_map(|(_, event)| match event {
            spacetime_network::Event::Behaviour(TreeEvent::Ping(it)) => Some(it.round_trip),
            _ => None,
        })
        .collect();
    round_trips.sort_unstable();
    (round_trips, simulation.swarm(1).behaviour().blocks.heard_bytes)
}

#[test]
fn a_ping_waits_for_one_chunk_of_a_block_and_not_for_all_of_it() {
    let p99 = |all: &[Duration]| all[(all.len() - 1) * 99 / 100];
    let (idle, nothing) = round_trips(false);
    let (busy, bytes) = round_trips(true);
    assert_eq!(nothing, 0);
    assert!(idle.len() > 200 && busy.len() > 150, "{} and {}", idle.len(), busy.len());
    // All that the window lets through.
    assert!(bytes > 150 << 20, "{bytes}");
    let chunk = Duration::from_nanos(MAX_CHUNK_BYTES as u64 * 1_000_000_000 / LINE);
    assert!(p99(&busy) <= p99(&idle) * 2 + chunk, "{:?} and {:?}", p99(&busy), p99(&idle));
}

#[test]
fn who_takes_no_chunks_may_send_them() {
    let mut simulation = Simulation::new(3);
    simulation.add_node(Limits::default(), |boot| without_chunks(&boot.rng, true));
    simulation.add_node(Limits::default(), |boot| tree(&boot.rng, true));
    simulation.dial(0, 1).unwrap();
    simulation.run_for(Duration::from_secs(30));
    for node in [0, 1] {
        assert!(simulation.swarm(node).behaviour().blocks.heard_bytes > 0, "{node}");
        assert_eq!(simulation.swarm(node).peers().count(), 1, "{node}");
    }
}

#[test]
fn two_nodes_with_blocks_are_repeatable() {
    let run = || {
        let mut simulation = Simulation::new(7);
        simulation.add_node(Limits::default(), |boot| tree(&boot.rng, true));
        simulation.add_node(Limits::default(), |boot| tree(&boot.rng, true));
        simulation.dial(0, 1).unwrap();
        simulation.run_for(Duration::from_secs(30));
        assert!(simulation.swarm(0).behaviour().blocks.heard_bytes > 0);
        simulation.audit()
    };
    assert_eq!(run(), run());
}
