//! How much of the bandwidth that there may be is used.

use std::time::Duration;

use spacetime_core::{Bandwidth, Event, Limits};
use spacetime_simulator::{LinkConfig, Simulation};
use spacetime_sync::{Config, State};

use crate::chain::Chain;
use crate::{Node, NodeEvent, SECOND, add_limited_node, add_node, offences};

const MIB: u64 = 1 << 20;

/// Blocks of 20 KB of which some are still missing after 15 s at 4 MiB/s.
const BLOCKS: usize = 3500;

/// How much of 4 MiB/s arrives in each of the seconds from the fifth to the fifteenth, of a hundred parts,
/// over lines of 50 ms there and back to 8 peers.
fn percent_used(full: &Chain, bandwidth: Bandwidth) -> Vec<u64> {
    let link = LinkConfig::default()
        .with_latency(Duration::from_millis(25))
        .with_jitter(Duration::ZERO)
        .with_window_bytes(1 << 20);
    let mut simulation: Simulation<Node> = Simulation::new(71).link(link);
    for _ in 0..8 {
        add_node(&mut simulation, full, Config::default());
    }
    let limits = Limits::default().with_bandwidth(bandwidth);
    let empty = Chain::generate(1, 0);
    let node = add_limited_node(&mut simulation, &empty, Config::default(), limits);
    for peer in 0..8 {
        simulation.dial(node, peer).unwrap();
    }
    let received = |simulation: &Simulation<Node>| simulation.swarm(node).statistics().bytes_received;
    simulation.run_for(SECOND * 5);
    let mut before = received(&simulation);
    let seconds = (5..15).map(|_| {
        simulation.run_for(SECOND);
        let bytes = received(&simulation) - std::mem::replace(&mut before, received(&simulation));
        bytes * 100 / (4 * MIB)
    });
    let seconds = seconds.collect();
    assert!(empty.len() < BLOCKS, "it is not over");
    seconds
}

#[test]
fn nine_tenths_of_the_bandwidth_are_used_from_the_fifth_second_on() {
    let full = Chain::generate_large(1, BLOCKS, 20_000);
    for (name, bandwidth) in [
        ("in total", Bandwidth::default().with_download(Some(4 * MIB))),
        // As much for the 4 peers that blocks come from at a time.
        ("per peer", Bandwidth::default().with_download_per_peer(Some(MIB))),
        ("by default", Bandwidth::reference()),
    ] {
        let used = percent_used(&full, bandwidth);
        assert!(used.iter().all(|it| (90..=110).contains(it)), "{name}: {used:?} % of 4 MiB/s");
    }
}

#[test]
fn what_a_node_holds_back_itself_is_no_failure_of_a_peer() {
    // A block takes 200 s, and an answer has 30 s, or at most 120 where this node holds it back.
    let (full, empty) = (Chain::generate_large(1, 6, 2_000_000), Chain::generate(1, 0));
    let limits = Limits::default().with_bandwidth(Bandwidth::default().with_download_per_peer(Some(10_000)));
    let mut simulation: Simulation<Node> = Simulation::new(72);
    add_node(&mut simulation, &full, Config::default());
    let node = add_limited_node(&mut simulation, &empty, Config::default(), limits);
    simulation.dial(node, 0).unwrap();
    let has_all = simulation.run_until(SECOND * 7200, |_| empty.len() == 7);
    assert!(has_all, "{:?}", simulation.swarm(node).behaviour().sync.progress());
    assert!(offences(&simulation, node).is_empty());
    let has_failed = simulation.events(node).iter().any(|(_, event)| {
        matches!(
            event,
            Event::Behaviour(NodeEvent::Sync(spacetime_sync::Event::StateChanged { state: State::Failed }))
        )
    });
    assert!(!has_failed);
    assert_eq!(simulation.swarm(node).behaviour().sync.progress().downloaded_blocks, 6);
}
