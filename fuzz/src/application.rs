//! The application behind sync: a chain in memory, and what it makes of effects.

use std::collections::{BTreeSet, VecDeque};

use arbitrary::Arbitrary;
use spacetime_core::Hash;
use spacetime_core::chain::{ChainRules as _, HEADER_BYTES, HeaderInfo, InvalidObject, SpacetimeRules};
use spacetime_core::wire::{self, Frame, Headers, MAX_HEADERS};
use spacetime_sync::{Command, Event, RecentChain};

use super::chain::{self, Chain, place_of, real};

/// Blocks that sync may hand over at once.
const MAX_APPLY_BLOCKS: usize = 256;

/// How an effect is carried out.
#[derive(Clone, Copy, Arbitrary, PartialEq, Eq, Debug)]
pub(super) enum Deed {
    /// As it should be.
    Right,
    /// What is to be read is not there; a block that is to be applied is refused.
    Refused,
    /// Less is read or applied than there is.
    Less(u8),
}

/// A chain, blocks beside it, and what is still to be done.
#[derive(Debug)]
pub(super) struct Application {
    best: &'static Chain,
    height: usize,
    /// All blocks that were ever stored.
    stored: BTreeSet<Hash>,
    /// The last block as sync knows it.
    told_tip: HeaderInfo,
    effects: Vec<Event>,
    is_applying: bool,
    /// What was done, in the order in which sync is to be told.
    commands: VecDeque<Command>,
}

impl Application {
    pub(super) fn new(height: usize) -> Self {
        Self {
            best: real(),
            height,
            stored: (0..=height).map(|height| real().hash(height)).collect(),
            told_tip: real().info(height),
            effects: Vec::new(),
            is_applying: false,
            commands: VecDeque::new(),
        }
    }

    pub(super) fn tip(&self) -> HeaderInfo {
        self.best.info(self.height)
    }

    /// The chain, for a node that starts with it.
    pub(super) fn recent(&self) -> RecentChain {
        let mut recent = RecentChain::from(self.best.info(0));
        (1..=self.height).for_each(|height| recent.push(self.best.info(height)));
        recent
    }

    /// Takes over what sync wants done. It is what sync promises.
    pub(super) fn want(&mut self, effect: Event) {
        match &effect {
            Event::Apply { blocks } => {
                assert!(!std::mem::replace(&mut self.is_applying, true), "one Apply at a time");
                assert!((1..=MAX_APPLY_BLOCKS).contains(&blocks.len()));
                // The first may follow any block that is stored, to be tried beside the chain.
                let first = chain::info(&blocks[0]);
                assert!(self.stored.contains(&first.parent), "it follows a block that was applied");
                let (chain, height) = place_of(self.told_tip.hash).expect("it is good");
                let is_told = chain.height_of(first.hash).is_some_and(|it| it <= height);
                assert!(!is_told, "it is applied already");
                let (chain, height) = place_of(first.parent).expect("what is stored is good");
                let mut parent = chain.info(height);
                for block in blocks {
                    let info = chain::info(block);
                    assert_eq!(chain::rules().check_link(&parent, &info), Ok(()), "blocks come in order");
                    parent = info;
                }
            }
            Event::ReadHeaders { max_headers, .. } => assert!((1..=MAX_HEADERS).contains(max_headers)),
            Event::StateChanged { .. } | Event::Progressed { .. } => return,
            _ => {}
        }
        self.effects.push(effect);
    }

    /// Whether nothing is to be done and nothing to be told.
    pub(super) fn is_idle(&self) -> bool {
        self.effects.is_empty() && self.commands.is_empty()
    }

    /// Carries out one of the effects.
    pub(super) fn carry_out(&mut self, which: usize, deed: Deed) {
        if self.effects.is_empty() {
            return;
        }
        let effect = self.effects.remove(which % self.effects.len());
        match effect {
            Event::ReadHeaders { read, locator, stop, max_headers } => {
                let mut headers = self.best.headers_after(locator[0], stop, max_headers, self.height);
                match deed {
                    Deed::Right => {}
                    Deed::Refused => headers.clear(),
                    Deed::Less(count) => headers.truncate(count.into()),
                }
                let answer = Frame::encode(&Headers::new(&headers)).expect("a few headers");
                self.commands.push_back(Command::HeadersRead { read, answer });
            }
            Event::ReadBlock { read, hash } => {
                let place = place_of(hash).filter(|_| self.stored.contains(&hash) && deed == Deed::Right);
                let block = place.map(|(chain, height)| wire::Block { bytes: chain.block(height) });
                let answer = block.map(|block| Frame::encode(&block).expect("a block"));
                self.commands.push_back(Command::BlockRead { read, answer });
            }
            Event::Apply { blocks } => {
                // What follows a block that is no longer the last one is nobody's fault.
                let parent = chain::info(&blocks[0]).parent;
                let is_stale = self.told_tip.hash != self.tip().hash;
                let (chain, height) = place_of(parent).expect("what is stored is good");
                let mut last = chain.info(height);
                for (index, block) in blocks.iter().enumerate().take_while(|_| !is_stale) {
                    let verdict = match deed {
                        Deed::Right => verify(&last, block),
                        Deed::Refused => Err(InvalidObject::Refused),
                        Deed::Less(count) if index == usize::from(count) => break,
                        Deed::Less(_) => verify(&last, block),
                    };
                    match verdict {
                        Ok(info) => last = info,
                        Err(error) => {
                            let hash = SpacetimeRules::block_id(block).expect("it has a header");
                            self.commands.push_back(Command::Rejected { hash, error });
                            break;
                        }
                    }
                    self.stored.insert(last.hash);
                }
                let (chain, height) = place_of(last.hash).expect("what is stored is good");
                if chain.weight(height) > self.best.weight(self.height) {
                    (self.best, self.height) = (chain, height);
                }
                self.commands.push_back(Command::Applied { last, tip: self.tip() });
            }
            _ => {}
        }
    }

    /// The chain goes back to a height because of something else. Not while blocks are being
    /// applied: that ends with a tip of its own.
    pub(super) fn go_back(&mut self, height: usize) {
        if !self.is_applying {
            self.height = self.height.min(height);
            self.commands.push_back(Command::Applied { last: self.tip(), tip: self.tip() });
        }
    }

    /// The next thing to tell sync.
    pub(super) fn tell(&mut self) -> Option<Command> {
        let command = self.commands.pop_front()?;
        if let Command::Applied { tip, .. } = &command {
            self.is_applying = false;
            self.told_tip = *tip;
        }
        Some(command)
    }
}

/// What a node checks before it stores a block: the link, and the proof, which only good chains have. That its
/// header commits to its body, sync has found out.
fn verify(parent: &HeaderInfo, block: &[u8]) -> Result<HeaderInfo, InvalidObject> {
    let info = chain::rules().check_block(block).expect("sync has looked at the body");
    assert!(block.len() > HEADER_BYTES);
    chain::rules().check_link(parent, &info)?;
    if place_of(info.hash).is_some() { Ok(info) } else { Err(InvalidObject::Refused) }
}
