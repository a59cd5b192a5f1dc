//! Carries out what sync and relay want done to the chain on threads of its own: disks and checks
//! never hold up the network.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use bytes::Bytes;
use spacetime_core::chain::ChainRules;
use spacetime_core::{Now, Origin, Time};
use spacetime_node::{Node, NodeCommand};
use spacetime_relay::{Item, MAX_PENDING_ITEMS, Verdict};
use spacetime_sync::Event;
use tokio::sync::{mpsc, oneshot};

use super::chain_keeper::{ChainKeeper, Verifier};
use crate::store::{ChainStore, StoreError};
use crate::swarm::{Handle, system_clock};

/// Reads that may wait. Sync has no more at a time than there are threads.
const MAX_WAITING_READS: usize = 64;

/// What may change the chain.
#[derive(Debug)]
enum Job {
    Apply(Vec<Bytes>),
    Judge(Item, Origin),
    Publish(Item, oneshot::Sender<Verdict>),
}

/// A way to have items of this node's own judged and published; it keeps no thread alive.
#[derive(Clone, Debug)]
pub(super) struct Publisher(mpsc::WeakSender<Job>);

impl Publisher {
    /// Has an item judged, and told to everybody if it is valid. None if the node has ended.
    pub(super) async fn publish(&self, item: Item) -> Option<Verdict> {
        let (sender, verdict) = oneshot::channel();
        self.0.upgrade()?.send(Job::Publish(item, sender)).await.ok()?;
        verdict.await.ok()
    }
}

/// A chain, its rules and its verifier, and the threads that work on it.
#[derive(Debug)]
pub struct ChainWorker {
    jobs: mpsc::Sender<Job>,
    reads: mpsc::Sender<Event>,
    failure: mpsc::Receiver<StoreError>,
    threads: Vec<JoinHandle<()>>,
}

impl ChainWorker {
    /// Starts the threads: one that writes, and so many that read, as many as sync has read something
    /// ([`spacetime_sync::Config::max_reads`]). They end when this is dropped, or the Swarm is gone.
    pub fn spawn<R>(
        store: Arc<dyn ChainStore>,
        rules: R,
        verifier: impl Verifier,
        max_reads: usize,
        handle: &Handle<Node<R>>,
    ) -> std::io::Result<Self>
    where
        R: ChainRules + Clone + Send + Sync + 'static,
    {
        // Sync has one batch of blocks applied at a time, and the relay waits for so many verdicts.
        let (jobs, writers_jobs) = mpsc::channel(MAX_PENDING_ITEMS + 1);
        let (reads, questions) = mpsc::channel(MAX_WAITING_READS);
        let (failed, failure) = mpsc::channel(2);
        let keeper = Arc::new(ChainKeeper::new(store, rules, verifier));
        let writer = Arc::clone(&keeper);
        let (writer_handle, writer_failed) = (handle.clone(), failed.clone());
        let writer = thread::Builder::new().name("chain writer".into()).spawn(move || {
            let tell = |command| writer_handle.blocking_send(command).is_ok();
            report(write(&writer, writers_jobs, tell), &writer_failed);
        })?;
        let mut threads = vec![writer];
        let questions = Arc::new(Mutex::new(questions));
        for _ in 0..max_reads {
            let (keeper, questions) = (Arc::clone(&keeper), Arc::clone(&questions));
            let (handle, failed) = (handle.clone(), failed.clone());
            threads.push(thread::Builder::new().name("chain reader".into()).spawn(move || {
                let tell = |command| handle.blocking_send(command).is_ok();
                report(read(&keeper, &questions, tell), &failed);
            })?);
        }
        Ok(Self { jobs, reads, failure, threads })
    }

    /// Finishes what was begun and waits for the threads. The Swarm must be gone.
    pub async fn finish(self) {
        let Self { jobs, reads, threads, .. } = self;
        drop((jobs, reads));
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().try_for_each(JoinHandle::join));
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!("a chain thread has panicked");
        }
    }

    /// Passes an effect on to the threads. News that is no effect is ignored.
    pub async fn carry_out(&self, event: Event) {
        // A thread that is gone has said why in `failed`.
        match event {
            Event::Apply { blocks } => drop(self.jobs.send(Job::Apply(blocks)).await),
            Event::ReadHeaders { .. } | Event::ReadBlock { .. } | Event::StateChanged { .. } => {
                drop(self.reads.send(event).await);
            }
            _ => {}
        }
    }

    /// Has an item judged. If too many wait already there is no verdict, and the relay goes on without.
    pub fn judge(&self, item: Item, from: Origin) {
        drop(self.jobs.try_send(Job::Judge(item, from)));
    }

    pub(super) fn publisher(&self) -> Publisher {
        Publisher(self.jobs.downgrade())
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

fn write<R: ChainRules + 'static, V: Verifier>(
    keeper: &ChainKeeper<R, V>,
    mut jobs: mpsc::Receiver<Job>,
    tell: impl Fn(NodeCommand<R>) -> bool,
) -> Result<(), StoreError> {
    let began = Instant::now();
    while let Some(job) = jobs.blocking_recv() {
        let now = Now::new(Time::from_epoch(began.elapsed()), system_clock());
        let commands = match job {
            Job::Apply(blocks) => keeper.apply(&blocks, now)?,
            Job::Judge(item, from) => keeper.judge(&item, &from, now)?,
            Job::Publish(item, sender) => {
                let (verdict, commands) = keeper.publish(&item, now)?;
                if !commands.into_iter().all(&tell) {
                    break;
                }
                // Who asked may have gone.
                let _ = sender.send(verdict);
                continue;
            }
        };
        if !commands.into_iter().all(&tell) {
            break;
        }
    }
    Ok(())
}

fn read<R: ChainRules + 'static, V: Verifier>(
    keeper: &ChainKeeper<R, V>,
    questions: &Mutex<mpsc::Receiver<Event>>,
    tell: impl Fn(NodeCommand<R>) -> bool,
) -> Result<(), StoreError> {
    let began = Instant::now();
    // One thread waits for the next question, the others for their turn to.
    let next = || questions.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
    while let Some(question) = next() {
        let now = Now::new(Time::from_epoch(began.elapsed()), system_clock());
        if !keeper.carry_out(&question, now)?.into_iter().all(&tell) {
            break;
        }
    }
    Ok(())
}
