//! A chain in memory, for tests and simulations.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use spacetime_core::Hash;

use super::{ChainStore, CheckedBlock, StoreError, check_heights};

/// A chain that is gone with the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    chain: RwLock<Chain>,
}

#[derive(Debug, Default)]
struct Chain {
    blocks: Vec<Vec<u8>>,
    headers: Vec<Vec<u8>>,
    heights: BTreeMap<Hash, u64>,
}

impl MemoryStore {
    /// A chain of one block.
    pub fn new(genesis: CheckedBlock<'_>) -> Result<Self, StoreError> {
        let store = Self::default();
        store.append(&[genesis])?;
        Ok(store)
    }

    fn read(&self) -> RwLockReadGuard<'_, Chain> {
        self.chain.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChainStore for MemoryStore {
    fn height(&self) -> Result<u64, StoreError> {
        Ok(self.read().blocks.len() as u64 - 1)
    }

    fn height_of(&self, hash: Hash) -> Result<Option<u64>, StoreError> {
        Ok(self.read().heights.get(&hash).copied())
    }

    fn headers(&self, from_height: u64, max_headers: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let from = usize::try_from(from_height).unwrap_or(usize::MAX);
        Ok(self.read().headers.iter().skip(from).take(max_headers).cloned().collect())
    }

    fn block(&self, height: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let index = usize::try_from(height).unwrap_or(usize::MAX);
        Ok(self.read().blocks.get(index).cloned())
    }

    fn append(&self, blocks: &[CheckedBlock<'_>]) -> Result<(), StoreError> {
        let mut chain = self.chain.write().unwrap_or_else(PoisonError::into_inner);
        check_heights((chain.blocks.len() as u64).checked_sub(1), blocks)?;
        for block in blocks {
            chain.blocks.push(block.bytes.to_vec());
            chain.headers.push(block.header.to_vec());
            chain.heights.insert(block.info.hash, block.info.height);
        }
        Ok(())
    }
}
