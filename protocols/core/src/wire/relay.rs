//! What is relayed: blocks, transactions, proofs; and the Error message.

use alloc::vec::Vec;

use super::blocks::object;
use super::cursor::{Cursor, check_range, utf8};
use super::error::{DecodeError, EncodeError};
use super::message::{Decode, Message};
use super::types::MessageType;
use crate::hash::Hash;

/// The largest proof in a [`ProofSubmission`], in bytes.
pub const MAX_PROOF_BYTES: usize = 1_048_576;

object! {
    /// A block that its sender believes to be new.
    NewBlock, NEW_BLOCK, "block"
}

object! {
    /// A transaction.
    Transaction, TRANSACTION, "transaction"
}

/// Asks for what waits in the transaction pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TxPoolRequest {
    /// How many at most, from 1.
    pub max_transactions: i32,
    /// Whole transactions, or hashes only.
    pub include_data: bool,
}

impl Message for TxPoolRequest {
    const TYPE: MessageType = MessageType::TX_POOL_REQUEST;

    fn encoded_len(&self) -> usize {
        5
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        check_range(self.max_transactions.into(), 1, i32::MAX.into(), "max_transactions")?;
        out.extend_from_slice(&self.max_transactions.to_le_bytes());
        out.push(self.include_data.into());
        Ok(())
    }
}

impl Decode<'_> for TxPoolRequest {
    fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(payload);
        let max_transactions = cursor.i32_within(1, i32::MAX, "max_transactions")?;
        let include_data = cursor.flag("include_transaction_data")?;
        cursor.finish("TxPoolRequest")?;
        Ok(Self { max_transactions, include_data })
    }
}

/// A miner's proof for the next block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProofSubmission<'a> {
    /// The height it is for, from 0.
    pub block_height: i64,
    /// The miner's compressed secp256k1 key.
    pub miner_id: [u8; 33],
    /// The proof, 1 to [`MAX_PROOF_BYTES`].
    pub proof: &'a [u8],
}

impl Message for ProofSubmission<'_> {
    const TYPE: MessageType = MessageType::PROOF_SUBMISSION;

    fn encoded_len(&self) -> usize {
        8 + 33 + 4 + self.proof.len()
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        check_range(self.block_height, 0, i64::MAX, "block_height")?;
        check_range(self.proof.len() as i64, 1, MAX_PROOF_BYTES as i64, "proof length")?;
        out.extend_from_slice(&self.block_height.to_le_bytes());
        out.extend_from_slice(&self.miner_id);
        out.extend_from_slice(&(self.proof.len() as i32).to_le_bytes());
        out.extend_from_slice(self.proof);
        Ok(())
    }
}

impl<'a> Decode<'a> for ProofSubmission<'a> {
    fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(payload);
        let block_height = cursor.i64_from(0, "block_height")?;
        let miner_id = cursor.array("miner_id")?;
        let proof = cursor.blob(1, MAX_PROOF_BYTES as i32, "proof")?;
        cursor.finish("ProofSubmission")?;
        Ok(Self { block_height, miner_id, proof })
    }
}

/// A block became part of the sender's chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockAccepted {
    /// The block's hash.
    pub hash: Hash,
    /// Its height, from 0.
    pub height: i64,
}

impl Message for BlockAccepted {
    const TYPE: MessageType = MessageType::BLOCK_ACCEPTED;

    fn encoded_len(&self) -> usize {
        40
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        check_range(self.height, 0, i64::MAX, "block_height")?;
        out.extend_from_slice(self.hash.as_bytes());
        out.extend_from_slice(&self.height.to_le_bytes());
        Ok(())
    }
}

impl Decode<'_> for BlockAccepted {
    fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(payload);
        let hash = cursor.hash("block_hash")?;
        let height = cursor.i64_from(0, "block_height")?;
        cursor.finish("BlockAccepted")?;
        Ok(Self { hash, height })
    }
}

/// Why the sender closes the connection, for people and for [`CloseReason`](crate::CloseReason).
///
/// Sent only to peers that announced an extension: a version-1 node drops the connection on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Error<'a> {
    /// UTF-8, up to 1024 bytes.
    pub text: &'a str,
}

impl Message for Error<'_> {
    const TYPE: MessageType = MessageType::ERROR;

    fn encoded_len(&self) -> usize {
        self.text.len()
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        check_range(self.text.len() as i64, 0, Self::MAX_PAYLOAD.into(), "text length")?;
        out.extend_from_slice(self.text.as_bytes());
        Ok(())
    }
}

impl<'a> Decode<'a> for Error<'a> {
    fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(Self { text: utf8(payload, "text")? })
    }
}
