//! The relay, driven by hand.

mod announce;
mod fetch;
mod hosts;
mod liars;
mod pool;
mod receive;
mod rules;
mod serve;
mod version_1;

use std::convert::Infallible;
use std::time::Duration;

use spacetime_core::chain::{
    ChainRules as _, DevelopmentChain, SpacetimeRules, Transaction as Tx, development_genesis,
};
use spacetime_core::wire::{
    Announce, Announced, Announcement, Block, BlockAccepted, Capability, Decode as _, Fetch, Frame,
    HandshakeAck, Hashes, MessageType, NewBlock, NotFound, Nothing, PoolHashes, ProofSubmission, Transaction,
    TxPoolRequest,
};
use spacetime_core::{
    Bandwidth, ConnectionId, Context, Hash, Input, Limits, NetworkBehaviour, Offence, Protocol, QueueLimit,
    Rate, Rng, Signal, Violation,
};
use spacetime_handshake::Handshake;
use spacetime_relay::{
    CAPABILITY, CAPABILITY_VERSION, Command, Config, Event, Item, Kind, Mark, MemoryPool, Relay, Verdict,
};
use spacetime_simulator::{Lone, handshake_frame};

const CHAIN: Hash = Hash([7; 32]);
const SECOND: Duration = Duration::from_secs(1);

const FALSE_ANNOUNCEMENT: Offence = Offence::Other("an item was announced as something else than it is");

/// Hears what the relay says to the rest of the tree.
#[derive(Debug)]
struct Ear;

impl Protocol for Ear {
    type Message<'a> = Nothing;
    type Answer<'a> = Nothing;
    type Event = Signal;
    type Command = Infallible;

    fn on_message(
        &mut self,
        _: &mut Context<'_, Signal>,
        _: ConnectionId,
        never: Nothing,
        _: &Frame,
    ) -> Result<(), Violation> {
        match never {}
    }

    fn on_signal(&mut self, cx: &mut Context<'_, Signal>, signal: &Signal) {
        cx.emit(signal.clone());
    }
}

#[derive(NetworkBehaviour, Debug)]
struct Node {
    handshake: Handshake,
    relay: Relay<SpacetimeRules>,
    ear: Ear,
}

/// A node, what it has received, and what was said in its tree.
struct Case {
    lone: Lone<Node>,
    received: Vec<(Item, ConnectionId)>,
    signals: Vec<Signal>,
}

impl Case {
    fn new(config: Config) -> Self {
        Self::with_limits(config, Limits::default())
    }

    fn with_limits(config: Config, limits: Limits) -> Self {
        let rng = Rng::from_number(1);
        let rules = SpacetimeRules::new(&development_genesis()).unwrap();
        let node = Node {
            handshake: Handshake::new(spacetime_handshake::Config::new(CHAIN), &rng).unwrap(),
            relay: Relay::new(config, rules, MemoryPool::default(), &rng).unwrap(),
            ear: Ear,
        };
        Self { lone: Lone::with_limits(node, limits), received: Vec::new(), signals: Vec::new() }
    }

    /// So many peers that understand announcements, each on a host of its own.
    fn peers<const N: usize>(&mut self) -> [ConnectionId; N] {
        core::array::from_fn(|number| self.connect(&format!("8.8.{number}.8:1000"), true))
    }

    fn connect(&mut self, from: &str, can_announce: bool) -> ConnectionId {
        let peer = self.lone.connect_from(from.parse().unwrap(), None);
        self.establish(peer, can_announce);
        peer
    }

    /// A peer that this node has chosen.
    fn dial(&mut self, to: &str) -> ConnectionId {
        let peer = self.lone.act(|_, cx| cx.dial(to.parse().unwrap())).unwrap();
        self.lone.answer_dial(peer);
        self.lone.give(peer, &HandshakeAck);
        self.establish(peer, true);
        peer
    }

    fn establish(&mut self, peer: ConnectionId, can_announce: bool) {
        let capability = Capability { name: CAPABILITY.into(), version: CAPABILITY_VERSION };
        let announcement = Announcement {
            protocol_versions: (1, 1),
            chain_id: CHAIN,
            listen_port: None,
            capabilities: if can_announce { vec![capability] } else { Vec::new() },
            nonce: 5,
            best_block: None,
        };
        self.lone.give_bytes(peer, &handshake_frame("a peer", Some(&announcement)));
        self.lone.sent(peer);
    }

    /// A version-1 node.
    fn connect_version_1(&mut self, from: &str) -> ConnectionId {
        let peer = self.lone.connect_from(from.parse().unwrap(), None);
        self.lone.give_bytes(peer, &handshake_frame("a peer", None));
        self.lone.sent(peer);
        peer
    }

    /// Sorts what has happened.
    fn look(&mut self) {
        for event in self.lone.events() {
            match event {
                NodeEvent::Relay(Event::Received { item, from, .. }) => self.received.push((item, from)),
                NodeEvent::Ear(signal) => self.signals.push(signal),
                _ => {}
            }
        }
    }

    /// What was received since the last call.
    fn received(&mut self) -> Vec<(Item, ConnectionId)> {
        self.look();
        std::mem::take(&mut self.received)
    }

    /// What was said in the tree since the last call.
    fn signals(&mut self) -> Vec<Signal> {
        self.look();
        std::mem::take(&mut self.signals)
    }

    fn decide(&mut self, item: &Item, verdict: Verdict) {
        self.lone.command(NodeCommand::Relay(Command::Verdict { id: item.id(), verdict }));
    }

    fn publish(&mut self, item: Item) {
        self.lone.command(NodeCommand::Relay(Command::Publish(item)));
    }

    /// The types of what was sent to a peer since the last call.
    fn sent(&mut self, to: ConnectionId) -> Vec<MessageType> {
        self.lone.sent(to).into_iter().map(|(message_type, _)| message_type).collect()
    }

    fn relay(&self) -> &Relay<SpacetimeRules> {
        &self.lone.behaviour().relay
    }

    /// The offences since the last call.
    fn offences(&mut self) -> Vec<(ConnectionId, Offence)> {
        self.lone.offences()
    }

    /// A transaction arrives and is accepted.
    fn accept(&mut self, from: ConnectionId, bytes: &[u8]) {
        self.lone.give(from, &Transaction { bytes });
        let [(item, _)] = self.received().try_into().unwrap();
        self.decide(&item, Verdict::Accept);
    }
}

/// A well-formed transaction.
fn transaction(number: u64) -> Vec<u8> {
    Tx {
        version: 1,
        sender: [2; 33],
        recipient: [3; 33],
        amount: 1,
        nonce: number as i64,
        fee: 1,
        signature: [number as u8; 64],
    }
    .to_bytes()
}

/// A proof of so many bytes.
fn proof(number: u8, bytes: &[u8]) -> ProofSubmission<'_> {
    ProofSubmission { block_height: 1, miner_id: [number; 33], proof: bytes }
}

/// A block of about so many bytes.
fn block(seed: u64, bytes: usize) -> Vec<u8> {
    DevelopmentChain::new(seed, bytes).next().unwrap()
}

fn block_hash(block: &[u8]) -> Hash {
    SpacetimeRules::block_id(block).unwrap()
}
