//! Where a node keeps its chain.
//!
//! The chain worker is the only one that writes; any thread may read meanwhile.
//!
//! # Why bodies are in the same file as everything else
//!
//! Append-only files for bodies, with only their places in redb, were measured and not built: 3,000 blocks
//! of 100 KiB in durable batches of 8 MB cost 124 us of CPU each in redb, and 54 us in such a file. Of a
//! download over loopback, encrypted and checked, that difference is 13 % of what the node does that
//! synchronises, and less of the time that it takes: the store works while others download. It is worth less
//! than one transaction for all, checksums, and the room of blocks that are forgotten, which redb has.
//! (`cargo bench --bench sync` measures the whole.)

mod memory;
mod redb;

use std::fmt;

use spacetime_core::Hash;
use spacetime_core::chain::HeaderInfo;

pub use self::memory::MemoryStore;
pub use self::redb::RedbStore;

/// How far below the tip a block beside the best chain is still of use: nodes follow no chain that parts
/// half as deep.
pub const MAX_SIDE_DEPTH: u64 = 4000;

/// A block that was checked, and what its header says.
#[derive(Clone, Copy, Debug)]
pub struct CheckedBlock<'a> {
    /// What the network layer knows of it.
    pub info: HeaderInfo,
    /// The bytes of its header.
    pub header: &'a [u8],
    /// All its bytes.
    pub bytes: &'a [u8],
}

/// The best chain, from genesis to the tip, and verified blocks beside it.
pub trait ChainStore: Send + Sync {
    /// The height of the last block.
    fn height(&self) -> Result<u64, StoreError>;

    /// The height of a block of the best chain.
    fn height_of(&self, hash: Hash) -> Result<Option<u64>, StoreError>;

    /// The headers of the best chain from a height on, up to `max_headers` of them.
    fn headers(&self, from_height: u64, max_headers: usize) -> Result<Vec<Vec<u8>>, StoreError>;

    /// The headers of the best chain after the first of these blocks that is on it, up to `max_headers` of
    /// them; none if none is. They follow that block, whatever is written meanwhile.
    fn headers_after(&self, locator: &[Hash], max_headers: usize) -> Result<Vec<Vec<u8>>, StoreError>;

    /// A block of the best chain.
    fn block(&self, height: u64) -> Result<Option<Vec<u8>>, StoreError>;

    /// The header of a block, of the best chain or beside it.
    fn header_of(&self, hash: Hash) -> Result<Option<Vec<u8>>, StoreError>;

    /// A block, of the best chain or beside it.
    fn block_of(&self, hash: Hash) -> Result<Option<Vec<u8>>, StoreError>;

    /// Appends blocks that follow the tip and each other, all of them or none. When it returns they
    /// are on the disk.
    fn append(&self, blocks: &[CheckedBlock<'_>]) -> Result<(), StoreError>;

    /// Keeps blocks that do not follow the tip, all of them or none. Of those that are more than
    /// [`MAX_SIDE_DEPTH`] below the tip, it may forget any.
    fn append_side(&self, blocks: &[CheckedBlock<'_>]) -> Result<(), StoreError>;

    /// Goes over to another chain in one step, which a crash leaves done or not begun: the blocks after
    /// `fork_height` leave the best chain, and `branch`, which are blocks beside it, follows there. The
    /// ones that left are beside it then.
    fn reorganise(&self, fork_height: u64, branch: &[Hash]) -> Result<(), StoreError>;
}

/// Why a store cannot do what it was asked for.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk, or what stands on it.
    Storage(Box<dyn std::error::Error + Send + Sync>),
    /// The file is in use by another process.
    Locked,
    /// The file belongs to another chain, or was written by a newer version.
    Foreign(String),
    /// A block that the best chain was to go over to is not there, or does not stand there: a bug of the
    /// caller.
    NoSuchBranch(Hash),
    /// The blocks do not follow the tip: a bug of the caller.
    Gap {
        /// The height that the first block should have.
        expected: u64,
        /// The height that it has.
        found: u64,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(error) => write!(f, "the chain store failed: {error}"),
            Self::Locked => f.write_str("the chain store is in use by another process"),
            Self::Foreign(why) => write!(f, "the chain store cannot be used: {why}"),
            Self::NoSuchBranch(hash) => write!(f, "the chain cannot go over to block {hash}"),
            Self::Gap { expected, found } => {
                write!(f, "a block of height {found} cannot be stored where {expected} is next")
            }
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Storage(error) => Some(&**error),
            _ => None,
        }
    }
}

/// Whether `blocks` can stand behind a chain of this height.
fn check_heights(height: Option<u64>, blocks: &[CheckedBlock<'_>]) -> Result<(), StoreError> {
    let first = height.map_or(0, |height| height + 1);
    for (expected, block) in (first..).zip(blocks) {
        if block.info.height != expected {
            return Err(StoreError::Gap { expected, found: block.info.height });
        }
    }
    Ok(())
}
