//! A Swarm driven by hand, and what must hold of every Swarm after every step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf as _;
use spacetime_core::wire::{FrameReader, FrameRules, MAX_SHARED_FRAME, MessageType, ReadStep, validate};
use spacetime_core::{
    Action, Address, CloseReason, ConnectionId, Context, DialError, Endpoint, Event, Identity, Limits,
    NetworkBehaviour, Now, PeerId, Statistics, Swarm, Time, Transmit,
};

use super::frames::{first_frame, frames};

/// No target makes a node send a larger frame than this.
const LARGEST_FRAME: usize = 16 * 1024;

/// Deadlines that may fire while time passes. A Swarm that needs more holds the executor.
const MAX_DEADLINES: usize = 10_000;

/// Frames of its own that a node can be sent back.
const ECHOES: usize = 8;

/// The driver's end of a connection.
#[derive(Debug)]
struct Wire {
    reader: FrameReader,
    /// What arrived and the reader has not taken.
    unread: Vec<u8>,
    arrived: usize,
    is_blocked: bool,
}

/// What there may be one session with.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Key {
    Proven(PeerId),
    Address(Endpoint),
}

/// A Swarm and the driver's side of all its connections.
pub(super) struct Driver<B: NetworkBehaviour> {
    pub(super) swarm: Swarm<B>,
    pub(super) unix_seconds: i64,
    now: Time,
    rules: Arc<FrameRules>,
    wires: BTreeMap<ConnectionId, Wire>,
    /// What was dialled or accepted, and whose transport does not stand.
    connecting: Vec<(ConnectionId, Address)>,
    /// Established while the reader waited for it.
    unblocked: Vec<ConnectionId>,
    sessions: BTreeSet<ConnectionId>,
    statistics: Statistics,
    /// What the Swarm has said, for the target to take.
    pub(super) events: VecDeque<Event<B::Event>>,
    /// The last frames that the node has sent to anybody.
    pub(super) echoes: VecDeque<Vec<u8>>,
}

impl<B: NetworkBehaviour> Driver<B> {
    pub(super) fn new(behaviour: B, local_id: PeerId, limits: Limits) -> Self {
        let swarm = Swarm::new(behaviour, local_id, limits).expect("the limits are valid");
        Self {
            rules: Arc::new(swarm.rules().clone()),
            swarm,
            unix_seconds: 1_700_000_000,
            now: Time::ZERO,
            wires: BTreeMap::new(),
            connecting: Vec::new(),
            unblocked: Vec::new(),
            sessions: BTreeSet::new(),
            statistics: Statistics::default(),
            events: VecDeque::new(),
            echoes: VecDeque::new(),
        }
    }

    /// One call of the Swarm, and all that a driver does after it but writing.
    fn step<R>(&mut self, f: impl FnOnce(&mut Swarm<B>, Now) -> R) -> R {
        let result = f(&mut self.swarm, Now::new(self.now, self.unix_seconds));
        self.collect();
        self.check();
        while let Some(connection) = self.unblocked.pop() {
            self.read(connection);
        }
        result
    }

    fn collect(&mut self) {
        while let Some(action) = self.swarm.poll_action() {
            match action {
                Action::Dial { connection, address } => self.connecting.push((connection, address)),
                Action::Established { connection, may_send_chunks } => {
                    let wire = self.wires.get_mut(&connection).expect("only what was opened is established");
                    wire.reader.set_established();
                    if may_send_chunks {
                        wire.reader.take_chunks();
                    }
                    wire.is_blocked = false;
                    self.unblocked.push(connection);
                }
                Action::Close { connection, last_words } => {
                    let was_open = self.wires.remove(&connection).is_some();
                    assert!(was_open || last_words.is_empty(), "nothing is said where nothing stands");
                    self.connecting.retain(|(it, _)| *it != connection);
                    self.sent(last_words);
                }
                other => panic!("no driver knows {other:?}"),
            }
        }
        while self.swarm.poll_ready().is_some() {}
        while let Some(event) = self.swarm.poll_event() {
            match &event {
                Event::Established { connection, .. } => {
                    assert!(self.sessions.insert(*connection), "{connection} begins once");
                }
                Event::Closed { connection, .. } => {
                    assert!(self.sessions.remove(connection), "{connection} ends once");
                }
                Event::Refused { connection, .. } | Event::DialFailed { connection, .. } => {
                    assert!(!self.sessions.contains(connection), "{connection} was never let in");
                }
                _ => {}
            }
            self.events.push_back(event);
        }
    }

    /// What holds between two calls.
    fn check(&mut self) {
        let now = self.swarm.statistics();
        let before = std::mem::replace(&mut self.statistics, now);
        assert!(
            numbers(before).into_iter().zip(numbers(now)).all(|(before, now)| before <= now),
            "{before:?} {now:?}"
        );
        assert!(self.swarm.deadline().is_none_or(|at| at >= self.now), "no deadline lies in the past");

        let limits = self.swarm.limits();
        let sessions: BTreeSet<_> = self.swarm.peers().map(|(connection, _)| connection).collect();
        assert_eq!(sessions, self.sessions, "all beginnings and ends were told");
        assert!(sessions.len() <= limits.max_connections());
        let key = |identity: &Identity| match identity {
            Identity::Proven(peer_id) => Key::Proven(*peer_id),
            Identity::Claimed { address, .. } => Key::Address(address.endpoint().clone()),
        };
        let keys: BTreeSet<_> = self.swarm.peers().map(|(_, peer)| key(&peer.identity)).collect();
        assert_eq!(keys.len(), sessions.len(), "one session for each identity");

        // One that waits, and one in chunks at each of two levels.
        let max_queued = limits.queue_bytes() + 3 * LARGEST_FRAME;
        for connection in self.wires.keys() {
            let queued = self.swarm.queued_bytes(*connection);
            assert!(queued <= max_queued, "{queued} bytes wait on {connection}");
        }
        // A ring of lengths beside each of the four queues; an empty ring keeps a little.
        let max_frames =
            spacetime_core::wire::Priority::ALL.map(|it| limits.queue(it).max_frames).into_iter().max();
        let max_held = max_queued + 4 * (8 * max_frames.unwrap_or(0) + 2 * 4096);
        assert!(
            self.swarm.held_bytes() <= max_held * self.wires.len(),
            "{} bytes held",
            self.swarm.held_bytes()
        );
    }

    pub(super) fn now(&self) -> Time {
        self.now
    }

    /// Dials and accepted connections whose transport does not stand yet.
    pub(super) fn connecting(&self) -> &[(ConnectionId, Address)] {
        &self.connecting
    }

    /// Whether the transport of a connection stands.
    pub(super) fn is_open(&self, connection: ConnectionId) -> bool {
        self.wires.contains_key(&connection)
    }

    pub(super) fn accept(&mut self, address: Address) -> Option<ConnectionId> {
        let connection = self.step(|swarm, now| swarm.handle_accept(now, address.clone())).ok()?;
        self.connecting.push((connection, address));
        Some(connection)
    }

    /// The transport stands. A driver may come to know it when the Swarm has given it up.
    pub(super) fn open(&mut self, connection: ConnectionId, proven: Option<PeerId>) {
        if let Some(index) = self.connecting.iter().position(|(it, _)| *it == connection) {
            self.connecting.swap_remove(index);
            let first_frame_bytes = self.swarm.limits().first_frame_bytes();
            let reader = FrameReader::new(Arc::clone(&self.rules), first_frame_bytes);
            let wire = Wire { reader, unread: Vec::new(), arrived: 0, is_blocked: false };
            self.wires.insert(connection, wire);
        } else if self.is_open(connection) {
            return;
        }
        self.step(|swarm, now| swarm.handle_opened(now, connection, proven));
    }

    /// Bytes arrive; they are read as a driver reads them.
    pub(super) fn receive(&mut self, connection: ConnectionId, bytes: &[u8]) {
        if let Some(wire) = self.wires.get_mut(&connection) {
            wire.unread.extend(bytes);
            self.read(connection);
        }
    }

    fn read(&mut self, connection: ConnectionId) {
        while let Some(wire) = self.wires.get_mut(&connection).filter(|wire| !wire.is_blocked) {
            wire.arrived += wire.unread.len();
            wire.reader.push(&wire.unread);
            wire.unread.clear();
            let step = wire.reader.poll_frames();
            let max_held = 2 * wire.arrived + MAX_SHARED_FRAME + 1024;
            assert!(wire.reader.held_bytes() <= max_held, "{} bytes held", wire.reader.held_bytes());
            match step {
                Ok(ReadStep::Frames(batch)) => {
                    let rest = self.step(|swarm, now| swarm.handle_frames(now, connection, batch));
                    assert!(rest.is_none(), "there are no limits of bandwidth");
                }
                Ok(ReadStep::NeedBytes) => return,
                Ok(ReadStep::Blocked) => wire.is_blocked = true,
                Err(error) => {
                    self.step(|swarm, now| swarm.handle_closed(now, connection, error.into()));
                    assert!(!self.is_open(connection), "what cannot be cut is closed");
                }
            }
        }
    }

    /// Frames that were cut before the connection ended reach the Swarm after it.
    pub(super) fn receive_late(&mut self, connection: ConnectionId, bytes: &[u8]) {
        let is_pending = self.connecting.iter().any(|(it, _)| *it == connection);
        if is_pending || self.is_open(connection) {
            return;
        }
        let mut reader = FrameReader::new(Arc::clone(&self.rules), 1024);
        reader.set_established();
        reader.push(bytes);
        while let Ok(ReadStep::Frames(batch)) = reader.poll_frames() {
            let rest = self.step(|swarm, now| swarm.handle_frames(now, connection, batch));
            assert!(rest.is_none(), "nothing waits for a connection that is gone");
        }
    }

    /// The transport has ended; between two frames, unless it ends inside of one.
    pub(super) fn end(&mut self, connection: ConnectionId) {
        let Some(wire) = self.wires.get(&connection) else {
            return self.lose(connection, CloseReason::EndOfStream);
        };
        let reason = wire.reader.finish().map_or_else(CloseReason::from, |()| CloseReason::EndOfStream);
        self.lose(connection, reason);
    }

    /// The transport has ended, or the driver wants it to.
    pub(super) fn lose(&mut self, connection: ConnectionId, reason: CloseReason) {
        if !matches!(reason, CloseReason::Violation(_)) {
            self.wires.remove(&connection);
            self.connecting.retain(|(it, _)| *it != connection);
        }
        self.step(|swarm, now| swarm.handle_closed(now, connection, reason));
        assert!(!self.is_open(connection), "what has ended is closed");
    }

    pub(super) fn fail_dial(&mut self, connection: ConnectionId, error: DialError) {
        if !self.is_open(connection) {
            self.connecting.retain(|(it, _)| *it != connection);
            self.step(|swarm, now| swarm.handle_dial_failed(now, connection, error));
        }
    }

    pub(super) fn command(&mut self, command: B::Command) {
        self.step(|swarm, now| swarm.handle_command(now, command));
    }

    pub(super) fn act<R>(&mut self, f: impl FnOnce(&mut B, &mut Context<'_, B::Event>) -> R) -> R {
        self.step(|swarm, now| swarm.act(now, f))
    }

    pub(super) fn dial(&mut self, address: Address) -> Result<ConnectionId, DialError> {
        self.act(|_, cx| cx.dial(address))
    }

    /// Takes frames that wait to be sent, until they are `max_bytes` or more.
    pub(super) fn take(&mut self, connection: ConnectionId, max_bytes: usize) -> Vec<u8> {
        let mut out = Transmit::new();
        let more = self.swarm.poll_transmit(connection, max_bytes, &mut out);
        assert!(out.is_empty() || self.is_open(connection), "nothing is sent where nothing stands");
        assert!(out.len() <= max_bytes + LARGEST_FRAME, "only the last frame goes beyond");
        assert_eq!(more, self.swarm.queued_bytes(connection) > 0);
        self.collect();
        self.check();
        self.sent(out)
    }

    /// Whatever this node sends is whole frames that no other node refuses.
    fn sent(&mut self, mut out: Transmit) -> Vec<u8> {
        let mut bytes = vec![0; out.len()];
        out.copy_to_slice(&mut bytes);
        assert!(out.is_empty());
        let mut rest = &bytes[..];
        while let Some((message_type, payload, after)) = first_frame(rest) {
            // Of what is not version 1's the target knows who can read it.
            if MessageType::VERSION_1.contains(&message_type) {
                assert_eq!(validate(message_type, payload), Ok(()), "{message_type} {payload:02x?}");
            }
            self.echoes.push_front(rest[..rest.len() - after.len()].to_vec());
            self.echoes.truncate(ECHOES);
            rest = after;
        }
        assert!(rest.is_empty(), "whole frames only");
        bytes
    }

    /// Lets time pass, and calls the Swarm whenever it wants to be called.
    pub(super) fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        let mut calls = 0;
        while let Some(at) = self.swarm.deadline().filter(|at| *at <= until) {
            self.now = at;
            self.step(Swarm::handle_deadline);
            calls += 1;
            assert!(calls < MAX_DEADLINES, "deadlines move forward");
        }
        self.now = until;
    }

    /// Time has passed, and nobody called the Swarm meanwhile.
    pub(super) fn jump(&mut self, duration: Duration) {
        self.now += duration;
        self.step(Swarm::handle_deadline);
    }

    /// A clock that is not monotonic shows an earlier time once.
    pub(super) fn go_back(&mut self, duration: Duration) {
        let now = Now::new(self.now - duration, self.unix_seconds);
        self.step(|swarm, _| swarm.handle_deadline(now));
    }

    /// Goes on to the next deadline. Whether there was one.
    pub(super) fn wait(&mut self) -> bool {
        let Some(at) = self.swarm.deadline() else { return false };
        self.now = at;
        self.step(Swarm::handle_deadline);
        true
    }

    /// The node stops: nothing is left of any connection.
    pub(super) fn shut_down(&mut self) {
        self.step(Swarm::shut_down);
        assert_eq!(self.swarm.peers().count(), 0);
        assert!(self.wires.is_empty() && self.connecting.is_empty(), "all were told to close");
        assert_eq!(self.swarm.held_bytes(), 0);
        assert!(self.accept(Address::memory(0)).is_none(), "nothing is accepted any more");
        let refused = self.dial(Address::memory(0));
        assert!(refused.is_err(), "nothing is dialled any more");
    }
}

fn numbers(statistics: Statistics) -> [u64; 6] {
    let Statistics {
        frames_received,
        bytes_received,
        frames_sent,
        bytes_sent,
        frames_dropped,
        late_answers,
        ..
    } = statistics;
    [frames_received, bytes_received, frames_sent, bytes_sent, frames_dropped, late_answers]
}

/// The types of the whole frames in `bytes`.
pub(super) fn types(bytes: &[u8]) -> Vec<MessageType> {
    frames(bytes).map(|(message_type, _)| message_type).collect()
}
