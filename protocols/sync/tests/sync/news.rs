//! What peers say they have, and what it costs to look.

use spacetime_core::wire::{HandshakeAck, Headers, MessageType};
use spacetime_core::{Event, Hash, Signal};
use spacetime_simulator::Simulation;
use spacetime_sync::{Config, State};

use crate::chain::Chain;
use crate::{Node, NodeEvent, SECOND, add_node, offences, state};

/// A peer says that it has a block that nobody knows.
fn announce(simulation: &mut Simulation<Node>, node: usize, number: u32) {
    let from = simulation.swarm(node).peers().next().unwrap().0;
    let hash = Hash::of(&number.to_le_bytes());
    simulation.act(node, |_, cx| cx.signal(Signal::BlockAnnounced { from, hash }));
}

#[test]
fn a_peer_that_says_it_has_news_without_end_is_asked_once_a_second() {
    let mut simulation = Simulation::new(61);
    let config = Config::default().with_poll_interval(SECOND * 1000);
    let node = add_node(&mut simulation, &Chain::generate(1, 0), config);
    let (puppet, address) = simulation.puppet_listen();
    simulation.act(node, |_, cx| cx.dial(address)).unwrap();
    simulation.run_for(SECOND);
    simulation.puppet_send_message(puppet, &HandshakeAck);
    let asked = |simulation: &mut Simulation<Node>| {
        let frames = simulation.puppet_frames(puppet).into_iter();
        let questions = frames.filter(|(it, _)| *it == MessageType::GET_HEADERS).count();
        (0..questions).for_each(|_| simulation.puppet_send_message(puppet, &Headers::new(&[])));
        questions
    };
    for _ in 0..2000 {
        simulation.run_for(SECOND / 2);
        asked(&mut simulation);
    }
    assert_eq!(state(&simulation, node), State::Synced);
    let mut questions = 0;
    for number in 0..200 {
        announce(&mut simulation, node, number);
        simulation.run_for(SECOND / 20);
        questions += asked(&mut simulation);
    }
    assert!((9..=12).contains(&questions), "{questions} in 10 s");
}

#[test]
fn a_peer_with_a_lighter_chain_is_asked_for_it_again_after_a_minute_whatever_it_says() {
    let heavy = Chain::generate(1, 100);
    let light = heavy.fork_after(50, 60, 1);
    let mut simulation = Simulation::new(62);
    let node = add_node(&mut simulation, &heavy, Config::default());
    let server = add_node(&mut simulation, &light, Config::default());
    simulation.act(server, |node, cx| {
        spacetime_core::NetworkBehaviour::on_command(
            node,
            cx,
            crate::NodeCommand::Sync(spacetime_sync::Command::Stop),
        );
    });
    simulation.dial(node, server).unwrap();
    simulation.run_for(SECOND * 5);
    let questions = |simulation: &Simulation<Node>| {
        let is_question = |event: &Event<NodeEvent>| {
            matches!(event, Event::Behaviour(NodeEvent::Sync(spacetime_sync::Event::ReadHeaders { .. })))
        };
        simulation.events(server).iter().filter(|(_, event)| is_question(event)).count()
    };
    let before = questions(&simulation);
    for number in 0..400 {
        announce(&mut simulation, node, number);
        simulation.run_for(SECOND / 10);
    }
    assert_eq!(questions(&simulation), before);
    simulation.run_for(SECOND * 60);
    assert!(questions(&simulation) > before, "it may be another one by now");
}

#[test]
fn two_headers_that_claim_all_the_work_there_is_do_not_make_their_chain_worth_trying() {
    let honest = Chain::generate(1, 100);
    let made_up = honest.fork_after(50, 2, i64::MAX);
    let mut simulation = Simulation::new(63);
    let node = add_node(&mut simulation, &honest, Config::default());
    let liar = add_node(&mut simulation, &made_up, Config::default());
    simulation.act(liar, |node, cx| {
        spacetime_core::NetworkBehaviour::on_command(
            node,
            cx,
            crate::NodeCommand::Sync(spacetime_sync::Command::Stop),
        );
    });
    simulation.dial(node, liar).unwrap();
    simulation.run_for(SECOND * 30);
    assert_eq!((honest.len(), honest.reorganisations()), (101, 0));
    assert_eq!(simulation.swarm(node).behaviour().sync.progress().downloaded_blocks, 0);
    assert_eq!(offences(&simulation, node), []);
}

#[test]
fn blocks_wait_for_a_silent_peer_as_long_as_its_question_may_take_and_no_longer() {
    let (full, empty) = (Chain::generate(1, 400), Chain::generate(1, 0));
    let mut simulation = Simulation::new(64);
    let node = add_node(&mut simulation, &empty, Config::default().with_max_reorg_depth(10));
    let silent = add_node(&mut simulation, &full, Config::default());
    simulation.set_application(silent, |_| Vec::new());
    let server = add_node(&mut simulation, &full, Config::default());
    for peer in [silent, server] {
        simulation.dial(node, peer).unwrap();
    }
    simulation.run_for(SECOND * 2);
    assert_eq!(empty.len(), 11, "no further than it may go back");
    assert!(simulation.run_until(SECOND * 2 / 3, |_| empty.len() > 11));
}
