//! Blocks of the Spacetime chain.

use alloc::vec::Vec;

use super::header::BlockHeader;
use super::transaction::{TRANSACTION_BYTES, Transaction, transaction_root};
use crate::hash::Hash;
use crate::wire::{Cursor, DecodeError, Problem};

/// The smallest block: a header, no transactions, a proof with an empty path.
pub const MIN_BLOCK_BYTES: usize = 415;

/// Bytes that one transaction takes in a block: its length and itself.
const TRANSACTION_ENTRY_BYTES: usize = 4 + TRANSACTION_BYTES;

/// A block, borrowed from its bytes, with every field of it checked.
///
/// ```text
/// | 290 header | i32 n | n x (i32 length, transaction) | proof |
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block<'a> {
    /// The header.
    pub header: BlockHeader,
    transactions: &'a [u8],
    /// The proof.
    pub proof: Proof<'a>,
}

impl<'a> Block<'a> {
    /// Reads exactly one block. Whether the header commits to these transactions is for
    /// [`commits_to_transactions`](Self::commits_to_transactions) to say.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        let header = BlockHeader::read(&mut cursor)?;
        let count = cursor.count(i32::MAX, TRANSACTION_ENTRY_BYTES, "transaction count")?;
        let transactions = cursor.bytes(count * TRANSACTION_ENTRY_BYTES, "transactions")?;
        let block = Self { header, transactions, proof: Proof::read(&mut cursor)? };
        cursor.finish("block")?;
        for entry in transactions.chunks_exact(TRANSACTION_ENTRY_BYTES) {
            let mut entry = Cursor::new(entry);
            let len = TRANSACTION_BYTES as i32;
            Transaction::decode(entry.blob(len, len, "transaction length")?)?;
        }
        Ok(block)
    }

    /// How many transactions there are.
    pub const fn transaction_count(&self) -> usize {
        self.transactions.len() / TRANSACTION_ENTRY_BYTES
    }

    /// The bytes of each transaction, in order.
    pub fn transactions(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.transactions.chunks_exact(TRANSACTION_ENTRY_BYTES).filter_map(|entry| entry.get(4..))
    }

    /// Whether the header's transaction root is that of the transactions in the block.
    pub fn commits_to_transactions(&self) -> bool {
        let hashes = self.transactions().filter_map(Transaction::hash_of);
        transaction_root(hashes) == self.header.transaction_root
    }

    /// Appends a block.
    pub fn encode(header: &BlockHeader, transactions: &[Transaction], proof: &Proof<'_>, out: &mut Vec<u8>) {
        header.encode(out);
        out.extend_from_slice(&(transactions.len() as i32).to_le_bytes());
        for transaction in transactions {
            out.extend_from_slice(&(TRANSACTION_BYTES as i32).to_le_bytes());
            transaction.encode(out);
        }
        proof.encode(out);
    }
}

/// The proof of space and time in a block: a Merkle path from a leaf to the miner's plot root.
///
/// ```text
/// | 32 leaf | i64 leaf index | i32 p | p x 32 path | i32 p | p x u8 is right | i64 leaf count
/// | 32 plot id | 32 plot header hash | u8 version |
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proof<'a> {
    /// The leaf that answers the challenge.
    pub leaf: [u8; 32],
    /// Where in the plot it is, not negative.
    pub leaf_index: i64,
    /// The siblings on the way to the root, 32 bytes each.
    pub path: &'a [u8],
    /// For each sibling 1 if it is the right one, else 0.
    pub orientation: &'a [u8],
    /// How many leaves the plot has, at least 1.
    pub leaf_count: i64,
    /// Which plot it is.
    pub plot_id: [u8; 32],
    /// The hash of the plot's header.
    pub plot_header_hash: [u8; 32],
    /// The version of the plot.
    pub version: u8,
}

impl<'a> Proof<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let leaf = cursor.array("leaf_value")?;
        let leaf_index = cursor.i64_from(0, "leaf_index")?;
        let path_len = cursor.count(i32::MAX, 32, "path length")?;
        let path = cursor.bytes(path_len * 32, "path")?;
        let orientation_len = cursor.count(i32::MAX, 1, "orientation length")?;
        if orientation_len != path_len {
            let (found, expected) = (orientation_len as i64, path_len as i64);
            return Err(DecodeError::new("orientation length", Problem::Differs { found, expected }));
        }
        let orientation = cursor.bytes(orientation_len, "orientation")?;
        if let Some(byte) = orientation.iter().find(|byte| **byte > 1) {
            let problem = Problem::NeitherNor { found: (*byte).into(), one: 0, other: 1 };
            return Err(DecodeError::new("orientation", problem));
        }
        Ok(Self {
            leaf,
            leaf_index,
            path,
            orientation,
            leaf_count: cursor.i64_from(1, "leaf_count")?,
            plot_id: cursor.array("plot_id")?,
            plot_header_hash: cursor.array("plot_header_hash")?,
            version: cursor.u8("proof version")?,
        })
    }

    /// Reads exactly one proof.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        let proof = Self::read(&mut cursor)?;
        cursor.finish("proof")?;
        Ok(proof)
    }

    /// Appends the proof.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.leaf);
        out.extend_from_slice(&self.leaf_index.to_le_bytes());
        out.extend_from_slice(&((self.path.len() / 32) as i32).to_le_bytes());
        out.extend_from_slice(self.path);
        out.extend_from_slice(&(self.orientation.len() as i32).to_le_bytes());
        out.extend_from_slice(self.orientation);
        out.extend_from_slice(&self.leaf_count.to_le_bytes());
        out.extend_from_slice(&self.plot_id);
        out.extend_from_slice(&self.plot_header_hash);
        out.push(self.version);
    }
}

/// The hash of a block that is still bytes; none if they are too few to be one.
pub fn block_hash(bytes: &[u8]) -> Option<Hash> {
    if bytes.len() < MIN_BLOCK_BYTES { None } else { BlockHeader::hash_of(bytes) }
}
