//! The application behind sync: a chain in memory, and what it makes of effects.

use std::collections::VecDeque;

use arbitrary::Arbitrary;
use spacetime_core::chain::{ChainRules as _, HEADER_BYTES, HeaderInfo, InvalidObject, SpacetimeRules};
use spacetime_core::wire::{self, Frame, Headers, MAX_HEADERS};
use spacetime_sync::{Command, Event};

use super::chain::{self, real};

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

/// Blocks by height, from genesis, and what is still to be done.
#[derive(Debug)]
pub(super) struct Application {
    height: usize,
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
            height,
            told_tip: real().info(height),
            effects: Vec::new(),
            is_applying: false,
            commands: VecDeque::new(),
        }
    }

    /// The height of the chain, all of which is the real one's.
    pub(super) fn height(&self) -> usize {
        self.height
    }

    pub(super) fn tip(&self) -> HeaderInfo {
        real().info(self.height)
    }

    /// Takes over what sync wants done. It is what sync promises.
    pub(super) fn want(&mut self, effect: Event) {
        match &effect {
            Event::Apply { blocks } => {
                assert!(!std::mem::replace(&mut self.is_applying, true), "one Apply at a time");
                assert!((1..=MAX_APPLY_BLOCKS).contains(&blocks.len()));
                // The first may follow any block of the chain, to be tried beside it.
                let first = chain::info(&blocks[0]);
                let fork =
                    real().height_of(first.parent).filter(|height| *height as u64 <= self.told_tip.height);
                let mut parent = real().info(fork.expect("it follows a block that was applied"));
                assert!(
                    parent.hash == self.told_tip.hash
                        || first.hash != real().hash(parent.height as usize + 1)
                );
                for block in blocks {
                    let info = chain::info(block);
                    assert_eq!(chain::rules().check_link(&parent, &info), Ok(()), "blocks come in order");
                    parent = info;
                }
            }
            Event::ReadHeaders { max_headers, .. } => assert!((1..=MAX_HEADERS).contains(max_headers)),
            Event::StateChanged { .. } => return,
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
                let mut headers = real().headers_after(locator[0], stop, max_headers, self.height);
                match deed {
                    Deed::Right => {}
                    Deed::Refused => headers.clear(),
                    Deed::Less(count) => headers.truncate(count.into()),
                }
                let answer = Frame::encode(&Headers::new(&headers)).expect("a few headers");
                self.commands.push_back(Command::HeadersRead { read, answer });
            }
            Event::ReadBlock { read, hash } => {
                let height =
                    real().height_of(hash).filter(|height| *height <= self.height && deed == Deed::Right);
                let block = height.map(|height| wire::Block { bytes: real().block(height) });
                let answer = block.map(|block| Frame::encode(&block).expect("a block"));
                self.commands.push_back(Command::BlockRead { read, answer });
            }
            Event::Apply { blocks } => {
                // What follows a block that is no longer the last one is nobody's fault.
                let parent = chain::info(&blocks[0]).parent;
                let is_stale = self.told_tip.hash != self.tip().hash;
                let mut last = real().info(real().height_of(parent).unwrap_or_default());
                for (index, block) in blocks.iter().enumerate().take_while(|_| !is_stale) {
                    let verdict = match deed {
                        Deed::Right => self.verify(block),
                        Deed::Refused => Err(InvalidObject::Refused),
                        Deed::Less(count) if index == usize::from(count) => break,
                        Deed::Less(_) => self.verify(block),
                    };
                    if let Err(error) = verdict {
                        let hash = SpacetimeRules::block_id(block).expect("it has a header");
                        self.commands.push_back(Command::Rejected { hash, error });
                        break;
                    }
                    self.height += 1;
                    last = self.tip();
                }
                self.commands.push_back(Command::Applied { last, tip: self.tip() });
            }
            _ => {}
        }
    }

    /// What a node checks before it stores a block: the rules, the link, and the proof, which only
    /// the real chain has.
    fn verify(&self, block: &[u8]) -> Result<(), InvalidObject> {
        let info = chain::rules().check_block(block)?;
        assert!(block.len() > HEADER_BYTES);
        chain::rules().check_link(&self.tip(), &info)?;
        if real().height_of(info.hash) == Some(self.height + 1) {
            Ok(())
        } else {
            Err(InvalidObject::Refused)
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
