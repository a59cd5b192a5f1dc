//! A chain in memory, as a node's application would have one on disk.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use spacetime_core::Hash;
use spacetime_core::chain::{
    BlockHeader, ChainRules, DevelopmentBranch, DevelopmentChain, HEADER_BYTES, HeaderInfo, InvalidObject,
    SpacetimeRules, development_genesis,
};
use spacetime_core::wire::{self, Frame, Headers};
use spacetime_sync::{Command, Event, RecentChain};

/// Blocks by height, shared between a node's application and the test.
#[derive(Clone)]
pub(crate) struct Chain {
    blocks: Rc<RefCell<Blocks>>,
    /// How many blocks at most waited for an `Apply` at once.
    pub(crate) applied_at_once: Rc<RefCell<usize>>,
    /// The only blocks whose proofs are good; none if all are.
    proven: Option<Rc<BTreeSet<Hash>>>,
}

#[derive(Default)]
struct Blocks {
    by_height: Vec<Vec<u8>>,
    heights: BTreeMap<Hash, usize>,
    /// What the headers of the best chain say.
    infos: Vec<HeaderInfo>,
    /// Verified blocks that are not on the best chain.
    side: BTreeMap<Hash, Side>,
    /// How often the chain was left for a heavier one.
    reorganisations: usize,
}

/// A block beside the best chain.
#[derive(Clone)]
struct Side {
    block: Vec<u8>,
    /// After which height its chain parts from the best one, and what it weighs from there.
    fork: usize,
    weight: u64,
}

impl Blocks {
    fn push(&mut self, block: Vec<u8>) {
        self.infos.push(info(&block));
        self.heights.insert(header_hash(&block), self.by_height.len());
        self.by_height.push(block);
    }

    /// Changes a block, and finds it by its new hash.
    fn change(&mut self, height: usize, change: impl FnOnce(&mut Vec<u8>)) {
        let block = &mut self.by_height[height];
        self.heights.remove(&header_hash(block));
        change(block);
        self.heights.insert(header_hash(block), height);
        self.infos[height] = info(block);
    }

    fn tip(&self) -> HeaderInfo {
        *self.infos.last().unwrap()
    }

    /// A block of the best chain, or beside it.
    fn get(&self, hash: Hash) -> Option<&Vec<u8>> {
        let best = self.heights.get(&hash).map(|height| &self.by_height[*height]);
        best.or_else(|| self.side.get(&hash).map(|side| &side.block))
    }

    /// What the blocks of the best chain after a height weigh.
    fn weight_after(&self, height: usize) -> u64 {
        self.infos[height..].windows(2).map(|it| rules().weight(&it[0], &it[1])).sum()
    }

    /// Keeps a block whose parent is there, and leaves the best chain if that of the block is heavier.
    fn keep(&mut self, block: &[u8]) {
        let new = info(block);
        if new.parent == self.tip().hash {
            return self.push(block.to_vec());
        }
        let parent = info(self.get(new.parent).unwrap());
        let (fork, before) = match self.side.get(&new.parent) {
            Some(side) => (side.fork, side.weight),
            None => (self.heights[&new.parent], 0),
        };
        let weight = before + rules().weight(&parent, &new);
        self.side.insert(new.hash, Side { block: block.to_vec(), fork, weight });
        if weight <= self.weight_after(fork) {
            return;
        }
        self.reorganisations += 1;
        let (mut branch, mut last) = (Vec::new(), new);
        while let Some(side) = self.side.remove(&last.hash) {
            if let Some(parent) = self.get(last.parent) {
                last = info(parent);
            }
            branch.push(side.block);
        }
        let mut left = 0;
        let infos = self.infos.split_off(fork + 1);
        let mut parent = self.infos[fork];
        for (block, info) in self.by_height.split_off(fork + 1).into_iter().zip(infos) {
            self.heights.remove(&info.hash);
            left += rules().weight(&parent, &info);
            parent = info;
            self.side.insert(info.hash, Side { block, fork, weight: left });
        }
        branch.into_iter().rev().for_each(|block| self.push(block));
    }
}

fn info(block: &[u8]) -> HeaderInfo {
    rules().read_header(&block[..HEADER_BYTES]).unwrap()
}

pub(crate) fn rules() -> SpacetimeRules {
    thread_local!(static RULES: SpacetimeRules = SpacetimeRules::new(&development_genesis()).unwrap());
    RULES.with(Clone::clone)
}

impl Chain {
    fn new(blocks: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut chain = Blocks::default();
        blocks.into_iter().for_each(|block| chain.push(block));
        Self { blocks: Rc::new(RefCell::new(chain)), applied_at_once: Rc::default(), proven: None }
    }

    /// Genesis and so many blocks of the chain with this seed.
    pub(crate) fn generate(seed: u64, blocks: usize) -> Self {
        Self::generate_large(seed, blocks, 1000)
    }

    /// The same with blocks of about so many bytes.
    pub(crate) fn generate_large(seed: u64, blocks: usize, block_bytes: usize) -> Self {
        let blocks = DevelopmentChain::new(seed, block_bytes).take(blocks);
        Self::new(std::iter::once(development_genesis()).chain(blocks))
    }

    /// So many blocks of about 1000 bytes, and so many of about 50,000.
    pub(crate) fn generate_growing(seed: u64, small: usize, large: usize) -> Self {
        let mut blocks = DevelopmentChain::new(seed, 1000);
        let mut made: Vec<_> =
            std::iter::once(development_genesis()).chain(blocks.by_ref().take(small)).collect();
        blocks.set_block_bytes(50_000);
        made.extend(blocks.take(large));
        Self::new(made)
    }

    /// The genesis block alone, of a node that can tell that the proofs of this chain are good, and
    /// no others.
    pub(crate) fn empty_that_proves(other: &Self) -> Self {
        let proven = other.blocks.borrow().heights.keys().copied().collect();
        Self { proven: Some(Rc::new(proven)), ..Self::generate(0, 0) }
    }

    /// The first `common` blocks after genesis of this chain, then `more` that are made up: well
    /// linked, and their proofs are good for nothing.
    pub(crate) fn forged_after(&self, common: usize, more: usize) -> Self {
        self.fork_after(common, more, 1000)
    }

    /// The same, with blocks that claim this difficulty.
    pub(crate) fn fork_after(&self, common: usize, more: usize, difficulty: i64) -> Self {
        let forged = Self::new(self.blocks.borrow().by_height[..=common].iter().cloned());
        let mut blocks = forged.blocks.borrow_mut();
        let branch = DevelopmentBranch::new(&blocks.by_height[common], difficulty).unwrap();
        branch.take(more).for_each(|block| blocks.push(block));
        drop(blocks);
        forged
    }

    pub(crate) fn len(&self) -> usize {
        self.blocks.borrow().by_height.len()
    }

    /// How often the chain was left for a heavier one.
    pub(crate) fn reorganisations(&self) -> usize {
        self.blocks.borrow().reorganisations
    }

    /// The last blocks, as far back as a node remembers them.
    pub(crate) fn recent(&self) -> RecentChain {
        let blocks = self.blocks.borrow();
        let mut recent = RecentChain::from(info(&blocks.by_height[0]));
        blocks.by_height[1..].iter().for_each(|block| recent.push(info(block)));
        recent
    }

    pub(crate) fn tip(&self) -> HeaderInfo {
        self.blocks.borrow().tip()
    }

    /// What the header of a block says.
    pub(crate) fn info(&self, height: usize) -> HeaderInfo {
        info(&self.blocks.borrow().by_height[height])
    }

    pub(crate) fn blocks(&self) -> Vec<Vec<u8>> {
        self.blocks.borrow().by_height.clone()
    }

    /// Breaks the body of a block, not its header.
    pub(crate) fn break_body(&self, height: usize) {
        self.blocks.borrow_mut().change(height, |block| block[HEADER_BYTES + 8] ^= 1);
    }

    /// Makes the body of a block longer than its header allows.
    pub(crate) fn pad_body(&self, height: usize, bytes: usize) {
        self.blocks.borrow_mut().change(height, |block| block.resize(bytes, 0));
    }

    /// Breaks the header of a block.
    pub(crate) fn break_header(&self, height: usize) {
        self.blocks.borrow_mut().change(height, |block| block[100] ^= 1);
    }

    /// Says that a block was made at another time, in unix seconds.
    pub(crate) fn set_timestamp(&self, height: usize, timestamp: i64) {
        self.blocks
            .borrow_mut()
            .change(height, |block| block[41..49].copy_from_slice(&timestamp.to_le_bytes()));
    }

    /// Forgets a block's body; its header is still served.
    pub(crate) fn forget_body(&self, height: usize) {
        self.blocks.borrow_mut().change(height, |block| block.truncate(HEADER_BYTES));
    }

    pub(crate) fn extend(&self, other: &Self, len: usize) {
        let more = other.blocks.borrow().by_height[self.len()..len].to_vec();
        more.into_iter().for_each(|block| self.blocks.borrow_mut().push(block));
    }

    /// The headers after the first of these blocks that is there.
    pub(crate) fn headers(&self, locator: &[Hash], stop: Option<Hash>, max_headers: usize) -> Vec<Vec<u8>> {
        let blocks = self.blocks.borrow();
        let height_of =
            |hash: &Hash| if *hash == Hash::ZERO { Some(0) } else { blocks.heights.get(hash).copied() };
        let after = locator.iter().find_map(height_of);
        let first = after.map_or(blocks.by_height.len(), |height| height + 1);
        let mut headers: Vec<_> = blocks.by_height[first..]
            .iter()
            .take(max_headers)
            .map(|block| block[..HEADER_BYTES].to_vec())
            .collect();
        if let Some(end) = headers.iter().position(|header| Some(header_hash(header)) == stop) {
            headers.truncate(end + 1);
        }
        headers
    }

    /// A block, if its body is there.
    pub(crate) fn block(&self, hash: Hash) -> Option<Vec<u8>> {
        let blocks = self.blocks.borrow();
        let block = &blocks.by_height[*blocks.heights.get(&hash)?];
        (block.len() > HEADER_BYTES).then(|| block.clone())
    }

    fn verify(&self, block: &[u8]) -> Result<(), InvalidObject> {
        let new = rules().check_block(block).expect("sync has looked at the body");
        let parent = self.blocks.borrow().get(new.parent).map(|parent| info(parent));
        rules().check_link(&parent.ok_or(InvalidObject::Parent)?, &new)?;
        match &self.proven {
            Some(proven) if !proven.contains(&new.hash) => Err(InvalidObject::Refused),
            _ => Ok(()),
        }
    }

    /// Carries an effect out.
    pub(crate) fn carry_out(&self, event: &Event) -> Vec<Command> {
        match event {
            Event::ReadHeaders { read, locator, stop, max_headers } => {
                let headers = self.headers(locator, *stop, *max_headers);
                let headers: Vec<_> = headers.iter().map(Vec::as_slice).collect();
                let answer = Frame::encode(&Headers::new(&headers)).unwrap();
                vec![Command::HeadersRead { read: *read, answer }]
            }
            Event::ReadBlock { read, hash } => {
                let block = self.block(*hash);
                let answer = block.map(|bytes| Frame::encode(&wire::Block { bytes: &bytes }).unwrap());
                vec![Command::BlockRead { read: *read, answer }]
            }
            Event::Apply { blocks } => {
                let most = &mut *self.applied_at_once.borrow_mut();
                *most = blocks.len().max(*most);
                let mut commands = Vec::new();
                let parent = info(&blocks[0]).parent;
                let mut last = self.blocks.borrow().get(parent).map_or_else(|| self.tip(), |it| info(it));
                for block in blocks {
                    match self.verify(block) {
                        Ok(()) => {
                            self.blocks.borrow_mut().keep(block);
                            last = info(block);
                        }
                        Err(error) => {
                            commands.push(Command::Rejected { hash: header_hash(block), error });
                            break;
                        }
                    }
                }
                commands.push(Command::Applied { last, tip: self.tip() });
                commands
            }
            _ => Vec::new(),
        }
    }
}

pub(crate) fn header_hash(block: &[u8]) -> Hash {
    BlockHeader::hash_of(block).unwrap()
}
