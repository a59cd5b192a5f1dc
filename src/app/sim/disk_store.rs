//! A chain on a simulated disk.

use spacetime_core::Hash;
use spacetime_core::canary::{self, Canary};
use spacetime_core::chain::{ChainRules, SpacetimeRules};
use spacetime_simulator::Disk;

use crate::store::{ChainStore, CheckedBlock, MemoryStore, StoreError};

/// The file that holds what was done after genesis, each record behind its length and its kind.
const FILE: &str = "chain";

/// A block that follows the tip.
const BLOCK: u8 = 0;
/// A block beside the best chain.
const SIDE: u8 = 1;
/// The chain went over to another one: `u64` fork height, and the hashes of the blocks after it.
const REORGANISED: u8 = 2;

/// A log on a disk, and what came of it in memory. What a crash has torn is cut off when the store is
/// opened again.
#[derive(Debug)]
pub struct DiskStore {
    disk: Disk,
    chain: MemoryStore,
}

impl DiskStore {
    /// Opens the chain that follows `genesis`.
    pub fn open(disk: Disk, genesis: &[u8], rules: &SpacetimeRules) -> Result<Self, StoreError> {
        let broken = |error| StoreError::Foreign(format!("the genesis block is broken: {error}"));
        let info = rules.check_block(genesis).map_err(broken)?;
        let header = rules.header_of(genesis).map_err(broken)?;
        let chain = MemoryStore::new(CheckedBlock { info, header, bytes: genesis })?;
        let bytes = disk.read(FILE).unwrap_or_default();
        let mut rest = &bytes[..];
        while let Some((kind, record, after)) = split_record(rest) {
            if replay(&chain, rules, kind, record).is_none() {
                break;
            }
            rest = after;
        }
        if !canary::is(Canary::UncutLog) {
            disk.truncate(FILE, bytes.len() - rest.len());
        }
        Ok(Self { disk, chain })
    }
}

/// The first record of a log, and what follows it; nothing if it is not whole.
fn split_record(log: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (length, rest) = log.split_first_chunk()?;
    let (record, after) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let (kind, record) = record.split_first()?;
    Some((*kind, record, after))
}

/// Does again what a record says; nothing if it makes no sense.
fn replay(chain: &MemoryStore, rules: &SpacetimeRules, kind: u8, record: &[u8]) -> Option<()> {
    if kind == REORGANISED {
        let (fork_height, hashes) = record.split_first_chunk()?;
        let (hashes, []) = hashes.as_chunks::<32>() else { return None };
        let branch: Vec<_> = hashes.iter().map(|hash| Hash(*hash)).collect();
        return chain.reorganise(u64::from_le_bytes(*fork_height), &branch).ok();
    }
    let info = rules.check_block(record).ok()?;
    let parent = chain.header_of(info.parent).ok()??;
    rules.check_link(&rules.read_header(&parent).ok()?, &info).ok()?;
    let checked = [CheckedBlock { info, header: rules.header_of(record).ok()?, bytes: record }];
    match kind {
        BLOCK => chain.append(&checked).ok(),
        SIDE => chain.append_side(&checked).ok(),
        _ => None,
    }
}

fn write_record(log: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    let bytes: usize = parts.iter().map(|part| part.len()).sum();
    log.extend((bytes as u32 + 1).to_le_bytes());
    log.push(kind);
    parts.iter().for_each(|part| log.extend_from_slice(part));
}

impl DiskStore {
    /// What was written stays written, unless it is torn.
    fn write(&self, log: &[u8]) -> Result<(), StoreError> {
        let storage = |error| StoreError::Storage(Box::new(error));
        self.disk.append(FILE, log).map_err(storage)?;
        if !canary::is(Canary::MissingSync) {
            self.disk.sync(FILE).map_err(storage)?;
        }
        Ok(())
    }

    fn write_blocks(&self, kind: u8, blocks: &[CheckedBlock<'_>]) -> Result<(), StoreError> {
        let mut log = Vec::new();
        blocks.iter().for_each(|block| write_record(&mut log, kind, &[block.bytes]));
        self.write(&log)
    }
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

    fn headers_after(&self, locator: &[Hash], max_headers: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        self.chain.headers_after(locator, max_headers)
    }

    fn block(&self, height: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.chain.block(height)
    }

    fn header_of(&self, hash: Hash) -> Result<Option<Vec<u8>>, StoreError> {
        self.chain.header_of(hash)
    }

    fn block_of(&self, hash: Hash) -> Result<Option<Vec<u8>>, StoreError> {
        self.chain.block_of(hash)
    }

    fn append(&self, blocks: &[CheckedBlock<'_>]) -> Result<(), StoreError> {
        self.write_blocks(BLOCK, blocks)?;
        self.chain.append(blocks)
    }

    fn append_side(&self, blocks: &[CheckedBlock<'_>]) -> Result<(), StoreError> {
        self.write_blocks(SIDE, blocks)?;
        self.chain.append_side(blocks)
    }

    fn reorganise(&self, fork_height: u64, branch: &[Hash]) -> Result<(), StoreError> {
        let mut log = Vec::new();
        let hashes = branch.iter().map(|hash| &hash.0[..]).collect::<Vec<_>>().concat();
        write_record(&mut log, REORGANISED, &[&fork_height.to_le_bytes(), &hashes]);
        self.write(&log)?;
        self.chain.reorganise(fork_height, branch)
    }
}
