//! Feelers: short connections that find out whether an address can be reached.

use super::*;

/// A node whose pool is full.
fn full() -> Net {
    let known: Vec<_> = (0..8).map(apart).collect();
    let mut net = Net::restart(Config::default(), disk(&known, 8, &[]), UNIX_SECONDS);
    net.add_answers(0..8);
    net.run_for(SECOND * 10);
    assert_eq!(net.peers().outbound(), 8);
    net
}

#[test]
fn the_port_that_a_peer_announced_is_told_on_after_a_feeler_has_proven_it() {
    let mut net = full();
    let announced = socket("9.9.9.9:8333");
    let peer = net.connect("9.9.9.9:50000", None, Some(8333)).unwrap();
    net.tell(peer, &[announced]);
    net.run_for(HOUR);
    assert!(net.peers().book().get(announced).is_some_and(|it| it.is_announced() && !it.is_verified()));
    assert_eq!(net.times_dialled(announced), 0, "there is a session with it");
    assert!(!net.shared().contains(&announced));
    net.end(peer, CloseReason::EndOfStream);
    net.answers.insert(announced, Answer::Peer(None));
    net.run_for(MINUTE * 3);
    assert!(net.peers().book().get(announced).unwrap().is_tried);
    assert!(net.shared().contains(&announced));
    assert_eq!((net.times_dialled(announced), net.peers().outbound()), (1, 8));
    assert!(!net.outbound().contains_key(&announced), "it was only felt");
    assert!(net.peers().book().get(socket("9.9.9.9:50000")).is_none());
}

#[test]
fn a_port_that_does_not_answer_is_told_to_nobody() {
    let mut net = full();
    let peer = net.connect("9.9.9.9:50000", None, Some(22)).unwrap();
    net.tell(peer, &[socket("9.9.9.9:22")]);
    net.end(peer, CloseReason::EndOfStream);
    net.run_for(HOUR * 12);
    assert!((1..=12).contains(&net.times_dialled(socket("9.9.9.9:22"))));
    assert!(!net.shared().contains(&socket("9.9.9.9:22")));
}

#[test]
fn the_address_of_an_inbound_socket_is_nowhere_to_be_dialled() {
    let mut net = full();
    for port in [None, Some(8333)] {
        let peer = net.connect("9.9.9.9:50000", None, port).unwrap();
        net.signal(Signal::Useful { connection: peer });
        net.run_for(MINUTE * 30);
        net.end(peer, CloseReason::EndOfStream);
    }
    assert!(net.peers().book().get(socket("9.9.9.9:50000")).is_none());
    assert_eq!(net.times_dialled(socket("9.9.9.9:50000")), 0);
}

#[test]
fn one_address_is_felt_in_two_minutes_and_closed_if_the_pool_is_full() {
    let mut net = full();
    let peer = net.connect("9.9.9.9:50000", None, None).unwrap();
    let told: Vec<_> = (100..600).map(apart).collect();
    net.tell(peer, &told);
    net.add_answers(100..600);
    let before = net.dials.len();
    net.run_for(HOUR);
    let felt = net.dials.len() - before;
    assert!((24..=30).contains(&felt), "{felt}");
    assert_eq!((net.outbound().len(), net.peers().outbound()), (8, 8));
    assert_eq!(net.peers().book().tried_len(), 8 + felt);
}

#[test]
fn a_feeler_to_another_address_of_a_peer_leaves_its_session_alone() {
    // The rule by which one of two connections goes depends on who is smaller.
    for peer in [id(5), id(250)] {
        let mut net = full();
        let inbound = net.connect("9.9.9.9:50000", Some(peer), Some(8333)).unwrap();
        let elsewhere = socket("9.8.8.8:8333");
        net.answers.insert(elsewhere, Answer::Peer(Some(peer)));
        net.tell(inbound, &[elsewhere]);
        net.run_for(MINUTE * 10);
        assert!(net.times_dialled(elsewhere) > 0);
        assert!(net.is_open(inbound));
        assert_eq!(net.peers().book().get(elsewhere).unwrap().failure_count, 0);
        // Once it is gone it is felt as anybody is.
        net.end(inbound, CloseReason::EndOfStream);
        net.run_for(MINUTE * 10);
        assert_eq!(net.peers().book().get(elsewhere).unwrap().peer_id, Some(peer));
    }
}

#[test]
fn a_feeler_stays_where_a_place_is_free_and_its_group_is_new() {
    let known: Vec<_> = (0..3).map(apart).collect();
    let mut net = Net::restart(Config::default(), disk(&known, 3, &[]), UNIX_SECONDS);
    net.add_answers(0..3);
    net.run_for(HOUR);
    assert_eq!(net.with_role(Role::Outbound).len(), 3);
    // Only feelers dial an address of a group that is there already.
    let neighbour = socket("11.0.200.1:8333");
    net.answers.insert(neighbour, Answer::Peer(None));
    let peer = net.connect("9.9.9.9:50000", None, None).unwrap();
    net.tell(peer, &[neighbour]);
    net.run_for(MINUTE * 10);
    assert!(net.times_dialled(neighbour) >= 1);
    assert!(net.peers().book().get(neighbour).unwrap().is_tried);
    assert!(!net.outbound().contains_key(&neighbour));
}

#[test]
fn a_session_that_lasts_keeps_its_address_fresh_so_that_nobody_takes_its_place() {
    let mut net = full();
    net.run_for(HOUR * 24 * 40);
    let book = net.peers().book();
    let now = net.clock().unix_seconds;
    for address in net.with_role(Role::Outbound) {
        assert!(now - book.get(address).unwrap().last_seen <= 151);
    }
    assert_eq!(book.entries().filter(|it| it.is_terrible(now)).count(), 0);
}

#[test]
fn what_is_told_on_doubles_its_number_before_it_is_drawn_again() {
    let mut net = full();
    let peer = net.connect("9.9.9.9:50000", None, None).unwrap();
    net.tell(peer, &(100..1000).map(apart).collect::<Vec<_>>());
    net.add_answers(100..1000);
    // More than a hundred are known, and hardly one was reached: what is reached next is told soon.
    let mut changes = 0;
    let mut before = net.shared().len();
    for _ in 0..60 {
        net.run_for(MINUTE * 10);
        changes += usize::from(net.shared().len() != before);
        before = net.shared().len();
    }
    assert!((3..=6).contains(&changes), "{changes}");
    assert!(before >= 100, "{before}");
}
