//! Carries out what sync wants done to the chain: the part without threads.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use spacetime_core::Hash;
use spacetime_core::chain::{ChainRules, HeaderInfo, InvalidObject};
use spacetime_core::wire::{Block, Frame, Headers};
use spacetime_sync::{Command, Event};

use crate::store::{ChainStore, CheckedBlock, StoreError};

/// What the application checks in a block before it is stored: signatures, proofs, balances.
///
/// Layout, hashes and links were checked before.
pub trait Verifier: Send + Sync + 'static {
    /// Whether a block may follow the chain that ends before it.
    fn verify(&self, info: &HeaderInfo, block: &[u8]) -> Result<(), InvalidObject>;
}

/// Takes every block that is well-formed: for development networks.
#[derive(Clone, Copy, Debug, Default)]
pub struct AcceptAll;

impl Verifier for AcceptAll {
    fn verify(&self, _: &HeaderInfo, _: &[u8]) -> Result<(), InvalidObject> {
        Ok(())
    }
}

/// A chain, its rules and its verifier.
pub struct ChainKeeper<R, V> {
    store: Arc<dyn ChainStore>,
    rules: R,
    verifier: V,
}

impl<R: ChainRules, V: Verifier> ChainKeeper<R, V> {
    /// Keeps the chain in this store.
    pub fn new(store: Arc<dyn ChainStore>, rules: R, verifier: V) -> Self {
        Self { store, rules, verifier }
    }

    /// Carries out an effect; what sync is to be told. News that is no effect is ignored.
    pub fn carry_out(&self, event: &Event) -> Result<Vec<Command>, StoreError> {
        match event {
            Event::Apply { blocks } => self.apply(blocks),
            Event::ReadHeaders { read, locator, stop, max_headers } => {
                let answer = self.headers(*locator, *stop, *max_headers)?;
                Ok(vec![Command::HeadersRead { read: *read, answer }])
            }
            Event::ReadBlock { read, hash } => {
                Ok(vec![Command::BlockRead { read: *read, answer: self.block(*hash)? }])
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The last block of the chain.
    pub fn tip(&self) -> Result<HeaderInfo, StoreError> {
        tip(&*self.store, &self.rules)
    }

    /// Checks blocks, and stores those before the first bad one.
    pub fn apply(&self, blocks: &[Bytes]) -> Result<Vec<Command>, StoreError> {
        let mut tip = self.tip()?;
        let mut checked = Vec::with_capacity(blocks.len());
        let mut commands = Vec::new();
        for bytes in blocks {
            match self.check(&tip, bytes) {
                Ok(block) => {
                    tip = block.info;
                    checked.push(block);
                }
                Err(error) => {
                    let hash = R::block_id(bytes).unwrap_or_default();
                    commands.push(Command::Rejected { hash, error });
                    break;
                }
            }
        }
        if !checked.is_empty() {
            self.store.append(&checked)?;
        }
        commands.push(Command::Applied { tip });
        Ok(commands)
    }

    fn check<'a>(&self, parent: &HeaderInfo, bytes: &'a [u8]) -> Result<CheckedBlock<'a>, InvalidObject> {
        let info = self.rules.check_block(bytes)?;
        self.rules.check_link(parent, &info)?;
        self.verifier.verify(&info, bytes)?;
        Ok(CheckedBlock { info, header: self.rules.header_of(bytes)?, bytes })
    }

    fn headers(&self, locator: Hash, stop: Option<Hash>, max_headers: usize) -> Result<Frame, StoreError> {
        let after = if locator == Hash::ZERO { Some(0) } else { self.store.height_of(locator)? };
        let mut headers = match after {
            Some(height) => self.store.headers(height + 1, max_headers)?,
            None => Vec::new(),
        };
        if let Some(stop) = stop {
            let is_stop =
                |header: &Vec<u8>| self.rules.read_header(header).is_ok_and(|info| info.hash == stop);
            let end = headers.iter().position(is_stop).map_or(headers.len(), |index| index + 1);
            headers.truncate(end);
        }
        let headers: Vec<_> = headers.iter().map(Vec::as_slice).collect();
        encoded(Frame::encode(&Headers::new(&headers)))
    }

    fn block(&self, hash: Hash) -> Result<Option<Frame>, StoreError> {
        let height = self.store.height_of(hash)?;
        let block = height.map(|height| self.store.block(height)).transpose()?.flatten();
        block.map(|bytes| encoded(Frame::encode(&Block { bytes: &bytes }))).transpose()
    }
}

impl<R, V> fmt::Debug for ChainKeeper<R, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainKeeper").finish_non_exhaustive()
    }
}

/// The tip of a stored chain.
pub(super) fn tip(store: &dyn ChainStore, rules: &impl ChainRules) -> Result<HeaderInfo, StoreError> {
    let height = store.height()?;
    let headers = store.headers(height, 1)?;
    let header = headers.first().ok_or_else(|| StoreError::Foreign("its last header is missing".into()))?;
    rules
        .read_header(header)
        .map_err(|error| StoreError::Foreign(format!("its last header is broken: {error}")))
}

/// What was stored came out of a frame, so it fits into one.
fn encoded(frame: Result<Frame, spacetime_core::wire::EncodeError>) -> Result<Frame, StoreError> {
    frame.map_err(|error| StoreError::Foreign(format!("what it holds cannot be sent: {error}")))
}
