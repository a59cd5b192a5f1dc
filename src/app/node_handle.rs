//! Talking to a running node.

use std::fmt;
use std::sync::Arc;

use spacetime_core::{Address, NetworkBehaviour as _};
use spacetime_node::{NodeCommand, Status};
use spacetime_peers::book::Record;
use spacetime_peers::{Command, Peers};
use spacetime_relay::{Item, Verdict};
use spacetime_sync::Progress;
use tokio::sync::{oneshot, watch};

use super::chain_worker::Publisher;
use super::full_node::FullNodeBehaviour;
use super::peers_worker::PeersWriter;
use crate::swarm::{Handle, SwarmGone};

/// A way to talk to a running [`FullNode`](super::FullNode); cheap to clone.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    swarm: Handle<FullNodeBehaviour>,
    listen: Arc<[Address]>,
    peers_writer: PeersWriter,
    publisher: Publisher,
    progress: watch::Receiver<Progress>,
}

impl NodeHandle {
    pub(super) fn new(
        swarm: Handle<FullNodeBehaviour>,
        listen: &[Address],
        peers_writer: PeersWriter,
        publisher: Publisher,
        progress: watch::Receiver<Progress>,
    ) -> Self {
        Self { swarm, listen: listen.into(), peers_writer, publisher, progress }
    }

    /// The Swarm in which it runs.
    pub const fn swarm(&self) -> &Handle<FullNodeBehaviour> {
        &self.swarm
    }

    /// How far the synchronisation has come: the newest value, which is another one at most once in
    /// [`Config::with_progress_interval`](spacetime_sync::Config::with_progress_interval). The sender is gone
    /// when the node has ended.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// What the node says of itself.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub async fn status(&self) -> Result<Status, SwarmGone> {
        let listen = Arc::clone(&self.listen);
        self.swarm.act(move |node, cx| node.status(cx, &listen)).await
    }

    /// All addresses of its book.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub async fn addresses(&self) -> Result<Vec<Record>, SwarmGone> {
        self.swarm.act(|node, _| node.peers.records()).await
    }

    /// Tells everybody of a block, a transaction or a proof of this node's own, if the node's verifier
    /// accepts it, and says how many peers there are. A block must follow the chain, and is stored.
    ///
    /// # Errors
    ///
    /// It is not accepted, or the node has ended.
    pub async fn publish(&self, item: Item) -> Result<usize, PublishError> {
        match self.publisher.publish(item).await {
            Some(Verdict::Accept) => {}
            Some(Verdict::Reject) => return Err(PublishError::Invalid),
            Some(_) => return Err(PublishError::NoUse),
            None => return Err(PublishError::Gone),
        }
        self.swarm.act(|_, cx| cx.peers().count()).await.map_err(|SwarmGone| PublishError::Gone)
    }

    /// Bans, trusts or the opposite, and returns when what has changed is on the disk.
    ///
    /// # Errors
    ///
    /// The node has ended, or cannot write to its disk.
    pub async fn change_peers(&self, command: Command) -> Result<(), ChangeError> {
        self.change_and_look(command, |_| ()).await.map(drop)
    }

    /// The same, and says what there is to see before and after the command.
    pub(super) async fn change_and_look<R: Send + 'static>(
        &self,
        command: Command,
        look: impl Fn(&Peers) -> R + Send + 'static,
    ) -> Result<(R, R), ChangeError> {
        let writer = self.peers_writer.clone();
        let (sender, stored) = oneshot::channel();
        let seen = self.swarm.act(move |node, cx| {
            let before = look(&node.peers);
            node.on_command(cx, NodeCommand::Peers(command));
            // In the same turn, so that nothing older can be stored after it.
            writer.store_state_and_tell(Box::new(node.peers.state()), sender);
            (before, look(&node.peers))
        });
        let seen = seen.await.map_err(|SwarmGone| ChangeError::Gone)?;
        match stored.await {
            Ok(Ok(())) => Ok(seen),
            Ok(Err(why)) => Err(ChangeError::NotStored(why)),
            Err(_) => Err(ChangeError::NotStored("too much waits for the disk".into())),
        }
    }
}

/// Why nobody is told of an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// It breaks the rules.
    Invalid,
    /// It breaks no rule, and is of no use here or now: a block that does not follow the chain.
    NoUse,
    /// The node has ended.
    Gone,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "the node refuses it: it breaks the rules",
            Self::NoUse => "the node has no use for it",
            Self::Gone => "the node is stopping",
        })
    }
}

impl std::error::Error for PublishError {}

/// Why something does not hold, or only until the node ends.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ChangeError {
    /// The node has ended; nothing has changed.
    Gone,
    /// It holds, but it cannot be stored, and why.
    NotStored(String),
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the node is stopping"),
            Self::NotStored(why) => {
                write!(f, "it is done, but a restart forgets it: it cannot be stored: {why}")
            }
        }
    }
}

impl std::error::Error for ChangeError {}
