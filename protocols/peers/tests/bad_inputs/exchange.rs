//! Questions and answers at the wrong moment, or too many of them.

use spacetime_core::wire::Handshake as HandshakeMessage;

use super::*;

#[test]
fn exclusions_of_16_kib_each() {
    let long = "9".repeat(16 * 1024);
    let mut case = Case::inbound().shares(&addresses(3)).gives_message(&question(10, &[long.as_str(); 7]));
    assert_eq!(case.told().iter().map(Vec::len).collect::<Vec<_>>(), [3]);
    case.leaves(after(Verdict::Nothing, 0, 0), 256 * KIB);
}

#[test]
fn a_thousand_exclusions_of_one_address() {
    let mut case =
        Case::inbound().shares(&addresses(3)).gives_message(&question(10, &["11.0.9.9:8333"; 1000]));
    assert_eq!(case.told().iter().map(Vec::len).collect::<Vec<_>>(), [2]);
    case.leaves(after(Verdict::Nothing, 0, 0), 80 * KIB);
}

#[test]
fn exclusions_that_are_no_addresses() {
    let texts =
        ["", ":", "nonsense", "9.9.9.9", "host.example:8333", "9.9.9.9:65536", "[::1", "]:[", "🦀:1", "\0"];
    let mut case = Case::inbound().shares(&addresses(3)).gives_message(&question(10, &texts));
    assert_eq!(case.told().iter().map(Vec::len).collect::<Vec<_>>(), [3]);
    case.leaves(after(Verdict::Nothing, 0, 0), 8 * KIB);
}

#[test]
fn exclusions_with_scopes_and_flows() {
    let texts = ["[fe80::1%5]:8333", "[fe80::1%eth0]:8333", "fe80::1%5:8333", "[::ffff:11.0.9.9]:8333"];
    let mut case = Case::inbound().shares(&addresses(3)).gives_message(&question(10, &texts));
    assert_eq!(case.told().iter().map(Vec::len).collect::<Vec<_>>(), [2], "the mapped one is known");
    case.leaves(after(Verdict::Nothing, 0, 0), 8 * KIB);
}

#[test]
fn a_flood_of_questions() {
    let mut case = Case::inbound().shares(&addresses(3));
    let mut answers = 0;
    for _ in 0..10 {
        case = case.gives_message(&question(1000, &[]));
        answers += case.told().len();
    }
    case = case.leaves(after(Verdict::Nothing, 0, 0), 4 * KIB);
    for _ in 0..100 {
        case = case.gives_message(&question(1000, &[]));
        answers += case.told().len();
    }
    assert_eq!(answers, 10);
    case.leaves(after(Verdict::TooMuch, -10, 0), 4 * KIB);
}

#[test]
fn the_same_question_on_one_connection_after_the_other() {
    let mut case = Case::inbound().shares(&addresses(3));
    let mut told = 0;
    for port in 2000..2100 {
        case.lone.end(case.peer);
        case.peer = case.lone.connect_from(format!("8.8.8.8:{port}").parse().unwrap(), None);
        case = case.gives(&introduction(None)).gives_message(&question(1000, &[]));
        told += case.told().iter().map(Vec::len).sum::<usize>();
    }
    assert_eq!(told, 3, "one answer holds something");
    assert!(case.offences.is_empty());
}

#[test]
fn an_answer_that_nobody_asked_for() {
    // Nobody can tell it from gossip, and it gets no further.
    Case::inbound().gives_peers(&addresses(1000)).leaves(after(Verdict::Nothing, 0, 20), 48 * KIB);
}

#[test]
fn an_answer_twice() {
    let all = addresses(200);
    let case = Case::asked().gives_peers(&all[..100]).leaves(after(Verdict::Nothing, 0, 100), 96 * KIB);
    // Two of the 20 that gossip may tell have no place in the book.
    case.gives_peers(&all[100..]).leaves(after(Verdict::Nothing, 0, 118), 96 * KIB);
}

#[test]
fn an_answer_with_more_than_was_asked_for() {
    Case::asked().gives_peers(&addresses(101)).leaves(after(Verdict::TooMuch, -2, 100), 96 * KIB);
    Case::asked().gives_peers(&addresses(1000)).leaves(after(Verdict::TooMuch, -2, 100), 128 * KIB);
}

#[test]
fn an_answer_that_comes_too_late() {
    let case = Case::asked().waits(SECOND * 10).leaves(after(Verdict::NoAnswer, -1, 0), 0);
    case.gives_peers(&addresses(100)).leaves(after(Verdict::NoAnswer, -1, 0), 8 * KIB);
}

#[test]
fn a_question_for_an_answer() {
    let case = Case::asked().gives_message(&question(10, &[])).leaves(after(Verdict::Nothing, 0, 0), 4 * KIB);
    // The answer is still taken for one.
    case.gives_peers(&addresses(50)).leaves(after(Verdict::Nothing, 0, 50), 48 * KIB);
}

#[test]
fn an_answer_of_nothing_but_rubbish() {
    let rubbish = ["127.0.0.1:1", "10.0.0.1:8333", "9.9.9.9:0", "[::]:5", "224.0.0.1:1", OWN].map(address);
    let mut case = Case::asked().gives_peers(&rubbish).leaves(after(Verdict::Nothing, 0, 0), 8 * KIB);
    case = case.waits(MINUTE);
    assert!(case.sent().iter().all(|it| it.0 != MessageType::GET_PEERS), "nor is it asked again soon");
}

#[test]
fn a_peer_that_names_itself_and_who_asks() {
    let case = Case::asked().gives_peers(&[PEER, OWN].map(address));
    assert!(case.lone.behaviour().peers.book().get(address(OWN)).is_none());
    case.leaves(after(Verdict::Nothing, 0, 1), 16 * KIB);
}

#[test]
fn a_handshake_with_stamps_at_the_ends_of_time() {
    for timestamp in [i64::MIN, -1, 0, i64::MAX] {
        let mut lone = node();
        let peer = lone.connect_from(PEER.parse().unwrap(), None);
        let case = Case::of(lone, peer).gives_message(&HandshakeMessage {
            version: 1,
            timestamp,
            node_id: "a peer",
            user_agent: "x",
            extension: None,
        });
        case.leaves(after(Verdict::Nothing, 0, 0), 16 * KIB);
    }
}
