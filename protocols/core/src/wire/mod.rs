//! The wire format, byte for byte: frames, the messages of version 1, and what ours adds.
//!
//! ```text
//! | i32 length (little-endian) | u8 type | payload: length - 1 bytes |
//! ```
//!
//! * Decoding borrows and is strict: what decodes encodes to the same bytes. The two exceptions
//!   are version 1's: the payloads of [`HandshakeAck`] and [`Heartbeat`] are ignored.
//! * Nothing is reserved for a length or a count that a peer merely claims.
//! * Encoding refuses what a decoder would refuse.
//!
//! | message | type | payload |
//! |---|---|---|
//! | [`Handshake`] | 01 | i32 version, i64 time, i32 n, node id, i32 m, user agent, [`Extension`] |
//! | [`HandshakeAck`] | 02 | ignored |
//! | [`Heartbeat`] | 03 | ignored |
//! | [`Ping`], [`Pong`] | 04, 05 | i64 nonce, i64 time |
//! | [`GetPeers`] | 10 | i32 max, i32 k, k × (7-bit length, text) |
//! | [`Peers`] | 11 | i32 k, k × (i32 length, address, i32 port) |
//! | [`GetHeaders`] | 20 | 32 locator, u8 flag, \[32 stop\], i32 max |
//! | [`Headers`] | 21 | i32 k, k × (i32 length, header) |
//! | [`GetBlock`] | 22 | 32 hash |
//! | [`Block`], [`NewBlock`] | 23, 31 | block |
//! | [`Transaction`] | 30 | transaction |
//! | [`TxPoolRequest`] | 32 | i32 max, u8 flag |
//! | [`ProofSubmission`] | 40 | i64 height, 33 miner, i32 n, proof |
//! | [`BlockAccepted`] | 41 | 32 hash, i64 height |
//! | [`Error`] | FF | text |
//!
//! What this implementation adds, and the capability that a peer must have announced before it is
//! sent any of it. Bytes are never given a second meaning: a new one is added at the end.
//!
//! | message | type | capability | payload |
//! |---|---|---|---|
//! | [`Announce`] | 33 | `relay.announce/1` | i32 k, k × (u8 type, i32 payload bytes, 32 id) |
//! | [`Fetch`] | 34 | `relay.announce/1` | i32 k, k × 32 id |
//! | [`NotFound`] | 35 | `relay.announce/1` | i32 k, k × 32 id |
//! | [`PoolHashes`] | 36 | `relay.announce/1` | i32 k, k × 32 hash |
//! | [`Locate`] | 50 | `sync.locate/1` | i32 k, k × 32 hash, i32 max |
//! | [chunk](CHUNK_CAPABILITY) | 51 | `chunk/1` | u8 level, 1 to 65 536 bytes of a frame |
//!
//! Frames above 64 KiB of the levels `High` (1) and `Normal` (2) travel as chunks to a peer that has
//! announced that it takes them. The bytes of a level's chunks one after the other are such frames,
//! headers included, each from a chunk of its own on: at most one per level is open. It must be whole
//! within its receiver's write timeout, 30 s by default, and a second more per 8 KiB, or the connection is
//! closed. Whatever else
//! stands between them on the stream comes out first, so a ping waits for 64 KiB and not for
//! 16 MiB; only behind a frame of `Low` or `Critical`, which is never cut, for that.

mod addresses;
mod announce;
mod any;
mod application;
mod batch;
mod blocks;
mod chunk;
mod cursor;
mod error;
mod frame;
mod handshake;
mod large;
mod liveness;
mod locate;
mod message;
mod reader;
mod relay;
mod rules;
mod types;

#[cfg(test)]
mod tests;

pub use addresses::{Exclude, GetPeers, MAX_ADDRESSES, Peers};
pub use announce::{
    Announce, Announced, Fetch, Hashes, MAX_ANNOUNCED, MAX_POOL_HASHES, NotFound, PoolHashes,
};
pub use any::{AnyMessage, validate};
pub use application::ApplicationMessage;
pub use batch::Batch;
pub use blocks::{Block, GetBlock, GetHeaders, Headers, MAX_HEADER_BYTES, MAX_HEADERS};
pub(crate) use chunk::{BegunFrame, CHUNK_HEADER, ChunkLevel, write_chunk_header};
pub use chunk::{CHUNK_CAPABILITY, CHUNK_VERSION, ChunkError, MAX_CHUNK_BYTES};
pub(crate) use cursor::Cursor;

pub use error::{DecodeError, EncodeError, FrameError, Problem};
pub use frame::Frame;
pub(crate) use frame::write_frame;

pub use handshake::{
    Announcement, Capability, EXTENSION_MAGIC, Extension, Handshake, HandshakeAck, MAX_CAPABILITIES,
    MAX_CAPABILITY_NAME_BYTES, PROTOCOL_VERSION,
};
pub use liveness::{Heartbeat, Ping, Pong};
pub use locate::{Locate, MAX_LOCATOR_HASHES};
pub use message::{Decode, Message, MessageSet, Nothing, ObjectId, TypeRule};
pub use reader::{FrameReader, MAX_BATCH_FRAMES, MAX_SHARED_FRAME, ReadStep};
pub use relay::{
    BlockAccepted, Error, MAX_PROOF_BYTES, NewBlock, ProofSubmission, Transaction, TxPoolRequest,
};
pub use rules::FrameRules;
pub use types::{FRAME_HEADER, MAX_LENGTH, MAX_PAYLOAD, MessageType, Priority};
