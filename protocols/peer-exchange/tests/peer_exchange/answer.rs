//! Answering.

use spacetime_core::wire::{Exclude, Frame, GetPeers, MessageType};
use spacetime_core::{Offence, Severity};

use super::*;

#[test]
fn the_answer_is_what_may_be_told_less_what_the_asker_knows() {
    let all = addresses(4);
    let texts: Vec<_> = all.iter().map(SocketAddr::to_string).collect();
    let mapped = format!("[::ffff:{}]:8333", all[1].ip());
    for (exclude, expected) in
        [(&[][..], &all[..]), (&[&texts[0], "nonsense", &mapped, "", "::1"], &all[2..])]
    {
        let mut lone = node_that_tells(&all);
        let peer = connect(&mut lone, "8.8.8.8:1000", None);
        assert_eq!(ask(&mut lone, peer, 1000, exclude).unwrap(), expected);
        assert!(lone.offences().is_empty());
    }
}

#[test]
fn an_answer_holds_no_more_than_was_asked_for_and_differs_from_asker_to_asker() {
    let all = addresses(1000);
    let mut lone = node_that_tells(&all);
    let few: Vec<_> = (1..=3)
        .map(|group| {
            let peer = connect(&mut lone, &format!("8.{group}.8.8:1000"), None);
            ask(&mut lone, peer, 7, &[]).unwrap()
        })
        .collect();
    assert!(few.iter().all(|told| told.len() == 7));
    assert_ne!(few[0], few[1]);
    let peer = connect(&mut lone, "8.4.8.8:1000", None);
    assert_eq!(ask(&mut lone, peer, 1000, &[]).unwrap(), all);
}

#[test]
fn a_peer_is_told_neither_itself_nor_this_node() {
    let (own, asker, other) = (address("7.7.7.7:8333"), address("8.8.8.8:99"), address("9.9.9.9:8333"));
    let mut lone = node(Config::default().with_own_address(Some(own)));
    lone.act(|_, cx| cx.signal(Signal::AddressesToShare([own, asker, other].into())));
    let peer = connect(&mut lone, "8.8.8.8:1000", Some(99));
    assert_eq!(ask(&mut lone, peer, 1000, &[]).unwrap(), [other]);
}

#[test]
fn a_peer_that_connected_is_told_once_and_answered_always() {
    let mut lone = node_that_tells(&addresses(3));
    let peer = connect(&mut lone, "8.8.8.8:1000", None);
    assert_eq!(ask(&mut lone, peer, 10, &[]).unwrap().len(), 3);
    assert_eq!(ask(&mut lone, peer, 10, &[]), Some(vec![]));
    lone.advance(MINUTE * 60);
    assert_eq!(ask(&mut lone, peer, 10, &[]), Some(vec![]));
    assert!(lone.offences().is_empty());
}

#[test]
fn a_peer_that_was_dialled_is_told_again_after_the_interval() {
    let mut lone = node_that_tells(&addresses(3));
    let peer = dial(&mut lone, "8.8.8.8:8333");
    assert_eq!(ask(&mut lone, peer, 10, &[]).unwrap().len(), 3);
    lone.advance(SECOND * 299);
    assert_eq!(ask(&mut lone, peer, 10, &[]), Some(vec![]));
    lone.advance(SECOND);
    assert_eq!(ask(&mut lone, peer, 10, &[]).unwrap().len(), 3);
}

#[test]
fn where_there_is_nothing_to_tell_the_answer_is_not_used_up() {
    let mut lone = node(Config::default());
    let peer = connect(&mut lone, "8.8.8.8:1000", None);
    assert_eq!(ask(&mut lone, peer, 10, &[]), Some(vec![]));
    lone.act(|_, cx| cx.signal(Signal::AddressesToShare(addresses(3).into())));
    assert_eq!(ask(&mut lone, peer, 10, &[]).unwrap().len(), 3);
}

#[test]
fn connecting_again_resets_nothing() {
    let mut lone = node_that_tells(&addresses(3));
    let peer = connect(&mut lone, "8.8.8.8:1000", None);
    assert_eq!(ask(&mut lone, peer, 10, &[]).unwrap().len(), 3);
    lone.end(peer);
    for port in 1001..1010 {
        let peer = connect(&mut lone, &format!("8.8.8.8:{port}"), Some(port));
        assert_eq!(ask(&mut lone, peer, 10, &[]), Some(vec![]), "from another port, with another claim");
        lone.end(peer);
    }
    let neighbour = connect(&mut lone, "8.8.1.1:1000", None);
    assert_eq!(ask(&mut lone, neighbour, 10, &[]).unwrap().len(), 3, "another host of the group");
    lone.advance(MINUTE * 5);
    let peer = connect(&mut lone, "8.8.8.8:1011", None);
    assert_eq!(ask(&mut lone, peer, 10, &[]).unwrap().len(), 3);
}

#[test]
fn a_proven_peer_is_the_same_one_wherever_it_comes_from() {
    let mut lone = node_that_tells(&addresses(3));
    let peer = connect_proven(&mut lone, "8.8.8.8:1000", PeerId([1; 32]));
    assert_eq!(ask(&mut lone, peer, 10, &[]).unwrap().len(), 3);
    lone.end(peer);
    let moved = connect_proven(&mut lone, "9.9.9.9:1000", PeerId([1; 32]));
    assert_eq!(ask(&mut lone, moved, 10, &[]), Some(vec![]));
    let other_key = connect_proven(&mut lone, "8.8.8.8:1001", PeerId([2; 32]));
    assert_eq!(ask(&mut lone, other_key, 10, &[]), Some(vec![]));
}

#[test]
fn nodes_on_one_private_host_are_told_each() {
    let mut lone = node_that_tells(&addresses(3));
    for port in 1..=20 {
        let peer = connect(&mut lone, &format!("127.0.0.1:{}", 2000 + port), Some(port));
        assert_eq!(ask(&mut lone, peer, 10, &[]).unwrap().len(), 3);
        lone.end(peer);
        let again = connect(&mut lone, &format!("127.0.0.1:{}", 3000 + port), Some(port));
        assert_eq!(ask(&mut lone, again, 10, &[]), Some(vec![]));
    }
}

#[test]
fn a_flood_of_questions_is_charged_and_not_answered() {
    let mut lone = node_that_tells(&addresses(3));
    let peer = connect(&mut lone, "8.8.8.8:1000", None);
    let answers = (0..1000).filter(|_| ask(&mut lone, peer, 10, &[]).is_some()).count();
    assert_eq!(answers, 10);
    let offences = lone.offences();
    assert_eq!(offences, vec![(peer, Offence::TooMuch("GetPeers")); 990]);
    assert_eq!(offences[0].1.severity(), Severity::Serious);
    lone.advance(SECOND * 30);
    assert!(ask(&mut lone, peer, 10, &[]).is_some());
    assert!(ask(&mut lone, peer, 10, &[]).is_none());
}

#[test]
fn exclusions_of_16_kib_exclude_nothing_and_cost_nothing() {
    let all = addresses(3);
    let mut lone = node_that_tells(&all);
    let peer = connect(&mut lone, "8.8.8.8:1000", None);
    let long = "9".repeat(16_384);
    assert_eq!(ask(&mut lone, peer, 10, &[long.as_str(); 7]).unwrap(), all);
    assert!(lone.offences().is_empty());
}

#[test]
fn a_thousand_exclusions_are_all_honoured_and_one_more_is_malformed() {
    let all = addresses(1000);
    let texts: Vec<_> = all.iter().map(SocketAddr::to_string).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut lone = node_that_tells(&all);
    let peer = connect(&mut lone, "8.8.8.8:1000", None);
    let mut bytes = Frame::encode(&GetPeers { max_count: 1, exclude: Exclude::new(&texts) }).unwrap();
    let mut too_many = bytes.bytes().to_vec();
    too_many[9..13].copy_from_slice(&1001_i32.to_le_bytes());
    lone.give_bytes(peer, &too_many);
    assert!(lone.sent(peer).is_empty());
    let offences = lone.offences();
    assert!(
        matches!(&offences[..], [(who, offence @ Offence::Malformed { message_type, .. })]
            if *who == peer && *message_type == MessageType::GET_PEERS && offence.severity() == Severity::Serious),
        "{offences:?}"
    );
    assert_eq!(ask(&mut lone, peer, 1000, &texts), Some(vec![]));
    bytes = Frame::encode(&GetPeers { max_count: 1, exclude: Exclude::NONE }).unwrap();
    for max_count in [0_i32, -1, 1001, i32::MIN, i32::MAX] {
        let mut question = bytes.bytes().to_vec();
        question[5..9].copy_from_slice(&max_count.to_le_bytes());
        lone.give_bytes(peer, &question);
        assert!(lone.sent(peer).is_empty());
        assert_eq!(lone.offences().len(), 1, "{max_count}");
    }
}

/// Bytes that are allocated at the same time, at most, while a question is handled.
fn allocated_bytes(lone: &mut Lone<Node>, peer: ConnectionId, exclude: &[&str]) -> u64 {
    let frame = Frame::encode(&GetPeers { max_count: 1000, exclude: Exclude::new(exclude) }).unwrap();
    lone.act(|node, cx| {
        let no_event = |never: Infallible| -> Option<NodeEvent> { match never {} };
        cx.with_child(no_event, |cx| {
            let handle = || {
                let question = GetPeers::decode(frame.payload()).unwrap();
                node.peer_exchange.on_message(cx, peer, question, &frame).unwrap();
            };
            allocation_counter::measure(handle).bytes_max
        })
    })
}

#[test]
fn the_worst_question_takes_no_more_memory_than_its_exclusions_and_the_answer() {
    let all = addresses(1000);
    let texts: Vec<_> = all.iter().map(|it| format!("[::ffff:{}]:{}", it.ip(), it.port())).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let long = "9".repeat(16_384);
    // Addresses take 32 bytes in memory and 12 on the wire; a vector that grows doubles.
    for (exclude, limit) in [
        (&texts[..], 36 * 1024),
        (&[long.as_str(); 7], 1000 * (2 * 32 + 32 + 12) + 4096),
        (&[], 1000 * (2 * 32 + 32 + 12) + 4096),
    ] {
        let mut lone = node_that_tells(&all);
        let peer = connect(&mut lone, "8.8.8.8:1000", None);
        let bytes = allocated_bytes(&mut lone, peer, exclude);
        assert!(bytes <= limit, "{bytes} bytes, {limit} at most");
        assert!(allocated_bytes(&mut lone, peer, exclude) <= 1024, "nothing for the second one");
    }
}
