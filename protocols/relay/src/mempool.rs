//! Transactions that wait to be in a block.

use core::fmt;
use core::time::Duration;

use spacetime_core::wire::Frame;
use spacetime_core::{Hash, Origin, Time};

use crate::pool::{Pool, PoolLimits};

/// Where accepted transactions go, and from where peers that ask for them are answered.
pub trait Mempool: fmt::Debug {
    /// A transaction was accepted. `from` is who brought it; none for this node itself.
    fn insert(&mut self, hash: Hash, transaction: &Frame, from: Option<&Origin>, now: Time);

    /// A transaction is in a block now.
    fn remove(&mut self, hash: &Hash);

    /// The transactions to be told of: their hashes, and the frames in which they go out.
    fn transactions(&self) -> impl Iterator<Item = (Hash, &Frame)>;
}

/// A pool in memory: 50,000 transactions of 32 MiB together, each for 3 hours at most, as a
/// [`Pool`] of the hosts that sent them.
#[derive(Debug)]
pub struct MemoryPool(Pool<Frame>);

impl MemoryPool {
    /// An empty pool with these limits.
    pub const fn new(limits: PoolLimits) -> Self {
        Self(Pool::new(limits))
    }

    /// How many transactions there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all their frames.
    pub const fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

impl Default for MemoryPool {
    fn default() -> Self {
        Self::new(PoolLimits {
            max_count: 50_000,
            max_bytes: 32 * 1024 * 1024,
            lifetime: Duration::from_secs(3 * 3600),
        })
    }
}

impl Mempool for MemoryPool {
    fn insert(&mut self, hash: Hash, transaction: &Frame, from: Option<&Origin>, now: Time) {
        self.0.insert(hash, transaction.keep(), transaction.len(), from.cloned(), now);
    }

    fn remove(&mut self, hash: &Hash) {
        self.0.remove(hash);
    }

    fn transactions(&self) -> impl Iterator<Item = (Hash, &Frame)> {
        self.0.iter()
    }
}
