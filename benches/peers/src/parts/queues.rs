//! Frames of 160 bytes into a queue and out of it, 512 at a time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::convert::Infallible;
use std::hint::black_box;

use bytes::{Buf as _, Bytes};
use spacetime_network::wire::{EncodeError, Frame, Message, MessageType, Nothing, Priority};
use spacetime_network::{
    Address, ConnectionId, Context, Limits, Now, PeerId, Protocol, Time, Violation, sans_io,
};
use tokio::sync::mpsc;

use crate::{Done, Subject};

/// Frames that wait at a time, and how often.
const FRAMES: usize = 512;
const TURNS: usize = 100;

const FRAME_BYTES: usize = 160;
const PAYLOAD_BYTES: usize = FRAME_BYTES - 5;

/// A message with a priority; [`Priority::ALL`] has the most urgent first.
struct Piece<const LEVEL: usize>;

impl<const LEVEL: usize> Message for Piece<LEVEL> {
    const TYPE: MessageType = MessageType::from_byte(0x80 + LEVEL as u8);
    const MAX_PAYLOAD: u32 = PAYLOAD_BYTES as u32;
    const PRIORITY: Priority = Priority::ALL[LEVEL];

    fn encoded_len(&self) -> usize {
        PAYLOAD_BYTES
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(&[7; PAYLOAD_BYTES]);
        Ok(())
    }
}

fn frame<const LEVEL: usize>() -> Frame {
    let frame = Frame::encode(&Piece::<LEVEL>).expect("it can be encoded");
    assert_eq!(frame.len(), FRAME_BYTES);
    frame
}

/// Says nothing and hears nothing.
#[derive(Debug)]
struct Silent;

impl Protocol for Silent {
    type Message<'a> = Nothing;
    type Answer<'a> = Nothing;
    type Event = Infallible;
    type Command = Infallible;

    fn on_message(
        &mut self,
        _: &mut Context<'_, Self::Event>,
        _: ConnectionId,
        never: Nothing,
        _: &Frame,
    ) -> Result<(), Violation> {
        match never {}
    }
}

const fn done(bytes: usize) -> Done {
    Done { operations: (FRAMES * TURNS) as u64, passed: (bytes / FRAME_BYTES) as u64 }
}

/// Through the whole Swarm, into the bytes that a driver writes.
fn swarm(frames: Vec<Frame>) -> Subject {
    let mut swarm =
        sans_io::Swarm::new(Silent, PeerId([0; 32]), Limits::default()).expect("the limits are valid");
    let now = Now::new(Time::ZERO, 0);
    let peer = swarm.handle_accept(now, Address::memory(1)).expect("there is room");
    swarm.handle_opened(now, peer, None);
    let mut out = sans_io::Transmit::new();
    Subject::new("ours, the whole Swarm", move || {
        let mut bytes = 0;
        for _ in 0..TURNS {
            swarm.act(now, |_, cx| {
                for frame in frames.iter().cycle().take(FRAMES) {
                    cx.send_frame(peer, black_box(frame)).expect("there is room");
                }
            });
            while swarm.poll_ready().is_some() {}
            while swarm.poll_transmit(peer, usize::MAX / 2, &mut out) {}
            bytes += black_box(&out).len();
            out.advance(out.len());
        }
        done(bytes)
    })
}

/// A bounded channel for each priority, the most urgent emptied first.
fn channels(frames: Vec<Frame>) -> Subject {
    let frames: Vec<Bytes> = frames.iter().map(|it| it.bytes().clone()).collect();
    let (senders, mut receivers): (Vec<_>, Vec<_>) =
        frames.iter().map(|_| mpsc::channel::<Bytes>(FRAMES)).unzip();
    Subject::new("tokio mpsc", move || {
        let mut bytes = 0;
        for _ in 0..TURNS {
            for (frame, sender) in frames.iter().zip(&senders).cycle().take(FRAMES) {
                sender.try_send(black_box(frame).clone()).expect("there is room");
            }
            for receiver in &mut receivers {
                while let Ok(frame) = receiver.try_recv() {
                    bytes += black_box(frame).len();
                }
            }
        }
        done(bytes)
    })
}

/// By priority, and then in the order in which they came.
fn heap(frames: Vec<Frame>) -> Subject {
    let frames: Vec<(Priority, Bytes)> =
        frames.iter().map(|it| (it.priority(), it.bytes().clone())).collect();
    let mut heap = BinaryHeap::with_capacity(FRAMES);
    let mut number = 0_u64;
    Subject::new("BinaryHeap", move || {
        let mut bytes = 0;
        for _ in 0..TURNS {
            for (priority, frame) in frames.iter().cycle().take(FRAMES) {
                heap.push((*priority, Reverse(number), black_box(frame).clone()));
                number += 1;
            }
            while let Some((_, _, frame)) = heap.pop() {
                bytes += black_box(frame).len();
            }
        }
        done(bytes)
    })
}

fn all(frames: &[Frame]) -> Vec<Subject> {
    vec![swarm(frames.to_vec()), channels(frames.to_vec()), heap(frames.to_vec())]
}

pub(crate) fn one_priority() -> Vec<Subject> {
    all(&[frame::<3>()])
}

pub(crate) fn four_priorities() -> Vec<Subject> {
    all(&[frame::<3>(), frame::<2>(), frame::<1>(), frame::<0>()])
}
