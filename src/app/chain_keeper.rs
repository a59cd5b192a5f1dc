//! Carries out what sync and relay want done to the chain: the part without threads.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use spacetime_core::chain::{ChainRules, HeaderInfo, InvalidObject, MAX_AHEAD_SECONDS};
use spacetime_core::wire::{Block, BlockAccepted, Frame, Headers, NewBlock};
use spacetime_core::{Hash, Now, Origin};
use spacetime_node::NodeCommand;
use spacetime_relay::{Command as RelayCommand, Item, Kind, Verdict};
use spacetime_sync::{Command, Event, RecentChain, State};

use super::orphans::Orphans;
use crate::store::{ChainStore, CheckedBlock, MAX_SIDE_DEPTH, StoreError};

#[cfg(test)]
mod tests;

/// How many blocks before the last one it may be that was accepted, to be worth telling.
const MAX_ACCEPTED_AGE: u64 = 10;

/// Bytes of the blocks that the pool is told of when the chain goes over to another one, from the last
/// block back, and that one whatever its size: twice as many transactions as wait in it by default. A
/// thousand blocks of 16 MiB hold a hundred million.
const MAX_INCLUDED_BYTES: usize = 16 * 1024 * 1024;

/// What the application checks in a block before it is stored: signatures, proofs, balances; and in
/// what is passed on.
///
/// Layout, hashes and links were checked before, and that no block says it was made more than two hours
/// ahead of the wall clock. There is no default for any of it: what is accepted here goes on to everybody,
/// in this node's name.
pub trait Verifier: Send + Sync + 'static {
    /// Whether a block may follow the chain that ends before it.
    fn verify(&self, info: &HeaderInfo, block: &[u8]) -> Result<(), InvalidObject>;

    /// Whether a transaction may wait to be in a block. Its hash does not cover its signature, so
    /// nobody but this says whether that is right.
    fn verify_transaction(&self, transaction: &[u8]) -> Verdict;

    /// Whether a proof, as the payload of its message, is worth passing on.
    fn verify_proof(&self, submission: &[u8]) -> Verdict;
}

/// Takes all that is well-formed: for development networks, where nobody gains by lying.
#[derive(Clone, Copy, Debug, Default)]
pub struct AcceptAll;

impl Verifier for AcceptAll {
    fn verify(&self, _: &HeaderInfo, _: &[u8]) -> Result<(), InvalidObject> {
        Ok(())
    }

    fn verify_transaction(&self, _: &[u8]) -> Verdict {
        Verdict::Accept
    }

    fn verify_proof(&self, _: &[u8]) -> Verdict {
        Verdict::Accept
    }
}

/// A chain, its rules and its verifier.
pub struct ChainKeeper<R, V> {
    store: Arc<dyn ChainStore>,
    rules: R,
    verifier: V,
    /// The last block that others have been told of, or need not be.
    told: Mutex<Hash>,
    orphans: Mutex<Orphans>,
}

impl<R: ChainRules + 'static, V: Verifier> ChainKeeper<R, V> {
    /// Keeps the chain in this store.
    pub fn new(store: Arc<dyn ChainStore>, rules: R, verifier: V) -> Self {
        // What was there before is news to nobody. A store that fails says so again.
        let told = tip(&*store, &rules).map(|tip| tip.hash).unwrap_or_default();
        Self { store, rules, verifier, told: Mutex::new(told), orphans: Mutex::new(Orphans::new()) }
    }

    /// Carries out an effect; what the node is to be told. News that is no effect is ignored.
    pub fn carry_out(&self, event: &Event, now: Now) -> Result<Vec<NodeCommand<R>>, StoreError> {
        let command = match event {
            Event::Apply { blocks } => return self.apply(blocks, now),
            Event::ReadHeaders { read, locator, stop, max_headers } => {
                let answer = self.headers(locator, *stop, *max_headers)?;
                Command::HeadersRead { read: *read, answer }
            }
            Event::ReadBlock { read, hash } => Command::BlockRead { read: *read, answer: self.block(*hash)? },
            Event::StateChanged { state: State::Synced } => return self.publish_tip(),
            _ => return Ok(Vec::new()),
        };
        Ok(vec![NodeCommand::Sync(command)])
    }

    /// Everybody is told of the last block, if sync has brought it: who told this node may have told
    /// nobody else.
    fn publish_tip(&self) -> Result<Vec<NodeCommand<R>>, StoreError> {
        let tip = self.tip()?.hash;
        if std::mem::replace(&mut *lock(&self.told), tip) == tip {
            return Ok(Vec::new());
        }
        let item = self.store.block_of(tip)?.and_then(|bytes| Item::block(&bytes).ok());
        Ok(item.map(|item| NodeCommand::Relay(RelayCommand::Publish(item))).into_iter().collect())
    }

    /// Decides about an item that a peer has sent; what the node is to be told. A block that follows
    /// the chain is stored, and those that were waiting for it as well.
    pub fn judge(&self, item: &Item, from: &Origin, now: Now) -> Result<Vec<NodeCommand<R>>, StoreError> {
        let mut commands = Vec::new();
        lock(&self.orphans).drop_old(now.time);
        let verdict = self.decide(item, Some(from), now, &mut commands)?;
        commands.insert(0, NodeCommand::Relay(RelayCommand::Verdict { id: item.id(), verdict }));
        Ok(commands)
    }

    /// Decides about an item of this node's own, and has it told to everybody if it is valid.
    pub fn publish(&self, item: &Item, now: Now) -> Result<(Verdict, Vec<NodeCommand<R>>), StoreError> {
        let mut commands = Vec::new();
        let verdict = self.decide(item, None, now, &mut commands)?;
        if verdict == Verdict::Accept {
            commands.insert(0, NodeCommand::Relay(RelayCommand::Publish(item.clone())));
        }
        Ok((verdict, commands))
    }

    fn decide(
        &self,
        item: &Item,
        from: Option<&Origin>,
        now: Now,
        commands: &mut Vec<NodeCommand<R>>,
    ) -> Result<Verdict, StoreError> {
        Ok(match item.kind() {
            Kind::Block => self.judge_block(item, from, now, commands)?,
            Kind::Transaction => self.verifier.verify_transaction(item.payload()),
            Kind::Proof => self.verifier.verify_proof(item.payload()),
            Kind::BlockAccepted => self.judge_accepted(item)?,
            _ => Verdict::Ignore,
        })
    }

    fn judge_block(
        &self,
        item: &Item,
        from: Option<&Origin>,
        now: Now,
        commands: &mut Vec<NodeCommand<R>>,
    ) -> Result<Verdict, StoreError> {
        let (tip, bytes) = (self.tip()?, item.payload());
        let Ok(info) = self.rules.check_block(bytes) else { return Ok(Verdict::Reject) };
        if info.hash == tip.hash {
            // The hash says nothing of the signature and the proof: only the very same block is known good.
            let is_ours = self.store.block(tip.height)?.is_some_and(|ours| *ours == *bytes);
            return Ok(if is_ours { Verdict::Accept } else { Verdict::Ignore });
        }
        if is_ahead(&info, now) {
            return Ok(Verdict::Ignore);
        }
        if info.parent != tip.hash {
            // It is old, or sync must fetch what comes before it.
            if info.height > tip.height {
                lock(&self.orphans).insert(item, &info, &tip, from, now.time);
            }
            return Ok(Verdict::Ignore);
        }
        let Ok(block) = self.check(&tip, info, bytes) else { return Ok(Verdict::Reject) };
        self.append(block, item, commands)?;
        self.adopt(info, now, commands)?;
        Ok(Verdict::Accept)
    }

    /// Stores a block that has come by the relay, and tells everybody that it was accepted: whoever
    /// made it waits for that.
    fn append(
        &self,
        block: CheckedBlock<'_>,
        item: &Item,
        commands: &mut Vec<NodeCommand<R>>,
    ) -> Result<(), StoreError> {
        let info = block.info;
        self.store.append(&[block])?;
        *lock(&self.told) = info.hash;
        commands.push(NodeCommand::Sync(Command::TipMoved { tip: info }));
        commands.push(included(item.frame().keep_payload()));
        let accepted = BlockAccepted { hash: info.hash, height: info.height.cast_signed() };
        if let Ok(item) = Item::block_accepted(&accepted) {
            commands.push(NodeCommand::Relay(RelayCommand::Publish(item)));
        }
        Ok(())
    }

    /// Takes the blocks that were waiting for this one, and for each other, and has them passed on.
    fn adopt(&self, tip: HeaderInfo, now: Now, commands: &mut Vec<NodeCommand<R>>) -> Result<(), StoreError> {
        let mut tip = tip;
        loop {
            let children = lock(&self.orphans).take_children(&tip);
            let items = children.iter().filter_map(|frame| {
                let bytes = frame.decode::<NewBlock<'_>>().ok()?.bytes;
                let info = self.rules.check_block(bytes).ok().filter(|info| !is_ahead(info, now))?;
                Some((self.check(&tip, info, bytes).ok()?, Item::block(bytes).ok()?))
            });
            let Some((block, item)) = { items }.next() else { return Ok(()) };
            tip = block.info;
            self.append(block, &item, commands)?;
            commands.push(NodeCommand::Relay(RelayCommand::Publish(item)));
        }
    }

    /// That a block was accepted is told on if it is one of the last of this chain.
    fn judge_accepted(&self, item: &Item) -> Result<Verdict, StoreError> {
        let Ok(accepted) = item.frame().decode::<BlockAccepted>() else { return Ok(Verdict::Reject) };
        let (height, tip_height) = (accepted.height.unsigned_abs(), self.store.height()?);
        if height > tip_height {
            // The block is on its way, or it is none.
            return Ok(Verdict::NotYet);
        }
        let is_new = height + MAX_ACCEPTED_AGE >= tip_height;
        let is_ours = is_new && self.store.height_of(accepted.hash)? == Some(height);
        Ok(if is_ours { Verdict::Accept } else { Verdict::Ignore })
    }

    /// The last block of the chain.
    pub fn tip(&self) -> Result<HeaderInfo, StoreError> {
        tip(&*self.store, &self.rules)
    }

    /// Verifies blocks, and stores those before the first bad one. Those that are there already, because
    /// the relay has brought them meanwhile, are passed over. That their headers commit to their bodies was
    /// [found out](spacetime_sync::Event::Apply) when they came.
    pub(crate) fn apply(&self, blocks: &[Bytes], now: Now) -> Result<Vec<NodeCommand<R>>, StoreError> {
        let tip = self.tip()?;
        let mut blocks = blocks;
        let mut last = tip;
        while let Some((first, rest)) = blocks.split_first()
            && let Some(known) = self.info_of(R::block_id(first).unwrap_or_default())?
        {
            (blocks, last) = (rest, known);
        }
        let mut checked = Vec::with_capacity(blocks.len());
        let mut commands = Vec::new();
        if let Some(parent) = blocks.first().and_then(|first| self.parent_of(first)) {
            last = self.info_of(parent)?.unwrap_or(last);
        }
        let parent = last;
        for bytes in blocks {
            let info = self.rules.header_of(bytes).and_then(|header| self.rules.read_header(header));
            let result = info.and_then(|info| self.check(&last, info, bytes));
            match result {
                Ok(block) => {
                    last = block.info;
                    checked.push(block);
                }
                Err(error) => {
                    let hash = R::block_id(bytes).unwrap_or_default();
                    commands.push(NodeCommand::Sync(Command::Rejected { hash, error }));
                    break;
                }
            }
        }
        let is_best = if checked.is_empty() {
            // They may have been kept and not followed: by a node that was killed in between.
            self.store.height_of(last.hash)?.is_none() && self.go_over_to(&last, &mut commands)?
        } else if parent.hash == tip.hash {
            self.store.append(&checked)?;
            commands.extend(blocks.iter().take(checked.len()).cloned().map(included));
            true
        } else {
            self.store.append_side(&checked)?;
            self.go_over_to(&last, &mut commands)?
        };
        let tip = if is_best { last } else { tip };
        commands.push(NodeCommand::Sync(Command::Applied { last, tip }));
        self.adopt(tip, now, &mut commands)?;
        Ok(commands)
    }

    /// If the chain that ends with this block beside the best chain is heavier, it is the best one from
    /// now on. Whether it is.
    fn go_over_to(&self, last: &HeaderInfo, commands: &mut Vec<NodeCommand<R>>) -> Result<bool, StoreError> {
        let (mut branch, mut parent) = (vec![*last], last.parent);
        let fork = loop {
            let Some(before) = self.info_of(parent)? else { return Ok(false) };
            if self.store.height_of(before.hash)?.is_some() {
                break before;
            }
            if branch.len() as u64 > MAX_SIDE_DEPTH {
                return Ok(false);
            }
            branch.push(before);
            parent = before.parent;
        };
        branch.reverse();
        let ours = self.store.headers(fork.height + 1, usize::MAX)?;
        let ours = ours.iter().map(|header| self.read(header)).collect::<Result<Vec<_>, _>>()?;
        if self.rules.branch_weight(&fork, &branch) <= self.rules.branch_weight(&fork, &ours) {
            return Ok(false);
        }
        let branch: Vec<_> = branch.iter().map(|info| info.hash).collect();
        self.store.reorganise(fork.height, &branch)?;
        let mut bytes = 0;
        for hash in branch.into_iter().rev() {
            let Some(block) = self.store.block_of(hash)? else { break };
            if bytes > 0 && bytes + block.len() > MAX_INCLUDED_BYTES {
                break;
            }
            bytes += block.len();
            commands.push(included(block.into()));
        }
        Ok(true)
    }

    fn parent_of(&self, block: &[u8]) -> Option<Hash> {
        let header = self.rules.header_of(block).ok()?;
        Some(self.rules.read_header(header).ok()?.parent)
    }

    /// What is known of a block that is stored, on the best chain or beside it.
    fn info_of(&self, hash: Hash) -> Result<Option<HeaderInfo>, StoreError> {
        self.store.header_of(hash)?.map(|header| self.read(&header)).transpose()
    }

    fn read(&self, header: &[u8]) -> Result<HeaderInfo, StoreError> {
        read(header, &self.rules)
    }

    fn check<'a>(
        &self,
        parent: &HeaderInfo,
        info: HeaderInfo,
        bytes: &'a [u8],
    ) -> Result<CheckedBlock<'a>, InvalidObject> {
        self.rules.check_link(parent, &info)?;
        self.verifier.verify(&info, bytes)?;
        Ok(CheckedBlock { info, header: self.rules.header_of(bytes)?, bytes })
    }

    fn headers(&self, locator: &[Hash], stop: Option<Hash>, max_headers: usize) -> Result<Frame, StoreError> {
        let genesis = R::block_id(self.rules.genesis()).unwrap_or_default();
        let known = |hash: &Hash| if *hash == Hash::ZERO { genesis } else { *hash };
        let locator: Vec<_> = locator.iter().map(known).collect();
        let mut headers = self.store.headers_after(&locator, max_headers)?;
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
        self.store.block_of(hash)?.map(|bytes| encoded(Frame::encode(&Block { bytes: &bytes }))).transpose()
    }
}

/// Whether a block says that it was made further ahead than anybody takes it.
const fn is_ahead(info: &HeaderInfo, now: Now) -> bool {
    info.timestamp > now.unix_seconds.saturating_add(MAX_AHEAD_SECONDS)
}

/// That a block is on the best chain, for the pool: a command for each, so that the network has a turn
/// between them.
const fn included<R: ChainRules>(block: Bytes) -> NodeCommand<R> {
    NodeCommand::Relay(RelayCommand::Included(block))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<R, V> fmt::Debug for ChainKeeper<R, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainKeeper").finish_non_exhaustive()
    }
}

/// The last blocks of a stored chain, as far back as sync leaves them for another one.
pub(super) fn recent(store: &dyn ChainStore, rules: &impl ChainRules) -> Result<RecentChain, StoreError> {
    let from = store.height()?.saturating_sub(spacetime_sync::MAX_REORG_DEPTH as u64);
    let headers = store.headers(from, usize::MAX)?;
    let (first, rest) =
        headers.split_first().ok_or_else(|| StoreError::Foreign("its last header is missing".into()))?;
    let mut recent = RecentChain::from(read(first, rules)?);
    for header in rest {
        recent.push(read(header, rules)?);
    }
    Ok(recent)
}

/// The tip of a stored chain.
pub(super) fn tip(store: &dyn ChainStore, rules: &impl ChainRules) -> Result<HeaderInfo, StoreError> {
    let header = store.headers(store.height()?, 1)?.pop();
    read(&header.ok_or_else(|| StoreError::Foreign("its last header is missing".into()))?, rules)
}

fn read(header: &[u8], rules: &impl ChainRules) -> Result<HeaderInfo, StoreError> {
    rules
        .read_header(header)
        .map_err(|error| StoreError::Foreign(format!("a header of it is broken: {error}")))
}

/// What was stored came out of a frame, so it fits into one.
fn encoded(frame: Result<Frame, spacetime_core::wire::EncodeError>) -> Result<Frame, StoreError> {
    frame.map_err(|error| StoreError::Foreign(format!("what it holds cannot be sent: {error}")))
}
