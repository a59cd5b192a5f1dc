//! The production node, to which anything happens.

use std::net::SocketAddr;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use spacetime_core::chain::SpacetimeRules;
use spacetime_core::wire::{self, Announcement, Exclude, Extension, Handshake, Headers, Priority};
use spacetime_core::{
    Address, CloseReason, ConnectionId, ConnectionMap, DialError, Event, Limits, Offence, PeerId, QueueLimit,
    Rng,
};
use spacetime_handshake::Legacy;
use spacetime_node::{Config, Node, NodeCommand, NodeEvent, Start};
use spacetime_sync::Command;

use super::application::{Application, Deed};
use super::chain::{self, HEIGHT, fork, real};
use super::driver::Driver;
use super::frames::raw_frame;
use super::operations::operations;
use super::peer::{Answer, Peer, encode};

/// Peers there are; the first is the node itself.
const PEERS: u8 = 6;

/// A node, and what happens to it: [`Setting`], then operations.
pub fn swarm(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(setting) = Setting::arbitrary(&mut input) else { return };
    let mut script = Script::new(&setting);
    for operation in operations(&mut input) {
        script.perform(operation);
        script.settle();
    }
    script.driver.shut_down();
}

#[derive(Arbitrary, Debug)]
struct Setting {
    serves_legacy: bool,
    has_small_limits: bool,
    height: u8,
    /// Kept connected.
    addresses: [Option<u8>; 2],
}

#[derive(Arbitrary, Debug)]
enum Operation<'a> {
    Accept {
        peer: u8,
    },
    Open {
        which: u8,
        proven: Option<u8>,
    },
    FailDial {
        which: u8,
    },
    /// A peer connects and says who it is.
    Meet {
        peer: u8,
        is_proven: bool,
        hello: Hello,
    },
    Say {
        which: u8,
        said: Said<'a>,
    },
    /// Bytes that need not be frames.
    Bytes {
        which: u8,
        bytes: &'a [u8],
    },
    /// Frames that were on their way when the connection ended.
    Late {
        which: u8,
        said: Said<'a>,
    },
    /// A question of the node's is answered.
    Answer {
        which: u8,
        question: u8,
        answer: Answer,
    },
    End {
        which: u8,
    },
    Lose {
        which: u8,
        how: Loss,
    },
    Keep {
        peer: u8,
        pinned: Option<u8>,
    },
    LetGo {
        peer: u8,
    },
    Start,
    Stop,
    /// The node writes.
    Transmit {
        which: u8,
        max_bytes: u16,
    },
    /// An effect is carried out; sync is told at once, or later.
    CarryOut {
        which: u8,
        deed: Deed,
        tells: bool,
    },
    Tell,
    /// The application's chain goes back by itself.
    GoBack {
        height: u8,
    },
    Pass {
        milliseconds: u16,
    },
    Jump {
        seconds: u8,
    },
    /// The driver's clock is not monotonic.
    TurnClockBack {
        seconds: u8,
    },
    /// The wall clock is set.
    SetClock {
        unix_seconds: i64,
    },
    ShutDown,
}

#[derive(Arbitrary, Debug)]
enum Loss {
    Transport,
    Requested,
    Violation,
}

/// What a peer says of itself.
#[derive(Arbitrary, Debug)]
struct Hello {
    name: u8,
    version: i8,
    announces: Option<Announced>,
}

#[derive(Arbitrary, Debug)]
struct Announced {
    is_of_this_chain: bool,
    versions: (u8, u8),
    listens: bool,
    best_height: Option<u8>,
}

/// What a peer sends.
#[derive(Arbitrary, Debug)]
enum Said<'a> {
    Hello(Hello),
    Ack,
    Heartbeat,
    Ping(i64),
    Pong(i64),
    /// One of the node's own last frames.
    Echo(u8),
    GetPeers {
        max: u16,
        excludes: bool,
    },
    Peers {
        count: u8,
    },
    GetHeaders {
        height: u8,
        stop: Option<u8>,
        max: u16,
    },
    Headers {
        height: u8,
        count: u8,
    },
    GetBlock {
        height: u8,
    },
    Block {
        height: u8,
        is_new: bool,
        is_fork: bool,
    },
    /// The same question many times.
    Flood {
        height: u8,
        times: u8,
    },
    Transaction,
    PoolRequest,
    Proof,
    Accepted,
    Farewell(u8),
    Raw {
        type_byte: u8,
        payload: &'a [u8],
    },
}

fn peer_id(number: u8) -> PeerId {
    PeerId([number % PEERS; 32])
}

/// Where a peer listens.
fn address(number: u8) -> Address {
    Address::socket(SocketAddr::from(([10, 0, 0, number % PEERS], 8333)))
}

fn limits(are_small: bool) -> Limits {
    if !are_small {
        return Limits::default();
    }
    let mut limits = Limits::default()
        .with_max_connections(4)
        .with_max_opening(3)
        .with_max_requests(3)
        .with_write_timeout(Duration::from_secs(3));
    for priority in Priority::ALL {
        limits = limits.with_queue(priority, QueueLimit { max_frames: 4, max_bytes: 2048 });
    }
    limits
}

struct Script {
    driver: Driver<Node<SpacetimeRules>>,
    application: Application,
    peers: ConnectionMap<Peer>,
    /// All connections there ever were, the oldest first.
    connections: Vec<ConnectionId>,
}

impl Script {
    fn new(setting: &Setting) -> Self {
        let application = Application::new(usize::from(setting.height) % (HEIGHT + 1));
        let legacy = if setting.serves_legacy { Legacy::Serve } else { Legacy::Refuse };
        let handshake = spacetime_handshake::Config::new(chain::chain_id())
            .with_listen_port(Some(8333))
            .with_legacy(legacy);
        let sync = spacetime_sync::Config::default()
            .with_max_peers(3)
            .with_parallel_downloads(2)
            .with_max_headers_per_request(7)
            .with_max_in_flight_per_peer(3)
            .with_max_window_blocks(8)
            .with_max_window_bytes(3000)
            .with_progress_interval(Duration::from_secs(3600));
        let config = Config::new(chain::chain_id()).with_handshake(handshake).with_sync(sync).with_peers(
            spacetime_peers::Config::default()
                .with_kept(setting.addresses.iter().flatten().map(|number| address(*number))),
        );
        let start = Start {
            recent: application.recent(),
            peers: spacetime_peers::Stored::default(),
            unix_seconds: 1_700_000_000,
        };
        let node = Node::new(config, chain::rules().clone(), start, &Rng::from_number(1))
            .expect("the configuration is valid");
        let mut script = Self {
            driver: Driver::new(node, peer_id(0), limits(setting.has_small_limits)),
            application,
            peers: ConnectionMap::new(),
            connections: Vec::new(),
        };
        script.driver.pass(Duration::ZERO);
        script.settle();
        script
    }

    /// A connection, the last ones first.
    fn which(&self, back: u8) -> Option<ConnectionId> {
        let last = self.connections.len().checked_sub(1)?;
        self.connections.get(last - usize::from(back) % self.connections.len()).copied()
    }

    fn perform(&mut self, operation: Operation<'_>) {
        match operation {
            Operation::Accept { peer } => {
                self.accept(peer);
            }
            Operation::Open { which, proven } => {
                if let Some(connection) = self.which(which) {
                    self.driver.open(connection, proven.map(peer_id));
                }
            }
            Operation::FailDial { which } => {
                if let Some(connection) = self.which(which) {
                    self.driver.fail_dial(connection, DialError::Transport("refused".into()));
                }
            }
            Operation::Meet { peer, is_proven, hello } => {
                if let Some(connection) = self.accept(peer) {
                    self.driver.open(connection, is_proven.then_some(peer_id(peer)));
                    self.driver.receive(connection, &hello.encode());
                }
            }
            Operation::Say { which, said } => {
                if let Some(connection) = self.which(which) {
                    let bytes = self.bytes_of(&said);
                    self.driver.receive(connection, &bytes);
                }
            }
            Operation::Bytes { which, bytes } => {
                if let Some(connection) = self.which(which) {
                    self.driver.receive(connection, bytes);
                }
            }
            Operation::Late { which, said } => {
                if let Some(connection) = self.which(which) {
                    let bytes = self.bytes_of(&said);
                    self.driver.receive_late(connection, &bytes);
                }
            }
            Operation::Answer { which, question, answer } => {
                if let Some(connection) = self.which(which)
                    && let Some(peer) = self.peers.get_mut(connection)
                    && let Some(bytes) = peer.answer(question.into(), answer)
                {
                    self.driver.receive(connection, &bytes);
                }
            }
            Operation::End { which } => {
                if let Some(connection) = self.which(which) {
                    self.driver.end(connection);
                }
            }
            Operation::Lose { which, how } => {
                if let Some(connection) = self.which(which) {
                    self.driver.lose(connection, how.reason());
                }
            }
            Operation::Transmit { which, max_bytes } => {
                if let Some(connection) = self.which(which) {
                    let bytes = self.driver.take(connection, max_bytes.into());
                    if let Some(peer) = self.peers.get_mut(connection) {
                        peer.hear(&bytes);
                    }
                }
            }
            Operation::Keep { peer, pinned } => {
                let address = match pinned {
                    Some(id) => address(peer).pinned(peer_id(id)),
                    None => address(peer),
                };
                self.driver.command(NodeCommand::Peers(spacetime_peers::Command::Add(address)));
            }
            Operation::LetGo { peer } => {
                self.driver.command(NodeCommand::Peers(spacetime_peers::Command::Remove(address(peer))));
            }
            Operation::Start => self.driver.command(NodeCommand::Sync(Command::Start)),
            Operation::Stop => self.driver.command(NodeCommand::Sync(Command::Stop)),
            Operation::CarryOut { which, deed, tells } => {
                self.application.carry_out(which.into(), deed);
                while tells && self.tell() {}
            }
            Operation::Tell => {
                self.tell();
            }
            Operation::GoBack { height } => self.application.go_back(height.into()),
            Operation::Pass { milliseconds } => self.driver.pass(Duration::from_millis(milliseconds.into())),
            Operation::Jump { seconds } => self.driver.jump(Duration::from_secs(seconds.into())),
            Operation::TurnClockBack { seconds } => self.driver.go_back(Duration::from_secs(seconds.into())),
            Operation::SetClock { unix_seconds } => self.driver.unix_seconds = unix_seconds,
            Operation::ShutDown => self.driver.shut_down(),
        }
    }

    fn accept(&mut self, peer: u8) -> Option<ConnectionId> {
        let port = 40_000 + self.connections.len() as u16;
        let from = Address::socket(SocketAddr::from(([10, 0, 0, peer % PEERS], port)));
        let connection = self.driver.accept(from)?;
        self.connections.push(connection);
        let chain = if peer.is_multiple_of(2) { fork() } else { real() };
        self.peers.insert(connection, Peer::new(chain, HEIGHT - usize::from(peer % 3)));
        Some(connection)
    }

    fn tell(&mut self) -> bool {
        let command = self.application.tell();
        command.map(|command| self.driver.command(NodeCommand::Sync(command))).is_some()
    }

    /// Takes over what the node has dialled and what it wants done.
    fn settle(&mut self) {
        for (connection, _) in self.driver.connecting() {
            if !self.connections.contains(connection) {
                self.connections.push(*connection);
                self.peers.insert(*connection, Peer::new(real(), HEIGHT));
            }
        }
        while let Some(event) = self.driver.events.pop_front() {
            if let Event::Behaviour(NodeEvent::Sync(effect)) = event {
                self.application.want(effect);
            }
        }
    }

    fn bytes_of(&self, said: &Said<'_>) -> Vec<u8> {
        let height = |height: u8| usize::from(height) % (HEIGHT + 1);
        match *said {
            Said::Hello(ref hello) => hello.encode(),
            Said::Ack => encode(&wire::HandshakeAck),
            Said::Heartbeat => encode(&wire::Heartbeat),
            Said::Ping(nonce) => encode(&wire::Ping { nonce, timestamp: nonce }),
            Said::Pong(nonce) => encode(&wire::Pong { nonce, timestamp: nonce }),
            Said::Echo(back) => {
                let echoes = &self.driver.echoes;
                echoes.get(usize::from(back) % echoes.len().max(1)).cloned().unwrap_or_default()
            }
            Said::GetPeers { max, excludes } => {
                let texts = ["10.0.0.1:8333", "2001:db8::1:8333", "nonsense"];
                let exclude = if excludes { Exclude::new(&texts) } else { Exclude::NONE };
                encode(&wire::GetPeers { max_count: i32::from(max % 1000) + 1, exclude })
            }
            Said::Peers { count } => {
                let addresses: Vec<_> =
                    (0..count).filter_map(|number| address(number).socket_addr()).collect();
                encode(&wire::Peers::new(&addresses))
            }
            Said::GetHeaders { height: of, stop, max } => encode(&wire::GetHeaders {
                locator: real().hash(height(of)),
                stop: stop.map(|of| real().hash(height(of))),
                max_headers: i32::from(max) + 1,
            }),
            Said::Headers { height: from, count } => {
                let headers: Vec<_> =
                    (height(from)..=HEIGHT).take(count.into()).map(|of| real().header(of)).collect();
                encode(&Headers::new(&headers))
            }
            Said::GetBlock { height: of } => encode(&wire::GetBlock { hash: real().hash(height(of)) }),
            Said::Block { height: of, is_new, is_fork } => {
                let bytes = if is_fork { fork().block(height(of)) } else { real().block(height(of)) };
                if is_new { encode(&wire::NewBlock { bytes }) } else { encode(&wire::Block { bytes }) }
            }
            Said::Flood { height: of, times } => {
                encode(&wire::GetBlock { hash: real().hash(height(of)) }).repeat(times.into())
            }
            Said::Transaction => encode(&wire::Transaction { bytes: &[1; 155] }),
            Said::PoolRequest => encode(&wire::TxPoolRequest { max_transactions: 1, include_data: true }),
            Said::Proof => encode(&wire::ProofSubmission { block_height: 1, miner_id: [2; 33], proof: &[1] }),
            Said::Accepted => encode(&wire::BlockAccepted { hash: real().hash(1), height: 1 }),
            Said::Farewell(which) => {
                let texts = ["shutdown: the node is stopping", "wrong-chain", "full", "\u{1b}[2J", ""];
                encode(&wire::Error { text: texts[usize::from(which) % texts.len()] })
            }
            Said::Raw { type_byte, payload } => raw_frame(type_byte, payload),
        }
    }
}

impl Loss {
    fn reason(&self) -> CloseReason {
        match self {
            Self::Transport => CloseReason::Transport("reset".into()),
            Self::Requested => CloseReason::Requested,
            Self::Violation => CloseReason::Violation(Offence::Other("the transport's own rules")),
        }
    }
}

impl Hello {
    fn encode(&self) -> Vec<u8> {
        let extension = self.announces.as_ref().map(|announced| {
            let (low, more) = announced.versions;
            Announcement {
                protocol_versions: (u16::from(low), u16::from(low) + u16::from(more)),
                chain_id: if announced.is_of_this_chain { chain::chain_id() } else { real().hash(1) },
                listen_port: announced.listens.then_some(8333),
                capabilities: Vec::new(),
                nonce: u64::from(self.name),
                best_block: announced.best_height.map(|height| (height.into(), real().hash(HEIGHT))),
            }
            .to_bytes()
            .expect("a valid announcement")
        });
        let extension = extension.as_deref().map(|bytes| Extension::new(bytes).expect("a valid extension"));
        encode(&Handshake {
            version: self.version.into(),
            timestamp: i64::from(self.version) << 56,
            node_id: &peer_id(self.name).to_string(),
            user_agent: "fuzz",
            extension,
        })
    }
}
