//! A virtual network that drives any [`Swarm`]: virtual time, one thread, repeatable from one seed.
//!
//! The Swarm, its behaviours and the frame reader are the production ones, and cannot tell. Bytes
//! arrive in order, late, and cut at random places. Each node is called exactly when its
//! [`deadline`](Swarm::deadline) says and when something happens to it, so a forgotten deadline is a failing
//! test.
//!
//! ```
//! use std::convert::Infallible;
//! use std::time::Duration;
//! use spacetime_core::wire::{Frame, Nothing};
//! use spacetime_core::{ConnectionId, Context, Protocol, Violation};
//! use spacetime_simulator::{Simulation, Topology};
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
//! let mut simulation = Simulation::new(1).nodes(20, |_boot| Greeter).connect(Topology::Ring);
//! simulation.run_for(Duration::from_secs(1));
//! assert_eq!(simulation.swarm(0).peers().count(), 2);
//! ```
//!
//! # What goes wrong
//!
//! [`Simulation::faults`] takes a list of [`Fault`]s, drawn from a [`Plan`] and a seed or written by
//! hand: torn, clogged and half-open connections, partitions, crashes, pauses, clocks, disks. A
//! node that was made with [`nodes`](Simulation::nodes) is started again after a crash, with the
//! [`Disk`] that it left behind.
//!
//! A [puppet](Simulation::puppet_dial) is an end of a connection that the test holds in its hands,
//! byte by byte: for peers that break the protocol, or speak an older one. An [`Actor`] is a peer
//! that does so by itself; [`Byzantine`] is one for each of the usual ways.
//!
//! # What is judged
//!
//! After each step: one session per peer, no more sessions than there may be, nothing delivered
//! outside of a session, time that never goes back, deadlines that move on, at most 100,000 things
//! that happen to a node in a millisecond, signals that end, each queue within its
//! limit, a Swarm and a driver that know the same connections, dials that end when they are refused
//! or take too long; now and then, that connections hold no more memory than full queues and one
//! larger frame take; and what [`Judge`]s say. A failure is a panic that names the seed, or is kept by a
//! [`recording`](Simulation::recording) simulation. [`Simulation::converge`] ends all faults and
//! demands that something comes to hold.
//!
//! # What is repeatable
//!
//! The same seed and the same calls give the same run, on every machine and in every build:
//! [`Simulation::audit`] is a hash over all that happened.

mod actor;
mod application;
mod audit;
mod byzantine;
mod clock;
mod disk;
mod fault;
mod judge;
mod lifecycle;
mod link;
mod lone;
mod node;
mod puppet;
mod queue;
mod run;
mod short_queue;
mod socket;
mod sweep;
mod topology;
mod travel;
mod witness;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use actor::Cast;
pub use actor::{Actor, Hands};
pub use application::{Application, Effects};
use audit::Audit;
use bytes::BytesMut;
pub use byzantine::{Byzantine, Misdeed};
pub use clock::UNIX_START;
use clock::{Clock, TrueTime};
pub use disk::{Disk, DiskError};
use fault::Injector;
pub use fault::{Chance, Fault, FaultKind, Partition, Plan, Shape};
use judge::Pace;
pub use judge::{Failure, FailureKind, Judge};
use link::Link;
pub use link::LinkConfig;
pub use lone::Lone;
pub use node::Boot;
use node::{Factory, Node};
use puppet::Puppet;
pub use puppet::{PuppetId, cut_frames, handshake_frame};
use queue::Queue;
use spacetime_core::{
    Address, ConnectionId, Context, DialError, Event, Hash, Limits, NetworkBehaviour, PeerId, Rng, Swarm,
    Time, Transmit,
};
use sweep::FreeLinks;
pub use topology::Topology;
pub use witness::Witness;

/// Takes the lines of a trace.
type Trace = Box<dyn FnMut(Time, String)>;

/// A simulated network of nodes that all run the same tree.
pub struct Simulation<B: NetworkBehaviour> {
    seed: u64,
    now: Time,
    /// The same, for disks.
    true_time: TrueTime,
    rng: Rng,
    config: LinkConfig,
    address_of: fn(usize) -> Address,
    /// Ports that were dialled from.
    dialled_from: u16,
    queue: Queue<B::Command>,
    nodes: Vec<Node<B>>,
    /// Those of actors as long as they last, those of the test for ever.
    puppets: BTreeMap<usize, Puppet>,
    /// Their number, in all.
    puppets_made: usize,
    actors: Vec<Option<Cast>>,
    links: Vec<Link>,
    free_links: FreeLinks,
    places: BTreeMap<Address, Place>,
    injector: Injector,
    /// Nodes that no fault of their own befalls.
    spared: BTreeSet<usize>,
    judges: Vec<Box<dyn Judge<B>>>,
    failure: Option<Failure>,
    is_recording: bool,
    largest_frame_bytes: usize,
    keeps_events: bool,
    audit: Audit,
    trace: Option<Trace>,
    steps: u64,
    checks: u64,
    /// How much happens to others than nodes.
    pace: Pace,
    spare_buffers: Vec<BytesMut>,
    scratch: Transmit,
}

/// Who listens at an address.
#[derive(Clone, Copy, Debug)]
enum Place {
    Node(usize),
    Puppet(usize),
    Actor(usize),
}

impl<B: NetworkBehaviour> Simulation<B> {
    /// An empty network with default links. The same seed and the same calls give the same run.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            now: Time::ZERO,
            true_time: TrueTime::default(),
            rng: Rng::from_number(seed),
            config: LinkConfig::default(),
            address_of: node_address,
            dialled_from: 0,
            queue: Queue::new(),
            nodes: Vec::new(),
            puppets: BTreeMap::new(),
            puppets_made: 0,
            actors: Vec::new(),
            links: Vec::new(),
            free_links: FreeLinks::new(),
            places: BTreeMap::new(),
            injector: Injector::default(),
            spared: BTreeSet::new(),
            judges: Vec::new(),
            failure: None,
            is_recording: false,
            largest_frame_bytes: judge::LARGEST_FRAME_BYTES,
            keeps_events: true,
            audit: Audit::new(),
            trace: None,
            steps: 0,
            checks: 0,
            pace: Pace::default(),
            spare_buffers: Vec::new(),
            scratch: Transmit::new(),
        }
    }

    // Building.

    /// Changes how links behave from now on.
    #[must_use]
    pub fn link(mut self, config: LinkConfig) -> Self {
        self.config = config;
        self
    }

    /// Where nodes that are added from now on are reached, by their index. At places in a memory network
    /// if nothing is said. Those with IP addresses dial from other ports than they listen on, as real
    /// ones do.
    #[must_use]
    pub const fn at(mut self, address_of: fn(usize) -> Address) -> Self {
        self.address_of = address_of;
        self
    }

    /// Adds nodes with default limits; `behaviour` makes each one's tree, whenever it starts.
    #[must_use]
    pub fn nodes(mut self, count: usize, behaviour: impl Fn(&Boot) -> B + 'static) -> Self {
        let factory: Factory<B> = Rc::new(move |boot| (behaviour(boot), None));
        (0..count).for_each(|_| self.add_restartable(Limits::default(), &factory));
        self
    }

    /// Adds nodes with these limits; `start` makes each one's tree and application, whenever it
    /// starts.
    #[must_use]
    pub fn applications<A: Application<B> + 'static>(
        mut self,
        count: usize,
        limits: &Limits,
        start: impl Fn(&Boot) -> (B, A) + 'static,
    ) -> Self {
        let factory: Factory<B> = Rc::new(move |boot| {
            let (behaviour, application) = start(boot);
            (behaviour, Some(Box::new(application)))
        });
        (0..count).for_each(|_| self.add_restartable(limits.clone(), &factory));
        self
    }

    /// Lets nodes dial each other. Dials that cannot be begun are left out.
    #[must_use]
    pub fn connect(mut self, topology: Topology) -> Self {
        let mut rng = self.rng.fork("topology");
        for (one, other) in topology.dials(self.nodes.len(), &mut rng) {
            let _ = self.dial(one, other);
        }
        self
    }

    /// Keeps faults of their own, such as crashes, away from these nodes.
    #[must_use]
    pub fn spare(mut self, nodes: impl IntoIterator<Item = usize>) -> Self {
        self.spared.extend(nodes);
        self
    }

    /// Whether what Swarms say is kept for [`events`](Self::events). It is by default; a long run
    /// should not.
    #[must_use]
    pub const fn keep_events(mut self, keep: bool) -> Self {
        self.keeps_events = keep;
        self
    }

    /// The largest frame that any node sends, for the judgement of queues and memory: one frame on a
    /// connection may go beyond the limit of its queue. 16 MiB if nothing is said.
    #[must_use]
    pub const fn largest_frame_bytes(mut self, bytes: usize) -> Self {
        self.largest_frame_bytes = bytes;
        self
    }

    /// A stream of random numbers for a test's own use. It shifts no other.
    pub fn rng(&self, label: &str) -> Rng {
        self.rng.fork(label)
    }

    /// Takes a line for everything that happens.
    #[must_use]
    pub fn with_trace(mut self, trace: impl FnMut(Time, String) + 'static) -> Self {
        self.trace = Some(Box::new(trace));
        self
    }

    /// Adds one node, which cannot be started again, and returns its index.
    pub fn add_node(&mut self, limits: Limits, behaviour: impl FnOnce(Boot) -> B) -> usize {
        let index = self.add_host(limits, None);
        let tree = behaviour(self.boot(index));
        self.run_process(index, tree, None);
        index
    }

    fn add_restartable(&mut self, limits: Limits, factory: &Factory<B>) {
        let index = self.add_host(limits, Some(Rc::clone(factory)));
        let (tree, application) = factory(&self.boot(index));
        self.run_process(index, tree, application);
    }

    fn add_host(&mut self, limits: Limits, factory: Option<Factory<B>>) -> usize {
        let index = self.nodes.len();
        let rng = self.rng.fork(&format!("node {index}"));
        let address = (self.address_of)(index);
        self.places.insert(address.clone(), Place::Node(index));
        self.nodes.push(Node {
            address,
            peer_id: PeerId(rng.fork("peer id").bytes()),
            limits,
            disk: Disk::new(rng.fork("disk"), self.true_time.clone()),
            clock: Clock::default(),
            factory,
            incarnation: 0,
            epoch: Time::ZERO,
            running: None,
            events: Vec::new(),
            has_power: true,
            upload_free_at: Time::ZERO,
            download_free_at: Time::ZERO,
            reading_paused: false,
            slow_readings: 0,
            slow_read_scheduled: false,
            refusals: 0,
            pauses: 0,
            deferred: VecDeque::new(),
            pace: Pace::default(),
        });
        index
    }

    // Looking.

    /// What time it is.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// How many nodes there are.
    pub const fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node.
    pub const fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Where a node is reached.
    pub fn address(&self, node: usize) -> Address {
        self.nodes[node].address.clone()
    }

    /// Who a node is.
    pub fn peer_id(&self, node: usize) -> PeerId {
        self.nodes[node].peer_id
    }

    /// A node's disk.
    pub fn disk(&self, node: usize) -> &Disk {
        &self.nodes[node].disk
    }

    /// Whether a node runs: it does but for crashes.
    pub fn is_running(&self, node: usize) -> bool {
        self.nodes[node].running.is_some()
    }

    /// The Swarm of a node that runs.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub fn swarm(&self, node: usize) -> &Swarm<Witness<B>> {
        &self.nodes[node].expect_running().swarm
    }

    /// The sessions of a node that lead nowhere: a fault swallows what is sent, or the other end is
    /// gone.
    pub fn dead_sessions(&self, node: usize) -> impl Iterator<Item = ConnectionId> {
        let running = self.nodes[node].running.as_ref();
        let sessions = running.into_iter().flat_map(|it| it.swarm.peers().map(|(id, _)| id));
        sessions.filter(move |id| {
            let attachment = running.and_then(|it| it.attachments.get(*id));
            attachment.is_some_and(|it| self.links[it.link].leads_nowhere(it.side))
        })
    }

    /// What a node's Swarm told its application, and when, in all its lives.
    pub fn events(&self, node: usize) -> &[(Time, Event<B::Event>)] {
        &self.nodes[node].events
    }

    /// A hash over everything that happened so far. Equal runs have equal hashes.
    pub fn audit(&self) -> Hash {
        self.audit.finish()
    }

    /// How many things have happened.
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    // Acting.

    /// What a node's application does with the events of the tree, until the node is started again:
    /// the commands that it answers with reach the tree a millisecond later.
    pub fn set_application(
        &mut self,
        node: usize,
        mut application: impl FnMut(&B::Event) -> Vec<B::Command> + 'static,
    ) {
        let adapter = move |event: &Event<B::Event>, effects: &mut Effects<B::Command>| {
            if let Event::Behaviour(event) = event {
                application(event).into_iter().for_each(|command| effects.command(command));
            }
        };
        if let Some(running) = &mut self.nodes[node].running {
            running.application = Some(Box::new(adapter));
        }
    }

    /// Does something with the tree of a node that runs.
    ///
    /// # Panics
    ///
    /// If it does not run.
    pub fn act<R>(&mut self, node: usize, f: impl FnOnce(&mut B, &mut Context<'_, B::Event>) -> R) -> R {
        self.act_as(node, "act", f)
    }

    /// The same, under a name that tells it from other acts in the audit hash and the trace.
    ///
    /// # Panics
    ///
    /// If the node does not run.
    pub fn act_as<R>(
        &mut self,
        node: usize,
        label: &str,
        f: impl FnOnce(&mut B, &mut Context<'_, B::Event>) -> R,
    ) -> R {
        self.note_act(node, label);
        let now = self.clock(node);
        let running = self.nodes[node].running.as_mut().expect("the node is running");
        let result = running.swarm.act(now, |witness, cx| f(witness.tree_mut(), cx));
        self.drive(node);
        result
    }

    /// Gives a node's tree a command, if it runs.
    pub fn command(&mut self, node: usize, command: B::Command) {
        let incarnation = self.nodes[node].incarnation;
        self.give_command(node, incarnation, command);
    }

    /// Lets one node dial another. The id of the connection, or why it was not even tried.
    pub fn dial(&mut self, node: usize, to: usize) -> Result<ConnectionId, DialError> {
        let address = self.address(to);
        self.act_as(node, &format!("dial {address}"), |_, cx| cx.dial(address))
    }

    /// Stops or resumes a node's reading from its sockets.
    pub fn set_reading_paused(&mut self, node: usize, paused: bool) {
        self.note_act(node, if paused { "pause reading" } else { "resume reading" });
        self.nodes[node].reading_paused = paused;
        if !paused {
            self.read_all(node);
        }
    }

    fn trace(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace(self.now, line());
        }
    }
}

/// Where the node with this index is reached.
pub fn node_address(index: usize) -> Address {
    Address::memory(index as u64)
}

impl<B: NetworkBehaviour> std::fmt::Debug for Simulation<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation")
            .field("now", &self.now)
            .field("nodes", &self.nodes.len())
            .finish_non_exhaustive()
    }
}
