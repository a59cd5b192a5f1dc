//! Limits of bandwidth: what waits, for how long, and what does not.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::messages::{NEWS, NOTE, URGENT, hello, numbered, sent_numbers};
use super::node::{Node, ephemeral};
use super::tree::Tree;
use crate::wire::{Batch, FrameReader, ReadStep};
use crate::{Bandwidth, CloseReason, ConnectionId, Limits, Now, Time};

const MILLISECOND: Duration = Duration::from_millis(1);

/// 10 kB in a second, so 1000 bytes at once.
const RATE: Option<u64> = Some(10_000);

/// Frames of this many bytes.
const FRAME: usize = 500;

fn node(bandwidth: Bandwidth) -> Node<Tree> {
    Node::new(Limits::default().with_bandwidth(bandwidth))
}

/// A frame of exactly 500 bytes.
fn frame(byte: u8, number: u32) -> crate::wire::Frame {
    let short = numbered(byte, 0, number, &[0; 400]).len();
    let frame = numbered(byte, 0, number, &alloc::vec![0; 400 + FRAME - short]);
    assert_eq!(frame.len(), FRAME);
    frame
}

fn send(node: &mut Node<Tree>, to: ConnectionId, byte: u8, numbers: core::ops::Range<u32>) {
    for number in numbers {
        let frame = frame(byte, number);
        node.act(|_, cx| cx.send_frame(to, &frame)).unwrap();
    }
}

/// A session whose handshake is paid for.
fn session(node: &mut Node<Tree>, number: u8) -> ConnectionId {
    let connection = node.inbound_session(number);
    node.sleep(Duration::from_secs(1));
    while node.swarm.poll_ready().is_some() || node.swarm.poll_readable().is_some() {}
    connection
}

fn take(node: &mut Node<Tree>, connection: ConnectionId) -> Vec<u32> {
    sent_numbers(&node.take(connection, usize::MAX))
}

/// Lets time pass, from one deadline to the next, until somebody is named who may send.
fn wait(node: &mut Node<Tree>) -> ConnectionId {
    loop {
        node.now = node.swarm.deadline().expect("it wants to be called");
        node.tick();
        if let Some(connection) = node.swarm.poll_ready() {
            return connection;
        }
    }
}

fn batch(node: &Node<Tree>, bytes: &[u8]) -> Batch {
    let mut reader = FrameReader::new(Arc::new(node.swarm.rules().clone()), 1024);
    reader.set_established();
    reader.push(bytes);
    match reader.poll_frames() {
        Ok(ReadStep::Frames(batch)) => batch,
        other => panic!("{other:?}"),
    }
}

/// Whether the node takes a frame at this moment; if so, it handles it.
fn arrives(node: &mut Node<Tree>, from: ConnectionId, byte: u8) -> bool {
    let batch = batch(node, frame(byte, 1).bytes());
    hand_in(node, from, batch).is_none()
}

fn hand_in(node: &mut Node<Tree>, from: ConnectionId, batch: Batch) -> Option<Batch> {
    node.swarm.handle_frames(Now::new(node.now, 0), from, batch)
}

#[test]
fn what_is_over_the_limit_goes_out_when_it_is_paid_for_and_not_before() {
    for bandwidth in [Bandwidth::default().with_upload_per_peer(RATE), Bandwidth::default().with_upload(RATE)]
    {
        let mut node = node(bandwidth);
        let peer = session(&mut node, 7);
        send(&mut node, peer, NOTE, 0..10);
        assert_eq!(node.swarm.poll_ready(), Some(peer));
        // Until it is in debt: more than a tenth of a second's worth.
        assert_eq!(take(&mut node, peer), [0, 1, 2]);
        let began = node.now;
        send(&mut node, peer, NOTE, 10..11);
        assert_eq!((take(&mut node, peer), node.swarm.poll_ready()), (Vec::new(), None));
        // 500 of 1500 bytes may be owed.
        assert_eq!(wait(&mut node), peer);
        assert_eq!(node.now, began + MILLISECOND * 100);
        assert_eq!(take(&mut node, peer), [3, 4]);
        assert_eq!(wait(&mut node), peer);
        assert_eq!(node.now, began + MILLISECOND * 200);
        assert_eq!(take(&mut node, peer), [5, 6]);

        let delayed = node.swarm.statistics().sent_delayed;
        assert_eq!((delayed.bytes, delayed.time), (4 * FRAME as u64, MILLISECOND * 200));
        let its = node.swarm.connection_statistics(peer).unwrap();
        assert_eq!(its.sent_delayed, delayed);
        assert_eq!(its.bytes_sent, node.swarm.statistics().bytes_sent);
    }
}

#[test]
fn a_connection_on_which_nothing_waits_any_more_is_not_called_for() {
    let mut node = node(Bandwidth::default().with_upload_per_peer(RATE).with_upload(RATE));
    let peer = session(&mut node, 7);
    send(&mut node, peer, NOTE, 0..3);
    assert_eq!(take(&mut node, peer), [0, 1, 2]);
    assert_eq!(node.swarm.poll_ready(), Some(peer));
    node.sleep(Duration::from_secs(100));
    assert_eq!(node.swarm.poll_ready(), None);
    assert_eq!(node.swarm.statistics().sent_delayed, crate::Delayed::default());
}

#[test]
fn waiting_for_the_limit_is_not_the_peers_fault_and_not_taking_what_it_may_is() {
    for bandwidth in [Bandwidth::default().with_upload_per_peer(RATE), Bandwidth::default().with_upload(RATE)]
    {
        let mut node = node(bandwidth);
        let peer = session(&mut node, 7);
        let large = numbered(NEWS, 0, 0, &alloc::vec![0; 1_000_000]);
        node.act(|_, cx| cx.send_frame(peer, &large)).unwrap();
        send(&mut node, peer, NOTE, 1..3);
        assert_eq!(take(&mut node, peer), [0], "however large it is");
        while node.swarm.poll_ready().is_some() {}
        // 100 s of debt.
        assert_eq!(wait(&mut node), peer);
        assert!(node.now > Time::ZERO + Duration::from_secs(95), "{:?}", node.now);
        assert_eq!(node.close_reason(peer), None);
        // It is named and nobody takes anything.
        node.sleep(Limits::default().write_timeout() - MILLISECOND);
        assert_eq!(node.close_reason(peer), None);
        node.sleep(MILLISECOND);
        assert_eq!(node.close_reason(peer), Some(CloseReason::SlowReader));
    }
}

#[test]
fn signs_of_life_pass_a_debt_up_to_a_quarter_of_the_rate_and_are_charged() {
    for bandwidth in [Bandwidth::default().with_upload_per_peer(RATE), Bandwidth::default().with_upload(RATE)]
    {
        let mut node = node(bandwidth);
        let peer = session(&mut node, 7);
        let large = numbered(NEWS, 0, 0, &alloc::vec![0; 100_000]);
        node.act(|_, cx| cx.send_frame(peer, &large)).unwrap();
        send(&mut node, peer, NOTE, 1..2);
        let taken = node.take(peer, usize::MAX).len() as u64;
        let due = node.now + Duration::from_nanos((taken - 500) * 100_000);
        while node.swarm.poll_ready().is_some() {}
        send(&mut node, peer, URGENT, 10..15);
        assert_eq!(node.swarm.poll_ready(), Some(peer), "though it waits");
        // 250 bytes at once, the last frame beyond; then as many in a tenth of a second.
        assert_eq!(take(&mut node, peer), [10]);
        let began = node.now;
        for number in 11..15 {
            assert_eq!(wait(&mut node), peer);
            assert_eq!(take(&mut node, peer), [number]);
        }
        let waited = node.now.since(began);
        assert!(waited > MILLISECOND * 700 && waited < MILLISECOND * 850, "{waited:?}");
        // All of it is paid for before anything else goes out.
        let mut named = wait(&mut node);
        while take(&mut node, peer).is_empty() {
            named = wait(&mut node);
        }
        assert_eq!(named, peer);
        let late = node.now.since(due);
        let bytes = MILLISECOND * 250;
        assert!(late >= bytes && late < bytes + MILLISECOND * 110, "{late:?}");
    }
}

#[test]
fn those_who_want_more_than_there_is_take_turns() {
    let mut node = node(Bandwidth::default().with_upload(Some(1_000_000)));
    let peers: Vec<_> = (7..10).map(|number| session(&mut node, number)).collect();
    let mut sent = [0; 3];
    for _ in 0..300 {
        for (peer, bytes) in peers.iter().zip([1000, 30_000, 100_000]) {
            let frame = numbered(NOTE, 0, 0, &alloc::vec![0; bytes]);
            while node.act(|_, cx| cx.send_frame(*peer, &frame)).is_ok() {}
        }
        let mut next = Some(wait(&mut node));
        while let Some(peer) = next {
            let index = peers.iter().position(|it| *it == peer).unwrap();
            sent[index] += node.take(peer, usize::MAX).len();
            next = node.swarm.poll_ready();
        }
    }
    let (least, most) = (sent.iter().min().unwrap(), sent.iter().max().unwrap());
    assert!(*least > 1_000_000 && most - least < 200_000, "{sent:?}");
}

#[test]
fn last_words_are_charged_to_all() {
    let mut node = node(Bandwidth::default().with_upload(RATE));
    let (gone, peer) = (session(&mut node, 7), session(&mut node, 8));
    send(&mut node, gone, URGENT, 0..10);
    node.act(|_, cx| cx.close(gone, CloseReason::Requested));
    assert!(node.last_words(gone).unwrap().len() > 10 * FRAME);
    send(&mut node, peer, NOTE, 0..1);
    assert_eq!(node.swarm.poll_ready(), Some(peer));
    assert_eq!(take(&mut node, peer), []);
    assert_eq!(wait(&mut node), peer);
    assert_eq!(take(&mut node, peer), [0]);
}

#[test]
fn what_arrives_is_taken_when_it_is_paid_for_and_not_before() {
    for bandwidth in
        [Bandwidth::default().with_download_per_peer(RATE), Bandwidth::default().with_download(RATE)]
    {
        let mut node = node(bandwidth);
        let peer = session(&mut node, 7);
        for is_taken in [true, true, true, false, false] {
            assert_eq!(arrives(&mut node, peer, NOTE), is_taken);
        }
        let began = node.now;
        assert_eq!(node.swarm.poll_readable(), None);
        node.now = node.swarm.deadline().unwrap();
        node.tick();
        assert_eq!(node.now, began + MILLISECOND * 100);
        assert_eq!((node.swarm.poll_readable(), node.swarm.poll_readable()), (Some(peer), None));
        for is_taken in [true, true, false] {
            assert_eq!(arrives(&mut node, peer, NOTE), is_taken);
        }
        let delayed = node.swarm.statistics().received_delayed;
        assert_eq!((delayed.bytes, delayed.time), (FRAME as u64, MILLISECOND * 100));
        assert_eq!(node.swarm.connection_statistics(peer).unwrap().received_delayed, delayed);
        // What is gone is not named.
        node.lose(peer, CloseReason::EndOfStream);
        node.sleep(Duration::from_secs(10));
        assert_eq!((node.swarm.poll_readable(), node.swarm.deadline()), (None, None));
    }
}

#[test]
fn signs_of_life_are_read_in_spite_of_a_debt_if_nothing_else_stands_before_them() {
    let mut node = node(Bandwidth::default().with_download(RATE).with_download_per_peer(RATE));
    let peer = session(&mut node, 7);
    let large = batch(&node, numbered(NEWS, 0, 0, &alloc::vec![0; 100_000]).bytes());
    assert!(hand_in(&mut node, peer, large).is_none());
    let both = [frame(URGENT, 1), frame(NOTE, 2), frame(URGENT, 3)].map(|it| it.bytes().clone()).concat();
    let both = batch(&node, &both);
    let rest = hand_in(&mut node, peer, both).expect("the second one waits");
    assert_eq!(rest.len(), 2 * FRAME, "and what stands behind it");
    // A quarter of the rate is spent.
    assert!(!arrives(&mut node, peer, URGENT));
    node.sleep(MILLISECOND * 400);
    assert!(arrives(&mut node, peer, URGENT));
}

#[test]
fn a_handshake_waits_for_nobodys_debt() {
    let everything = Bandwidth::default().with_upload(RATE).with_download(RATE);
    let mut node = node(everything);
    let peer = session(&mut node, 7);
    for _ in 0..3 {
        assert!(arrives(&mut node, peer, NOTE));
    }
    assert!(!arrives(&mut node, peer, NOTE));
    send(&mut node, peer, NOTE, 0..4);
    take(&mut node, peer);
    assert_eq!(take(&mut node, peer), [], "all are in debt");
    let newcomer = node.accept(ephemeral(8, 40_000)).unwrap();
    node.open(newcomer, None);
    let name = alloc::format!("{}", super::node::peer_id(8));
    let hello = batch(&node, &hello(&name, Some(8333), true));
    assert!(hand_in(&mut node, newcomer, hello).is_none());
    assert!(node.swarm.peer(newcomer).is_some());
    assert_eq!(node.sent(newcomer).len(), 1, "the answer");
}

#[test]
fn limits_under_which_no_handshake_would_pass_are_refused() {
    for wrong in [
        Bandwidth::default().with_upload(Some(0)),
        Bandwidth::default().with_upload_per_peer(Some(8191)),
        Bandwidth::default().with_download(Some(1)),
        Bandwidth::default().with_download_per_peer(Some(8191)),
    ] {
        assert!(Limits::default().with_bandwidth(wrong).validate().is_err(), "{wrong:?}");
    }
    let small = Bandwidth::default().with_upload(Some(8192)).with_download(None);
    assert_eq!(Limits::default().with_bandwidth(small).validate(), Ok(()));
}
