//! One Swarm, its connections, and a clock that the test winds.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Buf as _;

use super::invariants;
use super::log::Log;
use super::messages::{hello, sent_frames};
use super::tree::{GatelessTree, Tree};
use crate::swarm::{Action, Event, Swarm, Transmit};
use crate::wire::{Batch, FrameReader, FrameRules, ReadStep};
use crate::{
    Address, CloseReason, ConnectionId, Context, DialError, Limits, NetworkBehaviour, Now, PeerId, Time,
};

/// The driver's side of a connection.
pub(super) struct Wire {
    pub(super) reader: FrameReader,
    /// Nothing is read before the peer is established.
    is_blocked: bool,
    /// Frames that wait for a limit of bandwidth.
    pub(super) held: Option<Batch>,
}

pub(super) struct Node<B: NetworkBehaviour> {
    pub(super) swarm: Swarm<B>,
    pub(super) log: Log,
    pub(super) now: Time,
    rules: Arc<FrameRules>,
    pub(super) wires: BTreeMap<ConnectionId, Wire>,
    pub(super) events: Vec<Event<B::Event>>,
    /// What the Swarm wants dialled.
    pub(super) dials: Vec<(ConnectionId, Address)>,
    /// What the Swarm has given up, and its last words.
    pub(super) closes: Vec<(ConnectionId, Vec<u8>)>,
}

/// The id of the peer with this number.
pub(super) fn peer_id(number: u8) -> PeerId {
    PeerId([number; 32])
}

/// Where the peer with this number listens.
pub(super) fn address(number: u8) -> Address {
    Address::socket(SocketAddr::from(([10, 0, 0, number], 8333)))
}

/// Where it connects from.
pub(super) fn ephemeral(number: u8, port: u16) -> Address {
    Address::socket(SocketAddr::from(([10, 0, 0, number], port)))
}

impl Node<Tree> {
    pub(super) fn new(limits: Limits) -> Self {
        Self::numbered(0, limits)
    }

    /// A node that goes by this number.
    pub(super) fn numbered(number: u8, limits: Limits) -> Self {
        let log = Log::default();
        let name = alloc::format!("{}", peer_id(number));
        Self::with_tree(Tree::new(&log, &name), log, number, limits)
    }

    /// A session with a peer that connected, and claims to be the one with this number.
    pub(super) fn inbound_session(&mut self, number: u8) -> ConnectionId {
        let connection = self.accept(ephemeral(number, 40_000)).expect("a free slot");
        self.open(connection, None);
        self.say_hello(connection, number);
        assert!(self.swarm.peer(connection).is_some(), "it is established");
        self.sent(connection);
        connection
    }

    /// The peer says that it is the one with this number.
    pub(super) fn say_hello(&mut self, connection: ConnectionId, number: u8) {
        let name = alloc::format!("{}", peer_id(number));
        self.receive(connection, &hello(&name, Some(8333), true));
    }
}

impl Node<GatelessTree> {
    pub(super) fn gateless(limits: Limits) -> Self {
        let log = Log::default();
        Self::with_tree(GatelessTree::new(&log), log, 0, limits)
    }
}

impl<B: NetworkBehaviour> Node<B> {
    pub(super) fn with_tree(tree: B, log: Log, number: u8, limits: Limits) -> Self {
        let swarm = Swarm::new(tree, peer_id(number), limits).unwrap();
        Self {
            log,
            now: Time::ZERO,
            rules: Arc::new(swarm.rules().clone()),
            swarm,
            wires: BTreeMap::new(),
            events: Vec::new(),
            dials: Vec::new(),
            closes: Vec::new(),
        }
    }

    fn step<R>(&mut self, f: impl FnOnce(&mut Swarm<B>, Now) -> R) -> R {
        self.log.step(self.now);
        let result = f(&mut self.swarm, Now::new(self.now, 0));
        self.collect();
        result
    }

    /// Does what a driver does after each step, apart from writing.
    fn collect(&mut self) {
        while let Some(action) = self.swarm.poll_action() {
            match action {
                Action::Dial { connection, address } => self.dials.push((connection, address)),
                Action::Established { connection, may_send_chunks } => {
                    if let Some(wire) = self.wires.get_mut(&connection) {
                        wire.reader.set_established();
                        if may_send_chunks {
                            wire.reader.take_chunks();
                        }
                        wire.is_blocked = false;
                    }
                }
                Action::Close { connection, last_words } => {
                    self.wires.remove(&connection);
                    self.closes.push((connection, all_of(last_words)));
                }
            }
        }
        while let Some(event) = self.swarm.poll_event() {
            self.events.push(event);
        }
        invariants::check(&self.swarm);
    }

    pub(super) fn accept(&mut self, address: Address) -> Result<ConnectionId, CloseReason> {
        self.step(|swarm, now| swarm.handle_accept(now, address))
    }

    /// The transport stands.
    pub(super) fn open(&mut self, connection: ConnectionId, proven: Option<PeerId>) {
        let first_frame_bytes = self.swarm.limits().first_frame_bytes();
        let reader = FrameReader::new(Arc::clone(&self.rules), first_frame_bytes);
        let wire = Wire { reader, is_blocked: false, held: None };
        self.wires.insert(connection, wire);
        self.step(|swarm, now| swarm.handle_opened(now, connection, proven));
    }

    /// A dial has reached somebody; the transport is not secured yet.
    pub(super) fn connect(&mut self, connection: ConnectionId) {
        self.step(|swarm, now| swarm.handle_connected(now, connection));
    }

    /// Bytes arrive; they are read as a driver reads them.
    pub(super) fn receive(&mut self, connection: ConnectionId, bytes: &[u8]) {
        if let Some(wire) = self.wires.get_mut(&connection) {
            wire.reader.push(bytes);
        }
        if self.wires.get(&connection).is_some_and(|wire| wire.held.is_none()) {
            self.read(connection);
        }
    }

    /// Hands in what was held back or has arrived, as far as the Swarm takes it.
    fn read(&mut self, connection: ConnectionId) {
        while let Some(wire) = self.wires.get_mut(&connection).filter(|wire| !wire.is_blocked) {
            let step = match wire.held.take() {
                Some(batch) => Ok(ReadStep::Frames(batch)),
                None => wire.reader.poll_frames(),
            };
            match step {
                Ok(ReadStep::Frames(batch)) => {
                    let rest = self.step(|swarm, now| swarm.handle_frames(now, connection, batch));
                    if rest.is_some() {
                        let wire = self.wires.get_mut(&connection).expect("only of what is there");
                        wire.held = rest;
                        return;
                    }
                }
                Ok(ReadStep::NeedBytes) => return,
                Ok(ReadStep::Blocked) => wire.is_blocked = true,
                Err(error) => return self.lose(connection, error.into()),
            }
        }
    }

    /// Frames that were cut before the connection ended, and reach the Swarm after it.
    pub(super) fn receive_late(&mut self, connection: ConnectionId, bytes: &[u8]) {
        let mut reader = FrameReader::new(Arc::clone(&self.rules), 1024);
        reader.set_established();
        reader.push(bytes);
        while let Ok(ReadStep::Frames(batch)) = reader.poll_frames() {
            let rest = self.step(|swarm, now| swarm.handle_frames(now, connection, batch));
            assert!(rest.is_none(), "nothing waits for a connection that is gone");
        }
    }

    /// Reads on where the Swarm says so, until it names nobody any more.
    pub(super) fn read_on(&mut self) {
        while let Some(connection) = self.swarm.poll_readable() {
            self.read(connection);
        }
    }

    /// The transport has ended, or makes no sense any more.
    pub(super) fn lose(&mut self, connection: ConnectionId, reason: CloseReason) {
        if let Some(wire) = self.wires.remove(&connection) {
            let bytes = wire.reader.cut_bytes();
            self.step(|swarm, now| swarm.handle_cut(now, connection, bytes));
        }
        self.step(|swarm, now| swarm.handle_closed(now, connection, reason));
    }

    pub(super) fn fail_dial(&mut self, connection: ConnectionId, error: DialError) {
        self.wires.remove(&connection);
        self.step(|swarm, now| swarm.handle_dial_failed(now, connection, error));
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

    pub(super) fn shut_down(&mut self) {
        self.step(Swarm::shut_down);
    }

    /// Tells the Swarm what time it is.
    pub(super) fn tick(&mut self) {
        self.step(Swarm::handle_deadline);
    }

    /// Lets time pass, and calls the Swarm when it wants to be called and never otherwise.
    pub(super) fn sleep(&mut self, duration: Duration) {
        let until = self.now + duration;
        let mut calls = 0;
        while let Some(at) = self.swarm.deadline().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.tick();
            calls += 1;
            assert!(calls < 10_000, "deadlines move forward");
        }
        self.now = until;
    }

    /// Takes what waits to be sent, the last frame beyond `max_bytes` included.
    pub(super) fn take(&mut self, connection: ConnectionId, max_bytes: usize) -> Vec<u8> {
        let mut out = Transmit::new();
        self.swarm.poll_transmit(connection, max_bytes, &mut out);
        self.collect();
        all_of(out)
    }

    /// Takes what waits to be sent, as a driver that can write some. Whether more is left.
    pub(super) fn take_more(&mut self, connection: ConnectionId, max_bytes: usize) -> bool {
        let more = self.swarm.poll_transmit(connection, max_bytes, &mut Transmit::new());
        self.collect();
        more
    }

    /// Takes all that waits to be sent: type byte and number of each frame.
    pub(super) fn sent(&mut self, connection: ConnectionId) -> Vec<(u8, Option<u32>)> {
        let bytes = self.take(connection, usize::MAX);
        sent_frames(&bytes)
    }

    /// The last words of a connection that the Swarm has given up.
    pub(super) fn last_words(&self, connection: ConnectionId) -> Option<&[u8]> {
        let (_, words) = self.closes.iter().find(|(closed, _)| *closed == connection)?;
        Some(words)
    }

    /// Why a session ended.
    pub(super) fn close_reason(&self, connection: ConnectionId) -> Option<CloseReason> {
        self.events.iter().find_map(|event| match event {
            Event::Closed { connection: closed, reason, .. } if *closed == connection => Some(reason.clone()),
            _ => None,
        })
    }

    /// Why a peer that connected was not let in.
    pub(super) fn refusal(&self, connection: ConnectionId) -> Option<CloseReason> {
        self.events.iter().find_map(|event| match event {
            Event::Refused { connection: refused, reason } if *refused == connection => Some(reason.clone()),
            _ => None,
        })
    }

    /// Why dials failed.
    pub(super) fn dial_errors(&self, connection: ConnectionId) -> Vec<DialError> {
        let error = |event: &Event<B::Event>| match event {
            Event::DialFailed { connection: failed, error, .. } if *failed == connection => {
                Some(error.clone())
            }
            _ => None,
        };
        self.events.iter().filter_map(error).collect()
    }

    /// Sessions and dials, and accepted connections that are not established.
    pub(super) fn counters(&self) -> (usize, usize) {
        (self.swarm.network.table.sessions(), self.swarm.network.table.opening())
    }
}

fn all_of(mut out: Transmit) -> Vec<u8> {
    let mut bytes = alloc::vec![0; out.len()];
    out.copy_to_slice(&mut bytes);
    bytes
}

/// What the other end said before it closed.
pub(super) fn remote(reason: CloseReason) -> CloseReason {
    CloseReason::Remote(Box::new(reason))
}
