//! Keeping connections in a simulated network.

use spacetime_core::wire::{MessageType, Pong};
use spacetime_core::{Event, Limits};
use spacetime_handshake::Handshake;
use spacetime_simulator::{Boot, Lone, Simulation};

use super::*;

#[derive(NetworkBehaviour)]
struct Node {
    handshake: Handshake,
    peers: Peers,
}

fn peers(boot: &Boot, kept: &[Address]) -> Peers {
    let config = Config::default().with_kept(kept.iter().cloned());
    Peers::new(config, Stored::default(), boot.unix_seconds, &boot.rng).unwrap()
}

fn add_node(simulation: &mut Simulation<Node>, chain: Hash, addresses: &[Address]) -> usize {
    simulation.add_node(Limits::default(), |boot| Node {
        handshake: Handshake::new(spacetime_handshake::Config::new(chain), &boot.rng).unwrap(),
        peers: peers(&boot, addresses),
    })
}

fn sessions(simulation: &Simulation<Node>, node: usize) -> usize {
    simulation.swarm(node).peers().count()
}

/// When a node's dials failed.
fn failures(simulation: &Simulation<Node>, node: usize) -> Vec<Time> {
    let failed =
        |(at, event): &(Time, Event<NodeEvent>)| matches!(event, Event::DialFailed { .. }).then_some(*at);
    simulation.events(node).iter().filter_map(failed).collect()
}

#[test]
fn given_addresses_are_dialled_at_once_and_again_after_a_loss() {
    let mut simulation = Simulation::new(1);
    let other = add_node(&mut simulation, CHAIN, &[]);
    let address = simulation.address(other);
    let node = add_node(&mut simulation, CHAIN, &[address]);
    simulation.run_for(SECOND);
    assert_eq!(sessions(&simulation, node), 1);
    let (connection, _) = simulation.swarm(other).peers().next().unwrap();
    simulation.act(other, |_, cx| cx.close(connection, CloseReason::Requested));
    simulation.run_for(SECOND / 2);
    assert_eq!(sessions(&simulation, node), 0);
    simulation.run_for(SECOND * 2);
    assert_eq!(sessions(&simulation, node), 1);
}

#[test]
fn an_address_that_does_not_answer_is_dialled_less_and_less_often() {
    let mut simulation = Simulation::new(2);
    let node = add_node(&mut simulation, CHAIN, &[Address::memory(99)]);
    simulation.run_for(SECOND * 600);
    let failures = failures(&simulation, node);
    let waits: Vec<_> = failures.windows(2).map(|pair| pair[1].since(pair[0]).as_secs_f64()).collect();
    for (wait, base) in waits.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]) {
        assert!((base..base * 1.25 + 0.2).contains(wait), "{waits:?}");
    }
}

#[test]
fn a_peer_of_another_chain_is_left_alone_for_long() {
    let mut simulation = Simulation::new(3);
    let other = add_node(&mut simulation, Hash([8; 32]), &[]);
    let address = simulation.address(other);
    let node = add_node(&mut simulation, CHAIN, &[address]);
    simulation.run_for(SECOND * 590);
    assert_eq!(failures(&simulation, node).len(), 1);
}

#[test]
fn offences_add_up_until_the_session_ends() {
    #[derive(NetworkBehaviour)]
    struct Pinging {
        handshake: Handshake,
        peers: Peers,
        ping: spacetime_ping::Ping,
    }
    let mut simulation = Simulation::new(4);
    simulation.add_node(Limits::default(), |boot| Pinging {
        handshake: Handshake::new(spacetime_handshake::Config::new(CHAIN), &boot.rng).unwrap(),
        peers: peers(&boot, &[]),
        ping: spacetime_ping::Ping::new(spacetime_ping::Config::default(), &boot.rng).unwrap(),
    });
    let puppet = simulation.puppet_dial(0).unwrap();
    simulation.puppet_introduce(puppet, "puppet", CHAIN);
    simulation.run_for(SECOND);
    let (connection, _) = simulation.swarm(0).peers().next().unwrap();
    for sent in 1..=5 {
        assert_eq!(simulation.swarm(0).behaviour().peers.score(connection), (sent - 1) * -2);
        simulation.puppet_send_message(puppet, &Pong::default());
        simulation.run_for(SECOND);
        assert_eq!(simulation.puppet_is_closed(puppet), sent * -2 <= -10);
    }
    let (last, _) = simulation.puppet_frames(puppet).pop().unwrap();
    assert_eq!(last, MessageType::ERROR);
}

#[test]
fn addresses_come_and_go() {
    let mut simulation = Simulation::new(5);
    let others: Vec<_> = (0..3).map(|_| add_node(&mut simulation, CHAIN, &[])).collect();
    let node = add_node(&mut simulation, CHAIN, &[]);
    for other in &others {
        let address = simulation.address(*other);
        simulation.act(node, |node, cx| node.on_command(cx, NodeCommand::Peers(Command::Add(address))));
    }
    simulation.run_for(SECOND);
    assert_eq!(sessions(&simulation, node), 3);
    let first = simulation.address(others[0]);
    simulation.act(node, |node, cx| node.on_command(cx, NodeCommand::Peers(Command::Remove(first))));
    for other in &others {
        let (connection, _) = simulation.swarm(*other).peers().next().unwrap();
        simulation.act(*other, |_, cx| cx.close(connection, CloseReason::Requested));
    }
    simulation.run_for(SECOND * 10);
    assert_eq!(sessions(&simulation, node), 2);
}

#[test]
fn a_peer_that_stays_for_months_is_still_worth_something_after_a_crash() {
    let address: SocketAddr = "203.0.113.1:8333".parse().unwrap();
    let config = Config::default().with_kept([address.into()]);
    let peers = |config, stored, seconds: i64| {
        Peers::new(config, stored, 1_800_000_000 + seconds, &Rng::from_number(1)).unwrap()
    };
    let mut lone = Lone::new(peers(config, Stored::default(), 0));
    lone.advance(SECOND);
    let (connection, _) = lone.dialled()[0].clone();
    lone.answer_dial(connection);
    let days = 60;
    for _ in 0..days {
        lone.advance(SECOND * 86_400);
        lone.events();
    }
    lone.command(Command::Store);
    let stored = lone.events().into_iter().find_map(|event| match event {
        spacetime_peers::Event::StoreBook(records) => Some(Stored::new(records, None)),
        _ => None,
    });
    let again = peers(Config::default(), stored.unwrap(), days as i64 * 86_400);
    assert!(again.book().get(address).is_some());
}
