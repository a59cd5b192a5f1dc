//! The headers of sync, from peers that make them up: well linked or not, as many as they like, after any
//! block that was named. Whatever they offer, what is kept of it has a bound, nobody is closed for headers
//! that break no rule, and an honest peer is heard in the end.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use spacetime_core::chain::{BlockHeader, DevelopmentBranch, HEADER_BYTES, SpacetimeRules};
use spacetime_core::wire::{
    self, Announcement, Capability, Decode as _, GetBlock, GetHeaders, Headers, Locate, MAX_HEADERS,
    MessageType,
};
use spacetime_core::{
    Address, Claims, ConnectionId, ConnectionMap, Context, Endpoint, Event, Hash, Input, Limits,
    NetworkBehaviour, PeerId, PeerInfo, Rng, Signal, Time, Violation,
};
use spacetime_sync::{CAPABILITY, CAPABILITY_VERSION, Command, Config, State, Sync};

use super::application::{Application, Deed};
use super::chain::{self, HEIGHT, real};
use super::driver::Driver;
use super::frames::frames;
use super::operations::operations;
use super::peer::encode;

/// Steps in which an honest peer must have given all that is missing.
const MAX_STEPS: usize = 1000;

/// Headers that are kept of one chain, and such chains: the followed one and its rivals.
const MAX_WAITING_HEADERS: usize = 6000;
const MAX_CHAINS: usize = 9;

/// How long an answer is awaited.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Headers that one input has made at most: what they make a node do is all there is to see by then.
const MAX_MADE: usize = 40_000;

/// Peers at a time.
const MAX_PEERS: usize = 12;

/// [`Setting`], then operations.
pub fn header_machine(data: &[u8]) {
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
    /// Blocks that the node has.
    height: u8,
    max_headers: u16,
    max_reorg_depth: u16,
    /// The wall clock is so early that long chains are ahead of it.
    is_early: bool,
}

#[derive(Arbitrary, Debug)]
enum Operation {
    Connect {
        /// It takes a question with many hashes.
        can_locate: bool,
        claims: u64,
    },
    /// A peer answers its oldest question for headers.
    Offer {
        which: u8,
        /// After which of the blocks in the question; the last one, if there are fewer.
        after: u8,
        /// How many, of 256 parts of what was asked for. All, for 255.
        part: u8,
        /// What they claim; another claim makes another chain.
        difficulty: i64,
        flaw: Option<Flaw>,
    },
    /// A peer answers with the headers of the honest chain, as it should.
    Honest {
        which: u8,
    },
    /// A peer that was asked for a block says nothing for so long that it is passed over.
    Announce {
        which: u8,
    },
    End {
        which: u8,
    },
    Stop,
    Start,
    Pass {
        milliseconds: u16,
    },
    Jump {
        seconds: u8,
    },
}

/// What is wrong with a list.
#[derive(Clone, Copy, Arbitrary, Debug)]
enum Flaw {
    /// One of the headers is left out.
    Gap(u16),
    /// One has another height than its place.
    Height(u16, i64),
    /// One was made before its parent, or long after.
    Time(u16, i64),
    /// A bit of one is turned over.
    Bit(u16, u16, u8),
    /// One more than was asked for.
    OneMore,
}

/// Lets everybody in. What a peer says of itself is kept by the number of its address.
#[derive(Debug, Default)]
struct Gate {
    said: BTreeMap<u64, (bool, u64)>,
}

impl NetworkBehaviour for Gate {
    const CLAIMS: Claims = Claims::NONE.with_gate();
    type Event = std::convert::Infallible;
    type Command = std::convert::Infallible;

    fn on_input(&mut self, cx: &mut Context<'_, Self::Event>, input: &Input<'_>) -> Result<(), Violation> {
        if let Input::Opened { connection } = *input
            && let Some(opening) = cx.opening(connection)
            && let Endpoint::Memory(number) = *opening.address.endpoint()
        {
            let (can_locate, claims) = self.said.get(&number).copied().unwrap_or((true, 0));
            let capability = Capability { name: CAPABILITY.into(), version: CAPABILITY_VERSION };
            let announcement = Announcement {
                protocol_versions: (1, 1),
                chain_id: chain::chain_id(),
                listen_port: None,
                capabilities: if can_locate { vec![capability] } else { Vec::new() },
                nonce: number,
                best_block: Some((claims, Hash([9; 32]))),
            };
            let info = PeerInfo { announcement: Some(announcement.into()), ..PeerInfo::default() };
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

/// A question for headers.
#[derive(Debug)]
struct Question {
    asked_at: Time,
    locator: Vec<Hash>,
    max_headers: usize,
}

#[derive(Debug, Default)]
struct End {
    questions: VecDeque<Question>,
    blocks: VecDeque<Hash>,
}

struct Script {
    driver: Driver<Tree>,
    application: Application,
    ends: ConnectionMap<End>,
    connections: Vec<ConnectionId>,
    next_address: u64,
    /// All headers that there are, by hash: the honest ones, and those that were made up.
    headers: BTreeMap<Hash, Vec<u8>>,
    made: usize,
}

impl Script {
    fn new(setting: &Setting) -> Self {
        let application = Application::new(usize::from(setting.height) % (HEIGHT + 1));
        let within = |number: u16, max: usize| usize::from(number) % max + 1;
        let config = Config::default()
            .with_max_headers_per_request(within(setting.max_headers, MAX_HEADERS))
            .with_max_reorg_depth(within(setting.max_reorg_depth, 2000))
            .with_request_timeout(REQUEST_TIMEOUT)
            // What is waited for shall not be that.
            .with_progress_interval(Duration::from_secs(3600));
        let rng = Rng::from_number(1);
        let sync =
            Sync::new(config, chain::rules().clone(), application.recent(), &rng).expect("it is valid");
        let tree = Tree { gate: Gate::default(), sync };
        let mut driver = Driver::new(tree, PeerId([1; 32]), Limits::default());
        if !setting.is_early {
            driver.unix_seconds += 100_000_000;
        }
        let honest = (0..=HEIGHT).map(|height| (real().hash(height), real().header(height).to_vec()));
        Self {
            driver,
            application,
            ends: ConnectionMap::new(),
            connections: Vec::new(),
            next_address: 0,
            headers: honest.collect(),
            made: 0,
        }
    }

    /// A connection, the last ones first.
    fn which(&self, back: u8) -> Option<ConnectionId> {
        let last = self.connections.len().checked_sub(1)?;
        self.connections.get(last - usize::from(back) % self.connections.len()).copied()
    }

    fn perform(&mut self, operation: &Operation) {
        match *operation {
            Operation::Connect { can_locate, claims } => {
                if self.connections.len() < MAX_PEERS {
                    self.connect(can_locate, claims);
                }
            }
            Operation::Offer { which, after, part, difficulty, flaw } => {
                if let Some(from) = self.which(which) {
                    self.offer(from, after, part, difficulty, flaw);
                }
            }
            Operation::Honest { which } => {
                if let Some(from) = self.which(which) {
                    self.answer(from);
                }
            }
            Operation::Announce { which } => {
                if let Some(from) = self.which(which) {
                    let hash = Hash([which; 32]);
                    self.driver.act(|_, cx| cx.signal(Signal::BlockAnnounced { from, hash }));
                }
            }
            Operation::End { which } => {
                if let Some(connection) = self.which(which) {
                    self.driver.end(connection);
                }
            }
            Operation::Stop => self.driver.command(TreeCommand::Sync(Command::Stop)),
            Operation::Start => self.driver.command(TreeCommand::Sync(Command::Start)),
            Operation::Pass { milliseconds } => self.driver.pass(Duration::from_millis(milliseconds.into())),
            Operation::Jump { seconds } => self.driver.jump(Duration::from_secs(seconds.into())),
        }
    }

    fn connect(&mut self, can_locate: bool, claims: u64) -> Option<ConnectionId> {
        self.next_address += 1;
        let number = self.next_address;
        self.driver.act(|tree, _| tree.gate.said.insert(number, (can_locate, claims)));
        let connection = self.driver.dial(Address::memory(number)).ok()?;
        self.ends.insert(connection, End::default());
        self.connections.push(connection);
        self.driver.open(connection, None);
        Some(connection)
    }

    fn question(&mut self, from: ConnectionId) -> Option<Question> {
        self.ends.get_mut(from)?.questions.pop_front()
    }

    fn offer(&mut self, from: ConnectionId, after: u8, part: u8, difficulty: i64, flaw: Option<Flaw>) {
        let Some(question) = self.question(from) else { return };
        let last = question.locator.len() - 1;
        let after = question.locator[usize::from(after).min(last)];
        // What the node has named it has heard of.
        let parent = self.headers.get(&after).expect("a question names headers that there are");
        let count = match part {
            u8::MAX => question.max_headers,
            part => question.max_headers * usize::from(part) / 256,
        };
        let count = count.min(MAX_MADE.saturating_sub(self.made));
        self.made += count;
        let extra = usize::from(matches!(flaw, Some(Flaw::OneMore)));
        let difficulty = difficulty.checked_abs().unwrap_or(i64::MAX);
        let branch = DevelopmentBranch::new(parent, difficulty).expect("a header");
        let mut list: Vec<_> =
            branch.take(count + extra).map(|block| block[..HEADER_BYTES].to_vec()).collect();
        if let Some(flaw) = flaw {
            spoil(&mut list, flaw);
        }
        // What was made worse may still be good: the last one may have another time.
        for header in &list {
            self.headers.insert(BlockHeader::hash_of(header).expect("a header"), header.clone());
        }
        let is_in_time = self.driver.now().since(question.asked_at) < REQUEST_TIMEOUT;
        let was_open = self.driver.is_open(from);
        self.send(from, &list);
        if flaw.is_none() && was_open && is_in_time {
            assert!(self.driver.is_open(from), "nobody is closed for headers that break no rule");
        }
    }

    /// Answers all questions of a peer with what the honest chain has. Whether there was one.
    fn answer(&mut self, from: ConnectionId) -> bool {
        let mut has_answered = false;
        while let Some(question) = self.question(from) {
            has_answered = true;
            let after = question.locator.iter().find_map(|hash| real().height_of(*hash));
            let first = after.map_or(HEIGHT + 1, |height| height + 1);
            let list: Vec<_> = (first..=HEIGHT)
                .take(question.max_headers)
                .map(|height| real().header(height).to_vec())
                .collect();
            self.send(from, &list);
        }
        while let Some(hash) = self.ends.get_mut(from).and_then(|end| end.blocks.pop_front()) {
            if let Some(height) = real().height_of(hash) {
                has_answered = true;
                self.driver.receive(from, &encode(&wire::Block { bytes: real().block(height) }));
            }
        }
        has_answered
    }

    fn send(&mut self, from: ConnectionId, list: &[Vec<u8>]) {
        let list: Vec<_> = list.iter().take(MAX_HEADERS).map(Vec::as_slice).collect();
        self.driver.receive(from, &encode(&Headers::new(&list)));
    }

    /// Reads what the node asks, carries out what it wants, and looks at what it keeps.
    fn settle(&mut self) {
        for connection in &self.connections {
            let Some(end) = self.ends.get_mut(*connection) else { continue };
            let sent = self.driver.take(*connection, usize::MAX / 2);
            for (message_type, payload) in frames(&sent) {
                let asked_at = self.driver.now();
                let mut ask = |locator: Vec<Hash>, max_headers: i32| {
                    let max_headers = usize::try_from(max_headers).expect("it asks for some");
                    assert!((1..=MAX_HEADERS).contains(&max_headers));
                    end.questions.push_back(Question { asked_at, locator, max_headers });
                };
                match message_type {
                    MessageType::GET_HEADERS => {
                        let question = GetHeaders::decode(payload).expect("it was checked");
                        ask(vec![question.locator], question.max_headers);
                    }
                    MessageType::LOCATE => {
                        let question = Locate::decode(payload).expect("it can be read");
                        ask(question.locator.iter().collect(), question.max_headers);
                    }
                    MessageType::GET_BLOCK => {
                        end.blocks.push_back(GetBlock::decode(payload).expect("it was checked").hash);
                    }
                    _ => {}
                }
            }
        }
        let driver = &self.driver;
        self.connections.retain(|connection| driver.is_open(*connection));
        while let Some(event) = self.driver.events.pop_front() {
            match event {
                Event::Behaviour(TreeEvent::Sync(effect)) => self.application.want(effect),
                Event::Behaviour(TreeEvent::Gate(never)) => match never {},
                _ => {}
            }
        }
        while !self.application.is_idle() {
            self.application.carry_out(0, Deed::Right);
            while let Some(command) = self.application.tell() {
                self.driver.command(TreeCommand::Sync(command));
            }
        }
        let progress = self.driver.swarm.behaviour().sync.progress();
        assert!(progress.waiting_headers <= MAX_CHAINS * MAX_WAITING_HEADERS, "{progress:?}");
        assert!(progress.header_height - progress.height <= MAX_WAITING_HEADERS as u64, "{progress:?}");
        assert_eq!(progress.tip, self.application.tip().hash, "{progress:?}");
    }

    /// All others go, an honest peer comes, and time passes: the chain is there in the end.
    fn heal(mut self) {
        for connection in std::mem::take(&mut self.connections) {
            self.driver.end(connection);
        }
        let progress = self.driver.swarm.behaviour().sync.progress();
        assert!(progress.waiting_headers <= MAX_WAITING_HEADERS, "rivals go with their peers: {progress:?}");
        self.driver.command(TreeCommand::Sync(Command::Start));
        self.settle();
        let honest = self.connect(true, HEIGHT as u64).expect("there is room");
        for _ in 0..MAX_STEPS {
            self.settle();
            let has_work = self.answer(honest);
            self.settle();
            let progress = self.driver.swarm.behaviour().sync.progress();
            if self.application.tip() == real().info(HEIGHT) && progress.state == State::Synced {
                assert_eq!(progress.waiting_headers, 0);
                return self.driver.shut_down();
            }
            if !has_work {
                assert!(self.driver.wait(), "something is still missing, and nothing is awaited");
            }
        }
        panic!("{:?} after {:?}", self.driver.swarm.behaviour().sync.progress(), self.driver.now());
    }
}

/// Makes a list worse.
fn spoil(list: &mut Vec<Vec<u8>>, flaw: Flaw) {
    let len = list.len();
    let place = |at: u16| usize::from(at) % len.max(1);
    let change = |header: &mut Vec<u8>, change: &dyn Fn(&mut BlockHeader)| {
        let mut read = BlockHeader::decode(header).expect("a header that was made");
        change(&mut read);
        *header = read.to_bytes().to_vec();
    };
    match flaw {
        Flaw::OneMore => {}
        _ if list.is_empty() => {}
        Flaw::Gap(at) => drop(list.remove(place(at))),
        Flaw::Height(at, height) => change(&mut list[place(at)], &|it| it.height = height),
        Flaw::Time(at, time) => change(&mut list[place(at)], &|it| it.timestamp = time),
        Flaw::Bit(at, byte, bit) => {
            list[place(at)][usize::from(byte) % HEADER_BYTES] ^= 1 << (bit % 8);
        }
    }
}
