//! What peers tell.

use spacetime_core::{Offence, Rate, Severity};

use super::*;

#[test]
fn what_a_peer_tells_is_learned_in_its_usual_form_and_without_what_is_of_no_use() {
    let own = address("7.7.7.7:8333");
    let mut lone = node(Config::default().with_own_address(Some(own)));
    let peer = connect(&mut lone, "8.8.8.8:1000", None);
    let message = [
        "9.9.9.9:1",
        "[::ffff:9.9.9.9]:1",
        "9.9.9.9:1",
        "9.9.9.9:0",
        "7.7.7.7:8333",
        "[::ffff:7.7.7.7]:8333",
        "10.0.0.1:1",
        "127.0.0.1:1",
        "[::ffff:192.168.0.1]:1",
        "[fe80::1]:1",
        "224.0.0.1:1",
        "[2a00::1]:1",
    ];
    lone.give(peer, &Peers::new(&message.map(address)));
    assert_eq!(learned(&mut lone), [(peer, vec![address("9.9.9.9:1"), address("[2a00::1]:1")])]);
    assert!(lone.offences().is_empty());
}

#[test]
fn private_addresses_count_where_they_are_allowed() {
    let mut lone = node(Config::default().with_allow_private(true));
    let peer = connect(&mut lone, "10.0.0.1:1000", None);
    lone.give(peer, &Peers::new(&["10.0.0.2:1", "127.0.0.1:5", "10.0.0.3:0"].map(address)));
    assert_eq!(learned(&mut lone), [(peer, vec![address("10.0.0.2:1"), address("127.0.0.1:5")])]);
}

#[test]
fn a_message_of_1001_peers_is_malformed_and_teaches_nothing() {
    let mut lone = node(Config::default());
    let peer = connect(&mut lone, "8.8.8.8:1000", None);
    let mut frame = Frame::encode(&Peers::new(&addresses(1000))).unwrap().bytes().to_vec();
    frame.extend_from_slice(&[4, 0, 0, 0, 9, 9, 9, 9, 1, 0, 0, 0]);
    let length = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame[5..9].copy_from_slice(&1001_i32.to_le_bytes());
    lone.give_bytes(peer, &frame);
    let offences = lone.offences();
    assert!(
        matches!(offences[..], [(who, Offence::Malformed { message_type: MessageType::PEERS, .. })] if who == peer),
        "{offences:?}"
    );
    assert_eq!(offences[0].1.severity(), Severity::Serious);
    assert!(learned(&mut lone).is_empty());
    assert_eq!(lone.closed(peer), None);
}

#[test]
fn a_stranger_may_tell_20_at_once_and_one_in_10_s_without_being_charged() {
    let mut lone = node(Config::default());
    let peer = connect(&mut lone, "8.8.8.8:1000", None);
    let all = addresses(1000);
    lone.give(peer, &Peers::new(&all));
    assert_eq!(learned_count(&mut lone), 20);
    lone.advance(SECOND * 95);
    lone.give(peer, &Peers::new(&all));
    assert_eq!(learned_count(&mut lone), 9);
    lone.advance(HOUR * 100);
    lone.give(peer, &Peers::new(&all));
    lone.give(peer, &Peers::new(&addresses(1500)[1000..]));
    assert_eq!(learned_count(&mut lone), 1000, "no more is ever saved up");
    assert!(lone.offences().is_empty());
}

#[test]
fn duplicates_in_one_message_are_one() {
    let mut lone = node(Config::default());
    let peer = connect(&mut lone, "8.8.8.8:1000", None);
    lone.give(peer, &Peers::new(&[address("9.9.9.9:1"); 1000]));
    assert_eq!(learned(&mut lone), [(peer, vec![address("9.9.9.9:1")])]);
    lone.give(peer, &Peers::new(&addresses(100)));
    assert_eq!(learned_count(&mut lone), 19, "they count as one");
}

#[test]
fn connecting_again_resets_nothing() {
    let mut lone = node(Config::default());
    let peer = connect(&mut lone, "8.8.8.8:1000", None);
    lone.give(peer, &Peers::new(&addresses(100)));
    assert_eq!(learned_count(&mut lone), 20);
    lone.end(peer);
    for port in 1001..1050 {
        let peer = connect(&mut lone, &format!("8.8.8.8:{port}"), Some(port));
        lone.give(peer, &Peers::new(&addresses(100)));
        assert_eq!(learned_count(&mut lone), 0, "nor another port, or another claim");
        lone.end(peer);
    }
    let other = connect(&mut lone, "8.8.8.9:1000", None);
    lone.give(other, &Peers::new(&addresses(100)));
    assert_eq!(learned_count(&mut lone), 20);
}

#[test]
fn a_flood_at_the_legal_maximum_teaches_what_the_rate_allows() {
    let mut lone = node(Config::default());
    let peer = connect(&mut lone, "8.8.8.8:1000", None);
    let mut count = 0;
    for round in 0..360_u32 {
        let message: Vec<_> =
            (0..1000).map(|it| address(&format!("9.{}.{}.1:{}", round % 250, it % 250, it + 1))).collect();
        lone.give(peer, &Peers::new(&message));
        count += learned_count(&mut lone);
        lone.advance(SECOND * 10);
    }
    assert_eq!(count, 20 + 359);
}

#[test]
fn a_peer_that_connects_is_learned_with_the_port_that_it_announces() {
    let mut lone = node(Config::default());
    let others = connect_many(&mut lone, 5);
    assert!(learned(&mut lone).is_empty(), "those announce none");
    let newcomer = connect(&mut lone, "9.9.9.9:1000", Some(8333));
    assert_eq!(learned(&mut lone), [(newcomer, vec![address("9.9.9.9:8333")])]);
    assert_eq!(passed_on(&mut lone, &others, address("9.9.9.9:8333")).len(), 3);
    assert!(told(&mut lone, newcomer).is_empty());
    // Where a private address is of no use, nor is that of a newcomer.
    connect(&mut lone, "192.168.0.9:1000", Some(8333));
    assert!(learned(&mut lone).is_empty());
}

#[test]
fn a_peer_that_was_dialled_teaches_nothing_by_being_there() {
    let mut lone = node(Config::default());
    dial(&mut lone, "9.9.9.9:8333");
    connect_version_1(&mut lone, "9.9.9.8:8333");
    assert!(learned(&mut lone).is_empty());
}

#[test]
fn a_newcomer_that_comes_again_and_again_counts_as_one_that_tells() {
    let mut lone = node(Config::default());
    let mut count = 0;
    for port in 1..=100 {
        let peer = connect(&mut lone, "9.9.9.9:1000", Some(port));
        count += learned_count(&mut lone);
        lone.end(peer);
    }
    assert_eq!(count, 20);
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    let good = Config::default();
    assert_eq!(good.validate(), Ok(()));
    for (bad, name) in [
        (good.clone().with_interval(Duration::ZERO), "interval"),
        (good.clone().with_own_interval(Duration::ZERO), "own_interval"),
        (good.clone().with_count(0), "count"),
        (good.clone().with_count(21), "count"),
        (good.clone().with_accepted(Rate { capacity: 19, interval: SECOND }), "accepted_from_strangers"),
        (good.clone().with_accepted(Rate { capacity: 20, interval: Duration::ZERO }), "accepted"),
        (good.with_own_address(Some(address("9.9.9.9:0"))), "own_address"),
    ] {
        let error = Gossip::new(bad, &Rng::from_number(1)).unwrap_err();
        assert!(error.to_string().starts_with(name), "{error}");
    }
}

#[test]
fn a_message_of_a_thousand_takes_no_more_memory_than_what_is_taken_of_it() {
    let mut lone = node(Config::default());
    let peer = connect(&mut lone, "8.8.8.8:1000", None);
    let mut measure = |addresses: &[SocketAddr]| {
        let frame = Frame::encode(&Peers::new(addresses)).unwrap();
        lone.act(|node, cx| {
            let no_event = |never: Infallible| -> Option<NodeEvent> { match never {} };
            cx.with_child(no_event, |cx| {
                let handle = || {
                    let peers = Peers::decode(frame.payload()).unwrap();
                    node.gossip.on_message(cx, peer, peers, &frame).unwrap();
                };
                allocation_counter::measure(handle).bytes_max
            })
        })
    };
    let bytes = measure(&addresses(1000));
    assert!(bytes <= 20 * 250 + 2048, "{bytes} bytes for 20 of them");
    let bytes = measure(&addresses(1000));
    assert!(bytes <= 1024, "{bytes} bytes for none of them");
}
