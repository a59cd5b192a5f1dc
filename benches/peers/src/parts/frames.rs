//! 1,000 frames of 200 bytes, cut out of one buffer. The bytes are the same for both.

use std::hint::black_box;
use std::sync::Arc;

use bytes::BytesMut;
use spacetime_network::wire::{Frame, FrameReader, FrameRules, ReadStep, Transaction, TypeRule};
use tokio_util::codec::{Decoder as _, LengthDelimitedCodec};

use crate::{Done, Subject};

const FRAMES: usize = 1000;
const FRAME_BYTES: usize = 200;
const PAYLOAD_BYTES: usize = FRAME_BYTES - 5;

fn stream() -> Vec<u8> {
    let frame = Frame::encode(&Transaction { bytes: &[7; PAYLOAD_BYTES] }).expect("it can be encoded");
    assert_eq!(frame.len(), FRAME_BYTES);
    frame.bytes().repeat(FRAMES)
}

fn done(frames: usize) -> Done {
    Done { operations: FRAMES as u64, passed: frames as u64 }
}

fn reader() -> Subject {
    let rules = FrameRules::new().with(TypeRule::of::<Transaction<'_>>());
    let mut reader = FrameReader::new(Arc::new(rules), 1024);
    reader.set_established();
    let stream = stream();
    let mut buffer = BytesMut::with_capacity(stream.len());
    Subject::new("ours", move || {
        buffer.extend_from_slice(black_box(&stream));
        let used = reader.push_buffer(std::mem::take(&mut buffer));
        assert!(used.is_none(), "nothing waits");
        let mut frames = 0;
        while let Ok(ReadStep::Frames(batch)) = reader.poll_frames() {
            frames += batch.inspect(|frame| _ = black_box(frame)).count();
        }
        buffer = reader.take_buffer().expect("nothing is left in it");
        done(frames)
    })
}

fn codec() -> Subject {
    let mut codec = LengthDelimitedCodec::builder().little_endian().new_codec();
    let stream = stream();
    let mut buffer = BytesMut::with_capacity(stream.len());
    Subject::new("LengthDelimitedCodec", move || {
        buffer.extend_from_slice(black_box(&stream));
        let mut frames = 0;
        while let Ok(Some(frame)) = codec.decode(&mut buffer) {
            black_box(frame);
            frames += 1;
        }
        done(frames)
    })
}

pub(crate) fn of_200_bytes() -> Vec<Subject> {
    vec![reader(), codec()]
}
