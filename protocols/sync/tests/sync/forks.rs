//! Chains that part: which one is followed, and what those cost that are not.

use spacetime_core::chain::InvalidObject;
use spacetime_core::{Event, Limits, Offence};
use spacetime_handshake::Handshake;
use spacetime_simulator::Simulation;
use spacetime_sync::{Config, State, Sync};

use crate::chain::{Chain, rules};
use crate::{Node, NodeCommand, NodeEvent, SECOND, add_node, chain_id, offences, state};

/// Adds a node that speaks version 1 where it asks and answers: it announces no capability.
fn add_plain_node(simulation: &mut Simulation<Node>, chain: &Chain) -> usize {
    let node = simulation.add_node(Limits::default(), |boot| Node {
        handshake: Handshake::new(spacetime_handshake::Config::new(chain_id()), &boot.rng).unwrap(),
        sync: Sync::new(Config::default(), rules(), chain.recent(), &boot.rng).unwrap(),
    });
    let chain = chain.clone();
    simulation.set_application(node, move |event| match event {
        NodeEvent::Sync(event) => chain.carry_out(event).into_iter().map(NodeCommand::Sync).collect(),
        NodeEvent::Handshake(never) => match *never {},
    });
    node
}

/// Two nodes with these chains, connected until nothing more happens.
fn meet(seed: u64, one: &Chain, other: &Chain, is_plain: bool) -> Simulation<Node> {
    let mut simulation = Simulation::new(seed);
    for chain in [one, other] {
        if is_plain {
            add_plain_node(&mut simulation, chain);
        } else {
            add_node(&mut simulation, chain, Config::default());
        }
    }
    simulation.dial(0, 1).unwrap();
    simulation.run_for(SECOND * 60);
    assert!(offences(&simulation, 0).is_empty() && offences(&simulation, 1).is_empty());
    simulation
}

#[test]
fn the_heavier_of_two_chains_is_followed_however_far_back_they_part() {
    let common = Chain::generate(1, 300);
    let depths = [1, 2, 7, 200];
    for (depth, is_plain) in depths.into_iter().flat_map(|depth| [(depth, false), (depth, true)]) {
        let light = common.fork_after(300 - depth, depth, 1000);
        let heavy = common.fork_after(300 - depth, depth, 1001);
        let simulation = meet(depth as u64, &light, &heavy, is_plain);
        assert_eq!(light.blocks(), heavy.blocks(), "{depth} {is_plain}");
        assert_eq!((light.reorganisations(), heavy.reorganisations()), (1, 0));
        assert!((0..2).all(|node| state(&simulation, node) == State::Synced));
        let progress = simulation.swarm(0).behaviour().sync.progress();
        assert_eq!((progress.height, progress.tip), (300, heavy.tip().hash));
        assert_eq!(progress.downloaded_blocks, depth as u64, "whatever came was of use");
    }
}

#[test]
fn a_reorganisation_a_thousand_blocks_deep_is_one_step() {
    let common = Chain::generate(1, 1100);
    let (short, long) = (&common, &common.forged_after(100, 1001));
    let simulation = meet(1, short, long, false);
    assert_eq!(short.blocks(), long.blocks());
    assert_eq!(short.reorganisations(), 1);
    let tips: Vec<_> = simulation
        .events(0)
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Behaviour(NodeEvent::Sync(spacetime_sync::Event::Apply { blocks })) => Some(blocks.len()),
            _ => None,
        })
        .collect();
    assert_eq!(tips.iter().sum::<usize>(), 1001);
}

#[test]
fn a_longer_chain_is_followed_though_nobody_has_said_yet_that_there_is_nothing_after_the_tip() {
    // Its first headers are more than are to be left, and not all that there are.
    let common = Chain::generate(1, 20);
    let (short, long) = (&common, &common.fork_after(5, 30, 1000));
    meet(1, short, long, false);
    assert_eq!((short.blocks(), short.reorganisations()), (long.blocks(), 1));
}

#[test]
fn a_chain_that_parts_deeper_than_is_allowed_is_not_followed_and_nobody_is_charged() {
    let common = Chain::generate(1, 1200);
    let (light, heavy) = (common.fork_after(199, 1001, 1000), common.fork_after(199, 1100, 1001));
    let before = light.blocks();
    let simulation = meet(1, &light, &heavy, false);
    assert!(light.blocks() == before && light.reorganisations() == 0);
    assert_eq!(simulation.swarm(0).behaviour().sync.progress().downloaded_blocks, 0);
}

#[test]
fn of_two_chains_that_weigh_the_same_each_keeps_its_own() {
    let common = Chain::generate(1, 50);
    // The second is as heavy in fewer blocks.
    for (length, difficulty) in [(10, 1000), (5, 2000)] {
        let (one, other) = (common.forged_after(40, 10), common.fork_after(40, length, difficulty));
        let other = if length == 10 { common.clone() } else { other };
        let before = (one.blocks(), other.blocks());
        meet(1, &one, &other, false);
        assert!((one.blocks(), other.blocks()) == before);
    }
}

#[test]
fn a_chain_that_is_longer_and_lighter_is_not_followed() {
    let common = Chain::generate(1, 50);
    let (short, long) = (common.fork_after(40, 10, 1000), common.fork_after(40, 900, 10));
    meet(1, &short, &long, false);
    assert_eq!(long.blocks(), short.blocks());
}

#[test]
fn headers_of_a_heavier_chain_without_good_blocks_disturb_nothing() {
    let honest = Chain::generate(1, 3000);
    let empty = Chain::empty_that_proves(&honest);
    let forged = honest.fork_after(10, 3500, 4000);
    let mut simulation = Simulation::new(3);
    add_node(&mut simulation, &honest, Config::default());
    add_node(&mut simulation, &forged, Config::default());
    let node = add_node(&mut simulation, &empty, Config::default());
    simulation.dial(node, 0).unwrap();
    simulation.run_for(SECOND);
    simulation.dial(node, 1).unwrap();
    assert!(simulation.run_until(SECOND * 60, |_| empty.len() == 3001), "{}", empty.len());
    assert_eq!(offences(&simulation, node), [Offence::InvalidBlock(InvalidObject::Refused)]);
    let progress = simulation.swarm(node).behaviour().sync.progress();
    assert_eq!(progress.downloaded_blocks, 3001, "one block of the forged chain was tried");
}

#[test]
fn the_block_by_which_a_heavier_chain_is_tried_is_looked_at_before_it_is_applied() {
    let honest = Chain::generate(1, 3000);
    let empty = Chain::generate(1, 0);
    let broken = honest.fork_after(10, 3500, 4000);
    broken.pad_body(11, 1000);
    let mut simulation = Simulation::new(3);
    add_node(&mut simulation, &honest, Config::default());
    add_node(&mut simulation, &broken, Config::default());
    let node = add_node(&mut simulation, &empty, Config::default());
    simulation.dial(node, 0).unwrap();
    simulation.run_for(SECOND);
    simulation.dial(node, 1).unwrap();
    assert!(simulation.run_until(SECOND * 60, |_| empty.len() == 3001), "{}", empty.len());
    let offences = offences(&simulation, node);
    assert!(matches!(offences[..], [Offence::InvalidBlock(InvalidObject::Malformed(_))]), "{offences:?}");
}

#[test]
fn blocks_that_a_node_has_are_not_downloaded_again_because_of_a_chain_that_was_made_up() {
    for (parts_at, is_plain) in [10, 200, 300].into_iter().flat_map(|at| [(at, false), (at, true)]) {
        let honest = Chain::generate(1, 340);
        let own = honest.fork_after(300, 0, 1000);
        // It has its headers, and no block of it.
        let forged = honest.fork_after(parts_at, 400, 4000);
        (parts_at + 1..=parts_at + 400).for_each(|height| forged.forget_body(height));
        let mut simulation = Simulation::new(parts_at as u64);
        add_node(&mut simulation, &forged, Config::default());
        if is_plain {
            add_plain_node(&mut simulation, &honest);
        } else {
            add_node(&mut simulation, &honest, Config::default());
        }
        let node = add_node(&mut simulation, &own, Config::default());
        simulation.dial(node, 0).unwrap();
        simulation.run_for(SECOND);
        simulation.dial(node, 1).unwrap();
        let has_all = simulation.run_until(SECOND * 60, |_| own.len() == 341);
        let progress = simulation.swarm(node).behaviour().sync.progress();
        assert!(has_all && own.blocks() == honest.blocks(), "{parts_at} {is_plain} {progress:?}");
        assert_eq!(progress.downloaded_blocks, 40, "{parts_at} {is_plain}");
    }
}

#[test]
fn a_light_chain_that_came_first_is_left_for_the_heavy_one() {
    let honest = Chain::generate(1, 2500);
    let light = honest.fork_after(5, 3000, 1);
    let empty = Chain::generate(1, 0);
    let mut simulation = Simulation::new(4);
    for chain in [&light, &light, &honest] {
        add_node(&mut simulation, chain, Config::default());
    }
    let node = add_node(&mut simulation, &empty, Config::default());
    for peer in 0..3 {
        simulation.dial(node, peer).unwrap();
    }
    assert!(simulation.run_until(SECOND * 60, |_| empty.blocks() == honest.blocks()), "{:?}", empty.tip());
}

#[test]
fn what_is_new_is_of_no_use_while_a_node_is_far_behind() {
    let (full, empty) = (Chain::generate(1, 3000), Chain::generate(1, 0));
    let mut simulation = Simulation::new(5);
    add_node(&mut simulation, &full, Config::default());
    let node = add_node(&mut simulation, &empty, Config::default());
    simulation.dial(node, 0).unwrap();
    let is_far = |simulation: &Simulation<Node>| {
        simulation.swarm(node).behaviour().sync.progress().is_initial_download
    };
    assert!(simulation.run_until(SECOND * 10, is_far));
    assert!(empty.len() > 1, "not before a block of the chain was verified");
    assert!(simulation.run_until(SECOND * 60, |it| !is_far(it)));
    assert!((2000..=3001).contains(&empty.len()), "{}", empty.len());
}

#[test]
fn headers_alone_keep_nobody_quiet() {
    let honest = Chain::generate(1, 10);
    let empty = Chain::empty_that_proves(&honest);
    let forged = honest.forged_after(0, 3500);
    let mut simulation = Simulation::new(6);
    add_node(&mut simulation, &forged, Config::default());
    let node = add_node(&mut simulation, &empty, Config::default());
    simulation.dial(node, 0).unwrap();
    for _ in 0..200 {
        simulation.run_for(SECOND / 10);
        assert!(!simulation.swarm(node).behaviour().sync.progress().is_initial_download);
    }
}
