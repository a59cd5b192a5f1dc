//! Large frames that peers begin to send in chunks, and may not end.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::messages::{NEWS, NOTE, URGENT, numbered, raw};
use super::node::Node;
use super::tree::Tree;
use crate::wire::{MAX_CHUNK_BYTES, MessageType};
use crate::{CloseReason, ConnectionId, Limits};

const SECOND: Duration = Duration::from_secs(1);

/// The levels of chunks: that of news, and that of notes.
const HIGH: u8 = 1;
const NORMAL: u8 = 2;

/// The chunks of a frame of 2 MiB and some bytes: 286 s are given for it.
fn chunks(byte: u8, level: u8) -> Vec<Vec<u8>> {
    let frame = numbered(byte, 0, 1, &vec![7; 2 << 20]);
    let chunk = |bytes: &[u8]| raw(MessageType::CHUNK.byte(), &[&[level], bytes].concat());
    frame.bytes().chunks(MAX_CHUNK_BYTES).map(chunk).collect()
}

/// A frame in chunks, but for its end, which is returned.
fn begin(node: &mut Node<Tree>, peer: ConnectionId, byte: u8, level: u8) -> Vec<u8> {
    let mut chunks = chunks(byte, level);
    let last = chunks.pop().expect("it has chunks");
    chunks.iter().for_each(|chunk| node.receive(peer, chunk));
    last
}

/// The peer gives signs of life for so long.
fn live(node: &mut Node<Tree>, peer: ConnectionId, seconds: u64) {
    for _ in 0..seconds {
        node.receive(peer, numbered(URGENT, 0, 2, &[]).bytes());
        node.sleep(SECOND);
    }
}

#[test]
fn a_frame_that_is_begun_must_be_whole_in_the_time_that_a_slow_line_takes_for_it() {
    let mut node = Node::new(Limits::default());
    let (never, late) = (node.inbound_session(7), node.inbound_session(8));
    begin(&mut node, never, NOTE, NORMAL);
    let last = begin(&mut node, late, NOTE, NORMAL);
    for _ in 0..285 {
        live(&mut node, never, 1);
        live(&mut node, late, 0);
    }
    node.receive(late, &last);
    assert_eq!(node.close_reason(never), None);
    live(&mut node, late, 2);
    assert_eq!(node.close_reason(never), Some(CloseReason::SlowSender));
    // The next one has a time of its own.
    let last = begin(&mut node, late, NOTE, NORMAL);
    live(&mut node, late, 285);
    node.receive(late, &last);
    live(&mut node, late, 1000);
    assert_eq!(node.close_reason(late), None);
}

#[test]
fn frames_that_end_give_no_time_to_one_at_the_other_level() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    begin(&mut node, peer, NOTE, NORMAL);
    for _ in 0..9 {
        let last = begin(&mut node, peer, NEWS, HIGH);
        live(&mut node, peer, 31);
        node.receive(peer, &last);
    }
    assert_eq!(node.close_reason(peer), None);
    live(&mut node, peer, 8);
    assert_eq!(node.close_reason(peer), Some(CloseReason::SlowSender));
}
