//! A chain on a simulated disk.

use spacetime_core::Hash;
use spacetime_core::canary::{self, Canary};
use spacetime_core::chain::{ChainRules, SpacetimeRules};
use spacetime_simulator::Disk;

use crate::store::{ChainStore, CheckedBlock, MemoryStore, StoreError};

/// The file that holds the blocks after genesis, each behind its length.
const FILE: &str = "chain";

/// A log of blocks on a disk, and the same in memory. What a crash has torn is cut off when the
/// store is opened again.
#[derive(Debug)]
pub struct DiskStore {
    disk: Disk,
    chain: MemoryStore,
}

impl DiskStore {
    /// Opens the chain that follows `genesis`.
    pub fn open(disk: Disk, genesis: &[u8], rules: &SpacetimeRules) -> Result<Self, StoreError> {
        let broken = |error| StoreError::Foreign(format!("the genesis block is broken: {error}"));
        let mut info = rules.check_block(genesis).map_err(broken)?;
        let header = rules.header_of(genesis).map_err(broken)?;
        let chain = MemoryStore::new(CheckedBlock { info, header, bytes: genesis })?;
        let bytes = disk.read(FILE).unwrap_or_default();
        let mut rest = &bytes[..];
        while let Some((block, after)) = split_record(rest) {
            let checked = rules.check_block(block).and_then(|next| {
                rules.check_link(&info, &next)?;
                Ok(CheckedBlock { info: next, header: rules.header_of(block)?, bytes: block })
            });
            let Ok(checked) = checked else { break };
            chain.append(&[checked])?;
            info = checked.info;
            rest = after;
        }
        if !canary::is(Canary::UncutLog) {
            disk.truncate(FILE, bytes.len() - rest.len());
        }
        Ok(Self { disk, chain })
    }
}

/// The first block of a log, and what follows it; nothing if it is not whole.
fn split_record(log: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = log.split_first_chunk()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

impl ChainStore for DiskStore {
    fn height(&self) -> Result<u64, StoreError> {
        self.chain.height()
    }

    fn height_of(&self, hash: Hash) -> Result<Option<u64>, StoreError> {
        self.chain.height_of(hash)
    }

    fn headers(&self, from_height: u64, max_headers: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        self.chain.headers(from_height, max_headers)
    }

    fn block(&self, height: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.chain.block(height)
    }

    fn append(&self, blocks: &[CheckedBlock<'_>]) -> Result<(), StoreError> {
        let mut log = Vec::new();
        for block in blocks {
            log.extend((block.bytes.len() as u32).to_le_bytes());
            log.extend_from_slice(block.bytes);
        }
        let storage = |error| StoreError::Storage(Box::new(error));
        self.disk.append(FILE, &log).map_err(storage)?;
        if !canary::is(Canary::MissingSync) {
            self.disk.sync(FILE).map_err(storage)?;
        }
        self.chain.append(blocks)
    }
}
