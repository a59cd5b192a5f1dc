//! What is told of items, and what becomes of the chain.

use std::net::IpAddr;

use spacetime_core::Time;
use spacetime_core::chain::{
    BlockHeader, DevelopmentBranch, DevelopmentChain, HEADER_BYTES, SpacetimeRules, development_genesis,
};

use super::*;
use crate::store::MemoryStore;

/// Years after the blocks were made.
const NOW: Now = Now::new(Time::ZERO, 1_800_000_000);

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
        self.keeper.judge(item, &from, NOW).unwrap()
    }

    fn judge_block(&self, bytes: &[u8]) -> Vec<NodeCommand<SpacetimeRules>> {
        self.judge(&Item::block(bytes).unwrap())
    }

    fn apply(&self, blocks: &[Bytes]) -> Vec<NodeCommand<SpacetimeRules>> {
        self.keeper.apply(blocks, NOW).unwrap()
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
        NodeCommand::Relay(RelayCommand::Included(block)) => Some(block),
        _ => None,
    });
    counts.map(|it| spacetime_core::chain::Block::decode(it).unwrap().transaction_count()).sum()
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
    let commands = case.apply(&brought);
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
    let publish = |item: &Item| case.keeper.publish(item, NOW).unwrap();
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
    case.apply(&blocks);
    let other = branch(&blocks[1], 4);
    // Three against three weigh the same.
    for end in 1..=3 {
        let commands = case.apply(&other[end - 1..end]);
        assert_eq!(applied(&commands), (hash(&other[end - 1]), hash(&blocks[4])));
    }
    // What is there already is passed over.
    let commands = case.apply(&other);
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
    case.apply(&blocks);
    let mut other = branch(&blocks[1], 4);
    let mut bad = other[3].to_vec();
    bad[226] = 0xee;
    other[3] = bad.into();
    let commands = case.apply(&other);
    assert!(matches!(
        commands[0],
        NodeCommand::Sync(Command::Rejected { error: InvalidObject::Refused, .. })
    ));
    assert_eq!(applied(&commands), (hash(&other[2]), hash(&blocks[4])));
    // The same block in another body is good.
    let good = branch(&blocks[1], 4).remove(3);
    assert_eq!(hash(&good), hash(&other[3]));
    assert_eq!(applied(&case.apply(&[good])).1, hash(&other[3]));
}

#[test]
fn a_heavier_chain_that_was_kept_and_not_followed_is_followed_when_it_comes_again() {
    let case = Case::new();
    let blocks: Vec<_> = case.blocks.iter().cloned().map(Bytes::from).collect();
    case.apply(&blocks);
    // As a node leaves it that is killed between the two steps.
    let other = branch(&blocks[1], 4);
    let rules = &case.keeper.rules;
    let checked = other.iter().map(|bytes| {
        let (info, header) = (rules.check_block(bytes).unwrap(), rules.header_of(bytes).unwrap());
        CheckedBlock { info, header, bytes }
    });
    case.keeper.store.append_side(&checked.collect::<Vec<_>>()).unwrap();
    assert_eq!(applied(&case.apply(&other)), (hash(&other[3]), hash(&other[3])));
    assert_eq!(case.height(), 6);
    assert_eq!(applied(&case.apply(&other)), (hash(&other[3]), hash(&other[3])));
}

/// A block after this one that says it was made at this time.
fn made_at(after: &[u8], timestamp: i64) -> Vec<u8> {
    let mut block = branch(after, 1).remove(0).to_vec();
    let header = BlockHeader::decode(&block[..HEADER_BYTES]).unwrap();
    block[..HEADER_BYTES].copy_from_slice(&BlockHeader { timestamp, ..header }.to_bytes());
    block
}

#[test]
fn a_block_from_the_future_is_not_taken_and_nobody_is_blamed() {
    let case = Case::new();
    let latest = NOW.unix_seconds + MAX_AHEAD_SECONDS;
    for timestamp in [latest + 1, i64::MAX] {
        let ahead = made_at(&case.blocks[0], timestamp);
        // Before its parent, and after it: it does not wait for it either.
        assert_eq!(verdict(&case.judge_block(&ahead)), Verdict::Ignore);
        case.judge_block(&case.blocks[0]);
        assert_eq!(verdict(&case.judge_block(&ahead)), Verdict::Ignore);
        assert_eq!(case.height(), 1);
    }
    assert_eq!(verdict(&case.judge_block(&made_at(&case.blocks[0], latest))), Verdict::Accept);
}

#[test]
fn all_transactions_of_a_chain_that_is_followed_leave_the_pool() {
    let case = Case::new();
    let other: Vec<_> = case.blocks.iter().cloned().map(Bytes::from).collect();
    case.apply(&branch(&development_genesis(), 4));
    // They are stored beside the best chain one by one, and only the last one makes it heavier.
    let counts: Vec<_> =
        other.iter().map(|block| included(&case.apply(std::slice::from_ref(block)))).collect();
    let all =
        case.blocks.iter().map(|it| spacetime_core::chain::Block::decode(it).unwrap().transaction_count());
    assert_eq!(counts, [0, 0, 0, 0, all.sum()]);
}

#[test]
fn others_are_told_of_the_last_block_of_a_chain_that_is_no_higher() {
    let case = Case::new();
    let synced = Event::StateChanged { state: State::Synced };
    let told = || published(&case.keeper.carry_out(&synced, NOW).unwrap());
    case.apply(&branch(&development_genesis(), 2));
    assert_eq!(told().len(), 1);
    let heavier: Vec<_> = DevelopmentBranch::new(&development_genesis(), 2000).unwrap().take(2).collect();
    case.apply(&heavier.iter().cloned().map(Bytes::from).collect::<Vec<_>>());
    assert_eq!(told(), [(Kind::Block, heavier[1].clone())]);
    assert!(told().is_empty());
}

#[test]
fn two_blocks_that_claim_all_the_work_there_is_undo_no_chain() {
    let case = Case::new();
    let blocks: Vec<_> = DevelopmentChain::new(1, 1000).take(40).map(Bytes::from).collect();
    case.apply(&blocks);
    let claims: Vec<_> =
        DevelopmentBranch::new(&blocks[1], i64::MAX).unwrap().take(2).map(Bytes::from).collect();
    let commands = case.apply(&claims);
    assert_eq!(applied(&commands), (hash(&claims[1]), hash(&blocks[39])));
    assert_eq!(case.height(), 40);
}
