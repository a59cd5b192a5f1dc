//! Cutting a stream into frames: any fragmentation gives what a plain reading of the format gives.

use std::iter;
use std::sync::{Arc, LazyLock};

use bytes::{BufMut as _, Bytes};
use spacetime_core::Hash;
use spacetime_core::chain::block_hash;
use spacetime_core::wire::{
    self, ChunkError, FRAME_HEADER, FrameError, FrameReader, FrameRules, MAX_BATCH_FRAMES, MAX_CHUNK_BYTES,
    MAX_LENGTH, MAX_SHARED_FRAME, MessageType, ReadStep, TypeRule,
};

/// The largest payload of a first frame.
const FIRST_FRAME_BYTES: u32 = 1024;

/// The most pieces sizes that an input names; they are used over and over.
const MAX_PIECES: usize = 16;

/// `u8 trust | u8 filler | u8 tail | u8 n | n piece sizes | stream`.
///
/// `filler` KiB of one byte go into the stream before its last `tail` bytes, so that a short input
/// makes frames that do not fit the shared read buffer. Bit 2 of `trust` says that the peer, once it is
/// known, may send chunks.
pub fn frame_reader(data: &[u8]) {
    let Some(([trust, filler, tail, count], rest)) = data.split_first_chunk() else {
        return;
    };
    let takes_chunks = trust & 4 != 0;
    let trust = [Trust::AtOnce, Trust::AfterAFrame, Trust::WhenBlocked, Trust::Never][usize::from(trust % 4)];
    let Some((pieces, stream)) = rest.split_at_checked(usize::from(*count) % (MAX_PIECES + 1)) else {
        return;
    };
    let (head, tail) = stream.split_at(stream.len().saturating_sub((*tail).into()));
    let filler = vec![0; usize::from(*filler) * 1024];
    let stream = [head, &filler, tail].concat();

    let peer = Peer { trust, takes_chunks };
    let expected = Plain::read(&stream, peer);
    assert_eq!(read(&stream, &[], peer), expected, "all at once");
    assert_eq!(read(&stream, pieces, peer), expected, "in pieces");
}

/// When the reader is told that the peer is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    AtOnce,
    AfterAFrame,
    WhenBlocked,
    Never,
}

#[derive(Clone, Copy)]
struct Peer {
    trust: Trust,
    takes_chunks: bool,
}

impl Peer {
    fn is_known(self, reader: &mut FrameReader) {
        reader.set_established();
        if self.takes_chunks {
            reader.take_chunks();
        }
    }
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
fn read(mut stream: &[u8], pieces: &[u8], peer: Peer) -> Outcome {
    let mut reader = FrameReader::new(rules(), FIRST_FRAME_BYTES);
    if peer.trust == Trust::AtOnce {
        peer.is_known(&mut reader);
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
        if let Some(end) = drain(&mut reader, arrived, peer, &mut frames) {
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
    peer: Peer,
    frames: &mut Vec<(Bytes, Option<Hash>)>,
) -> Option<End> {
    loop {
        let step = reader.poll_frames();
        let held = reader.held_bytes();
        // At each level a frame may have begun.
        let begun = if peer.takes_chunks { 2 * MAX_SHARED_FRAME } else { 0 };
        let most = 2 * arrived + 2 * MAX_SHARED_FRAME + 1024 + begun;
        assert!(held <= most, "{held} bytes held for {arrived}");
        match step {
            Ok(ReadStep::Frames(batch)) => {
                assert!(!batch.is_empty() || batch.unframed_bytes() >= MAX_SHARED_FRAME);
                let before = frames.len();
                let bytes = batch.len();
                frames.extend(batch.map(|frame| {
                    assert_eq!(frame.payload(), &frame.keep_payload()[..]);
                    (frame.bytes().clone(), frame.object_id())
                }));
                let new = frames.get(before..).unwrap_or(&[]);
                assert!(new.len() <= MAX_BATCH_FRAMES);
                assert_eq!(new.iter().map(|(bytes, _)| bytes.len()).sum::<usize>(), bytes);
                if peer.trust == Trust::AfterAFrame && !new.is_empty() {
                    peer.is_known(reader);
                }
            }
            Ok(ReadStep::NeedBytes) => return None,
            Ok(ReadStep::Blocked) if peer.trust == Trust::WhenBlocked => peer.is_known(reader),
            Ok(ReadStep::Blocked) => return Some(End::Blocked),
            Err(error) => return Some(End::Of(Err(error))),
        }
    }
}

/// What the format says, in the plainest way.
struct Plain<'a> {
    peer: Peer,
    stream: &'a [u8],
    is_first: bool,
    is_known: bool,
    /// What came of the frames that arrive in chunks, and how large each is, by level.
    open: [Option<(Vec<u8>, usize)>; 2],
    frames: Vec<(Bytes, Option<Hash>)>,
}

impl<'a> Plain<'a> {
    fn read(stream: &'a [u8], peer: Peer) -> Outcome {
        let is_known = peer.trust == Trust::AtOnce;
        let mut plain =
            Self { peer, stream, is_first: true, is_known, open: [None, None], frames: Vec::new() };
        let end = iter::from_fn(|| plain.read_one()).find_map(Result::err);
        let bytes = plain.stream.len();
        let rest = if bytes == 0 { Ok(()) } else { Err(FrameError::Truncated { bytes }) };
        Outcome { frames: plain.frames, end: end.unwrap_or(End::Of(rest)) }
    }

    /// One frame, or one chunk; nothing if there is not enough of it to say what it is.
    fn read_one(&mut self) -> Option<Result<(), End>> {
        let (length, message_type) = match header(self.stream) {
            Ok(header) => header?,
            Err(error) => return Some(Err(End::Of(Err(error)))),
        };
        if message_type == MessageType::CHUNK {
            return self.read_chunk(length);
        }
        let (bytes, is_taken) = match judge(length, message_type) {
            Ok(judged) => judged,
            Err(error) => return Some(Err(End::Of(Err(error)))),
        };
        if bytes > FIRST_FRAME_BYTES && !self.is_known {
            if self.is_first {
                let max_bytes = FIRST_FRAME_BYTES;
                return Some(Err(End::Of(Err(FrameError::FirstFrame { bytes, max_bytes }))));
            }
            if self.peer.trust != Trust::WhenBlocked {
                return Some(Err(End::Blocked));
            }
            self.is_known = true;
        }
        let Some((frame, rest)) = self.stream.split_at_checked(FRAME_HEADER + bytes as usize) else {
            return Some(Err(self.cut(self.stream, is_taken)));
        };
        self.stream = rest;
        self.is_first = false;
        if is_taken {
            self.take(frame);
        }
        Some(Ok(()))
    }

    fn read_chunk(&mut self, length: u32) -> Option<Result<(), End>> {
        if !self.is_known && !self.is_first {
            if self.peer.trust != Trust::WhenBlocked {
                return Some(Err(End::Blocked));
            }
            self.is_known = true;
        }
        if !self.is_known || !self.peer.takes_chunks {
            let found = MessageType::CHUNK.byte();
            return Some(Err(End::Of(Err(FrameError::UnknownType { found }))));
        }
        let len = (length as usize).saturating_sub(2);
        if len == 0 || len > MAX_CHUNK_BYTES {
            return Some(Err(chunk_error(ChunkError::Length { found: length })));
        }
        let (level, bytes) = self.stream.get(FRAME_HEADER..)?.split_first()?;
        let Some(open) = usize::from(*level).checked_sub(1).and_then(|index| self.open.get_mut(index)) else {
            return Some(Err(chunk_error(ChunkError::Level { found: *level })));
        };
        let (arrived, total) = match open.take() {
            Some(open) => open,
            None if bytes.len() < len.min(FRAME_HEADER) => return None,
            None if len < FRAME_HEADER => return Some(Err(chunk_error(ChunkError::NoHeader { bytes: len }))),
            None => match begin(bytes) {
                Ok(total) => (Vec::new(), total),
                Err(error) => return Some(Err(End::Of(Err(error)))),
            },
        };
        let left = total - arrived.len();
        if len > left {
            return Some(Err(chunk_error(ChunkError::Overrun { bytes: len, left })));
        }
        let begins = [&arrived, bytes].concat();
        let is_taken = header(&begins)
            .is_ok_and(|header| header.is_some_and(|(_, message_type)| rules().get(message_type).is_some()));
        let Some((chunk, rest)) = bytes.split_at_checked(len) else {
            return Some(Err(self.cut(bytes, is_taken)));
        };
        let frame = [&arrived, chunk].concat();
        if frame.len() < total {
            *open = Some((frame, total));
        } else if is_taken {
            self.take(&frame);
        }
        self.stream = rest;
        Some(Ok(()))
    }

    /// The stream ends here. What is left of an ignored frame is thrown away as it comes, and not
    /// counted.
    fn cut(&self, rest: &[u8], is_taken: bool) -> End {
        let bytes = if is_taken { rest.len() } else { 0 };
        End::Of(Err(FrameError::Truncated { bytes }))
    }

    fn take(&mut self, frame: &[u8]) {
        self.is_known |= self.peer.trust == Trust::AfterAFrame;
        let rule =
            header(frame).ok().flatten().and_then(|(_, message_type)| rules().get(message_type).copied());
        let object_id =
            rule.and_then(|rule| rule.object_id).and_then(|object_id| object_id(&frame[FRAME_HEADER..]));
        self.frames.push((Bytes::copy_from_slice(frame), object_id));
    }
}

const fn chunk_error(error: ChunkError) -> End {
    End::Of(Err(FrameError::Chunk(error)))
}

/// The length, which counts the type, and the type of the frame that begins like this.
fn header(bytes: &[u8]) -> Result<Option<(u32, MessageType)>, FrameError> {
    let Some((length, rest)) = bytes.split_first_chunk() else { return Ok(None) };
    let found = i32::from_le_bytes(*length);
    if !(1..=MAX_LENGTH as i32).contains(&found) {
        return Err(FrameError::Length { found });
    }
    Ok(rest.first().map(|byte| (found as u32, MessageType::from_byte(*byte))))
}

/// The bytes of the payload, and whether anybody takes it.
fn judge(length: u32, message_type: MessageType) -> Result<(u32, bool), FrameError> {
    let rules = rules();
    let rule = rules.get(message_type);
    let bytes = length - 1;
    let max_bytes = match rule {
        Some(rule) => rule.max_payload,
        // What version 1 has and this node does not want is passed over.
        None if MessageType::VERSION_1.contains(&message_type) => message_type.max_payload(),
        None => return Err(FrameError::UnknownType { found: message_type.byte() }),
    };
    if bytes > max_bytes {
        return Err(FrameError::TooLarge { message_type, bytes, max_bytes });
    }
    Ok((bytes, rule.is_some()))
}

/// How large the frame is that begins like this in a chunk.
fn begin(bytes: &[u8]) -> Result<usize, FrameError> {
    let Some((length, message_type)) = header(bytes)? else {
        return Err(FrameError::Chunk(ChunkError::NoHeader { bytes: bytes.len() }));
    };
    if message_type == MessageType::CHUNK {
        return Err(FrameError::Chunk(ChunkError::Nested));
    }
    let (payload, _) = judge(length, message_type)?;
    let total = FRAME_HEADER + payload as usize;
    if total <= MAX_SHARED_FRAME {
        return Err(FrameError::Chunk(ChunkError::Needless { bytes: total }));
    }
    Ok(total)
}
