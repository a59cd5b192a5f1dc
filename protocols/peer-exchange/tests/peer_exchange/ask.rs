//! Asking.

use spacetime_core::{Offence, Severity};
use spacetime_peer_exchange::{MAX_EXCLUSIONS, VERSION_1_IDLE};

use super::*;

#[test]
fn a_peer_that_was_dialled_is_asked_at_once_and_one_that_connected_is_not() {
    let mut lone = node(Config::default());
    let dialled = dial(&mut lone, "8.8.8.8:8333");
    assert_eq!(questions(&mut lone, dialled), [(100, vec![])]);
    let connected = connect(&mut lone, "9.9.9.9:1000", None);
    lone.advance(MINUTE * 120);
    assert_eq!(questions(&mut lone, connected), []);
}

#[test]
fn what_the_answer_holds_is_learned_once_and_in_its_usual_form() {
    let own = address("7.7.7.7:8333");
    let mut lone = node(Config::default().with_own_address(Some(own)));
    let peer = dial(&mut lone, "8.8.8.8:8333");
    let answer =
        ["9.9.9.9:1", "[::ffff:9.9.9.9]:1", "9.9.9.9:0", "9.9.9.9:1", "7.7.7.7:8333", "[::ffff:9.9.9.8]:2"];
    lone.give(peer, &Peers::new(&answer.map(address)));
    assert_eq!(learned(&mut lone), [(peer, vec![address("9.9.9.9:1"), address("9.9.9.8:2")])]);
    assert!(lone.offences().is_empty());
}

#[test]
fn a_question_excludes_some_of_what_this_node_knows_in_the_form_that_the_peer_reads() {
    let shared = [vec![address("[2a00::1]:5"), address("9.9.9.9:1")], addresses(500)].concat();
    let mut lone = node_that_tells(&shared);
    let peer = dial(&mut lone, "8.8.8.8:8333");
    let (_, excluded) = questions(&mut lone, peer).remove(0);
    assert_eq!(excluded.len(), MAX_EXCLUSIONS);
    assert!(excluded.iter().all(|text| shared.contains(&address(text))));

    for (version_1, expected) in [(true, "2a00::1:5"), (false, "[2a00::1]:5")] {
        let mut lone = node_that_tells(&shared[..1]);
        let peer = match version_1 {
            true => dial_version_1(&mut lone, "8.8.8.8:8333"),
            false => dial(&mut lone, "8.8.8.8:8333"),
        };
        if version_1 {
            lone.advance(VERSION_1_IDLE);
        }
        assert_eq!(questions(&mut lone, peer), [(100, vec![expected.to_owned()])]);
    }
}

#[test]
fn a_peer_is_asked_again_while_it_brings_something_new_and_ever_more_rarely_when_not() {
    let mut lone = node(Config::default());
    let peer = dial(&mut lone, "8.8.8.8:8333");
    let (mut last, mut waits) = (0, Vec::new());
    for second in (0..8 * 3600).step_by(5) {
        if !questions(&mut lone, peer).is_empty() {
            waits.push(second - last);
            last = second;
            // Twice something new, then always the same.
            lone.give(peer, &Peers::new(&addresses(waits.len().min(2))));
        }
        lone.advance(SECOND * 5);
    }
    assert!(lone.offences().is_empty());
    assert!(waits.len() >= 8, "{waits:?}");
    for (waited, minutes) in waits.iter().zip([0, 5, 5, 10, 20, 40, 60, 60]) {
        assert!((minutes * 60..=minutes * 75 + 10).contains(waited), "{waits:?}");
    }
}

#[test]
fn who_does_not_answer_in_time_is_charged_and_not_asked_again_on_that_connection() {
    let mut lone = node(Config::default());
    let peer = dial(&mut lone, "8.8.8.8:8333");
    lone.advance(SECOND * 9);
    assert!(lone.offences().is_empty());
    lone.advance(SECOND);
    let offences = lone.offences();
    assert_eq!(offences, [(peer, Offence::NoAnswer(MessageType::PEERS))]);
    assert_eq!(offences[0].1.severity(), Severity::Minor);
    questions(&mut lone, peer);
    lone.advance(MINUTE * 240);
    assert_eq!(questions(&mut lone, peer), []);
}

#[test]
fn an_answer_after_the_timeout_teaches_nothing_and_is_not_charged() {
    let mut lone = node(Config::default());
    let peer = dial(&mut lone, "8.8.8.8:8333");
    lone.advance(SECOND * 11);
    lone.offences();
    lone.give(peer, &Peers::new(&addresses(3)));
    assert!(lone.offences().is_empty());
    assert!(learned(&mut lone).is_empty());
}

#[test]
fn an_answer_without_a_question_is_nobodys_here() {
    let mut lone = node(Config::default());
    let peer = connect(&mut lone, "8.8.8.8:1000", None);
    lone.give(peer, &Peers::new(&addresses(3)));
    assert!(learned(&mut lone).is_empty());
    // Beside gossip, which takes it, there is no such charge.
    assert_eq!(lone.offences(), [(peer, Offence::Unsolicited(MessageType::PEERS))]);
}

#[test]
fn more_than_was_asked_for_is_charged_and_the_first_are_taken() {
    let mut lone = node(Config::default());
    let peer = dial(&mut lone, "8.8.8.8:8333");
    let told = addresses(101);
    lone.give(peer, &Peers::new(&told));
    assert_eq!(learned(&mut lone), [(peer, told[..100].to_vec())]);
    let offences = lone.offences();
    assert_eq!(offences, [(peer, Offence::TooMuch("addresses"))]);
    assert_eq!(offences[0].1.severity(), Severity::Serious);
}

#[test]
fn an_answer_of_1001_peers_is_malformed_and_the_next_question_comes_much_later() {
    let mut lone = node(Config::default());
    let peer = dial(&mut lone, "8.8.8.8:8333");
    questions(&mut lone, peer);
    let mut frame = Frame::encode(&Peers::new(&addresses(1000))).unwrap().bytes().to_vec();
    frame.extend_from_slice(&[4, 0, 0, 0, 9, 9, 9, 9, 1, 0, 0, 0]);
    let length = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame[5..9].copy_from_slice(&1001_i32.to_le_bytes());
    lone.give_bytes(peer, &frame);
    let offences = lone.offences();
    assert!(matches!(offences[..], [(_, Offence::Malformed { message_type: MessageType::PEERS, .. })]));
    assert!(learned(&mut lone).is_empty());
    lone.advance(MINUTE * 59);
    assert_eq!(questions(&mut lone, peer).len(), 0);
    lone.advance(MINUTE * 17);
    assert_eq!(questions(&mut lone, peer).len(), 1);
}

#[test]
fn dialling_again_does_not_ask_again_before_the_interval_is_over() {
    let mut lone = node(Config::default());
    let first = dial(&mut lone, "8.8.8.8:8333");
    assert_eq!(questions(&mut lone, first).len(), 1);
    lone.give(first, &Peers::new(&addresses(1)));
    lone.end(first);
    assert_eq!(lone.deadline(), None, "nothing is kept of it");
    lone.advance(MINUTE);
    let again = dial(&mut lone, "8.8.8.8:9999");
    assert_eq!(questions(&mut lone, again).len(), 0);
    lone.advance(MINUTE * 4 - SECOND);
    assert_eq!(questions(&mut lone, again).len(), 0);
    lone.advance(SECOND * 20);
    assert_eq!(questions(&mut lone, again).len(), 1);
}

#[test]
fn a_version_1_node_is_asked_when_it_has_been_silent_for_a_while() {
    let mut lone = node(Config::default());
    let peer = dial_version_1(&mut lone, "8.8.8.8:8333");
    for _ in 0..10 {
        lone.advance(VERSION_1_IDLE - SECOND * 2);
        // It asks, and may be waiting.
        lone.give(peer, &GetPeers { max_count: 1, exclude: Exclude::NONE });
        assert_eq!(questions(&mut lone, peer), []);
    }
    lone.advance(VERSION_1_IDLE);
    assert_eq!(questions(&mut lone, peer).len(), 1);
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    let good = Config::default();
    assert_eq!(good.validate(), Ok(()));
    for (bad, name) in [
        (good.clone().with_interval(Duration::ZERO), "interval"),
        (good.clone().with_max_ask_interval(SECOND), "max_ask_interval"),
        (good.clone().with_ask_count(19), "ask_count"),
        (good.clone().with_ask_count(1001), "ask_count"),
        (good.clone().with_timeout(Duration::ZERO), "timeout"),
        (good.clone().with_answers_per_group(0), "answers_per_group"),
        (good.with_own_address(Some(address("9.9.9.9:0"))), "own_address"),
    ] {
        let error = PeerExchange::new(bad, &Rng::from_number(1)).unwrap_err();
        assert!(error.to_string().starts_with(name), "{error}");
    }
}

#[test]
fn who_has_connected_is_asked_once_each_time_that_nobody_else_is_known() {
    let mut lone = node(Config::default());
    let peers = ["9.9.9.9:1000", "9.8.9.9:1000", "9.7.9.9:1000"].map(|it| connect(&mut lone, it, None));
    let asked = |lone: &mut Lone<Node>| {
        let asked = peers.map(|peer| questions(lone, peer).len());
        peers.into_iter().zip(asked).filter(|(_, count)| *count > 0).map(|(peer, _)| peer).collect::<Vec<_>>()
    };
    lone.act(|_, cx| cx.signal(Signal::AddressesWanted));
    let first = asked(&mut lone);
    assert_eq!(first.len(), 2);
    first.iter().for_each(|peer| lone.give(*peer, &Peers::new(&addresses(3))));
    lone.advance(MINUTE * 120);
    assert_eq!(asked(&mut lone), []);
    assert_eq!(learned(&mut lone).len(), 2);
    (0..20).for_each(|_| lone.act(|_, cx| cx.signal(Signal::AddressesWanted)));
    assert_eq!(asked(&mut lone), peers);
}
