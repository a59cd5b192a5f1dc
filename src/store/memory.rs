//! A chain in memory, for tests and simulations.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use spacetime_core::Hash;

use super::{ChainStore, CheckedBlock, MAX_SIDE_DEPTH, StoreError, check_heights};

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
    /// Height, header and block.
    side: BTreeMap<Hash, (u64, Vec<u8>, Vec<u8>)>,
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

    fn headers_after(&self, locator: &[Hash], max_headers: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let chain = self.read();
        let Some(height) = locator.iter().find_map(|hash| chain.heights.get(hash)) else {
            return Ok(Vec::new());
        };
        Ok(chain.headers.iter().skip(*height as usize + 1).take(max_headers).cloned().collect())
    }

    fn block(&self, height: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let index = usize::try_from(height).unwrap_or(usize::MAX);
        Ok(self.read().blocks.get(index).cloned())
    }

    fn header_of(&self, hash: Hash) -> Result<Option<Vec<u8>>, StoreError> {
        let chain = self.read();
        Ok(match chain.heights.get(&hash) {
            Some(height) => chain.headers.get(*height as usize).cloned(),
            None => chain.side.get(&hash).map(|(_, header, _)| header.clone()),
        })
    }

    fn block_of(&self, hash: Hash) -> Result<Option<Vec<u8>>, StoreError> {
        let chain = self.read();
        Ok(match chain.heights.get(&hash) {
            Some(height) => chain.blocks.get(*height as usize).cloned(),
            None => chain.side.get(&hash).map(|(_, _, block)| block.clone()),
        })
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

    fn append_side(&self, blocks: &[CheckedBlock<'_>]) -> Result<(), StoreError> {
        let mut chain = self.chain.write().unwrap_or_else(PoisonError::into_inner);
        let lowest = (chain.blocks.len() as u64).saturating_sub(1 + MAX_SIDE_DEPTH);
        chain.side.retain(|_, (height, ..)| *height >= lowest);
        for CheckedBlock { info, header, bytes } in blocks {
            chain.side.insert(info.hash, (info.height, header.to_vec(), bytes.to_vec()));
        }
        Ok(())
    }

    fn reorganise(&self, fork_height: u64, branch: &[Hash]) -> Result<(), StoreError> {
        let chain = &mut *self.chain.write().unwrap_or_else(PoisonError::into_inner);
        for (height, hash) in (fork_height + 1..).zip(branch) {
            let stands_there = chain.side.get(hash).is_some_and(|side| side.0 == height);
            if !stands_there {
                return Err(StoreError::NoSuchBranch(*hash));
            }
        }
        let kept = usize::try_from(fork_height + 1).unwrap_or(usize::MAX).min(chain.blocks.len());
        let left = chain.headers.split_off(kept).into_iter().zip(chain.blocks.split_off(kept));
        let mut hashes: Vec<_> = chain.heights.iter().filter(|(_, height)| **height > fork_height).collect();
        hashes.sort_unstable_by_key(|(_, height)| **height);
        let hashes: Vec<_> = hashes.into_iter().map(|(hash, height)| (*hash, *height)).collect();
        for ((hash, height), (header, block)) in hashes.into_iter().zip(left) {
            chain.heights.remove(&hash);
            chain.side.insert(hash, (height, header, block));
        }
        for hash in branch {
            if let Some((height, header, block)) = chain.side.remove(hash) {
                chain.headers.push(header);
                chain.blocks.push(block);
                chain.heights.insert(*hash, height);
            }
        }
        Ok(())
    }
}
