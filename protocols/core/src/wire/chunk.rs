//! Large frames in pieces, so that what is urgent need not wait for all of them.
//!
//! To a peer that has announced [`CHUNK_CAPABILITY`], frames above 64 KiB of the levels `High` and
//! `Normal` travel as chunks, between which other frames, and chunks of the other level, may stand:
//!
//! ```text
//! | i32 length | u8 0x51 | u8 level | 1 to 65 536 bytes of the frame |
//! ```
//!
//! The bytes of all chunks of a level one after the other are whole frames, each from its own header
//! on; a frame begins with a chunk of its own. So at each level one frame is open at most. All limits
//! of a frame hold for it, from its first chunk on. It is the Swarm's affair: no behaviour sees a
//! chunk.

use alloc::vec::Vec;
use core::fmt;

use super::types::{FRAME_HEADER, MessageType, Priority};

/// The capability of a node that takes frames in chunks.
pub const CHUNK_CAPABILITY: &str = "chunk";
/// The version of [`CHUNK_CAPABILITY`] that this node speaks.
pub const CHUNK_VERSION: u16 = 1;

/// The most bytes of a frame in one chunk: what a ping may have to wait for.
pub const MAX_CHUNK_BYTES: usize = 64 * 1024;

/// A level at which frames are sent in chunks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ChunkLevel {
    High,
    Normal,
}

impl ChunkLevel {
    /// That of a priority, if its frames may be cut.
    pub(crate) const fn of(priority: Priority) -> Option<Self> {
        match priority {
            Priority::High => Some(Self::High),
            Priority::Normal => Some(Self::Normal),
            Priority::Critical | Priority::Low => None,
        }
    }

    pub(super) const fn index(self) -> usize {
        match self {
            Self::High => 0,
            Self::Normal => 1,
        }
    }

    const fn byte(self) -> u8 {
        match self {
            Self::High => 1,
            Self::Normal => 2,
        }
    }

    pub(super) const fn from_byte(byte: u8) -> Result<Self, ChunkError> {
        match byte {
            1 => Ok(Self::High),
            2 => Ok(Self::Normal),
            found => Err(ChunkError::Level { found }),
        }
    }
}

/// A frame of which a part has come in chunks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BegunFrame {
    /// Which one of its connection it is.
    pub(crate) number: u32,
    /// All of its bytes.
    pub(crate) total_bytes: u32,
}

/// Appends what stands before so many bytes of a frame.
pub(crate) fn write_chunk_header(level: ChunkLevel, bytes: usize, out: &mut Vec<u8>) {
    debug_assert!((1..=MAX_CHUNK_BYTES).contains(&bytes));
    out.extend_from_slice(&(bytes as u32 + 2).to_le_bytes());
    out.extend_from_slice(&[MessageType::CHUNK.byte(), level.byte()]);
}

/// Bytes of a chunk before those of its frame.
pub(crate) const CHUNK_HEADER: usize = FRAME_HEADER + 1;

/// What is wrong with a chunk. Fatal, as all that is wrong with frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ChunkError {
    /// It holds no byte of a frame, or more than 65 536.
    Length {
        /// The length field of the chunk.
        found: u32,
    },
    /// The level is neither 1 (`High`) nor 2 (`Normal`).
    Level {
        /// What it says.
        found: u8,
    },
    /// The first chunk of a frame does not hold its header.
    NoHeader {
        /// Bytes of the frame that it holds.
        bytes: usize,
    },
    /// A chunk of a chunk.
    Nested,
    /// A frame of at most 64 KiB, which travels as a whole.
    Needless {
        /// Bytes of the frame.
        bytes: usize,
    },
    /// More bytes than are missing of the frame that is open at this level. What does not belong to
    /// it, as the beginning of the next one, stands in a chunk of its own.
    Overrun {
        /// Bytes of the chunk.
        bytes: usize,
        /// Bytes that were missing.
        left: usize,
    },
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { found } => {
                let max = MAX_CHUNK_BYTES + 2;
                write!(f, "chunk length {found} is not between 3 and {max}")
            }
            Self::Level { found } => write!(f, "chunk of level {found}, there are 1 and 2"),
            Self::NoHeader { bytes } => {
                write!(f, "the first chunk of a frame has {bytes} bytes, its header has {FRAME_HEADER}")
            }
            Self::Nested => f.write_str("a chunk inside of a chunk"),
            Self::Needless { bytes } => write!(f, "a frame of {bytes} bytes in chunks"),
            Self::Overrun { bytes, left } => {
                write!(f, "a chunk of {bytes} bytes where {left} were missing of its frame")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;
    use crate::wire::{
        Block, Frame, FrameError, FrameReader, FrameRules, Headers, MAX_PAYLOAD, MAX_SHARED_FRAME, Message,
        Ping, ReadStep, TypeRule,
    };

    fn reader() -> FrameReader {
        let rules = FrameRules::new()
            .with(TypeRule::of::<Ping>())
            .with(TypeRule::of::<Headers<'_>>().with_max_payload(200_000))
            .with(TypeRule::of::<Block<'_>>());
        let mut reader = FrameReader::new(Arc::new(rules), 1024);
        reader.set_established();
        reader.take_chunks();
        reader
    }

    fn bytes_of<M: Message>(message: &M) -> Vec<u8> {
        Frame::encode(message).unwrap().bytes().to_vec()
    }

    /// A frame of so many bytes, of which each says where it stands.
    fn block(len: usize) -> Vec<u8> {
        let bytes: Vec<u8> = (0..len - FRAME_HEADER).map(|index| (index / 100) as u8).collect();
        bytes_of(&Block { bytes: &bytes })
    }

    /// A type of version 1 that these rules do not take.
    fn ignored(len: usize) -> Vec<u8> {
        let mut bytes = vec![3; len];
        bytes[..4].copy_from_slice(&(len as u32 - 4).to_le_bytes());
        bytes[4] = MessageType::NEW_BLOCK.byte();
        bytes
    }

    fn chunk(level: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = (bytes.len() as u32 + 2).to_le_bytes().to_vec();
        out.extend([0x51, level]);
        out.extend(bytes);
        out
    }

    /// What a reader makes of it: frames, and what all batches cost.
    fn read(stream: &[u8], pieces: &[usize]) -> Result<(Vec<Vec<u8>>, usize), FrameError> {
        let mut reader = reader();
        let (mut frames, mut cost, mut rest) = (Vec::new(), 0, stream);
        let mut pieces = pieces.iter().cycle();
        while !rest.is_empty() {
            let (now, later) = rest.split_at((*pieces.next().unwrap()).clamp(1, rest.len()));
            reader.push(now);
            rest = later;
            while let ReadStep::Frames(batch) = reader.poll_frames()? {
                cost += batch.len() - batch.told_bytes() + batch.unframed_bytes();
                frames.extend(batch.map(|frame| frame.bytes().to_vec()));
            }
        }
        reader.finish()?;
        Ok((frames, cost))
    }

    fn read_one(stream: &[u8]) -> Result<(), FrameError> {
        read(stream, &[usize::MAX]).map(|_| ())
    }

    #[derive(Clone, Debug)]
    enum Piece {
        /// The next chunk of the frame that is open at a level, or the first of the next one.
        Chunk(u8, usize),
        Ping,
        Whole(usize),
        Ignored(usize),
    }

    fn any_piece() -> impl Strategy<Value = Piece> {
        let size = || prop_oneof![5..50_usize, 20_000..=MAX_CHUNK_BYTES];
        prop_oneof![
            8 => (1..=2_u8, size()).prop_map(|(level, len)| Piece::Chunk(level, len)),
            2 => Just(Piece::Ping),
            1 => (60_000..80_000_usize).prop_map(Piece::Whole),
            1 => (5..90_000_usize).prop_map(Piece::Ignored),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn chunks_become_the_frames_that_were_cut_and_each_byte_is_told_of_once(
            lens in prop::collection::vec((65_537..180_000_usize, any::<bool>()), 2..6),
            pieces in prop::collection::vec(any_piece(), 1..40),
            cuts in prop::collection::vec(prop_oneof![1..20_usize, 1..100_000_usize], 1..8),
        ) {
            let mut lens = lens.into_iter().cycle();
            let mut open: [Vec<u8>; 2] = Default::default();
            let (mut whole, mut expected, mut stream) = ([Vec::new(), Vec::new()], Vec::new(), Vec::new());
            for piece in pieces {
                match piece {
                    Piece::Ping => {
                        expected.push(bytes_of(&Ping::default()));
                        stream.extend(bytes_of(&Ping::default()));
                    }
                    Piece::Whole(len) => {
                        expected.push(block(len));
                        stream.extend(block(len));
                    }
                    Piece::Ignored(len) => stream.extend(ignored(len)),
                    Piece::Chunk(level, len) => {
                        let index = usize::from(level) - 1;
                        if open[index].is_empty() {
                            let (len, is_taken) = lens.next().unwrap();
                            open[index] = if is_taken { block(len) } else { ignored(len) };
                            whole[index] = if is_taken { open[index].clone() } else { Vec::new() };
                        }
                        let rest = open[index].split_off(len.min(open[index].len()));
                        stream.extend(chunk(level, &open[index]));
                        open[index] = rest;
                        if open[index].is_empty() && !whole[index].is_empty() {
                            expected.push(core::mem::take(&mut whole[index]));
                        }
                    }
                }
            }
            // What comes last brings along what was not told of yet.
            expected.push(bytes_of(&Ping::default()));
            stream.extend(bytes_of(&Ping::default()));
            for cuts in [&[usize::MAX][..], &cuts] {
                let (frames, cost) = read(&stream, cuts).unwrap();
                prop_assert!(frames == expected, "{} frames of {}", frames.len(), expected.len());
                prop_assert_eq!(cost, stream.len());
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_chunk_has_a_name() {
        let large = block(100_000);
        let first = chunk(1, &large[..60_000]);
        let length = |found: u32| [&found.to_le_bytes()[..], &[0x51, 1]].concat();
        let chunk_error = |error| Err(FrameError::Chunk(error));
        let nested = chunk(1, &chunk(1, &large[..60_000]));
        let too_large = MessageType::HEADERS;
        let headers = [&200_002_u32.to_le_bytes()[..], &[too_large.byte()]].concat();
        let unknown = [&100_000_u32.to_le_bytes()[..], &[0x7f]].concat();
        for (name, stream, error) in [
            ("empty", length(2), chunk_error(ChunkError::Length { found: 2 })),
            ("not even a level", length(1), chunk_error(ChunkError::Length { found: 1 })),
            ("too long", length(65_539), chunk_error(ChunkError::Length { found: 65_539 })),
            ("critical", chunk(0, &large[..10]), chunk_error(ChunkError::Level { found: 0 })),
            ("low", chunk(3, &large[..10]), chunk_error(ChunkError::Level { found: 3 })),
            ("no header", chunk(1, &large[..4]), chunk_error(ChunkError::NoHeader { bytes: 4 })),
            ("nested", nested, chunk_error(ChunkError::Nested)),
            ("needless", chunk(2, &block(65_536)), chunk_error(ChunkError::Needless { bytes: 65_536 })),
            (
                "the next frame in the same chunk",
                [first.clone(), chunk(1, &[&large[60_000..], &large[..5]].concat())].concat(),
                chunk_error(ChunkError::Overrun { bytes: 40_005, left: 40_000 }),
            ),
            (
                "a frame that is too large for its type",
                chunk(2, &headers),
                Err(FrameError::TooLarge { message_type: too_large, bytes: 200_001, max_bytes: 200_000 }),
            ),
            ("a frame of no type", chunk(2, &unknown), Err(FrameError::UnknownType { found: 0x7f })),
            ("a frame of no length", chunk(2, &[0; 5]), Err(FrameError::Length { found: 0 })),
            ("cut short", first[..100].to_vec(), Err(FrameError::Truncated { bytes: 94 })),
        ] {
            assert_eq!(read_one(&stream), error, "{name}");
            assert_eq!(read(&stream, &[1]).map(|_| ()), error, "{name}, byte by byte");
        }
        assert_eq!(read_one(&first), Ok(()), "the end may come between two chunks");
    }

    #[test]
    fn who_has_not_announced_that_it_knows_chunks_sends_none() {
        let rules =
            Arc::new(FrameRules::new().with(TypeRule::of::<Block<'_>>()).with(TypeRule::of::<Ping>()));
        let stream = chunk(1, &block(70_000)[..1000]);
        let error = FrameError::UnknownType { found: 0x51 };
        let mut stranger = FrameReader::new(Arc::clone(&rules), 1024);
        stranger.push(&stream);
        assert_eq!(stranger.poll_frames().map(|_| ()), Err(error));
        let mut opening = FrameReader::new(rules, 1024);
        opening.push(&[bytes_of(&Ping::default()), stream].concat());
        assert!(matches!(opening.poll_frames(), Ok(ReadStep::Frames(_))));
        assert!(matches!(opening.poll_frames(), Ok(ReadStep::Blocked)), "until it is known");
        opening.set_established();
        assert_eq!(opening.poll_frames().map(|_| ()), Err(error));
    }

    #[test]
    fn a_frame_that_is_claimed_in_chunks_reserves_nothing() {
        let mut reader = reader();
        let largest = [&(MAX_PAYLOAD + 1).to_le_bytes()[..], &[MessageType::BLOCK.byte()]].concat();
        for level in [1, 2] {
            reader.push(&chunk(level, &largest));
            assert!(matches!(reader.poll_frames(), Ok(ReadStep::NeedBytes)));
        }
        assert!(reader.held_bytes() <= 3 * MAX_SHARED_FRAME, "{}", reader.held_bytes());
        let mut arrived = 0;
        for _ in 0..100 {
            reader.push(&chunk(1, &[0; MAX_CHUNK_BYTES]));
            arrived += MAX_CHUNK_BYTES;
            while matches!(reader.poll_frames(), Ok(ReadStep::Frames(_))) {}
            assert!(reader.held_bytes() <= 2 * arrived + 4 * MAX_SHARED_FRAME, "{}", reader.held_bytes());
        }
    }
}
