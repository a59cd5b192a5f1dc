//! Transactions of the Spacetime chain and the root that commits to them.

use alloc::vec::Vec;

use crate::hash::Hash;
use crate::wire::{Cursor, DecodeError};

/// Bytes of a serialized transaction.
pub const TRANSACTION_BYTES: usize = 155;
/// Bytes of a transaction that its hash covers: all but the signature.
pub const UNSIGNED_TRANSACTION_BYTES: usize = 91;

/// A transfer. On the wire it is 155 bytes:
///
/// ```text
/// | u8 version | 33 sender | 33 recipient | i64 amount | i64 nonce | i64 fee | 64 signature |
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transaction {
    /// The layout's version.
    pub version: u8,
    /// Who pays: a compressed secp256k1 key.
    pub sender: [u8; 33],
    /// Who is paid: a compressed secp256k1 key.
    pub recipient: [u8; 33],
    /// How much, at least 1.
    pub amount: i64,
    /// The number of transactions the sender made before, not negative.
    pub nonce: i64,
    /// What the miner gets, not negative.
    pub fee: i64,
    /// The sender's signature (r, s) of the hash.
    pub signature: [u8; 64],
}

impl Transaction {
    /// Reads exactly one transaction.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        let transaction = Self {
            version: cursor.u8("version")?,
            sender: cursor.array("sender")?,
            recipient: cursor.array("recipient")?,
            amount: cursor.i64_from(1, "amount")?,
            nonce: cursor.i64_from(0, "nonce")?,
            fee: cursor.i64_from(0, "fee")?,
            signature: cursor.array("signature")?,
        };
        cursor.finish("transaction")?;
        Ok(transaction)
    }

    /// Appends the transaction's [`TRANSACTION_BYTES`] bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.version);
        out.extend_from_slice(&self.sender);
        out.extend_from_slice(&self.recipient);
        for number in [self.amount, self.nonce, self.fee] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.signature);
    }

    /// The transaction's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(TRANSACTION_BYTES);
        self.encode(&mut out);
        out
    }

    /// The transaction's hash. The signature is outside of it.
    pub fn hash(&self) -> Hash {
        Self::hash_of(&self.to_bytes()).unwrap_or_default()
    }

    /// The hash of a transaction that is still bytes; none if they are too few.
    pub fn hash_of(bytes: &[u8]) -> Option<Hash> {
        bytes.get(..UNSIGNED_TRANSACTION_BYTES).map(Hash::of)
    }
}

/// The Merkle root of a block's transactions, from their hashes in order.
///
/// Zero without transactions. A leaf is SHA-256(0x00, hash), an inner node SHA-256(0x01, left,
/// right); the right sibling of an unpaired node is SHA-256(0x01, `MERKLE_PADDING`, that node). One
/// leaf is the root.
pub fn transaction_root(hashes: impl IntoIterator<Item = Hash>) -> Hash {
    let mut level: Vec<Hash> =
        hashes.into_iter().map(|hash| Hash::of_parts(&[&[0x00], hash.as_bytes()])).collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => inner(left, right),
                [single] => {
                    let padding = Hash::of_parts(&[&[0x01], b"MERKLE_PADDING", single.as_bytes()]);
                    inner(single, &padding)
                }
                _ => Hash::ZERO,
            })
            .collect();
    }
    level.first().copied().unwrap_or(Hash::ZERO)
}

fn inner(left: &Hash, right: &Hash) -> Hash {
    Hash::of_parts(&[&[0x01], left.as_bytes(), right.as_bytes()])
}
