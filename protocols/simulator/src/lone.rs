//! One behaviour, driven by hand.

use std::sync::Arc;
use std::time::Duration;

use bytes::Buf as _;
use spacetime_core::wire::{Frame, FrameReader, FrameRules, Message, MessageType, ReadStep};
use spacetime_core::{
    Action, Address, CloseReason, ConnectionId, ConnectionMap, Context, Event, Limits, NetworkBehaviour, Now,
    Offence, PeerId, Rate, Swarm, Time, Transmit,
};

use super::clock::UNIX_START;
use super::puppet::cut_frames;
use super::witness::Witness;

/// Deadlines that may pass while time is let pass, before it is a loop.
const MAX_DEADLINES: usize = 100_000;

/// One behaviour in a Swarm of its own, without a network: the test says what arrives and when, and
/// looks at what is sent and when the next deadline is.
///
/// ```
/// # use std::convert::Infallible;
/// # use spacetime_core::wire::{Frame, Nothing, Ping, Pong};
/// # use spacetime_core::{ConnectionId, Context, Protocol, Violation};
/// use spacetime_simulator::Lone;
///
/// struct Echo;
///
/// impl Protocol for Echo {
///     type Message<'a> = Ping;
///     // ..
/// #   type Answer<'a> = Nothing;
/// #   type Event = Infallible;
/// #   type Command = Infallible;
///
///     fn on_message(
///         &mut self, cx: &mut Context<'_, Infallible>, from: ConnectionId, ping: Ping, _: &Frame,
///     ) -> Result<(), Violation> {
///         let _ = cx.send(from, &Pong { nonce: ping.nonce, timestamp: ping.timestamp });
///         Ok(())
///     }
/// }
///
/// let mut lone = Lone::new(Echo);
/// let peer = lone.connect();
/// lone.give(peer, &Ping { nonce: 7, timestamp: 1 });
/// lone.expect(peer, &Pong { nonce: 7, timestamp: 1 });
/// assert_eq!(lone.deadline(), None);
/// ```
pub struct Lone<B: NetworkBehaviour> {
    swarm: Swarm<Witness<B>>,
    rules: Arc<FrameRules>,
    now: Time,
    peers: u64,
    connections: ConnectionMap<Ends>,
    closed: ConnectionMap<CloseReason>,
    dialled: Vec<(ConnectionId, Address)>,
    events: Vec<B::Event>,
    offences: Vec<(ConnectionId, Offence)>,
}

struct Ends {
    reader: FrameReader,
    sent: Vec<u8>,
    is_open: bool,
}

impl<B: NetworkBehaviour> Lone<B> {
    /// A behaviour with default limits, but that whoever connects may do so as often as it wants.
    pub fn new(behaviour: B) -> Self {
        let often = Rate { capacity: u32::MAX, interval: Duration::from_nanos(1) };
        let limits = Limits::default().with_accept_rate_per_host(often).with_accept_rate_per_group(often);
        Self::with_limits(behaviour, limits)
    }

    /// A behaviour with these limits.
    ///
    /// # Panics
    ///
    /// If they are invalid.
    pub fn with_limits(behaviour: B, limits: Limits) -> Self {
        let swarm =
            Swarm::new(Witness::new(behaviour), PeerId([0; 32]), limits).expect("the limits are valid");
        let mut lone = Self {
            rules: Arc::new(swarm.rules().clone()),
            swarm,
            now: Time::ZERO,
            peers: 0,
            connections: ConnectionMap::new(),
            closed: ConnectionMap::new(),
            dialled: Vec::new(),
            events: Vec::new(),
            offences: Vec::new(),
        };
        lone.collect();
        lone
    }

    /// A peer connects, from an address of its own. Unless there is a gate in the tree, which lets
    /// it in or not, it is established.
    ///
    /// # Panics
    ///
    /// If the Swarm does not accept it.
    pub fn connect(&mut self) -> ConnectionId {
        self.peers += 1;
        self.connect_from(Address::memory(self.peers), None)
    }

    /// A peer connects from this address; the transport has proven who it is, or nothing.
    ///
    /// # Panics
    ///
    /// If the Swarm does not accept it.
    pub fn connect_from(&mut self, address: Address, proven: Option<PeerId>) -> ConnectionId {
        let connection = self.swarm.handle_accept(self.clock(), address).expect("the peer is accepted");
        self.open(connection, proven);
        connection
    }

    fn open(&mut self, connection: ConnectionId, proven: Option<PeerId>) {
        let reader = FrameReader::new(Arc::clone(&self.rules), self.swarm.limits().first_frame_bytes());
        self.connections.insert(connection, Ends { reader, sent: Vec::new(), is_open: true });
        self.swarm.handle_opened(self.clock(), connection, proven);
        self.collect();
    }

    /// The dials that were begun since the last call.
    pub fn dialled(&mut self) -> Vec<(ConnectionId, Address)> {
        std::mem::take(&mut self.dialled)
    }

    /// A dial was answered.
    pub fn answer_dial(&mut self, connection: ConnectionId) {
        self.open(connection, None);
    }

    /// A message arrives.
    pub fn give<M: Message>(&mut self, from: ConnectionId, message: &M) {
        let frame = Frame::encode(message).expect("the message can be encoded");
        self.give_bytes(from, frame.bytes());
    }

    /// Bytes arrive.
    pub fn give_bytes(&mut self, from: ConnectionId, bytes: &[u8]) {
        if let Some(ends) = self.connections.get_mut(from).filter(|ends| ends.is_open) {
            ends.reader.push(bytes);
            self.deliver(from);
        }
    }

    /// Gives the Swarm the frames that have arrived.
    fn deliver(&mut self, from: ConnectionId) {
        let now = self.clock();
        while let Some(ends) = self.connections.get_mut(from).filter(|ends| ends.is_open) {
            match ends.reader.poll_frames() {
                Ok(ReadStep::Frames(batch)) => {
                    let rest = self.swarm.handle_frames(now, from, batch);
                    debug_assert!(rest.is_none(), "its Swarm has no limits of bandwidth");
                }
                Ok(ReadStep::NeedBytes | ReadStep::Blocked) => return,
                Err(error) => self.swarm.handle_closed(now, from, error.into()),
            }
            self.collect();
        }
    }

    /// The peer goes.
    pub fn end(&mut self, connection: ConnectionId) {
        if let Some(ends) = self.connections.get_mut(connection) {
            ends.is_open = false;
        }
        self.swarm.handle_closed(self.clock(), connection, CloseReason::EndOfStream);
        self.collect();
    }

    /// What was sent to a peer since the last call: types and payloads.
    pub fn sent(&mut self, to: ConnectionId) -> Vec<(MessageType, Vec<u8>)> {
        self.connections.get_mut(to).map(|ends| cut_frames(&mut ends.sent)).unwrap_or_default()
    }

    /// Demands that this message was sent to a peer since the last call, and nothing else.
    ///
    /// # Panics
    ///
    /// If it was not.
    pub fn expect<M: Message>(&mut self, to: ConnectionId, message: &M) {
        let frame = Frame::encode(message).expect("the message can be encoded");
        let expected = (frame.message_type(), frame.payload().to_vec());
        assert_eq!(self.sent(to), [expected], "sent to {to}");
    }

    /// How long until the behaviour wants to be called. The Swarm around it has deadlines of its
    /// own, which are met as well.
    pub fn deadline(&self) -> Option<Duration> {
        NetworkBehaviour::deadline(self.swarm.behaviour()).map(|at| at.since(self.now))
    }

    /// Lets time pass; the deadlines on the way are met exactly.
    ///
    /// # Panics
    ///
    /// If they do not end.
    pub fn advance(&mut self, duration: Duration) {
        let until = self.now + duration;
        for _ in 0..MAX_DEADLINES {
            let Some(next) = self.swarm.deadline().filter(|at| *at <= until) else {
                self.now = until;
                return;
            };
            self.now = next.max(self.now);
            self.swarm.handle_deadline(self.clock());
            self.collect();
        }
        panic!("deadlines without end");
    }

    /// Gives a command.
    pub fn command(&mut self, command: B::Command) {
        self.swarm.handle_command(self.clock(), command);
        self.collect();
    }

    /// Does something with the behaviour.
    pub fn act<R>(&mut self, f: impl FnOnce(&mut B, &mut Context<'_, B::Event>) -> R) -> R {
        let now = self.clock();
        let result = self.swarm.act(now, |witness, cx| f(witness.tree_mut(), cx));
        self.collect();
        result
    }

    /// The behaviour.
    pub fn behaviour(&self) -> &B {
        self.swarm.behaviour()
    }

    /// What the behaviour has said since the last call.
    pub fn events(&mut self) -> Vec<B::Event> {
        std::mem::take(&mut self.events)
    }

    /// With what peers were charged since the last call.
    pub fn offences(&mut self) -> Vec<(ConnectionId, Offence)> {
        std::mem::take(&mut self.offences)
    }

    /// Why a connection was closed by this side, if it was.
    pub fn closed(&self, connection: ConnectionId) -> Option<&CloseReason> {
        self.closed.get(connection)
    }

    fn clock(&self) -> Now {
        let seconds = self.now.since(Time::ZERO).as_secs();
        Now::new(self.now, UNIX_START.saturating_add_unsigned(seconds))
    }

    /// Does what the Swarm wants done, and takes what it says.
    fn collect(&mut self) {
        let mut out = Transmit::new();
        let mut known = Vec::new();
        // A deadline that is due at once fires here, so that what it sends is seen.
        self.swarm.handle_deadline(self.clock());
        while let Some(connection) = self.swarm.poll_ready() {
            while self.swarm.poll_transmit(connection, usize::MAX / 2, &mut out) {}
            self.take(connection, &mut out);
            // Whoever waited for room hears of it.
            self.swarm.handle_deadline(self.clock());
        }
        while let Some(action) = self.swarm.poll_action() {
            match action {
                Action::Dial { connection, address } => self.dialled.push((connection, address)),
                Action::Established { connection, may_send_chunks } => {
                    if let Some(ends) = self.connections.get_mut(connection) {
                        ends.reader.set_established();
                        if may_send_chunks {
                            ends.reader.take_chunks();
                        }
                        known.push(connection);
                    }
                }
                Action::Close { connection, mut last_words } => {
                    self.take(connection, &mut last_words);
                    if let Some(ends) = self.connections.get_mut(connection) {
                        ends.is_open = false;
                    }
                }
                other => panic!("nobody does {other:?} here"),
            }
        }
        while let Some(event) = self.swarm.poll_event() {
            match event {
                Event::Behaviour(event) => self.events.push(event),
                Event::Offence { connection, offence, .. } => self.offences.push((connection, offence)),
                Event::Closed { connection, reason, .. } | Event::Refused { connection, reason } => {
                    self.closed.insert(connection, reason);
                }
                _ => {}
            }
        }
        let now = self.clock();
        let complaints = self.swarm.act(now, |witness, _| witness.take_complaints());
        assert!(complaints.is_empty(), "{}", complaints.join("; "));
        known.into_iter().for_each(|connection| self.deliver(connection));
    }

    fn take(&mut self, connection: ConnectionId, out: &mut Transmit) {
        let bytes = out.copy_to_bytes(out.len());
        if let Some(ends) = self.connections.get_mut(connection) {
            ends.sent.extend_from_slice(&bytes);
        }
    }
}

impl<B: NetworkBehaviour + std::fmt::Debug> std::fmt::Debug for Lone<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lone").field("behaviour", self.behaviour()).finish_non_exhaustive()
    }
}
