//! The async Swarm: drives the sans-IO one over transports, on tokio.
//!
//! ```text
//!   application ---- polls ----> Swarm (Stream of events) <---- orders ---- Handle, Handle, ..
//!                                  |   ^
//!                       frames,    |   | batches of frames, in one inbox
//!                       last words v   |
//!                        one task per connection: reads, cuts, writes
//!                                  |   ^
//!                                 transport
//! ```
//!
//! The Swarm does its work while it is polled: an application that does not poll stops the whole
//! node, which holds the peers back through their transports, and nothing piles up. Every path is
//! bounded: what waits to be sent by [`Limits`](crate::Limits), what a task has taken over to write
//! by 128 KiB and one large frame, what arrived and waits by 128 KiB or one large frame per
//! connection.

mod config;
mod connection_task;
mod handle;
mod inbox;
mod link;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

pub use config::Config;
use connection_task::ConnectionTask;
use futures::future::BoxFuture;
use futures::stream::{FusedStream, Stream};
pub use handle::{Handle, SwarmGone};
use handle::{MAX_WAITING_ORDERS, Order};
use inbox::{Inbox, Input};
use link::Link;
use spacetime_core::wire::{FrameReader, FrameRules};
use spacetime_core::{
    Action, Address, ConnectionId, ConnectionMap, DialError, Direction, Event, InvalidLimits,
    NetworkBehaviour, Now, Peer, Statistics, Time,
};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::transport::{Connected, Listener};

/// Bytes that are handed to a connection's task at once.
const TRANSMIT_BYTES: usize = 64 * 1024;

/// Steps that one poll may take before other tasks have their turn.
const MAX_STEPS: usize = 64;

/// Connections per listener that were accepted and wait for the Swarm's decision.
const MAX_UNDECIDED: usize = 64;

/// How long a listener rests when the system has no descriptors left, or worse.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long connections may take to say good-bye at the end. Beyond a connection's own limit only
/// the scheduler can keep them.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// A node's connections and its tree of behaviours. See the [module](self).
///
/// It is a [`Stream`] of events that never ends by itself. Dropping it closes all connections at
/// once; [`shutdown`](Self::shutdown) says good-bye first.
pub struct Swarm<B: NetworkBehaviour> {
    core: spacetime_core::Swarm<B>,
    config: Config,
    rules: Arc<FrameRules>,
    epoch: Instant,
    inbox: Arc<Inbox>,
    /// What was taken out of the inbox and is not handled yet.
    inputs: VecDeque<Input>,
    links: ConnectionMap<Arc<Link>>,
    orders: mpsc::Receiver<Order<B>>,
    handle: Handle<B>,
    tasks: JoinSet<()>,
    listeners: Vec<(Address, AbortHandle)>,
    /// Fires not later than the deadline it was set for.
    alarm: Pin<Box<Sleep>>,
    alarm_at: Option<Time>,
}

impl<B: NetworkBehaviour + 'static> Swarm<B> {
    /// A Swarm without connections. Must be made within a tokio runtime.
    pub fn new(behaviour: B, config: Config) -> Result<Self, InvalidLimits> {
        let core = spacetime_core::Swarm::new(behaviour, config.peer_id, config.limits.clone())?;
        let (sender, orders) = mpsc::channel(MAX_WAITING_ORDERS);
        Ok(Self {
            rules: Arc::new(core.rules().clone()),
            core,
            config,
            epoch: Instant::now(),
            inbox: Arc::default(),
            inputs: VecDeque::new(),
            links: ConnectionMap::new(),
            orders,
            handle: Handle::new(sender),
            tasks: JoinSet::new(),
            listeners: Vec::new(),
            alarm: Box::pin(sleep(Duration::ZERO)),
            alarm_at: None,
        })
    }

    /// A way to talk to this Swarm while it is polled elsewhere.
    pub fn handle(&self) -> Handle<B> {
        self.handle.clone()
    }

    /// Starts to listen; returns the address with the port that the system chose, if it chose one.
    pub async fn listen(&mut self, address: Address) -> io::Result<Address> {
        let supported = self.config.transports.iter().find(|it| it.supports(address.endpoint()));
        let transport = supported.ok_or_else(|| {
            io::Error::new(io::ErrorKind::Unsupported, format!("no transport can listen on {address}"))
        })?;
        let listener = transport.listen(&address).await?;
        let local_address = listener.local_address();
        let task = self.tasks.spawn(accept(listener, Arc::clone(&self.inbox)));
        self.listeners.push((local_address.clone(), task));
        Ok(local_address)
    }

    /// Dials an address. What comes of it is an event with the id that is returned.
    pub fn dial(&mut self, address: Address) -> Result<ConnectionId, DialError> {
        self.act(|_, cx| cx.dial(address))
    }

    /// Does something with the tree.
    pub fn act<R>(&mut self, f: impl FnOnce(&mut B, &mut spacetime_core::Context<'_, B::Event>) -> R) -> R {
        let now = self.now();
        let result = self.core.act(now, f);
        self.carry_out();
        result
    }

    /// The tree.
    pub const fn behaviour(&self) -> &B {
        self.core.behaviour()
    }

    /// All sessions.
    pub fn peers(&self) -> impl Iterator<Item = (ConnectionId, &Peer)> {
        self.core.peers()
    }

    /// Where it listens.
    pub fn listen_addresses(&self) -> impl Iterator<Item = &Address> {
        self.listeners.iter().map(|(address, _)| address)
    }

    /// Numbers since the Swarm began.
    pub const fn statistics(&self) -> Statistics {
        self.core.statistics()
    }

    /// Bytes that wait to be sent on a connection.
    pub fn queued_bytes(&self, connection: ConnectionId) -> usize {
        self.core.queued_bytes(connection)
    }

    /// Stops listening, tells all peers that the node stops, and waits until their tasks have
    /// ended: a few seconds at most.
    pub async fn shutdown(mut self) {
        for (_, listener) in self.listeners.drain(..) {
            listener.abort();
        }
        let now = self.now();
        self.core.shut_down(now);
        self.carry_out();
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(SHUTDOWN_TIMEOUT, all_ended).await.is_err() {
            self.tasks.shutdown().await;
        }
    }

    fn now(&self) -> Now {
        Now::new(Time::from_epoch(self.epoch.elapsed()), (self.config.unix_clock)())
    }

    /// Does what the core wants done.
    fn carry_out(&mut self) {
        while let Some(action) = self.core.poll_action() {
            match action {
                Action::Dial { connection, address } => self.start_dial(connection, &address),
                Action::Established { connection } => {
                    if let Some(link) = self.links.get(connection) {
                        link.lock().established = true;
                        link.wake();
                    }
                }
                Action::Close { connection, last_words } => {
                    if let Some(link) = self.links.remove(connection) {
                        link.close(last_words);
                    }
                }
                other => debug_assert!(false, "a core of another version wants {other:?}"),
            }
        }
        while let Some(connection) = self.core.poll_ready() {
            self.hand_over(connection);
        }
    }

    /// Hands frames to a connection's task, if it has room for them.
    fn hand_over(&mut self, connection: ConnectionId) {
        let Some(link) = self.links.get(connection) else {
            return;
        };
        let mut state = link.lock();
        if !state.has_room() {
            state.more = true;
            return;
        }
        state.more = self.core.poll_transmit(connection, TRANSMIT_BYTES, &mut state.out);
        drop(state);
        link.wake();
    }

    fn start_dial(&mut self, connection: ConnectionId, address: &Address) {
        match self.config.transports.iter().find(|it| it.supports(address.endpoint())) {
            Some(transport) => {
                let connecting = transport.dial(address);
                self.spawn(connection, Direction::Outbound, connecting);
            }
            None => self.inbox.push(Input::DialFailed(connection, DialError::Unsupported)),
        }
    }

    fn spawn(
        &mut self,
        connection: ConnectionId,
        direction: Direction,
        connecting: BoxFuture<'static, io::Result<Connected>>,
    ) {
        let link = Arc::new(Link::default());
        self.links.insert(connection, Arc::clone(&link));
        let reader = FrameReader::new(Arc::clone(&self.rules), self.core.limits().first_frame_bytes());
        let task = ConnectionTask { connection, direction, link, inbox: Arc::clone(&self.inbox), reader };
        self.tasks.spawn(task.run(connecting));
    }

    /// Tasks at a time: one for each connection and listener, and some for connections that the
    /// core has forgotten and whose peers still have a moment to read why.
    fn max_tasks(&self) -> usize {
        let limits = self.core.limits();
        limits.max_connections() + 2 * limits.max_opening() + self.listeners.len()
    }

    fn handle_input(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Incoming(incoming, _permit) => {
                let remote = incoming.remote.clone();
                if self.tasks.len() >= self.max_tasks() {
                    return tracing::debug!(%remote, "connection refused: too many are being closed");
                }
                match self.core.handle_accept(now, incoming.remote) {
                    Ok(connection) => self.spawn(connection, Direction::Inbound, incoming.upgrade),
                    Err(reason) => tracing::debug!(%remote, %reason, "connection refused"),
                }
            }
            Input::Opened(connection, peer_id) => self.core.handle_opened(now, connection, peer_id),
            Input::DialFailed(connection, error) => {
                self.links.remove(connection);
                self.core.handle_dial_failed(now, connection, error);
            }
            Input::Frames(connection, batch) => {
                let bytes = batch.len();
                self.core.handle_frames(now, connection, batch);
                if let Some(link) = self.links.get(connection) {
                    link.handled(bytes);
                }
            }
            Input::Writable(connection) => self.hand_over(connection),
            Input::Closed(connection, reason) => {
                self.core.handle_closed(now, connection, reason);
                self.carry_out();
                self.links.remove(connection);
            }
        }
    }

    fn handle_order(&mut self, order: Order<B>) {
        let now = self.now();
        match order {
            Order::Command(command) => self.core.handle_command(now, command),
            Order::Act(act) => self.core.act(now, act),
        }
    }

    fn next_input(&mut self) -> Option<Input> {
        if self.inputs.is_empty() {
            self.inbox.take(&mut self.inputs);
        }
        self.inputs.pop_front()
    }

    /// Lets the core's deadline pass, if it is over; whether it was. If it is not, sets the alarm.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.core.deadline() else {
            return false;
        };
        let now = self.now();
        if deadline <= now.time {
            self.core.handle_deadline(now);
            return true;
        }
        // An alarm that is set too early costs one needless wake-up; moving it with every deadline
        // would cost a lock each time.
        if self.alarm_at.is_none_or(|at| deadline < at || at <= now.time) {
            self.alarm_at = Some(deadline);
            self.alarm.as_mut().reset(self.epoch + deadline.since(Time::ZERO));
        }
        if self.alarm.as_mut().poll(cx).is_ready() {
            self.alarm_at = None;
            return true;
        }
        false
    }

    fn log(event: &Event<B::Event>) {
        match event {
            Event::Established { connection, peer } => {
                tracing::info!(%connection, peer = %peer.identity, direction = ?peer.direction, "established");
            }
            Event::Closed { connection, peer, reason } => {
                tracing::info!(%connection, peer = %peer.identity, %reason, "closed");
            }
            Event::Refused { connection, reason } => tracing::info!(%connection, %reason, "not let in"),
            Event::DialFailed { address, error, .. } => tracing::debug!(%address, %error, "dial failed"),
            Event::Offence { connection, identity, offence } => {
                tracing::info!(%connection, peer = %identity, %offence, "offence");
            }
            _ => {}
        }
    }
}

/// Nothing in it is pinned in place; the tree is only ever borrowed.
impl<B: NetworkBehaviour> Unpin for Swarm<B> {}

impl<B: NetworkBehaviour + 'static> Stream for Swarm<B> {
    type Item = Event<B::Event>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        this.inbox.register(cx.waker());
        for _ in 0..MAX_STEPS {
            this.carry_out();
            if let Some(event) = this.core.poll_event() {
                Self::log(&event);
                return Poll::Ready(Some(event));
            }
            // In turn, so that neither peers nor the application can keep the other out.
            let input = this.next_input();
            let had_input = input.is_some();
            if let Some(input) = input {
                this.handle_input(input);
            }
            let order = this.orders.poll_recv(cx);
            let had_order = order.is_ready();
            if let Poll::Ready(Some(order)) = order {
                this.handle_order(order);
            }
            if !had_input && !had_order && !this.poll_deadline(cx) {
                // Ended tasks are only counted when there is nothing else to do.
                while let Poll::Ready(Some(_)) = this.tasks.poll_join_next(cx) {}
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<B: NetworkBehaviour + 'static> FusedStream for Swarm<B> {
    fn is_terminated(&self) -> bool {
        false
    }
}

impl<B: NetworkBehaviour> fmt::Debug for Swarm<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Swarm").field("core", &self.core).finish_non_exhaustive()
    }
}

/// Takes connections and waits for the Swarm's decision about each, for as long as the Swarm lives.
async fn accept(mut listener: Box<dyn Listener>, inbox: Arc<Inbox>) {
    let undecided = Arc::new(Semaphore::new(MAX_UNDECIDED));
    loop {
        let Ok(permit) = Arc::clone(&undecided).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok(incoming) => inbox.push(Input::Incoming(incoming, permit)),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
