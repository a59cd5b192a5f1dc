//! Going over to another chain while peers leave, and the download is stopped.

use std::cell::RefCell;
use std::rc::Rc;

use spacetime_core::chain::BlockHeader;
use spacetime_core::wire::{HandshakeAck, Headers};
use spacetime_core::{CloseReason, NetworkBehaviour as _, Offence};
use spacetime_simulator::Simulation;
use spacetime_sync::{Command, Config, Event};

use crate::chain::Chain;
use crate::{Node, NodeCommand, NodeEvent, SECOND, add_node, offences};

fn command(simulation: &mut Simulation<Node>, node: usize, command: Command) {
    simulation.act(node, |node, cx| node.on_command(cx, NodeCommand::Sync(command)));
}

/// Adds a node that serves its chain and keeps it.
fn add_server(simulation: &mut Simulation<Node>, chain: &Chain) -> usize {
    let node = add_node(simulation, chain, Config::default());
    command(simulation, node, Command::Stop);
    node
}

/// Has a node's blocks applied only when the test says so.
fn hold_applications(
    simulation: &mut Simulation<Node>,
    node: usize,
    chain: &Chain,
) -> Rc<RefCell<Vec<Event>>> {
    let held = Rc::new(RefCell::new(Vec::new()));
    let (chain, holds) = (chain.clone(), Rc::clone(&held));
    simulation.set_application(node, move |event| match event {
        NodeEvent::Sync(event @ Event::Apply { .. }) => {
            holds.borrow_mut().push(event.clone());
            Vec::new()
        }
        NodeEvent::Sync(event) => chain.carry_out(event).into_iter().map(NodeCommand::Sync).collect(),
        NodeEvent::Handshake(never) => match *never {},
    });
    held
}

/// Has applied what was held, and no longer holds anything.
fn release(simulation: &mut Simulation<Node>, node: usize, chain: &Chain, held: &RefCell<Vec<Event>>) {
    let applied = chain.clone();
    simulation.set_application(node, move |event| match event {
        NodeEvent::Sync(event) => applied.carry_out(event).into_iter().map(NodeCommand::Sync).collect(),
        NodeEvent::Handshake(never) => match *never {},
    });
    let held = std::mem::take(&mut *held.borrow_mut());
    assert!(!held.is_empty(), "something was to be applied");
    for event in held {
        chain.carry_out(&event).into_iter().for_each(|it| command(simulation, node, it));
    }
}

fn hang_up(simulation: &mut Simulation<Node>, node: usize) {
    simulation.act(node, |_, cx| {
        let peers: Vec<_> = cx.peers().map(|(connection, _)| connection).collect();
        peers.into_iter().for_each(|connection| cx.close(connection, CloseReason::Shutdown));
    });
}

#[test]
fn a_node_that_is_stopped_amid_a_reorganisation_goes_on_with_it_when_it_is_started() {
    let short = Chain::generate(1, 1100);
    let long = short.forged_after(100, 1001);
    let mut simulation = Simulation::new(31);
    let node = add_node(&mut simulation, &short, Config::default());
    let server = add_server(&mut simulation, &long);
    simulation.dial(node, server).unwrap();
    let downloaded =
        |simulation: &Simulation<Node>| simulation.swarm(node).behaviour().sync.progress().downloaded_blocks;
    assert!(simulation.run_until(SECOND * 30, |simulation| downloaded(simulation) > 100));
    assert!(downloaded(&simulation) < 1000 && short.reorganisations() == 0);
    command(&mut simulation, node, Command::Stop);
    simulation.run_for(SECOND);
    command(&mut simulation, node, Command::Start);
    simulation.run_for(SECOND * 60);
    assert_eq!((short.len(), short.reorganisations()), (long.len(), 1));
    assert_eq!(short.blocks(), long.blocks());
}

#[test]
fn a_chain_that_was_left_for_one_heavy_block_is_followed_again_when_it_is_heavier() {
    let common = Chain::generate(1, 10);
    let (many, heavy) = (common.fork_after(10, 1, 1000), common.fork_after(10, 1, 2000));
    let more = common.fork_after(10, 5, 1000);
    let own = common.fork_after(10, 1, 1000);
    let mut simulation = Simulation::new(32);
    let node = add_node(&mut simulation, &own, Config::default());
    let (first, second) = (add_server(&mut simulation, &many), add_server(&mut simulation, &heavy));
    simulation.dial(node, first).unwrap();
    simulation.run_for(SECOND * 5);
    simulation.dial(node, second).unwrap();
    assert!(simulation.run_until(SECOND * 30, |_| own.blocks() == heavy.blocks()));
    many.extend(&more, 16);
    assert!(simulation.run_until(SECOND * 120, |_| own.blocks() == more.blocks()), "{}", own.len());
    assert_eq!(own.reorganisations(), 2);
}

/// A node that follows headers without blocks, tries the first block of a heavier chain, and whose peer
/// with that chain leaves while the block is being verified. The node, and what is to be applied.
fn try_and_leave(
    simulation: &mut Simulation<Node>,
    own: &Chain,
    rival: &Chain,
) -> (usize, Rc<RefCell<Vec<Event>>>) {
    let hollow = own.fork_after(20, 50, 1000);
    (21..=70).for_each(|height| hollow.forget_body(height));
    let node = add_node(simulation, own, Config::default());
    let held = hold_applications(simulation, node, own);
    let hollow = add_server(simulation, &hollow);
    simulation.dial(node, hollow).unwrap();
    simulation.run_for(SECOND / 2);
    let leaves = add_server(simulation, rival);
    simulation.dial(node, leaves).unwrap();
    assert!(simulation.run_until(SECOND * 10, |_| !held.borrow().is_empty()));
    hang_up(simulation, leaves);
    simulation.run_for(SECOND);
    (node, held)
}

#[test]
fn nobody_pays_for_the_bad_block_of_a_rival_whose_peer_has_left() {
    let common = Chain::generate(1, 20);
    let (bad, good) = (common.fork_after(20, 5, 3000), common.fork_after(20, 10, 2000));
    let own = Chain::empty_that_proves(&good);
    own.extend(&common, 21);
    let mut simulation = Simulation::new(33);
    let (node, held) = try_and_leave(&mut simulation, &own, &bad);
    let honest = add_server(&mut simulation, &good);
    simulation.dial(node, honest).unwrap();
    simulation.run_for(SECOND);
    release(&mut simulation, node, &own, &held);
    simulation.run_for(SECOND * 40);
    assert!(offences(&simulation, node).iter().all(|it| !matches!(it, Offence::InvalidBlock(_))));
    assert_eq!(own.blocks(), good.blocks());
}

#[test]
fn a_node_whose_rival_has_left_while_it_took_over_still_knows_what_came_before() {
    let common = Chain::generate(1, 20);
    let own = common.fork_after(20, 1, 1000);
    let heavy = common.fork_after(20, 1, 3000);
    let mut simulation = Simulation::new(34);
    let (node, held) = try_and_leave(&mut simulation, &own, &heavy);
    release(&mut simulation, node, &own, &held);
    simulation.run_for(SECOND);
    assert_eq!(own.blocks(), heavy.blocks());
    // It parts below the block that was just taken.
    let heavier = common.fork_after(5, 30, 1000);
    let server = add_server(&mut simulation, &heavier);
    simulation.dial(node, server).unwrap();
    assert!(simulation.run_until(SECOND * 120, |_| own.blocks() == heavier.blocks()), "{}", own.len());
}

#[test]
fn a_first_header_with_a_false_height_ends_the_connection() {
    let (chain, empty) = (Chain::generate(1, 3), Chain::generate(1, 0));
    let mut simulation = Simulation::new(35);
    let node = add_node(&mut simulation, &empty, Config::default());
    let (puppet, address) = simulation.puppet_listen();
    simulation.act(node, |_, cx| cx.dial(address)).unwrap();
    simulation.run_for(SECOND);
    simulation.puppet_send_message(puppet, &HandshakeAck);
    simulation.run_for(SECOND * 2);
    let mut header = BlockHeader::decode(&chain.blocks()[1][..290]).unwrap();
    header.height = 2;
    simulation.puppet_send_message(puppet, &Headers::new(&[&header.to_bytes()]));
    simulation.run_for(SECOND);
    assert!(simulation.puppet_is_closed(puppet));
    assert!(matches!(offences(&simulation, node)[..], [Offence::InvalidHeader(_)]));
}
