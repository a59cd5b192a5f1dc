//! Chains for development networks and tests: real layouts, real hashes and links, made-up keys,
//! signatures and proofs.

use alloc::vec::Vec;

use super::block::{Block, MIN_BLOCK_BYTES, Proof};
use super::header::{BlockHeader, HEADER_BYTES};
use super::transaction::{TRANSACTION_BYTES, Transaction, transaction_root};
use crate::hash::Hash;
use crate::rng::Rng;
use crate::wire::DecodeError;

/// Unix seconds of the development genesis: 2023-11-14.
const GENESIS_TIMESTAMP: i64 = 1_700_000_000;

/// Seconds between two generated blocks.
const BLOCK_INTERVAL_SECONDS: i64 = 10;

/// The genesis block that every generated chain starts from, so that a node with an empty folder can
/// synchronise from any of them.
pub fn development_genesis() -> Vec<u8> {
    let header = BlockHeader {
        version: 1,
        parent_hash: Hash::ZERO,
        height: 0,
        timestamp: GENESIS_TIMESTAMP,
        difficulty: 1000,
        epoch: 0,
        challenge: Hash::of(b"spacetime development network").0,
        plot_root: [0; 32],
        proof_score: [0; 32],
        transaction_root: Hash::ZERO,
        miner_id: key(&[0; 32]),
        signature: [0; 64],
    };
    let mut block = Vec::with_capacity(MIN_BLOCK_BYTES);
    Block::encode(&header, &[], &empty_proof(&[0; 32]), &mut block);
    block
}

/// An endless chain on the development genesis: the same seed and size give the same blocks.
///
/// The blocks have the size that was asked for, less what does not fill a transaction.
#[derive(Debug)]
pub struct DevelopmentChain {
    rng: Rng,
    transactions_per_block: usize,
    parent: BlockHeader,
}

impl DevelopmentChain {
    /// The chain of this seed, with blocks of about `block_bytes` (415 at least).
    pub fn new(seed: u64, block_bytes: usize) -> Self {
        let genesis = development_genesis();
        let parent = Block::decode(&genesis).map(|block| block.header);
        Self {
            rng: Rng::from_number(seed).fork("development chain"),
            transactions_per_block: transactions_in(block_bytes),
            // The tests decode it.
            parent: parent.unwrap_or_else(|_| unreachable!("the genesis block is well-formed")),
        }
    }

    /// The next blocks have about `block_bytes` (415 at least).
    pub const fn set_block_bytes(&mut self, block_bytes: usize) {
        self.transactions_per_block = transactions_in(block_bytes);
    }

    fn transaction(&mut self, nonce: i64) -> Transaction {
        Transaction {
            version: 1,
            sender: key(&self.rng.bytes()),
            recipient: key(&self.rng.bytes()),
            amount: 1 + self.rng.below(1_000_000) as i64,
            nonce,
            fee: self.rng.below(100) as i64,
            signature: self.rng.bytes(),
        }
    }
}

/// Transactions that fit a block of this size.
const fn transactions_in(block_bytes: usize) -> usize {
    block_bytes.saturating_sub(MIN_BLOCK_BYTES) / (4 + TRANSACTION_BYTES)
}

impl Iterator for DevelopmentChain {
    type Item = Vec<u8>;

    /// The next block.
    fn next(&mut self) -> Option<Vec<u8>> {
        let height = self.parent.height.checked_add(1)?;
        let transactions: Vec<_> =
            (0..self.transactions_per_block).map(|_| self.transaction(height)).collect();
        let plot_id = self.rng.bytes();
        let header = BlockHeader {
            version: 1,
            parent_hash: self.parent.hash(),
            height,
            timestamp: self.parent.timestamp.saturating_add(BLOCK_INTERVAL_SECONDS),
            difficulty: 1000,
            epoch: height / 100,
            challenge: self.rng.bytes(),
            plot_root: self.rng.bytes(),
            proof_score: self.rng.bytes(),
            transaction_root: transaction_root(transactions.iter().map(Transaction::hash)),
            miner_id: key(&plot_id),
            signature: self.rng.bytes(),
        };
        let mut block = Vec::with_capacity(MIN_BLOCK_BYTES + transactions.len() * (4 + TRANSACTION_BYTES));
        Block::encode(&header, &transactions, &empty_proof(&plot_id), &mut block);
        self.parent = header;
        Some(block)
    }
}

/// An endless chain on any block: the smallest blocks there are, each a second after its parent, with
/// proofs that are good for nothing. What parts from a chain, or is made up by a liar.
#[derive(Clone, Debug)]
pub struct DevelopmentBranch {
    parent: BlockHeader,
    difficulty: i64,
}

impl DevelopmentBranch {
    /// The chain after a block that this is the header of, or begins with it. Its blocks claim this
    /// difficulty; another one makes another chain.
    ///
    /// # Errors
    ///
    /// There is no header.
    pub fn new(after: &[u8], difficulty: i64) -> Result<Self, DecodeError> {
        let header = after.get(..HEADER_BYTES).unwrap_or(after);
        Ok(Self { parent: BlockHeader::decode(header)?, difficulty })
    }
}

impl Iterator for DevelopmentBranch {
    type Item = Vec<u8>;

    /// The next block.
    fn next(&mut self) -> Option<Vec<u8>> {
        let mut block = development_genesis();
        let header = block.get_mut(..HEADER_BYTES)?;
        self.parent = BlockHeader {
            parent_hash: self.parent.hash(),
            height: self.parent.height.checked_add(1)?,
            timestamp: self.parent.timestamp.saturating_add(1),
            difficulty: self.difficulty,
            ..BlockHeader::decode(header).ok()?
        };
        header.copy_from_slice(&self.parent.to_bytes());
        Some(block)
    }
}

/// What looks like a compressed secp256k1 key.
fn key(x: &[u8; 32]) -> [u8; 33] {
    let mut key = [2; 33];
    if let Some(tail) = key.get_mut(1..) {
        tail.copy_from_slice(x);
    }
    key
}

fn empty_proof(plot_id: &[u8; 32]) -> Proof<'static> {
    Proof {
        leaf: *plot_id,
        leaf_index: 0,
        path: &[],
        orientation: &[],
        leaf_count: 1,
        plot_id: *plot_id,
        plot_header_hash: [0; 32],
        version: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ChainRules, SpacetimeRules};
    use super::*;

    #[test]
    fn a_generated_chain_follows_the_rules() {
        let genesis = development_genesis();
        let rules = SpacetimeRules::new(&genesis).unwrap();
        let mut parent = rules.check_block(&genesis).unwrap();
        for block in DevelopmentChain::new(1, 5000).take(20) {
            assert!((4841..=5000).contains(&block.len()), "{}", block.len());
            let info = rules.check_block(&block).unwrap();
            rules.check_link(&parent, &info).unwrap();
            assert_eq!(SpacetimeRules::block_id(&block), Some(info.hash));
            parent = info;
        }
    }

    #[test]
    fn a_branch_links_to_any_block_and_claims_what_it_is_told_to() {
        let rules = SpacetimeRules::new(&development_genesis()).unwrap();
        let trunk: Vec<_> = DevelopmentChain::new(1, 1000).take(3).collect();
        let mut parent = rules.check_block(&trunk[1]).unwrap();
        for block in DevelopmentBranch::new(&trunk[1], 2000).unwrap().take(3) {
            let info = rules.check_block(&block).unwrap();
            rules.check_link(&parent, &info).unwrap();
            assert_eq!((info.height, info.timestamp), (parent.height + 1, parent.timestamp + 1));
            assert_eq!(Block::decode(&block).unwrap().header.difficulty, 2000);
            parent = info;
        }
        assert!(DevelopmentBranch::new(&trunk[1][..HEADER_BYTES - 1], 2000).is_err());
    }

    #[test]
    fn the_development_genesis_never_changes() {
        // It is the chain id of every development network.
        let hash = super::super::block_hash(&development_genesis()).unwrap();
        assert_eq!(
            alloc::format!("{hash}"),
            "1b9e751ea8cf9782715efd8b0716b93099ff091d323eeeb0a2f3cf758a9e665e"
        );
    }

    #[test]
    fn a_chain_depends_on_its_seed_only() {
        let blocks = |seed| DevelopmentChain::new(seed, 1000).take(3).collect::<Vec<_>>();
        assert_eq!(blocks(1), blocks(1));
        assert_ne!(blocks(1), blocks(2));
        let smallest = DevelopmentChain::new(1, 0).next().unwrap();
        assert_eq!(smallest.len(), MIN_BLOCK_BYTES);
    }
}
