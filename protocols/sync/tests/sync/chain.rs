//! A chain in memory, as a node's application would have one on disk.

use std::cell::RefCell;
use std::rc::Rc;

use spacetime_core::Hash;
use spacetime_core::chain::{
    ChainRules, DevelopmentChain, HEADER_BYTES, HeaderInfo, SpacetimeRules, development_genesis,
};
use spacetime_core::wire::{self, Frame, Headers};
use spacetime_sync::{Command, Event};

/// Blocks by height, shared between a node's application and the test.
#[derive(Clone)]
pub(crate) struct Chain {
    blocks: Rc<RefCell<Vec<Vec<u8>>>>,
    /// How many blocks at most waited for an `Apply` at once.
    pub(crate) applied_at_once: Rc<RefCell<usize>>,
}

pub(crate) fn rules() -> SpacetimeRules {
    SpacetimeRules::new(&development_genesis()).unwrap()
}

impl Chain {
    /// Genesis and so many blocks of the chain with this seed.
    pub(crate) fn generate(seed: u64, blocks: usize) -> Self {
        let blocks = std::iter::once(development_genesis())
            .chain(DevelopmentChain::new(seed, 1000).take(blocks))
            .collect();
        Self { blocks: Rc::new(RefCell::new(blocks)), applied_at_once: Rc::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.blocks.borrow().len()
    }

    pub(crate) fn tip(&self) -> HeaderInfo {
        rules().read_header(&self.blocks.borrow().last().unwrap()[..HEADER_BYTES]).unwrap()
    }

    pub(crate) fn blocks(&self) -> Vec<Vec<u8>> {
        self.blocks.borrow().clone()
    }

    /// Breaks the body of a block, not its header.
    pub(crate) fn break_body(&self, height: usize) {
        self.blocks.borrow_mut()[height][HEADER_BYTES + 8] ^= 1;
    }

    /// Breaks the header of a block.
    pub(crate) fn break_header(&self, height: usize) {
        self.blocks.borrow_mut()[height][100] ^= 1;
    }

    /// Forgets a block's body; its header is still served.
    pub(crate) fn forget_body(&self, height: usize) {
        self.blocks.borrow_mut()[height].truncate(HEADER_BYTES);
    }

    pub(crate) fn extend(&self, other: &Self, len: usize) {
        let more = other.blocks.borrow()[self.len()..len].to_vec();
        self.blocks.borrow_mut().extend(more);
    }

    fn height(&self, hash: Hash) -> Option<usize> {
        self.blocks.borrow().iter().position(|block| header_hash(block) == hash)
    }

    /// Carries an effect out.
    pub(crate) fn carry_out(&self, event: &Event) -> Vec<Command> {
        match event {
            Event::ReadHeaders { read, locator, stop, max_headers } => {
                let after = if *locator == Hash::ZERO { Some(0) } else { self.height(*locator) };
                let blocks = self.blocks.borrow();
                let first = after.map_or(blocks.len(), |height| height + 1);
                let mut headers: Vec<_> =
                    blocks[first..].iter().take(*max_headers).map(|block| &block[..HEADER_BYTES]).collect();
                if let Some(end) = headers.iter().position(|header| Some(header_hash(header)) == *stop) {
                    headers.truncate(end + 1);
                }
                vec![Command::HeadersRead {
                    read: *read,
                    answer: Frame::encode(&Headers::new(&headers)).unwrap(),
                }]
            }
            Event::ReadBlock { read, hash } => {
                let height = self.height(*hash);
                let blocks = self.blocks.borrow();
                let block = height.map(|height| &blocks[height]).filter(|block| block.len() > HEADER_BYTES);
                let answer = block.map(|bytes| Frame::encode(&wire::Block { bytes }).unwrap());
                vec![Command::BlockRead { read: *read, answer }]
            }
            Event::Apply { blocks } => {
                let most = &mut *self.applied_at_once.borrow_mut();
                *most = blocks.len().max(*most);
                let mut commands = Vec::new();
                for block in blocks {
                    match rules().check_block(block).and_then(|info| {
                        rules().check_link(&self.tip(), &info)?;
                        Ok(info)
                    }) {
                        Ok(_) => self.blocks.borrow_mut().push(block.to_vec()),
                        Err(error) => {
                            commands.push(Command::Rejected { hash: header_hash(block), error });
                            break;
                        }
                    }
                }
                commands.push(Command::Applied { tip: self.tip() });
                commands
            }
            _ => Vec::new(),
        }
    }
}

fn header_hash(block: &[u8]) -> Hash {
    spacetime_core::chain::BlockHeader::hash_of(block).unwrap()
}
