//! Downloading.

use spacetime_core::chain::InvalidObject;
use spacetime_core::wire::{
    Block, Decode as _, GetBlock, GetHeaders, HandshakeAck, Headers, MessageType, NewBlock,
};
use spacetime_core::{CloseReason, Event, Identity, Offence, Signal};
use spacetime_simulator::{PuppetId, Simulation};
use spacetime_sync::{Config, Progress, StallReason, State};

use crate::chain::Chain;
use crate::{Node, NodeCommand, NodeEvent, SECOND, add_node, offences, state};

fn progress(simulation: &Simulation<Node>, node: usize) -> Progress {
    simulation.swarm(node).behaviour().sync.progress()
}

/// The states that a node went through.
fn states(simulation: &Simulation<Node>, node: usize) -> Vec<State> {
    let state = |event: &Event<NodeEvent>| match event {
        Event::Behaviour(NodeEvent::Sync(spacetime_sync::Event::StateChanged { state })) => Some(*state),
        _ => None,
    };
    simulation.events(node).iter().filter_map(|(_, event)| state(event)).collect()
}

#[test]
fn an_empty_node_gets_the_whole_chain() {
    let (full, empty) = (Chain::generate(1, 5000), Chain::generate(1, 0));
    let mut simulation = Simulation::new(1);
    add_node(&mut simulation, &full, Config::default());
    let node = add_node(&mut simulation, &empty, Config::default());
    simulation.dial(node, 0).unwrap();
    assert!(
        simulation.run_until(SECOND * 300, |it| state(it, node) == State::Synced),
        "{:?}",
        progress(&simulation, node)
    );
    assert_eq!(empty.blocks(), full.blocks());
    assert!(offences(&simulation, node).is_empty() && offences(&simulation, 0).is_empty());
    let progress = progress(&simulation, node);
    assert_eq!((progress.height, progress.target_height, progress.applied_blocks), (5000, 5000, 5000));
    assert_eq!(progress.downloaded_blocks, 5000, "no block is downloaded twice");
    let seen = states(&simulation, node);
    assert_eq!((seen[0], seen.contains(&State::DownloadingBlocks)), (State::Discovering, true), "{seen:?}");
}

#[test]
fn blocks_come_from_several_peers_at_a_time() {
    let (full, empty) = (Chain::generate(1, 3000), Chain::generate(1, 0));
    let mut simulation = Simulation::new(2);
    for _ in 0..6 {
        add_node(&mut simulation, &full, Config::default());
    }
    let node = add_node(&mut simulation, &empty, Config::default());
    for peer in 0..6 {
        simulation.dial(node, peer).unwrap();
    }
    assert!(simulation.run_until(SECOND * 300, |it| state(it, node) == State::Synced));
    assert_eq!(empty.blocks(), full.blocks());
    let served: Vec<_> = (0..6).map(|peer| simulation.swarm(peer).statistics().bytes_sent).collect();
    let big = served.iter().filter(|bytes| **bytes > 300_000).count();
    assert_eq!(big, 4, "parallel_downloads: {served:?}");
}

#[test]
fn a_chain_of_nodes_passes_the_blocks_on() {
    let full = Chain::generate(1, 500);
    let mut simulation = Simulation::new(3);
    add_node(&mut simulation, &full, Config::default());
    let chains: Vec<_> = (0..4).map(|_| Chain::generate(1, 0)).collect();
    for (index, chain) in chains.iter().enumerate() {
        let node = add_node(&mut simulation, chain, Config::default());
        simulation.dial(node, index).unwrap();
    }
    let all_there = |_: &Simulation<Node>| chains.iter().all(|chain| chain.len() == 501);
    assert!(simulation.run_until(SECOND * 120, all_there));
}

#[test]
fn a_synced_node_finds_new_blocks_by_asking() {
    let (growing, follower, all) = (Chain::generate(1, 10), Chain::generate(1, 0), Chain::generate(1, 20));
    let mut simulation = Simulation::new(4);
    add_node(&mut simulation, &growing, Config::default());
    let node = add_node(&mut simulation, &follower, Config::default());
    simulation.dial(node, 0).unwrap();
    assert!(simulation.run_until(SECOND * 10, |it| state(it, node) == State::Synced));
    growing.extend(&all, 21);
    simulation.act(0, |node, cx| {
        let tip = growing.tip();
        spacetime_core::NetworkBehaviour::on_command(
            node,
            cx,
            NodeCommand::Sync(spacetime_sync::Command::Applied { last: tip, tip }),
        );
    });
    simulation.run_for(SECOND * 15);
    assert_eq!(follower.len(), 21);
}

#[test]
fn a_bad_header_is_refused_and_what_came_before_it_is_used() {
    let (liar, honest, empty) = (Chain::generate(1, 300), Chain::generate(1, 300), Chain::generate(1, 0));
    liar.break_header(200);
    let mut simulation = Simulation::new(5);
    add_node(&mut simulation, &liar, Config::default());
    add_node(&mut simulation, &honest, Config::default());
    let node = add_node(&mut simulation, &empty, Config::default());
    simulation.dial(node, 0).unwrap();
    simulation.run_for(SECOND);
    // The header itself is well-formed; the next one does not link to it.
    assert_eq!(offences(&simulation, node), [Offence::InvalidHeader(InvalidObject::Parent)]);
    assert_eq!(simulation.swarm(node).peers().count(), 0);
    // Header 200 was made up: nobody has its block, and nothing of the honest chain links to it.
    simulation.dial(node, 1).unwrap();
    assert!(simulation.run_until(SECOND * 60, |it| state(it, node) == State::Synced));
    assert_eq!(empty.blocks(), honest.blocks());
    assert_eq!(offences(&simulation, node).len(), 1, "the honest peer is not charged");
}

#[test]
fn headers_without_blocks_hold_nothing_up_for_ever() {
    let (liar, honest, empty) = (Chain::generate(2, 400), Chain::generate(1, 300), Chain::generate(1, 0));
    for height in 1..=400 {
        liar.forget_body(height);
    }
    let mut simulation = Simulation::new(15);
    for chain in [&liar, &honest, &honest] {
        add_node(&mut simulation, chain, Config::default());
    }
    let node = add_node(&mut simulation, &empty, Config::default());
    for peer in 0..3 {
        simulation.dial(node, peer).unwrap();
    }
    assert!(simulation.run_until(SECOND * 200, |_| empty.len() == 301), "{:?}", progress(&simulation, node));
    let blamed = simulation.events(node).iter().filter_map(|(_, event)| match event {
        Event::Offence { identity, .. } => Some(identity.clone()),
        _ => None,
    });
    let liar = simulation.address(0);
    assert!(
        blamed
            .into_iter()
            .all(|identity| matches!(identity, Identity::Claimed { address, .. } if address == liar))
    );
}

#[test]
fn a_bad_body_is_blamed_on_its_sender_and_fetched_from_another() {
    let (liar, honest, empty) = (Chain::generate(1, 300), Chain::generate(1, 300), Chain::generate(1, 0));
    for height in 1..300 {
        liar.break_body(height);
    }
    let mut simulation = Simulation::new(6);
    add_node(&mut simulation, &liar, Config::default());
    add_node(&mut simulation, &honest, Config::default());
    let node = add_node(&mut simulation, &empty, Config::default());
    simulation.dial(node, 0).unwrap();
    simulation.dial(node, 1).unwrap();
    assert!(simulation.run_until(SECOND * 120, |it| state(it, node) == State::Synced));
    assert_eq!(empty.blocks(), honest.blocks());
    let offences = offences(&simulation, node);
    assert_eq!(offences, [Offence::InvalidBlock(InvalidObject::Transactions)]);
    let peers: Vec<_> = simulation.swarm(node).peers().map(|(_, peer)| peer.address.clone()).collect();
    assert_eq!(peers, [simulation.address(1)], "the honest peer stays");
}

#[test]
fn a_peer_that_withholds_a_block_is_passed_over() {
    let (withholding, honest, empty) =
        (Chain::generate(1, 300), Chain::generate(1, 300), Chain::generate(1, 0));
    for height in 1..300 {
        withholding.forget_body(height);
    }
    let mut simulation = Simulation::new(7);
    add_node(&mut simulation, &withholding, Config::default());
    let node = add_node(&mut simulation, &empty, Config::default());
    simulation.dial(node, 0).unwrap();
    simulation.run_for(SECOND * 35);
    let seen = progress(&simulation, node);
    assert_eq!((seen.state, seen.stalled_because), (State::DownloadingBlocks, Some(StallReason::PeersRest)));
    // After three times nobody is left that could be asked.
    simulation.run_for(SECOND * 120);
    let seen = progress(&simulation, node);
    assert_eq!((seen.state, seen.stalled_because), (State::Failed, Some(StallReason::PeersRest)));
    add_node(&mut simulation, &honest, Config::default());
    simulation.dial(node, 2).unwrap();
    assert!(simulation.run_until(SECOND * 120, |it| state(it, node) == State::Synced));
    assert_eq!(empty.blocks(), honest.blocks());
    assert!(
        offences(&simulation, node).iter().all(|offence| *offence == Offence::NoAnswer(MessageType::BLOCK))
    );
}

#[test]
fn what_a_closed_peer_was_asked_for_is_asked_from_another() {
    let (full, empty) = (Chain::generate(1, 2000), Chain::generate(1, 0));
    let mut simulation = Simulation::new(8);
    for _ in 0..4 {
        add_node(&mut simulation, &full, Config::default());
    }
    let node = add_node(&mut simulation, &empty, Config::default());
    let connections: Vec<_> = (0..4).map(|peer| simulation.dial(node, peer).unwrap()).collect();
    for connection in &connections[1..] {
        simulation.run_for(SECOND / 3);
        simulation.act(node, |_, cx| cx.close(*connection, CloseReason::Requested));
    }
    assert!(simulation.run_until(SECOND * 200, |it| state(it, node) == State::Synced));
    assert_eq!(empty.blocks(), full.blocks());
}

#[test]
fn memory_is_a_window_and_not_the_chain() {
    let (full, empty) = (Chain::generate(1, 3000), Chain::generate(1, 0));
    let mut simulation = Simulation::new(9);
    add_node(&mut simulation, &full, Config::default());
    let config = Config::default().with_max_window_bytes(20_000).with_max_window_blocks(50);
    let node = add_node(&mut simulation, &empty, config);
    simulation.dial(node, 0).unwrap();
    assert!(simulation.run_until(SECOND * 600, |it| state(it, node) == State::Synced));
    assert_eq!(empty.blocks(), full.blocks());
    let most = *empty.applied_at_once.borrow();
    assert!((2..=25).contains(&most), "{most} blocks of 900 bytes waited within 20 000 bytes");
}

#[test]
fn stopping_is_prompt_and_starting_goes_on() {
    let (full, empty) = (Chain::generate(1, 3000), Chain::generate(1, 0));
    let mut simulation = Simulation::new(10);
    add_node(&mut simulation, &full, Config::default());
    let node = add_node(&mut simulation, &empty, Config::default());
    simulation.dial(node, 0).unwrap();
    simulation.run_for(SECOND * 3);
    let command = |simulation: &mut Simulation<Node>, command| {
        simulation.act(node, |node, cx| {
            spacetime_core::NetworkBehaviour::on_command(node, cx, NodeCommand::Sync(command));
        });
    };
    command(&mut simulation, spacetime_sync::Command::Stop);
    assert_eq!(state(&simulation, node), State::Cancelled);
    simulation.run_for(SECOND);
    let (height, downloaded) = (empty.len(), progress(&simulation, node).downloaded_blocks);
    assert!(height > 1 && height < 3000);
    simulation.run_for(SECOND * 60);
    assert_eq!((empty.len(), progress(&simulation, node).downloaded_blocks), (height, downloaded));
    command(&mut simulation, spacetime_sync::Command::Start);
    assert!(simulation.run_until(SECOND * 300, |it| state(it, node) == State::Synced));
    assert_eq!(empty.blocks(), full.blocks());
}

// Version-1 puppets.

fn dialled_version_1(simulation: &mut Simulation<Node>, node: usize) -> PuppetId {
    let (puppet, address) = simulation.puppet_listen();
    simulation.act(node, |_, cx| cx.dial(address)).unwrap();
    simulation.run_for(SECOND);
    simulation.puppet_send_message(puppet, &HandshakeAck);
    simulation.run_for(SECOND * 2);
    puppet
}

fn frames(simulation: &mut Simulation<Node>, puppet: PuppetId, wanted: MessageType) -> Vec<Vec<u8>> {
    let frames = simulation.puppet_frames(puppet).into_iter();
    frames.filter(|(message_type, _)| *message_type == wanted).map(|(_, payload)| payload).collect()
}

#[test]
fn a_version_1_node_is_asked_as_version_1_asks() {
    let (chain, empty) = (Chain::generate(1, 2), Chain::generate(1, 0));
    let blocks = chain.blocks();
    let mut simulation = Simulation::new(11);
    let node = add_node(&mut simulation, &empty, Config::default());
    let puppet = dialled_version_1(&mut simulation, node);
    let asked = frames(&mut simulation, puppet, MessageType::GET_HEADERS);
    let genesis = crate::chain_id();
    assert_eq!(
        GetHeaders::decode(&asked[0]),
        Ok(GetHeaders { locator: genesis, stop: None, max_headers: 16 })
    );

    let headers: Vec<_> = blocks[1..].iter().map(|block| &block[..290]).collect();
    simulation.puppet_send_message(puppet, &Headers::new(&headers));
    simulation.run_for(SECOND);
    let asked = frames(&mut simulation, puppet, MessageType::GET_BLOCK);
    let asked: Vec<_> = asked.iter().map(|payload| GetBlock::decode(payload).unwrap().hash).collect();
    let hashes: Vec<_> =
        blocks[1..].iter().map(|block| spacetime_core::chain::block_hash(block).unwrap()).collect();
    assert_eq!(asked, hashes);

    // The answers come in another order, with gossip in between.
    simulation.puppet_send_message(puppet, &Block { bytes: &blocks[2] });
    simulation.puppet_send_message(puppet, &NewBlock { bytes: &blocks[2] });
    simulation.puppet_send_message(puppet, &Block { bytes: &blocks[1] });
    simulation.run_for(SECOND);
    assert_eq!(empty.blocks(), blocks);
    assert!(offences(&simulation, node).is_empty());
}

#[test]
fn another_block_than_the_one_asked_for_is_no_answer() {
    let (chain, other, empty) = (Chain::generate(1, 2), Chain::generate(2, 2), Chain::generate(1, 0));
    let mut simulation = Simulation::new(12);
    let node = add_node(&mut simulation, &empty, Config::default());
    let puppet = dialled_version_1(&mut simulation, node);
    let header = &chain.blocks()[1][..290];
    simulation.puppet_send_message(puppet, &Headers::new(&[header]));
    simulation.run_for(SECOND);
    simulation.puppet_send_message(puppet, &Block { bytes: &other.blocks()[1] });
    simulation.run_for(SECOND);
    assert_eq!(empty.len(), 1);
    simulation.puppet_send_message(puppet, &Block { bytes: &chain.blocks()[1] });
    simulation.run_for(SECOND);
    assert_eq!(empty.len(), 2);
}

#[test]
fn an_announced_block_is_fetched_at_once() {
    let (chain, empty) = (Chain::generate(1, 1), Chain::generate(1, 0));
    let mut simulation = Simulation::new(13);
    let node = add_node(&mut simulation, &empty, Config::default().with_poll_interval(SECOND * 1000));
    let puppet = dialled_version_1(&mut simulation, node);
    for _ in 0..200 {
        for _ in frames(&mut simulation, puppet, MessageType::GET_HEADERS) {
            simulation.puppet_send_message(puppet, &Headers::new(&[]));
        }
        simulation.run_for(SECOND);
    }
    assert_eq!(state(&simulation, node), State::Synced);
    // It is asked every few minutes now.
    simulation.run_for(SECOND * 5);
    assert!(frames(&mut simulation, puppet, MessageType::GET_HEADERS).is_empty());
    let hash = spacetime_core::chain::block_hash(&chain.blocks()[1]).unwrap();
    let from = simulation.swarm(node).peers().next().unwrap().0;
    simulation.act(node, |_, cx| cx.signal(Signal::BlockAnnounced { from, hash }));
    simulation.run_for(SECOND);
    assert_eq!(frames(&mut simulation, puppet, MessageType::GET_HEADERS).len(), 1);
}

#[test]
fn more_headers_than_were_asked_for_end_the_connection() {
    let (chain, empty) = (Chain::generate(1, 20), Chain::generate(1, 0));
    let mut simulation = Simulation::new(14);
    let node = add_node(&mut simulation, &empty, Config::default().with_max_headers_per_request(10));
    let puppet = dialled_version_1(&mut simulation, node);
    let blocks = chain.blocks();
    let headers: Vec<_> = blocks[1..].iter().map(|block| &block[..290]).collect();
    simulation.puppet_send_message(puppet, &Headers::new(&headers));
    simulation.run_for(SECOND);
    assert!(simulation.puppet_is_closed(puppet));
}

#[test]
fn an_answer_that_is_none_is_charged_once_and_the_peer_rests() {
    let (chain, empty) = (Chain::generate(1, 1), Chain::generate(1, 0));
    let mut simulation = Simulation::new(16);
    let node = add_node(&mut simulation, &empty, Config::default());
    let puppet = dialled_version_1(&mut simulation, node);
    assert_eq!(frames(&mut simulation, puppet, MessageType::GET_HEADERS).len(), 1);
    // One header, and nothing after it.
    simulation.puppet_send(puppet, &[5, 0, 0, 0, MessageType::HEADERS.byte(), 1, 0, 0, 0]);
    simulation.run_for(SECOND * 9);
    assert!(matches!(offences(&simulation, node)[..], [Offence::Malformed { .. }]));
    assert!(frames(&mut simulation, puppet, MessageType::GET_HEADERS).is_empty());
    simulation.run_for(SECOND * 5);
    assert_eq!(frames(&mut simulation, puppet, MessageType::GET_HEADERS).len(), 1);
    simulation.puppet_send_message(puppet, &Headers::new(&[&chain.blocks()[1][..290]]));
    simulation.run_for(SECOND);
    assert_eq!(frames(&mut simulation, puppet, MessageType::GET_BLOCK).len(), 1);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let (full, empty) = (Chain::generate(1, 300), Chain::generate(1, 0));
        let mut simulation = Simulation::new(seed);
        for _ in 0..3 {
            add_node(&mut simulation, &full, Config::default());
        }
        let node = add_node(&mut simulation, &empty, Config::default());
        for peer in 0..3 {
            simulation.dial(node, peer).unwrap();
        }
        simulation.run_for(SECOND * 60);
        assert_eq!(empty.len(), 301);
        simulation.audit()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
