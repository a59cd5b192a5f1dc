//! Frames and messages.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use spacetime_network::wire::{
    Block, Decode as _, Frame, FrameReader, FrameRules, Headers, Message, Peers, ReadStep, Transaction,
    TypeRule,
};

fn reader() -> FrameReader {
    let rules = FrameRules::new();
    let rules = rules.with(TypeRule::of::<Transaction<'_>>()).with(TypeRule::of::<Block<'_>>());
    let mut reader = FrameReader::new(Arc::new(rules), 1024);
    reader.set_established();
    reader
}

fn read(reader: &mut FrameReader, bytes: &[u8]) -> usize {
    reader.push(bytes);
    let mut frames = 0;
    while let Ok(ReadStep::Frames(batch)) = reader.poll_frames() {
        frames += batch.inspect(|frame| _ = black_box(frame)).count();
    }
    frames
}

/// 50 at a time, as they come from a stream.
pub(crate) fn read_frames(count: usize) {
    let frame = Frame::encode(&Transaction { bytes: &[7; 155] }).expect("it can be encoded");
    let some = frame.bytes().repeat(50);
    let mut reader = reader();
    let frames: usize = (0..count / 50).map(|_| read(&mut reader, &some)).sum();
    assert_eq!(frames, count);
}

/// In pieces of 64 KiB.
pub(crate) fn read_blocks(count: usize) {
    let frame = Frame::encode(&Block { bytes: &vec![7; 128 << 10] }).expect("it can be encoded");
    let mut reader = reader();
    let mut frames = 0;
    for _ in 0..count {
        frames += frame.bytes().chunks(64 * 1024).map(|piece| read(&mut reader, piece)).sum::<usize>();
    }
    assert_eq!(frames, count);
}

fn payload(message: &impl Message) -> Vec<u8> {
    let mut payload = Vec::new();
    message.encode(&mut payload).expect("it can be encoded");
    payload
}

pub(crate) fn decode_transactions(count: usize) {
    let payload = payload(&Transaction { bytes: &[7; 155] });
    for _ in 0..count {
        black_box(Transaction::decode(black_box(&payload)).expect("a transaction"));
    }
}

pub(crate) fn decode_headers(count: usize) {
    let payload = payload(&Headers::packed(290, &[7; 16 * 290]));
    for _ in 0..count {
        let headers = Headers::decode(black_box(&payload)).expect("headers");
        headers.iter().for_each(|header| _ = black_box(header));
    }
}

pub(crate) fn decode_addresses(count: usize) {
    let addresses: Vec<SocketAddr> = (0..8).map(|it| SocketAddr::from(([9, 9, 9, it], 8333))).collect();
    let payload = payload(&Peers::new(&addresses));
    for _ in 0..count {
        let addresses = Peers::decode(black_box(&payload)).expect("addresses");
        addresses.iter().for_each(|address| _ = black_box(address));
    }
}

pub(crate) fn encode_transactions(count: usize) {
    for _ in 0..count {
        black_box(Frame::encode(black_box(&Transaction { bytes: &[7; 155] })).expect("it can be encoded"));
    }
}
