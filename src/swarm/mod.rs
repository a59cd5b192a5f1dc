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
//! by 128 KiB and one large frame, what arrived and waits by 128 KiB and one large frame per
//! connection; [`Limits::worst_case_bytes`](crate::Limits::worst_case_bytes) adds it up.
//!
//! Its tasks run in the tokio runtime in which it was made. It may be polled from anywhere, also
//! outside of that runtime, for as long as the runtime lives and runs.

mod accept;
mod config;
mod connection_task;
mod connections;
mod farewell;
mod handle;
mod inbox;
mod link;

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use accept::accept;
pub use config::Config;
#[cfg(feature = "node")]
pub(crate) use config::system_clock;
use connection_task::ConnectionTask;
use connections::Connections;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{FusedStream, Stream};
pub use handle::{Handle, SwarmGone};
use handle::{MAX_WAITING_ORDERS, Order};
use inbox::{Inbox, Input};
use link::{Established, Link};
use spacetime_core::wire::{FrameReader, FrameRules};
use spacetime_core::{
    Action, Address, ConnectionId, ConnectionStatistics, DialError, Direction, Event, InvalidLimits,
    NetworkBehaviour, Now, Peer, Statistics, Time, Transmit,
};
use tokio::runtime::Handle as Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::transport::{Connected, Outgoing};

/// Steps after which other tasks have their turn, however much there is to do. To tell an event is
/// one step.
const MAX_STEPS: usize = 256;

/// To handle an input and an order, which may cause hundreds of events, is so many.
const INPUT_STEPS: usize = 4;

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
    has_gate: bool,
    runtime: Runtime,
    epoch: Instant,
    inbox: Arc<Inbox>,
    /// What was taken out of the inbox and is not handled yet.
    inputs: VecDeque<Input>,
    /// Whose inputs were held back and are handled now.
    reads_on: Option<ConnectionId>,
    connections: Connections,
    orders: mpsc::Receiver<Order<B>>,
    handle: Handle<B>,
    listen_addresses: Vec<Address>,
    listeners: JoinSet<()>,
    /// Steps since others had their turn.
    steps: usize,
    /// Fires not later than the deadline it was set for.
    alarm: Pin<Box<Sleep>>,
    alarm_at: Option<Time>,
}

impl<B: NetworkBehaviour + 'static> Swarm<B> {
    /// A Swarm without connections.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime: its tasks run in the one it is made in.
    pub fn new(behaviour: B, config: Config) -> Result<Self, InvalidLimits> {
        let core = spacetime_core::Swarm::new(behaviour, config.peer_id, config.limits.clone())?;
        let (sender, orders) = mpsc::channel(MAX_WAITING_ORDERS);
        let connections = Connections::new(config.limits.max_connections());
        Ok(Self {
            rules: Arc::new(core.rules().clone()),
            has_gate: core.behaviour().claims().has_gate(),
            core,
            config,
            runtime: Runtime::current(),
            epoch: Instant::now(),
            inbox: Arc::default(),
            inputs: VecDeque::new(),
            reads_on: None,
            connections,
            orders,
            handle: Handle::new(sender),
            listen_addresses: Vec::new(),
            listeners: JoinSet::new(),
            steps: 0,
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
        let listener = within(&self.runtime, async { transport.listen(&address).await }).await?;
        let local_address = listener.local_address();
        self.listeners.spawn_on(accept(listener, Arc::clone(&self.inbox)), &self.runtime);
        self.listen_addresses.push(local_address.clone());
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
        self.listen_addresses.iter()
    }

    /// Numbers since the Swarm began.
    pub const fn statistics(&self) -> Statistics {
        self.core.statistics()
    }

    /// Why those who connected were not let in, and how many for each reason.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.core.refusals()
    }

    /// Numbers of one connection, while it is there.
    pub fn connection_statistics(&self, connection: ConnectionId) -> Option<ConnectionStatistics> {
        self.core.connection_statistics(connection)
    }

    /// Bytes that wait to be sent on a connection.
    pub fn queued_bytes(&self, connection: ConnectionId) -> usize {
        self.core.queued_bytes(connection)
    }

    /// Stops listening, tells all peers that the node stops, and waits until their tasks have
    /// ended: a few seconds at most.
    pub async fn shutdown(mut self) {
        self.listeners.shutdown().await;
        self.connections.stop();
        let now = self.now();
        self.core.shut_down(now);
        self.carry_out();
        let runtime = self.runtime.clone();
        let all_ended = async { timeout(SHUTDOWN_TIMEOUT, self.connections.ended()).await };
        if within(&runtime, all_ended).await.is_err() {
            self.connections.abort().await;
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
                Action::Established { connection, may_send_chunks } => {
                    if let Some(link) = self.connections.link(connection) {
                        link.lock().established = Some(Established { may_send_chunks });
                        link.wake();
                    }
                }
                Action::Close { connection, last_words } => {
                    self.connections.close(connection, last_words);
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
        let Some(link) = self.connections.link(connection) else {
            return;
        };
        let mut state = link.lock();
        let room = state.room();
        if room == 0 {
            state.more = true;
            return;
        }
        let was_empty = state.out.is_empty();
        state.more = self.core.poll_transmit(connection, room, &mut state.out);
        drop(state);
        // If not, the task has been woken for what was there, or is busy and will come back.
        if was_empty {
            link.wake();
        }
    }

    fn start_dial(&mut self, connection: ConnectionId, address: &Address) {
        match self.config.transports.iter().find(|it| it.supports(address.endpoint())) {
            Some(transport) => {
                let _within = self.runtime.enter();
                let (dialling, inbox) = (transport.dial(address), Arc::clone(&self.inbox));
                let connecting = async move {
                    let Outgoing { upgrade } = dialling.await?;
                    inbox.push(Input::Connected(connection));
                    upgrade.await
                };
                self.spawn(connection, Direction::Outbound, connecting.boxed());
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
        let reader = FrameReader::new(Arc::clone(&self.rules), self.core.limits().first_frame_bytes());
        let inbox = Arc::clone(&self.inbox);
        let has_gate = self.has_gate;
        let task = ConnectionTask { connection, direction, link: Arc::clone(&link), inbox, reader, has_gate };
        self.connections.spawn(connection, link, task.run(connecting), &self.runtime);
    }

    fn handle_input(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Incoming(incoming, _permit) => {
                let remote = incoming.remote.clone();
                match self.core.handle_accept(now, incoming.remote) {
                    Ok(connection) => self.spawn(connection, Direction::Inbound, incoming.upgrade),
                    Err(reason) => tracing::debug!(%remote, %reason, "connection refused"),
                }
            }
            Input::Connected(connection) => self.core.handle_connected(now, connection),
            Input::Opened(connection, peer_id) => self.core.handle_opened(now, connection, peer_id),
            Input::DialFailed(connection, error) => {
                self.core.handle_dial_failed(now, connection, error);
                self.connections.close(connection, Transmit::new());
            }
            Input::Frames(connection, batch, charge) => {
                let rest = self.core.handle_frames(now, connection, batch);
                if let Some(rest) = rest {
                    self.reads_on = None;
                    self.connections.hold_again(connection, Input::Frames(connection, rest, charge));
                } else if let Some(link) = self.connections.link(connection) {
                    link.handled(charge);
                }
            }
            Input::Writable(connection) => {
                // What is due comes first, and the core counts from now on what it hands out.
                self.core.handle_deadline(now);
                self.hand_over(connection);
            }
            Input::Closed(connection, reason, cut_bytes) => {
                self.core.handle_cut(now, connection, cut_bytes);
                self.core.handle_closed(now, connection, reason);
                self.carry_out();
                // If the core has nothing more to say, its task still writes what it was handed.
                self.connections.close(connection, Transmit::new());
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

    /// The next input that can be handled. What comes behind frames that wait for a limit of
    /// bandwidth waits with them.
    fn next_input(&mut self) -> Option<Input> {
        if let Some(input) = self.next_held() {
            return Some(input);
        }
        loop {
            let input = self.next_from_inbox()?;
            if let Some(input) = self.connections.hold_behind(input) {
                return Some(input);
            }
        }
    }

    /// The next input that was held back and may be handled now.
    fn next_held(&mut self) -> Option<Input> {
        loop {
            if self.reads_on.is_none() {
                self.reads_on = self.core.poll_readable();
            }
            let input = self.connections.take_held(self.reads_on?);
            if input.is_some() {
                return input;
            }
            self.reads_on = None;
        }
    }

    fn next_from_inbox(&mut self) -> Option<Input> {
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
            // Whoever scans ports would fill the log.
            Event::Refused { connection, reason } => tracing::debug!(%connection, %reason, "not let in"),
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
        while this.steps < MAX_STEPS {
            this.carry_out();
            if let Some(event) = this.core.poll_event() {
                this.steps += 1;
                Self::log(&event);
                return Poll::Ready(Some(event));
            }
            this.steps += INPUT_STEPS;
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
                this.steps = 0;
                return Poll::Pending;
            }
        }
        // Counted across polls: a loop over events that are always there would never let go of its
        // thread.
        this.steps = 0;
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

/// Awaits something that needs the runtime, wherever that is done.
async fn within<F: Future>(runtime: &Runtime, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let _within = runtime.enter();
        future.as_mut().poll(cx)
    })
    .await
}
