//! Steps of a Swarm.

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;

use bytes::Buf as _;
use serde::{Deserialize, Serialize};
use spacetime_network::wire::Block;
use spacetime_network::wire::{
    ApplicationMessage, Batch, Frame, FrameReader, GetBlock, MessageType, Nothing, ReadStep,
};
use spacetime_network::{
    Address, ConnectionId, Context, Expect, Hash, Limits, NetworkBehaviour, Now, PeerId, Protocol, RequestId,
    Time, Violation, sans_io,
};

/// A message of the type `BYTE`.
#[derive(Serialize, Deserialize)]
struct Number<const BYTE: u8>(u64);

impl<const BYTE: u8> ApplicationMessage for Number<BYTE> {
    const TYPE_BYTE: u8 = BYTE;
    const MAX_BYTES: u32 = 16;
}

/// Adds them up.
#[derive(Default)]
struct Sum<const BYTE: u8>(u64);

impl<const BYTE: u8> Protocol for Sum<BYTE> {
    type Message<'a> = Number<BYTE>;
    type Answer<'a> = Nothing;
    type Event = Infallible;
    type Command = Infallible;

    fn on_message(
        &mut self,
        _: &mut Context<'_, Infallible>,
        _: ConnectionId,
        number: Number<BYTE>,
        _: &Frame,
    ) -> Result<(), Violation> {
        self.0 = self.0.wrapping_add(number.0);
        Ok(())
    }
}

macro_rules! tree {
    ($name:ident: $($field:ident $byte:literal,)*) => {
        #[derive(NetworkBehaviour, Default)]
        struct $name {
            $($field: Sum<$byte>,)*
        }
    };
}

tree!(One: a 0x80,);
tree!(Five: a 0x80, b 0x81, c 0x82, d 0x83, e 0x84,);
tree!(Twenty:
    a 0x80, b 0x81, c 0x82, d 0x83, e 0x84, f 0x85, g 0x86, h 0x87, i 0x88, j 0x89,
    k 0x8a, l 0x8b, m 0x8c, n 0x8d, o 0x8e, p 0x8f, q 0x90, r 0x91, s 0x92, t 0x93,
);

const NOW: Now = Now::new(Time::ZERO, 0);

fn swarm<B: NetworkBehaviour>(behaviour: B) -> (sans_io::Swarm<B>, ConnectionId) {
    let mut swarm =
        sans_io::Swarm::new(behaviour, PeerId([0; 32]), Limits::default()).expect("the limits are valid");
    let peer = swarm.handle_accept(NOW, Address::memory(1)).expect("there is room");
    swarm.handle_opened(NOW, peer, None);
    while swarm.poll_action().is_some() {}
    while swarm.poll_event().is_some() {}
    (swarm, peer)
}

fn batch<B: NetworkBehaviour>(swarm: &sans_io::Swarm<B>, bytes: &[u8]) -> Batch {
    let mut reader = FrameReader::new(Arc::new(swarm.rules().clone()), 1024);
    reader.set_established();
    reader.push(bytes);
    match reader.poll_frames() {
        Ok(ReadStep::Frames(batch)) => batch,
        other => panic!("{other:?}"),
    }
}

/// 50 frames at a time, all for the first behaviour.
fn route<B: NetworkBehaviour + Default>(count: usize) {
    let (mut swarm, peer) = swarm(B::default());
    let frame = Frame::encode(&Number::<0x80>(7)).expect("it can be encoded");
    let some = batch(&swarm, &frame.bytes().repeat(50));
    for _ in 0..count / 50 {
        assert!(swarm.handle_frames(NOW, peer, some.clone()).is_none());
    }
}

/// One frame at a time.
fn step<B: NetworkBehaviour + Default>(count: usize) {
    let (mut swarm, peer) = swarm(B::default());
    let frame = Frame::encode(&Number::<0x80>(7)).expect("it can be encoded");
    let one = batch(&swarm, frame.bytes());
    for _ in 0..count {
        assert!(swarm.handle_frames(NOW, peer, one.clone()).is_none());
    }
}

pub(crate) fn route_in_one(count: usize) {
    route::<One>(count);
}

pub(crate) fn route_in_five(count: usize) {
    route::<Five>(count);
}

pub(crate) fn route_in_twenty(count: usize) {
    route::<Twenty>(count);
}

pub(crate) fn step_one(count: usize) {
    step::<One>(count);
}

pub(crate) fn step_twenty(count: usize) {
    step::<Twenty>(count);
}

/// 50 at a time into the queue of a connection and out of it.
pub(crate) fn send_frames(count: usize) {
    let (mut swarm, peer) = swarm(One::default());
    let frame = Frame::encode(&Number::<0x80>(7)).expect("it can be encoded");
    let mut out = sans_io::Transmit::new();
    for _ in 0..count / 50 {
        swarm.act(NOW, |_, cx| {
            for _ in 0..50 {
                cx.send_frame(peer, &frame).expect("there is room");
            }
        });
        while swarm.poll_ready().is_some() {}
        while swarm.poll_transmit(peer, usize::MAX / 2, &mut out) {}
        assert!(out.len() >= 50 * frame.len());
        out.advance(out.len());
    }
}

/// Counts the answers that it gets.
#[derive(Default)]
struct Asker(usize);

impl Protocol for Asker {
    type Message<'a> = Nothing;
    type Answer<'a> = Block<'a>;
    type Event = Infallible;
    type Command = Infallible;

    fn on_message(
        &mut self,
        _: &mut Context<'_, Infallible>,
        _: ConnectionId,
        never: Nothing,
        _: &Frame,
    ) -> Result<(), Violation> {
        match never {}
    }

    fn on_answer(
        &mut self,
        _: &mut Context<'_, Infallible>,
        _: ConnectionId,
        _: RequestId,
        _: Block<'_>,
        _: &Frame,
    ) -> Result<(), Violation> {
        self.0 += 1;
        Ok(())
    }
}

/// Questions for a block of 1 KiB, one at a time.
pub(crate) fn ask(count: usize) {
    let (mut swarm, peer) = swarm(Asker::default());
    let frame = Frame::encode(&Block { bytes: &[7; 1024] }).expect("it can be encoded");
    let answer = batch(&swarm, frame.bytes());
    let mut out = sans_io::Transmit::new();
    let timeout = std::time::Duration::from_secs(30);
    let expect = Expect { answer: MessageType::BLOCK, object_id: None, timeout };
    for _ in 0..count {
        let asked = swarm.act(NOW, |_, cx| cx.request(peer, &GetBlock { hash: Hash::ZERO }, expect));
        black_box(asked.expect("there is room"));
        while swarm.poll_ready().is_some() {}
        while swarm.poll_transmit(peer, usize::MAX / 2, &mut out) {}
        out.advance(out.len());
        assert!(swarm.handle_frames(NOW, peer, answer.clone()).is_none());
    }
    assert_eq!(swarm.behaviour().0, count);
}
