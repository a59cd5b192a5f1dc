//! The tasks of all connections, those that are being closed among them.

use std::collections::VecDeque;
use std::sync::Arc;

use spacetime_core::{ConnectionId, ConnectionMap, Transmit};
use tokio::runtime::Handle as Runtime;
use tokio::task::{AbortHandle, JoinSet};

use super::inbox::Input;
use super::link::Link;

/// One task for each connection that the core knows, and some for those that it has forgotten and
/// whose peers still have a moment to read why.
pub(super) struct Connections {
    open: ConnectionMap<Open>,
    /// The latest that were closed, the oldest first. Some of them may have ended.
    closing: VecDeque<AbortHandle>,
    max_closing: usize,
    tasks: JoinSet<()>,
}

struct Open {
    link: Arc<Link>,
    task: AbortHandle,
    /// What the core does not take yet, and what came behind it. It is charged to the link like all
    /// that was not handled, so it has the same bound.
    held: VecDeque<Input>,
}

impl Connections {
    /// No connections. Of those that are being closed, `max_closing` are kept.
    pub(super) fn new(max_closing: usize) -> Self {
        Self { open: ConnectionMap::new(), closing: VecDeque::new(), max_closing, tasks: JoinSet::new() }
    }

    pub(super) fn link(&self, connection: ConnectionId) -> Option<&Link> {
        self.open.get(connection).map(|it| &*it.link)
    }

    /// Starts the task of a new connection.
    pub(super) fn spawn(
        &mut self,
        connection: ConnectionId,
        link: Arc<Link>,
        task: impl Future<Output = ()> + Send + 'static,
        runtime: &Runtime,
    ) {
        // Only here do they become more, so here is where those that have ended are taken out.
        while self.tasks.try_join_next().is_some() {}
        let task = self.tasks.spawn_on(task, runtime);
        self.open.insert(connection, Open { link, task, held: VecDeque::new() });
    }

    /// What of a connection is held back.
    pub(super) fn held(&mut self, connection: ConnectionId) -> Option<&mut VecDeque<Input>> {
        self.open.get_mut(connection).map(|it| &mut it.held)
    }

    /// Gives a connection up, if it is there; its task still writes `last_words`.
    ///
    /// The good-bye is a favour. If there are too many of them, the oldest, which had most of its
    /// time, is cut short: peers that never hang up can neither pile up tasks nor take the places of
    /// new connections.
    pub(super) fn close(&mut self, connection: ConnectionId, last_words: Transmit) {
        let Some(Open { link, task, .. }) = self.open.remove(connection) else {
            return;
        };
        link.close(last_words);
        self.closing.push_back(task);
        if self.closing.len() > self.max_closing {
            self.closing.retain(|task| !task.is_finished());
        }
        while self.closing.len() > self.max_closing {
            self.closing.pop_front().inspect(AbortHandle::abort);
        }
    }

    /// From now on nothing new comes, so all that there are may say good-bye at once.
    pub(super) const fn stop(&mut self) {
        self.max_closing = usize::MAX;
    }

    /// Waits until all tasks have ended.
    pub(super) async fn ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    /// Ends all tasks at once.
    pub(super) async fn abort(&mut self) {
        self.tasks.shutdown().await;
    }
}
