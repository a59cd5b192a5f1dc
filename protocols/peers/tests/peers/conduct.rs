//! What peers earn, and who pays.

use super::*;

fn node() -> Net {
    Net::new(Config::default())
}

#[test]
fn the_fifth_offence_in_a_row_ends_the_session_and_a_score_of_minus_ten_the_acquaintance() {
    let mut net = node();
    let peer = net.connect("9.9.9.9:1000", None, None).unwrap();
    for score in [-1, -2, -3, -4] {
        net.report(peer, MINOR);
        assert_eq!((net.peers().score(peer), net.is_open(peer)), (score, true));
    }
    net.report(peer, MINOR);
    assert_eq!(net.closed[&peer], CloseReason::Violation(MINOR));
    assert_eq!(net.peers().bans().count(), 0);
    // It may come again, and goes on where it was.
    let peer = net.connect("9.9.9.9:2000", None, None).unwrap();
    assert_eq!(net.peers().score(peer), -5);
    net.report(peer, SERIOUS);
    assert!(!net.is_open(peer), "the sixth in a row");
    let peer = net.connect("9.9.9.9:3000", None, None).unwrap();
    net.signal(Signal::Useful { connection: peer });
    net.report(peer, SERIOUS);
    assert_eq!((net.peers().score(peer), net.is_open(peer)), (-8, true), "+1 begins another row");
    net.report(peer, SERIOUS);
    assert_eq!(net.peers().bans().map(|it| it.target).collect::<Vec<_>>(), [target("9.9.9.9")]);
    assert_eq!(net.connect("9.9.9.9:4000", None, None), Err(CloseReason::Refused("banned")));
    net.run_for(HOUR * 24 + MINUTE);
    assert!(net.connect("9.9.9.9:5000", None, None).is_ok(), "after a day it may try again");
}

#[test]
fn who_offended_and_left_is_charged_with_its_host_as_if_it_was_there() {
    let mut net = node();
    let peer = net.connect("9.9.9.9:1000", Some(id(5)), None).unwrap();
    net.end(peer, CloseReason::EndOfStream);
    let identity = Identity::Proven(id(5));
    net.signal(Signal::Offence { connection: peer, address: None, identity, offence: SERIOUS });
    let mut charged: Vec<_> = net.peers().state().standings.into_iter().map(|it| it.target).collect();
    charged.sort();
    let mut expected = [target("9.9.9.9"), Target::Peer(id(5))];
    expected.sort();
    assert_eq!(charged, expected);
}

#[test]
fn a_key_that_was_never_let_in_pays_nothing_but_its_host_does() {
    let mut net = node();
    let peer = net.connect("9.9.9.9:1000", Some(id(5)), None).unwrap();
    net.end(peer, CloseReason::EndOfStream);
    // Another connection, of which nothing was heard but this.
    let stranger = net.connect("9.9.9.8:1000", None, None).unwrap();
    net.end(stranger, CloseReason::EndOfStream);
    let address = Some("9.9.9.7:1000".parse().unwrap());
    let identity = Identity::Proven(id(6));
    net.signal(Signal::Offence { connection: stranger, address, identity, offence: SERIOUS });
    let charged: Vec<_> = net.peers().state().standings.into_iter().map(|it| it.target).collect();
    assert_eq!(charged, [target("9.9.9.7")]);
}

#[test]
fn each_kind_of_offence_costs_what_the_table_says() {
    for (offence, score) in [
        (MINOR, -1),
        (Offence::Unchecked(MessageType::NEW_BLOCK), -1),
        (Offence::Frame(FrameError::Truncated { bytes: 1 }), -1),
        (SERIOUS, -2),
        (Offence::TooMuch("addresses"), -2),
        (GRAVE, -10),
    ] {
        let mut net = node();
        let peer = net.connect("9.9.9.9:1000", Some(id(5)), None).unwrap();
        net.report(peer, offence);
        assert_eq!(net.is_open(peer), score > -10, "{offence}");
        if score > -10 {
            assert_eq!(net.peers().score(peer), score, "{offence}");
        }
    }
}

#[test]
fn a_score_survives_a_crash_of_a_node_in_which_nothing_else_happens() {
    let mut net = Net::new(Config::default().with_max_outbound(0));
    let peer = net.connect("9.9.9.9:1000", Some(id(5)), None).unwrap();
    for _ in 0..4 {
        net.report(peer, SERIOUS);
    }
    net.run_for(MINUTE * 16);
    net.crash(Config::default(), MINUTE);
    let peer = net.connect("7.7.7.7:1000", Some(id(5)), None).unwrap();
    assert_eq!(net.peers().score(peer), -8);
    net.report(peer, MINOR);
    assert!(!net.is_open(peer), "the row goes on as well");
}

#[test]
fn time_forgives_a_point_an_hour_also_while_the_node_is_off() {
    let mut net = node();
    let peer = net.connect("9.9.9.9:1000", None, None).unwrap();
    for _ in 0..4 {
        net.report(peer, SERIOUS);
    }
    net.run_for(HOUR * 2 + MINUTE);
    assert_eq!(net.peers().score(peer), -6);
    net.crash(Config::default(), HOUR * 3);
    let peer = net.connect("9.9.9.9:1000", None, None).unwrap();
    assert_eq!(net.peers().score(peer), -3);
}

#[test]
fn who_offends_pays_and_nobody_whom_it_names_or_lives_beside() {
    let mut net = node();
    let offender = net.connect("9.9.9.9:1000", Some(id(5)), None).unwrap();
    let named = net.connect("8.8.8.8:1000", Some(id(6)), Some(8333)).unwrap();
    let neighbour = net.connect("9.9.9.9:1001", Some(id(7)), None).unwrap();
    let of_the_group = net.connect("9.9.1.1:1000", None, None).unwrap();
    net.tell(offender, &[socket("8.8.8.8:8333"), socket("9.9.1.1:1000")]);
    net.report(offender, GRAVE);
    assert!(!net.is_open(offender));
    assert_eq!(net.peers().bans().map(|it| it.target).collect::<Vec<_>>(), [target(&id(5).to_string())]);
    for peer in [named, neighbour, of_the_group] {
        assert_eq!((net.is_open(peer), net.peers().score(peer)), (true, 0));
    }
}

#[test]
fn a_name_that_is_only_claimed_is_neither_charged_nor_protected() {
    let mut net = node();
    let peer = net.connect("9.9.9.9:1000", None, Some(1)).unwrap();
    net.report(peer, GRAVE);
    for port in [None, Some(1), Some(2), Some(8333)] {
        assert_eq!(net.connect("9.9.9.9:2000", None, port), Err(CloseReason::Refused("banned")));
    }
}

#[test]
fn new_keys_from_one_host_buy_four_bans_worth_of_offences_and_no_more() {
    let mut net = node();
    let mut let_in = 0;
    for number in 1..100 {
        let Ok(peer) = net.connect("9.9.9.9:1000", Some(id(number)), None) else { break };
        let_in += 1;
        net.report(peer, GRAVE);
    }
    assert_eq!(let_in, 4);
    // On an IPv6 /64, and whatever carries the address, as well.
    let mut net = node();
    let hosts = ["9.9.9.9:1", "[2002:909:909:5::1]:1", "[64:ff9b::9.9.9.9]:1", "[2001:0:5::f6f6:f6f6]:1"];
    let let_in = (1..100)
        .filter(|number| {
            let Ok(peer) = net.connect(hosts[usize::from(*number) % 4], Some(id(*number)), None) else {
                return false;
            };
            net.report(peer, GRAVE);
            true
        })
        .count();
    assert_eq!(let_in, 4);
}

#[test]
fn ten_thousand_identities_cost_no_more_memory_than_the_limit() {
    let mut net = Net::new(Config::default().with_max_inbound(10));
    let mut rng = Rng::from_number(3);
    for number in 0..12_000_u32 {
        let from = format!("{}.{}.{}.9:1", 11 + number % 80, number / 80 % 250, number % 7);
        if let Ok(peer) = net.connect(&from, Some(PeerId(rng.bytes())), None) {
            net.report(peer, MINOR);
            net.end(peer, CloseReason::EndOfStream);
        }
    }
    net.run_for(MINUTE * 16);
    let standings = net.disk.state.as_ref().unwrap().standings.len();
    assert_eq!(standings, spacetime_peers::MAX_STANDINGS);
}

#[test]
fn known_addresses_told_again_make_the_node_neither_dial_nor_write() {
    let mut net = Net::new(Config::default().with_max_outbound(0));
    let peer = net.connect("9.9.9.9:1000", None, None).unwrap();
    let told: Vec<_> = (0..500).map(apart).collect();
    net.tell(peer, &told);
    net.run_for(HOUR);
    let stored = net.disk.records.clone();
    assert!(stored.len() > 400);
    for _ in 0..50 {
        net.tell(peer, &told);
        net.run_for(MINUTE);
    }
    // When they were told last has changed, which is not worth it.
    assert!(net.disk.records == stored && net.dials.is_empty());
}
