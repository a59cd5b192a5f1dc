//! What a Swarm knows of the network, and what behaviours may do to it.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use super::admission::OpeningConnection;
use super::queues::{Full, MAX_COPIED_FRAME, Outgoing};
use super::request::{Expect, Match, RequestError, RequestId};
use super::table::{Connection, State, Table};
use super::transmit::Transmit;
use crate::address::{Address, Endpoint};
use crate::behaviour::Signal;
use crate::close::{CloseReason, DialError};
use crate::connection::{ConnectionId, Direction};
use crate::deadlines::Deadlines;
use crate::hash::PeerId;
use crate::limits::Limits;
use crate::offence::Offence;
use crate::peer::{Identity, Peer, PeerInfo};
use crate::time::{Now, Time};
use crate::wire::{self, EncodeError, FRAME_HEADER, Frame, Message, MessageType, Priority};

/// Signals that one input may cause, directly or through what it causes. Only behaviours that answer
/// signals with signals, round and round, ever come near it.
const MAX_SIGNALS: usize = 4096;

/// Dials that may fail because of one input. A behaviour that dials again whenever a dial fails,
/// beside one that refuses it each time, would hold the executor for ever.
const MAX_FAILED_DIALS: usize = 1024;

/// Why a frame was not queued. The state of the connection did not change, with one exception: a
/// `Full` queue of critical frames closes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SendError {
    /// There is no such connection any more, or its peer is not established.
    Closed,
    /// The queue of this priority is full, or too many requests wait for answers. `on_writable`
    /// says when the queue has room again.
    Full,
    /// The message is one that a receiver would refuse.
    Invalid(EncodeError),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection is closed"),
            Self::Full => f.write_str("too much waits to be sent to this peer already"),
            Self::Invalid(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for SendError {}

impl From<EncodeError> for SendError {
    fn from(error: EncodeError) -> Self {
        Self::Invalid(error)
    }
}

/// What the driver must do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Action {
    /// Connect to `address`, then call `handle_opened` or `handle_dial_failed`.
    Dial {
        /// The id of the connection that is to be.
        connection: ConnectionId,
        /// Where.
        address: Address,
    },
    /// The peer is known now: readers may take frames of all sizes.
    Established {
        /// The connection.
        connection: ConnectionId,
    },
    /// Give a connection up: abort its dial, or finish the frame that is being written, write
    /// `last_words`, and close it. The Swarm takes nothing from it any more.
    Close {
        /// The connection.
        connection: ConnectionId,
        /// What is still to be sent, if the peer takes it within a moment.
        last_words: Transmit,
    },
}

/// Numbers since the Swarm began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Frames that were delivered to behaviours.
    pub frames_received: u64,
    /// Bytes of all frames that arrived.
    pub bytes_received: u64,
    /// Frames that were queued to be sent.
    pub frames_sent: u64,
    /// Bytes that were handed to the driver to be sent.
    pub bytes_sent: u64,
    /// Frames of broadcasts that were dropped because a peer was slow.
    pub frames_dropped: u64,
    /// Answers that came after their request was given up.
    pub late_answers: u64,
}

/// What waits to be told to the tree.
#[derive(Debug)]
pub(super) enum Delivery {
    /// A behaviour wants to dial.
    Dial(ConnectionId),
    /// The gate let a peer in, maybe by its first frame.
    Admitted(ConnectionId, Box<PeerInfo>, Option<Frame>),
    /// The frame by which a peer was let in, for whoever claims it.
    First(ConnectionId, Frame),
    /// A session ended.
    Closed { connection: ConnectionId, peer: Box<Peer>, reason: CloseReason },
    /// A connection that the gate knows ended before the peer was established.
    OpeningClosed { connection: ConnectionId, reason: CloseReason },
    /// A peer that connected was not let in.
    Refused { connection: ConnectionId, reason: CloseReason },
    /// A dial came to nothing.
    DialFailed { connection: ConnectionId, address: Address, error: DialError },
    /// A request was given up.
    RequestFailed { connection: ConnectionId, request: RequestId, answer: MessageType, error: RequestError },
    /// A queue that answered `Full` has room.
    Writable(ConnectionId, Priority),
    /// Something for all behaviours.
    Signal(Signal),
}

/// The part of a Swarm that does not depend on the tree.
#[derive(Debug)]
pub(crate) struct Network {
    pub(super) now: Now,
    pub(super) local_id: PeerId,
    pub(super) limits: Limits,
    pub(super) table: Table,
    pub(super) deliveries: VecDeque<Delivery>,
    pub(super) actions: VecDeque<Action>,
    pub(super) ready: VecDeque<ConnectionId>,
    pub(super) timers: Deadlines<ConnectionId>,
    pub(super) statistics: Statistics,
    /// The sessions, by whom they are with, until their ends are told.
    pub(super) sessions: BTreeMap<SessionKey, ConnectionId>,
    /// Nothing is dialled or accepted any more.
    pub(super) is_stopping: bool,
    /// Signals and dials that failed since all was quiet.
    signals: usize,
    failed_dials: usize,
    next_request: u64,
    scratch: Vec<u8>,
}

/// What there may be one session with.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum SessionKey {
    Proven(PeerId),
    Address(Endpoint),
}

impl SessionKey {
    pub(super) fn of(identity: &Identity) -> Self {
        match identity {
            Identity::Proven(peer_id) => Self::Proven(*peer_id),
            Identity::Claimed { address, .. } => Self::Address(address.endpoint().clone()),
        }
    }
}

/// Whether a peer that was let in becomes a session.
pub(super) enum Rivalry {
    /// There is no other session with it.
    None,
    /// There was one, and its end is not told yet.
    Ending,
    /// There is, and this one takes its place.
    Replaces(ConnectionId),
    /// There is, and that one stays.
    Loses,
}

impl Network {
    pub(super) fn new(local_id: PeerId, limits: Limits) -> Self {
        Self {
            now: Now::default(),
            local_id,
            limits,
            table: Table::default(),
            deliveries: VecDeque::new(),
            actions: VecDeque::new(),
            ready: VecDeque::new(),
            timers: Deadlines::new(),
            statistics: Statistics::default(),
            sessions: BTreeMap::new(),
            is_stopping: false,
            signals: 0,
            failed_dials: 0,
            next_request: 0,
            scratch: Vec::new(),
        }
    }

    pub(crate) const fn now(&self) -> Now {
        self.now
    }

    pub(crate) const fn local_id(&self) -> PeerId {
        self.local_id
    }

    pub(crate) fn peer(&self, id: ConnectionId) -> Option<&Peer> {
        self.table.get(id)?.peer()
    }

    pub(crate) fn opening(&self, id: ConnectionId) -> Option<OpeningConnection<'_>> {
        let connection = self.table.get(id).filter(|it| !it.is_established())?;
        let Connection { direction, address, proven, .. } = connection;
        Some(OpeningConnection { direction: *direction, address, proven: *proven })
    }

    pub(crate) fn last_received(&self, id: ConnectionId) -> Option<Time> {
        self.table.get(id).map(|it| it.last_received)
    }

    pub(crate) fn queued_bytes(&self, id: ConnectionId, priority: Priority) -> usize {
        self.table.get(id).map_or(0, |it| it.queues.queued_bytes(priority))
    }

    pub(crate) fn queued_frames(&self, id: ConnectionId, priority: Priority) -> usize {
        self.table.get(id).map_or(0, |it| it.queues.queued_frames(priority))
    }

    pub(crate) fn peers(&self) -> impl Iterator<Item = (ConnectionId, &Peer)> {
        self.table.iter().filter_map(|(id, connection)| Some((id, connection.peer()?)))
    }

    pub(crate) fn set_understands_errors(&mut self, id: ConnectionId) {
        if let Some(connection) = self.table.get_mut(id) {
            connection.understands_errors = true;
        }
    }

    pub(super) fn set_gate_knows(&mut self, id: ConnectionId) {
        if let Some(connection) = self.table.get_mut(id) {
            connection.gate_knows = true;
        }
    }

    // Sending.

    pub(crate) fn send<M: Message>(&mut self, id: ConnectionId, message: &M) -> Result<(), SendError> {
        let small = (M::MAX_PAYLOAD as usize) < MAX_COPIED_FRAME
            || FRAME_HEADER + message.encoded_len() <= MAX_COPIED_FRAME;
        if !small {
            return self.send_frame(id, &Frame::encode(message)?);
        }
        self.scratch.clear();
        wire::write_frame(message, &mut self.scratch)?;
        let scratch = core::mem::take(&mut self.scratch);
        let result = self.queue(id, Outgoing::Copied(&scratch), M::PRIORITY);
        self.scratch = scratch;
        result
    }

    pub(crate) fn send_frame(&mut self, id: ConnectionId, frame: &Frame) -> Result<(), SendError> {
        self.queue(id, Outgoing::Shared(frame), frame.priority())
    }

    fn queue(&mut self, id: ConnectionId, frame: Outgoing<'_>, priority: Priority) -> Result<(), SendError> {
        let connection = self.table.get_mut(id).filter(|it| it.can_send()).ok_or(SendError::Closed)?;
        // Nothing may overtake a handshake, however urgent it is.
        let priority = if connection.is_established() { priority } else { Priority::Critical };
        match connection.queues.send(frame, priority, &self.limits) {
            Ok(()) => {
                self.was_queued(id);
                Ok(())
            }
            Err(Full) => {
                self.refuse(id, priority);
                Err(SendError::Full)
            }
        }
    }

    /// Queues a frame for each of `targets`; to how many.
    pub(crate) fn broadcast(&mut self, targets: impl Iterator<Item = ConnectionId>, frame: &Frame) -> usize {
        let priority = frame.priority();
        let mut queued = 0;
        for id in targets {
            let Some(connection) = self.table.get_mut(id).filter(|it| it.is_established()) else {
                continue;
            };
            let outgoing = Outgoing::Shared(frame);
            let result = match priority {
                Priority::High | Priority::Low => {
                    connection.queues.send_or_drop_oldest(outgoing, priority, &self.limits)
                }
                Priority::Critical | Priority::Normal => {
                    connection.queues.send(outgoing, priority, &self.limits).map(|()| 0)
                }
            };
            match result {
                Ok(dropped) => {
                    self.statistics.frames_dropped += dropped as u64;
                    self.was_queued(id);
                    queued += 1;
                }
                Err(Full) => {
                    self.statistics.frames_dropped += 1;
                    self.refuse(id, priority);
                }
            }
        }
        queued
    }

    fn was_queued(&mut self, id: ConnectionId) {
        self.statistics.frames_sent += 1;
        let now = self.now.time;
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        if !connection.is_ready {
            connection.is_ready = true;
            self.ready.push_back(id);
        }
        if connection.waiting_since.is_none() {
            connection.waiting_since = Some(now);
            self.arm(id, now + self.limits.write_timeout());
        }
    }

    /// A peer that does not even take signs of life is gone.
    fn refuse(&mut self, id: ConnectionId, priority: Priority) {
        if priority == Priority::Critical {
            self.close(id, CloseReason::SlowReader);
        }
    }

    /// Moves what waits on a connection into `out`; whether more waits.
    pub(super) fn transmit(&mut self, id: ConnectionId, max_bytes: usize, out: &mut Transmit) -> bool {
        let now = self.now.time;
        let Some(connection) = self.table.get_mut(id) else {
            return false;
        };
        let before = out.len();
        let max_len = before.saturating_add(max_bytes);
        connection.queues.transmit(max_len, &self.limits, out);
        self.statistics.bytes_sent += (out.len() - before) as u64;
        let more = !connection.queues.is_empty();
        if out.len() > before {
            connection.waiting_since = more.then_some(now);
        }
        while let Some(priority) = connection.queues.take_writable(&self.limits) {
            self.deliveries.push_back(Delivery::Writable(id, priority));
        }
        more
    }

    /// The next connection on which something new waits to be sent.
    pub(super) fn poll_ready(&mut self) -> Option<ConnectionId> {
        while let Some(id) = self.ready.pop_front() {
            if let Some(connection) = self.table.get_mut(id) {
                connection.is_ready = false;
                return Some(id);
            }
        }
        None
    }

    // Requests.

    pub(crate) fn request<M: Message>(
        &mut self,
        id: ConnectionId,
        message: &M,
        expect: Expect,
    ) -> Result<RequestId, SendError> {
        let max_requests = self.limits.max_requests();
        let connection = self.table.get_mut(id).filter(|it| it.is_established()).ok_or(SendError::Closed)?;
        if !connection.requests.make_room(max_requests) {
            return Err(SendError::Full);
        }
        self.send(id, message)?;
        let request = RequestId(self.next_request);
        self.next_request += 1;
        let deadline = self.now.time + expect.timeout;
        if let Some(connection) = self.table.get_mut(id) {
            connection.requests.push(request, expect, deadline);
        }
        self.arm(id, deadline);
        Ok(request)
    }

    pub(super) fn take_answered(&mut self, id: ConnectionId, frame: &Frame) -> Match {
        let Some(connection) = self.table.get_mut(id) else {
            return Match::None;
        };
        let answered = connection.requests.take_answered(frame);
        if answered == Match::Late {
            self.statistics.late_answers += 1;
        }
        answered
    }

    // Opening and closing.

    pub(crate) fn dial(&mut self, address: Address) -> Result<ConnectionId, DialError> {
        if self.is_stopping {
            return Err(DialError::Refused("the node is stopping"));
        }
        if self.table.sessions() >= self.limits.max_connections() || self.failed_dials >= MAX_FAILED_DIALS {
            return Err(DialError::Full);
        }
        if self.table.iter().any(|(_, connection)| leads_to(connection, &address)) {
            return Err(DialError::AlreadyConnected);
        }
        let now = self.now.time;
        let dial_by = now + self.limits.dial_timeout();
        let connection = Connection::new(Direction::Outbound, address, State::Requested, now, dial_by);
        let id = self.table.insert(connection);
        self.arm(id, dial_by);
        self.deliveries.push_back(Delivery::Dial(id));
        Ok(id)
    }

    pub(super) fn accept(&mut self, address: Address) -> ConnectionId {
        let now = self.now.time;
        let open_by = now + self.limits.opening_timeout();
        let id =
            self.table.insert(Connection::new(Direction::Inbound, address, State::Connecting, now, open_by));
        self.arm(id, open_by);
        id
    }

    /// The transport of a connection stands. Whether it was expected.
    pub(super) fn open(&mut self, id: ConnectionId, proven: Option<PeerId>) -> bool {
        let open_by = self.now.time + self.limits.opening_timeout();
        let Some(connection) = self.table.get_mut(id) else {
            return false;
        };
        if !matches!(connection.state, State::Connecting) {
            return false;
        }
        connection.state = State::Opening;
        connection.proven = proven;
        if connection.direction == Direction::Outbound {
            connection.open_by = open_by;
            self.arm(id, open_by);
        }
        true
    }

    /// The gate knows who is there.
    pub(crate) fn admit(&mut self, id: ConnectionId, info: PeerInfo, first: Option<Frame>) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        if matches!(connection.state, State::Opening) {
            connection.state = State::Admitted;
            self.admitted(id, info, first);
        }
    }

    /// A connection waits for its turn to become a session.
    pub(super) fn admitted(&mut self, id: ConnectionId, info: PeerInfo, first: Option<Frame>) {
        self.deliveries.push_back(Delivery::Admitted(id, Box::new(info), first));
    }

    /// Who a peer is, from what the transport proved and what it says.
    pub(super) fn identify(connection: &Connection, info: &PeerInfo) -> Identity {
        if let Some(peer_id) = connection.proven {
            return Identity::Proven(peer_id);
        }
        let listen_port = info.announcement.as_ref().and_then(|it| it.listen_port);
        let address = match (connection.direction, connection.address.ip(), listen_port) {
            (Direction::Inbound, Some(ip), Some(port)) => Address::socket(SocketAddr::new(ip, port)),
            _ => connection.address.clone().unpinned(),
        };
        Identity::Claimed { address, name: info.name.clone() }
    }

    /// Whether a peer that was let in on a connection of this direction has a session already, and
    /// which of the two is kept.
    ///
    /// When two nodes dial each other at the same time, both ends must keep the same connection:
    /// the one that the node with the smaller name dialled.
    pub(super) fn rivalry(&self, direction: Direction, identity: &Identity) -> Rivalry {
        let Some(rival_id) = self.sessions.get(&SessionKey::of(identity)).copied() else {
            return Rivalry::None;
        };
        let Some(rival) = self.table.get(rival_id) else {
            return Rivalry::Ending;
        };
        if rival.direction == direction {
            // A peer that proves to be the same one lost the old connection and we have not
            // noticed. One that only claims it may be anybody behind the same address.
            let comes_again = direction == Direction::Inbound && identity.proven().is_some();
            return if comes_again { Rivalry::Replaces(rival_id) } else { Rivalry::Loses };
        }
        let dialer = if self.local_id.to_string() < identity.name() {
            Direction::Outbound
        } else {
            Direction::Inbound
        };
        if direction == dialer { Rivalry::Replaces(rival_id) } else { Rivalry::Loses }
    }

    /// Whether another connection that this node dialled leads to a peer that has proven who it is.
    ///
    /// Of two that come from one node the peer keeps the one that arrives later, and cannot know
    /// which one we hear of first. So the second is closed before anything is said on it.
    pub(super) fn has_dialled(&self, peer_id: PeerId, id: ConnectionId) -> bool {
        self.table.iter().any(|(other, connection)| {
            other != id && connection.direction == Direction::Outbound && connection.proven == Some(peer_id)
        })
    }

    /// Makes a connection a session.
    pub(super) fn establish(&mut self, id: ConnectionId, identity: Identity, info: PeerInfo) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        connection.understands_errors |= info.announcement.is_some();
        let peer = Peer {
            identity,
            direction: connection.direction,
            address: connection.address.clone(),
            established_at: self.now.time,
            info,
        };
        let before = self.sessions.insert(SessionKey::of(&peer.identity), id);
        debug_assert_eq!(before, None, "one session per peer");
        self.table.set_state(id, State::Established(Box::new(peer)));
        self.actions.push_back(Action::Established { connection: id });
    }

    /// The end of a session is told: there may be another one with its peer.
    pub(super) fn forget_session(&mut self, identity: &Identity) {
        self.sessions.remove(&SessionKey::of(identity));
    }

    /// Ends a connection by our decision.
    pub(crate) fn close(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(mut connection) = self.table.remove(id) else {
            return;
        };
        let mut last_words = Transmit::new();
        if connection.can_send() {
            // Where the tree denies a peer that the gate has let in, the gate's answer must not
            // reach it: it would take this for a session.
            if !matches!(connection.state, State::Admitted | State::Accepted) {
                connection.queues.transmit_critical(&mut last_words);
            }
            if connection.understands_errors
                && reason.is_ours()
                && let Ok(frame) = Frame::encode(&wire::Error { text: &reason.to_error_text() })
            {
                last_words.push_copied(frame.bytes());
            }
        }
        self.statistics.bytes_sent += last_words.len() as u64;
        if !matches!(connection.state, State::Requested) {
            self.actions.push_back(Action::Close { connection: id, last_words });
        }
        self.after_removal(id, *connection, reason, None);
    }

    /// Ends a connection whose transport has ended.
    pub(super) fn lost(&mut self, id: ConnectionId, reason: CloseReason) {
        if let Some(mut connection) = self.table.remove(id) {
            let reason = connection.farewell.take().unwrap_or(reason);
            self.after_removal(id, *connection, reason, None);
        }
    }

    /// Ends a dial that came to nothing.
    pub(super) fn dial_failed(&mut self, id: ConnectionId, error: DialError) {
        let dialling = |it: &&Connection| matches!(it.state, State::Requested | State::Connecting);
        if self.table.get(id).filter(dialling).is_none() {
            return;
        }
        if let Some(connection) = self.table.remove(id) {
            let reason = CloseReason::Transport(error.to_string().into());
            self.after_removal(id, *connection, reason, Some(error));
        }
    }

    fn after_removal(
        &mut self,
        id: ConnectionId,
        mut connection: Connection,
        reason: CloseReason,
        dial_error: Option<DialError>,
    ) {
        self.timers.cancel(id);
        for (request, answer) in connection.requests.drain() {
            let error = RequestError::Closed;
            self.deliveries.push_back(Delivery::RequestFailed { connection: id, request, answer, error });
        }
        let was_opened = connection.can_send();
        if let State::Established(peer) = connection.state {
            self.deliveries.push_back(Delivery::Closed { connection: id, peer, reason });
            return;
        }
        if connection.gate_knows {
            let reason = reason.clone();
            self.deliveries.push_back(Delivery::OpeningClosed { connection: id, reason });
        }
        match connection.direction {
            Direction::Outbound => {
                self.failed_dials += 1;
                self.deliveries.push_back(Delivery::DialFailed {
                    connection: id,
                    address: connection.address,
                    error: dial_error.unwrap_or(DialError::Closed(reason)),
                });
            }
            Direction::Inbound if was_opened => {
                self.deliveries.push_back(Delivery::Refused { connection: id, reason })
            }
            Direction::Inbound => {}
        }
    }

    // Signals.

    pub(crate) fn report(&mut self, id: ConnectionId, offence: Offence) {
        let Some(connection) = self.table.get(id) else {
            return;
        };
        let identity = match connection.peer() {
            Some(peer) => peer.identity.clone(),
            None => Self::identify(connection, &PeerInfo::default()),
        };
        self.signal(Signal::Offence { connection: id, identity, offence });
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.signals >= MAX_SIGNALS {
            debug_assert!(false, "behaviours answer signals with signals without end");
            return;
        }
        self.signals += 1;
        self.deliveries.push_back(Delivery::Signal(signal));
    }

    pub(super) fn next_delivery(&mut self) -> Option<Delivery> {
        let delivery = self.deliveries.pop_front();
        if delivery.is_none() {
            self.signals = 0;
            self.failed_dials = 0;
        }
        delivery
    }

    // Time.

    fn arm(&mut self, id: ConnectionId, at: Time) {
        self.timers.set_earlier(id, at);
    }

    /// Looks at everything on a connection that has a time, and sets its next deadline.
    pub(super) fn on_timer(&mut self, id: ConnectionId) {
        let now = self.now.time;
        let write_timeout = self.limits.write_timeout();
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        if !connection.is_established() && connection.open_by <= now {
            return match (connection.direction, &connection.state) {
                (Direction::Outbound, State::Requested | State::Connecting) => self.abort_dial(id),
                _ => self.close(id, CloseReason::OpeningTimeout),
            };
        }
        let stalled_at = connection.waiting_since.map(|since| since + write_timeout);
        if stalled_at.is_some_and(|at| at <= now) {
            return self.close(id, CloseReason::SlowReader);
        }
        for (request, answer) in connection.requests.give_up_due(now) {
            let error = RequestError::Timeout;
            self.deliveries.push_back(Delivery::RequestFailed { connection: id, request, answer, error });
        }
        let open_by = (!connection.is_established()).then_some(connection.open_by);
        let next = [stalled_at, connection.requests.deadline(), open_by].into_iter().flatten().min();
        if let Some(at) = next {
            debug_assert!(at > now, "a deadline moves forward when it fires");
            self.arm(id, at);
        }
    }

    fn abort_dial(&mut self, id: ConnectionId) {
        self.actions.push_back(Action::Close { connection: id, last_words: Transmit::new() });
        self.dial_failed(id, DialError::Timeout);
    }
}

/// Whether a connection already goes, or is about to go, where a dial would lead.
fn leads_to(connection: &Connection, address: &Address) -> bool {
    if let Some(pinned) = address.peer_id() {
        let known = match connection.peer() {
            // A session of which this is only claimed keeps nobody from the one who can prove it.
            Some(peer) => peer.identity.proven(),
            None => connection.address.peer_id(),
        };
        if known == Some(pinned) {
            return true;
        }
    }
    let dialled =
        connection.direction == Direction::Outbound && connection.address.endpoint() == address.endpoint();
    let listens_there = match connection.peer().map(|peer| &peer.identity) {
        Some(Identity::Claimed { address: claimed, .. }) => claimed.endpoint() == address.endpoint(),
        _ => false,
    };
    dialled || listens_there
}
