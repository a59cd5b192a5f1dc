//! How connections end, and what is said then.

use alloc::vec::Vec;
use core::time::Duration;

use super::log::{Heard, Log, Who};
use super::messages::{NOTE, URGENT, bytes_of, error, hello, numbered, raw, sent_frames};
use super::node::{Node, address, ephemeral, peer_id, remote};
use super::tree::{GatelessTree, Reaction, Tree};
use crate::swarm::{Action, Event, Swarm};
use crate::wire::{Error, FrameError, Heartbeat};
use crate::{CloseReason, ConnectionId, DialError, Limits, Now, Offence, SecurityError, Time};

const SECOND: Duration = Duration::from_secs(1);

fn version_1_session(node: &mut Node<Tree>) -> ConnectionId {
    let connection = node.accept(ephemeral(9, 40_000)).unwrap();
    node.open(connection, None);
    node.receive(connection, &hello("9", None, false));
    node.sent(connection);
    connection
}

fn send(node: &mut Node<Tree>, to: ConnectionId, byte: u8, number: u32) {
    let frame = numbered(byte, 0, number, &[]);
    node.act(|_, cx| cx.send_frame(to, &frame)).unwrap();
}

fn close(node: &mut Node<Tree>, connection: ConnectionId, reason: CloseReason) -> Vec<(u8, Option<u32>)> {
    node.act(|_, cx| cx.close(connection, reason));
    sent_frames(node.last_words(connection).expect("the driver is told"))
}

#[test]
fn whoever_is_not_let_in_is_told_of_however_far_it_came() {
    let mut node = Node::new(Limits::default());
    let plain = node.accept(ephemeral(7, 40_000)).unwrap();
    let reason = CloseReason::Insecure(SecurityError::Plaintext);
    node.lose(plain, reason.clone());
    assert_eq!(node.refusal(plain), Some(reason));
    let silent = node.accept(ephemeral(8, 40_000)).unwrap();
    node.sleep(node.swarm.limits().opening_timeout());
    assert_eq!(node.refusal(silent), Some(CloseReason::OpeningTimeout));
}

#[test]
fn last_words_are_critical_frames_and_the_reason() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    send(&mut node, peer, NOTE, 1);
    send(&mut node, peer, URGENT, 2);
    close(&mut node, peer, CloseReason::PingTimeout);
    let words = [&numbered(URGENT, 0, 2, &[]).bytes()[..], &error(&CloseReason::PingTimeout)].concat();
    assert_eq!(node.last_words(peer), Some(&words[..]));
    assert_eq!(node.close_reason(peer), Some(CloseReason::PingTimeout));
    assert_eq!(node.counters(), (0, 0));
}

#[test]
fn a_peer_that_does_not_know_the_error_message_gets_none() {
    let mut node = Node::new(Limits::default());
    let peer = version_1_session(&mut node);
    send(&mut node, peer, URGENT, 2);
    assert_eq!(close(&mut node, peer, CloseReason::Shutdown), [(URGENT, Some(2))]);
    let peer = version_1_session(&mut node);
    assert_eq!(close(&mut node, peer, CloseReason::Requested), []);
}

#[test]
fn a_reason_that_the_peer_knows_is_not_sent_back() {
    for reason in [
        CloseReason::EndOfStream,
        CloseReason::Transport("reset".into()),
        remote(CloseReason::Full),
        CloseReason::RemoteText("bye".into()),
    ] {
        let mut node = Node::new(Limits::default());
        let peer = node.inbound_session(7);
        assert_eq!(close(&mut node, peer, reason.clone()), []);
        assert_eq!(node.close_reason(peer), Some(reason));
    }
}

#[test]
fn what_the_peer_says_at_the_end_is_the_reason() {
    let told = [
        (error(&CloseReason::SlowReader), remote(CloseReason::SlowReader)),
        (bytes_of(&Error { text: "I go" }), CloseReason::RemoteText("I go".into())),
    ];
    for (bytes, reason) in told {
        for end in [CloseReason::EndOfStream, CloseReason::Transport("reset".into())] {
            let mut node = Node::new(Limits::default());
            let peer = node.inbound_session(7);
            node.receive(peer, &bytes);
            assert!(node.swarm.peer(peer).is_some(), "it closes itself");
            node.lose(peer, end);
            assert_eq!(node.close_reason(peer), Some(reason.clone()));
            assert_eq!(node.closes.len(), 0, "there is nothing left to close");
        }
    }
}

#[test]
fn what_the_peer_says_does_not_hide_why_we_close() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    node.receive(peer, &error(&CloseReason::Shutdown));
    node.receive(peer, &raw(0x7f, &[]));
    let offence = Offence::Frame(FrameError::UnknownType { found: 0x7f });
    assert_eq!(node.close_reason(peer), Some(CloseReason::Violation(offence)));
}

#[test]
fn a_stream_that_makes_no_sense_is_closed_charged_and_told() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    let other = node.inbound_session(8);
    node.receive(peer, &[0xff; 4]);
    let offence = Offence::Frame(FrameError::Length { found: -1 });
    let reason = CloseReason::Violation(offence);
    assert_eq!(node.last_words(peer), Some(&error(&reason)[..]));
    let ends: Vec<_> = node.events.iter().skip(2).collect();
    assert!(
        matches!(ends[..], [Event::Offence { connection, .. }, Event::Closed { .. }] if *connection == peer),
        "{ends:?}"
    );
    assert!(node.swarm.peer(other).is_some(), "and no other");
}

#[test]
fn a_heartbeat_is_a_sign_of_life_and_nothing_else() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    node.sleep(SECOND);
    let heard = node.log.entries().len();
    node.receive(peer, &bytes_of(&Heartbeat));
    assert_eq!(node.log.entries().len(), heard + 1, "the step itself");
    let last_received = node.act(|_, cx| cx.last_received(peer));
    assert_eq!(last_received, Some(node.now));
}

#[test]
fn a_peer_that_takes_nothing_is_closed_after_the_write_timeout() {
    let mut node = Node::new(Limits::default());
    let deaf = node.inbound_session(7);
    let idle = node.inbound_session(8);
    send(&mut node, deaf, NOTE, 1);
    node.sleep(SECOND * 20);
    // More of it does not start the clock again.
    send(&mut node, deaf, NOTE, 2);
    node.sleep(SECOND * 10 - Duration::from_nanos(1));
    assert_eq!(node.close_reason(deaf), None);
    node.sleep(Duration::from_nanos(1));
    assert_eq!(node.close_reason(deaf), Some(CloseReason::SlowReader));
    node.sleep(SECOND * 1000);
    assert!(node.swarm.peer(idle).is_some(), "nothing waits for it");
}

#[test]
fn a_peer_that_takes_a_little_each_time_is_kept() {
    let mut node = Node::new(Limits::default());
    let slow = node.inbound_session(7);
    for number in 0..20 {
        send(&mut node, slow, NOTE, number);
    }
    for _ in 0..19 {
        node.sleep(SECOND * 29);
        // The driver tells the time before it takes something.
        node.tick();
        assert!(!node.take(slow, 1).is_empty());
    }
    assert!(node.swarm.peer(slow).is_some());
    node.sleep(SECOND * 30);
    assert_eq!(node.close_reason(slow), Some(CloseReason::SlowReader));
}

#[test]
fn a_peer_that_took_everything_starts_anew() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    for number in 0..10 {
        send(&mut node, peer, NOTE, number);
        node.sleep(SECOND * 29);
        node.take(peer, usize::MAX);
        node.sleep(SECOND * 29);
    }
    assert!(node.swarm.peer(peer).is_some());
}

#[test]
fn taking_nothing_is_not_taking() {
    let mut node = Node::new(Limits::default());
    let deaf = node.inbound_session(7);
    send(&mut node, deaf, NOTE, 1);
    for _ in 0..30 {
        node.sleep(SECOND);
        assert!(node.take(deaf, 0).is_empty());
    }
    assert_eq!(node.close_reason(deaf), Some(CloseReason::SlowReader));
}

#[test]
fn stopping_ends_everything_and_tells_everybody() {
    let mut node = Node::new(Limits::default());
    let session = node.inbound_session(7);
    let opening = node.accept(ephemeral(8, 40_000)).unwrap();
    node.open(opening, None);
    let accepted = node.accept(ephemeral(9, 40_000)).unwrap();
    let dialled = node.dial(address(10)).unwrap();
    node.shut_down();

    assert_eq!(node.close_reason(session), Some(CloseReason::Shutdown));
    assert_eq!(node.last_words(session), Some(&error(&CloseReason::Shutdown)[..]));
    assert_eq!(node.refusal(opening), Some(CloseReason::Shutdown));
    assert_eq!(node.dial_errors(dialled), [DialError::Closed(CloseReason::Shutdown)]);
    let closed: Vec<_> = node.closes.iter().map(|(connection, _)| *connection).collect();
    assert_eq!(closed, [session, opening, accepted, dialled]);
    assert_eq!(node.counters(), (0, 0));
    assert_eq!(node.swarm.deadline(), None);
}

#[test]
fn a_node_that_stops_connects_no_more() {
    // A behaviour that dials whenever it loses somebody, or a dial fails.
    let mut node = Node::new(Limits::default());
    node.inbound_session(7);
    node.dial(address(8)).unwrap();
    node.dials.clear();
    node.act(|tree, _| {
        tree.first.on_closed = Some(Reaction::Dial(address(9)));
        tree.first.on_dial_failed = Some(Reaction::Dial(address(10)));
    });
    node.shut_down();
    assert_eq!(node.dials, []);
    assert_eq!(node.counters(), (0, 0));
    assert_eq!(node.accept(ephemeral(11, 40_000)), Err(CloseReason::Shutdown));
    assert!(node.dial(address(11)).is_err());
}

#[test]
fn each_end_is_heard_once_however_often_it_is_told() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    node.act(|_, cx| {
        cx.close(peer, CloseReason::Requested);
        cx.close(peer, CloseReason::Shutdown);
    });
    node.lose(peer, CloseReason::EndOfStream);
    node.fail_dial(peer, DialError::Timeout);
    node.open(peer, Some(peer_id(7)));
    node.receive_late(peer, numbered(NOTE, 0, 1, &[]).bytes());
    let closed = Heard::Closed(peer, CloseReason::Requested);
    assert_eq!(node.log.heard_about(Who::Second, peer), [Heard::Established(peer), closed]);
    assert_eq!(node.closes.len(), 1);
}

#[test]
fn a_slot_is_not_given_away_before_the_driver_was_told_to_close_what_has_it() {
    let mut swarm = Swarm::new(GatelessTree::new(&Log::default()), peer_id(0), Limits::default()).unwrap();
    let now = |seconds| Now::new(Time::from_epoch(Duration::from_secs(seconds)), 0);
    let late = swarm.handle_accept(now(0), address(1)).unwrap();
    // Its time to become a session is over when the next one comes.
    let next = swarm.handle_accept(now(60), address(2)).unwrap();
    assert_ne!(next.slot(), late.slot());
    swarm.handle_closed(now(60), next, CloseReason::EndOfStream);
    let third = swarm.handle_accept(now(60), address(3)).unwrap();
    assert!(![late.slot(), next.slot()].contains(&third.slot()));
    assert!(matches!(swarm.poll_action(), Some(Action::Close { connection, .. }) if connection == late));
    assert!(swarm.poll_action().is_none());
    let fourth = swarm.handle_accept(now(60), address(4)).unwrap();
    assert!([late.slot(), next.slot()].contains(&fourth.slot()));
}

#[test]
fn the_id_of_what_is_gone_never_means_another_one() {
    let mut node = Node::new(Limits::default());
    let old = node.inbound_session(7);
    node.lose(old, CloseReason::EndOfStream);
    let new = node.inbound_session(8);
    assert_eq!(old.slot(), new.slot());
    node.act(|_, cx| cx.close(old, CloseReason::Requested));
    node.lose(old, CloseReason::EndOfStream);
    node.receive_late(old, numbered(NOTE, 0, 1, &[]).bytes());
    assert!(node.take(old, usize::MAX).is_empty());
    assert_eq!(node.log.heard_about(Who::First, new), [Heard::Established(new)]);
    assert!(node.swarm.peer(new).is_some() && node.swarm.peer(old).is_none());
}
