//! What a behaviour can see and do while it handles one input.

use core::fmt;
use core::time::Duration;

use crate::address::Address;
use crate::admission::OpeningConnection;
use crate::bandwidth::Bandwidth;
use crate::close::{CloseReason, DialError};
use crate::connection::ConnectionId;
use crate::hash::PeerId;
use crate::offence::Offence;
use crate::patience::Patience;
use crate::peer::{Peer, PeerInfo};
use crate::request::{Expect, RequestId};
use crate::swarm::Statistics;
use crate::swarm::network::Network;
use crate::swarm::sending::SendError;
use crate::time::Time;
use crate::wire::{Frame, Message, Priority};

use crate::signal::Signal;

/// Where events go on their way up the tree.
pub(crate) trait EventSink<E> {
    fn push(&mut self, event: E);
}

/// Wraps the events of a child in those of its parent.
struct Wrapped<'a, E, W> {
    parent: &'a mut dyn EventSink<E>,
    wrap: W,
}

impl<E, C, O: Into<Option<E>>, W: FnMut(C) -> O> EventSink<C> for Wrapped<'_, E, W> {
    fn push(&mut self, event: C) {
        if let Some(event) = (self.wrap)(event).into() {
            self.parent.push(event);
        }
    }
}

/// The hands of a behaviour: valid while it handles one input, with no clock, no socket and no
/// waker in it. `E` is the behaviour's event.
pub struct Context<'a, E> {
    network: &'a mut Network,
    events: &'a mut dyn EventSink<E>,
}

impl<'a, E> Context<'a, E> {
    pub(crate) fn new(network: &'a mut Network, events: &'a mut dyn EventSink<E>) -> Self {
        Self { network, events }
    }

    /// Runs `f` with the context of a child, whose events become `E` by `wrap`, or end there if it
    /// answers `None`. The derive does this; by hand it is for parents that do something of their
    /// own around a child: what `wrap` notes, they can act upon once this returns.
    pub fn with_child<C, O: Into<Option<E>>, R>(
        &mut self,
        wrap: impl FnMut(C) -> O,
        f: impl FnOnce(&mut Context<'_, C>) -> R,
    ) -> R {
        let mut sink = Wrapped { parent: &mut *self.events, wrap };
        f(&mut Context { network: &mut *self.network, events: &mut sink })
    }

    /// The monotonic clock, the same during one input.
    pub fn now(&self) -> Time {
        self.network.now().time
    }

    /// The wall clock in unix seconds, the same during one input. It may jump.
    pub fn unix_seconds(&self) -> i64 {
        self.network.now().unix_seconds
    }

    /// Who this node is.
    pub fn local_id(&self) -> PeerId {
        self.network.local_id()
    }

    /// The peer on a connection, while its session lasts.
    pub fn peer(&self, connection: ConnectionId) -> Option<&Peer> {
        self.network.peer(connection)
    }

    /// All sessions, in the order of their connections' slots.
    pub fn peers(&self) -> impl Iterator<Item = (ConnectionId, &Peer)> {
        self.network.peers()
    }

    /// Whether a version-1 peer may be waiting for an answer of ours. It takes whatever comes next for
    /// that answer, so nothing is to be sent to it unasked. Never true of other peers.
    pub fn may_wait_for_answer(&self, connection: ConnectionId) -> bool {
        self.network.may_wait_for_answer(connection)
    }

    /// Numbers since the Swarm began.
    pub const fn statistics(&self) -> Statistics {
        self.network.statistics()
    }

    /// Why those who connected were not let in, as [`Swarm::refusals`](crate::Swarm::refusals).
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.network.refusals.iter()
    }

    /// When the last frame arrived on a connection.
    pub fn last_received(&self, connection: ConnectionId) -> Option<Time> {
        self.network.last_received(connection)
    }

    /// Begins to wait for something that the peer of a connection owes this node.
    pub fn patience(&self, connection: ConnectionId, timeout: Duration) -> Patience {
        self.network.patience(connection, timeout)
    }

    /// When it is over, if nothing more is held back by this node's own limits; ask again then. At
    /// the latest after four timeouts.
    pub fn patience_ends(&self, connection: ConnectionId, patience: &Patience) -> Time {
        self.network.patience_ends(connection, patience)
    }

    /// Whether this node's own limits of [bandwidth](crate::Bandwidth) have held the connection back for
    /// so long, three timeouts, that what did not come need not be the peer's fault.
    pub fn is_excused(&self, connection: ConnectionId, patience: &Patience) -> bool {
        self.network.is_excused(connection, patience)
    }

    /// Whether they hold anything back on it at this moment, in either direction.
    pub fn is_held(&self, connection: ConnectionId) -> bool {
        self.network.is_held(connection)
    }

    /// Whether this node's own limits of [bandwidth](crate::Bandwidth) have held back anything on a
    /// connection since then, in either direction: then it is not only up to the peer what came late.
    pub fn was_held_since(&self, connection: ConnectionId, then: Time) -> bool {
        self.network.was_held_since(connection, then)
    }

    /// Encodes a message and queues it for one peer.
    pub fn send<M: Message>(&mut self, to: ConnectionId, message: &M) -> Result<(), SendError> {
        self.network.send(to, message)
    }

    /// Queues a frame for one peer. A received frame goes out as it came in.
    pub fn send_frame(&mut self, to: ConnectionId, frame: &Frame) -> Result<(), SendError> {
        self.network.send_frame(to, frame)
    }

    /// Queues a frame for many peers and returns for how many it was. Where a queue of `High` or
    /// `Low` priority is full, its oldest frames make room, but for what was sent to that peer alone.
    pub fn broadcast(&mut self, to: impl IntoIterator<Item = ConnectionId>, frame: &Frame) -> usize {
        self.network.broadcast(to.into_iter(), frame)
    }

    /// How many bytes a second may be sent and received.
    pub const fn bandwidth(&self) -> &Bandwidth {
        self.network.bandwidth()
    }

    /// Queues a request whose answer comes to `on_answer`, or `on_request_failed`.
    pub fn request<M: Message>(
        &mut self,
        to: ConnectionId,
        message: &M,
        expect: Expect,
    ) -> Result<RequestId, SendError> {
        self.network.request(to, message, expect)
    }

    /// Bytes that wait to be sent on a connection at one priority.
    pub fn queued_bytes(&self, connection: ConnectionId, priority: Priority) -> usize {
        self.network.queued_bytes(connection, priority)
    }

    /// Frames that wait to be sent on a connection at one priority.
    pub fn queued_frames(&self, connection: ConnectionId, priority: Priority) -> usize {
        self.network.queued_frames(connection, priority)
    }

    /// Dials an address. `on_established` or `on_dial_failed` follows with the id that is returned;
    /// after an error here, neither.
    pub fn dial(&mut self, address: Address) -> Result<ConnectionId, DialError> {
        self.network.dial(address)
    }

    /// Ends a connection. Nothing more is received from it; `on_closed` follows.
    pub fn close(&mut self, connection: ConnectionId, reason: CloseReason) {
        self.network.close(connection, reason);
    }

    /// Charges a peer with an offence. Whoever keeps scores hears of it. Where the connection is to
    /// be closed for it, report first: of one that is gone nobody knows whose it was.
    pub fn report(&mut self, connection: ConnectionId, offence: Offence) {
        self.network.report(connection, offence);
    }

    /// Tells all behaviours of the tree something, after this input.
    pub fn signal(&mut self, signal: Signal) {
        self.network.signal(signal);
    }

    /// Tells the application something.
    pub fn emit(&mut self, event: E) {
        self.events.push(event);
    }
}

/// For gates.
impl<E> Context<'_, E> {
    /// What is known about a connection whose peer was not let in yet.
    pub fn opening(&self, connection: ConnectionId) -> Option<OpeningConnection<'_>> {
        self.network.opening(connection)
    }

    /// Lets the peer in. All other behaviours are asked, and hear of it if none refuses.
    pub fn establish(&mut self, connection: ConnectionId, info: PeerInfo) {
        self.network.admit(connection, info, None);
    }

    /// Lets the peer in without a handshake: its first frame is delivered to whoever claims it.
    pub fn establish_with(&mut self, connection: ConnectionId, info: PeerInfo, first: &Frame) {
        self.network.admit(connection, info, Some(first.clone()));
    }

    /// The peer knows the Error message: if the connection is closed, it is told why.
    pub fn understands_errors(&mut self, connection: ConnectionId) {
        self.network.set_understands_errors(connection);
    }
}

impl<E> fmt::Debug for Context<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("now", &self.now()).finish_non_exhaustive()
    }
}
