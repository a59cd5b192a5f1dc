//! Stores of a chain: both do the same, and what a crash leaves is one of the two states.
#![cfg(feature = "node")]

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
        assert_eq!(store.side_header(info(block).hash).unwrap(), None);
    }
}

/// That these blocks are beside the best chain.
fn assert_beside(store: &dyn ChainStore, blocks: &[Vec<u8>]) {
    for block in blocks {
        let hash = info(block).hash;
        assert_eq!(store.height_of(hash).unwrap(), None);
        assert_eq!(store.side_block(hash).unwrap().as_ref(), Some(block));
        assert_eq!(store.side_header(hash).unwrap().as_deref(), Some(&block[..HEADER_BYTES]));
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
fn blocks_that_do_not_follow_the_tip_are_not_appended() {
    with_both(|store| {
        let chain = chain(5);
        let gap = store.append(&[checked(&chain[2])]);
        assert!(matches!(gap, Err(StoreError::Gap { expected: 1, found: 2 })));
        assert_is(store, &chain[..1]);
    });
}
