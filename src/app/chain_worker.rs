//! Carries out what sync wants done to the chain, on threads of its own: disks and checks never
//! hold up the network.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use spacetime_core::Hash;
use spacetime_core::chain::{ChainRules, HeaderInfo, InvalidObject};
use spacetime_core::wire::{Block, Frame, Headers};
use spacetime_node::{Node, NodeCommand};
use spacetime_sync::{Command, Event, ReadId};
use tokio::sync::mpsc;

use crate::store::{ChainStore, CheckedBlock, StoreError};
use crate::swarm::Handle;

/// Reads that may wait. Sync asks for 4 at a time for each peer.
const MAX_WAITING_READS: usize = 1024;

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

/// A chain, its rules and its verifier, and the threads that work on it.
#[derive(Debug)]
pub struct ChainWorker {
    apply: mpsc::Sender<Vec<Bytes>>,
    reads: mpsc::Sender<Read>,
    failure: mpsc::Receiver<StoreError>,
    threads: Vec<JoinHandle<()>>,
}

/// Something to be read.
#[derive(Debug)]
enum Read {
    Headers { read: ReadId, locator: Hash, stop: Option<Hash>, max_headers: usize },
    Block { read: ReadId, hash: Hash },
}

impl ChainWorker {
    /// Starts the threads. They end when this is dropped, or the Swarm is gone.
    pub fn spawn<R>(
        store: Arc<dyn ChainStore>,
        rules: R,
        verifier: impl Verifier,
        handle: &Handle<Node<R>>,
    ) -> std::io::Result<Self>
    where
        R: ChainRules + Clone + Send + Sync + 'static,
    {
        let (apply, blocks) = mpsc::channel(1);
        let (reads, questions) = mpsc::channel(MAX_WAITING_READS);
        let (failed, failure) = mpsc::channel(2);
        let writer = Writer { store: Arc::clone(&store), rules: rules.clone(), verifier };
        let reader = Reader { store, rules };
        let (writer_handle, writer_failed) = (handle.clone(), failed.clone());
        let writer = thread::Builder::new().name("chain writer".into()).spawn(move || {
            let tell = |command| writer_handle.blocking_send(NodeCommand::Sync(command)).is_ok();
            report(writer.run(blocks, tell), &writer_failed);
        })?;
        let handle = handle.clone();
        let reader = thread::Builder::new().name("chain reader".into()).spawn(move || {
            let tell = |command| handle.blocking_send(NodeCommand::Sync(command)).is_ok();
            report(reader.run(questions, tell), &failed);
        })?;
        Ok(Self { apply, reads, failure, threads: vec![writer, reader] })
    }

    /// Finishes what was begun and waits for the threads. The Swarm must be gone.
    pub async fn finish(self) {
        let Self { apply, reads, threads, .. } = self;
        drop((apply, reads));
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().try_for_each(JoinHandle::join));
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!("a chain thread has panicked");
        }
    }

    /// Passes an effect on to the threads. News that is no effect is ignored.
    pub async fn carry_out(&self, event: Event) {
        // A thread that is gone has said why in `failed`.
        match event {
            Event::Apply { blocks } => drop(self.apply.send(blocks).await),
            Event::ReadHeaders { read, locator, stop, max_headers } => {
                drop(self.reads.send(Read::Headers { read, locator, stop, max_headers }).await);
            }
            Event::ReadBlock { read, hash } => drop(self.reads.send(Read::Block { read, hash }).await),
            _ => {}
        }
    }

    /// Waits until the store fails, which ends the node: what it says after a failed write is not
    /// to be believed.
    pub async fn failed(&mut self) -> StoreError {
        match self.failure.recv().await {
            Some(error) => error,
            None => std::future::pending().await,
        }
    }
}

fn report(result: Result<(), StoreError>, failed: &mpsc::Sender<StoreError>) {
    if let Err(error) = result {
        tracing::error!(%error, "the chain store failed");
        // The other thread may have reported first, or nobody listens any more.
        let _ = failed.try_send(error);
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

struct Writer<R, V> {
    store: Arc<dyn ChainStore>,
    rules: R,
    verifier: V,
}

impl<R: ChainRules, V: Verifier> Writer<R, V> {
    fn run(
        &self,
        mut batches: mpsc::Receiver<Vec<Bytes>>,
        tell: impl Fn(Command) -> bool,
    ) -> Result<(), StoreError> {
        let mut tip = tip(&*self.store, &self.rules)?;
        while let Some(blocks) = batches.blocking_recv() {
            let rejected = self.apply(&mut tip, &blocks)?;
            let told = rejected.is_none_or(|(hash, error)| tell(Command::Rejected { hash, error }));
            if !told || !tell(Command::Applied { tip }) {
                break;
            }
        }
        Ok(())
    }

    /// Checks blocks and stores those before the first bad one, which is returned.
    fn apply(
        &self,
        tip: &mut HeaderInfo,
        blocks: &[Bytes],
    ) -> Result<Option<(Hash, InvalidObject)>, StoreError> {
        let mut checked = Vec::with_capacity(blocks.len());
        let mut rejected = None;
        let mut last = *tip;
        for bytes in blocks {
            match self.check(&last, bytes) {
                Ok(block) => {
                    last = block.info;
                    checked.push(block);
                }
                Err(error) => {
                    rejected = Some((R::block_id(bytes).unwrap_or_default(), error));
                    break;
                }
            }
        }
        if !checked.is_empty() {
            self.store.append(&checked)?;
            *tip = last;
        }
        Ok(rejected)
    }

    fn check<'a>(&self, parent: &HeaderInfo, bytes: &'a [u8]) -> Result<CheckedBlock<'a>, InvalidObject> {
        let info = self.rules.check_block(bytes)?;
        self.rules.check_link(parent, &info)?;
        self.verifier.verify(&info, bytes)?;
        Ok(CheckedBlock { info, header: self.rules.header_of(bytes)?, bytes })
    }
}

struct Reader<R> {
    store: Arc<dyn ChainStore>,
    rules: R,
}

impl<R: ChainRules> Reader<R> {
    fn run(
        &self,
        mut questions: mpsc::Receiver<Read>,
        tell: impl Fn(Command) -> bool,
    ) -> Result<(), StoreError> {
        while let Some(question) = questions.blocking_recv() {
            let command = match question {
                Read::Headers { read, locator, stop, max_headers } => {
                    Command::HeadersRead { read, answer: self.headers(locator, stop, max_headers)? }
                }
                Read::Block { read, hash } => Command::BlockRead { read, answer: self.block(hash)? },
            };
            if !tell(command) {
                break;
            }
        }
        Ok(())
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

/// What was stored came out of a frame, so it fits into one.
fn encoded(frame: Result<Frame, spacetime_core::wire::EncodeError>) -> Result<Frame, StoreError> {
    frame.map_err(|error| StoreError::Foreign(format!("what it holds cannot be sent: {error}")))
}
