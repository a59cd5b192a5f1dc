//! Requests and what answers them.

use alloc::vec::Vec;
use core::time::Duration;

use proptest::prelude::*;

use super::log::{Heard, Who};
use super::messages::{ITEM, NOTE, OTHER_REPLY, REPLY, numbered, raw};
use super::node::Node;
use super::tree::{Reaction, Tree};
use crate::{CloseReason, ConnectionId, Event, Limits, Offence, RequestError, RequestId, SendError};

const SECOND: Duration = Duration::from_secs(1);

fn ask(node: &mut Node<Tree>, whom: ConnectionId, item: Option<u8>) -> RequestId {
    try_ask(node, whom, item, SECOND).expect("there is room")
}

fn try_ask(
    node: &mut Node<Tree>,
    whom: ConnectionId,
    item: Option<u8>,
    timeout: Duration,
) -> Option<RequestId> {
    node.act(|tree, cx| {
        let mut result = None;
        cx.with_child(super::tree::TreeEvent::First, |cx| {
            result = tree.first.ask(cx, whom, item, timeout);
        });
        result
    })
}

fn arrive(node: &mut Node<Tree>, from: ConnectionId, byte: u8, item: u8, number: u32) {
    node.receive(from, numbered(byte, item, number, &[]).bytes());
}

/// What the first leaf heard of its requests.
fn outcomes(node: &Node<Tree>) -> Vec<Heard> {
    let mut heard = node.log.heard_by(Who::First);
    heard.retain(|it| matches!(it, Heard::Answer(..) | Heard::RequestFailed(..)));
    heard
}

#[test]
fn answers_of_one_type_belong_to_the_requests_in_their_order() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    let (a, b) = (ask(&mut node, peer, None), ask(&mut node, peer, None));
    arrive(&mut node, peer, REPLY, 0, 1);
    // Gossip in between changes nothing.
    arrive(&mut node, peer, NOTE, 0, 2);
    arrive(&mut node, peer, REPLY, 0, 3);
    assert_eq!(outcomes(&node), [Heard::Answer(peer, a, 1), Heard::Answer(peer, b, 3)]);
}

#[test]
fn answers_with_a_hash_belong_to_the_request_for_it() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    let (a, b) = (ask(&mut node, peer, Some(1)), ask(&mut node, peer, Some(2)));
    arrive(&mut node, peer, ITEM, 2, 1);
    arrive(&mut node, peer, ITEM, 3, 2);
    arrive(&mut node, peer, ITEM, 1, 3);
    assert_eq!(outcomes(&node), [Heard::Answer(peer, b, 1), Heard::Answer(peer, a, 3)]);
}

#[test]
fn one_peers_answer_is_not_another_ones() {
    let mut node = Node::new(Limits::default());
    let (asked, other) = (node.inbound_session(7), node.inbound_session(8));
    let request = ask(&mut node, asked, Some(1));
    arrive(&mut node, other, ITEM, 1, 1);
    assert_eq!(outcomes(&node), []);
    arrive(&mut node, asked, ITEM, 1, 2);
    assert_eq!(outcomes(&node), [Heard::Answer(asked, request, 2)]);
}

#[test]
fn a_type_that_nobody_waits_for_is_a_message() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    arrive(&mut node, peer, REPLY, 0, 1);
    ask(&mut node, peer, None);
    arrive(&mut node, peer, REPLY, 0, 2);
    arrive(&mut node, peer, REPLY, 0, 3);
    let heard = node.log.heard_about(Who::Second, peer);
    assert_eq!(heard[1..], [Heard::Message(peer, 1), Heard::Message(peer, 3)]);
}

#[test]
fn a_late_answer_is_dropped_and_not_taken_for_the_next_one() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    let a = ask(&mut node, peer, None);
    node.sleep(SECOND);
    let b = ask(&mut node, peer, None);
    arrive(&mut node, peer, REPLY, 0, 1);
    arrive(&mut node, peer, REPLY, 0, 2);
    let timeout = Heard::RequestFailed(peer, a, RequestError::Timeout);
    assert_eq!(outcomes(&node), [timeout, Heard::Answer(peer, b, 2)]);
    assert_eq!(node.swarm.statistics().late_answers, 1);
    assert_eq!(node.log.heard_about(Who::Second, peer).len(), 1, "nor is it a message");
}

#[test]
fn an_item_that_is_asked_for_again_answers_the_new_request() {
    // The peer had not had it at first, and sends it once.
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    let a = ask(&mut node, peer, Some(1));
    node.sleep(SECOND);
    let b = ask(&mut node, peer, Some(1));
    arrive(&mut node, peer, ITEM, 1, 1);
    let timeout = Heard::RequestFailed(peer, a, RequestError::Timeout);
    assert_eq!(outcomes(&node), [timeout, Heard::Answer(peer, b, 1)]);
    // If it sends it twice, the second one is late.
    arrive(&mut node, peer, ITEM, 1, 2);
    assert_eq!(outcomes(&node).len(), 2);
    assert_eq!(node.swarm.statistics().late_answers, 1);
}

#[test]
fn requests_are_given_up_each_at_its_time() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    let slow = try_ask(&mut node, peer, None, SECOND * 3).unwrap();
    let fast = try_ask(&mut node, peer, Some(1), SECOND).unwrap();
    node.sleep(SECOND - Duration::from_nanos(1));
    assert_eq!(outcomes(&node), []);
    node.sleep(Duration::from_nanos(1));
    let failed = |request| Heard::RequestFailed(peer, request, RequestError::Timeout);
    assert_eq!(outcomes(&node), [failed(fast)]);
    node.sleep(SECOND * 2);
    assert_eq!(outcomes(&node), [failed(fast), failed(slow)]);
}

#[test]
fn a_peer_that_answers_nothing_is_asked_nothing_more_after_so_many_requests() {
    let mut node = Node::new(Limits::default().with_max_requests(2));
    let peer = node.inbound_session(7);
    let other = node.inbound_session(8);
    ask(&mut node, peer, None);
    ask(&mut node, peer, None);
    assert_eq!(try_ask(&mut node, peer, Some(1), SECOND), None);
    node.sleep(SECOND);
    assert_eq!(try_ask(&mut node, peer, None, SECOND), None, "given-up ones count");
    let sent = node.sent(peer).len();
    assert_eq!(sent, 2, "nothing is sent for a request that is refused");
    ask(&mut node, other, None);
    arrive(&mut node, peer, REPLY, 0, 1);
    ask(&mut node, peer, None);
}

#[test]
fn a_peer_that_did_not_have_some_objects_is_asked_for_others() {
    // Version 1 has no way to say that it does not have a block, so such requests end in silence.
    let mut node = Node::new(Limits::default().with_max_requests(3));
    let peer = node.inbound_session(7);
    for item in 0..20 {
        ask(&mut node, peer, Some(item));
        node.sent(peer);
        node.sleep(SECOND);
    }
    let request = ask(&mut node, peer, Some(30));
    arrive(&mut node, peer, ITEM, 30, 1);
    assert_eq!(outcomes(&node).last(), Some(&Heard::Answer(peer, request, 1)));
    // Where only the order tells whose answer it is, nothing can be forgotten.
    for _ in 0..3 {
        ask(&mut node, peer, None);
        node.sent(peer);
        node.sleep(SECOND);
    }
    assert_eq!(try_ask(&mut node, peer, None, SECOND), None);
    assert_eq!(try_ask(&mut node, peer, Some(1), SECOND), None);
}

#[test]
fn all_requests_fail_before_their_connection_closes() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    let given_up = try_ask(&mut node, peer, None, SECOND / 2).unwrap();
    let (a, b) = (ask(&mut node, peer, Some(1)), ask(&mut node, peer, Some(2)));
    node.sleep(SECOND / 2);
    node.lose(peer, CloseReason::EndOfStream);
    let failed = |request, error| Heard::RequestFailed(peer, request, error);
    assert_eq!(
        node.log.heard_about(Who::First, peer)[1..],
        [
            failed(given_up, RequestError::Timeout),
            failed(a, RequestError::Closed),
            failed(b, RequestError::Closed),
            Heard::Closed(peer, CloseReason::EndOfStream),
        ]
    );
    assert_eq!(try_ask(&mut node, peer, None, SECOND), None, "there is nobody to ask");
}

#[test]
fn a_malformed_answer_ends_the_request_and_is_charged() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    let a = ask(&mut node, peer, None);
    let b = ask(&mut node, peer, Some(1));
    node.receive(peer, &raw(REPLY, &[1]));
    // Its hash can be found, the rest is missing.
    node.receive(peer, &raw(ITEM, &[1]));
    let failed = |request| Heard::RequestFailed(peer, request, RequestError::Malformed);
    assert_eq!(outcomes(&node), [failed(a), failed(b)]);
    let charged =
        |event: &&Event<_>| matches!(event, Event::Offence { offence: Offence::Malformed { .. }, .. });
    assert_eq!(node.events.iter().filter(charged).count(), 2);
    node.sleep(SECOND * 2);
    assert_eq!(outcomes(&node).len(), 2, "each request ends once");
}

#[test]
fn a_failed_request_reaches_who_asked() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    node.command(super::tree::TreeCommand::Second(Reaction::Ask { whom: 0, item: None, timeout: SECOND }));
    let request = ask(&mut node, peer, None);
    arrive(&mut node, peer, REPLY, 0, 1);
    node.sleep(SECOND);
    arrive(&mut node, peer, OTHER_REPLY, 0, 2);
    assert_eq!(outcomes(&node), [Heard::Answer(peer, request, 1)]);
    let heard = node.log.heard_about(Who::Second, peer);
    assert!(matches!(heard[1..], [Heard::RequestFailed(_, _, RequestError::Timeout)]), "{heard:?}");
}

#[test]
fn asking_again_when_a_request_fails_ends() {
    // A request that may not take any time fails before anything else; asking again and again is
    // bounded by what may be outstanding.
    let mut node = Node::new(Limits::default().with_max_requests(4));
    let peer = node.inbound_session(7);
    node.act(|tree, _| {
        let again = Reaction::Ask { whom: 0, item: None, timeout: Duration::ZERO };
        tree.first.script.extend(alloc::vec![again; 100]);
    });
    try_ask(&mut node, peer, None, Duration::ZERO);
    node.tick();
    assert_eq!(outcomes(&node).len(), 4);
}

#[test]
fn a_request_that_cannot_be_queued_is_none() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    let large = numbered(NOTE, 0, 1, &[0; 600_000]);
    node.act(|_, cx| {
        assert_eq!(cx.send_frame(peer, &large), Ok(()));
    });
    assert_eq!(try_ask(&mut node, peer, None, SECOND), None);
    let refused = node
        .act(|_, cx| cx.send(peer, &super::messages::Numbered::<'_, NOTE> { item: 0, number: 1, body: &[] }));
    assert_eq!(refused, Err(SendError::Full));
    node.sleep(SECOND * 2);
    assert_eq!(outcomes(&node), [], "it never was a request");
}

#[derive(Clone, Debug)]
enum Operation {
    Ask { item: Option<u8>, timeout: Duration },
    Reply,
    Item(u8),
    Pass(Duration),
}

/// A request, as somebody sees it who knows nothing of the code.
struct Outstanding {
    id: RequestId,
    item: Option<u8>,
    deadline: crate::Time,
    is_given_up: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn requests_and_answers_match_as_in_a_naive_model(
        operations in prop::collection::vec(prop_oneof![
            4 => (prop::option::of(0..3_u8), 1..900_u64).prop_map(|(item, millis)| Operation::Ask {
                item,
                timeout: Duration::from_millis(millis),
            }),
            3 => Just(Operation::Reply),
            3 => (0..3_u8).prop_map(Operation::Item),
            2 => (1..500_u64).prop_map(|millis| Operation::Pass(Duration::from_millis(millis))),
        ], 1..60),
    ) {
        const MAX_REQUESTS: usize = 4;
        let mut node = Node::new(Limits::default().with_max_requests(MAX_REQUESTS));
        let peer = node.inbound_session(7);
        let mut outstanding: Vec<Outstanding> = Vec::new();
        let mut late = 0;
        for (number, operation) in (1..).zip(operations) {
            node.log.clear();
            let mut expected = Vec::new();
            match operation {
                Operation::Ask { item, timeout } => {
                    let deadline = node.now + timeout;
                    if outstanding.len() == MAX_REQUESTS
                        && let Some(old) = outstanding.iter().position(|it| it.is_given_up && it.item.is_some())
                    {
                        outstanding.remove(old);
                    }
                    let asked = try_ask(&mut node, peer, item, timeout);
                    prop_assert_eq!(asked.is_some(), outstanding.len() < MAX_REQUESTS);
                    if let Some(id) = asked {
                        outstanding.push(Outstanding { id, item, deadline, is_given_up: false });
                    }
                    node.sent(peer);
                }
                Operation::Reply | Operation::Item(_) => {
                    let (byte, item) = match operation {
                        Operation::Item(item) => (ITEM, Some(item)),
                        _ => (REPLY, None),
                    };
                    arrive(&mut node, peer, byte, item.unwrap_or(0), number);
                    let of_kind = |it: &&Outstanding| it.item == item;
                    // By hash whoever still waits for it, by order whoever asked first.
                    let waiting = outstanding.iter().filter(of_kind).find(|it| !it.is_given_up);
                    let first = outstanding.iter().find(of_kind);
                    let matched = if item.is_some() { waiting.or(first) } else { first };
                    if let Some(matched) = matched.map(|it| it.id) {
                        let position = outstanding.iter().position(|it| it.id == matched).unwrap();
                        if outstanding.remove(position).is_given_up {
                            late += 1;
                        } else {
                            expected.push(Heard::Answer(peer, matched, number));
                        }
                    }
                }
                Operation::Pass(duration) => {
                    node.sleep(duration);
                    let now = node.now;
                    let due = |it: &&mut Outstanding| !it.is_given_up && it.deadline <= now;
                    let mut failed: Vec<_> = outstanding.iter_mut().filter(due).collect();
                    // The clock stops at each deadline; those of one moment keep their order.
                    failed.sort_by_key(|it| it.deadline);
                    for request in failed {
                        request.is_given_up = true;
                        expected.push(Heard::RequestFailed(peer, request.id, RequestError::Timeout));
                    }
                }
            }
            prop_assert_eq!(outcomes(&node), expected);
            prop_assert_eq!(node.swarm.statistics().late_answers, late);
        }
    }
}

#[test]
fn who_was_refused_a_request_hears_when_there_is_room() {
    let mut node = Node::new(Limits::default().with_max_requests(4));
    let peer = node.inbound_session(7);
    for _ in 0..4 {
        ask(&mut node, peer, None);
    }
    let rooms = |node: &Node<Tree>| {
        let heard = node.log.heard_by(Who::First);
        heard.iter().filter(|it| matches!(it, Heard::Writable(..))).count()
    };
    arrive(&mut node, peer, REPLY, 0, 1);
    ask(&mut node, peer, None);
    assert_eq!(try_ask(&mut node, peer, None, SECOND), None);
    arrive(&mut node, peer, REPLY, 0, 2);
    assert_eq!(rooms(&node), 0, "half of the room is not free");
    arrive(&mut node, peer, REPLY, 0, 3);
    arrive(&mut node, peer, REPLY, 0, 4);
    assert_eq!(rooms(&node), 1, "once per refusal");
}
