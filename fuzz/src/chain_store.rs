//! The node's chain store on a disk that loses its power: what a call that returned has stored is there,
//! what a call that did not return has begun is there as a whole or not at all, and what is there can be
//! found in every way.

mod disk;

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use disk::Disk;
use spacetime_core::Hash;
use spacetime_core::chain::{
    ChainRules as _, DevelopmentBranch, HEADER_BYTES, HeaderInfo, SpacetimeRules, development_genesis,
};

use super::operations::operations;
use super::store::{ChainStore as _, CheckedBlock, RedbStore, StoreError};

/// Blocks of one call.
const MAX_BLOCKS: u8 = 12;

/// Bytes behind the header of a block: more than a page of the file holds.
const MAX_BODY_BYTES: u16 = 20_000;

/// [`Setting`], then operations.
pub fn chain_store(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(setting) = Setting::arbitrary(&mut input) else { return };
    let mut script = Script::new(setting);
    for operation in operations(&mut input) {
        script.perform(&operation);
    }
    script.lose_power(1);
    script.check();
}

#[derive(Arbitrary, Debug)]
struct Setting {
    max_unindexed: u8,
    /// When the power is lost for the first time after the store was made. (While it is made, the file does
    /// not have its name yet.)
    cut: Option<Cut>,
}

/// The power is lost after so many writes, and what was not synchronised survives as this number says.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Cut {
    writes: u8,
    seed: u8,
}

#[derive(Arbitrary, Debug)]
enum Operation {
    Append { blocks: u8, body_bytes: u16 },
    AppendSide { depth: u8, blocks: u8, body_bytes: u16 },
    Reorganise { which: u8 },
    OpenAgain,
    LosePowerNow { seed: u8 },
    LosePowerLater(Cut),
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Block {
    info: HeaderInfo,
    bytes: Vec<u8>,
}

impl Block {
    fn new(bytes: Vec<u8>) -> Self {
        let info = rules().read_header(&bytes[..HEADER_BYTES]).expect("a made header is good");
        Self { info, bytes }
    }

    fn checked(&self) -> CheckedBlock<'_> {
        CheckedBlock { info: self.info, header: &self.bytes[..HEADER_BYTES], bytes: &self.bytes }
    }
}

fn rules() -> SpacetimeRules {
    SpacetimeRules::new(&development_genesis()).expect("the genesis block is good")
}

/// What should be stored.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Model {
    best: Vec<Block>,
    side: BTreeMap<Hash, Block>,
}

impl Model {
    fn tip(&self) -> &Block {
        self.best.last().expect("there is a genesis block")
    }

    /// The blocks that lead from the best chain to a block beside it.
    fn branch(&self, last: &Hash) -> Vec<Hash> {
        let mut branch = Vec::new();
        let mut next = *last;
        while let Some(block) = self.side.get(&next) {
            branch.push(next);
            next = block.info.parent;
        }
        branch.reverse();
        branch
    }

    fn reorganise(&mut self, fork_height: u64, branch: &[Hash]) {
        for left in self.best.split_off(fork_height as usize + 1) {
            self.side.insert(left.info.hash, left);
        }
        self.best.extend(branch.iter().map(|hash| self.side.remove(hash).expect("it is there")));
    }
}

struct Script {
    disk: Disk,
    max_unindexed: u64,
    store: Option<RedbStore>,
    model: Model,
    /// How much survives the next time that the power is lost.
    seed: u8,
    /// Each branch gets a difficulty of its own, so that no two blocks are the same.
    difficulty: i64,
}

impl Script {
    fn new(setting: Setting) -> Self {
        let model = Model { best: vec![Block::new(development_genesis())], side: BTreeMap::new() };
        let max_unindexed = u64::from(setting.max_unindexed % 40);
        let disk = Disk::default();
        let mut script = Self { disk, max_unindexed, store: None, model, seed: 0, difficulty: 1 };
        script.open();
        script.check();
        if let Some(cut) = setting.cut {
            script.arm(cut);
        }
        script
    }

    fn arm(&mut self, cut: Cut) {
        self.disk.lose_power_after(cut.writes.into());
        self.seed = cut.seed;
    }

    fn open(&mut self) {
        let genesis = development_genesis();
        let genesis = Block::new(genesis);
        // The power may be lost while it opens; then it is there again.
        for _ in 0..2 {
            let opened = RedbStore::with_backend(self.disk.clone(), genesis.checked(), self.max_unindexed);
            match opened {
                Ok(store) => return self.store = Some(store),
                Err(_) if self.disk.is_off() => self.disk.restore_power(self.seed),
                Err(error) => panic!("{error}: {error:?}"),
            }
        }
        panic!("the power was lost once");
    }

    fn lose_power(&mut self, seed: u8) {
        self.disk.lose_power_after(0);
        self.store = None;
        self.disk.restore_power(seed);
        self.open();
    }

    fn store(&self) -> &RedbStore {
        self.store.as_ref().expect("it is open")
    }

    /// Blocks that follow this one.
    fn make(&mut self, after: &Block, blocks: u8, body_bytes: u16) -> Vec<Block> {
        self.difficulty += 1;
        let made = DevelopmentBranch::new(&after.bytes, self.difficulty).expect("it has a header");
        let body = usize::from(body_bytes % MAX_BODY_BYTES);
        let made = made.take(usize::from(blocks % MAX_BLOCKS) + 1);
        made.map(|mut bytes| {
            bytes.resize(bytes.len() + body, self.difficulty as u8);
            Block::new(bytes)
        })
        .collect()
    }

    fn perform(&mut self, operation: &Operation) {
        let mut after = self.model.clone();
        let result = match *operation {
            Operation::Append { blocks, body_bytes } => {
                let made = self.make(&self.model.tip().clone(), blocks, body_bytes);
                let checked: Vec<_> = made.iter().map(Block::checked).collect();
                let result = self.store().append(&checked);
                after.best.extend(made);
                result
            }
            Operation::AppendSide { depth, blocks, body_bytes } => {
                let place = (self.model.best.len() - 1).saturating_sub(depth.into());
                let made = self.make(&self.model.best[place].clone(), blocks, body_bytes);
                let checked: Vec<_> = made.iter().map(Block::checked).collect();
                let result = self.store().append_side(&checked);
                after.side.extend(made.into_iter().map(|block| (block.info.hash, block)));
                result
            }
            Operation::Reorganise { which } => {
                let count = self.model.side.len().max(1);
                let Some(last) = self.model.side.keys().nth(usize::from(which) % count) else { return };
                let branch = self.model.branch(last);
                let first = &self.model.side[branch.first().expect("it leads there")];
                let fork_height = first.info.height - 1;
                let result = self.store().reorganise(fork_height, &branch);
                after.reorganise(fork_height, &branch);
                result
            }
            Operation::OpenAgain => {
                self.store = None;
                if self.disk.is_off() {
                    self.disk.restore_power(self.seed);
                }
                self.open();
                return self.check();
            }
            Operation::LosePowerNow { seed } => {
                self.lose_power(seed);
                return self.check();
            }
            Operation::LosePowerLater(cut) => return self.arm(cut),
        };
        match result {
            Ok(()) => self.model = after,
            Err(StoreError::Storage(_)) if self.disk.is_off() => {
                self.store = None;
                self.disk.restore_power(self.seed);
                self.open();
                if !self.is(&self.model, &after) {
                    assert!(self.is(&after, &self.model), "{operation:?} was done by half");
                    self.model = after;
                }
            }
            Err(error) => panic!("{error} at {operation:?}"),
        }
    }

    /// Unless the power is off.
    fn check(&self) {
        assert!(self.disk.is_off() || self.is(&self.model, &self.model));
    }

    /// Whether all that can be asked for is as in one model, and nothing else of another one is there.
    fn is(&self, model: &Model, other: &Model) -> bool {
        let (store, good) = (self.store(), "the disk is good");
        let header = |block: &Block| block.bytes[..HEADER_BYTES].to_vec();
        let headers: Vec<_> = model.best.iter().map(header).collect();
        let is_there = |block: &Block| {
            let hash = block.info.hash;
            store.block_of(hash).expect(good).as_ref() == Some(&block.bytes)
                && store.header_of(hash).expect(good) == Some(header(block))
        };
        let is_best = |(height, block): (usize, &Block)| {
            let (hash, place) = (block.info.hash, height as u64);
            let after = store.headers_after(&[Hash([7; 32]), hash], 2).expect(good);
            is_there(block)
                && store.block(place).expect(good).as_ref() == Some(&block.bytes)
                && store.height_of(hash).expect(good) == Some(place)
                && after.len() == headers[height + 1..].len().min(2)
                && headers[height + 1..].starts_with(&after)
        };
        let is_beside =
            |block: &Block| is_there(block) && store.height_of(block.info.hash).expect(good).is_none();
        let is_known = |hash: &Hash| {
            model.side.contains_key(hash) || model.best.iter().any(|block| block.info.hash == *hash)
        };
        let is_absent = |block: &Block| {
            is_known(&block.info.hash) || store.block_of(block.info.hash).expect(good).is_none()
        };
        store.height().expect(good) + 1 == model.best.len() as u64
            && store.headers(0, usize::MAX).expect(good) == headers
            && model.best.iter().enumerate().all(is_best)
            && model.side.values().all(is_beside)
            && other.best.iter().chain(other.side.values()).all(is_absent)
    }
}
