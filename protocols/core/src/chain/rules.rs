//! What the network layer must know about a chain.

use core::fmt;

use super::block::{Block, block_hash};
use super::header::{BlockHeader, HEADER_BYTES};
use super::transaction::Transaction;
use crate::hash::Hash;

/// Knows the layout of a chain's headers and blocks, and which of them can follow each other.
///
/// To the network both are bytes; this is all it asks of them. [`SpacetimeRules`] is the default;
/// another chain is one implementation away. Everything here is a cheap, pure check. What needs
/// state or signatures belongs to the node's verifier, which runs before a block is stored.
pub trait ChainRules {
    /// The largest header, in bytes.
    const MAX_HEADER_BYTES: u32;

    /// The genesis block that every node of this network has.
    fn genesis(&self) -> &[u8];

    /// Reads a header.
    fn read_header(&self, header: &[u8]) -> Result<HeaderInfo, InvalidObject>;

    /// Whether `header` can follow `parent`, from what both say.
    fn check_link(&self, parent: &HeaderInfo, header: &HeaderInfo) -> Result<(), InvalidObject>;

    /// What a header adds to the weight of its chain. Of two chains a node follows the one that has
    /// more of it, the one that it has if they are equal.
    ///
    /// What a header claims is cheap to make up, so this is only as much of it as its parent makes
    /// possible; all of the claim, unless the chain knows better. It ranks whom to try: the tip moves
    /// by blocks that were verified.
    fn weight(&self, parent: &HeaderInfo, header: &HeaderInfo) -> u64 {
        let _ = parent;
        header.weight
    }

    /// What blocks add together: the first is a child of `fork`, each the parent of the next.
    ///
    /// Each counts as the parent of the next with no more than it adds itself. Else a claim of which only
    /// a part counts would make room for the same claim in the next header, which then counts whole.
    fn branch_weight<'a>(&self, fork: &HeaderInfo, branch: impl IntoIterator<Item = &'a HeaderInfo>) -> u128 {
        let mut parent = *fork;
        branch.into_iter().fold(0, |sum: u128, header| {
            parent = HeaderInfo { weight: self.weight(&parent, header), ..*header };
            sum.saturating_add(parent.weight.into())
        })
    }

    /// The bytes of a block that are its header.
    fn header_of<'a>(&self, block: &'a [u8]) -> Result<&'a [u8], InvalidObject>;

    /// Whether a block is well-formed and its header commits to its body.
    fn check_block(&self, block: &[u8]) -> Result<HeaderInfo, InvalidObject>;

    /// Whether a transaction is well-formed. Its hash.
    fn check_transaction(&self, transaction: &[u8]) -> Result<Hash, InvalidObject>;

    /// Says the hash of each transaction in a block that was checked.
    fn for_each_transaction(&self, block: &[u8], say: &mut dyn FnMut(Hash));

    /// The hash of a block, from its bytes; none if they cannot be a block. Frame readers call it.
    fn block_id(block: &[u8]) -> Option<Hash>;
}

/// What the network layer knows of a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeaderInfo {
    /// The block's hash.
    pub hash: Hash,
    /// Its parent's hash.
    pub parent: Hash,
    /// The number of blocks before it.
    pub height: u64,
    /// When it was made, in unix seconds.
    pub timestamp: i64,
    /// The work it claims to add. It only ranks whom to try.
    pub weight: u64,
}

/// How far ahead of the wall clock a block may say that it was made (Bitcoin). One that is further ahead
/// has to wait, and nobody is charged for it: it may be our clock that is wrong. But no block may be older
/// than its parent, so one from the year 3000 would be the last one of its chain.
pub const MAX_AHEAD_SECONDS: i64 = 2 * 3600;

/// How much harder than its parent a block may be for the difference to count: what Bitcoin lets a
/// whole retargeting period change.
const MAX_WEIGHT_GROWTH: u64 = 4;

/// Why bytes are not an object of the chain. What sent them broke the rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum InvalidObject {
    /// They do not have the layout.
    Malformed(crate::wire::DecodeError),
    /// The parent of a header is another one than the header before it.
    Parent,
    /// The height of a header is not its parent's plus one.
    Height,
    /// The header was made before its parent.
    Timestamp,
    /// The header commits to other transactions than the block has.
    Transactions,
    /// The verifier of the application refused the block.
    Refused,
}

impl From<crate::wire::DecodeError> for InvalidObject {
    fn from(error: crate::wire::DecodeError) -> Self {
        Self::Malformed(error)
    }
}

impl fmt::Display for InvalidObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::Parent => f.write_str("the parent hash is not the hash of the header before it"),
            Self::Height => f.write_str("the height is not one more than the parent's"),
            Self::Timestamp => f.write_str("the block is older than its parent"),
            Self::Transactions => f.write_str("the header commits to other transactions than the block has"),
            Self::Refused => f.write_str("the verifier refused the block"),
        }
    }
}

impl core::error::Error for InvalidObject {}

/// The rules of the Spacetime chain.
#[derive(Clone, Debug)]
pub struct SpacetimeRules {
    genesis: alloc::sync::Arc<[u8]>,
}

impl SpacetimeRules {
    /// The rules of the network that starts from this genesis block.
    pub fn new(genesis: &[u8]) -> Result<Self, InvalidObject> {
        let rules = Self { genesis: genesis.into() };
        let info = rules.check_block(genesis)?;
        if info.height != 0 {
            return Err(InvalidObject::Height);
        }
        if info.parent != Hash::ZERO {
            return Err(InvalidObject::Parent);
        }
        Ok(rules)
    }
}

impl ChainRules for SpacetimeRules {
    const MAX_HEADER_BYTES: u32 = HEADER_BYTES as u32;

    fn genesis(&self) -> &[u8] {
        &self.genesis
    }

    fn read_header(&self, header: &[u8]) -> Result<HeaderInfo, InvalidObject> {
        Ok(header_info(&BlockHeader::decode(header)?))
    }

    fn check_link(&self, parent: &HeaderInfo, header: &HeaderInfo) -> Result<(), InvalidObject> {
        if header.parent != parent.hash {
            return Err(InvalidObject::Parent);
        }
        if parent.height.checked_add(1) != Some(header.height) {
            return Err(InvalidObject::Height);
        }
        if header.timestamp < parent.timestamp {
            return Err(InvalidObject::Timestamp);
        }
        Ok(())
    }

    /// Its difficulty, and no more than 4 times its parent's.
    fn weight(&self, parent: &HeaderInfo, header: &HeaderInfo) -> u64 {
        header.weight.min(parent.weight.max(1).saturating_mul(MAX_WEIGHT_GROWTH))
    }

    fn header_of<'a>(&self, block: &'a [u8]) -> Result<&'a [u8], InvalidObject> {
        let header = block.get(..HEADER_BYTES).unwrap_or(block);
        BlockHeader::decode(header)?;
        Ok(header)
    }

    fn check_block(&self, block: &[u8]) -> Result<HeaderInfo, InvalidObject> {
        let block = Block::decode(block)?;
        if !block.commits_to_transactions() {
            return Err(InvalidObject::Transactions);
        }
        Ok(header_info(&block.header))
    }

    fn check_transaction(&self, transaction: &[u8]) -> Result<Hash, InvalidObject> {
        Transaction::decode(transaction)?;
        Ok(Transaction::hash_of(transaction).unwrap_or_default())
    }

    fn for_each_transaction(&self, block: &[u8], say: &mut dyn FnMut(Hash)) {
        if let Ok(block) = Block::decode(block) {
            block.transactions().filter_map(Transaction::hash_of).for_each(say);
        }
    }

    fn block_id(block: &[u8]) -> Option<Hash> {
        block_hash(block)
    }
}

/// The numbers were checked not to be negative when the header was read.
fn header_info(header: &BlockHeader) -> HeaderInfo {
    HeaderInfo {
        hash: header.hash(),
        parent: header.parent_hash,
        height: header.height.unsigned_abs(),
        timestamp: header.timestamp,
        weight: header.difficulty.unsigned_abs(),
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::super::{DevelopmentBranch, DevelopmentChain, development_genesis};
    use super::*;

    #[test]
    fn what_two_headers_claim_outweighs_no_chain() {
        let genesis = development_genesis();
        let rules = SpacetimeRules::new(&genesis).unwrap();
        let fork = rules.check_block(&genesis).unwrap();
        let infos = |blocks: Vec<Vec<u8>>| -> Vec<_> {
            blocks.iter().map(|block| rules.check_block(block).unwrap()).collect()
        };
        let honest = infos(DevelopmentChain::new(1, 1000).take(50).collect());
        assert_eq!(rules.branch_weight(&fork, &honest), 50_000);
        let made_up = infos(DevelopmentBranch::new(&genesis, i64::MAX).unwrap().take(2).collect());
        assert_eq!(rules.branch_weight(&fork, &made_up), 4000 + 16_000);
        assert_eq!(rules.branch_weight(&fork, []), 0);
    }
}
