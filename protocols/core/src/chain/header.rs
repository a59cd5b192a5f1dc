//! Block headers of the Spacetime chain.

use alloc::vec::Vec;

use crate::hash::Hash;
use crate::wire::{Cursor, DecodeError};

/// Bytes of a serialized header.
pub const HEADER_BYTES: usize = 290;
/// Bytes of a header that its hash covers: all but the signature.
pub const UNSIGNED_HEADER_BYTES: usize = 226;

/// A block header. On the wire it is 290 bytes, all integers little-endian:
///
/// | offset | size | field | | offset | size | field |
/// |---|---|---|---|---|---|---|
/// | 0 | 1 | version | | 97 | 32 | plot root |
/// | 1 | 32 | parent hash | | 129 | 32 | proof score |
/// | 33 | 8 | height | | 161 | 32 | transaction root |
/// | 41 | 8 | timestamp | | 193 | 33 | miner id |
/// | 49 | 8 | difficulty | | 226 | 64 | signature |
/// | 57 | 8 | epoch | | | | |
/// | 65 | 32 | challenge | | | | |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockHeader {
    /// The layout's version; 1 on the chain, but any is readable.
    pub version: u8,
    /// The hash of the block before this one; zero for genesis.
    pub parent_hash: Hash,
    /// The number of blocks before this one, not negative.
    pub height: i64,
    /// When it was made, in unix seconds, not negative.
    pub timestamp: i64,
    /// How hard it was to make, not negative. A claim until the proof was checked.
    pub difficulty: i64,
    /// The epoch of the challenge, not negative.
    pub epoch: i64,
    /// What the proof answers.
    pub challenge: [u8; 32],
    /// The Merkle root of the miner's plot.
    pub plot_root: [u8; 32],
    /// How good the proof is.
    pub proof_score: [u8; 32],
    /// The Merkle root of the transactions, see [`transaction_root`](super::transaction_root).
    pub transaction_root: Hash,
    /// The miner's compressed secp256k1 key.
    pub miner_id: [u8; 33],
    /// The miner's signature (r, s) of the block hash.
    pub signature: [u8; 64],
}

impl BlockHeader {
    /// Reads exactly one header.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        let header = Self::read(&mut cursor)?;
        cursor.finish("block header")?;
        Ok(header)
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            version: cursor.u8("version")?,
            parent_hash: cursor.hash("parent_hash")?,
            height: cursor.i64_from(0, "height")?,
            timestamp: cursor.i64_from(0, "timestamp")?,
            difficulty: cursor.i64_from(0, "difficulty")?,
            epoch: cursor.i64_from(0, "epoch")?,
            challenge: cursor.array("challenge")?,
            plot_root: cursor.array("plot_root")?,
            proof_score: cursor.array("proof_score")?,
            transaction_root: cursor.hash("tx_root")?,
            miner_id: cursor.array("miner_id")?,
            signature: cursor.array("signature")?,
        })
    }

    /// Appends the header's [`HEADER_BYTES`] bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.version);
        out.extend_from_slice(self.parent_hash.as_bytes());
        for number in [self.height, self.timestamp, self.difficulty, self.epoch] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.challenge);
        out.extend_from_slice(&self.plot_root);
        out.extend_from_slice(&self.proof_score);
        out.extend_from_slice(self.transaction_root.as_bytes());
        out.extend_from_slice(&self.miner_id);
        out.extend_from_slice(&self.signature);
    }

    /// The header's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        self.encode(&mut out);
        out
    }

    /// The block's hash. The signature is outside of it: two headers that differ only there have
    /// one hash.
    pub fn hash(&self) -> Hash {
        Self::hash_of(&self.to_bytes()).unwrap_or_default()
    }

    /// The hash of a block or header that is still bytes; none if they are too few.
    pub fn hash_of(bytes: &[u8]) -> Option<Hash> {
        bytes.get(..UNSIGNED_HEADER_BYTES).map(Hash::of)
    }
}
