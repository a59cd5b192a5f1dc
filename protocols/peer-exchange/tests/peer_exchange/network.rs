//! Networks of nodes that ask each other.

use spacetime_core::Event;
use spacetime_simulator::{Simulation, Topology};

use super::*;

fn star(seed: u64) -> Simulation<Node> {
    let mut simulation = Simulation::new(seed).nodes(5, |boot| Node {
        handshake: Handshake::new(spacetime_handshake::Config::new(CHAIN), &boot.rng).unwrap(),
        peer_exchange: PeerExchange::new(Config::default(), &boot.rng).unwrap(),
        book: Book,
    });
    let shared: Arc<[SocketAddr]> = addresses(50).into();
    simulation.act(0, |_, cx| cx.signal(Signal::AddressesToShare(shared)));
    simulation.connect(Topology::Star)
}

#[test]
fn who_dials_a_node_knows_what_it_tells_in_seconds_and_is_told_once() {
    let mut simulation = star(1);
    for duration in [SECOND * 5, MINUTE * 300] {
        simulation.run_for(duration);
        for node in 0..5 {
            let mut told = Vec::new();
            for (_, event) in simulation.events(node) {
                match event {
                    Event::Behaviour(NodeEvent::Book((_, addresses))) => told.push(addresses.len()),
                    Event::Offence { offence, .. } => panic!("{offence}"),
                    _ => {}
                }
            }
            let expected: &[usize] = if node == 0 { &[] } else { &[50] };
            assert_eq!(told, expected, "node {node}");
        }
    }
    // Handshakes aside: at once, after 5, 10, 20, 40 and then each 60 minutes, or somewhat later.
    let frames = simulation.swarm(0).statistics().frames_received;
    assert!((4 * 6..=4 * 10).contains(&frames), "{frames} questions of four in five hours");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut simulation = star(seed);
        simulation.run_for(MINUTE * 60);
        simulation.audit()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
