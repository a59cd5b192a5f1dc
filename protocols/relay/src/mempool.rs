//! Transactions that wait to be in a block.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use spacetime_core::wire::Frame;
use spacetime_core::{Hash, Origin, Time};

use crate::item::Item;
use crate::pool::{Pool, PoolLimits};

/// Where accepted transactions go, and from where peers that ask for them are answered.
pub trait Mempool: fmt::Debug {
    /// A transaction with this hash was accepted. `from` is who brought it; none for this node itself.
    ///
    /// The hash says nothing of the signature: two items can have one hash.
    fn insert(&mut self, hash: Hash, transaction: &Item, from: Option<&Origin>, now: Time);

    /// Whether this very item waits, with the transaction's hash: then it is nothing new, however long ago
    /// it came.
    fn contains(&self, hash: &Hash, id: &Hash) -> bool;

    /// A transaction is in a block now, whichever signature it had here.
    fn remove(&mut self, hash: &Hash);

    /// Whether none waits: then nobody looks what new blocks include, and [`remove`](Self::remove) is not
    /// called.
    fn is_empty(&self) -> bool {
        self.transactions().next().is_none()
    }

    /// The transactions to be told of: their hashes, and the frames in which they go out.
    fn transactions(&self) -> impl Iterator<Item = (Hash, &Frame)>;

    /// When [`drop_old`](Self::drop_old) is to be called, if ever.
    fn deadline(&self) -> Option<Time> {
        None
    }

    /// Drops what has been there for too long. Afterwards the deadline lies in the future.
    fn drop_old(&mut self, now: Time) {
        let _ = now;
    }
}

/// A pool in memory: 50,000 transactions of 32 MiB together, each for 3 hours at most, as a
/// [`Pool`] of the hosts that sent them.
///
/// Whether a signature is right is for the application to say before it accepts. Where it does not
/// look, transactions that differ in nothing else stand beside each other, so that a wrong copy that
/// comes first does not keep the right one out.
#[derive(Debug)]
pub struct MemoryPool(Pool<Name, Frame>);

/// The hash of a transaction, and the name of the item: its hash with all that belongs to it.
type Name = (Hash, Hash);

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

    /// The memory that all their frames keep.
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
    fn insert(&mut self, hash: Hash, transaction: &Item, from: Option<&Origin>, now: Time) {
        let frame = transaction.frame().keep();
        let bytes = frame.held_bytes();
        self.0.insert((hash, transaction.id()), frame, bytes, from.cloned(), now);
    }

    fn contains(&self, hash: &Hash, id: &Hash) -> bool {
        self.0.get(&(*hash, *id)).is_some()
    }

    fn remove(&mut self, hash: &Hash) {
        let of_hash = self.0.range((*hash, Hash::ZERO)..=(*hash, Hash([0xff; 32])));
        for name in of_hash.copied().collect::<Vec<_>>() {
            self.0.remove(&name);
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn transactions(&self) -> impl Iterator<Item = (Hash, &Frame)> {
        self.0.iter().map(|((hash, _), frame)| (*hash, frame))
    }

    fn deadline(&self) -> Option<Time> {
        self.0.deadline()
    }

    fn drop_old(&mut self, now: Time) {
        self.0.drop_old(now);
    }
}
