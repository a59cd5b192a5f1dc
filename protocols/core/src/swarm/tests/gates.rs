//! The gate: who hears what before a peer is let in, and after it is gone.

use alloc::vec::Vec;
use core::time::Duration;

use super::log::{Entry, Heard, Log, Who};
use super::messages::{ASK, NOTE, OTHER_NOTE, URGENT, error, numbered, raw, sent_frames};
use super::node::{Node, address, ephemeral, peer_id, remote};
use super::tree::{Gate, Leaf, Reaction, Second, Tree};
use crate::behaviour::Toggle;
use crate::{CloseReason, ConnectionId, DialError, Event, Limits, Offence, Signal};

const SECOND: Duration = Duration::from_secs(1);

/// A connection whose peer has not said who it is.
fn opening(node: &mut Node<Tree>) -> ConnectionId {
    let connection = node.accept(ephemeral(7, 40_000)).unwrap();
    node.open(connection, None);
    connection
}

fn note(number: u32) -> Vec<u8> {
    numbered(NOTE, 0, number, &[]).bytes().to_vec()
}

fn hello_bytes() -> Vec<u8> {
    super::messages::hello("7", Some(8333), true)
}

#[test]
fn only_the_gate_hears_of_a_peer_that_was_not_let_in() {
    let mut node = Node::new(Limits::default());
    let connection = opening(&mut node);
    node.lose(connection, CloseReason::EndOfStream);
    let ended = Heard::OpeningClosed(connection, CloseReason::EndOfStream);
    assert_eq!(node.log.heard_by(Who::Gate), [Heard::Opened(connection), ended]);
    assert_eq!(node.log.heard_by(Who::First), []);
    assert_eq!(node.log.heard_by(Who::Second), []);
    assert_eq!(node.refusal(connection), Some(CloseReason::EndOfStream));
}

#[test]
fn frames_behind_the_one_that_lets_a_peer_in_reach_the_others() {
    let mut node = Node::new(Limits::default());
    let connection = opening(&mut node);
    let mut bytes = hello_bytes();
    bytes.extend(note(1));
    bytes.extend(note(2));
    node.receive(connection, &bytes);
    assert_eq!(
        node.log.heard_by(Who::First),
        [Heard::Established(connection), Heard::Message(connection, 1), Heard::Message(connection, 2),]
    );
    assert_eq!(node.log.heard_by(Who::Second), [Heard::Established(connection)]);
}

#[test]
fn nothing_is_delivered_after_a_close_not_even_from_the_same_batch() {
    let mut node = Node::new(Limits::default());
    let connection = node.inbound_session(7);
    node.act(|tree, _| {
        tree.first.script.extend([Reaction::Nothing, Reaction::Close(0)]);
    });
    node.log.clear();
    let bytes: Vec<_> = (1..=4).flat_map(note).collect();
    node.receive(connection, &bytes);
    let closed = Heard::Closed(connection, CloseReason::Requested);
    assert_eq!(
        node.log.heard_by(Who::First),
        [Heard::Message(connection, 1), Heard::Message(connection, 2), closed]
    );
    node.receive_late(connection, &note(5));
    assert_eq!(node.log.heard_by(Who::First).len(), 3);
}

#[test]
fn nothing_is_delivered_after_a_fatal_frame_while_opening() {
    let mut node = Node::new(Limits::default());
    let connection = opening(&mut node);
    let mut bytes = note(1);
    bytes.extend(hello_bytes());
    node.receive(connection, &bytes);
    let offence = Offence::OutOfPlace(crate::wire::MessageType::application(NOTE));
    assert_eq!(node.refusal(connection), Some(CloseReason::Violation(offence)));
    assert_eq!(node.log.heard_about(Who::First, connection), []);
    // It is charged all the same.
    let charged = |event: &Event<_>| matches!(event, Event::Offence { offence: it, .. } if *it == offence);
    assert!(node.events.iter().any(charged));
}

#[test]
fn a_farewell_before_the_peer_is_let_in_is_the_reason() {
    let mut node = Node::new(Limits::default());
    let connection = node.dial(address(7)).unwrap();
    node.open(connection, None);
    node.receive(connection, &error(&CloseReason::Full));
    node.lose(connection, CloseReason::EndOfStream);
    assert_eq!(node.dial_errors(connection), [DialError::Closed(remote(CloseReason::Full))]);
    let heard = node.log.heard_about(Who::Gate, connection);
    assert!(!heard.iter().any(|it| matches!(it, Heard::OpeningFrame(_))), "the Swarm reads it itself");
}

#[test]
fn a_malformed_farewell_is_charged_and_tolerated() {
    let mut node = Node::new(Limits::default());
    let connection = opening(&mut node);
    node.receive(connection, &raw(0xff, &[0xff]));
    node.receive(connection, &hello_bytes());
    assert!(node.swarm.peer(connection).is_some());
    assert!(node.events.iter().any(|event| matches!(event, Event::Offence { .. })));
}

#[test]
fn a_peer_that_does_not_say_who_it_is_has_five_seconds() {
    let mut node = Node::new(Limits::default());
    let accepted = node.accept(ephemeral(7, 40_000)).unwrap();
    let dialled = node.dial(address(8)).unwrap();
    node.sleep(SECOND * 4);
    // What was accepted is counted from then on, what is dialled from being connected.
    node.open(accepted, None);
    node.open(dialled, None);
    node.sleep(SECOND);
    assert_eq!(node.refusal(accepted), Some(CloseReason::OpeningTimeout));
    assert_eq!(node.dial_errors(dialled), []);
    node.sleep(SECOND * 4);
    assert_eq!(node.dial_errors(dialled), [DialError::Closed(CloseReason::OpeningTimeout)]);
    assert_eq!(node.counters(), (0, 0));
}

#[test]
fn a_transport_that_never_stands_frees_its_slot() {
    let mut node = Node::new(Limits::default().with_max_opening(1));
    node.accept(ephemeral(7, 40_000)).unwrap();
    assert_eq!(node.accept(ephemeral(8, 40_000)), Err(CloseReason::Full));
    node.sleep(SECOND * 5);
    assert_eq!(node.counters(), (0, 0));
    assert!(node.accept(ephemeral(8, 40_000)).is_ok());
}

#[test]
fn a_gate_that_was_not_told_of_the_opening_is_not_told_of_the_end() {
    let mut node = Node::numbered(0, Limits::default());
    for proven in [peer_id(0), peer_id(9)] {
        let connection = node.dial(address(7).pinned(peer_id(7))).unwrap();
        node.open(connection, Some(proven));
    }
    let heard = node.log.heard_by(Who::Gate);
    assert!(heard.iter().all(|it| matches!(it, Heard::DialFailed(..))), "{heard:?}");
}

#[test]
fn a_dial_that_ends_while_it_opens_is_one_event() {
    let mut node = Node::new(Limits::default());
    let connection = node.dial(address(7)).unwrap();
    node.open(connection, None);
    node.lose(connection, CloseReason::EndOfStream);
    assert_eq!(node.events.len(), 1, "{:?}", node.events);
    assert_eq!(node.dial_errors(connection), [DialError::Closed(CloseReason::EndOfStream)]);
}

#[test]
fn a_peer_that_is_let_in_by_its_first_frame_has_it_delivered() {
    let mut node = Node::new(Limits::default());
    node.act(|tree, _| tree.gate.is_lenient = true);
    let connection = opening(&mut node);
    let mut bytes = note(1);
    bytes.extend(note(2));
    node.receive(connection, &bytes);
    assert_eq!(
        node.log.heard_by(Who::First),
        [Heard::Established(connection), Heard::Message(connection, 1), Heard::Message(connection, 2),]
    );
}

#[test]
fn what_the_beginning_of_a_session_causes_comes_before_its_first_frame() {
    let mut node = Node::new(Limits::default());
    node.act(|tree, _| {
        tree.gate.is_lenient = true;
        tree.first.on_established = Some(Reaction::Signal);
    });
    let connection = opening(&mut node);
    let mut bytes = note(1);
    bytes.extend(note(2));
    node.receive(connection, &bytes);
    let heard = node.log.heard_by(Who::First);
    assert!(
        matches!(
            &heard[..],
            [
                Heard::Established(_),
                Heard::Signal(Signal::TipChanged { .. }),
                Heard::Message(_, 1),
                Heard::Message(_, 2),
            ]
        ),
        "{heard:?}"
    );
}

#[test]
fn a_session_that_ends_as_it_begins_never_sees_its_first_frame() {
    let mut node = Node::new(Limits::default());
    node.act(|tree, _| {
        tree.gate.is_lenient = true;
        tree.second.on_established = Some(Reaction::Close(0));
    });
    let connection = opening(&mut node);
    node.receive(connection, &note(1));
    let closed = Heard::Closed(connection, CloseReason::Requested);
    for who in [Who::First, Who::Second] {
        assert_eq!(node.log.heard_by(who), [Heard::Established(connection), closed.clone()]);
    }
}

#[test]
fn nothing_overtakes_a_handshake() {
    // The gate's answer waits with the frames that other behaviours send as soon as they hear of
    // the peer, more urgent ones among them.
    let mut node = Node::new(Limits::default());
    node.act(|tree, _| {
        tree.first.on_established = Some(Reaction::Send { to: 0, byte: URGENT, bytes: 1 });
        tree.second.on_established = Some(Reaction::Send { to: 0, byte: NOTE, bytes: 1 });
    });
    let connection = opening(&mut node);
    node.receive(connection, &hello_bytes());
    let types: Vec<_> = node.sent(connection).into_iter().map(|(byte, _)| byte).collect();
    assert_eq!(types, [0x80, URGENT, NOTE]);
}

#[test]
fn what_a_gate_has_said_goes_out_before_it_closes() {
    let mut node = Node::new(Limits::default());
    let connection = node.dial(address(7)).unwrap();
    node.open(connection, None);
    // The Hello was not written yet.
    node.act(|_, cx| {
        cx.understands_errors(connection);
        cx.close(connection, CloseReason::WrongChain);
    });
    let words = sent_frames(node.last_words(connection).unwrap());
    let types: Vec<_> = words.into_iter().map(|(byte, _)| byte).collect();
    assert_eq!(types, [0x80, 0xff]);
}

#[test]
fn without_a_gate_a_session_begins_as_the_transport_stands() {
    let mut node = Node::gateless(Limits::default());
    let connection = node.accept(ephemeral(7, 40_000)).unwrap();
    assert_eq!(node.log.heard_by(Who::First), []);
    node.open(connection, None);
    node.receive(connection, &note(1));
    assert_eq!(
        node.log.heard_by(Who::First),
        [Heard::Established(connection), Heard::Message(connection, 1)]
    );
    // A large frame waits in no reader: the peer is established.
    let large = numbered(NOTE, 0, 2, &[0; 100_000]);
    node.receive(connection, large.bytes());
    assert_eq!(node.log.heard_by(Who::First).len(), 3);
}

#[test]
fn a_gate_that_is_switched_off_is_open() {
    #[derive(crate::NetworkBehaviour)]
    #[behaviour(crate = crate)]
    struct Open {
        gate: Toggle<Gate>,
        second: Leaf<Second>,
    }

    let log = Log::default();
    let Tree { second, .. } = Tree::new(&log, "0");
    let tree = Open { gate: Toggle::off(), second };
    let mut node = Node::with_tree(tree, log, 0, Limits::default());
    let connection = node.accept(ephemeral(7, 40_000)).unwrap();
    node.open(connection, None);
    let mut bytes = hello_bytes();
    bytes.extend(numbered(OTHER_NOTE, 0, 1, &[]).bytes());
    node.receive(connection, &bytes);
    assert_eq!(
        node.log.heard_by(Who::Second),
        [Heard::Established(connection), Heard::Message(connection, 1)]
    );
    assert!(
        !node.events.iter().any(|event| matches!(event, Event::Offence { .. })),
        "the messages of what is switched off are ignored"
    );
}

#[test]
fn a_type_that_nobody_takes_unasked_is_charged() {
    let mut node = Node::new(Limits::default());
    let connection = node.inbound_session(7);
    node.receive(connection, numbered(super::messages::ITEM, 0, 1, &[]).bytes());
    let charged = node
        .events
        .iter()
        .filter(|event| matches!(event, Event::Offence { offence: Offence::Unsolicited(_), .. }));
    assert_eq!(charged.count(), 1);
    assert!(node.swarm.peer(connection).is_some(), "and tolerated");
}

#[test]
fn no_other_behaviour_can_be_reached_by_frames_of_an_opening_connection() {
    // Every type there is, each on a connection of its own.
    let mut node = Node::new(Limits::default());
    for byte in [NOTE, URGENT, ASK, OTHER_NOTE, super::messages::REPLY] {
        let connection = node.accept(ephemeral(7, 40_000)).unwrap();
        node.open(connection, None);
        node.receive(connection, numbered(byte, 0, 1, &[]).bytes());
        assert!(node.refusal(connection).is_some());
    }
    let about_frames = |entry: &Entry| {
        matches!(entry, Entry::Heard(Who::First | Who::Second, Heard::Message(..) | Heard::Established(_)))
    };
    assert!(!node.log.entries().iter().any(about_frames));
}
