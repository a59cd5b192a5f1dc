//! What is told of items, and what becomes of the chain.

use std::net::IpAddr;

use spacetime_core::chain::{DevelopmentBranch, DevelopmentChain, SpacetimeRules, development_genesis};

use super::*;
use crate::store::MemoryStore;

/// Refuses what begins with this byte.
struct Strict(u8);

impl Strict {
    fn judge(&self, bytes: &[u8]) -> Verdict {
        if bytes.first() == Some(&self.0) { Verdict::Reject } else { Verdict::Accept }
    }
}

impl Verifier for Strict {
    fn verify(&self, _: &HeaderInfo, block: &[u8]) -> Result<(), InvalidObject> {
        // Of a block, what is in the signature, which its hash does not cover.
        if block[226] == self.0 { Err(InvalidObject::Refused) } else { Ok(()) }
    }

    fn verify_transaction(&self, transaction: &[u8]) -> Verdict {
        self.judge(transaction)
    }

    fn verify_proof(&self, submission: &[u8]) -> Verdict {
        self.judge(submission)
    }
}

struct Case {
    keeper: ChainKeeper<SpacetimeRules, Strict>,
    blocks: Vec<Vec<u8>>,
}

impl Case {
    fn new() -> Self {
        let genesis = development_genesis();
        let rules = SpacetimeRules::new(&genesis).unwrap();
        let info = rules.check_block(&genesis).unwrap();
        let header = rules.header_of(&genesis).unwrap();
        let store = MemoryStore::new(CheckedBlock { info, header, bytes: &genesis }).unwrap();
        let keeper = ChainKeeper::new(Arc::new(store), rules, Strict(0xee));
        Self { keeper, blocks: DevelopmentChain::new(1, 1000).take(5).collect() }
    }

    fn judge(&self, item: &Item) -> Vec<NodeCommand<SpacetimeRules>> {
        let from = Origin::Host(IpAddr::from([8, 8, 8, 8]));
        self.keeper.judge(item, &from, Time::ZERO).unwrap()
    }

    fn judge_block(&self, bytes: &[u8]) -> Vec<NodeCommand<SpacetimeRules>> {
        self.judge(&Item::block(bytes).unwrap())
    }

    fn height(&self) -> u64 {
        self.keeper.tip().unwrap().height
    }

    fn hash(&self, place: usize) -> Hash {
        SpacetimeRules::block_id(&self.blocks[place]).unwrap()
    }
}

fn verdict(commands: &[NodeCommand<SpacetimeRules>]) -> Verdict {
    let verdicts = commands.iter().filter_map(|command| match command {
        NodeCommand::Relay(RelayCommand::Verdict { verdict, .. }) => Some(*verdict),
        _ => None,
    });
    let [verdict] = verdicts.collect::<Vec<_>>().try_into().unwrap();
    verdict
}

fn published(commands: &[NodeCommand<SpacetimeRules>]) -> Vec<(Kind, Vec<u8>)> {
    let items = commands.iter().filter_map(|command| match command {
        NodeCommand::Relay(RelayCommand::Publish(item)) => Some((item.kind(), item.payload().to_vec())),
        _ => None,
    });
    items.collect()
}

fn included(commands: &[NodeCommand<SpacetimeRules>]) -> usize {
    let counts = commands.iter().filter_map(|command| match command {
        NodeCommand::Relay(RelayCommand::Included(hashes)) => Some(hashes.len()),
        _ => None,
    });
    counts.sum()
}

fn accepted(hash: Hash, height: i64) -> Item {
    Item::block_accepted(&BlockAccepted { hash, height }).unwrap()
}

#[test]
fn a_block_that_follows_is_stored_and_everybody_hears_that_it_was_accepted() {
    let case = Case::new();
    let commands = case.judge_block(&case.blocks[0]);
    assert_eq!((verdict(&commands), case.height()), (Verdict::Accept, 1));
    let said = accepted(case.hash(0), 1);
    assert_eq!(published(&commands), [(Kind::BlockAccepted, said.payload().to_vec())]);
    let in_block = spacetime_core::chain::Block::decode(&case.blocks[0]).unwrap().transaction_count();
    assert!(in_block > 0);
    assert_eq!(included(&commands), in_block);
}

#[test]
fn a_block_whose_header_is_of_another_body_or_that_the_verifier_refuses_is_rejected() {
    let case = Case::new();
    // In its first transaction, in front of the signature; and in the header's signature.
    for (at, byte) in [(310, case.blocks[0][310] ^ 1), (226, 0xee)] {
        let mut bytes = case.blocks[0].clone();
        bytes[at] = byte;
        assert_eq!(verdict(&case.judge_block(&bytes)), Verdict::Reject, "{at}");
    }
    assert_eq!(case.height(), 0);
    assert_eq!(verdict(&case.judge_block(&case.blocks[0])), Verdict::Accept);
}

#[test]
fn blocks_that_come_before_their_parents_are_stored_and_passed_on_after_them() {
    let case = Case::new();
    // A bad copy that came as well is in nobody's way.
    let mut bad = case.blocks[2].clone();
    bad[226] = 0xee;
    for bytes in [&bad, &case.blocks[2], &case.blocks[1]] {
        let commands = case.judge_block(bytes);
        assert_eq!((verdict(&commands), commands.len()), (Verdict::Ignore, 1));
    }
    let commands = case.judge_block(&case.blocks[0]);
    assert_eq!((verdict(&commands), case.height()), (Verdict::Accept, 3));
    let blocks = published(&commands).into_iter().filter(|it| it.0 == Kind::Block).map(|it| it.1);
    assert_eq!(blocks.collect::<Vec<_>>(), case.blocks[1..3]);
}

#[test]
fn blocks_that_wait_for_one_that_sync_brings_follow_it() {
    let case = Case::new();
    case.judge_block(&case.blocks[2]);
    let brought: Vec<_> = case.blocks[..2].iter().map(|it| Bytes::from(it.clone())).collect();
    let commands = case.keeper.apply(&brought).unwrap();
    assert_eq!(case.height(), 3);
    assert!(published(&commands).contains(&(Kind::Block, case.blocks[2].clone())));
    assert!(included(&commands) > 0, "what sync brings leaves the pool as well");
}

#[test]
fn news_of_a_block_that_is_not_here_yet_is_looked_at_again() {
    let case = Case::new();
    let news = accepted(case.hash(0), 1);
    assert_eq!(verdict(&case.judge(&news)), Verdict::NotYet);
    case.judge_block(&case.blocks[0]);
    assert_eq!(verdict(&case.judge(&news)), Verdict::Accept);
    assert_eq!(verdict(&case.judge(&accepted(Hash([1; 32]), 1))), Verdict::Ignore);
}

#[test]
fn what_this_node_publishes_is_judged_like_everything_else() {
    let case = Case::new();
    let publish = |item: &Item| case.keeper.publish(item, Time::ZERO).unwrap();
    for (first, expected) in [(0xee, Verdict::Reject), (1, Verdict::Accept)] {
        let item = Item::transaction(&[first; 155]).unwrap();
        let (verdict, commands) = publish(&item);
        assert_eq!((verdict, published(&commands).len()), (expected, usize::from(first == 1)));
    }
    let (verdict, commands) = publish(&Item::block(&case.blocks[0]).unwrap());
    assert_eq!((verdict, case.height()), (Verdict::Accept, 1));
    assert_eq!(published(&commands)[0].1, case.blocks[0]);
    assert_eq!(publish(&Item::block(&case.blocks[3]).unwrap()).0, Verdict::Ignore);
}

/// So many blocks after this one, of another chain.
fn branch(after: &[u8], blocks: usize) -> Vec<Bytes> {
    DevelopmentBranch::new(after, 1000).unwrap().take(blocks).map(Bytes::from).collect()
}

/// What an `Apply` came to: hashes of the last block that is kept, and of the tip.
fn applied(commands: &[NodeCommand<SpacetimeRules>]) -> (Hash, Hash) {
    let applied = commands.iter().find_map(|command| match command {
        NodeCommand::Sync(Command::Applied { last, tip }) => Some((last.hash, tip.hash)),
        _ => None,
    });
    applied.unwrap()
}

fn hash(block: &[u8]) -> Hash {
    SpacetimeRules::block_id(block).unwrap()
}

#[test]
fn blocks_of_another_chain_are_kept_and_followed_once_they_are_heavier() {
    let case = Case::new();
    let blocks: Vec<_> = case.blocks.iter().cloned().map(Bytes::from).collect();
    case.keeper.apply(&blocks).unwrap();
    let other = branch(&blocks[1], 4);
    // Three against three weigh the same.
    for end in 1..=3 {
        let commands = case.keeper.apply(&other[end - 1..end]).unwrap();
        assert_eq!(applied(&commands), (hash(&other[end - 1]), hash(&blocks[4])));
    }
    // What is there already is passed over.
    let commands = case.keeper.apply(&other).unwrap();
    assert_eq!(applied(&commands), (hash(&other[3]), hash(&other[3])));
    assert_eq!(case.height(), 6);

    // A peer that asks by a block that has left is answered from where the chains part.
    let headers = |locator: &[Hash]| {
        let frame = case.keeper.headers(locator, None, 10).unwrap();
        frame.decode::<Headers<'_>>().unwrap().len()
    };
    assert_eq!(headers(&[hash(&blocks[4])]), 0);
    assert_eq!(headers(&[hash(&blocks[4]), hash(&blocks[1])]), 4);
    for block in blocks.iter().chain(&other) {
        assert!(case.keeper.block(hash(block)).unwrap().is_some(), "blocks of any chain are served");
    }
}

#[test]
fn a_bad_block_of_another_chain_changes_nothing() {
    let case = Case::new();
    let blocks: Vec<_> = case.blocks.iter().cloned().map(Bytes::from).collect();
    case.keeper.apply(&blocks).unwrap();
    let mut other = branch(&blocks[1], 4);
    let mut bad = other[3].to_vec();
    bad[226] = 0xee;
    other[3] = bad.into();
    let commands = case.keeper.apply(&other).unwrap();
    assert!(matches!(
        commands[0],
        NodeCommand::Sync(Command::Rejected { error: InvalidObject::Refused, .. })
    ));
    assert_eq!(applied(&commands), (hash(&other[2]), hash(&blocks[4])));
    // The same block in another body is good.
    let good = branch(&blocks[1], 4).remove(3);
    assert_eq!(hash(&good), hash(&other[3]));
    assert_eq!(applied(&case.keeper.apply(&[good]).unwrap()).1, hash(&other[3]));
}
