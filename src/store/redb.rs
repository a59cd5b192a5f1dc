//! A chain in one file that a crash cannot tear.

use std::path::Path;

use redb::{
    Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _,
    TableDefinition,
};
use spacetime_core::Hash;

use super::{ChainStore, CheckedBlock, MAX_SIDE_DEPTH, StoreError, check_heights};

/// The layout of the file. A file of another one is refused.
const FORMAT: u64 = 2;

/// `format` and `genesis`.
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// The best chain by height: the number of a block, its hash and its header.
const HEADERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("headers");
/// Blocks by number, in the order in which they came, which keeps the tree dense. They stay where they
/// are when the chain goes over to another one.
const BLOCKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");
/// Heights of the best chain by hash.
const HEIGHTS: TableDefinition<'_, [u8; 32], u64> = TableDefinition::new("heights");
/// Blocks beside the best chain by hash: number, height and header.
const SIDE: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("side");

/// What stands in a row of the best chain.
fn best_row(number: u64, hash: &[u8; 32], header: &[u8]) -> Vec<u8> {
    [&number.to_le_bytes()[..], hash, header].concat()
}

fn split_best_row(bytes: &[u8]) -> Result<(u64, [u8; 32], &[u8]), StoreError> {
    let ([number], rest) = split_row(bytes)?;
    let (hash, header) = rest.split_first_chunk().ok_or_else(cut_row)?;
    Ok((number, *hash, header))
}

fn cut_row() -> StoreError {
    StoreError::Foreign("a row of it is cut short".into())
}

/// So many blocks may be beside the best chain before those that are too old are looked for.
const MAX_SIDE_BLOCKS: u64 = 2 * MAX_SIDE_DEPTH;

/// What stands in a row of a table: numbers, and bytes behind them.
fn row<const N: usize>(numbers: [u64; N], header: &[u8]) -> Vec<u8> {
    let numbers = numbers.iter().flat_map(|number| number.to_le_bytes());
    numbers.chain(header.iter().copied()).collect()
}

fn split_row<const N: usize>(row: &[u8]) -> Result<([u64; N], &[u8]), StoreError> {
    let mut numbers = [0; N];
    let mut rest = row;
    for number in &mut numbers {
        let (bytes, after) = rest.split_first_chunk().ok_or_else(cut_row)?;
        (*number, rest) = (u64::from_le_bytes(*bytes), after);
    }
    Ok((numbers, rest))
}

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
            Some((format, _)) if format != FORMAT => {
                let why = format!("its format is {format}, this program knows {FORMAT}");
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

    fn begin_write(&self) -> Result<redb::WriteTransaction, StoreError> {
        let mut write = self.database.begin_write().map_err(storage)?;
        write.set_quick_repair(true);
        Ok(write)
    }

    fn write(&self, blocks: &[CheckedBlock<'_>], new_chain: Option<Hash>) -> Result<(), StoreError> {
        let write = self.begin_write()?;
        {
            let mut headers = write.open_table(HEADERS).map_err(storage)?;
            let mut bodies = write.open_table(BLOCKS).map_err(storage)?;
            let mut heights = write.open_table(HEIGHTS).map_err(storage)?;
            let height = headers.last().map_err(storage)?.map(|(height, _)| height.value());
            check_heights(height, blocks)?;
            for (number, block) in (next_number(&bodies)?..).zip(blocks) {
                let height = block.info.height;
                let row = best_row(number, &block.info.hash.0, block.header);
                headers.insert(height, &row[..]).map_err(storage)?;
                bodies.insert(number, block.bytes).map_err(storage)?;
                heights.insert(block.info.hash.0, height).map_err(storage)?;
            }
            if let Some(genesis) = new_chain {
                write.open_table(SIDE).map_err(storage)?;
                let mut meta = write.open_table(META).map_err(storage)?;
                meta.insert("format", &FORMAT.to_le_bytes()[..]).map_err(storage)?;
                meta.insert("genesis", &genesis.0[..]).map_err(storage)?;
            }
        }
        write.commit().map_err(storage)
    }

    /// What the row of a block beside the best chain says: its number, and its header.
    fn side(&self, hash: Hash) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let read = self.database.begin_read().map_err(storage)?;
        let side = read.open_table(SIDE).map_err(storage)?;
        let Some(found) = side.get(hash.0).map_err(storage)? else { return Ok(None) };
        let ([number, _], header) = split_row(found.value())?;
        Ok(Some((number, header.to_vec())))
    }

    fn body(&self, number: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let read = self.database.begin_read().map_err(storage)?;
        let bodies = read.open_table(BLOCKS).map_err(storage)?;
        Ok(bodies.get(number).map_err(storage)?.map(|block| block.value().to_vec()))
    }
}

fn next_number(bodies: &redb::Table<'_, u64, &'static [u8]>) -> Result<u64, StoreError> {
    Ok(bodies.last().map_err(storage)?.map_or(0, |(number, _)| number.value() + 1))
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
            .map(|entry| {
                let (_, entry) = entry.map_err(storage)?;
                let (_, _, header) = split_best_row(entry.value())?;
                Ok(header.to_vec())
            })
            .collect()
    }

    fn block(&self, height: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let read = self.database.begin_read().map_err(storage)?;
        let headers = read.open_table(HEADERS).map_err(storage)?;
        let bodies = read.open_table(BLOCKS).map_err(storage)?;
        let Some(entry) = headers.get(height).map_err(storage)? else { return Ok(None) };
        let (number, ..) = split_best_row(entry.value())?;
        Ok(bodies.get(number).map_err(storage)?.map(|block| block.value().to_vec()))
    }

    fn append(&self, blocks: &[CheckedBlock<'_>]) -> Result<(), StoreError> {
        self.write(blocks, None)
    }

    fn side_header(&self, hash: Hash) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.side(hash)?.map(|(_, header)| header))
    }

    fn side_block(&self, hash: Hash) -> Result<Option<Vec<u8>>, StoreError> {
        self.side(hash)?.map(|(number, _)| self.body(number)).transpose().map(Option::flatten)
    }

    fn append_side(&self, blocks: &[CheckedBlock<'_>]) -> Result<(), StoreError> {
        let write = self.begin_write()?;
        {
            let mut bodies = write.open_table(BLOCKS).map_err(storage)?;
            let mut side = write.open_table(SIDE).map_err(storage)?;
            if side.len().map_err(storage)? > MAX_SIDE_BLOCKS {
                let headers = write.open_table(HEADERS).map_err(storage)?;
                let tip = headers.last().map_err(storage)?.map_or(0, |(height, _)| height.value());
                let is_old =
                    |row: &[u8]| split_row(row).is_ok_and(|([_, height], _)| height + MAX_SIDE_DEPTH < tip);
                for entry in side.extract_if(|_, row| is_old(row)).map_err(storage)? {
                    let (_, entry) = entry.map_err(storage)?;
                    let ([number, _], _) = split_row::<2>(entry.value())?;
                    bodies.remove(number).map_err(storage)?;
                }
            }
            for (number, block) in (next_number(&bodies)?..).zip(blocks) {
                let CheckedBlock { info, header, bytes } = block;
                bodies.insert(number, *bytes).map_err(storage)?;
                side.insert(info.hash.0, &row([number, info.height], header)[..]).map_err(storage)?;
            }
        }
        write.commit().map_err(storage)
    }

    fn reorganise(&self, fork_height: u64, branch: &[Hash]) -> Result<(), StoreError> {
        let write = self.begin_write()?;
        {
            let mut headers = write.open_table(HEADERS).map_err(storage)?;
            let mut heights = write.open_table(HEIGHTS).map_err(storage)?;
            let mut side = write.open_table(SIDE).map_err(storage)?;
            let mut coming = Vec::with_capacity(branch.len());
            for (height, hash) in (fork_height + 1..).zip(branch) {
                let found = side.remove(hash.0).map_err(storage)?;
                let found = found.ok_or(StoreError::NoSuchBranch(*hash))?;
                let ([number, stands_at], header) = split_row(found.value())?;
                if stands_at != height {
                    return Err(StoreError::NoSuchBranch(*hash));
                }
                coming.push((height, hash, best_row(number, &hash.0, header)));
            }
            for entry in headers.extract_from_if(fork_height + 1.., |_, _| true).map_err(storage)? {
                let (height, entry) = entry.map_err(storage)?;
                let (number, hash, header) = split_best_row(entry.value())?;
                heights.remove(hash).map_err(storage)?;
                side.insert(hash, &row([number, height.value()], header)[..]).map_err(storage)?;
            }
            for (height, hash, entry) in coming {
                headers.insert(height, &entry[..]).map_err(storage)?;
                heights.insert(hash.0, height).map_err(storage)?;
            }
        }
        write.commit().map_err(storage)
    }
}
