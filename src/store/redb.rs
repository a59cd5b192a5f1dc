//! A chain in one file that a crash cannot tear.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase as _, ReadableTable as _,
    ReadableTableMetadata as _, StorageBackend, TableDefinition,
};
use spacetime_core::Hash;

use super::{ChainStore, CheckedBlock, MAX_SIDE_DEPTH, StoreError, check_heights};

/// The layout of the file. A file of another one is refused.
const FORMAT: u64 = 3;

/// `format` and `genesis`.
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// The best chain by height: the number of a block, its hash and its header.
const HEADERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("headers");
/// Blocks by number, in the order in which they came, which keeps the tree dense. They stay where they
/// are when the chain goes over to another one.
const BLOCKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");
/// Heights of the best chain by hash, of all blocks but the last ones: see [`MAX_UNINDEXED`].
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

/// Blocks at the end of the best chain whose hashes are in memory and not in `HEIGHTS`; from so many on
/// they are written there, in the order of their hashes.
///
/// Hashes are spread over the whole table, so each one that is written by itself costs a page: of the
/// smallest blocks that was three quarters of all work (17.7 us for a block, of a chain of a million, in
/// batches of 2000; 6.6 us in a trial that wrote 65,000 at once). The price is 5 MB of memory, and that a store reads so many headers
/// when it is opened: some 50 ms.
const MAX_UNINDEXED: u64 = 65_536;

/// What redb keeps of the file in memory. By itself it keeps up to 1 GiB, which whoever downloads the
/// chain from this node would fill; the pages that name blocks by hash are 40 bytes for each, and of
/// bodies nothing is read twice soon.
const CACHE_BYTES: usize = 64 << 20;

/// A chain in a redb file.
///
/// Each `append` is one transaction, on the disk when it returns; after a crash the file opens with
/// the last one that returned. Opening takes milliseconds whatever the size (quick repair).
#[derive(Debug)]
pub struct RedbStore {
    database: Database,
    max_unindexed: u64,
    /// Where the blocks may stand that are not in `HEIGHTS`: the row there has the last word. Readers look
    /// here before they begin to read the file; what is new comes in before it is written there, and
    /// leaves after it is indexed there.
    unindexed: RwLock<BTreeMap<[u8; 32], u64>>,
}

fn storage(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Storage(Box::new(error.into()))
}

impl RedbStore {
    /// Opens a file, or makes it with the genesis block in it.
    pub fn open(path: &Path, genesis: CheckedBlock<'_>) -> Result<Self, StoreError> {
        let load = |path: &Path| {
            let database = Database::builder().set_cache_size(CACHE_BYTES).create(path);
            Self::load(database, genesis, MAX_UNINDEXED)
        };
        if !path.exists() {
            // A file that is half made when the power fails would never open: it gets its name when it is whole.
            let new = path.with_extension("new");
            match std::fs::remove_file(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(storage(error)),
                _ => drop(load(&new)?),
            }
            std::fs::rename(&new, path).map_err(storage)?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = std::fs::File::open(folder.unwrap_or(Path::new("."))).map_err(storage)?;
            folder.sync_all().map_err(storage)?;
        }
        load(path)
    }

    /// The same on something else than a file, and with another number of blocks that are not indexed: for
    /// tests of what a crash leaves.
    pub fn with_backend(
        backend: impl StorageBackend,
        genesis: CheckedBlock<'_>,
        max_unindexed: u64,
    ) -> Result<Self, StoreError> {
        let database = Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend);
        Self::load(database, genesis, max_unindexed)
    }

    fn load(
        database: Result<Database, DatabaseError>,
        genesis: CheckedBlock<'_>,
        max_unindexed: u64,
    ) -> Result<Self, StoreError> {
        let database = database.map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::Locked,
            error => storage(error),
        })?;
        let store = Self { database, max_unindexed, unindexed: RwLock::default() };
        match store.read_meta()? {
            Some((format, _)) if format != FORMAT => {
                let why = format!("its format is {format}, this program knows {FORMAT}");
                Err(StoreError::Foreign(why))
            }
            Some((_, hash)) if hash != genesis.info.hash => {
                let why = format!("its genesis block is {hash}, this network's is {}", genesis.info.hash);
                Err(StoreError::Foreign(why))
            }
            Some(_) => {
                store.read_unindexed()?;
                Ok(store)
            }
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

    fn read_unindexed(&self) -> Result<(), StoreError> {
        let read = self.database.begin_read().map_err(storage)?;
        let indexed = read.open_table(HEIGHTS).map_err(storage)?.len().map_err(storage)?;
        let headers = read.open_table(HEADERS).map_err(storage)?;
        self.unindexed().extend(hashes_from(&headers, indexed)?);
        Ok(())
    }

    fn unindexed(&self) -> RwLockWriteGuard<'_, BTreeMap<[u8; 32], u64>> {
        self.unindexed.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a block may stand that is not in `HEIGHTS`.
    fn hint(&self, hash: Hash) -> Option<u64> {
        self.unindexed.read().unwrap_or_else(PoisonError::into_inner).get(&hash.0).copied()
    }

    /// A block of any chain: its number, and its header.
    fn find(&self, hash: Hash) -> Result<Option<(ReadTransaction, u64, Vec<u8>)>, StoreError> {
        let hint = self.hint(hash);
        let read = self.database.begin_read().map_err(storage)?;
        if let Some(height) = best_height(&read, hint, hash)? {
            let headers = read.open_table(HEADERS).map_err(storage)?;
            let Some(found) = headers.get(height).map_err(storage)? else { return Ok(None) };
            let (number, _, header) = split_best_row(found.value())?;
            let header = header.to_vec();
            drop(found);
            return Ok(Some((read, number, header)));
        }
        let side = read.open_table(SIDE).map_err(storage)?;
        let Some(found) = side.get(hash.0).map_err(storage)? else { return Ok(None) };
        let ([number, _], header) = split_row(found.value())?;
        let header = header.to_vec();
        drop(found);
        Ok(Some((read, number, header)))
    }

    fn begin_write(&self) -> Result<redb::WriteTransaction, StoreError> {
        let mut write = self.database.begin_write().map_err(storage)?;
        write.set_quick_repair(true);
        Ok(write)
    }

    fn write(&self, blocks: &[CheckedBlock<'_>], new_chain: Option<Hash>) -> Result<(), StoreError> {
        let write = self.begin_write()?;
        let is_indexed;
        {
            let mut headers = write.open_table(HEADERS).map_err(storage)?;
            let mut bodies = write.open_table(BLOCKS).map_err(storage)?;
            let mut heights = write.open_table(HEIGHTS).map_err(storage)?;
            let height = headers.last().map_err(storage)?.map(|(height, _)| height.value());
            check_heights(height, blocks)?;
            for (number, block) in (next_number(&bodies)?..).zip(blocks) {
                let row = best_row(number, &block.info.hash.0, block.header);
                headers.insert(block.info.height, &row[..]).map_err(storage)?;
                bodies.insert(number, block.bytes).map_err(storage)?;
            }
            let indexed = heights.len().map_err(storage)?;
            let next = headers.last().map_err(storage)?.map_or(0, |(height, _)| height.value() + 1);
            is_indexed = next - indexed > self.max_unindexed;
            if is_indexed {
                let mut hashes = hashes_from(&headers, indexed)?;
                hashes.sort_unstable();
                for (hash, height) in hashes {
                    heights.insert(hash, height).map_err(storage)?;
                }
            }
            if let Some(genesis) = new_chain {
                write.open_table(SIDE).map_err(storage)?;
                let mut meta = write.open_table(META).map_err(storage)?;
                meta.insert("format", &FORMAT.to_le_bytes()[..]).map_err(storage)?;
                meta.insert("genesis", &genesis.0[..]).map_err(storage)?;
            }
        }
        self.unindexed().extend(blocks.iter().map(|block| (block.info.hash.0, block.info.height)));
        write.commit().map_err(storage)?;
        if is_indexed {
            self.unindexed().clear();
        }
        Ok(())
    }
}

/// The height of a block of the best chain.
fn best_height(read: &ReadTransaction, hint: Option<u64>, hash: Hash) -> Result<Option<u64>, StoreError> {
    if let Some(height) = hint {
        let headers = read.open_table(HEADERS).map_err(storage)?;
        if let Some(found) = headers.get(height).map_err(storage)?
            && split_best_row(found.value())?.1 == hash.0
        {
            return Ok(Some(height));
        }
    }
    let heights = read.open_table(HEIGHTS).map_err(storage)?;
    Ok(heights.get(hash.0).map_err(storage)?.map(|height| height.value()))
}

/// Hashes and heights of the best chain from a height on.
fn hashes_from(
    headers: &impl redb::ReadableTable<u64, &'static [u8]>,
    from_height: u64,
) -> Result<Vec<([u8; 32], u64)>, StoreError> {
    let range = headers.range(from_height..).map_err(storage)?;
    range
        .map(|entry| {
            let (height, entry) = entry.map_err(storage)?;
            Ok((split_best_row(entry.value())?.1, height.value()))
        })
        .collect()
}

fn read_headers(
    read: &ReadTransaction,
    from_height: u64,
    max_headers: usize,
) -> Result<Vec<Vec<u8>>, StoreError> {
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
        let hint = self.hint(hash);
        best_height(&self.database.begin_read().map_err(storage)?, hint, hash)
    }

    fn headers(&self, from_height: u64, max_headers: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        read_headers(&self.database.begin_read().map_err(storage)?, from_height, max_headers)
    }

    fn headers_after(&self, locator: &[Hash], max_headers: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let hints: Vec<_> = locator.iter().map(|hash| self.hint(*hash)).collect();
        let read = self.database.begin_read().map_err(storage)?;
        for (hash, hint) in locator.iter().zip(hints) {
            if let Some(height) = best_height(&read, hint, *hash)? {
                return read_headers(&read, height + 1, max_headers);
            }
        }
        Ok(Vec::new())
    }

    fn block(&self, height: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let read = self.database.begin_read().map_err(storage)?;
        let headers = read.open_table(HEADERS).map_err(storage)?;
        let bodies = read.open_table(BLOCKS).map_err(storage)?;
        let Some(entry) = headers.get(height).map_err(storage)? else { return Ok(None) };
        let (number, ..) = split_best_row(entry.value())?;
        Ok(bodies.get(number).map_err(storage)?.map(|block| block.value().to_vec()))
    }

    fn header_of(&self, hash: Hash) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.find(hash)?.map(|(_, _, header)| header))
    }

    fn block_of(&self, hash: Hash) -> Result<Option<Vec<u8>>, StoreError> {
        let Some((read, number, _)) = self.find(hash)? else { return Ok(None) };
        let bodies = read.open_table(BLOCKS).map_err(storage)?;
        Ok(bodies.get(number).map_err(storage)?.map(|block| block.value().to_vec()))
    }

    fn append(&self, blocks: &[CheckedBlock<'_>]) -> Result<(), StoreError> {
        self.write(blocks, None)
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
        let mut left = Vec::new();
        {
            let mut headers = write.open_table(HEADERS).map_err(storage)?;
            let mut heights = write.open_table(HEIGHTS).map_err(storage)?;
            let mut side = write.open_table(SIDE).map_err(storage)?;
            let indexed = heights.len().map_err(storage)?;
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
                if height.value() < indexed {
                    heights.remove(hash).map_err(storage)?;
                }
                left.push(hash);
                side.insert(hash, &row([number, height.value()], header)[..]).map_err(storage)?;
            }
            let mut unindexed = self.unindexed();
            for (height, hash, entry) in coming {
                headers.insert(height, &entry[..]).map_err(storage)?;
                unindexed.insert(hash.0, height);
            }
        }
        write.commit().map_err(storage)?;
        let mut unindexed = self.unindexed();
        for hash in left {
            unindexed.remove(&hash);
        }
        Ok(())
    }
}
