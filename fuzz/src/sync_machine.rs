//! Sync by itself, among peers of all kinds: what is applied is good, and an honest peer is enough to get
//! all of the heaviest chain, whatever happened before.

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use spacetime_core::chain::SpacetimeRules;
use spacetime_core::wire::{self, Announcement};
use spacetime_core::{
    Address, Claims, ConnectionId, ConnectionMap, Context, Direction, Endpoint, Event, Input, Limits,
    NetworkBehaviour, PeerId, PeerInfo, Rng, Signal, Violation,
};
use spacetime_sync::{Command, Config, State, Sync};

use super::application::{Application, Deed};
use super::chain::{self, HEIGHT, fork, heavy, real};
use super::driver::Driver;
use super::operations::operations;
use super::peer::{Answer, Peer, encode};

/// Steps in which an honest peer must have given all that is missing.
const MAX_STEPS: usize = 1000;

/// Headers that may wait for their blocks.
const MAX_WAITING_HEADERS: u64 = 6000;

/// [`Setting`], then operations.
pub fn sync_machine(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(setting) = Setting::arbitrary(&mut input) else { return };
    let mut script = Script::new(&setting);
    for operation in operations(&mut input) {
        script.perform(&operation);
        script.settle();
    }
    script.heal();
}

#[derive(Arbitrary, Debug)]
struct Setting {
    height: u8,
    max_peers: u8,
    parallel_downloads: u8,
    max_headers: u8,
    max_in_flight: u8,
    max_window_blocks: u8,
    max_window_bytes: u16,
}

#[derive(Arbitrary, Debug)]
enum Operation {
    Connect(Stranger),
    Answer {
        which: u8,
        question: u8,
        answer: Answer,
    },
    /// All that a peer was asked is answered as it should be.
    AnswerAll {
        which: u8,
    },
    /// The peer asks.
    GetHeaders {
        which: u8,
        height: u8,
        stop: Option<u8>,
        max: u16,
    },
    GetBlock {
        which: u8,
        height: u8,
    },
    /// The peer has a block.
    Announce {
        which: u8,
        height: u8,
    },
    /// The node does not get rid of what it sends to the peer, or does so again.
    Stall {
        which: u8,
    },
    End {
        which: u8,
    },
    CarryOut {
        which: u8,
        deed: Deed,
        tells: bool,
    },
    Tell,
    GoBack {
        height: u8,
    },
    Start,
    Stop,
    Pass {
        milliseconds: u16,
    },
    Jump {
        seconds: u8,
    },
}

/// A peer, and what it says of itself.
#[derive(Clone, Copy, Arbitrary, Debug)]
struct Stranger {
    is_inbound: bool,
    /// The height that it says it has; a version-1 node says nothing.
    claims: Option<u8>,
    height: u8,
    chain: Which,
}

/// Which chain a peer has.
#[derive(Clone, Copy, Debug)]
enum Which {
    Real,
    Fork,
    Heavy,
}

impl<'a> Arbitrary<'a> for Which {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        // By single bits, as inputs are that were found when there were two.
        let byte = u8::arbitrary(input)?;
        Ok(if byte & 1 != 0 {
            Self::Fork
        } else if byte & 2 != 0 {
            Self::Heavy
        } else {
            Self::Real
        })
    }
}

/// Lets everybody in. What a peer says of itself is in the number of its address.
#[derive(Debug)]
struct Gate;

impl Gate {
    fn address(number: u64, claims: Option<u8>) -> Address {
        Address::memory(number << 16 | claims.map_or(0, |height| 0x100 | u64::from(height)))
    }

    fn info(address: &Address) -> PeerInfo {
        match address.endpoint() {
            Endpoint::Memory(number) if number & 0x100 != 0 => {
                let announcement = Announcement {
                    protocol_versions: (1, 1),
                    chain_id: chain::chain_id(),
                    listen_port: None,
                    capabilities: Vec::new(),
                    nonce: *number,
                    best_block: Some((number & 0xff, real().hash(HEIGHT))),
                };
                PeerInfo { announcement: Some(announcement.into()), ..PeerInfo::default() }
            }
            _ => PeerInfo::version_1(),
        }
    }
}

impl NetworkBehaviour for Gate {
    const CLAIMS: Claims = Claims::NONE.with_gate();
    type Event = std::convert::Infallible;
    type Command = std::convert::Infallible;

    fn on_input(&mut self, cx: &mut Context<'_, Self::Event>, input: &Input<'_>) -> Result<(), Violation> {
        if let Input::Opened { connection } = *input
            && let Some(info) = cx.opening(connection).map(|opening| Self::info(opening.address))
        {
            cx.establish(connection, info);
        }
        Ok(())
    }

    fn on_command(&mut self, _: &mut Context<'_, Self::Event>, command: Self::Command) {
        match command {}
    }
}

#[derive(NetworkBehaviour, Debug)]
struct Tree {
    gate: Gate,
    sync: Sync<SpacetimeRules>,
}

/// The other end of a connection.
#[derive(Debug)]
struct End {
    peer: Peer,
    is_stalled: bool,
}

struct Script {
    driver: Driver<Tree>,
    application: Application,
    ends: ConnectionMap<End>,
    connections: Vec<ConnectionId>,
    /// Blocks that were downloaded and applied.
    numbers: (u64, u64),
}

impl Script {
    fn new(setting: &Setting) -> Self {
        let application = Application::new(usize::from(setting.height) % (HEIGHT + 1));
        let within = |number: u8, max: usize| usize::from(number) % max + 1;
        let config = Config::default()
            .with_max_peers(within(setting.max_peers, 4))
            .with_parallel_downloads(within(setting.parallel_downloads, 3))
            .with_max_headers_per_request(within(setting.max_headers, 2 * HEIGHT))
            .with_max_in_flight_per_peer(within(setting.max_in_flight, 4))
            .with_max_window_blocks(within(setting.max_window_blocks, HEIGHT))
            .with_max_window_bytes(usize::from(setting.max_window_bytes) + 1)
            // What is waited for shall not be that.
            .with_progress_interval(Duration::from_secs(3600));
        let rng = Rng::from_number(1);
        let sync =
            Sync::new(config, chain::rules().clone(), application.recent(), &rng).expect("it is valid");
        Self {
            driver: Driver::new(Tree { gate: Gate, sync }, PeerId([1; 32]), Limits::default()),
            application,
            ends: ConnectionMap::new(),
            connections: Vec::new(),
            numbers: (0, 0),
        }
    }

    /// A connection, the last ones first.
    fn which(&self, back: u8) -> Option<ConnectionId> {
        let last = self.connections.len().checked_sub(1)?;
        self.connections.get(last - usize::from(back) % self.connections.len()).copied()
    }

    fn perform(&mut self, operation: &Operation) {
        let height = |height: u8| usize::from(height) % (HEIGHT + 1);
        match *operation {
            Operation::Connect(stranger) => {
                self.connect(stranger);
            }
            Operation::Answer { which, question, answer } => {
                if let Some(connection) = self.which(which) {
                    self.answer(connection, question.into(), answer);
                }
            }
            Operation::AnswerAll { which } => {
                if let Some(connection) = self.which(which) {
                    self.answer_all(connection);
                }
            }
            Operation::GetHeaders { which, height: of, stop, max } => {
                let locator = real().hash(height(of));
                let stop = stop.map(|of| real().hash(height(of)));
                self.say(
                    which,
                    &encode(&wire::GetHeaders { locator, stop, max_headers: i32::from(max) + 1 }),
                );
            }
            Operation::GetBlock { which, height: of } => {
                self.say(which, &encode(&wire::GetBlock { hash: real().hash(height(of)) }));
            }
            Operation::Announce { which, height: of } => {
                if let Some(from) = self.which(which) {
                    let hash = real().hash(height(of));
                    self.driver.act(|_, cx| cx.signal(Signal::BlockAnnounced { from, hash }));
                }
            }
            Operation::Stall { which } => {
                if let Some(end) = self.which(which).and_then(|connection| self.ends.get_mut(connection)) {
                    end.is_stalled = !end.is_stalled;
                }
            }
            Operation::End { which } => {
                if let Some(connection) = self.which(which) {
                    self.driver.end(connection);
                }
            }
            Operation::CarryOut { which, deed, tells } => {
                self.application.carry_out(which.into(), deed);
                while tells && self.tell() {}
            }
            Operation::Tell => {
                self.tell();
            }
            Operation::GoBack { height } => self.application.go_back(height.into()),
            Operation::Start => self.driver.command(TreeCommand::Sync(Command::Start)),
            Operation::Stop => self.driver.command(TreeCommand::Sync(Command::Stop)),
            Operation::Pass { milliseconds } => self.driver.pass(Duration::from_millis(milliseconds.into())),
            Operation::Jump { seconds } => self.driver.jump(Duration::from_secs(seconds.into())),
        }
    }

    fn connect(&mut self, stranger: Stranger) -> Option<ConnectionId> {
        let address = Gate::address(self.connections.len() as u64, stranger.claims);
        let direction = if stranger.is_inbound { Direction::Inbound } else { Direction::Outbound };
        let connection = match direction {
            Direction::Inbound => self.driver.accept(address)?,
            Direction::Outbound => self.driver.dial(address).ok()?,
        };
        let chain = match stranger.chain {
            Which::Real => real(),
            Which::Fork => fork(),
            Which::Heavy => heavy(),
        };
        let peer = Peer::new(chain, stranger.height.into());
        self.ends.insert(connection, End { peer, is_stalled: false });
        self.connections.push(connection);
        self.driver.open(connection, None);
        Some(connection)
    }

    fn say(&mut self, which: u8, bytes: &[u8]) {
        if let Some(connection) = self.which(which) {
            self.driver.receive(connection, bytes);
        }
    }

    /// Whether there was something to answer.
    fn answer(&mut self, connection: ConnectionId, question: usize, answer: Answer) -> bool {
        let bytes = self.ends.get_mut(connection).and_then(|end| end.peer.answer(question, answer));
        bytes.map(|bytes| self.driver.receive(connection, &bytes)).is_some()
    }

    fn answer_all(&mut self, connection: ConnectionId) -> bool {
        let mut has_answered = false;
        while self.answer(connection, 0, Answer::Right) {
            has_answered = true;
        }
        has_answered
    }

    fn tell(&mut self) -> bool {
        let command = self.application.tell();
        command.map(|command| self.driver.command(TreeCommand::Sync(command))).is_some()
    }

    /// Writes to whoever reads, takes over what is to be done, and looks at how far it has come.
    fn settle(&mut self) {
        for connection in &self.connections {
            if let Some(end) = self.ends.get_mut(*connection).filter(|end| !end.is_stalled) {
                end.peer.hear(&self.driver.take(*connection, usize::MAX / 2));
            }
        }
        while let Some(event) = self.driver.events.pop_front() {
            match event {
                Event::Behaviour(TreeEvent::Sync(effect)) => self.application.want(effect),
                Event::Behaviour(TreeEvent::Gate(never)) => match never {},
                _ => {}
            }
        }
        let progress = self.driver.swarm.behaviour().sync.progress();
        let numbers = (progress.downloaded_blocks, progress.applied_blocks);
        assert!(numbers.0 >= self.numbers.0 && numbers.1 >= self.numbers.1, "{progress:?}");
        self.numbers = numbers;
        assert!(progress.header_height >= progress.height, "{progress:?}");
        assert!(progress.header_height - progress.height <= MAX_WAITING_HEADERS, "{progress:?}");
        assert!(progress.target_height >= progress.header_height, "{progress:?}");
        // They may be those of a chain that parts below the tip.
        assert!(progress.in_flight <= HEIGHT, "{progress:?}");
        if self.application.is_idle() {
            assert_eq!(progress.tip, self.application.tip().hash, "{progress:?}");
        }
    }

    /// All others go, an honest peer comes, and the application does its work.
    fn heal(mut self) {
        for connection in std::mem::take(&mut self.connections) {
            self.driver.end(connection);
        }
        self.driver.command(TreeCommand::Sync(Command::Start));
        self.settle();
        let honest = Stranger {
            is_inbound: false,
            claims: Some(HEIGHT as u8),
            height: HEIGHT as u8,
            chain: Which::Heavy,
        };
        // Numbers of addresses that were there before belong to connections that are gone.
        let connection = self.connect(honest).expect("there is room");
        for _ in 0..MAX_STEPS {
            self.settle();
            let mut has_work = self.answer_all(connection);
            while !self.application.is_idle() {
                self.application.carry_out(0, Deed::Right);
                while self.tell() {}
                self.settle();
                has_work = true;
            }
            let progress = self.driver.swarm.behaviour().sync.progress();
            if self.application.tip() == heavy().info(HEIGHT) && progress.state == State::Synced {
                return self.driver.shut_down();
            }
            if !has_work {
                assert!(self.driver.wait(), "something is still missing, and nothing is awaited");
            }
        }
        panic!("{:?} after {:?}", self.driver.swarm.behaviour().sync.progress(), self.driver.now());
    }
}
