//! The relay by itself, among peers of all kinds: nobody is sent what was not accepted, nothing is given
//! to the application twice, and when all is quiet nothing is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use spacetime_core::chain::{Block, SpacetimeRules};
use spacetime_core::wire::{
    self, Announce, Announced, Announcement, Capability, Hashes, MessageSet as _, MessageType,
};
use spacetime_core::{
    Address, Claims, ConnectionId, Context, Endpoint, Event, Hash, Input, Limits, NetworkBehaviour, PeerId,
    PeerInfo, Rng, Signal, Violation,
};
use spacetime_relay::{
    CAPABILITY, CAPABILITY_VERSION, Command, Config, Item, Kind, MAX_FETCHES_PER_HOST, MAX_PENDING_ITEMS,
    MemoryPool, Relay, Verdict,
};

use super::chain::{self, HEIGHT, real};
use super::driver::Driver;
use super::frames::{frames, raw_frame};
use super::operations::operations;
use super::peer::encode;

/// How long until nothing is left: that for which items can be fetched is the longest.
const QUIET: Duration = Duration::from_secs(301);

/// `u8 setting`, then operations.
pub fn relay_machine(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(setting) = u8::arbitrary(&mut input) else { return };
    let mut script = Script::new(setting);
    for operation in operations(&mut input) {
        script.perform(&operation);
        script.settle();
    }
    script.end();
}

#[derive(Arbitrary, Debug)]
enum Operation {
    /// A peer of version 1, or one that can announce.
    Connect {
        can_announce: bool,
        host: u8,
    },
    End {
        which: u8,
    },
    /// A peer sends an item, by another name of its type or with a bit of it changed.
    Give {
        which: u8,
        item: u8,
        as_block: bool,
        flips: Option<u16>,
    },
    Announce {
        which: u8,
        item: u8,
        count: u8,
        more_bytes: u8,
    },
    Fetch {
        which: u8,
        item: u8,
        count: u8,
    },
    NotFound {
        which: u8,
        item: u8,
    },
    AskForPool {
        which: u8,
        max: u16,
        with_data: bool,
    },
    /// A peer sends anything.
    Raw {
        which: u8,
        message_type: u8,
        payload: Vec<u8>,
    },
    Decide {
        which: u8,
        verdict: u8,
    },
    Publish {
        item: u8,
    },
    Include {
        item: u8,
    },
    Download {
        is_on: bool,
    },
    /// The node does not get rid of what it sends to the peer, or does so again.
    Stall {
        which: u8,
    },
    Pass {
        milliseconds: u16,
    },
    Jump {
        seconds: u8,
    },
}

/// Items of all kinds.
fn items() -> &'static [Item] {
    static ITEMS: LazyLock<Vec<Item>> = LazyLock::new(|| {
        let blocks = (1..=HEIGHT).map(|height| Item::block(real().block(height)));
        let transactions = (1..=HEIGHT).flat_map(|height| {
            let block = Block::decode(real().block(height)).expect("it is a block");
            block.transactions().next().map(Item::transaction)
        });
        let proofs = (0..16_u8).map(|number| {
            let proof = vec![number; 64 + usize::from(number) * 500];
            Item::proof(&wire::ProofSubmission { block_height: 1, miner_id: [2; 33], proof: &proof })
        });
        let accepted = (1..=HEIGHT).map(|height| {
            let hash = real().hash(height);
            Item::block_accepted(&wire::BlockAccepted { hash, height: height as i64 })
        });
        blocks.chain(transactions).chain(proofs).chain(accepted).map(|it| it.expect("it fits")).collect()
    });
    &ITEMS
}

fn item(number: u8) -> &'static Item {
    &items()[usize::from(number) % items().len()]
}

/// Lets everybody in. What a peer says of itself is in the number of its address.
#[derive(Debug)]
struct Gate;

impl NetworkBehaviour for Gate {
    const CLAIMS: Claims = Claims::NONE.with_gate();
    type Event = std::convert::Infallible;
    type Command = std::convert::Infallible;

    fn on_input(&mut self, cx: &mut Context<'_, Self::Event>, input: &Input<'_>) -> Result<(), Violation> {
        if let Input::Opened { connection } = *input
            && let Some(opening) = cx.opening(connection)
        {
            let info = match opening.address.endpoint() {
                Endpoint::Memory(number) if number & 1 != 0 => {
                    let capability = Capability { name: CAPABILITY.into(), version: CAPABILITY_VERSION };
                    let announcement = Announcement {
                        protocol_versions: (1, 1),
                        chain_id: chain::chain_id(),
                        listen_port: None,
                        capabilities: vec![capability],
                        nonce: *number,
                        best_block: None,
                    };
                    PeerInfo { announcement: Some(announcement.into()), ..PeerInfo::default() }
                }
                _ => PeerInfo::version_1(),
            };
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
    relay: Relay<SpacetimeRules>,
}

struct Script {
    driver: Driver<Tree>,
    relays_first: bool,
    connections: Vec<ConnectionId>,
    stalled: BTreeSet<ConnectionId>,
    /// What the application has not decided about.
    waiting: BTreeMap<Hash, Kind>,
    /// What may be sent: accepted, made here, or come while it is passed on at once.
    good: BTreeSet<Hash>,
}

impl Script {
    fn new(setting: u8) -> Self {
        let relays_first = setting & 1 != 0;
        let config = Config::default()
            .with_relay_first(relays_first)
            .with_push_peers(usize::from(setting >> 1 & 3))
            .with_adaptive(setting & 8 != 0)
            .with_max_seen(if setting & 16 != 0 { 4 } else { 100_000 })
            .with_max_stock_bytes(if setting & 32 != 0 { 10_000 } else { 32 << 20 });
        let relay = Relay::new(config, chain::rules().clone(), MemoryPool::default(), &Rng::from_number(1));
        let relay = relay.expect("the configuration is valid");
        Self {
            driver: Driver::new(Tree { gate: Gate, relay }, PeerId([1; 32]), Limits::default()),
            relays_first,
            connections: Vec::new(),
            stalled: BTreeSet::new(),
            waiting: BTreeMap::new(),
            good: BTreeSet::new(),
        }
    }

    fn which(&self, back: u8) -> Option<ConnectionId> {
        let last = self.connections.len().checked_sub(1)?;
        self.connections.get(last - usize::from(back) % self.connections.len()).copied()
    }

    fn say(&mut self, which: u8, bytes: &[u8]) {
        if let Some(connection) = self.which(which) {
            self.driver.receive(connection, bytes);
        }
    }

    fn command(&mut self, command: Command) {
        self.driver.command(TreeCommand::Relay(command));
    }

    fn perform(&mut self, operation: &Operation) {
        match operation {
            Operation::Connect { can_announce, host } => {
                let address = Address::memory(u64::from(*host) << 1 | u64::from(*can_announce));
                if let Some(connection) = self.driver.accept(address) {
                    self.driver.open(connection, None);
                    self.connections.push(connection);
                }
            }
            Operation::End { which } => {
                if let Some(connection) = self.which(*which) {
                    self.driver.end(connection);
                    self.connections.retain(|it| *it != connection);
                }
            }
            Operation::Give { which, item: number, as_block, flips } => {
                let item = item(*number);
                let mut payload = item.payload().to_vec();
                if let Some(bit) = flips {
                    let place = usize::from(bit / 8) % payload.len();
                    payload[place] ^= 1 << (bit % 8);
                }
                let is_block = *as_block && item.kind() == Kind::Block;
                let message_type = if is_block { MessageType::BLOCK } else { item.kind().message_type() };
                self.say(*which, &raw_frame(message_type.byte(), &payload));
            }
            Operation::Announce { which, item: number, count, more_bytes } => {
                let announced = (0..=count % 8).map(|more| {
                    let item = item(number.wrapping_add(more));
                    let message_type = item.kind().message_type();
                    let bytes = item.payload().len() as u32 + u32::from(*more_bytes);
                    let payload_bytes = bytes.min(message_type.max_payload());
                    Announced { message_type, payload_bytes, id: item.id() }
                });
                self.say(*which, &encode(&Announce::new(&announced.collect::<Vec<_>>())));
            }
            Operation::Fetch { which, item: number, count } => {
                let ids: Vec<_> = (0..=*count).map(|more| item(number.wrapping_add(more)).id()).collect();
                self.say(*which, &encode(&wire::Fetch { hashes: Hashes::from(&*ids) }));
            }
            Operation::NotFound { which, item: number } => {
                let ids = [item(*number).id()];
                self.say(*which, &encode(&wire::NotFound { hashes: Hashes::from(&ids[..]) }));
            }
            Operation::AskForPool { which, max, with_data } => {
                let max_transactions = i32::from(*max) + 1;
                self.say(
                    *which,
                    &encode(&wire::TxPoolRequest { max_transactions, include_data: *with_data }),
                );
            }
            Operation::Raw { which, message_type, payload } => {
                self.say(*which, &raw_frame(*message_type, payload));
            }
            Operation::Decide { which, verdict } => self.decide(*which, *verdict),
            Operation::Publish { item: number } => {
                let item = item(*number).clone();
                self.good.insert(item.id());
                self.waiting.remove(&item.id());
                self.command(Command::Publish(item));
            }
            Operation::Include { item: number } => {
                let height = 1 + usize::from(*number) % HEIGHT;
                self.command(Command::Included(real().block(height).to_vec().into()));
            }
            Operation::Download { is_on } => {
                let signal = Signal::InitialDownload(*is_on);
                self.driver.act(|_, cx| cx.signal(signal));
            }
            Operation::Stall { which } => {
                if let Some(connection) = self.which(*which)
                    && !self.stalled.remove(&connection)
                {
                    self.stalled.insert(connection);
                }
            }
            Operation::Pass { milliseconds } => {
                self.driver.pass(Duration::from_millis((*milliseconds).into()))
            }
            Operation::Jump { seconds } => self.driver.jump(Duration::from_secs((*seconds).into())),
        }
    }

    fn decide(&mut self, which: u8, verdict: u8) {
        let count = self.waiting.len().max(1);
        let Some(id) = self.waiting.keys().nth(usize::from(which) % count).copied() else { return };
        let verdicts = [Verdict::Accept, Verdict::Reject, Verdict::Ignore, Verdict::NotYet];
        let verdict = verdicts[usize::from(verdict) % verdicts.len()];
        self.waiting.remove(&id);
        if verdict == Verdict::Accept {
            self.good.insert(id);
        }
        self.command(Command::Verdict { id, verdict });
    }

    /// Writes to whoever reads, and looks at what is sent and kept.
    fn settle(&mut self) {
        while let Some(event) = self.driver.events.pop_front() {
            match event {
                Event::Behaviour(TreeEvent::Relay(spacetime_relay::Event::Received { item, .. })) => {
                    if self.relays_first {
                        self.good.insert(item.id());
                    }
                    self.waiting.insert(item.id(), item.kind());
                }
                Event::Behaviour(TreeEvent::Gate(never)) => match never {},
                Event::Closed { connection, .. } => {
                    self.connections.retain(|it| *it != connection);
                    self.stalled.remove(&connection);
                }
                _ => {}
            }
        }
        for connection in self.connections.clone() {
            if self.stalled.contains(&connection) {
                continue;
            }
            let sent = self.driver.take(connection, usize::MAX / 2);
            for (message_type, payload) in frames(&sent) {
                let decoded = spacetime_relay::Message::decode_type(message_type, payload);
                assert!(
                    decoded.is_ok() || message_type == MessageType::ERROR,
                    "{message_type} {payload:02x?}"
                );
                if let Some(kind) = Kind::of(message_type) {
                    assert!(self.good.contains(&kind.id(payload)), "a {message_type} that nobody accepted");
                }
            }
        }
        let relay = &self.driver.swarm.behaviour().relay;
        // What has waited for too long waits no more, which nobody says.
        assert!(relay.pending().0 <= self.waiting.len().min(MAX_PENDING_ITEMS));
        assert!(relay.fetches() <= MAX_FETCHES_PER_HOST * self.connections.len());
    }

    /// Nothing happens any more.
    fn end(mut self) {
        for connection in std::mem::take(&mut self.connections) {
            self.driver.end(connection);
        }
        self.settle();
        assert_eq!(self.driver.swarm.behaviour().relay.fetches(), 0, "nobody is there to be asked");
        self.driver.pass(QUIET);
        let relay = &self.driver.swarm.behaviour().relay;
        assert_eq!((relay.pending(), relay.stock_bytes()), ((0, 0), 0));
        self.driver.shut_down();
    }
}
