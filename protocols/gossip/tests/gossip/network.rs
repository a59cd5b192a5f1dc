//! Networks of nodes that gossip.

use proptest::prelude::*;
use spacetime_core::Event;
use spacetime_peer_exchange::PeerExchange;
use spacetime_simulator::{Simulation, Topology};

use super::*;

fn network(seed: u64, nodes: usize, topology: Topology) -> Simulation<Node> {
    let mut simulation =
        Simulation::new(seed).nodes(nodes, |boot| Node::new(Config::default(), &boot.rng)).connect(topology);
    simulation.run_for(SECOND * 5);
    simulation
}

/// Somebody tells a node something.
fn tell(simulation: &mut Simulation<Node>, node: usize, addresses: &[SocketAddr]) {
    let puppet = simulation.puppet_dial(node).unwrap();
    simulation.puppet_introduce(puppet, "a puppet", CHAIN);
    simulation.puppet_send_message(puppet, &Peers::new(addresses));
    simulation.run_for(SECOND);
    simulation.puppet_close(puppet);
}

/// How often nodes were told addresses, and how many each time.
fn heard(simulation: &Simulation<Node>) -> Vec<usize> {
    let count = |event: &Event<NodeEvent>| match event {
        Event::Behaviour(NodeEvent::Book((_, addresses))) => Some(addresses.len()),
        _ => None,
    };
    (0..simulation.len())
        .flat_map(|node| simulation.events(node).iter().filter_map(move |(_, event)| count(event)))
        .collect()
}

fn knows(simulation: &Simulation<Node>, node: usize, address: SocketAddr) -> bool {
    simulation.swarm(node).behaviour().book.addresses.contains(&address)
}

#[test]
fn in_a_ring_all_know_a_new_address_within_a_minute_and_hear_it_twice_at_most() {
    for seed in 0..10 {
        let mut simulation = network(seed, 10, Topology::Ring);
        let new = address("9.9.9.9:8333");
        tell(&mut simulation, 0, &[new]);
        simulation.run_for(MINUTE);
        assert!((0..10).all(|node| knows(&simulation, node, new)), "{seed}");
        let messages = heard(&simulation).len();
        assert!((10..=12).contains(&messages), "{messages}");
        simulation.run_for(HOUR * 5);
        assert_eq!(heard(&simulation).len(), messages, "it ends");
    }
}

#[test]
fn two_nodes_do_not_tell_each_other_the_same_thing_again_and_again() {
    let mut simulation = network(1, 2, Topology::Line);
    tell(&mut simulation, 0, &addresses(5));
    simulation.run_for(HOUR * 30);
    assert_eq!(heard(&simulation), [5, 5], "one from the puppet, one from the other node");
}

#[test]
fn three_nodes_in_a_circle_stop_telling_each_other() {
    let mut simulation = network(2, 3, Topology::Full);
    tell(&mut simulation, 0, &addresses(1));
    simulation.run_for(HOUR * 30);
    // The puppet tells one, which tells two, which may tell each other before they hear of it.
    let messages = heard(&simulation).len();
    assert!((3..=5).contains(&messages), "{messages}");
}

#[test]
fn in_a_random_network_nearly_all_hear_of_it_and_nobody_more_than_from_each_peer() {
    let mut reached = 0;
    for seed in 0..5 {
        let mut simulation = network(seed, 50, Topology::Random { degree: 8 });
        let new = address("9.9.9.9:8333");
        tell(&mut simulation, 7, &[new]);
        simulation.run_for(MINUTE * 2);
        reached += (0..50).filter(|node| knows(&simulation, *node, new)).count();
        let messages = heard(&simulation).len();
        assert!(messages <= 1 + 50 * 3, "{messages}");
    }
    assert!(reached >= 5 * 43, "{reached} of 250");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_told_nothing_of_no_use_is_learned_and_nothing_grows_beyond_its_limit(
        messages in prop::collection::vec(
            (0..6_usize, 0..3600_u64, prop::collection::vec((any::<u32>(), any::<u16>()), 0..30)),
            1..40,
        ),
    ) {
        let mut lone = node(Config::default());
        let peers = connect_many(&mut lone, 6);
        for (peer, seconds, message) in messages {
            let message: Vec<_> =
                message.into_iter().map(|(ip, port)| SocketAddr::new(std::net::Ipv4Addr::from(ip).into(), port)).collect();
            lone.give(peers[peer], &Peers::new(&message));
            lone.advance(SECOND * seconds as u32);
            for (from, addresses) in learned(&mut lone) {
                prop_assert_eq!(from, peers[peer]);
                prop_assert!(addresses.iter().all(|it| Config::default().accepts(*it) && message.contains(it)));
            }
            for peer in &peers {
                prop_assert!(told(&mut lone, *peer).iter().all(|it| it.len() <= 20));
            }
        }
        prop_assert!(lone.offences().is_empty());
    }
}

#[derive(NetworkBehaviour, Debug)]
struct Full {
    handshake: Handshake,
    gossip: Gossip,
    peer_exchange: PeerExchange,
    book: Book,
}

#[test]
fn gossip_that_crosses_a_question_charges_nobody_and_all_of_it_is_learned() {
    let mut simulation = Simulation::new(4).nodes(2, |boot| Full {
        handshake: Handshake::new(spacetime_handshake::Config::new(CHAIN), &boot.rng).unwrap(),
        // Gossip leaves at once, so that it is on its way when the question is asked.
        gossip: Gossip::new(
            Config::default()
                .with_own_address(Some(address(&format!("7.7.7.{}:8333", boot.index + 1))))
                .with_forward_delay(Duration::ZERO),
            &boot.rng,
        )
        .unwrap(),
        peer_exchange: PeerExchange::new(Default::default(), &boot.rng).unwrap(),
        book: Book::default(),
    });
    let shared = addresses(10);
    simulation.act(1, |_, cx| cx.signal(Signal::AddressesToShare(shared.as_slice().into())));
    simulation.dial(0, 1).unwrap();
    simulation.run_for(MINUTE);
    for node in 0..2 {
        let charged = |(_, event): &(_, Event<_>)| matches!(event, Event::Offence { .. });
        assert!(!simulation.events(node).iter().any(charged));
    }
    let learned = &simulation.swarm(0).behaviour().book.addresses;
    assert!(shared.iter().all(|it| learned.contains(it)));
    assert!(learned.contains(&address("7.7.7.2:8333")));
}
