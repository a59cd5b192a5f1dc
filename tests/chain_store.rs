//! Stores of a chain: both do the same. What a crash leaves of the one on the disk, the fuzz target
//! `chain_store` looks at.
#![cfg(feature = "node")]

use std::sync::atomic::{AtomicBool, Ordering};

use spacetime_core::Hash;
use spacetime_core::chain::{
    ChainRules as _, DevelopmentBranch, DevelopmentChain, HEADER_BYTES, HeaderInfo, SpacetimeRules,
    development_genesis,
};
use spacetime_network::store::{ChainStore, CheckedBlock, MemoryStore, RedbStore, StoreError};

fn rules() -> SpacetimeRules {
    SpacetimeRules::new(&development_genesis()).unwrap()
}

fn checked(block: &[u8]) -> CheckedBlock<'_> {
    CheckedBlock { info: info(block), header: &block[..HEADER_BYTES], bytes: block }
}

fn info(block: &[u8]) -> HeaderInfo {
    rules().read_header(&block[..HEADER_BYTES]).unwrap()
}

/// So many blocks after this one, of another chain for each difficulty.
fn branch(after: &[u8], blocks: usize, difficulty: i64) -> Vec<Vec<u8>> {
    DevelopmentBranch::new(after, difficulty).unwrap().take(blocks).collect()
}

fn add(store: &dyn ChainStore, blocks: &[Vec<u8>]) {
    store.append(&blocks.iter().map(|block| checked(block)).collect::<Vec<_>>()).unwrap();
}

fn add_side(store: &dyn ChainStore, blocks: &[Vec<u8>]) {
    store.append_side(&blocks.iter().map(|block| checked(block)).collect::<Vec<_>>()).unwrap();
}

fn hashes(blocks: &[Vec<u8>]) -> Vec<Hash> {
    blocks.iter().map(|block| info(block).hash).collect()
}

/// That the best chain is these blocks, and each can be found in every way.
fn assert_is(store: &dyn ChainStore, chain: &[Vec<u8>]) {
    assert_eq!(store.height().unwrap(), chain.len() as u64 - 1);
    let headers: Vec<_> = chain.iter().map(|block| block[..HEADER_BYTES].to_vec()).collect();
    assert_eq!(store.headers(0, usize::MAX).unwrap(), headers);
    for (height, block) in (0..).zip(chain) {
        assert_eq!(store.block(height).unwrap().as_ref(), Some(block), "{height}");
        assert_eq!(store.height_of(info(block).hash).unwrap(), Some(height));
        assert_eq!(store.block_of(info(block).hash).unwrap().as_ref(), Some(block));
        assert_eq!(store.header_of(info(block).hash).unwrap(), headers.get(height as usize).cloned());
        let after = store.headers_after(&[Hash([9; 32]), info(block).hash], 3).unwrap();
        assert_eq!(after[..], headers[height as usize + 1..][..after.len()]);
        assert_eq!(after.len(), (headers.len() - 1 - height as usize).min(3));
    }
    assert!(store.headers_after(&[Hash([9; 32])], 3).unwrap().is_empty());
}

/// That these blocks are beside the best chain.
fn assert_beside(store: &dyn ChainStore, blocks: &[Vec<u8>]) {
    for block in blocks {
        let hash = info(block).hash;
        assert_eq!(store.height_of(hash).unwrap(), None);
        assert_eq!(store.block_of(hash).unwrap().as_ref(), Some(block));
        assert_eq!(store.header_of(hash).unwrap().as_deref(), Some(&block[..HEADER_BYTES]));
        assert!(store.headers_after(&[hash], 3).unwrap().is_empty());
    }
}

fn with_both(test: impl Fn(&dyn ChainStore)) {
    let genesis = development_genesis();
    test(&MemoryStore::new(checked(&genesis)).unwrap());
    let folder = tempfile::tempdir().unwrap();
    test(&RedbStore::open(&folder.path().join("chain.redb"), checked(&genesis)).unwrap());
}

fn chain(blocks: usize) -> Vec<Vec<u8>> {
    std::iter::once(development_genesis()).chain(DevelopmentChain::new(1, 1000).take(blocks)).collect()
}

#[test]
fn the_best_chain_is_left_for_another_one_and_taken_again() {
    with_both(|store| {
        let old = chain(20);
        add(store, &old[1..]);
        let new = branch(&old[10], 11, 2000);
        add_side(store, &new[..4]);
        assert_is(store, &old);
        add_side(store, &new[4..]);
        assert_beside(store, &new);

        store.reorganise(10, &hashes(&new)).unwrap();
        let now: Vec<_> = old[..=10].iter().chain(&new).cloned().collect();
        assert_is(store, &now);
        assert_beside(store, &old[11..]);

        let more = branch(new.last().unwrap(), 3, 1000);
        add(store, &more);
        let now: Vec<_> = now.iter().chain(&more).cloned().collect();
        assert_is(store, &now);

        store.reorganise(10, &hashes(&old[11..])).unwrap();
        assert_is(store, &old);
        assert_beside(store, &now[11..]);
    });
}

#[test]
fn a_branch_that_is_not_there_changes_nothing() {
    with_both(|store| {
        let old = chain(20);
        add(store, &old[1..]);
        let new = branch(&old[10], 11, 2000);
        add_side(store, &new[..5]);
        for (fork, branch) in [(10, &new[..]), (9, &new[..5]), (10, &new[1..5]), (10, &old[12..])] {
            assert!(matches!(store.reorganise(fork, &hashes(branch)), Err(StoreError::NoSuchBranch(_))));
            assert_is(store, &old);
            assert_beside(store, &new[..5]);
        }
    });
}

#[test]
fn what_is_beside_the_chain_is_there_when_the_file_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let (genesis, old) = (development_genesis(), chain(20));
    let open = || RedbStore::open(&folder.path().join("chain.redb"), checked(&genesis)).unwrap();
    let new = branch(&old[5], 16, 2000);
    let store = open();
    add(&store, &old[1..]);
    add_side(&store, &new);
    drop(store);
    let store = open();
    assert_is(&store, &old);
    assert_beside(&store, &new);
    store.reorganise(5, &hashes(&new)).unwrap();
    drop(store);
    assert_beside(&open(), &old[6..]);
}

#[test]
fn a_file_that_was_half_made_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let genesis = development_genesis();
    // As a node leaves it that is killed at its first start.
    let half_made = folder.path().join("chain.new");
    std::fs::write(&half_made, [0; 8192]).unwrap();
    let store = RedbStore::open(&folder.path().join("chain.redb"), checked(&genesis)).unwrap();
    assert_is(&store, &chain(0));
    assert!(!half_made.exists());
}

#[test]
fn blocks_that_do_not_follow_the_tip_are_not_appended() {
    with_both(|store| {
        let chain = chain(5);
        let gap = store.append(&[checked(&chain[2])]);
        assert!(matches!(gap, Err(StoreError::Gap { expected: 1, found: 2 })));
        assert_is(store, &chain[..1]);
    });
}

#[test]
fn what_is_read_is_of_one_state_of_the_chain_while_it_goes_over_to_another_one() {
    with_both(|store| {
        let old = chain(20);
        add(store, &old[1..]);
        let new = branch(&old[10], 11, 2000);
        add_side(store, &new);
        let branches = [hashes(&new), hashes(&old[11..])];
        let fork = info(&old[10]).hash;
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for branch in branches.iter().cycle().take(200) {
                    store.reorganise(10, branch).unwrap();
                }
                is_over.store(true, Ordering::Relaxed);
            });
            while !is_over.load(Ordering::Relaxed) {
                for block in old[11..].iter().chain(&new) {
                    let hash = info(block).hash;
                    assert_eq!(store.block_of(hash).unwrap().as_ref(), Some(block));
                    assert_eq!(store.header_of(hash).unwrap().as_deref(), Some(&block[..HEADER_BYTES]));
                    for header in store.headers_after(&[hash, fork], 1).unwrap() {
                        let parent = rules().read_header(&header).unwrap().parent;
                        assert!(parent == hash || parent == fork, "headers follow what was named");
                    }
                }
            }
        });
    });
}

/// More than the blocks at the end of the chain whose hashes wait to be indexed.
const LONG: usize = 70_000;

#[test]
fn every_block_of_a_long_chain_is_found_whether_or_not_it_is_indexed() {
    let folder = tempfile::tempdir().unwrap();
    let genesis = development_genesis();
    let open = || RedbStore::open(&folder.path().join("chain.redb"), checked(&genesis)).unwrap();
    let store = open();
    let blocks: Vec<_> = std::iter::once(genesis.clone()).chain(branch(&genesis, LONG, 1000)).collect();
    for batch in blocks[1..].chunks(1000) {
        add(&store, batch);
    }
    let fork = LONG - 10_000;
    let new = branch(&blocks[fork], 3, 2000);
    add_side(&store, &new);
    let assert_found = |store: &RedbStore, blocks: &[&[Vec<u8>]]| {
        for (height, block) in blocks.concat().iter().enumerate().step_by(97) {
            let hash = info(block).hash;
            assert_eq!(store.height_of(hash).unwrap(), Some(height as u64));
            assert_eq!(store.block_of(hash).unwrap().as_ref(), Some(block));
        }
    };
    assert_found(&store, &[&blocks]);
    drop(store);
    let store = open();
    assert_found(&store, &[&blocks]);
    // Of those that leave, some are indexed and some are not.
    store.reorganise(fork as u64, &hashes(&new)).unwrap();
    assert_found(&store, &[&blocks[..=fork], &new]);
    drop(store);
    let store = open();
    assert_found(&store, &[&blocks[..=fork], &new]);
    for block in blocks[fork + 1..].iter().step_by(97) {
        assert_eq!(store.height_of(info(block).hash).unwrap(), None);
    }
}
