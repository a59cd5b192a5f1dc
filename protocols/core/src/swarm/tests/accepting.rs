//! Who may connect: how often, and who makes room.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use super::node::{Node, peer_id};
use super::tree::Tree;
use crate::{Address, CloseReason, ConnectionId, Limits, Rate, SecurityError};

const SECOND: Duration = Duration::from_secs(1);

fn at(ip: &str, port: u16) -> Address {
    format!("{ip}:{port}").parse().unwrap()
}

fn refusals(node: &Node<Tree>) -> BTreeMap<&'static str, u64> {
    node.swarm.refusals().collect()
}

/// No rates, so that only the places count.
fn places(max_opening: usize) -> Node<Tree> {
    let rate = Rate { capacity: u32::MAX, interval: SECOND };
    let limits = Limits::default().with_max_opening(max_opening);
    Node::new(limits.with_accept_rate_per_host(rate).with_accept_rate_per_group(rate))
}

#[test]
fn a_host_may_connect_so_often_and_then_once_in_each_interval() {
    let mut node = Node::new(Limits::default());
    let refused = Err(CloseReason::Refused("too many connections from this address"));
    for port in 0..8 {
        assert!(node.accept(at("8.8.8.8", port)).is_ok());
    }
    assert_eq!(node.accept(at("8.8.8.8", 8)), refused);
    // What leads to the same host is the same host; the one beside it is another.
    assert_eq!(node.accept(at("[2002:808:808::1]", 8)), refused);
    assert!(node.accept(at("8.8.8.9", 8)).is_ok());
    node.sleep(SECOND * 5);
    assert!(node.accept(at("8.8.8.8", 9)).is_ok());
    assert_eq!(node.accept(at("8.8.8.8", 10)), refused);
    assert_eq!(refusals(&node)["too many connections from this address"], 3);
}

#[test]
fn a_group_may_connect_so_often_whatever_its_hosts_are() {
    let mut node = Node::new(Limits::default());
    for host in 0..64 {
        assert!(node.accept(at(&format!("8.8.0.{host}"), 1)).is_ok(), "{host}");
    }
    let refused = Err(CloseReason::Refused("too many connections from this network"));
    assert_eq!(node.accept(at("8.8.1.1", 1)), refused);
    assert!(node.accept(at("8.9.1.1", 1)).is_ok(), "another group");
    node.sleep(Duration::from_millis(16));
    assert!(node.accept(at("8.8.1.2", 1)).is_ok());
    assert_eq!(node.accept(at("8.8.1.3", 1)), refused);
}

#[test]
fn a_host_over_its_rate_costs_its_neighbours_nothing() {
    let mut node = Node::new(Limits::default());
    for port in 0..1000 {
        let _ = node.accept(at("8.8.8.8", port));
    }
    for host in 0..56 {
        assert!(node.accept(at(&format!("8.8.0.{host}"), 1)).is_ok(), "{host}");
    }
}

#[test]
fn there_is_no_rate_on_a_private_network() {
    let mut node = Node::new(Limits::default());
    for port in 0..200 {
        assert!(node.accept(at("127.0.0.1", port)).is_ok());
        assert!(node.accept(at("[fd00::1]", port)).is_ok());
    }
}

#[test]
fn the_network_with_the_most_places_makes_room_for_a_stranger() {
    let mut node = places(6);
    let few: Vec<_> = (0..2).map(|port| node.accept(at("127.1.0.1", port)).unwrap()).collect();
    let many: Vec<_> = (0..4).map(|port| node.accept(at("127.2.0.1", port)).unwrap()).collect();
    let is_refused = |node: &Node<Tree>, connection: ConnectionId| node.refusal(connection);
    // Its own network has the most: it is the newcomer that goes.
    assert_eq!(node.accept(at("127.2.9.9", 1)), Err(CloseReason::Full));
    let stranger = node.accept(at("127.3.0.1", 1)).unwrap();
    assert_eq!(is_refused(&node, many[0]), Some(CloseReason::Full), "the oldest of the largest");
    assert!(node.last_words(many[0]).is_some(), "the driver drops it");
    // The driver still has the old one when it is told of the new one.
    assert_ne!(many[0].slot(), stranger.slot());
    // Those with fewer may come up to as many.
    let third = node.accept(at("127.1.0.1", 3)).unwrap();
    assert_eq!(is_refused(&node, many[1]), Some(CloseReason::Full));
    for connection in [&few[..], &many[2..], &[stranger, third]].concat() {
        assert_eq!(is_refused(&node, connection), None);
    }
    assert_eq!(refusals(&node), [("full", 3)].into());
}

#[test]
fn a_stranger_gets_in_however_many_networks_flood() {
    let mut node = places(512);
    for port in 0..20 {
        for network in 0..=255 {
            let _ = node.accept(at(&format!("127.{network}.0.1"), port));
        }
    }
    let before = node.counters();
    let stranger = node.accept(at("10.0.0.1", 1)).unwrap();
    assert_eq!(node.counters(), before, "the places are taken, and stay so");
    // Nobody takes its place while it says who it is.
    for network in 0..=255 {
        let _ = node.accept(at(&format!("127.{network}.0.1"), 99));
    }
    node.open(stranger, Some(peer_id(1)));
    node.say_hello(stranger, 1);
    assert!(node.swarm.peer(stranger).is_some());
}

#[test]
fn a_session_never_makes_room() {
    let mut node = places(1);
    let session = node.inbound_session(7);
    for port in 0..10 {
        let _ = node.accept(at(&format!("127.{port}.0.1"), port));
    }
    assert!(node.swarm.peer(session).is_some());
}

#[test]
fn refusals_are_counted_by_reason() {
    let mut node = places(100);
    for (port, reason) in [
        (1, CloseReason::Insecure(SecurityError::Plaintext)),
        (2, CloseReason::Insecure(SecurityError::Plaintext)),
        (3, CloseReason::Insecure(SecurityError::Expired)),
        (4, CloseReason::EndOfStream),
    ] {
        let connection = node.accept(at("127.0.0.1", port)).unwrap();
        node.lose(connection, reason);
    }
    node.accept(at("127.0.0.1", 5)).unwrap();
    node.sleep(SECOND * 5);
    let expected = [("end-of-stream", 1), ("expired", 1), ("opening-timeout", 1), ("plaintext", 2)];
    assert_eq!(refusals(&node), expected.into());
}

#[test]
fn a_network_over_its_rate_costs_its_hosts_nothing() {
    let mut node = Node::new(Limits::default());
    for host in 0..64 {
        assert!(node.accept(at(&format!("8.8.0.{host}"), 1)).is_ok(), "{host}");
    }
    let refused = Err(CloseReason::Refused("too many connections from this network"));
    for port in 0..20 {
        assert_eq!(node.accept(at("8.8.1.1", port)), refused);
    }
    node.sleep(SECOND * 2);
    for port in 0..8 {
        assert!(node.accept(at("8.8.1.1", port)).is_ok(), "{port}");
    }
}

#[test]
fn a_flood_that_is_refused_makes_nobody_forget_the_hosts_that_were_there() {
    let mut node = Node::new(Limits::default());
    for port in 0..8 {
        assert!(node.accept(at("8.8.8.8", port)).is_ok());
    }
    // More hosts than are remembered, all of one network.
    for host in 0..10_000 {
        let _ = node.accept(at(&format!("[2a00:1450:0:{host:x}::1]"), 1));
    }
    let refused = Err(CloseReason::Refused("too many connections from this address"));
    assert_eq!(node.accept(at("8.8.8.8", 9)), refused);
}

#[test]
fn no_rate_and_no_crowd_keeps_out_who_is_exempt() {
    let mut node = Node::new(Limits::default().with_max_opening(60));
    node.act(|tree, _| tree.gate.exempts = at("8.8.8.8", 0).ip());
    for host in 0..60 {
        let _ = node.accept(at(&format!("8.8.1.{host}"), 1));
    }
    assert_eq!(node.accept(at("8.8.1.99", 1)), Err(CloseReason::Full));
    for port in 1..50 {
        assert!(node.accept(at("8.8.8.8", port)).is_ok(), "{port}");
    }
    // The rest is as for everybody: its network is the largest.
    assert_eq!(node.accept(at("8.8.1.99", 2)), Err(CloseReason::Full));
}
