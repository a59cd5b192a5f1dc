//! The tasks of all connections, those that are being closed among them.

use std::collections::VecDeque;
use std::sync::Arc;

use spacetime_core::{CloseReason, ConnectionId, ConnectionMap, Transmit};
use tokio::runtime::Handle as Runtime;
use tokio::task::{AbortHandle, JoinSet};

use super::inbox::Input;
use super::link::Link;

/// One task for each connection that the core knows, and some for those that it has forgotten and
/// whose peers still have a moment to read why.
pub(super) struct Connections {
    open: ConnectionMap<Open>,
    /// What waits for a limit of bandwidth, and what came behind it. It is charged to the link like all
    /// that was not handled, so it has the same bound.
    held: ConnectionMap<VecDeque<Input>>,
    /// The latest that were closed, the oldest first. Some of them may have ended.
    closing: VecDeque<AbortHandle>,
    max_closing: usize,
    tasks: JoinSet<()>,
}

struct Open {
    link: Arc<Link>,
    task: AbortHandle,
}

impl Connections {
    /// No connections. Of those that are being closed, `max_closing` are kept.
    pub(super) fn new(max_closing: usize) -> Self {
        Self {
            open: ConnectionMap::new(),
            held: ConnectionMap::new(),
            closing: VecDeque::new(),
            max_closing,
            tasks: JoinSet::new(),
        }
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
        self.open.insert(connection, Open { link, task });
    }

    /// Holds back what was taken out and must still wait, before all that is held of its connection.
    pub(super) fn hold_again(&mut self, connection: ConnectionId, input: Input) {
        match self.held.get_mut(connection) {
            Some(held) => held.push_front(input),
            None if self.open.contains(connection) => {
                self.held.insert(connection, VecDeque::from([input]));
            }
            None => {}
        }
    }

    /// Holds an input back if others of its connection are; otherwise it comes back.
    ///
    /// If the stream broke, there is nobody to answer what came before, and it is dropped: the end of
    /// a connection does not wait until its debts are paid.
    pub(super) fn hold_behind(&mut self, input: Input) -> Option<Input> {
        if self.held.is_empty() {
            return Some(input);
        }
        let held = match &input {
            Input::Closed(_, CloseReason::Transport(_) | CloseReason::Insecure(_), _) => None,
            Input::Frames(connection, ..) | Input::Closed(connection, ..) => self.held.get_mut(*connection),
            _ => None,
        };
        match held {
            Some(held) => held.push_back(input),
            None => return Some(input),
        }
        None
    }

    /// Takes out what was held back first of a connection.
    pub(super) fn take_held(&mut self, connection: ConnectionId) -> Option<Input> {
        let held = self.held.get_mut(connection)?;
        let input = held.pop_front();
        if held.is_empty() {
            self.held.remove(connection);
        }
        input
    }

    /// Gives a connection up, if it is there; its task still writes `last_words`.
    ///
    /// The good-bye is a favour. If there are too many of them, the oldest, which had most of its
    /// time, is cut short: peers that never hang up can neither pile up tasks nor take the places of
    /// new connections.
    pub(super) fn close(&mut self, connection: ConnectionId, last_words: Transmit) {
        self.held.remove(connection);
        let Some(Open { link, task }) = self.open.remove(connection) else {
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
