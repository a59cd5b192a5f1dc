//! What the chain store holds of memory, however long the chain is.
#![cfg(feature = "node")]

use std::alloc::System;

use spacetime_core::chain::{
    ChainRules as _, DevelopmentBranch, HEADER_BYTES, SpacetimeRules, development_genesis,
};
use spacetime_network::store::{ChainStore as _, CheckedBlock, RedbStore};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MIB: usize = 1 << 20;

fn held_bytes() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// What it caches of its file, and the names of its last blocks.
const MAX_BYTES: usize = 80 * MIB;

fn checked<'a>(rules: &SpacetimeRules, bytes: &'a [u8]) -> CheckedBlock<'a> {
    CheckedBlock { info: rules.check_block(bytes).unwrap(), header: &bytes[..HEADER_BYTES], bytes }
}

#[test]
fn the_store_of_a_long_chain_holds_no_more_memory_than_its_cache() {
    let folder = tempfile::tempdir().unwrap();
    let genesis = development_genesis();
    let rules = SpacetimeRules::new(&genesis).unwrap();
    let store = RedbStore::open(&folder.path().join("chain.redb"), checked(&rules, &genesis)).unwrap();
    let before = held_bytes();
    let mut blocks = DevelopmentBranch::new(&genesis, 1000).unwrap();
    for _ in 0..75 {
        let made: Vec<_> = blocks.by_ref().take(2000).collect();
        store.append(&made.iter().map(|block| checked(&rules, block)).collect::<Vec<_>>()).unwrap();
    }
    assert!(folder.path().join("chain.redb").metadata().unwrap().len() as usize > MAX_BYTES);
    // What somebody reads who downloads all of it.
    for height in 0..=store.height().unwrap() {
        assert!(store.block(height).unwrap().is_some());
    }
    let held = held_bytes() - before;
    assert!(held <= MAX_BYTES, "{} MiB", held / MIB);
}
