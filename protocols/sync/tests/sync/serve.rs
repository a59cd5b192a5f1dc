//! Serving.

use spacetime_core::wire::{Block, Decode as _, GetBlock, GetHeaders, Headers, MessageType};
use spacetime_core::{ConnectionId, Event, Hash, Offence, Rng};
use spacetime_handshake::Handshake;
use spacetime_simulator::{Lone, PuppetId, Simulation, handshake_frame};
use spacetime_sync::{Command, Config, State, Sync};

use crate::chain::Chain;
use crate::{Node, NodeCommand, NodeEvent, SECOND, add_node, chain_id, offences, rules, state};

/// A node with `blocks` blocks, and a version-1 puppet that asks it.
fn served(seed: u64, blocks: usize) -> (Simulation<Node>, Chain, PuppetId) {
    let chain = Chain::generate(1, blocks);
    let mut simulation = Simulation::new(seed);
    let node = add_node(&mut simulation, &chain, Config::default());
    let puppet = simulation.puppet_dial(node).unwrap();
    simulation.puppet_introduce_version_1(puppet, "a version-1 node");
    simulation.run_for(SECOND);
    simulation.puppet_frames(puppet);
    (simulation, chain, puppet)
}

fn headers(
    simulation: &mut Simulation<Node>,
    puppet: PuppetId,
    locator: Hash,
    stop: Option<Hash>,
    max: i32,
) -> usize {
    simulation.puppet_send_message(puppet, &GetHeaders { locator, stop, max_headers: max });
    simulation.run_for(SECOND * 10);
    let mut frames = simulation.puppet_frames(puppet).into_iter();
    let (_, payload) = frames.find(|(message_type, _)| *message_type == MessageType::HEADERS).unwrap();
    Headers::decode(&payload).unwrap().len()
}

fn hash(chain: &Chain, height: usize) -> Hash {
    spacetime_core::chain::block_hash(&chain.blocks()[height]).unwrap()
}

#[test]
fn headers_follow_the_locator_up_to_the_stop() {
    let (mut simulation, chain, puppet) = served(1, 2100);
    for (locator, stop, max, expected) in [
        (Hash::ZERO, None, 5, 5),
        (Hash::ZERO, None, i32::MAX, 2000),
        (hash(&chain, 0), None, 2000, 2000),
        (hash(&chain, 2000), None, 2000, 100),
        (hash(&chain, 2100), None, 2000, 0),
        (hash(&chain, 10), Some(hash(&chain, 15)), 2000, 5),
        (Hash([9; 32]), None, 2000, 0),
    ] {
        assert_eq!(
            headers(&mut simulation, puppet, locator, stop, max),
            expected,
            "{locator:?} {stop:?} {max}"
        );
    }
}

#[test]
fn answers_come_in_the_order_of_the_questions() {
    let (mut simulation, chain, puppet) = served(2, 50);
    for height in (1..=50).rev() {
        simulation.puppet_send_message(puppet, &GetBlock { hash: hash(&chain, height) });
    }
    simulation.run_for(SECOND * 10);
    let blocks: Vec<_> = simulation.puppet_frames(puppet).into_iter().map(|(_, payload)| payload).collect();
    let expected: Vec<_> = chain.blocks().into_iter().skip(1).rev().collect();
    assert_eq!(blocks, expected);
    assert!(Block::decode(&blocks[0]).is_ok());
}

#[test]
fn an_unknown_block_is_not_answered_and_holds_nothing_up() {
    let (mut simulation, chain, puppet) = served(3, 5);
    simulation.puppet_send_message(puppet, &GetBlock { hash: Hash([1; 32]) });
    simulation.puppet_send_message(puppet, &GetBlock { hash: hash(&chain, 3) });
    simulation.run_for(SECOND);
    assert_eq!(simulation.puppet_frames(puppet).len(), 1);
}

#[test]
fn a_version_1_node_that_waits_for_an_answer_is_sent_nothing_else() {
    let (mut simulation, chain, puppet) = served(6, 200);
    for height in 1..=200 {
        simulation.puppet_send_message(puppet, &GetBlock { hash: hash(&chain, height) });
        simulation.run_for(SECOND);
        let (message_type, payload) = simulation.puppet_frames(puppet).remove(0);
        assert_eq!((message_type, payload), (MessageType::BLOCK, chain.blocks()[height].clone()));
    }
    // It has been quiet for a while, and may know something newer.
    simulation.run_for(SECOND * 20);
    assert_eq!(simulation.puppet_frames(puppet)[0].0, MessageType::GET_HEADERS);
}

#[test]
fn too_many_questions_at_a_time_are_charged_and_ignored() {
    let (mut simulation, chain, puppet) = served(4, 5);
    for _ in 0..1000 {
        simulation.puppet_send_message(puppet, &GetBlock { hash: hash(&chain, 3) });
    }
    simulation.run_for(SECOND * 20);
    assert!(offences(&simulation, 0).iter().any(|offence| matches!(offence, Offence::TooMuch(_))));
    assert!(!simulation.puppet_is_closed(puppet));
}

#[test]
fn serving_does_not_keep_a_node_from_its_own_download() {
    let (full, empty) = (Chain::generate(1, 500), Chain::generate(1, 0));
    let mut simulation = Simulation::new(5);
    add_node(&mut simulation, &full, Config::default());
    let node = add_node(&mut simulation, &empty, Config::default());
    let greedy = simulation.puppet_dial(node).unwrap();
    simulation.puppet_introduce_version_1(greedy, "greedy");
    simulation.dial(node, 0).unwrap();
    for _ in 0..2000 {
        simulation
            .puppet_send_message(greedy, &GetHeaders { locator: Hash::ZERO, stop: None, max_headers: 2000 });
    }
    assert!(simulation.run_until(SECOND * 120, |it| state(it, node) == State::Synced || empty.len() == 501));
}

/// How much a node has read for others, and how much it did not need to.
fn reads(simulation: &Simulation<Node>, node: usize) -> (u64, u64) {
    let statistics = simulation.swarm(node).behaviour().sync.statistics();
    (statistics.reads, statistics.saved_reads)
}

#[test]
fn headers_that_many_ask_for_are_read_once() {
    let full = Chain::generate(1, 5000);
    let mut simulation = Simulation::new(7);
    let server = add_node(&mut simulation, &full, Config::default());
    let chains: Vec<_> = (0..8).map(|_| Chain::generate(1, 0)).collect();
    for chain in &chains {
        let node = add_node(&mut simulation, chain, Config::default());
        simulation.dial(node, server).unwrap();
    }
    assert!(simulation.run_until(SECOND * 300, |_| chains.iter().all(|chain| chain.len() == 5001)));
    let is_read = |event: &Event<NodeEvent>| {
        matches!(event, Event::Behaviour(NodeEvent::Sync(spacetime_sync::Event::ReadHeaders { .. })))
    };
    let read = simulation.events(server).iter().filter(|(_, event)| is_read(event)).count();
    let (reads, saved) = reads(&simulation, server);
    assert_eq!(reads, read as u64 + 8 * 5000, "whatever is read is counted");
    // The first 16, twice 2000, and later nothing: of each the first one is read, or the first two.
    assert!(saved >= 6 * 4, "{saved} saved, {read} read");
}

#[test]
fn headers_of_a_chain_that_was_left_are_not_sent_again() {
    let (mut simulation, chain, puppet) = served(8, 20);
    let genesis = hash(&chain, 0);
    for _ in 0..2 {
        assert_eq!(headers(&mut simulation, puppet, genesis, None, 10), 10);
    }
    assert_eq!(reads(&simulation, 0), (1, 1));
    // Another one, that is heavier and parts at the fifth block.
    let heavy = chain.fork_after(5, 30, 1000);
    let server = add_node(&mut simulation, &heavy, Config::default());
    simulation.dial(0, server).unwrap();
    let is_there = simulation.run_until(SECOND * 60, |_| chain.blocks() == heavy.blocks());
    assert!(is_there, "{:?}", simulation.swarm(0).behaviour().sync.progress());
    simulation.puppet_frames(puppet);
    simulation.puppet_send_message(puppet, &GetHeaders { locator: genesis, stop: None, max_headers: 10 });
    simulation.run_for(SECOND * 5);
    let frames = simulation.puppet_frames(puppet);
    let (_, payload) = frames.iter().find(|(it, _)| *it == MessageType::HEADERS).unwrap();
    let last = Headers::decode(payload).unwrap().iter().last().unwrap().to_vec();
    assert_eq!(crate::chain::header_hash(&last), hash(&heavy, 10));
}

/// Whether a peer was asked for headers since the last call.
fn is_asked(lone: &mut Lone<Node>, peer: ConnectionId) -> bool {
    lone.sent(peer).iter().any(|(message_type, _)| *message_type == MessageType::GET_HEADERS)
}

#[test]
fn who_was_answered_in_the_turn_of_somebody_else_can_be_asked() {
    let chain = Chain::generate(1, 0);
    let config = Config::default().with_max_reads(1);
    let rng = Rng::from_number(1);
    let mut lone = Lone::new(Node {
        handshake: Handshake::new(spacetime_handshake::Config::new(chain_id()), &rng).unwrap(),
        sync: Sync::new(config, rules(), chain.recent(), &rng).unwrap(),
    });
    let (reader, asker) = (lone.connect(), lone.connect());
    for (peer, name) in [(reader, "the reader"), (asker, "the asker")] {
        lone.give_bytes(peer, &handshake_frame(name, None));
        lone.give(peer, &Headers::packed(290, &[]));
        is_asked(&mut lone, peer);
    }
    let tip = chain.tip().hash;
    lone.give(reader, &GetBlock { hash: tip });
    let reads = lone.events().into_iter().find_map(|event| match event {
        NodeEvent::Sync(spacetime_sync::Event::ReadBlock { read, .. }) => Some(read),
        _ => None,
    });
    // It waits for the only place, though its answer is at hand.
    lone.give(asker, &GetHeaders { locator: tip, stop: None, max_headers: 2000 });
    assert!(lone.sent(asker).is_empty());
    lone.command(NodeCommand::Sync(Command::BlockRead { read: reads.unwrap(), answer: None }));
    assert_eq!(lone.sent(asker).len(), 1, "the answer");
    let mut times_asked = 0;
    for _ in 0..60 {
        lone.advance(SECOND);
        if is_asked(&mut lone, asker) {
            lone.give(asker, &Headers::packed(290, &[]));
            times_asked += 1;
        }
    }
    assert!(times_asked > 0);
}
