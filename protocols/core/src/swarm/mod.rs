//! The Swarm: connections, and the tree of behaviours that uses them, as one state machine.
//!
//! The Swarm owns no socket and no clock. A driver (the async one of `spacetime-network`, or the
//! simulator) tells it what happened and what time it is (`handle_*`), and asks what to do
//! (`poll_*`):
//!
//! ```text
//!        handle_accept, handle_connected, handle_opened,       poll_event     to the application
//! driver handle_frames, handle_closed,                 Swarm   poll_action    dial, close
//!        handle_dial_failed, handle_command,                   poll_ready     who has frames to send,
//!                                                              poll_transmit  and those frames
//!                                                              poll_readable  whom to read on from
//!                                                              deadline       when to call again
//! ```
//!
//! Each `handle_*` call is one step. Its work is bounded: a [`Batch`] holds at most
//! [`MAX_BATCH_FRAMES`](crate::wire::MAX_BATCH_FRAMES) frames and 64 KiB (or one larger frame), so
//! no peer holds the executor, and all of it is in what is ready: a step does not walk connections.
//!
//! After any number of `handle_*` calls, drain all `poll_*`; the order does not matter. Before
//! sleeping, read [`deadline`](Swarm::deadline).

mod accepting;
mod begun;
mod lifecycle;
pub(crate) mod network;
mod output;
mod questions;
mod queues;
mod requests;
pub(crate) mod sending;
mod sessions;
mod shaping;
mod table;
mod throttle;
mod transmit;

#[cfg(all(test, feature = "derive"))]
mod tests;

use alloc::collections::VecDeque;
use alloc::string::ToString as _;
use core::fmt;

use network::{Delivery, Network};
pub use output::{Action, ConnectionStatistics, Delayed, Event, QueueLoad, Statistics};
use requests::Match;
pub use sending::SendError;
use sessions::Rivalry;
use table::{Connection, State};
pub use transmit::Transmit;

use crate::admission::{Candidate, Stage, Verdict};
use crate::behaviour::{Claims, Context, EventSink, Input, NetworkBehaviour, Role};
use crate::canary::{self, Canary};
use crate::close::{CloseReason, DialError};
use crate::connection::{ConnectionId, Direction};
use crate::hash::PeerId;
use crate::limits::{InvalidLimits, Limits};
use crate::offence::{Offence, Violation};
use crate::peer::{Identity, Peer, PeerInfo};
use crate::signal::Signal;
use crate::time::{Now, Time};
use crate::wire::{Batch, Decode as _, Error, Frame, FrameRules, Heartbeat, MessageType, TypeRule};

impl<E> EventSink<E> for VecDeque<Event<E>> {
    fn push(&mut self, event: E) {
        self.push_back(Event::Behaviour(event));
    }
}

/// Connections and a tree of behaviours. See the [module](self).
pub struct Swarm<B: NetworkBehaviour> {
    behaviour: B,
    network: Network,
    events: VecDeque<Event<B::Event>>,
}

/// The types that the Swarm itself takes, whatever the tree is.
const OWN_CLAIMS: Claims =
    Claims::NONE.with(Role::Message, &[TypeRule::of::<Heartbeat>(), TypeRule::of::<Error<'_>>()]);

impl<B: NetworkBehaviour> Swarm<B> {
    /// A Swarm without connections, of the node `local_id`.
    ///
    /// # Panics
    ///
    /// If behaviours that were composed at run time claim what another one, or the Swarm, has
    /// claimed. Trees that are derived cannot: they do not compile.
    pub fn new(behaviour: B, local_id: PeerId, limits: Limits) -> Result<Self, InvalidLimits> {
        const { B::CLAIMS.and(&OWN_CLAIMS) };
        limits.validate()?;
        let claims = behaviour.claims().and(&OWN_CLAIMS);
        let network = Network::new(local_id, limits, claims);
        Ok(Self { behaviour, network, events: VecDeque::new() })
    }

    /// What frame readers must know.
    pub const fn rules(&self) -> &FrameRules {
        self.network.claims.rules()
    }

    /// The bounds of this Swarm.
    pub const fn limits(&self) -> &Limits {
        &self.network.limits
    }

    /// The tree.
    pub const fn behaviour(&self) -> &B {
        &self.behaviour
    }

    /// The peer on a connection, while its session lasts.
    pub fn peer(&self, connection: ConnectionId) -> Option<&Peer> {
        self.network.table.get(connection)?.peer()
    }

    /// All sessions, in the order of their connections' slots.
    pub fn peers(&self) -> impl Iterator<Item = (ConnectionId, &Peer)> {
        self.network.peers()
    }

    /// Numbers since the Swarm began.
    pub const fn statistics(&self) -> Statistics {
        self.network.statistics()
    }

    /// Why those who connected were not let in, and how many for each reason, in the order of the
    /// reasons: codes of [`CloseReason`], of [`SecurityError`](crate::SecurityError), and what behaviours say.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.network.refusals.iter()
    }

    /// Numbers of one connection, while it is there.
    pub fn connection_statistics(&self, connection: ConnectionId) -> Option<ConnectionStatistics> {
        let connection = self.network.table.get(connection)?;
        let shares = connection.shares.as_ref();
        let now = self.network.now.time;
        Some(ConnectionStatistics {
            bytes_received: connection.bytes_received,
            bytes_sent: connection.bytes_sent,
            received_delayed: shares.map_or_else(Delayed::default, |it| it.download.delayed(now)),
            sent_delayed: shares.map_or_else(Delayed::default, |it| it.upload.delayed(now)),
        })
    }

    /// Connections that the Swarm knows: sessions, dials, and those on which nobody has said yet who
    /// is there.
    pub const fn connections(&self) -> usize {
        self.network.table.sessions() + self.network.table.opening()
    }

    /// Bytes that wait to be sent on a connection.
    pub fn queued_bytes(&self, connection: ConnectionId) -> usize {
        self.network.table.get(connection).map_or(0, |it| it.queues.total_bytes())
    }

    /// What waits in each of a connection's send queues, in the order of
    /// [`Priority::ALL`](crate::wire::Priority::ALL).
    pub fn queue_loads(&self, connection: ConnectionId) -> [QueueLoad; 4] {
        self.network.table.get(connection).map_or_else(Default::default, |it| it.queues.loads())
    }

    /// Memory held for frames that wait to be sent on all connections, in bytes. Beside it half a
    /// mebibyte may be kept for those that will.
    pub fn held_bytes(&self) -> usize {
        self.network.table.iter().map(|(_, connection)| connection.queues.held_bytes()).sum()
    }

    // What happened.

    /// A dial has reached somebody, and the transport is being secured. From now on the opening
    /// timeout runs, over that and the peer's first words together.
    ///
    /// Drivers whose transports need no securing call [`handle_opened`](Self::handle_opened) at once.
    pub fn handle_connected(&mut self, now: Now, connection: ConnectionId) {
        self.advance(now);
        self.network.connected(connection);
        self.settle();
    }

    /// The transport of a connection stands, in either direction; `proven` is who it proved the
    /// peer to be.
    pub fn handle_opened(&mut self, now: Now, connection: ConnectionId, proven: Option<PeerId>) {
        self.advance(now);
        if !self.network.open(connection, proven) {
            return;
        }
        if let Some(peer_id) = proven {
            if peer_id == self.network.local_id {
                return self.close_and_settle(connection, CloseReason::SelfConnection);
            }
            let entry = self.network.table.get(connection);
            let expected = entry.and_then(|it| it.address.peer_id());
            let outbound = entry.is_some_and(|it| it.direction == Direction::Outbound);
            if expected.is_some_and(|expected| expected != peer_id) {
                return self.close_and_settle(connection, CloseReason::WrongPeer);
            }
            if outbound && self.network.has_dialled(peer_id, connection) {
                return self.close_and_settle(connection, CloseReason::Duplicate);
            }
            let identity = Identity::Proven(peer_id);
            if let Verdict::Deny(why) = self.ask(Stage::Authenticated, connection, Some(&identity), None) {
                return self.close_and_settle(connection, CloseReason::Refused(why));
            }
        }
        if self.network.claims.has_gate() {
            self.network.set_gate_knows(connection);
            self.input(&Input::Opened { connection });
        } else {
            self.network.admit(connection, PeerInfo::default(), None);
        }
        self.settle();
    }

    /// Frames arrived on a connection.
    ///
    /// Where the limits of [bandwidth](crate::Bandwidth) let only a part of them pass now, which may
    /// be none, the rest comes back. The driver keeps it and reads no further; once
    /// [`poll_readable`](Self::poll_readable) names the connection, it hands it in again.
    #[must_use = "what comes back must be handed in again"]
    pub fn handle_frames(&mut self, now: Now, connection: ConnectionId, mut batch: Batch) -> Option<Batch> {
        self.advance(now);
        self.network.note_begun(connection, batch.begun());
        let is_limited = self.network.download.is_limited();
        let rest = if is_limited { self.network.take_turn(connection, &mut batch) } else { None };
        self.network.count_received(connection, batch.arrived_bytes());
        self.deliver_all(connection, batch);
        rest.filter(|_| self.network.table.get(connection).is_some())
    }

    fn deliver_all(&mut self, connection: ConnectionId, batch: Batch) {
        for frame in batch {
            let Some(entry) = self.network.table.get(connection) else {
                if canary::is(Canary::MessageAfterClose) {
                    self.deliver(connection, &frame);
                }
                return;
            };
            match entry.state {
                State::Established(_) => self.deliver(connection, &frame),
                State::Opening if frame.message_type() == MessageType::ERROR => {
                    // What is said before a handshake is urgent, so it is said once.
                    let result = match entry.farewell {
                        None => self.on_error(connection, &frame),
                        Some(_) => Err(Violation::fatal(Offence::OutOfPlace(MessageType::ERROR))),
                    };
                    if let Err(violation) = result {
                        self.punish(connection, violation);
                    }
                }
                State::Opening => {
                    if let Err(violation) = self.try_input(&Input::OpeningFrame { connection, frame: &frame })
                    {
                        self.punish(connection, violation);
                    }
                }
                State::Requested
                | State::Connecting
                | State::Securing
                | State::Admitted
                | State::Accepted => {
                    debug_assert!(false, "frames come after handle_opened, and steps end settled");
                }
            }
            self.settle();
        }
    }

    /// Bytes arrived of a frame that the end of the connection has cut short; said before
    /// [`handle_closed`](Self::handle_closed). They are charged to the peer, and to its host when it
    /// connects again, where there is a limit per peer: whoever sends all but the last byte of large frames
    /// pays for them, and nobody else does.
    pub fn handle_cut(&mut self, now: Now, connection: ConnectionId, bytes: usize) {
        self.advance(now);
        self.network.count_received(connection, bytes);
        self.network.charge_cut(connection, bytes);
    }

    /// The transport of a connection has ended, by the peer or by an error.
    pub fn handle_closed(&mut self, now: Now, connection: ConnectionId, reason: CloseReason) {
        self.advance(now);
        if let CloseReason::Violation(offence) = reason {
            self.network.report(connection, offence);
            // The transport still stands: the peer may be told.
            self.network.close(connection, reason);
        } else {
            self.network.lost(connection, reason);
        }
        self.settle();
    }

    /// A dial came to nothing.
    pub fn handle_dial_failed(&mut self, now: Now, connection: ConnectionId, error: DialError) {
        self.advance(now);
        self.network.dial_failed(connection, error);
        self.settle();
    }

    /// The application wants something of the tree.
    pub fn handle_command(&mut self, now: Now, command: B::Command) {
        self.advance(now);
        self.behaviour.on_command(&mut Context::new(&mut self.network, &mut self.events), command);
        self.settle();
    }

    /// Time has passed, or [`deadline`](Self::deadline) is over.
    pub fn handle_deadline(&mut self, now: Now) {
        self.advance(now);
        self.settle();
    }

    /// The application does something with the tree directly. For commands that return something,
    /// and for tests.
    pub fn act<R>(&mut self, now: Now, f: impl FnOnce(&mut B, &mut Context<'_, B::Event>) -> R) -> R {
        self.advance(now);
        let result = f(&mut self.behaviour, &mut Context::new(&mut self.network, &mut self.events));
        self.settle();
        result
    }

    // What to do.

    /// The next event for the application.
    pub fn poll_event(&mut self) -> Option<Event<B::Event>> {
        self.events.pop_front()
    }

    /// The next thing that the driver must do. Until it was told that there is none, no connection is given
    /// the slot of one that has ended.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.network.poll_action()
    }

    /// The next connection on which something new waits to be sent.
    pub fn poll_ready(&mut self) -> Option<ConnectionId> {
        self.network.poll_ready()
    }

    /// The next connection whose frames [came back](Self::handle_frames) and may be handed in again.
    pub fn poll_readable(&mut self) -> Option<ConnectionId> {
        if self.network.download.is_limited() { self.network.poll_readable() } else { None }
    }

    /// Moves frames that wait on a connection into `out`, the most urgent first, until it took
    /// `max_bytes`, nothing is left, or a limit of bandwidth is reached; the last frame may go
    /// beyond. Whether more may be taken.
    ///
    /// Call it for connections that [`poll_ready`](Self::poll_ready) names when the driver can
    /// write on them, and again when what it took was written and more was waiting. For the write
    /// timeout it counts at the time of the last `handle_*` call: where that may be long ago, call
    /// [`handle_deadline`](Self::handle_deadline) first.
    pub fn poll_transmit(&mut self, connection: ConnectionId, max_bytes: usize, out: &mut Transmit) -> bool {
        self.network.transmit(connection, max_bytes, out)
    }

    /// When to call [`handle_deadline`](Self::handle_deadline), unless something happens before.
    /// Never before the time of the last call.
    pub fn deadline(&self) -> Option<Time> {
        if !self.network.deliveries.is_empty() {
            return Some(self.network.now.time);
        }
        let now = self.network.now.time;
        let mut next = [self.behaviour.deadline(), self.network.timers.next()].into_iter().flatten().min();
        if self.network.is_limited() {
            next = [next, self.network.next_turn_at()].into_iter().flatten().min();
        }
        next.map(|at| at.max(now))
    }

    // Inside a step.

    /// Moves the clocks and fires what is due.
    fn advance(&mut self, now: Now) {
        // The driver's clock is monotonic; if it is not, time stands still instead of running back.
        self.network.now = Now::new(self.network.now.time.max(now.time), now.unix_seconds);
        if canary::is(Canary::TimeGoesBack) && now.unix_seconds % 2 == 0 {
            self.network.now.time = now.time - core::time::Duration::from_secs(1);
        }
        self.settle();
        let now = self.network.now.time;
        while let Some(connection) = self.network.timers.pop_due(now) {
            self.network.on_timer(connection);
            self.settle();
        }
        if self.behaviour.deadline().is_some_and(|at| at <= now) {
            self.input(&Input::Deadline);
            debug_assert!(
                self.behaviour.deadline().is_none_or(|at| at > now),
                "a deadline moves forward when it fires"
            );
            self.settle();
        }
    }

    fn try_input(&mut self, input: &Input<'_>) -> Result<(), Violation> {
        self.behaviour.on_input(&mut Context::new(&mut self.network, &mut self.events), input)
    }

    /// An input in which no peer can do anything wrong.
    fn input(&mut self, input: &Input<'_>) {
        let result = self.try_input(input);
        debug_assert_eq!(result, Ok(()), "only frames can be violations");
    }

    /// Delivers a frame of an established peer.
    fn deliver(&mut self, connection: ConnectionId, frame: &Frame) {
        self.network.statistics.frames_received += 1;
        let message_type = frame.message_type();
        self.network.note_question(connection, message_type);
        let result = match self.network.take_answered(connection, frame) {
            Match::Answer(request) => self.try_input(&Input::Answer { connection, request, frame }),
            Match::Late => Ok(()),
            Match::None if self.behaviour.takes(message_type, Role::Message) => {
                self.try_input(&Input::Frame { connection, frame })
            }
            Match::None if message_type == MessageType::ERROR => self.on_error(connection, frame),
            Match::None if message_type == MessageType::HEARTBEAT => Ok(()),
            Match::None => Err(Violation::tolerable(Offence::Unsolicited(message_type))),
        };
        if let Err(violation) = result {
            self.punish(connection, violation);
        }
    }

    /// The peer says why it is about to close.
    fn on_error(&mut self, connection: ConnectionId, frame: &Frame) -> Result<(), Violation> {
        let error = Error::decode(frame.payload()).map_err(|error| {
            Violation::tolerable(Offence::Malformed { message_type: MessageType::ERROR, error })
        })?;
        if let Some(entry) = self.network.table.get_mut(connection) {
            entry.farewell = Some(CloseReason::from_error_text(error.text));
        }
        Ok(())
    }

    fn punish(&mut self, connection: ConnectionId, violation: Violation) {
        self.network.report(connection, violation.offence);
        if violation.is_fatal {
            self.network.close(connection, CloseReason::Violation(violation.offence));
        }
    }

    /// Delivers what was caused, and what that causes, until all is quiet.
    fn settle(&mut self) {
        while let Some(delivery) = self.network.next_delivery() {
            match delivery {
                Delivery::Dial(connection) => self.on_dial(connection),
                Delivery::Admitted(connection, info, first) => self.on_admitted(connection, *info, first),
                Delivery::Closed { connection, peer, reason } => {
                    self.network.forget_session(&peer.identity);
                    self.input(&Input::Closed { connection, reason: &reason });
                    self.events.push_back(Event::Closed { connection, peer: *peer, reason });
                }
                Delivery::First(connection, frame) => {
                    let entry = self.network.table.get(connection);
                    if entry.is_some_and(Connection::is_established) {
                        self.deliver(connection, &frame);
                    }
                }
                Delivery::OpeningClosed { connection, reason } => {
                    self.input(&Input::OpeningClosed { connection, reason: &reason });
                }
                Delivery::Refused { connection, reason } => {
                    self.events.push_back(Event::Refused { connection, reason });
                }
                Delivery::DialFailed { connection, address, error } => {
                    self.input(&Input::DialFailed { connection, address: &address, error: &error });
                    self.events.push_back(Event::DialFailed { connection, address, error });
                }
                Delivery::RequestFailed { connection, request, answer, error }
                    if !canary::is(Canary::LostTimeout) =>
                {
                    self.input(&Input::RequestFailed { connection, request, answer, error });
                }
                Delivery::RequestFailed { .. } => {}
                Delivery::Writable(connection, priority) => {
                    if self.network.table.get(connection).is_some_and(Connection::is_established)
                        && !canary::is(Canary::LostWritable)
                    {
                        self.input(&Input::Writable { connection, priority });
                    }
                }
                Delivery::Signal(signal) => {
                    self.input(&Input::Signal(&signal));
                    if let Signal::Offence { connection, identity, offence, .. } = signal {
                        self.events.push_back(Event::Offence { connection, identity, offence });
                    }
                }
            }
        }
    }

    fn close_and_settle(&mut self, connection: ConnectionId, reason: CloseReason) {
        self.network.close(connection, reason);
        self.settle();
    }

    /// Asks the tree about a connection there is.
    fn ask(
        &self,
        stage: Stage,
        id: ConnectionId,
        identity: Option<&Identity>,
        info: Option<&PeerInfo>,
    ) -> Verdict {
        let Some(connection) = self.network.table.get(id) else {
            return Verdict::Deny("it is gone");
        };
        let counts_as_session = connection.counts_as_session();
        self.behaviour.admit(&Candidate {
            stage,
            connection: Some(id),
            direction: connection.direction,
            address: &connection.address,
            identity,
            info,
            sessions: self.network.table.sessions() - usize::from(counts_as_session),
            opening: self.network.table.opening() - usize::from(!counts_as_session),
        })
    }

    fn on_dial(&mut self, id: ConnectionId) {
        match self.ask(Stage::Dial, id, None, None) {
            Verdict::Accept | Verdict::AcceptExempt => {
                let Some(connection) = self.network.table.get_mut(id) else {
                    return;
                };
                connection.state = State::Connecting;
                let address = connection.address.clone();
                self.network.actions.push_back(Action::Dial { connection: id, address });
            }
            Verdict::Deny(why) => self.network.dial_failed(id, DialError::Refused(why)),
        }
    }

    /// The gate let a peer in: it becomes a session, unless there is one with it already, there are
    /// too many, or a behaviour refuses it.
    fn on_admitted(&mut self, id: ConnectionId, info: PeerInfo, first: Option<Frame>) {
        let Some(connection) = self.network.table.get(id) else {
            return;
        };
        let identity = Network::identify(connection, &info);
        if matches!(connection.state, State::Admitted) {
            let direction = connection.direction;
            let rivalry = self.network.rivalry(direction, &identity);
            match rivalry {
                Rivalry::Loses => return self.network.close(id, CloseReason::Duplicate),
                // The end of the old session is told before the beginning of the new one.
                Rivalry::Ending => return self.network.admitted(id, info, first),
                Rivalry::None | Rivalry::Replaces(_) => {}
            }
            if let Verdict::Deny(why) = self.ask(Stage::Established, id, Some(&identity), Some(&info)) {
                return self.network.close(id, CloseReason::Refused(why));
            }
            if let Rivalry::Replaces(rival) = rivalry {
                // Nobody who hears of the old session's end can take its place.
                self.network.table.set_state(id, State::Accepted);
                self.network.close(rival, CloseReason::Duplicate);
                return self.network.admitted(id, info, first);
            }
            let sessions = self.network.table.sessions() - usize::from(canary::is(Canary::OffByOne));
            if direction == Direction::Inbound && sessions >= self.network.limits.max_connections() {
                return self.network.close(id, CloseReason::Full);
            }
        }
        self.network.establish(id, identity, info);
        let Some(peer) = self.peer(id).cloned() else {
            return;
        };
        self.events.push_back(Event::Established { connection: id, peer });
        self.input(&Input::Established { connection: id });
        if let Some(frame) = first {
            // Behind what the beginning of the session has caused.
            self.network.deliveries.push_back(Delivery::First(id, frame));
        }
    }

    /// Ends all connections, telling the peers that the node stops. Nothing is dialled or accepted
    /// afterwards.
    pub fn shut_down(&mut self, now: Now) {
        self.advance(now);
        self.network.is_stopping = true;
        let all: alloc::vec::Vec<_> = self.network.table.iter().map(|(id, _)| id).collect();
        for connection in all {
            self.network.close(connection, CloseReason::Shutdown);
        }
        self.settle();
    }
}

impl<B: NetworkBehaviour> fmt::Debug for Swarm<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Swarm")
            .field("local_id", &self.network.local_id.to_string())
            .field("sessions", &self.network.peers().count())
            .finish_non_exhaustive()
    }
}
