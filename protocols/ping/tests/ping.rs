//! Pings in a simulated network, and with puppets that speak version 1.

use std::time::Duration;

use spacetime_core::wire::{Decode as _, HandshakeAck, MessageType, Ping as PingMessage, Pong};
use spacetime_core::{CloseReason, Event, Hash, Limits, NetworkBehaviour, Offence};
use spacetime_handshake::Handshake;
use spacetime_ping::{Config, Ping};
use spacetime_simulator::{LinkConfig, PuppetId, Simulation};

const CHAIN: Hash = Hash([7; 32]);
const SECOND: Duration = Duration::from_secs(1);

#[derive(NetworkBehaviour)]
struct Node {
    handshake: Handshake,
    ping: Ping,
}

fn network(seed: u64, nodes: usize) -> Simulation<Node> {
    let links = LinkConfig::default().with_latency(Duration::from_millis(30)).with_jitter(Duration::ZERO);
    let mut simulation = Simulation::new(seed).link(links);
    for _ in 0..nodes {
        simulation.add_node(Limits::default(), |boot| Node {
            handshake: Handshake::new(spacetime_handshake::Config::new(CHAIN), &boot.rng).unwrap(),
            ping: Ping::new(Config::default(), &boot.rng).unwrap(),
        });
    }
    simulation
}

fn closed(simulation: &Simulation<Node>) -> Option<CloseReason> {
    simulation.events(0).iter().find_map(|(_, event)| match event {
        Event::Closed { reason, .. } => Some(reason.clone()),
        _ => None,
    })
}

fn measured(simulation: &Simulation<Node>, node: usize) -> Vec<Duration> {
    let round_trip = |event: &Event<NodeEvent>| match event {
        Event::Behaviour(NodeEvent::Ping(event)) => Some(event.round_trip),
        _ => None,
    };
    simulation.events(node).iter().filter_map(|(_, event)| round_trip(event)).collect()
}

/// The pings that arrived at a puppet.
fn pings(simulation: &mut Simulation<Node>, puppet: PuppetId) -> Vec<PingMessage> {
    let frames = simulation.puppet_frames(puppet).into_iter();
    frames
        .filter(|(message_type, _)| *message_type == MessageType::PING)
        .map(|(_, payload)| PingMessage::decode(&payload).unwrap())
        .collect()
}

fn pongs(simulation: &mut Simulation<Node>, puppet: PuppetId) -> Vec<i64> {
    let frames = simulation.puppet_frames(puppet).into_iter();
    frames
        .filter(|(message_type, _)| *message_type == MessageType::PONG)
        .map(|(_, payload)| Pong::decode(&payload).unwrap().nonce)
        .collect()
}

fn has_offence(simulation: &Simulation<Node>, expected: Offence) -> bool {
    simulation
        .events(0)
        .iter()
        .any(|(_, event)| matches!(event, Event::Offence { offence, .. } if *offence == expected))
}

fn puppet(simulation: &mut Simulation<Node>) -> PuppetId {
    let puppet = simulation.puppet_dial(0).unwrap();
    simulation.puppet_introduce(puppet, "a puppet", CHAIN);
    simulation.run_for(SECOND);
    puppet
}

fn version_1_puppet(simulation: &mut Simulation<Node>) -> PuppetId {
    let puppet = simulation.puppet_dial(0).unwrap();
    simulation.puppet_introduce_version_1(puppet, "a version-1 node");
    simulation.run_for(SECOND);
    puppet
}

#[test]
fn pings_keep_going_on_deadlines_alone() {
    let mut simulation = network(1, 2);
    simulation.dial(0, 1).unwrap();
    simulation.run_for(SECOND * 1000);
    for node in 0..2 {
        let measured = measured(&simulation, node);
        // Every 120 to 150 s, the first at once.
        assert!((7..=9).contains(&measured.len()), "{measured:?}");
        assert!(measured.iter().all(|round_trip| *round_trip == Duration::from_millis(60)), "{measured:?}");
    }
    let (connection, _) = simulation.swarm(0).peers().next().unwrap();
    let statistics = simulation.swarm(0).behaviour().ping.round_trip(connection).unwrap();
    assert_eq!((statistics.min, statistics.smoothed), (Duration::from_millis(60), Duration::from_millis(60)));
    assert_eq!(statistics.count as usize, measured(&simulation, 0).len());
}

#[test]
fn a_peer_that_does_not_answer_is_closed_after_the_timeout() {
    let mut simulation = network(2, 1);
    let puppet = puppet(&mut simulation);
    assert_eq!(pings(&mut simulation, puppet).len(), 1);
    simulation.run_for(SECOND * 18);
    assert!(!simulation.puppet_is_closed(puppet));
    simulation.run_for(SECOND * 2);
    assert_eq!(closed(&simulation), Some(CloseReason::PingTimeout));
    let last = simulation.puppet_frames(puppet).pop().unwrap();
    assert_eq!(last.0, MessageType::ERROR, "the peer is told why");
}

#[test]
fn only_the_nonce_answers() {
    let mut simulation = network(3, 1);
    let puppet = puppet(&mut simulation);
    let asked = pings(&mut simulation, puppet)[0];
    simulation.puppet_send_message(puppet, &Pong { nonce: asked.nonce.wrapping_add(1), timestamp: 0 });
    simulation.run_for(SECOND);
    assert!(measured(&simulation, 0).is_empty());
    assert!(has_offence(&simulation, Offence::Unsolicited(MessageType::PONG)));
    simulation.puppet_send_message(puppet, &Pong { nonce: asked.nonce, timestamp: i64::MIN });
    simulation.run_for(SECOND);
    assert_eq!(measured(&simulation, 0).len(), 1);
    simulation.run_for(SECOND * 60);
    assert_eq!(closed(&simulation), None);
}

#[test]
fn a_ping_is_answered_once() {
    let mut simulation = network(4, 1);
    let puppet = puppet(&mut simulation);
    for nonce in [5, 5, -1, 5, i64::MAX] {
        simulation.puppet_send_message(puppet, &PingMessage { nonce, timestamp: 0 });
    }
    simulation.run_for(SECOND);
    assert_eq!(pongs(&mut simulation, puppet), [5, -1, i64::MAX]);
}

#[test]
fn a_version_1_node_answers_a_ping_with_a_ping() {
    let mut simulation = network(5, 1);
    let puppet = version_1_puppet(&mut simulation);
    assert!(pings(&mut simulation, puppet).is_empty(), "it may be waiting for an answer of ours");
    simulation.run_for(SECOND * 121);
    let asked = pings(&mut simulation, puppet)[0];
    simulation.puppet_send_message(puppet, &asked);
    // It would answer an answer for ever.
    simulation.puppet_send_message(puppet, &asked);
    simulation.run_for(SECOND);
    assert_eq!(measured(&simulation, 0).len(), 1);
    // The second one is a question, for all we know, and is answered once.
    simulation.puppet_send_message(puppet, &asked);
    simulation.run_for(SECOND);
    assert_eq!(pongs(&mut simulation, puppet), [asked.nonce]);
}

#[test]
fn a_version_1_node_that_talks_is_not_disturbed() {
    let mut simulation = network(6, 1);
    let puppet = version_1_puppet(&mut simulation);
    for _ in 0..50 {
        simulation.puppet_send_message(puppet, &PingMessage { nonce: 1, timestamp: 0 });
        simulation.run_for(SECOND * 100);
    }
    assert!(pings(&mut simulation, puppet).is_empty());
    simulation.run_for(SECOND * 200);
    assert_eq!(closed(&simulation), Some(CloseReason::PingTimeout));
}

#[test]
fn a_dialled_version_1_node_is_pinged_when_it_is_idle() {
    let mut simulation = network(7, 1);
    let (puppet, address) = simulation.puppet_listen();
    simulation.act(0, |_, cx| cx.dial(address)).unwrap();
    simulation.run_for(SECOND);
    simulation.puppet_send_message(puppet, &HandshakeAck);
    simulation.run_for(SECOND * 119);
    assert!(pings(&mut simulation, puppet).is_empty());
    simulation.run_for(SECOND * 4);
    assert_eq!(pings(&mut simulation, puppet).len(), 1);
}

#[test]
fn malformed_pings_are_charged_and_tolerated() {
    let mut simulation = network(8, 1);
    let puppet = puppet(&mut simulation);
    simulation.puppet_send(puppet, &[2, 0, 0, 0, 4, 0]);
    simulation.run_for(SECOND);
    let charged = |(_, event): &(_, Event<NodeEvent>)| {
        matches!(
            event,
            Event::Offence { offence: Offence::Malformed { message_type: MessageType::PING, .. }, .. }
        )
    };
    assert!(simulation.events(0).iter().any(charged));
    assert_eq!(closed(&simulation), None);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut simulation = network(seed, 5);
        for node in 1..5 {
            simulation.dial(node, 0).unwrap();
        }
        simulation.run_for(SECOND * 600);
        simulation.audit()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
