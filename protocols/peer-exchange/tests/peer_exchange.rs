//! Answering in a simulated network.

use std::time::Duration;

use spacetime_core::wire::{Decode as _, Exclude, GetPeers, MessageType, Peers};
use spacetime_core::{Hash, Limits, NetworkBehaviour};
use spacetime_handshake::Handshake;
use spacetime_peer_exchange::{ANSWER_INTERVAL, PeerExchange};
use spacetime_simulator::{PuppetId, Simulation};

const CHAIN: Hash = Hash([7; 32]);
const SECOND: Duration = Duration::from_secs(1);

#[derive(NetworkBehaviour)]
struct Node {
    handshake: Handshake,
    peer_exchange: PeerExchange,
}

/// A node that has dialled four puppets at IP addresses, and one that asks it.
fn network() -> (Simulation<Node>, PuppetId) {
    let mut simulation = Simulation::new(1);
    simulation.add_node(Limits::default(), |boot| Node {
        handshake: Handshake::new(spacetime_handshake::Config::new(CHAIN), &boot.rng).unwrap(),
        peer_exchange: PeerExchange::new(),
    });
    for last in 1..=4 {
        let address = format!("203.0.113.{last}:8333").parse().unwrap();
        let puppet = simulation.puppet_listen_at(&address);
        simulation.act(0, |_, cx| cx.dial(address)).unwrap();
        simulation.run_for(SECOND);
        simulation.puppet_introduce(puppet, "a puppet", CHAIN);
    }
    let asker = simulation.puppet_dial(0).unwrap();
    simulation.puppet_introduce_version_1(asker, "the asker");
    simulation.run_for(SECOND);
    simulation.puppet_frames(asker);
    (simulation, asker)
}

fn ask(simulation: &mut Simulation<Node>, asker: PuppetId, max_count: i32, exclude: &[&str]) -> Vec<String> {
    simulation.puppet_send_message(asker, &GetPeers { max_count, exclude: Exclude::new(exclude) });
    simulation.run_for(SECOND);
    let (message_type, payload) = simulation.puppet_frames(asker).remove(0);
    assert_eq!(message_type, MessageType::PEERS);
    Peers::decode(&payload).unwrap().iter().map(|address| address.to_string()).collect()
}

#[test]
fn the_answer_is_what_was_dialled_less_what_the_asker_knows() {
    let all: Vec<_> = (1..=4).map(|last| format!("203.0.113.{last}:8333")).collect();
    for (max_count, exclude, expected) in [
        (1000, &[][..], &all[..]),
        (2, &[], &all[..2]),
        (1000, &["203.0.113.1:8333", "nonsense", "[::ffff:203.0.113.2]:8333"], &all[2..]),
    ] {
        let (mut simulation, asker) = network();
        assert_eq!(ask(&mut simulation, asker, max_count, exclude), expected);
    }
}

#[test]
fn asking_again_gives_nothing_more_for_a_while() {
    let (mut simulation, asker) = network();
    assert_eq!(ask(&mut simulation, asker, 10, &[]).len(), 4);
    assert!(ask(&mut simulation, asker, 10, &[]).is_empty());
    simulation.run_for(ANSWER_INTERVAL);
    assert_eq!(ask(&mut simulation, asker, 10, &[]).len(), 4);
}

#[test]
fn who_called_is_not_passed_on() {
    let (mut simulation, asker) = network();
    let caller = simulation.puppet_dial(0).unwrap();
    simulation.puppet_introduce(caller, "a caller", CHAIN);
    simulation.run_for(SECOND);
    assert_eq!(ask(&mut simulation, asker, 10, &[]).len(), 4);
}
