//! What behaviours send, and what becomes of it when a peer reads slowly or not at all.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Buf as _;
use proptest::prelude::*;

use super::log::{Heard, Who};
use super::messages::{GOSSIP, NEWS, NOTE, URGENT, numbered, sent_numbers};
use super::node::{Node, address, ephemeral};
use super::tree::{BY_PRIORITY, Reaction, Tree};
use crate::swarm::Transmit;
use crate::wire::{Error, FrameReader, Priority, ReadStep};
use crate::{CloseReason, ConnectionId, Limits, QueueLimit, SendError};

/// Memory beside the frames: their lengths, in buffers that double, and small rings.
const BOOKKEEPING: usize = 4 * 2 * 1000 * 4 + 4 * 4096;

fn send(
    node: &mut Node<Tree>,
    to: ConnectionId,
    byte: u8,
    number: u32,
    bytes: usize,
) -> Result<(), SendError> {
    let frame = numbered(byte, 0, number, &alloc::vec![0; bytes]);
    node.act(|_, cx| cx.send_frame(to, &frame))
}

fn broadcast(node: &mut Node<Tree>, byte: u8, number: u32, bytes: usize) -> usize {
    let frame = numbered(byte, 0, number, &alloc::vec![0; bytes]);
    node.act(|_, cx| {
        let all: Vec<_> = cx.peers().map(|(connection, _)| connection).collect();
        cx.broadcast(all, &frame)
    })
}

/// Fills a queue with numbered frames of about 1000 bytes; how many it took.
fn fill(node: &mut Node<Tree>, to: ConnectionId, byte: u8) -> u32 {
    let mut number = 0;
    while send(node, to, byte, number, 1000).is_ok() {
        number += 1;
    }
    number
}

fn rooms(node: &Node<Tree>, who: Who) -> Vec<Heard> {
    let mut heard = node.log.heard_by(who);
    heard.retain(|it| matches!(it, Heard::Writable(..)));
    heard
}

#[test]
fn a_full_queue_says_so_and_tells_when_there_is_room() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    let count = fill(&mut node, peer, NOTE);
    assert!(count > 400);
    assert_eq!(send(&mut node, peer, NOTE, 0, 1000), Err(SendError::Full), "twice refused");
    let half = Limits::default().queue(Priority::Normal).max_bytes / 2;
    while node.swarm.queued_bytes(peer) > half {
        node.tick();
        assert_eq!(rooms(&node, Who::First), []);
        node.take(peer, 1);
    }
    assert_eq!(node.swarm.deadline(), Some(node.now), "it is told at once");
    node.tick();
    node.take(peer, usize::MAX);
    node.tick();
    for who in Who::ALL {
        assert_eq!(rooms(&node, who), [Heard::Writable(peer, Priority::Normal)], "once, to all");
    }
}

#[test]
fn room_on_a_connection_that_is_gone_is_not_told() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    fill(&mut node, peer, NOTE);
    node.take(peer, usize::MAX);
    node.act(|_, cx| cx.close(peer, CloseReason::Requested));
    // It had been told before the command came, since the step began with it.
    let heard = node.log.heard_about(Who::First, peer);
    let tail = &heard[heard.len() - 2..];
    let closed = Heard::Closed(peer, CloseReason::Requested);
    assert_eq!(tail, [Heard::Writable(peer, Priority::Normal), closed]);

    let peer = node.inbound_session(7);
    fill(&mut node, peer, NOTE);
    node.lose(peer, CloseReason::EndOfStream);
    node.take(peer, usize::MAX);
    node.tick();
    let heard = node.log.heard_about(Who::First, peer);
    assert!(!heard.iter().any(|it| matches!(it, Heard::Writable(..))));
}

#[test]
fn whoever_closes_when_there_is_room_hears_of_no_more_of_it() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    fill(&mut node, peer, NOTE);
    fill(&mut node, peer, GOSSIP);
    node.act(|tree, _| tree.first.script.push_back(Reaction::Close(0)));
    node.take(peer, usize::MAX);
    node.tick();
    for who in Who::ALL {
        let heard = node.log.heard_about(who, peer);
        let tail = &heard[heard.len() - 2..];
        let closed = Heard::Closed(peer, CloseReason::Requested);
        assert_eq!(tail, [Heard::Writable(peer, Priority::Normal), closed]);
    }
}

#[test]
fn broadcasts_of_blocks_and_transactions_drop_the_oldest() {
    for byte in [NEWS, GOSSIP] {
        let mut node = Node::new(Limits::default());
        let slow = node.inbound_session(7);
        let quick = node.inbound_session(8);
        for number in 0..1000 {
            assert_eq!(broadcast(&mut node, byte, number, 1000), 2);
            assert_eq!(sent_numbers(&node.take(quick, usize::MAX)), [number], "others do not notice");
        }
        let left = sent_numbers(&node.take(slow, usize::MAX));
        assert_eq!(left.last(), Some(&999));
        assert!(left.windows(2).all(|pair| pair[1] == pair[0] + 1), "the latest, in order");
        assert_eq!(node.swarm.statistics().frames_dropped, 1000 - left.len() as u64);
        node.tick();
        assert_eq!(rooms(&node, Who::First), [], "nobody was refused");
    }
}

#[test]
fn broadcasts_do_not_push_out_what_was_sent_to_one_peer_alone() {
    for byte in [NEWS, GOSSIP] {
        let mut node = Node::new(Limits::default());
        let slow = node.inbound_session(7);
        broadcast(&mut node, byte, 5000, 1000);
        let count = fill(&mut node, slow, byte);
        for number in 6000..7000 {
            assert_eq!(broadcast(&mut node, byte, number, 1000), 0);
        }
        let numbers = sent_numbers(&node.take(slow, usize::MAX));
        assert_eq!(numbers, core::iter::once(5000).chain(0..count).collect::<Vec<_>>());
        // With nothing of that kind in the way the oldest make room again.
        for number in 0..1000 {
            assert_eq!(broadcast(&mut node, byte, number, 1000), 1);
        }
        assert_eq!(sent_numbers(&node.take(slow, usize::MAX)).last(), Some(&999));
    }
}

#[test]
fn broadcasts_of_other_messages_are_refused_where_there_is_no_room() {
    let mut node = Node::new(Limits::default());
    let slow = node.inbound_session(7);
    let quick = node.inbound_session(8);
    let count = fill(&mut node, slow, NOTE);
    node.sent(quick);
    assert_eq!(broadcast(&mut node, NOTE, 5000, 1000), 1);
    let numbers = sent_numbers(&node.take(slow, usize::MAX));
    assert_eq!(numbers, (0..count).collect::<Vec<_>>());
    assert_eq!(sent_numbers(&node.take(quick, usize::MAX)), [5000]);
    assert_eq!(node.swarm.statistics().frames_dropped, 1);
}

#[test]
fn a_send_never_drops_what_waits() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    for byte in [NEWS, NOTE, GOSSIP] {
        let count = fill(&mut node, peer, byte);
        let numbers = sent_numbers(&node.take(peer, usize::MAX));
        assert_eq!(numbers, (0..count).collect::<Vec<_>>());
    }
}

#[test]
fn a_peer_that_takes_no_signs_of_life_is_closed() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    let other = node.inbound_session(8);
    let count = fill(&mut node, peer, URGENT);
    assert!(count >= 60);
    assert_eq!(node.close_reason(peer), Some(CloseReason::SlowReader));
    assert_eq!(send(&mut node, peer, URGENT, 0, 0), Err(SendError::Closed));
    // By a broadcast as well.
    for number in 0..count {
        assert_eq!(broadcast(&mut node, URGENT, number, 1000), 1);
    }
    assert_eq!(broadcast(&mut node, URGENT, 0, 1000), 0);
    assert_eq!(node.close_reason(other), Some(CloseReason::SlowReader));
}

#[test]
fn nothing_is_sent_to_who_is_not_there() {
    let mut node = Node::new(Limits::default());
    let gone = node.inbound_session(7);
    node.lose(gone, CloseReason::EndOfStream);
    let opening = node.accept(ephemeral(8, 40_000)).unwrap();
    let dialled = node.dial(address(9)).unwrap();
    for connection in [gone, opening, dialled] {
        assert_eq!(send(&mut node, connection, NOTE, 0, 0), Err(SendError::Closed));
    }
    node.open(opening, None);
    let frame = numbered(NOTE, 0, 0, &[]);
    assert_eq!(node.act(|_, cx| cx.broadcast([gone, opening, dialled], &frame)), 0);
    assert_eq!(node.swarm.statistics().frames_sent, 1, "the Hello to the first one");
}

#[test]
fn what_was_received_is_forwarded_as_it_came() {
    let mut node = Node::new(Limits::default());
    let to = node.inbound_session(8);
    for bytes in [10, 10_000, 60_000] {
        let frame = numbered(GOSSIP, 0, 1, &alloc::vec![7; bytes]);
        node.act(|_, cx| {
            cx.send_frame(to, &frame).unwrap();
            assert_eq!(cx.broadcast([to], &frame), 1);
            assert_eq!(cx.queued_frames(to, Priority::Low), 2);
            assert_eq!(cx.queued_bytes(to, Priority::Low), 2 * frame.len());
        });
        assert_eq!(node.take(to, usize::MAX), [frame.bytes().clone(), frame.bytes().clone()].concat());
    }
}

#[test]
fn what_waits_pins_no_receive_buffer() {
    // A block of 5000 bytes that came in one read with 50 KiB of other frames.
    let mut node = Node::new(Limits::default());
    let deaf = node.inbound_session(8);
    let mut reader = FrameReader::new(Arc::new(node.swarm.rules().clone()), 1024);
    reader.set_established();
    // The read buffer grows while reads fill it.
    let small = numbered(NOTE, 0, 1, &[0; 1000]);
    let mut received = None;
    for _ in 0..20 {
        let mut bytes = numbered(GOSSIP, 0, 2, &[0; 5000]).bytes().to_vec();
        for _ in 0..50 {
            bytes.extend(small.bytes());
        }
        reader.push(&bytes);
        while let Ok(ReadStep::Frames(batch)) = reader.poll_frames() {
            received = batch.into_iter().find(|it| it.len() > 5000).or(received);
        }
    }
    let received = received.expect("a block");
    node.act(|_, cx| cx.send_frame(deaf, &received)).unwrap();
    let mut out = Transmit::new();
    node.swarm.poll_transmit(deaf, usize::MAX, &mut out);
    let whole = received.bytes().as_ptr_range();
    assert!(!out.segments().any(|it| whole.contains(&it.as_ptr())), "it waited as a copy");
}

#[test]
fn a_message_that_a_receiver_would_refuse_is_not_queued() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    let text = "x".repeat(1025);
    let result = node.act(|_, cx| cx.send(peer, &Error { text: &text }));
    assert!(matches!(result, Err(SendError::Invalid(_))), "{result:?}");
    assert_eq!(node.sent(peer), []);
    assert_eq!(send(&mut node, peer, NOTE, 1, 0), Ok(()));
    assert_eq!(sent_numbers(&node.take(peer, usize::MAX)), [1]);
}

#[test]
fn each_connection_is_named_once_when_it_has_something_to_send() {
    let mut node = Node::new(Limits::default());
    let (a, b) = (node.inbound_session(7), node.inbound_session(8));
    while node.swarm.poll_ready().is_some() {}
    for number in 0..3 {
        send(&mut node, b, NOTE, number, 0).unwrap();
        send(&mut node, a, NOTE, number, 0).unwrap();
    }
    let ready: Vec<_> = core::iter::from_fn(|| node.swarm.poll_ready()).collect();
    assert_eq!(ready, [b, a]);
    // What is gone is not named.
    send(&mut node, a, NOTE, 4, 0).unwrap();
    send(&mut node, b, NOTE, 4, 0).unwrap();
    node.lose(b, CloseReason::EndOfStream);
    let ready: Vec<_> = core::iter::from_fn(|| node.swarm.poll_ready()).collect();
    assert_eq!(ready, [a]);
}

#[test]
fn a_driver_may_ask_for_everything_at_any_time() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    let mut out = Transmit::new();
    for number in 0..2 {
        send(&mut node, peer, NOTE, number, 0).unwrap();
        assert!(!node.swarm.poll_transmit(peer, usize::MAX, &mut out));
    }
    let mut bytes = alloc::vec![0; out.len()];
    out.copy_to_slice(&mut bytes);
    assert_eq!(sent_numbers(&bytes), [0, 1]);
}

#[test]
fn the_last_frame_may_go_beyond_what_the_driver_asked_for() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    for number in 0..3 {
        send(&mut node, peer, NOTE, number, 1000).unwrap();
    }
    let mut out = Transmit::new();
    let gone = node.accept(ephemeral(9, 40_000)).unwrap();
    node.lose(gone, CloseReason::EndOfStream);
    assert!(!node.swarm.poll_transmit(gone, 1, &mut out));
    assert!(node.swarm.poll_transmit(peer, 1, &mut out));
    let one = out.len();
    // What the driver still has to write does not count.
    assert!(node.swarm.poll_transmit(peer, 1, &mut out));
    assert_eq!(out.len(), 2 * one);
}

#[derive(Clone, Debug)]
enum Operation {
    Send { byte: u8, bytes: usize },
    Broadcast { byte: u8, bytes: usize },
    Pass,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn a_peer_that_never_reads_costs_its_budget_and_no_more(
        operations in prop::collection::vec(
            (
                prop::sample::select(&BY_PRIORITY[..]),
                prop_oneof![6 => 0..3000_usize, 2 => 0..100_000_usize, 1 => 0..2_000_000_usize],
                0..3_u8,
            )
                .prop_map(|(byte, bytes, kind)| match kind {
                    0 => Operation::Send { byte, bytes },
                    1 => Operation::Broadcast { byte, bytes },
                    _ => Operation::Pass,
                }),
            1..200,
        ),
    ) {
        let limits = Limits::default().with_queue(
            // It would be closed too soon.
            Priority::Critical,
            QueueLimit { max_frames: 1000, max_bytes: 256 * 1024 },
        );
        let mut node = Node::new(limits.clone());
        let deaf = node.inbound_session(7);
        let other = node.inbound_session(8);
        let mut largest = 0;
        for (number, operation) in (0..).zip(operations) {
            match operation {
                Operation::Send { byte, bytes } => {
                    largest = largest.max(bytes + 64);
                    let _full = send(&mut node, deaf, byte, number, bytes);
                }
                Operation::Broadcast { byte, bytes } => {
                    largest = largest.max(bytes + 64);
                    if broadcast(&mut node, byte, number, bytes) == 2 || node.swarm.peer(deaf).is_none() {
                        prop_assert_eq!(sent_numbers(&node.take(other, usize::MAX)), [number]);
                    }
                    node.take(other, usize::MAX);
                }
                Operation::Pass => node.sleep(Duration::from_millis(50)),
            }
            let bound = limits.queue_bytes() + largest + BOOKKEEPING + 4 * 4096;
            prop_assert!(node.swarm.held_bytes() <= bound, "{} of {bound}", node.swarm.held_bytes());
        }
        // It is dropped for it, and then it costs nothing.
        send(&mut node, deaf, URGENT, 0, 0).ok();
        node.sleep(limits.write_timeout());
        prop_assert_eq!(node.close_reason(deaf), Some(CloseReason::SlowReader));
        node.take(other, usize::MAX);
        prop_assert!(node.swarm.peer(other).is_some(), "and the other one is still there");
        prop_assert!(node.swarm.held_bytes() <= BOOKKEEPING);
    }
}
