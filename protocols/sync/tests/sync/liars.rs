//! One honest peer is enough, whatever the others do; and nobody pays for what another one did.

use spacetime_core::wire::{Block, GetBlock, GetHeaders, HandshakeAck, Headers, MessageType};
use spacetime_core::{Event, Limits, NetworkBehaviour as _, Offence};
use spacetime_simulator::{LinkConfig, PuppetId, Simulation};
use spacetime_sync::{Command, Config, State};

use crate::chain::Chain;
use crate::{Node, NodeCommand, NodeEvent, SECOND, add_node, offences, state};

fn command(simulation: &mut Simulation<Node>, node: usize, command: Command) {
    simulation.act(node, |node, cx| node.on_command(cx, NodeCommand::Sync(command)));
}

/// Adds a node that says it has a chain and answers nothing.
fn add_silent_node(simulation: &mut Simulation<Node>, chain: &Chain) -> usize {
    let node = add_node(simulation, chain, Config::default());
    simulation.set_application(node, |_| Vec::new());
    node
}

#[test]
fn a_peer_that_came_after_many_useless_ones_is_asked() {
    let (honest, empty) = (Chain::generate(1, 100), Chain::generate(1, 0));
    let mut simulation = Simulation::new(1);
    let node = add_node(&mut simulation, &empty, Config::default());
    for _ in 0..20 {
        let useless = add_node(&mut simulation, &Chain::generate(1, 0), Config::default());
        simulation.dial(node, useless).unwrap();
    }
    simulation.run_for(SECOND * 30);
    let last = add_node(&mut simulation, &honest, Config::default());
    simulation.dial(node, last).unwrap();
    assert!(simulation.run_until(SECOND * 30, |_| empty.len() == 101));
}

#[test]
fn peers_that_answer_nothing_hold_nothing_up_for_ever() {
    let (honest, empty) = (Chain::generate(1, 100), Chain::generate(1, 0));
    let higher = Chain::generate(1, 200);
    let mut simulation = Simulation::new(2);
    let node = add_node(&mut simulation, &empty, Config::default());
    for _ in 0..40 {
        let silent = add_silent_node(&mut simulation, &higher);
        simulation.dial(node, silent).unwrap();
    }
    let last = add_node(&mut simulation, &honest, Config::default());
    simulation.dial(node, last).unwrap();
    assert!(simulation.run_until(SECOND * 1500, |_| empty.len() == 101), "{}", empty.len());
}

#[test]
fn a_stall_is_one_failure_however_much_was_asked_for() {
    let (honest, empty) = (Chain::generate(1, 3000), Chain::generate(1, 0));
    let mut simulation = Simulation::new(3);
    add_node(&mut simulation, &honest, Config::default());
    let node = add_node(&mut simulation, &empty, Config::default());
    simulation.dial(node, 0).unwrap();
    simulation.run_for(SECOND);
    let height = empty.len();
    assert!((2..3000).contains(&height), "{height}");
    simulation.set_reading_paused(0, true);
    simulation.run_for(SECOND * 35);
    simulation.set_reading_paused(0, false);
    assert_eq!(offences(&simulation, node), [Offence::NoAnswer(MessageType::BLOCK)]);
    // It is asked again after a short rest, not after the long one of those who fail all the time.
    assert!(simulation.run_until(SECOND * 60, |_| empty.len() == 3001), "{}", empty.len());
}

#[test]
fn large_blocks_over_a_slow_line_are_nobodys_fault() {
    // 40 KB/s; a window of 16 such blocks would take minutes.
    let slow = LinkConfig::default().with_window_bytes(2000).with_max_piece_bytes(2000);
    let (honest, empty) = (Chain::generate_large(1, 4, 500_000), Chain::generate(1, 0));
    let mut simulation = Simulation::new(4).link(slow);
    add_node(&mut simulation, &honest, Config::default());
    let node = add_node(&mut simulation, &empty, Config::default());
    simulation.dial(node, 0).unwrap();
    assert!(simulation.run_until(SECOND * 300, |_| empty.len() == 5), "{}", empty.len());
    assert_eq!(offences(&simulation, node), []);
    let sent = simulation.swarm(0).statistics().bytes_sent;
    assert!(sent < 4 * 500_000 + 10_000, "no block is sent twice: {sent}");
}

#[test]
fn a_peer_that_is_slow_while_it_sends_is_not_charged() {
    // 28 KB/s; nobody knows how large blocks are before the first one is there, and two take longer
    // than an answer may.
    let slow = LinkConfig::default().with_window_bytes(1250).with_max_piece_bytes(1250);
    let (honest, empty) = (Chain::generate_large(1, 2, 500_000), Chain::generate(1, 0));
    let mut simulation = Simulation::new(16).link(slow);
    add_node(&mut simulation, &honest, Config::default());
    let node = add_node(&mut simulation, &empty, Config::default());
    simulation.dial(node, 0).unwrap();
    simulation.run_for(SECOND * 32);
    assert_eq!(empty.len(), 2, "the second one takes more than 30 s");
    assert!(simulation.run_until(SECOND * 60, |_| empty.len() == 3), "{}", empty.len());
    assert_eq!(offences(&simulation, node), []);
}

#[test]
fn who_has_sent_good_blocks_is_asked_before_others() {
    let (honest, empty) = (Chain::generate(1, 200), Chain::generate(1, 0));
    let silent = Chain::generate(1, 200);
    (1..=200).for_each(|height| silent.forget_body(height));
    let mut simulation = Simulation::new(17);
    add_node(&mut simulation, &honest, Config::default());
    let config = Config::default().with_parallel_downloads(1).with_max_in_flight_per_peer(1);
    let node = add_node(&mut simulation, &empty, config);
    simulation.dial(node, 0).unwrap();
    simulation.run_for(SECOND);
    let silent = add_node(&mut simulation, &silent, Config::default());
    simulation.dial(node, silent).unwrap();
    assert!(simulation.run_until(SECOND * 20, |_| empty.len() == 201), "{}", empty.len());
}

#[test]
fn liars_that_back_each_other_up_wear_out_together() {
    let honest = Chain::generate(1, 100);
    let empty = Chain::empty_that_proves(&honest);
    let forged = honest.forged_after(50, 100);
    for height in 51..=150 {
        forged.forget_body(height);
    }
    let mut simulation = Simulation::new(5);
    let node = add_node(&mut simulation, &empty, Config::default().with_max_headers_per_request(50));
    for _ in 0..30 {
        let liar = add_node(&mut simulation, &forged, Config::default());
        simulation.dial(node, liar).unwrap();
    }
    let last = add_node(&mut simulation, &honest, Config::default());
    simulation.dial(node, last).unwrap();
    // Three of them are waited for, and not all thirty.
    assert!(simulation.run_until(SECOND * 120, |_| empty.len() == 101), "{}", empty.len());
    let honest_address = simulation.address(last);
    let blamed = |event: &Event<NodeEvent>| matches!(event, Event::Offence { identity, .. } if identity.to_string().starts_with(&honest_address.to_string()));
    assert!(!simulation.events(node).iter().any(|(_, event)| blamed(event)));
}

/// A puppet that dials, says that it has the highest chain there can be, answers every question
/// with a made-up chain, and comes again when it is closed.
struct Returning {
    puppet: PuppetId,
}

impl Returning {
    fn dial(simulation: &mut Simulation<Node>, node: usize) -> Self {
        let puppet = simulation.puppet_dial(node).unwrap();
        let announcement = spacetime_core::wire::Announcement {
            protocol_versions: (1, 1),
            chain_id: crate::chain_id(),
            listen_port: None,
            capabilities: Vec::new(),
            nonce: 1,
            best_block: Some((u64::MAX, spacetime_core::Hash([7; 32]))),
        };
        let frame = spacetime_simulator::handshake_frame("it is me again", Some(&announcement));
        simulation.puppet_send(puppet, &frame);
        Self { puppet }
    }

    fn act(&mut self, simulation: &mut Simulation<Node>, node: usize, forged: &Chain) {
        use spacetime_core::wire::Decode as _;
        for (message_type, payload) in simulation.puppet_frames(self.puppet) {
            if message_type == MessageType::GET_HEADERS {
                let GetHeaders { locator, stop, max_headers } = GetHeaders::decode(&payload).unwrap();
                let headers = forged.headers(&[locator], stop, max_headers as usize);
                let headers: Vec<_> = headers.iter().map(Vec::as_slice).collect();
                simulation.puppet_send_message(self.puppet, &Headers::new(&headers));
            } else if message_type == MessageType::GET_BLOCK {
                let GetBlock { hash } = GetBlock::decode(&payload).unwrap();
                if let Some(block) = forged.block(hash) {
                    simulation.puppet_send_message(self.puppet, &Block { bytes: &block });
                }
            }
        }
        if simulation.puppet_is_closed(self.puppet) {
            *self = Self::dial(simulation, node);
        }
    }
}

#[test]
fn those_who_come_again_and_again_stand_behind_those_who_wait() {
    let (honest, empty) = (Chain::generate(1, 60), Chain::generate(1, 0));
    let mut simulation = Simulation::new(19);
    let node = add_node(&mut simulation, &empty, Config::default());
    let mut strangers: Vec<_> = (0..6).map(|_| Returning::dial(&mut simulation, node)).collect();
    simulation.run_for(SECOND);
    let last = add_node(&mut simulation, &honest, Config::default());
    simulation.dial(node, last).unwrap();
    for round in 0..60 {
        // They answer nothing, and go before anybody else is asked.
        simulation.run_for(SECOND / 2);
        let stranger = &mut strangers[round % 6];
        simulation.puppet_close(stranger.puppet);
        *stranger = Returning::dial(&mut simulation, node);
    }
    assert_eq!(empty.len(), 61);
}

/// A node gets the chain of an honest peer, which comes after twelve liars that come again and again.
fn the_honest_peer_has_its_turn(seed: u64, honest: &Chain, lie: &Chain) {
    let empty = Chain::empty_that_proves(honest);
    let mut simulation = Simulation::new(seed);
    let node = add_node(&mut simulation, &empty, Config::default());
    let last = add_node(&mut simulation, honest, Config::default());
    let mut liars: Vec<_> = (0..12).map(|_| Returning::dial(&mut simulation, node)).collect();
    simulation.run_for(SECOND);
    simulation.dial(node, last).unwrap();
    for _ in 0..6000 {
        liars.iter_mut().for_each(|liar| liar.act(&mut simulation, node, lie));
        simulation.run_for(SECOND / 20);
        if empty.len() == honest.len() {
            return;
        }
    }
    panic!("{} blocks", empty.len());
}

#[test]
fn a_liar_that_comes_again_and_again_gets_its_turn_and_no_more() {
    let honest = Chain::generate(1, 60);
    // What it makes up begins at the first block, and every body is refused.
    the_honest_peer_has_its_turn(6, &honest, &honest.forged_after(0, 100));
}

#[test]
fn a_liar_that_breaks_bodies_and_comes_again_gets_its_turn_and_no_more() {
    let honest = Chain::generate(1, 60);
    let broken = honest.forged_after(60, 0);
    (1..=60).for_each(|height| broken.break_body(height));
    the_honest_peer_has_its_turn(7, &honest, &broken);
}

#[test]
fn nobody_is_asked_for_blocks_of_a_chain_that_it_has_not_shown() {
    let honest = Chain::generate(1, 100);
    let empty = Chain::empty_that_proves(&honest);
    let liar = honest.forged_after(0, 200);
    (1..=200).for_each(|height| liar.forget_body(height));
    let mut simulation = Simulation::new(8);
    add_node(&mut simulation, &honest, Config::default());
    let node = add_node(&mut simulation, &empty, Config::default().with_max_in_flight_per_peer(1));
    simulation.dial(node, 0).unwrap();
    simulation.run_for(SECOND);
    assert!((2..100).contains(&empty.len()), "{}", empty.len());
    // It forgets its headers, and gets others from a liar while the honest peer says nothing.
    command(&mut simulation, node, Command::Stop);
    simulation.run_for(SECOND);
    simulation.set_reading_paused(0, true);
    let height = empty.len() - 1;
    let liar = honest.forged_after(height, 200);
    (height + 1..=height + 200).for_each(|height| liar.forget_body(height));
    let liar = add_node(&mut simulation, &liar, Config::default());
    simulation.dial(node, liar).unwrap();
    simulation.run_for(SECOND);
    command(&mut simulation, node, Command::Start);
    simulation.run_for(SECOND * 20);
    simulation.set_reading_paused(0, false);
    assert!(simulation.run_until(SECOND * 200, |_| empty.len() == 101), "{}", empty.len());
    let honest = simulation.address(0).to_string();
    for (_, event) in simulation.events(node) {
        if let Event::Offence { identity, offence, .. } = event {
            assert!(!identity.to_string().starts_with(&honest), "{offence}");
        }
    }
}

#[test]
fn a_block_that_comes_after_a_rejection_and_a_stop_is_let_go() {
    let chain = Chain::generate(1, 20);
    let mut simulation = Simulation::new(9);
    let node = add_node(&mut simulation, &Chain::generate(1, 0), Config::default());
    // The application takes its time; the test says when what is done.
    simulation.set_application(node, |_| Vec::new());
    let peers: Vec<_> = (0..2).map(|_| add_node(&mut simulation, &chain, Config::default())).collect();
    for peer in peers {
        simulation.dial(node, peer).unwrap();
    }
    simulation.run_for(SECOND * 5);
    let first = chain.blocks()[1].clone();
    let hash = crate::chain::header_hash(&first);
    let error = spacetime_core::chain::InvalidObject::Refused;
    command(&mut simulation, node, Command::Rejected { hash, error });
    command(&mut simulation, node, Command::Stop);
    simulation.run_for(SECOND * 5);
    let genesis = Chain::generate(1, 0).tip();
    command(&mut simulation, node, Command::Applied { last: genesis, tip: genesis });
    command(&mut simulation, node, Command::Start);
    simulation.run_for(SECOND * 5);
    assert_eq!(state(&simulation, node), State::Validating);
}

#[test]
fn a_node_that_is_stopped_while_a_peer_holds_it_up_waits_for_nobody() {
    let chain = Chain::generate(1, 2000);
    let mut simulation = Simulation::new(10);
    let node = add_node(&mut simulation, &Chain::generate(1, 0), Config::default());
    let peer = add_node(&mut simulation, &chain, Config::default());
    simulation.dial(node, peer).unwrap();
    simulation.run_for(SECOND / 4);
    simulation.set_reading_paused(peer, true);
    simulation.run_for(SECOND / 2);
    assert_eq!(state(&simulation, node), State::DownloadingBlocks);
    command(&mut simulation, node, Command::Stop);
    // A deadline that stays in the past would be found out.
    simulation.run_for(SECOND * 20);
    assert_eq!(state(&simulation, node), State::Cancelled);
}

// Version-1 nodes that connect.

#[test]
fn a_version_1_node_that_has_just_connected_is_not_asked_even_while_blocks_are_wanted() {
    let (honest, empty) = (Chain::generate(1, 2000), Chain::generate(1, 0));
    let mut simulation = Simulation::new(10);
    add_node(&mut simulation, &honest, Config::default());
    let node = add_node(&mut simulation, &empty, Config::default());
    simulation.dial(node, 0).unwrap();
    simulation.run_for(SECOND);
    assert!((2..2000).contains(&empty.len()));
    let puppet = simulation.puppet_dial(node).unwrap();
    simulation.puppet_introduce_version_1(puppet, "a version-1 node");
    simulation.run_for(SECOND * 2);
    let frames: Vec<_> = simulation.puppet_frames(puppet).into_iter().map(|(it, _)| it).collect();
    assert_eq!(frames, [MessageType::HANDSHAKE_ACK]);
}

#[test]
fn a_version_1_node_that_asks_without_end_keeps_no_headers_alive() {
    let honest = Chain::generate(1, 100);
    let empty = Chain::empty_that_proves(&honest);
    let forged = honest.forged_after(0, 200);
    (1..=200).for_each(|height| forged.forget_body(height));
    let mut simulation = Simulation::new(11);
    let liar = add_node(&mut simulation, &forged, Config::default());
    let node = add_node(&mut simulation, &empty, Config::default());
    simulation.dial(node, liar).unwrap();
    let puppet = simulation.puppet_dial(node).unwrap();
    simulation.puppet_introduce_version_1(puppet, "a version-1 node");
    simulation.run_for(SECOND);
    let late = add_node(&mut simulation, &honest, Config::default());
    simulation.dial(node, late).unwrap();
    for _ in 0..3000 {
        let question = GetHeaders { locator: spacetime_core::Hash::ZERO, stop: None, max_headers: 1 };
        for _ in 0..10 {
            simulation.puppet_send_message(puppet, &question);
        }
        simulation.run_for(SECOND / 50);
    }
    assert_eq!(empty.len(), 101);
}

#[test]
fn a_dialled_version_1_node_is_asked_while_it_does_not_ask() {
    let (chain, empty) = (Chain::generate(1, 3), Chain::generate(1, 0));
    let mut simulation = Simulation::new(12);
    let node = add_node(&mut simulation, &empty, Config::default());
    let (puppet, address) = simulation.puppet_listen();
    simulation.act(node, |_, cx| cx.dial(address)).unwrap();
    simulation.run_for(SECOND);
    simulation.puppet_send_message(puppet, &HandshakeAck);
    simulation.run_for(SECOND * 2);
    let blocks = chain.blocks();
    let headers: Vec<_> = blocks[1..].iter().map(|block| &block[..290]).collect();
    simulation.puppet_send_message(puppet, &Headers::new(&headers));
    simulation.run_for(SECOND);
    for block in &blocks[1..] {
        simulation.puppet_send_message(puppet, &Block { bytes: block });
    }
    simulation.run_for(SECOND);
    assert_eq!(empty.len(), 4);
}

// What one peer can make a node hold.

#[test]
fn no_second_answer_is_read_before_the_size_of_the_first_is_known() {
    let chain = Chain::generate(1, 20);
    let mut simulation = Simulation::new(13);
    let node = add_node(&mut simulation, &chain, Config::default());
    simulation.set_application(node, |_| Vec::new());
    let puppet = simulation.puppet_dial(node).unwrap();
    simulation.puppet_introduce_version_1(puppet, "a version-1 node");
    for block in &chain.blocks()[1..] {
        let hash = crate::chain::header_hash(block);
        simulation.puppet_send_message(puppet, &GetBlock { hash });
    }
    simulation.run_for(SECOND);
    let read = |event: &Event<NodeEvent>| {
        matches!(event, Event::Behaviour(NodeEvent::Sync(spacetime_sync::Event::ReadBlock { .. })))
    };
    assert_eq!(simulation.events(node).iter().filter(|(_, event)| read(event)).count(), 1);
}

#[test]
fn a_padded_body_is_refused_when_it_comes_and_does_not_wait_for_those_before_it() {
    let (padded, empty) = (Chain::generate(1, 50), Chain::generate(1, 0));
    padded.forget_body(1);
    (2..=50).for_each(|height| padded.pad_body(height, 50_000));
    let mut simulation = Simulation::new(15);
    add_node(&mut simulation, &padded, Config::default());
    let node = add_node(&mut simulation, &empty, Config::default());
    simulation.dial(node, 0).unwrap();
    simulation.run_for(SECOND * 5);
    assert!(matches!(offences(&simulation, node)[..], [Offence::InvalidBlock(_)]));
    assert_eq!(simulation.swarm(node).behaviour().sync.progress().downloaded_blocks, 0);
    assert_eq!(simulation.swarm(node).peers().count(), 0);
}

#[test]
fn large_bodies_fill_the_window_once() {
    let (large, empty) = (Chain::generate_large(1, 50, 50_000), Chain::generate(1, 0));
    let mut simulation = Simulation::new(15);
    add_node(&mut simulation, &large, Config::default());
    let node = add_node(&mut simulation, &empty, Config::default().with_max_window_bytes(250_000));
    // Nothing is ever applied.
    simulation.set_application(node, |_| Vec::new());
    simulation.dial(node, 0).unwrap();
    simulation.run_for(SECOND * 20);
    let downloaded = simulation.swarm(node).behaviour().sync.progress().downloaded_bytes;
    assert!((150_000..=250_000).contains(&downloaded), "{downloaded}");
}

#[test]
fn blocks_that_are_larger_than_those_before_do_not_overfill_the_window() {
    let chain = Chain::generate_growing(1, 40, 60);
    let mut simulation = Simulation::new(18);
    add_node(&mut simulation, &chain, Config::default());
    let config = Config::default().with_max_window_bytes(250_000);
    let node = add_node(&mut simulation, &Chain::generate(1, 0), config);
    // Whatever it gets is good, but that takes a while.
    simulation.set_application(node, |_| Vec::new());
    simulation.dial(node, 0).unwrap();
    let (mut seen, mut height) = (0, 0);
    while height < 100 {
        simulation.run_for(SECOND * 2);
        let sizes: Vec<usize> = simulation.events(node)[seen..]
            .iter()
            .filter_map(|(_, event)| match event {
                Event::Behaviour(NodeEvent::Sync(spacetime_sync::Event::Apply { blocks })) => {
                    height += blocks.len();
                    Some(blocks.iter().map(|block| block.len()).sum())
                }
                _ => None,
            })
            .collect();
        assert!(sizes.len() == 1 && sizes[0] <= 300_000, "{sizes:?} at {height}");
        seen = simulation.events(node).len();
        let tip = chain.info(height);
        command(&mut simulation, node, Command::Applied { last: tip, tip });
    }
}

#[test]
fn limits_of_connections_are_no_limits_of_the_search() {
    let (honest, empty) = (Chain::generate(1, 50), Chain::generate(1, 0));
    let mut simulation = Simulation::new(14);
    let node = simulation.add_node(Limits::default().with_max_connections(30), |boot| Node {
        handshake: spacetime_handshake::Handshake::new(
            spacetime_handshake::Config::new(crate::chain_id()),
            &boot.rng,
        )
        .unwrap(),
        sync: spacetime_sync::Sync::new(
            Config::default().with_max_peers(1).with_parallel_downloads(1),
            crate::chain::rules(),
            empty.tip(),
            &boot.rng,
        )
        .unwrap(),
    });
    let application = empty.clone();
    simulation.set_application(node, move |event| match event {
        NodeEvent::Sync(event) => application.carry_out(event).into_iter().map(NodeCommand::Sync).collect(),
        NodeEvent::Handshake(never) => match *never {},
    });
    for chain in [&Chain::generate(1, 0), &Chain::generate(1, 0), &honest] {
        let peer = add_node(&mut simulation, chain, Config::default());
        simulation.dial(node, peer).unwrap();
    }
    assert!(simulation.run_until(SECOND * 100, |_| empty.len() == 51));
}

#[test]
fn peers_that_say_nothing_do_not_delay_the_first_headers() {
    let (honest, empty) = (Chain::generate(1, 100), Chain::generate(1, 0));
    let mut simulation = Simulation::new(41);
    let node = add_node(&mut simulation, &empty, Config::default());
    for _ in 0..7 {
        let silent = add_silent_node(&mut simulation, &honest);
        simulation.dial(node, silent).unwrap();
    }
    simulation.run_for(SECOND / 2);
    let last = add_node(&mut simulation, &honest, Config::default());
    simulation.dial(node, last).unwrap();
    assert!(simulation.run_until(SECOND * 2, |_| empty.len() == 101), "{}", empty.len());
}

#[test]
fn a_block_that_many_others_overtake_is_asked_from_another_at_once() {
    let (honest, empty) = (Chain::generate(1, 400), Chain::generate(1, 0));
    let withholding = Chain::generate(1, 400);
    (0..8).for_each(|number| withholding.forget_body(30 + number * 50));
    let mut simulation = Simulation::new(42);
    let first = add_node(&mut simulation, &withholding, Config::default());
    let node = add_node(&mut simulation, &empty, Config::default());
    simulation.dial(node, first).unwrap();
    simulation.run_for(SECOND / 5);
    let second = add_node(&mut simulation, &honest, Config::default());
    simulation.dial(node, second).unwrap();
    // Each of the eight would take a second.
    assert!(simulation.run_until(SECOND * 4, |_| empty.len() == 401), "{}", empty.len());
    assert_eq!(offences(&simulation, node), []);
}

#[test]
fn a_block_that_the_only_peer_withholds_does_not_make_the_others_come_again() {
    let (withholding, empty) = (Chain::generate(1, 400), Chain::generate(1, 0));
    withholding.forget_body(30);
    let mut simulation = Simulation::new(44);
    let node = add_node(&mut simulation, &empty, Config::default());
    let server = add_node(&mut simulation, &withholding, Config::default());
    simulation.dial(node, server).unwrap();
    simulation.run_for(SECOND * 25);
    let progress = simulation.swarm(node).behaviour().sync.progress();
    assert_eq!((empty.len(), progress.downloaded_blocks), (30, 399));
}

#[test]
fn who_is_silent_holds_nothing_up_for_long_however_much_it_was_asked_for() {
    let (honest, empty) = (Chain::generate(1, 4000), Chain::generate(1, 0));
    let mut simulation = Simulation::new(43);
    let node = add_node(&mut simulation, &empty, Config::default());
    for _ in 0..4 {
        let server = add_node(&mut simulation, &honest, Config::default());
        simulation.dial(node, server).unwrap();
    }
    assert!(simulation.run_until(SECOND * 20, |_| empty.len() > 1000));
    // Three of them at once.
    (1..=3).for_each(|silent| simulation.set_reading_paused(silent, true));
    assert!(simulation.run_until(SECOND * 10, |_| empty.len() == 4001), "{}", empty.len());
}
