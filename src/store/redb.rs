//! A chain in one file that a crash cannot tear.

use std::path::Path;

use redb::{Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use spacetime_core::Hash;

use super::{ChainStore, CheckedBlock, StoreError, check_heights};

/// The layout of the file. A file of a newer one is refused.
const FORMAT: u64 = 1;

/// `format` and `genesis`.
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Headers of the best chain by height.
const HEADERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("headers");
/// Blocks of the best chain by height: they are written in this order, which keeps the tree dense.
const BLOCKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");
/// Heights of the best chain by hash.
const HEIGHTS: TableDefinition<'_, [u8; 32], u64> = TableDefinition::new("heights");

/// A chain in a redb file.
///
/// Each `append` is one transaction, on the disk when it returns; after a crash the file opens with
/// the last one that returned. Opening takes milliseconds whatever the size (quick repair).
#[derive(Debug)]
pub struct RedbStore {
    database: Database,
}

fn storage(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Storage(Box::new(error.into()))
}

impl RedbStore {
    /// Opens a file, or makes it with the genesis block in it.
    pub fn open(path: &Path, genesis: CheckedBlock<'_>) -> Result<Self, StoreError> {
        let database = Database::create(path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::Locked,
            error => storage(error),
        })?;
        let store = Self { database };
        match store.read_meta()? {
            Some((format, _)) if format > FORMAT => {
                let why = format!("its format is {format}, this program knows {FORMAT} at most");
                Err(StoreError::Foreign(why))
            }
            Some((_, hash)) if hash != genesis.info.hash => {
                let why = format!("its genesis block is {hash}, this network's is {}", genesis.info.hash);
                Err(StoreError::Foreign(why))
            }
            Some(_) => Ok(store),
            None => {
                store.write(&[genesis], Some(genesis.info.hash))?;
                Ok(store)
            }
        }
    }

    /// Format and genesis hash; none in a new file.
    fn read_meta(&self) -> Result<Option<(u64, Hash)>, StoreError> {
        let read = self.database.begin_read().map_err(storage)?;
        let meta = match read.open_table(META) {
            Ok(meta) => meta,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(storage(error)),
        };
        let format = meta.get("format").map_err(storage)?;
        let genesis = meta.get("genesis").map_err(storage)?;
        let format = format.and_then(|bytes| Some(u64::from_le_bytes(bytes.value().try_into().ok()?)));
        let genesis = genesis.and_then(|bytes| Some(Hash(bytes.value().try_into().ok()?)));
        match (format, genesis) {
            (Some(format), Some(genesis)) => Ok(Some((format, genesis))),
            _ => Err(StoreError::Foreign("it has no format and genesis written in it".into())),
        }
    }

    fn write(&self, blocks: &[CheckedBlock<'_>], new_chain: Option<Hash>) -> Result<(), StoreError> {
        let mut write = self.database.begin_write().map_err(storage)?;
        write.set_quick_repair(true);
        {
            let mut headers = write.open_table(HEADERS).map_err(storage)?;
            let mut bodies = write.open_table(BLOCKS).map_err(storage)?;
            let mut heights = write.open_table(HEIGHTS).map_err(storage)?;
            let height = headers.last().map_err(storage)?.map(|(height, _)| height.value());
            check_heights(height, blocks)?;
            for block in blocks {
                let height = block.info.height;
                headers.insert(height, block.header).map_err(storage)?;
                bodies.insert(height, block.bytes).map_err(storage)?;
                heights.insert(block.info.hash.0, height).map_err(storage)?;
            }
            if let Some(genesis) = new_chain {
                let mut meta = write.open_table(META).map_err(storage)?;
                meta.insert("format", &FORMAT.to_le_bytes()[..]).map_err(storage)?;
                meta.insert("genesis", &genesis.0[..]).map_err(storage)?;
            }
        }
        write.commit().map_err(storage)
    }
}

impl ChainStore for RedbStore {
    fn height(&self) -> Result<u64, StoreError> {
        let read = self.database.begin_read().map_err(storage)?;
        let headers = read.open_table(HEADERS).map_err(storage)?;
        let last = headers.last().map_err(storage)?;
        last.map(|(height, _)| height.value())
            .ok_or_else(|| StoreError::Foreign("it has no genesis block".into()))
    }

    fn height_of(&self, hash: Hash) -> Result<Option<u64>, StoreError> {
        let read = self.database.begin_read().map_err(storage)?;
        let heights = read.open_table(HEIGHTS).map_err(storage)?;
        Ok(heights.get(hash.0).map_err(storage)?.map(|height| height.value()))
    }

    fn headers(&self, from_height: u64, max_headers: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let read = self.database.begin_read().map_err(storage)?;
        let headers = read.open_table(HEADERS).map_err(storage)?;
        let range = headers.range(from_height..).map_err(storage)?;
        range
            .take(max_headers)
            .map(|entry| entry.map(|(_, header)| header.value().to_vec()).map_err(storage))
            .collect()
    }

    fn block(&self, height: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let read = self.database.begin_read().map_err(storage)?;
        let blocks = read.open_table(BLOCKS).map_err(storage)?;
        Ok(blocks.get(height).map_err(storage)?.map(|block| block.value().to_vec()))
    }

    fn append(&self, blocks: &[CheckedBlock<'_>]) -> Result<(), StoreError> {
        self.write(blocks, None)
    }
}
