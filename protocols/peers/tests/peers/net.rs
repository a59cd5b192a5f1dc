//! One node in a made-up internet: which addresses answer a dial, and as whom, is a table; who
//! connects is up to the test.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use spacetime_core::wire::Announcement;
use spacetime_core::{
    Action, Claims, Context, DialError, Direction, Event, Input, Limits, Now, PeerInfo, Rate, Swarm,
    Violation,
};
use spacetime_peers::{BucketKey, State};

use super::*;

/// Lets everybody in, with the port that the table says, and hears what may be told to others.
#[derive(Debug, Default)]
struct Gate {
    listen_ports: BTreeMap<Address, u16>,
    shared: Vec<SocketAddr>,
}

impl NetworkBehaviour for Gate {
    const CLAIMS: Claims = Claims::NONE.with_gate();
    type Event = Infallible;
    type Command = Infallible;

    fn on_input(&mut self, cx: &mut Context<'_, Infallible>, input: &Input<'_>) -> Result<(), Violation> {
        if let Input::Signal(Signal::AddressesToShare(addresses)) = input {
            self.shared = addresses.to_vec();
        }
        if let Input::Opened { connection } = *input {
            let Some(opening) = cx.opening(connection) else { return Ok(()) };
            let listen_port = self.listen_ports.get(opening.address).copied();
            let announcement = listen_port.map(|port| {
                Box::new(Announcement {
                    protocol_versions: (1, 1),
                    chain_id: CHAIN,
                    listen_port: Some(port),
                    capabilities: Vec::new(),
                    nonce: 1,
                    best_block: None,
                })
            });
            cx.establish(connection, PeerInfo { announcement, ..PeerInfo::default() });
        }
        Ok(())
    }

    fn on_command(&mut self, _: &mut Context<'_, Infallible>, never: Infallible) {
        match never {}
    }
}

#[derive(NetworkBehaviour, Debug)]
struct Tree {
    gate: Gate,
    peers: Peers,
}

/// What answers a dial.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// A peer, that has proven to be this one, or nothing.
    Peer(Option<PeerId>),
    /// A peer that says that it is full.
    Full,
    /// Nothing at all.
    Silence,
}

/// The node, what surrounds it, and what it has stored.
pub(crate) struct Net {
    swarm: Swarm<Tree>,
    now: Time,
    /// What the wall clock shows at the beginning.
    unix_seconds: i64,
    /// Who answers; dials to all other addresses are refused.
    pub(crate) answers: BTreeMap<SocketAddr, Answer>,
    /// What was dialled, when.
    pub(crate) dials: Vec<(Time, SocketAddr)>,
    /// The seeds' names that were to be resolved, when.
    pub(crate) resolves: Vec<(Time, Address)>,
    /// Why sessions ended, and newcomers were not let in.
    pub(crate) closed: BTreeMap<ConnectionId, CloseReason>,
    /// What is on the disk.
    pub(crate) disk: Stored,
}

pub(crate) const UNIX_SECONDS: i64 = 1_800_000_000;

impl Net {
    pub(crate) fn new(config: Config) -> Self {
        Self::restart(config, Stored::default(), UNIX_SECONDS)
    }

    /// A node that finds this on its disk.
    pub(crate) fn restart(config: Config, disk: Stored, unix_seconds: i64) -> Self {
        // How often somebody may connect is the Swarm's affair.
        let often = Rate { capacity: u32::MAX, interval: Duration::from_nanos(1) };
        let limits = Limits::default().with_accept_rate_per_host(often).with_accept_rate_per_group(often);
        Self::with_limits(config, disk, unix_seconds, limits)
    }

    /// A node with these limits.
    pub(crate) fn with_limits(config: Config, disk: Stored, unix_seconds: i64, limits: Limits) -> Self {
        let rng = Rng::from_number(7);
        let peers = Peers::new(config, disk.clone(), unix_seconds, &rng).unwrap();
        let tree = Tree { gate: Gate::default(), peers };
        let limits = limits.with_max_connections(200);
        let mut net = Self {
            swarm: Swarm::new(tree, PeerId([0; 32]), limits).unwrap(),
            now: Time::ZERO,
            unix_seconds,
            answers: BTreeMap::new(),
            dials: Vec::new(),
            resolves: Vec::new(),
            closed: BTreeMap::new(),
            disk,
        };
        net.collect();
        net
    }

    /// Crashes and starts again, after this time, with what is on the disk.
    pub(crate) fn crash(&mut self, config: Config, after: Duration) {
        let unix_seconds = self.clock().unix_seconds + after.as_secs() as i64;
        let answers = std::mem::take(&mut self.answers);
        *self = Self::restart(config, self.disk.clone(), unix_seconds);
        self.answers = answers;
    }

    pub(crate) fn clock(&self) -> Now {
        Now::new(self.now, self.unix_seconds + self.now.since(Time::ZERO).as_secs() as i64)
    }

    pub(crate) fn peers(&self) -> &Peers {
        &self.swarm.behaviour().peers
    }

    /// What may be told to others.
    pub(crate) fn shared(&self) -> &[SocketAddr] {
        &self.swarm.behaviour().gate.shared
    }

    /// So many addresses answer, each in a group of its own.
    pub(crate) fn add_answers(&mut self, groups: std::ops::Range<u32>) {
        self.answers.extend(groups.map(|it| (apart(it), Answer::Peer(None))));
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        let until = self.now + duration;
        for _ in 0..1_000_000 {
            self.collect();
            let Some(next) = self.swarm.deadline().filter(|at| *at <= until) else {
                self.now = until;
                return;
            };
            self.now = next.max(self.now);
            self.swarm.handle_deadline(self.clock());
        }
        panic!("deadlines without end");
    }

    /// When the node wants to be woken.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.swarm.deadline()
    }

    fn collect(&mut self) {
        while let Some(action) = self.swarm.poll_action() {
            if let Action::Dial { connection, address } = action {
                let socket = address.socket_addr().unwrap();
                self.dials.push((self.now, socket));
                let now = self.clock();
                match self.answers.get(&socket) {
                    Some(Answer::Peer(proven)) => self.swarm.handle_opened(now, connection, *proven),
                    Some(Answer::Full) => {
                        let error = DialError::Closed(CloseReason::Remote(Box::new(CloseReason::Full)));
                        self.swarm.handle_dial_failed(now, connection, error);
                    }
                    Some(Answer::Silence) => {}
                    None => {
                        let error = DialError::Transport("connection refused".into());
                        self.swarm.handle_dial_failed(now, connection, error);
                    }
                }
            }
        }
        while let Some(event) = self.swarm.poll_event() {
            match event {
                Event::Behaviour(TreeEvent::Peers(event)) => match event {
                    spacetime_peers::Event::Resolve(name) => self.resolves.push((self.now, name)),
                    spacetime_peers::Event::StoreBook(records) => self.disk.records = records,
                    spacetime_peers::Event::StoreState(state) => self.disk.state = Some(*state),
                    _ => {}
                },
                Event::Closed { connection, reason, .. } | Event::Refused { connection, reason } => {
                    self.closed.insert(connection, reason);
                }
                _ => {}
            }
        }
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.swarm.handle_command(self.clock(), TreeCommand::Peers(command));
        self.collect();
    }

    fn act(&mut self, f: impl FnOnce(&mut Context<'_, TreeEvent>)) {
        self.swarm.act(self.clock(), |_, cx| f(cx));
        self.collect();
    }

    /// Somebody connects, who proves to be this one or nothing, and says on which port it listens or
    /// nothing; what keeps it out, if anything does.
    pub(crate) fn connect(
        &mut self,
        from: &str,
        proven: Option<PeerId>,
        listen_port: Option<u16>,
    ) -> Result<ConnectionId, CloseReason> {
        let address: Address = from.parse().unwrap();
        self.swarm.act(self.clock(), |tree, _| {
            tree.gate.listen_ports.remove(&address);
            tree.gate.listen_ports.extend(listen_port.map(|port| (address.clone(), port)));
        });
        let connection = self.swarm.handle_accept(self.clock(), address)?;
        self.swarm.handle_opened(self.clock(), connection, proven);
        self.collect();
        self.closed.get(&connection).map_or(Ok(connection), |reason| Err(reason.clone()))
    }

    /// The peer ends the connection.
    pub(crate) fn end(&mut self, connection: ConnectionId, reason: CloseReason) {
        self.swarm.handle_closed(self.clock(), connection, reason);
        self.collect();
    }

    pub(crate) fn report(&mut self, connection: ConnectionId, offence: Offence) {
        self.act(|cx| cx.report(connection, offence));
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        self.act(|cx| cx.signal(signal));
    }

    pub(crate) fn tell(&mut self, from: ConnectionId, addresses: &[SocketAddr]) {
        self.signal(Signal::AddressesLearned { from, addresses: addresses.into() });
    }

    pub(crate) fn shut_down(&mut self) {
        self.swarm.shut_down(self.clock());
        self.collect();
    }

    pub(crate) fn is_open(&self, connection: ConnectionId) -> bool {
        self.swarm.peer(connection).is_some()
    }

    /// All sessions.
    pub(crate) fn open_connections(&self) -> Vec<ConnectionId> {
        self.swarm.peers().map(|(connection, _)| connection).collect()
    }

    /// The sessions that this node opened, by address.
    pub(crate) fn outbound(&self) -> BTreeMap<SocketAddr, ConnectionId> {
        let peers = self.swarm.peers().filter(|(_, it)| it.direction == Direction::Outbound);
        peers.map(|(connection, it)| (it.address.socket_addr().unwrap(), connection)).collect()
    }

    /// The sessions for this purpose.
    pub(crate) fn with_role(&self, role: Role) -> BTreeSet<SocketAddr> {
        let all = self.outbound().into_iter();
        all.filter(|(_, connection)| self.peers().role(*connection) == Some(role)).map(|it| it.0).collect()
    }

    /// Dials and sessions.
    pub(crate) fn connections(&self) -> usize {
        self.swarm.connections()
    }

    pub(crate) fn times_dialled(&self, address: SocketAddr) -> usize {
        self.dials.iter().filter(|(_, it)| *it == address).count()
    }
}

/// What is on the disk of a node that knows these addresses, and has reached the first so many.
pub(crate) fn disk(addresses: &[SocketAddr], reached: usize, anchors: &[SocketAddr]) -> Stored {
    let mut rng = Rng::from_number(1);
    let key = BucketKey::random(&mut rng);
    let mut book =
        spacetime_peers::AddressBook::new(spacetime_peers::BookConfig::default(), key.clone(), &rng);
    let now = Now::new(Time::ZERO, UNIX_SECONDS - 3600);
    for (number, address) in addresses.iter().enumerate() {
        book.add(*address, spacetime_peers::book::Source::Configured, now).unwrap();
        if number < reached {
            book.record_success(*address, None, now);
        }
    }
    let state = State {
        bucket_key: key,
        anchors: anchors.to_vec(),
        bans: Vec::new(),
        trusted: Vec::new(),
        standings: Vec::new(),
    };
    Stored::new(book.records().collect(), Some(state))
}
