use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::Hash;

fn first_bytes_hash(payload: &[u8]) -> Option<Hash> {
    payload.get(..4).map(Hash::of)
}

fn rules() -> Arc<FrameRules> {
    Arc::new(
        FrameRules::new()
            .with(TypeRule::of::<Ping>())
            .with(TypeRule::of::<Heartbeat>())
            .with(TypeRule::of::<Handshake<'_>>())
            .with(TypeRule::of::<Block<'_>>().with_object_id(first_bytes_hash)),
    )
}

fn frame<M: Message>(message: &M) -> Vec<u8> {
    Frame::encode(message).unwrap().bytes().to_vec()
}

fn drain(reader: &mut FrameReader, frames: &mut Vec<Frame>) -> Result<(), FrameError> {
    loop {
        match reader.poll_frames()? {
            ReadStep::Frames(batch) => frames.extend(batch),
            ReadStep::NeedBytes | ReadStep::Blocked => return Ok(()),
        }
    }
}

/// Reads `stream` in pieces of the given sizes, over and over; every other one by its buffer.
fn read_in_pieces(mut stream: &[u8], pieces: &[usize]) -> (Vec<Frame>, Result<(), FrameError>) {
    let mut reader = FrameReader::new(rules(), 1024);
    reader.set_established();
    let mut frames = Vec::new();
    let mut buffer = BytesMut::new();
    for (index, piece) in pieces.iter().cycle().enumerate() {
        if stream.is_empty() {
            break;
        }
        let (now, later) = stream.split_at((*piece).clamp(1, stream.len()));
        if index % 2 == 0 {
            reader.push(now);
        } else {
            buffer.clear();
            buffer.extend_from_slice(now);
            buffer = reader.push_buffer(buffer).unwrap_or_default();
        }
        stream = later;
        if let Err(error) = drain(&mut reader, &mut frames) {
            return (frames, Err(error));
        }
        buffer = reader.take_buffer().unwrap_or(buffer);
    }
    let end = reader.finish();
    (frames, end)
}

fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let frame = prop_oneof![
        8 => any::<i64>().prop_map(|nonce| frame(&Ping { nonce, timestamp: 1 })),
        2 => Just(frame(&Heartbeat)),
        // A type of version 1 that these rules do not take, so it is skipped.
        2 => (1..300_usize).prop_map(|len| frame(&Transaction { bytes: &vec![9; len] })),
        2 => (1..2000_usize).prop_map(|len| frame(&Block { bytes: &vec![7; len] })),
        1 => (60_000..200_000_usize).prop_map(|len| frame(&Block { bytes: &vec![8; len] })),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec(frame, 0..20).prop_map(|frames| frames.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_fragmentation_gives_the_same_frames_and_the_same_end(
        stream in any_stream(),
        pieces in prop::collection::vec(prop_oneof![1..20_usize, 1..100_000_usize], 1..8),
    ) {
        let whole = read_in_pieces(&stream, &[usize::MAX]);
        let cut = read_in_pieces(&stream, &pieces);
        prop_assert_eq!(&whole.0, &cut.0);
        match (whole.1, cut.1) {
            // How much of the last frame was kept may differ while it is skipped.
            (Err(FrameError::Truncated { .. }), Err(FrameError::Truncated { .. })) => {}
            (whole, cut) => prop_assert_eq!(whole, cut),
        }
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(byte in any::<u8>(), payload in prop::collection::vec(any::<u8>(), 0..80)) {
        let message_type = MessageType::from_byte(byte);
        if let Ok(message) = AnyMessage::decode(message_type, &payload) {
            let mut encoded = Vec::new();
            message.encode(&mut encoded).unwrap();
            let ignored = matches!(message_type, MessageType::HANDSHAKE_ACK | MessageType::HEARTBEAT);
            prop_assert!(ignored || encoded == payload);
        }
    }
}

#[test]
fn a_claimed_length_reserves_nothing() {
    let mut reader = FrameReader::new(rules(), 1024);
    reader.set_established();
    reader.push(&[0, 0, 0, 1, 0x23]);
    assert!(matches!(reader.poll_frames(), Ok(ReadStep::NeedBytes)));
    assert!(reader.held_bytes() <= MAX_SHARED_FRAME + 1024, "{}", reader.held_bytes());
    // Whatever arrives, at most twice as much is held, and the frame ends with no byte to spare.
    let mut arrived = 5;
    while arrived < 5 + MAX_PAYLOAD as usize {
        let piece = 100_000.min(5 + MAX_PAYLOAD as usize - arrived);
        reader.push(&vec![1; piece]);
        arrived += piece;
        assert!(
            reader.held_bytes() <= 2 * arrived + MAX_SHARED_FRAME,
            "{} at {arrived}",
            reader.held_bytes()
        );
    }
    let Ok(ReadStep::Frames(mut batch)) = reader.poll_frames() else { panic!("the frame is whole") };
    assert_eq!(batch.next().unwrap().payload().len(), MAX_PAYLOAD as usize);
    assert!(reader.held_bytes() <= MAX_SHARED_FRAME, "{}", reader.held_bytes());
}

#[test]
fn a_stranger_may_send_a_handshake_and_nothing_larger() {
    let mut reader = FrameReader::new(rules(), 1024);
    reader.push(&1026_u32.to_le_bytes());
    reader.push(&[0x23]);
    let error = FrameError::FirstFrame { bytes: 1025, max_bytes: 1024 };
    assert_eq!(reader.poll_frames().map(|_| ()), Err(error));
}

#[test]
fn after_the_first_frame_a_large_one_waits_until_the_peer_is_known() {
    let mut reader = FrameReader::new(rules(), 1024);
    reader.push(&frame(&Heartbeat));
    reader.push(&frame(&Block { bytes: &[5; 3000] })[..500]);
    let mut frames = Vec::new();
    assert!(matches!(reader.poll_frames(), Ok(ReadStep::Frames(_))));
    assert!(matches!(reader.poll_frames(), Ok(ReadStep::Blocked)));
    reader.set_established();
    reader.push(&frame(&Block { bytes: &[5; 3000] })[500..]);
    assert_eq!(drain(&mut reader, &mut frames), Ok(()));
    assert_eq!(frames.len(), 1);
}

#[test]
fn object_ids_belong_to_their_frames() {
    let mut reader = FrameReader::new(rules(), 1024);
    reader.set_established();
    let block = |byte: u8, len| frame(&Block { bytes: &vec![byte; len] });
    let stream = [frame(&Heartbeat), block(1, 9), frame(&Heartbeat), block(2, 90_000), block(3, 2)].concat();
    reader.push(&stream);
    let mut frames = Vec::new();
    drain(&mut reader, &mut frames).unwrap();
    let ids: Vec<_> = frames.iter().map(Frame::object_id).collect();
    assert_eq!(ids, [None, Some(Hash::of(&[1; 4])), None, Some(Hash::of(&[2; 4])), None]);
}

#[test]
fn what_is_kept_pins_little() {
    let mut reader = FrameReader::new(rules(), 1024);
    reader.set_established();
    let blocks = [frame(&Block { bytes: &[1; 60_000] }), frame(&Block { bytes: &[2; 100] })].concat();
    reader.push(&blocks);
    let mut frames = Vec::new();
    drain(&mut reader, &mut frames).unwrap();
    let shared = |frame: &Frame| frame.payload().as_ptr() == frame.keep_payload().as_ptr();
    assert_eq!(frames.iter().map(shared).collect::<Vec<_>>(), [true, false]);
    assert_eq!(frames[1].keep_payload()[..], [2; 100]);
}

#[test]
fn the_read_buffer_follows_the_traffic_up_and_down() {
    let mut reader = FrameReader::new(rules(), 1024);
    reader.set_established();
    let pings = frame(&Ping::default()).repeat(10_000);
    let mut frames = Vec::new();
    for piece in pings.chunks(60_000) {
        reader.push(piece);
        drain(&mut reader, &mut frames).unwrap();
    }
    assert!(reader.held_bytes() >= 30_000);
    for _ in 0..2000 {
        reader.push(&frame(&Ping::default()));
        drain(&mut reader, &mut frames).unwrap();
    }
    assert!(reader.held_bytes() <= 4096, "{}", reader.held_bytes());
    assert_eq!(frames.len(), 12_000);
}
