//! A virtual network that drives any [`Swarm`]: virtual time, one thread, repeatable from one seed.
//!
//! The Swarm, its behaviours and the frame reader are the production ones, and cannot tell. Bytes
//! arrive in order, late, and cut at random places. Each node is called exactly when its
//! [`deadline`](Swarm::deadline) says, and never otherwise, so a forgotten deadline is a failing
//! test.
//!
//! ```
//! use std::convert::Infallible;
//! use std::time::Duration;
//! use spacetime_core::wire::{Frame, Heartbeat, Nothing};
//! use spacetime_core::{ConnectionId, Context, Protocol, Violation};
//! use spacetime_simulator::Simulation;
//!
//! struct Greeter;
//!
//! impl Protocol for Greeter {
//!     type Message<'a> = Nothing;
//!     type Answer<'a> = Nothing;
//!     type Event = ConnectionId;
//!     type Command = Infallible;
//!
//!     fn on_established(&mut self, cx: &mut Context<'_, ConnectionId>, connection: ConnectionId) {
//!         cx.emit(connection);
//!     }
//!
//!     fn on_message(
//!         &mut self, _: &mut Context<'_, ConnectionId>, _: ConnectionId, never: Nothing, _: &Frame,
//!     ) -> Result<(), Violation> {
//!         match never {}
//!     }
//! }
//!
//! let mut simulation = Simulation::new(1);
//! simulation.add_nodes(2, |_| Greeter);
//! simulation.dial(0, 1);
//! simulation.run_for(Duration::from_secs(1));
//! assert_eq!(simulation.swarm(0).peers().count(), 1);
//! ```
//!
//! A [puppet](Simulation::puppet_dial) is an end of a connection that the test holds in its hands,
//! byte by byte: for peers that break the protocol, or speak an older one.

mod link;
mod node;
mod puppet;

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf as _;
use link::{End, Link};
use node::{Attachment, Node};
use puppet::Puppet;
use spacetime_core::wire::{FrameReader, ReadStep};
use spacetime_core::{
    Action, Address, CloseReason, ConnectionId, ConnectionMap, Context, DialError, Event, Hash, Limits,
    NetworkBehaviour, Now, PeerId, Rng, Swarm, Time, Transmit,
};

pub use link::LinkConfig;
pub use node::Boot;
pub use puppet::{PuppetId, handshake_frame};

/// Unix seconds at the beginning of every simulation.
pub const UNIX_START: i64 = 1_800_000_000;

/// Bytes that a node takes over to write at once, as the real driver does.
const TRANSMIT_BYTES: usize = 64 * 1024;

/// How long an application takes to carry out an effect.
const EFFECT_TIME: Duration = Duration::from_millis(1);

/// A simulated network of nodes that all run the same tree.
pub struct Simulation<B: NetworkBehaviour> {
    now: Time,
    rng: Rng,
    config: LinkConfig,
    queue: BinaryHeap<Reverse<Entry<B::Command>>>,
    scheduled: u64,
    nodes: Vec<Node<B>>,
    puppets: Vec<Puppet>,
    links: Vec<Link>,
    places: BTreeMap<Address, Place>,
    audit: Hash,
}

/// Who listens at an address.
#[derive(Clone, Copy, Debug)]
enum Place {
    Node(usize),
    Puppet(usize),
}

/// Something that will happen, in the order of time and then of being scheduled.
struct Entry<C> {
    at: Time,
    number: u64,
    scheduled: Scheduled<C>,
}

impl<C> PartialEq for Entry<C> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<C> Eq for Entry<C> {}

impl<C> PartialOrd for Entry<C> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<C> Ord for Entry<C> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// What will happen.
#[derive(Debug)]
enum Scheduled<C> {
    /// A node's deadline is over.
    Wake(usize),
    /// A dial arrives.
    Dial { node: usize, connection: ConnectionId, address: Address },
    /// A dial was answered.
    DialAnswered { node: usize, connection: ConnectionId, link: Option<usize> },
    /// Bytes arrive at an end of a link.
    Bytes { link: usize, side: usize, bytes: Vec<u8> },
    /// The end of the stream arrives at an end of a link.
    End { link: usize, side: usize },
    /// The sender hears that its bytes were read.
    Read { link: usize, side: usize, bytes: usize },
    /// A node's application has carried something out.
    Command { node: usize, command: C },
}

impl<B: NetworkBehaviour> Simulation<B> {
    /// An empty network with default links. The same seed and the same calls give the same run.
    pub fn new(seed: u64) -> Self {
        Self {
            now: Time::ZERO,
            rng: Rng::from_number(seed),
            config: LinkConfig::default(),
            queue: BinaryHeap::new(),
            scheduled: 0,
            nodes: Vec::new(),
            puppets: Vec::new(),
            links: Vec::new(),
            places: BTreeMap::new(),
            audit: Hash::ZERO,
        }
    }

    /// Changes how links behave from now on.
    #[must_use]
    pub fn with_links(mut self, config: LinkConfig) -> Self {
        self.config = config;
        self
    }

    /// Adds nodes with default limits; `behaviour` makes each one's tree.
    pub fn add_nodes(&mut self, count: usize, mut behaviour: impl FnMut(Boot) -> B) {
        for _ in 0..count {
            self.add_node(Limits::default(), &mut behaviour);
        }
    }

    /// Adds one node and returns its index.
    pub fn add_node(&mut self, limits: Limits, behaviour: impl FnOnce(Boot) -> B) -> usize {
        let index = self.nodes.len();
        let rng = self.rng.fork(&format!("node {index}"));
        let peer_id = PeerId(rng.fork("peer id").bytes());
        let address = Address::memory(index as u64);
        let behaviour = behaviour(Boot { index, address: address.clone(), peer_id, rng });
        let swarm = Swarm::new(behaviour, peer_id, limits).expect("limits of a simulation are valid");
        self.places.insert(address.clone(), Place::Node(index));
        self.nodes.push(Node {
            rules: Arc::new(swarm.rules().clone()),
            swarm,
            attachments: ConnectionMap::new(),
            events: Vec::new(),
            address,
            peer_id,
            armed: None,
            reading_paused: false,
            application: None,
        });
        self.drive(index);
        index
    }

    /// What time it is.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// Where a node is reached.
    pub fn address(&self, node: usize) -> Address {
        self.nodes[node].address.clone()
    }

    /// Who a node is.
    pub fn peer_id(&self, node: usize) -> PeerId {
        self.nodes[node].peer_id
    }

    /// A node's Swarm.
    pub fn swarm(&self, node: usize) -> &Swarm<B> {
        &self.nodes[node].swarm
    }

    /// What a node's Swarm told its application, and when.
    pub fn events(&self, node: usize) -> &[(Time, Event<B::Event>)] {
        &self.nodes[node].events
    }

    /// A hash over everything that happened so far. Equal runs have equal hashes.
    pub const fn audit(&self) -> Hash {
        self.audit
    }

    /// What a node's application does with the events of the tree: the commands that it answers
    /// with reach the tree a millisecond later.
    pub fn set_application(
        &mut self,
        node: usize,
        application: impl FnMut(&B::Event) -> Vec<B::Command> + 'static,
    ) {
        self.nodes[node].application = Some(Box::new(application));
    }

    /// Does something with a node's tree.
    pub fn act<R>(&mut self, node: usize, f: impl FnOnce(&mut B, &mut Context<'_, B::Event>) -> R) -> R {
        let now = self.clock();
        let result = self.nodes[node].swarm.act(now, f);
        self.drive(node);
        result
    }

    /// Lets one node dial another. The id of the connection, or why it was not even tried.
    pub fn dial(&mut self, node: usize, to: usize) -> Result<ConnectionId, DialError> {
        let address = self.address(to);
        self.act(node, |_, cx| cx.dial(address))
    }

    /// Stops or resumes a node's reading from its sockets.
    pub fn set_reading_paused(&mut self, node: usize, paused: bool) {
        self.nodes[node].reading_paused = paused;
        if !paused {
            let connections: Vec<_> = self.nodes[node].attachments.keys().collect();
            for connection in connections {
                self.read(node, connection);
            }
            self.drive(node);
        }
    }

    /// Runs until everything that happens in the next `duration` has happened.
    pub fn run_for(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.queue.peek().is_some_and(|Reverse(next)| next.at <= until) {
            self.step();
        }
        self.now = until;
    }

    /// Runs until `condition` holds, at most for `limit`. Whether it holds.
    pub fn run_until(&mut self, limit: Duration, mut condition: impl FnMut(&Self) -> bool) -> bool {
        let until = self.now + limit;
        while !condition(self) {
            if self.queue.peek().is_none_or(|Reverse(next)| next.at > until) {
                return false;
            }
            self.step();
        }
        true
    }

    fn step(&mut self) {
        let Some(Reverse(Entry { at, number, scheduled })) = self.queue.pop() else {
            return;
        };
        debug_assert!(at >= self.now, "time never goes back");
        self.now = at;
        self.note(&format!("{} {number} {scheduled:?}", at.as_nanos()));
        match scheduled {
            Scheduled::Wake(node) => {
                if self.nodes[node].armed == Some(at) {
                    self.nodes[node].armed = None;
                    let now = self.clock();
                    self.nodes[node].swarm.handle_deadline(now);
                    self.drive(node);
                }
            }
            Scheduled::Dial { node, connection, address } => self.answer_dial(node, connection, &address),
            Scheduled::DialAnswered { node, connection, link } => self.dial_answered(node, connection, link),
            Scheduled::Bytes { link, side, bytes } => {
                self.links[link].pipes[side].unread.push_back(bytes);
                self.arrived(link, side);
            }
            Scheduled::End { link, side } => {
                self.links[link].pipes[side].ended = true;
                self.arrived(link, side);
            }
            Scheduled::Read { link, side, bytes } => {
                self.links[link].pipes[side].under_way -= bytes;
                if let End::Node(node, connection) = self.links[link].ends[1 - side] {
                    self.write(node, connection);
                    self.drive(node);
                }
            }
            Scheduled::Command { node, command } => {
                let now = self.clock();
                self.nodes[node].swarm.handle_command(now, command);
                self.drive(node);
            }
        }
    }

    fn clock(&self) -> Now {
        Now::new(self.now, UNIX_START + (self.now.as_nanos() / 1_000_000_000) as i64)
    }

    fn note(&mut self, text: &str) {
        self.audit = Hash::of_parts(&[self.audit.as_bytes(), text.as_bytes()]);
    }

    fn schedule(&mut self, at: Time, scheduled: Scheduled<B::Command>) {
        self.scheduled += 1;
        self.queue.push(Reverse(Entry { at, number: self.scheduled, scheduled }));
    }

    /// When something that leaves now arrives.
    fn arrival(&mut self) -> Time {
        let jitter = self.config.jitter().as_nanos() as u64;
        self.now + self.config.latency() + Duration::from_nanos(self.rng.below(jitter + 1))
    }

    // Nodes.

    /// Does what a node's Swarm wants done, and sets its wake-up.
    fn drive(&mut self, node: usize) {
        loop {
            if let Some(action) = self.nodes[node].swarm.poll_action() {
                self.carry_out(node, action);
            } else if let Some(connection) = self.nodes[node].swarm.poll_ready() {
                self.write(node, connection);
            } else if let Some(event) = self.nodes[node].swarm.poll_event() {
                self.note(&format!("{node} {event:?}"));
                let now = self.now;
                if let (Event::Behaviour(event), Some(application)) =
                    (&event, &mut self.nodes[node].application)
                {
                    for command in application(event) {
                        self.schedule(now + EFFECT_TIME, Scheduled::Command { node, command });
                    }
                }
                self.nodes[node].events.push((now, event));
            } else {
                break;
            }
        }
        let deadline = self.nodes[node].swarm.deadline().map(|at| at.max(self.now));
        if deadline != self.nodes[node].armed {
            self.nodes[node].armed = deadline;
            if let Some(at) = deadline {
                self.schedule(at, Scheduled::Wake(node));
            }
        }
    }

    fn carry_out(&mut self, node: usize, action: Action) {
        match action {
            Action::Dial { connection, address } => {
                let at = self.arrival();
                self.schedule(at, Scheduled::Dial { node, connection, address });
            }
            Action::Established { connection } => {
                if let Some(attachment) = self.nodes[node].attachments.get_mut(connection) {
                    attachment.reader.set_established();
                    if std::mem::take(&mut attachment.blocked) {
                        self.read(node, connection);
                    }
                }
            }
            Action::Close { connection, mut last_words } => {
                if let Some(mut attachment) = self.nodes[node].attachments.remove(connection) {
                    attachment.out.append(&mut last_words);
                    let Attachment { link, side, mut out, .. } = attachment;
                    while !out.is_empty() {
                        self.send_piece(link, 1 - side, &mut out, usize::MAX);
                    }
                    self.end_stream(link, side);
                }
            }
            other => panic!("the simulator does not know {other:?}"),
        }
    }

    fn attach(&mut self, node: usize, connection: ConnectionId, link: usize, side: usize) {
        let node = &mut self.nodes[node];
        let first_frame_bytes = node.swarm.limits().first_frame_bytes();
        let reader = FrameReader::new(Arc::clone(&node.rules), first_frame_bytes);
        let attachment = Attachment { link, side, reader, out: Transmit::new(), blocked: false };
        node.attachments.insert(connection, attachment);
    }

    fn answer_dial(&mut self, dialer: usize, connection: ConnectionId, address: &Address) {
        let now = self.clock();
        let place = self.places.get(&address.clone().unpinned()).copied();
        let link = self.links.len();
        let accepted = match place {
            Some(Place::Node(listener)) => {
                let from = self.nodes[dialer].address.clone();
                self.nodes[listener].swarm.handle_accept(now, from).ok().map(|id| End::Node(listener, id))
            }
            Some(Place::Puppet(puppet)) => Some(End::Puppet(puppet)),
            None => None,
        };
        let at = self.arrival();
        if let Some(listener) = accepted {
            self.links.push(Link::new(End::Node(dialer, connection), listener));
            // Nothing that the listener sends may arrive before the dialer knows that it is there.
            self.links[link].pipes[0].last_arrival = at;
            match listener {
                End::Node(node, id) => {
                    self.attach(node, id, link, 1);
                    self.nodes[node].swarm.handle_opened(now, id, None);
                    self.drive(node);
                }
                End::Puppet(puppet) => self.puppets[puppet].link = Some((link, 1)),
                End::Gone => {}
            }
        } else if let Some(Place::Node(listener)) = place {
            self.drive(listener);
        }
        let link = accepted.map(|_| link);
        self.schedule(at, Scheduled::DialAnswered { node: dialer, connection, link });
    }

    fn dial_answered(&mut self, node: usize, connection: ConnectionId, link: Option<usize>) {
        let now = self.clock();
        match link {
            Some(link) => {
                self.attach(node, connection, link, 0);
                self.nodes[node].swarm.handle_opened(now, connection, None);
            }
            None => {
                let error = DialError::Transport("connection refused".into());
                self.nodes[node].swarm.handle_dial_failed(now, connection, error);
            }
        }
        self.drive(node);
    }

    /// Sends what waits on a connection, as much as the window takes.
    fn write(&mut self, node: usize, connection: ConnectionId) {
        loop {
            let Some(attachment) = self.nodes[node].attachments.get_mut(connection) else {
                return;
            };
            let (link, side) = (attachment.link, attachment.side);
            let mut out = std::mem::take(&mut attachment.out);
            if out.is_empty() {
                self.nodes[node].swarm.poll_transmit(connection, TRANSMIT_BYTES, &mut out);
            }
            let under_way = self.links[link].pipes[1 - side].under_way;
            let room = self.config.window_bytes().saturating_sub(under_way);
            let sent_all = out.is_empty();
            if !sent_all && room > 0 {
                self.send_piece(link, 1 - side, &mut out, room);
            }
            if let Some(attachment) = self.nodes[node].attachments.get_mut(connection) {
                attachment.out = out;
            }
            if sent_all || room == 0 {
                return;
            }
        }
    }

    /// Sends one piece of random size towards `side`.
    fn send_piece(&mut self, link: usize, side: usize, out: &mut Transmit, room: usize) {
        let max = self.config.max_piece_bytes().min(room).min(out.len());
        let len = 1 + self.rng.below(max as u64) as usize;
        let mut bytes = vec![0; len];
        out.copy_to_slice(&mut bytes);
        let at = self.arrival().max(self.links[link].pipes[side].last_arrival);
        let pipe = &mut self.links[link].pipes[side];
        pipe.last_arrival = at;
        pipe.under_way += len;
        self.schedule(at, Scheduled::Bytes { link, side, bytes });
    }

    /// The holder of `side` closes: the other end hears of it after all that was sent.
    fn end_stream(&mut self, link: usize, side: usize) {
        let at = self.arrival().max(self.links[link].pipes[1 - side].last_arrival);
        self.links[link].pipes[1 - side].last_arrival = at;
        self.links[link].ends[side] = End::Gone;
        self.links[link].pipes[side].unread.clear();
        self.schedule(at, Scheduled::End { link, side: 1 - side });
    }

    /// Something arrived at an end of a link.
    fn arrived(&mut self, link: usize, side: usize) {
        match self.links[link].ends[side] {
            End::Node(node, connection) => {
                self.read(node, connection);
                self.drive(node);
            }
            End::Puppet(puppet) => {
                while let Some(bytes) = self.take_piece(link, side) {
                    self.puppets[puppet].received.extend(bytes);
                }
                self.puppets[puppet].ended |= self.links[link].pipes[side].ended;
            }
            End::Gone => while self.take_piece(link, side).is_some() {},
        }
    }

    /// Takes the next piece that arrived, and tells the sender that there is room.
    fn take_piece(&mut self, link: usize, side: usize) -> Option<Vec<u8>> {
        let bytes = self.links[link].pipes[side].unread.pop_front()?;
        let at = self.arrival();
        self.schedule(at, Scheduled::Read { link, side, bytes: bytes.len() });
        Some(bytes)
    }

    /// Reads what arrived on a connection, unless the node or the reader does not read just now.
    fn read(&mut self, node: usize, connection: ConnectionId) {
        loop {
            let Some(attachment) = self.nodes[node].attachments.get(connection) else {
                return;
            };
            if attachment.blocked || self.nodes[node].reading_paused {
                return;
            }
            let (link, side) = (attachment.link, attachment.side);
            let piece = self.take_piece(link, side);
            let ended = piece.is_none() && self.links[link].pipes[side].ended;
            let Some(attachment) = self.nodes[node].attachments.get_mut(connection) else {
                return;
            };
            match piece {
                Some(bytes) => attachment.reader.push(&bytes),
                None if !ended => return,
                None => {}
            }
            if !self.deliver_frames(node, connection) {
                return;
            }
            if ended {
                return self.stream_ended(node, connection);
            }
        }
    }

    /// Gives whole frames to the Swarm. Whether the connection can be read on.
    fn deliver_frames(&mut self, node: usize, connection: ConnectionId) -> bool {
        loop {
            let Some(attachment) = self.nodes[node].attachments.get_mut(connection) else {
                return false;
            };
            match attachment.reader.poll_frames() {
                Ok(ReadStep::Frames(batch)) => {
                    let now = self.clock();
                    self.nodes[node].swarm.handle_frames(now, connection, batch);
                    // Closes and establishes come into force before the next bytes are looked at.
                    self.drive(node);
                }
                Ok(ReadStep::NeedBytes) => return true,
                Ok(ReadStep::Blocked) => {
                    attachment.blocked = true;
                    return false;
                }
                Err(error) => {
                    let now = self.clock();
                    self.nodes[node].swarm.handle_closed(now, connection, error.into());
                    return false;
                }
            }
        }
    }

    fn stream_ended(&mut self, node: usize, connection: ConnectionId) {
        let Some(attachment) = self.nodes[node].attachments.get(connection) else {
            return;
        };
        let link = attachment.link;
        let side = attachment.side;
        let reason = attachment.reader.finish().map_or_else(CloseReason::from, |()| CloseReason::EndOfStream);
        let now = self.clock();
        let by_violation = matches!(reason, CloseReason::Violation(_));
        self.nodes[node].swarm.handle_closed(now, connection, reason);
        if !by_violation {
            self.nodes[node].attachments.remove(connection);
            self.end_stream(link, side);
        }
    }
}

impl<B: NetworkBehaviour> std::fmt::Debug for Simulation<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation")
            .field("now", &self.now)
            .field("nodes", &self.nodes.len())
            .finish_non_exhaustive()
    }
}
