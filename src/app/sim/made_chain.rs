//! Chains that are made before a simulation begins, and read by all that is in it.

use std::collections::BTreeMap;

use spacetime_core::Hash;
use spacetime_core::chain::{
    BlockHeader, DevelopmentBranch, DevelopmentChain, HEADER_BYTES, block_hash, development_genesis,
};

/// Blocks by height, from genesis; of some only the headers.
#[derive(Clone, Debug, Default)]
pub(super) struct MadeChain {
    blocks: Vec<Vec<u8>>,
    hashes: Vec<Hash>,
    heights: BTreeMap<Hash, usize>,
}

impl MadeChain {
    /// Genesis and so many blocks.
    pub(super) fn generate(seed: u64, blocks: usize, block_bytes: usize) -> Self {
        let mut chain = Self::default();
        chain.push(development_genesis());
        DevelopmentChain::new(seed, block_bytes).take(blocks).for_each(|block| chain.push(block));
        chain
    }

    fn push(&mut self, block: Vec<u8>) {
        let hash = BlockHeader::hash_of(&block).unwrap_or_default();
        self.heights.insert(hash, self.blocks.len());
        self.hashes.push(hash);
        self.blocks.push(block);
    }

    /// The same up to a height, then so many blocks without transactions that claim this difficulty.
    pub(super) fn fork(&self, height: usize, blocks: usize, difficulty: i64) -> Self {
        let mut fork = Self::default();
        self.blocks.iter().take(height + 1).for_each(|block| fork.push(block.clone()));
        fork.invent_after(height, blocks, difficulty);
        fork
    }

    /// A chain that parts from this one after a height, without anything before it.
    pub(super) fn invent(&self, height: usize, blocks: usize, difficulty: i64) -> Self {
        let mut fork = Self::default();
        let first = height.saturating_sub(110);
        self.blocks.iter().take(height + 1).skip(first).for_each(|block| fork.push(block.clone()));
        fork.invent_after(height - first, blocks, difficulty);
        fork
    }

    fn invent_after(&mut self, index: usize, blocks: usize, difficulty: i64) {
        let branch = DevelopmentBranch::new(&self.blocks[index], difficulty).expect("it was made here");
        branch.take(blocks).for_each(|block| self.push(block));
    }

    /// The height of the last block.
    pub(super) fn height(&self) -> usize {
        self.blocks.len() - 1
    }

    pub(super) fn hash(&self, height: usize) -> Hash {
        self.hashes[height]
    }

    pub(super) fn height_of(&self, hash: Hash) -> Option<usize> {
        self.heights.get(&hash).copied()
    }

    pub(super) fn block(&self, height: usize) -> &[u8] {
        &self.blocks[height]
    }

    pub(super) fn blocks(&self) -> impl Iterator<Item = &[u8]> {
        self.blocks.iter().map(Vec::as_slice)
    }

    /// The headers after the first of these blocks that is there.
    pub(super) fn headers_after(&self, locator: &[Hash], max_headers: usize) -> Vec<Vec<u8>> {
        let after = locator.iter().find_map(|hash| self.height_of(*hash));
        let blocks = after.and_then(|height| self.blocks.get(height + 1..)).unwrap_or_default();
        blocks.iter().take(max_headers).map(|block| block[..HEADER_BYTES].to_vec()).collect()
    }

    /// Bytes of all blocks after genesis.
    pub(super) fn bytes(&self) -> u64 {
        self.blocks.iter().skip(1).map(|block| block.len() as u64).sum()
    }

    pub(super) fn contains(&self, block: &[u8]) -> bool {
        let height = block_hash(block).and_then(|hash| self.height_of(hash));
        height.is_some_and(|height| self.blocks[height] == block)
    }
}
