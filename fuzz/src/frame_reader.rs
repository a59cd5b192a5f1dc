//! Cutting a stream into frames: any fragmentation gives what a plain reading of the format gives.

use std::iter;
use std::sync::{Arc, LazyLock};

use bytes::{BufMut as _, Bytes};
use spacetime_core::Hash;
use spacetime_core::chain::block_hash;
use spacetime_core::wire::{
    self, FRAME_HEADER, FrameError, FrameReader, FrameRules, MAX_BATCH_FRAMES, MAX_LENGTH, MAX_SHARED_FRAME,
    MessageType, ReadStep, TypeRule,
};

/// The largest payload of a first frame.
const FIRST_FRAME_BYTES: u32 = 1024;

/// The most pieces sizes that an input names; they are used over and over.
const MAX_PIECES: usize = 16;

/// `u8 trust | u8 filler | u8 tail | u8 n | n piece sizes | stream`.
///
/// `filler` KiB of one byte go into the stream before its last `tail` bytes, so that a short input
/// makes frames that do not fit the shared read buffer.
pub fn frame_reader(data: &[u8]) {
    let Some(([trust, filler, tail, count], rest)) = data.split_first_chunk() else {
        return;
    };
    let trust = [Trust::AtOnce, Trust::AfterAFrame, Trust::WhenBlocked, Trust::Never][usize::from(trust % 4)];
    let Some((pieces, stream)) = rest.split_at_checked(usize::from(*count) % (MAX_PIECES + 1)) else {
        return;
    };
    let (head, tail) = stream.split_at(stream.len().saturating_sub((*tail).into()));
    let filler = vec![0; usize::from(*filler) * 1024];
    let stream = [head, &filler, tail].concat();

    let expected = read_plainly(&stream, trust);
    assert_eq!(read(&stream, &[], trust), expected, "all at once");
    assert_eq!(read(&stream, pieces, trust), expected, "in pieces");
}

/// When the reader is told that the peer is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    AtOnce,
    AfterAFrame,
    WhenBlocked,
    Never,
}

/// What was read.
#[derive(PartialEq, Eq, Debug)]
struct Outcome {
    /// Each frame with the hash of the object in it.
    frames: Vec<(Bytes, Option<Hash>)>,
    end: End,
}

#[derive(PartialEq, Eq, Debug)]
enum End {
    /// Of the stream, between two frames or inside of one, or an error before it.
    Of(Result<(), FrameError>),
    /// A large frame of a peer that is not known.
    Blocked,
}

/// Some types are taken, the rest of version 1 is ignored, all others are unknown.
fn rules() -> Arc<FrameRules> {
    static RULES: LazyLock<Arc<FrameRules>> = LazyLock::new(|| {
        Arc::new(
            FrameRules::new()
                .with(TypeRule::of::<wire::Handshake<'_>>())
                .with(TypeRule::of::<wire::Heartbeat>())
                .with(TypeRule::of::<wire::Ping>())
                .with(TypeRule::of::<wire::Headers<'_>>().with_max_payload(100_000))
                .with(TypeRule::of::<wire::Block<'_>>().with_object_id(block_hash))
                .with(TypeRule::of::<wire::Transaction<'_>>()),
        )
    });
    Arc::clone(&RULES)
}

/// Reads the stream in pieces of these sizes, over and over; all at once if there are none.
fn read(mut stream: &[u8], pieces: &[u8], trust: Trust) -> Outcome {
    let mut reader = FrameReader::new(rules(), FIRST_FRAME_BYTES);
    if trust == Trust::AtOnce {
        reader.set_established();
    }
    let mut frames = Vec::new();
    let mut arrived = 0;
    let mut pieces = pieces.iter().copied().cycle();
    while !stream.is_empty() {
        let len = match pieces.next() {
            None => stream.len(),
            // As much as the reader has room for, as from a socket in which everything waits.
            Some(0) => reader.read_buffer().remaining_mut(),
            Some(small @ 1..=200) => small.into(),
            Some(large) => (usize::from(large) - 200) * 1500,
        };
        let (piece, rest) = stream.split_at(len.min(stream.len()));
        reader.push(piece);
        stream = rest;
        arrived += piece.len();
        if let Some(end) = drain(&mut reader, arrived, trust, &mut frames) {
            return Outcome { frames, end };
        }
    }
    let end = End::Of(reader.finish());
    Outcome { frames, end }
}

/// Takes all whole frames. How the reading ends, if it ends here.
fn drain(
    reader: &mut FrameReader,
    arrived: usize,
    trust: Trust,
    frames: &mut Vec<(Bytes, Option<Hash>)>,
) -> Option<End> {
    loop {
        let step = reader.poll_frames();
        let held = reader.held_bytes();
        assert!(held <= 2 * arrived + 2 * MAX_SHARED_FRAME + 1024, "{held} bytes held for {arrived}");
        match step {
            Ok(ReadStep::Frames(batch)) => {
                assert!(!batch.is_empty() || batch.ignored_bytes() >= MAX_SHARED_FRAME);
                let before = frames.len();
                let bytes = batch.len();
                frames.extend(batch.map(|frame| {
                    assert_eq!(frame.payload(), &frame.keep_payload()[..]);
                    (frame.bytes().clone(), frame.object_id())
                }));
                let new = frames.get(before..).unwrap_or(&[]);
                assert!(new.len() <= MAX_BATCH_FRAMES);
                assert_eq!(new.iter().map(|(bytes, _)| bytes.len()).sum::<usize>(), bytes);
                if trust == Trust::AfterAFrame {
                    reader.set_established();
                }
            }
            Ok(ReadStep::NeedBytes) => return None,
            Ok(ReadStep::Blocked) if trust == Trust::WhenBlocked => reader.set_established(),
            Ok(ReadStep::Blocked) => return Some(End::Blocked),
            Err(error) => return Some(End::Of(Err(error))),
        }
    }
}

/// What the format says, in the plainest way.
fn read_plainly(mut stream: &[u8], trust: Trust) -> Outcome {
    let rules = rules();
    let mut is_first = true;
    let mut is_known = trust == Trust::AtOnce;
    let mut frames = Vec::new();
    let end = iter::from_fn(|| {
        let (length, after_length) = stream.split_first_chunk()?;
        let found = i32::from_le_bytes(*length);
        if !(1..=MAX_LENGTH as i32).contains(&found) {
            return Some(Err(End::Of(Err(FrameError::Length { found }))));
        }
        let message_type = MessageType::from_byte(*after_length.first()?);
        let rule = rules.get(message_type);
        let bytes = found as u32 - 1;
        let max_bytes = match rule {
            Some(rule) => rule.max_payload,
            // What version 1 has and this node does not want is passed over.
            None if MessageType::VERSION_1.contains(&message_type) => message_type.max_payload(),
            None => {
                let found = message_type.byte();
                return Some(Err(End::Of(Err(FrameError::UnknownType { found }))));
            }
        };
        if bytes > max_bytes {
            return Some(Err(End::Of(Err(FrameError::TooLarge { message_type, bytes, max_bytes }))));
        }
        if bytes > FIRST_FRAME_BYTES && !is_known {
            if is_first {
                let max_bytes = FIRST_FRAME_BYTES;
                return Some(Err(End::Of(Err(FrameError::FirstFrame { bytes, max_bytes }))));
            }
            if trust != Trust::WhenBlocked {
                return Some(Err(End::Blocked));
            }
            is_known = true;
        }
        let Some((frame, rest)) = stream.split_at_checked(FRAME_HEADER + bytes as usize) else {
            // What is left of an ignored frame is thrown away as it comes, and not counted.
            let bytes = if rule.is_some() { stream.len() } else { 0 };
            return Some(Err(End::Of(Err(FrameError::Truncated { bytes }))));
        };
        stream = rest;
        is_first = false;
        if let Some(rule) = rule {
            is_known |= trust == Trust::AfterAFrame;
            let object_id = rule.object_id.and_then(|object_id| object_id(&frame[FRAME_HEADER..]));
            frames.push((Bytes::copy_from_slice(frame), object_id));
        }
        Some(Ok(()))
    })
    .find_map(Result::err);
    let rest = if stream.is_empty() { Ok(()) } else { Err(FrameError::Truncated { bytes: stream.len() }) };
    Outcome { frames, end: end.unwrap_or(End::Of(rest)) }
}
