//! Lists of addresses that are well-formed, and of no use.

use super::*;

/// A list that a peer tells unasked costs it nothing, and this many of it are learned.
#[track_caller]
fn teaches(list: &[&str], learned: usize) {
    let list: Vec<_> = list.iter().map(|it| address(it)).collect();
    Case::inbound().gives_peers(&list).leaves(after(Verdict::Nothing, 0, learned), 8 * KIB);
}

#[test]
fn port_zero() {
    teaches(&["9.9.9.9:0", "[2a00::1]:0"], 0);
}

#[test]
fn private_networks() {
    teaches(&["10.0.0.1:8333", "172.16.0.1:8333", "192.168.1.1:8333", "[fc00::1]:8333", "[fec0::1]:8333"], 0);
}

#[test]
fn a_providers_nat() {
    teaches(&["100.64.0.1:8333", "100.127.255.255:8333"], 0);
}

#[test]
fn loopback() {
    teaches(&["127.0.0.1:8333", "127.200.3.4:22", "[::1]:8333"], 0);
}

#[test]
fn link_local() {
    teaches(&["169.254.1.1:8333", "[fe80::1]:8333"], 0);
}

#[test]
fn multicast() {
    teaches(&["224.0.0.1:8333", "239.255.255.255:8333", "[ff02::1]:8333"], 0);
}

#[test]
fn unspecified() {
    teaches(&["0.0.0.0:8333", "0.1.2.3:8333", "[::]:8333"], 0);
}

#[test]
fn broadcast_and_reserved() {
    teaches(&["255.255.255.255:8333", "240.0.0.1:8333", "[4000::1]:8333", "[::8.8.8.8]:8333"], 0);
}

#[test]
fn documentation() {
    teaches(&["192.0.2.1:8333", "198.51.100.1:8333", "198.18.0.1:8333", "[3fff::1]:8333"], 0);
}

#[test]
fn what_is_no_hosts_mapped_into_ipv6() {
    teaches(&["[::ffff:10.0.0.1]:8333", "[::ffff:127.0.0.1]:8333", "[::ffff:224.0.0.1]:1"], 0);
}

#[test]
fn what_is_no_hosts_carried_by_ipv6() {
    teaches(&["[2002:a00:1::1]:8333", "[64:ff9b::127.0.0.1]:8333", "[2001:0:5::f5ff:fffe]:8333"], 0);
}

#[test]
fn one_host_in_both_forms() {
    teaches(&["9.9.9.9:8333", "[::ffff:9.9.9.9]:8333"], 1);
}

#[test]
fn the_node_itself() {
    teaches(&[OWN, "[::ffff:7.7.7.7]:8333"], 0);
}

#[test]
fn a_thousand_times_the_same() {
    let case = Case::inbound().gives_peers(&[address("9.9.9.9:8333"); 1000]);
    case.leaves(after(Verdict::Nothing, 0, 1), 40 * KIB);
}

#[test]
fn all_ports_of_one_host() {
    let scan: Vec<_> = (1..=1000).map(|port| address(&format!("9.9.9.9:{port}"))).collect();
    let mut case = Case::inbound().gives_peers(&scan).leaves(after(Verdict::Nothing, 0, 10), 48 * KIB);
    // Nor does it get any further by time.
    for _ in 0..10 {
        case = case.waits(MINUTE * 10).gives_peers(&scan);
    }
    case.leaves(after(Verdict::Nothing, 0, 10), 48 * KIB);
}

#[test]
fn all_hosts_of_one_subnet() {
    for subnet in ["9.9.9.{}:8333", "[2a00:1:2:{}::1]:8333"] {
        let list: Vec<_> = (1..=200).map(|it| address(&subnet.replace("{}", &it.to_string()))).collect();
        Case::inbound().gives_peers(&list).leaves(after(Verdict::Nothing, 0, 10), 40 * KIB);
    }
}

#[test]
fn a_peer_that_says_it_listens_on_port_zero() {
    let [mut bytes, other] = [1, 2].map(|port| introduction(Some(port)));
    let port = bytes.iter().zip(&other).position(|(one, other)| one != other).unwrap();
    bytes[port] = 0;
    let mut lone = node();
    let peer = lone.connect_from(PEER.parse().unwrap(), None);
    let case = Case::of(lone, peer).gives(&bytes);
    let malformed = after(Verdict::Malformed(MessageType::HANDSHAKE), -2, 0);
    case.leaves(After { is_open: false, ..malformed }, 8 * KIB);
}

#[test]
fn a_peer_that_comes_again_and_again_with_another_port() {
    let mut lone = node();
    for port in 1..=100 {
        let peer = lone.connect_from(format!("8.8.8.8:{}", 1000 + port).parse().unwrap(), None);
        lone.give_bytes(peer, &introduction(Some(port)));
        lone.end(peer);
    }
    assert_eq!(lone.behaviour().peers.book().len(), 10, "what a subnet may have");
    assert!(lone.offences().is_empty());
}
