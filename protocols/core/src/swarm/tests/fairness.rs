//! Limits of bandwidth against peers that would get around them, and for those that wait for them.

use alloc::vec::Vec;
use core::time::Duration;

use super::log::{Heard, Who};
use super::messages::{NEWS, NOTE, REPLY, URGENT, error, numbered, raw, sent_numbers};
use super::node::{Node, ephemeral};
use super::tree::Tree;
use crate::wire::Priority;
use crate::{Bandwidth, CloseReason, ConnectionId, Limits, Offence, RequestError, SendError, Time};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// 10 kB in a second, so 1000 bytes at once.
const RATE: Option<u64> = Some(10_000);

fn node(bandwidth: Bandwidth) -> Node<Tree> {
    Node::new(Limits::default().with_bandwidth(bandwidth))
}

fn bytes(byte: u8, number: u32, len: usize) -> Vec<u8> {
    numbered(byte, 0, number, &alloc::vec![0; len]).bytes().to_vec()
}

/// Lets time pass, from one deadline to the next, and reads on where the Swarm says so.
fn pass(node: &mut Node<Tree>, duration: Duration) {
    let until = node.now + duration;
    node.read_on();
    while let Some(at) = node.swarm.deadline().filter(|at| *at <= until) {
        node.now = at;
        node.tick();
        node.read_on();
    }
    node.now = until;
    node.tick();
}

fn is_held(node: &Node<Tree>, connection: ConnectionId) -> bool {
    node.wires.get(&connection).is_some_and(|it| it.held.is_some())
}

fn heard(node: &Node<Tree>, from: ConnectionId) -> usize {
    node.log
        .heard_by(Who::First)
        .iter()
        .filter(|it| matches!(it, Heard::Message(connection, ..) if *connection == from))
        .count()
}

#[test]
fn whoever_connects_again_still_owes_what_he_owed() {
    for bandwidth in [
        Bandwidth::default().with_download_per_peer(RATE),
        Bandwidth::default().with_download_per_peer(RATE).with_download(Some(10_000_000)),
    ] {
        let mut node = node(bandwidth);
        let before = node.inbound_session(7);
        node.receive(before, &bytes(NEWS, 1, 100_000));
        assert_eq!(heard(&node, before), 1);
        node.lose(before, CloseReason::EndOfStream);
        let began = node.now;

        let again = node.inbound_session(7);
        node.receive(again, &bytes(NOTE, 2, 100));
        assert!(is_held(&node, again));
        // Nobody else pays for it.
        let other = node.inbound_session(8);
        node.receive(other, &bytes(NOTE, 3, 100));
        assert_eq!(heard(&node, other), 1);
        pass(&mut node, SECOND * 9);
        assert_eq!(heard(&node, again), 0);
        pass(&mut node, SECOND);
        assert_eq!(heard(&node, again), 1);
        assert!(node.now.since(began) <= SECOND * 10);
    }
}

#[test]
fn what_was_sent_to_him_is_not_forgotten_either() {
    let mut node = node(Bandwidth::default().with_upload_per_peer(RATE));
    let before = node.inbound_session(7);
    let large = numbered(NEWS, 0, 1, &alloc::vec![0; 100_000]);
    node.act(|_, cx| cx.send_frame(before, &large)).unwrap();
    assert_eq!(sent_numbers(&node.take(before, usize::MAX)), [1]);
    node.lose(before, CloseReason::EndOfStream);
    let again = node.inbound_session(7);
    node.act(|_, cx| cx.send_frame(again, &numbered(NOTE, 0, 2, &[]))).unwrap();
    assert!(node.take(again, usize::MAX).is_empty());
}

#[test]
fn what_was_read_and_not_handled_is_charged_when_its_connection_ends() {
    for ends_inside in [false, true] {
        let mut node = node(Bandwidth::default().with_download_per_peer(RATE));
        let before = node.inbound_session(7);
        node.receive(before, &bytes(NOTE, 1, 1000));
        let large = bytes(NEWS, 2, 100_000);
        if ends_inside {
            pass(&mut node, SECOND);
            node.receive(before, &large[..90_000]);
        } else {
            node.receive(before, &large);
            assert!(is_held(&node, before));
        }
        node.lose(before, CloseReason::EndOfStream);
        let again = node.inbound_session(7);
        node.receive(again, &bytes(NOTE, 3, 100));
        pass(&mut node, SECOND * 8);
        assert_eq!(heard(&node, again), 0, "{ends_inside}");
        pass(&mut node, SECOND * 3);
        assert_eq!(heard(&node, again), 1);
    }
}

#[test]
fn newcomers_keep_nobody_waiting() {
    let mut node = node(Bandwidth::default().with_download(Some(100_000)));
    let patient = node.inbound_session(7);
    for number in 0..40 {
        node.receive(patient, &bytes(NOTE, number, 5000));
    }
    // Each sends one frame and goes; three wait at a time.
    let mut newcomers: Vec<ConnectionId> = Vec::new();
    let mut number = 8;
    while number < 200 {
        while newcomers.len() < 3 {
            let newcomer = node.inbound_session(number);
            number += 1;
            node.receive(newcomer, &bytes(NOTE, 1, 5000));
            newcomers.push(newcomer);
        }
        pass(&mut node, MILLISECOND * 100);
        newcomers.retain(|it| is_held(&node, *it));
        for connection in node.wires.keys().copied().collect::<Vec<_>>() {
            if connection != patient && !newcomers.contains(&connection) {
                node.lose(connection, CloseReason::EndOfStream);
            }
        }
        if !is_held(&node, patient) {
            break;
        }
    }
    // It has its turn as often as each of the three.
    assert_eq!(heard(&node, patient), 40, "of {number} newcomers");
    assert!(number < 8 + 40 * 4, "{number}");
}

#[test]
fn those_who_say_nothing_but_errors_before_a_handshake_say_one() {
    let mut node = node(Bandwidth::default());
    let stranger = node.accept(ephemeral(8, 40_000)).unwrap();
    node.open(stranger, None);
    node.receive(stranger, &error(&CloseReason::Shutdown));
    assert_eq!(node.refusal(stranger), None);
    node.receive(stranger, &error(&CloseReason::Shutdown));
    let offence = Offence::OutOfPlace(crate::wire::MessageType::ERROR);
    assert_eq!(node.refusal(stranger), Some(CloseReason::Violation(offence)));
}

#[test]
fn who_had_much_while_nobody_wanted_any_is_not_behind_afterwards() {
    let mut node = node(Bandwidth::default().with_download(Some(100_000)));
    let early = node.inbound_session(7);
    let late = node.inbound_session(8);
    node.receive(early, &bytes(NOTE, 0, 180_000));
    pass(&mut node, SECOND * 3);
    assert_eq!(heard(&node, early), 1);
    for connection in [late, early] {
        for number in 0..100 {
            node.receive(connection, &bytes(NOTE, number, 5000));
        }
    }
    pass(&mut node, SECOND * 2);
    let (early, late) = (heard(&node, early) - 1, heard(&node, late));
    assert!(early >= 15 && late >= 15, "{early} and {late}");
}

#[test]
fn what_is_urgent_is_shared_out_as_well() {
    let bandwidth = Bandwidth::default().with_upload(Some(100_000));
    let mut node = node(bandwidth);
    let peers: Vec<_> = (7..11).map(|number| node.inbound_session(number)).collect();
    let large = numbered(NEWS, 0, 1, &alloc::vec![0; 1_000_000]);
    node.act(|_, cx| cx.send_frame(peers[0], &large)).unwrap();
    node.take(peers[0], usize::MAX);
    let mut sent = [0; 4];
    let urgent = numbered(URGENT, 0, 1, &[0; 1000]);
    let until = node.now + SECOND * 8;
    while node.now < until {
        for peer in &peers {
            let waits = |node: &mut Node<Tree>| node.act(|_, cx| cx.queued_bytes(*peer, Priority::Critical));
            while waits(&mut node) < 20_000 {
                node.act(|_, cx| cx.send_frame(*peer, &urgent)).unwrap();
            }
        }
        while let Some(ready) = node.swarm.poll_ready() {
            let index = peers.iter().position(|it| *it == ready).unwrap();
            sent[index] += node.take(ready, usize::MAX).len();
        }
        node.now = node.swarm.deadline().unwrap().min(until);
        node.tick();
    }
    // 25 kB/s for all of them.
    let (least, most) = (sent.iter().min().unwrap(), sent.iter().max().unwrap());
    assert!(*least > 40_000 && most - least < 10_000, "{sent:?}");
}

#[test]
fn a_turn_is_as_much_as_there_is_room_for_and_not_all_that_has_arrived() {
    let mut node = node(Bandwidth::default().with_download_per_peer(RATE));
    let peer = node.inbound_session(7);
    pass(&mut node, SECOND);
    let all: Vec<u8> = (0..100).flat_map(|number| bytes(NOTE, number, 485)).collect();
    node.receive(peer, &all);
    assert_eq!(heard(&node, peer), 3, "a tenth of a second's worth, and what goes beyond");
    pass(&mut node, SECOND);
    let count = heard(&node, peer);
    assert!((20..24).contains(&count), "{count}");
    pass(&mut node, SECOND * 5);
    assert_eq!(heard(&node, peer), 100, "in the end all of it");
}

#[test]
fn bytes_that_nobody_takes_cost_what_others_do() {
    let bandwidth = Bandwidth::default().with_download_per_peer(RATE);
    let mut node = node(bandwidth);
    let peer = node.inbound_session(7);
    pass(&mut node, SECOND);
    // A transaction, of which this tree knows nothing.
    let ignored = raw(0x30, &alloc::vec![0; 200_000]);
    node.receive(peer, &ignored);
    node.receive(peer, &bytes(NOTE, 1, 100));
    pass(&mut node, SECOND * 15);
    assert_eq!(heard(&node, peer), 0);
    pass(&mut node, SECOND * 6);
    assert_eq!(heard(&node, peer), 1);
}

#[test]
fn what_never_becomes_a_frame_is_paid_for_by_its_sender_alone() {
    let mut node = node(Bandwidth::default().with_download(RATE));
    let honest = node.inbound_session(1);
    for number in 10..14 {
        pass(&mut node, SECOND);
        let cutter = node.inbound_session(number);
        node.receive(cutter, &bytes(NEWS, 1, 100_000)[..90_000]);
        node.lose(cutter, CloseReason::EndOfStream);
    }
    pass(&mut node, SECOND);
    let holder = node.inbound_session(14);
    node.receive(holder, &bytes(NOTE, 2, 2000));
    node.receive(holder, &bytes(NEWS, 3, 100_000));
    assert!(is_held(&node, holder));
    node.lose(holder, CloseReason::EndOfStream);
    node.receive(honest, &bytes(NOTE, 4, 100));
    pass(&mut node, SECOND);
    assert_eq!(heard(&node, honest), 1);
}

#[test]
fn a_debt_that_outlasts_its_connection_is_not_endless() {
    let mut node = node(Bandwidth::default().with_download_per_peer(Some(8 << 20)));
    let large = bytes(NEWS, 1, 4_000_000);
    for _ in 0..20 {
        let cutter = node.inbound_session(7);
        node.receive(cutter, &large[..large.len() - 1]);
        node.lose(cutter, CloseReason::EndOfStream);
    }
    let again = node.inbound_session(7);
    node.receive(again, &bytes(NOTE, 2, 100));
    pass(&mut node, SECOND * 5);
    assert_eq!(heard(&node, again), 1, "two of the largest frames are four seconds");
}

fn ask(node: &mut Node<Tree>, whom: ConnectionId, timeout: Duration) {
    let asked = node.act(|tree, cx| {
        let mut asked = None;
        cx.with_child(super::tree::TreeEvent::First, |cx| asked = tree.first.ask(cx, whom, None, timeout));
        asked
    });
    assert!(asked.is_some());
}

fn is_answered(node: &Node<Tree>) -> Option<bool> {
    node.log.heard_by(Who::First).iter().find_map(|it| match it {
        Heard::Answer(..) => Some(true),
        Heard::RequestFailed(..) => Some(false),
        _ => None,
    })
}

#[test]
fn an_answer_that_this_node_holds_back_is_in_time() {
    let mut node = node(Bandwidth::default().with_download_per_peer(RATE));
    let peer = node.inbound_session(7);
    ask(&mut node, peer, SECOND);
    // Two seconds and a half of debt before it.
    node.receive(peer, &bytes(NEWS, 1, 25_000));
    node.receive(peer, &bytes(REPLY, 2, 0));
    pass(&mut node, SECOND * 2);
    assert_eq!(is_answered(&node), None);
    pass(&mut node, SECOND);
    assert_eq!(is_answered(&node), Some(true));
}

#[test]
fn a_peer_cannot_put_off_its_answers_for_ever_by_sending_too_much() {
    let mut node = node(Bandwidth::default().with_download_per_peer(RATE));
    let peer = node.inbound_session(7);
    ask(&mut node, peer, SECOND);
    let began = node.now;
    node.receive(peer, &bytes(NEWS, 1, 200_000));
    node.receive(peer, &bytes(NEWS, 2, 200_000));
    while is_answered(&node).is_none() {
        pass(&mut node, MILLISECOND * 10);
    }
    let waited = node.now.since(began);
    assert!(waited >= SECOND * 4 && waited <= SECOND * 4 + SECOND / 8 + MILLISECOND * 20, "{waited:?}");
    let is_excused = node
        .log
        .heard_by(Who::First)
        .iter()
        .any(|it| matches!(it, Heard::RequestFailed(.., RequestError::HeldBack)));
    assert!(is_excused, "whether it would have answered nobody knows");
}

#[test]
fn a_handshake_that_this_node_holds_back_is_in_time() {
    let mut node = node(Bandwidth::default().with_download(Some(8192)));
    let session = node.inbound_session(7);
    node.receive(session, &bytes(URGENT, 1, 15_000));
    // What is urgent is in debt, for seven seconds.
    node.receive(session, &bytes(URGENT, 2, 15_000));
    let newcomer = node.accept(ephemeral(8, 40_000)).unwrap();
    node.open(newcomer, None);
    node.say_hello(newcomer, 8);
    assert!(is_held(&node, newcomer));
    pass(&mut node, SECOND * 6);
    assert_eq!((node.refusal(newcomer), node.swarm.peer(newcomer).is_some()), (None, false));
    pass(&mut node, SECOND * 14);
    assert!(node.swarm.peer(newcomer).is_some());
}

#[test]
fn a_full_queue_of_critical_frames_that_wait_for_this_node_is_not_the_peers_fault() {
    let mut node = node(Bandwidth::default().with_upload_per_peer(RATE));
    let peer = node.inbound_session(7);
    let large = numbered(NEWS, 0, 1, &alloc::vec![0; 1_000_000]);
    node.act(|_, cx| cx.send_frame(peer, &large)).unwrap();
    node.take(peer, usize::MAX);
    let urgent = numbered(URGENT, 0, 2, &[0; 1000]);
    let (mut queued, mut sent) = (0, 0);
    let full = loop {
        match node.act(|_, cx| cx.send_frame(peer, &urgent)) {
            Ok(()) => queued += 1,
            Err(error) => break error,
        }
        sent += sent_numbers(&node.take(peer, usize::MAX)).len();
        assert!(queued < 100);
    };
    assert_eq!((full, node.close_reason(peer)), (SendError::Full, None));
    // All that were queued go out.
    while sent < queued && node.now < Time::ZERO + SECOND * 100 {
        node.now = node.swarm.deadline().unwrap();
        node.tick();
        while let Some(ready) = node.swarm.poll_ready() {
            sent += sent_numbers(&node.take(ready, usize::MAX)).len();
        }
    }
    assert_eq!(sent, queued);
}
