//! One session per peer.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use proptest::prelude::*;

use super::log::{Heard, Who};
use super::messages::{Hello, hello};
use super::node::{Node, address, ephemeral, peer_id, remote};
use super::tree::{GatelessTree, Reaction, Tree, info};
use super::world::{World, second_address};
use crate::{CloseReason, ConnectionId, Direction, Limits};

fn world(is_proven: bool) -> World<Tree> {
    let nodes = (0..2).map(|number| Node::numbered(number, Limits::default()));
    World::new(nodes.collect(), is_proven)
}

/// A session with a peer that has proven to be the one with this number.
fn proven_inbound(node: &mut Node<Tree>, number: u8, port: u16) -> ConnectionId {
    let connection = node.accept(ephemeral(number, port)).unwrap();
    node.open(connection, Some(peer_id(number)));
    node.say_hello(connection, number);
    connection
}

/// Outbound session with the peer with this number.
fn outbound(node: &mut Node<Tree>, number: u8, is_proven: bool) -> ConnectionId {
    let connection = node.dial(address(number)).unwrap();
    node.open(connection, is_proven.then(|| peer_id(number)));
    node.say_hello(connection, number);
    connection
}

fn sessions(node: &Node<Tree>) -> Vec<ConnectionId> {
    node.swarm.peers().map(|(connection, _)| connection).collect()
}

/// The ends and beginnings of sessions as a member heard of them.
fn turns(node: &Node<Tree>, who: Who) -> Vec<(ConnectionId, bool)> {
    let heard = node.log.heard_by(who);
    let turn = |what| match what {
        Heard::Established(connection) => Some((connection, true)),
        Heard::Closed(connection, _) => Some((connection, false)),
        _ => None,
    };
    heard.into_iter().filter_map(turn).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn two_nodes_that_dial_each_other_keep_the_same_connection(
        is_proven in any::<bool>(),
        picks in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let mut world = world(is_proven);
        world.dial(0, address(1)).unwrap();
        world.dial(1, address(0)).unwrap();
        world.run(&picks);
        // The one that the node with the smaller name dialled, which is not always link 0.
        prop_assert_eq!(world.sessions(0).len(), 1);
        prop_assert_eq!(world.sessions(0), world.sessions(1));
        let (_, peer) = world.nodes[0].swarm.peers().next().unwrap();
        prop_assert_eq!(peer.direction, Direction::Outbound);
    }

    #[test]
    fn without_a_gate_proven_ids_decide(picks in prop::collection::vec(any::<u8>(), 1..40)) {
        let gateless = |number| {
            let log = super::log::Log::default();
            Node::with_tree(GatelessTree::new(&log), log, number, Limits::default())
        };
        let mut world = World::new(vec![gateless(0), gateless(1)], true);
        world.dial(0, address(1)).unwrap();
        world.dial(1, address(0)).unwrap();
        world.run(&picks);
        prop_assert_eq!(world.sessions(0).len(), 1);
        prop_assert_eq!(world.sessions(0), world.sessions(1));
    }

    #[test]
    fn a_peer_that_is_dialled_at_two_addresses_keeps_a_session(
        picks in prop::collection::vec(any::<u8>(), 1..40),
        also_back in any::<bool>(),
    ) {
        let mut world = world(true);
        world.dial(0, address(1)).unwrap();
        world.dial(0, second_address(1)).unwrap();
        if also_back {
            world.dial(1, second_address(0)).unwrap();
        }
        world.run(&picks);
        prop_assert_eq!(world.sessions(0).len(), 1);
        prop_assert_eq!(world.sessions(0), world.sessions(1));
    }

    #[test]
    fn two_ends_never_disagree(
        is_proven in any::<bool>(),
        history in prop::collection::vec((0..12_u8, any::<u8>()), 1..120),
        picks in prop::collection::vec(any::<u8>(), 1..10),
    ) {
        let mut world = world(is_proven);
        let mut was_closed = false;
        let mut was_dialled = false;
        for (kind, pick) in history {
            let (node, other) = (usize::from(pick % 2), usize::from(1 - pick % 2));
            match kind {
                0 => was_dialled |= world.dial(node, address(other as u8)).is_ok(),
                1 => was_dialled |= world.dial(node, second_address(other)).is_ok(),
                2 if pick < 64 => {
                    world.close_sessions(node);
                    was_closed = true;
                }
                _ => was_dialled |= world.step(pick),
            }
        }
        world.run(&picks);
        prop_assert_eq!(world.sessions(0), world.sessions(1));
        if is_proven {
            prop_assert!(world.sessions(0).len() <= 1);
            prop_assert!(was_closed || !was_dialled || world.sessions(0).len() == 1, "they meant to talk");
        }
    }

    #[test]
    fn a_peer_that_is_dialled_again_elsewhere_keeps_its_session(
        picks in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let mut world = world(true);
        world.dial(0, address(1)).unwrap();
        world.run(&[0]);
        let before = world.sessions(0);
        world.dial(0, second_address(1)).unwrap();
        world.run(&picks);
        prop_assert_eq!(world.sessions(0), before.clone());
        prop_assert_eq!(world.sessions(1), before);
    }
}

#[test]
fn a_proven_peer_that_connects_again_replaces_its_old_session() {
    let mut node = Node::new(Limits::default());
    let old = proven_inbound(&mut node, 7, 40_000);
    let new = proven_inbound(&mut node, 7, 40_001);
    assert_eq!(sessions(&node), [new]);
    assert_eq!(node.close_reason(old), Some(CloseReason::Duplicate));
    for who in Who::ALL {
        assert_eq!(turns(&node, who), [(old, true), (old, false), (new, true)]);
    }
}

#[test]
fn a_claimed_peer_that_connects_again_does_not() {
    let mut node = Node::new(Limits::default());
    let old = node.inbound_session(7);
    let new = node.accept(ephemeral(7, 40_001)).unwrap();
    node.open(new, None);
    node.say_hello(new, 7);
    assert_eq!(sessions(&node), [old]);
    assert_eq!(node.refusal(new), Some(CloseReason::Duplicate));
}

#[test]
fn a_claimed_peer_is_where_it_says_that_it_listens() {
    let mut node = Node::new(Limits::default());
    let listens = node.inbound_session(7);
    // The same host, another port: another peer. No port: another peer each time.
    for (port, says) in [(40_001, Some(8334)), (40_002, None), (40_003, None)] {
        let connection = node.accept(ephemeral(7, port)).unwrap();
        node.open(connection, None);
        node.receive(connection, &hello("somebody", says, true));
        assert!(node.swarm.peer(connection).is_some());
    }
    assert_eq!(node.swarm.peers().count(), 4);
    assert!(node.swarm.peer(listens).is_some());
}

#[test]
fn a_name_that_is_only_claimed_takes_nobodys_place() {
    let mut node = Node::new(Limits::default());
    let honest = outbound(&mut node, 7, false);
    // A stranger elsewhere says it is peer 7 and listens on the same port.
    let stranger = node.accept(ephemeral(66, 40_000)).unwrap();
    node.open(stranger, None);
    node.say_hello(stranger, 7);
    assert_eq!(sessions(&node), [honest, stranger]);
}

#[test]
fn a_peer_that_lies_about_its_name_does_not_sway_who_wins() {
    // Node 5 and peer 7: what node 5 dialled is kept, whatever name the peer says when it dials.
    let mut node = Node::numbered(5, Limits::default());
    let dialled = outbound(&mut node, 7, true);
    let inbound = node.accept(ephemeral(7, 40_000)).unwrap();
    node.open(inbound, Some(peer_id(7)));
    node.receive(inbound, &hello("0", Some(8333), true));
    assert_eq!(sessions(&node), [dialled]);
}

#[test]
fn the_other_direction_replaces_by_the_smaller_name() {
    for (number, outbound_wins) in [(5, true), (9, false)] {
        let mut node = Node::numbered(number, Limits::default());
        let dialled = outbound(&mut node, 7, true);
        let accepted = proven_inbound(&mut node, 7, 40_000);
        let kept = if outbound_wins { dialled } else { accepted };
        assert_eq!(sessions(&node), [kept]);
    }
}

#[test]
fn a_peer_let_in_twice_at_once_has_one_session_at_a_time() {
    let mut node = Node::new(Limits::default());
    let old = proven_inbound(&mut node, 7, 40_000);
    let mut waiting = Vec::new();
    for port in [40_001, 40_002] {
        let connection = node.accept(ephemeral(7, port)).unwrap();
        node.open(connection, Some(peer_id(7)));
        waiting.push(connection);
    }
    let peer = info(&Hello { name: "7".into(), listen_port: None, understands_errors: false });
    node.act(|tree, cx| {
        tree.gate.lets_in = waiting.iter().map(|it| (*it, peer.clone())).collect();
        tree.gate.wake = Some(cx.now() + Duration::from_secs(1));
    });
    node.sleep(Duration::from_secs(1));
    for who in Who::ALL {
        let mut open = 0;
        for (_, begins) in turns(&node, who) {
            open += if begins { 1 } else { -1 };
            assert!((0..=1).contains(&open), "{:?}", turns(&node, who));
        }
    }
    assert_eq!(node.swarm.peers().count(), 1);
    assert_eq!(node.close_reason(old), Some(CloseReason::Duplicate));
}

#[test]
fn a_session_that_is_being_closed_ends_before_the_next_one_with_its_peer_begins() {
    let mut node = Node::new(Limits::default());
    let old = node.inbound_session(7);
    let new = node.accept(ephemeral(7, 40_001)).unwrap();
    node.open(new, None);
    // One input lets the new connection in, and makes another behaviour close the old one.
    let at = node.now + Duration::from_secs(1);
    node.act(|tree, _| {
        let peer = info(&Hello { name: "7".into(), listen_port: Some(8333), understands_errors: true });
        tree.gate.lets_in.push((new, peer));
        tree.gate.wake = Some(at);
        tree.first.wake = Some(at);
        tree.first.script.push_back(Reaction::Close(0));
    });
    node.sleep(Duration::from_secs(1));
    assert_eq!(node.close_reason(old), Some(CloseReason::Requested));
    for who in Who::ALL {
        assert_eq!(turns(&node, who), [(old, true), (old, false), (new, true)], "{who:?}");
    }
}

#[test]
fn a_session_that_replaces_another_keeps_its_place() {
    // Every slot is taken, and whoever hears of an end dials at once.
    let mut node = Node::new(Limits::default().with_max_connections(1));
    proven_inbound(&mut node, 7, 40_000);
    node.act(|tree, _| tree.first.on_closed = Some(Reaction::Dial(address(50))));
    let new = proven_inbound(&mut node, 7, 40_001);
    assert_eq!(sessions(&node), [new], "the peer is still there");
    assert_eq!(node.counters(), (1, 0));
}

#[test]
fn a_peer_that_loses_hears_why() {
    let mut world = world(true);
    world.dial(0, address(1)).unwrap();
    world.dial(1, address(0)).unwrap();
    world.run(&[0]);
    let duplicate =
        |reason: &CloseReason| *reason == CloseReason::Duplicate || *reason == remote(CloseReason::Duplicate);
    for node in &world.nodes {
        for event in &node.events {
            match event {
                crate::Event::Closed { reason, .. } | crate::Event::Refused { reason, .. } => {
                    assert!(duplicate(reason), "{reason}");
                }
                crate::Event::DialFailed { error, .. } => {
                    assert!(
                        matches!(error, crate::DialError::Closed(reason) if duplicate(reason)),
                        "{error}"
                    );
                }
                _ => {}
            }
        }
    }
}
