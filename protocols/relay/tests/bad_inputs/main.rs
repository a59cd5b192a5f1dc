//! What peers send that they should not, to the relay and the reputation behind it. Each case says what
//! the peer is charged with, its score, how many items the application was given, and how many bytes are
//! allocated at the same time, at most, from the arrival of the bytes on.

mod announcements;
mod items;
mod questions;

use std::time::Duration;

use spacetime_core::chain::{
    ChainRules as _, DevelopmentChain, SpacetimeRules, Transaction as Tx, development_genesis,
};
use spacetime_core::wire::{
    Announce, Announced, Announcement, Capability, Fetch, Frame, Hashes, Message, MessageType, NewBlock,
    NotFound, ProofSubmission, Transaction, TxPoolRequest,
};
use spacetime_core::{ConnectionId, Hash, NetworkBehaviour, Offence, Rng};
use spacetime_handshake::Handshake;
use spacetime_peers::{Peers, Stored};
use spacetime_relay::{
    CAPABILITY, CAPABILITY_VERSION, Command, Config, Event, Item, Kind, MemoryPool, Relay, Verdict,
};
use spacetime_simulator::{Lone, handshake_frame};

const CHAIN: Hash = Hash([7; 32]);
const SECOND: Duration = Duration::from_secs(1);
const KIB: u64 = 1024;

/// What the application refuses begins with this.
const INVALID: u8 = 0xee;

#[derive(NetworkBehaviour, Debug)]
struct Tree {
    handshake: Handshake,
    relay: Relay<SpacetimeRules>,
    peers: Peers,
}

/// A node with one peer, which misbehaves.
struct Case {
    lone: Lone<Tree>,
    rules: SpacetimeRules,
    peer: ConnectionId,
    offences: Vec<Offence>,
    received: usize,
    max_bytes: u64,
}

/// What the peer was charged with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Charge {
    Nothing,
    Malformed(MessageType),
    /// An item that the application rejects.
    Invalid(MessageType),
    /// A block that is none, or that the application rejects.
    InvalidBlock,
    /// An item that a version-1 node has passed on.
    Unchecked(MessageType),
    NoAnswer(MessageType),
    FalseSize,
    /// Bytes that are no frame: the connection ends, and the host is banned.
    Frame,
}

/// What is left of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct After {
    charge: Charge,
    /// Of the host.
    score: i32,
    is_open: bool,
    /// Items that the application was given.
    received: usize,
}

fn after(charge: Charge, score: i32, received: usize) -> After {
    After { charge, score, is_open: score > -10, received }
}

impl Case {
    fn new() -> Self {
        let capability = Capability { name: CAPABILITY.into(), version: CAPABILITY_VERSION };
        let announcement = Announcement {
            protocol_versions: (1, 1),
            chain_id: CHAIN,
            listen_port: None,
            capabilities: vec![capability],
            nonce: 5,
            best_block: None,
        };
        Self::introduced_by(&handshake_frame("a peer", Some(&announcement)))
    }

    fn version_1() -> Self {
        Self::introduced_by(&handshake_frame("a peer", None))
    }

    fn introduced_by(handshake: &[u8]) -> Self {
        let rng = Rng::from_number(1);
        let rules = SpacetimeRules::new(&development_genesis()).unwrap();
        // What is small is sent whole, so that what is announced is always large.
        let config = Config::default().with_push_peers(0);
        let peers = spacetime_peers::Config::default().with_max_outbound(0);
        let mut lone = Lone::new(Tree {
            handshake: Handshake::new(spacetime_handshake::Config::new(CHAIN), &rng).unwrap(),
            relay: Relay::new(config, rules.clone(), MemoryPool::default(), &rng).unwrap(),
            peers: Peers::new(peers, Stored::default(), 1_800_000_000, &rng).unwrap(),
        });
        let peer = lone.connect_from("8.8.8.8:8333".parse().unwrap(), None);
        lone.give_bytes(peer, handshake);
        assert!(lone.offences().is_empty());
        lone.events();
        lone.sent(peer);
        Self { lone, rules, peer, offences: Vec::new(), received: 0, max_bytes: 0 }
    }

    /// The types of what was sent to the peer since the last call.
    fn sent(&mut self) -> Vec<MessageType> {
        self.lone.sent(self.peer).into_iter().map(|(message_type, _)| message_type).collect()
    }

    /// Bytes arrive, and the application decides about what is in them.
    fn gives(mut self, bytes: &[u8]) -> Self {
        let handle = || self.lone.give_bytes(self.peer, bytes);
        self.max_bytes = self.max_bytes.max(allocation_counter::measure(handle).bytes_max);
        for event in self.lone.events() {
            if let TreeEvent::Relay(Event::Received { item, .. }) = event {
                self.received += 1;
                let verdict = if self.is_valid(&item) { Verdict::Accept } else { Verdict::Reject };
                self.lone.command(TreeCommand::Relay(Command::Verdict { id: item.id(), verdict }));
            }
        }
        self.note_offences()
    }

    fn is_valid(&self, item: &Item) -> bool {
        match item.kind() {
            Kind::Block => self.rules.check_block(item.payload()).is_ok(),
            _ => item.payload().first() != Some(&INVALID),
        }
    }

    fn note_offences(mut self) -> Self {
        self.offences.extend(self.lone.offences().into_iter().map(|(who, offence)| {
            assert_eq!(who, self.peer, "the right one is charged");
            offence
        }));
        self
    }

    fn gives_message<M: Message>(self, message: &M) -> Self {
        let frame = Frame::encode(message).unwrap();
        self.gives(frame.bytes())
    }

    /// A payload that could not be encoded.
    fn gives_payload(self, message_type: MessageType, payload: &[u8]) -> Self {
        self.gives(&frame(message_type, payload))
    }

    fn waits(mut self, duration: Duration) -> Self {
        self.lone.advance(duration);
        self.note_offences()
    }

    /// What came of it, all its offences being of one kind.
    #[track_caller]
    fn leaves(self, expected: After, max_bytes: u64) -> Self {
        let charges: Vec<_> = self.offences.iter().map(charge).collect();
        let charge = charges.first().copied().unwrap_or(Charge::Nothing);
        assert!(charges.iter().all(|it| *it == charge), "{:?}", self.offences);
        let peers = &self.lone.behaviour().peers;
        let score = peers.state().standings.iter().map(|it| it.score).min().unwrap_or(0);
        let is_open = self.lone.closed(self.peer).is_none();
        let received = self.received;
        assert_eq!(After { charge, score, is_open, received }, expected, "{:?}", self.offences);
        assert_eq!(peers.bans().count(), usize::from(score <= -10), "who is banned");
        let bytes = self.max_bytes;
        assert!(bytes <= max_bytes, "{bytes} bytes allocated, {max_bytes} at most");
        // A limit that is far from what happens says nothing.
        assert!(bytes * 4 + 4 * KIB >= max_bytes, "{bytes} bytes allocated, far from {max_bytes}");
        self
    }
}

fn charge(offence: &Offence) -> Charge {
    match offence {
        Offence::Malformed { message_type, .. } => Charge::Malformed(*message_type),
        Offence::InvalidItem(message_type) => Charge::Invalid(*message_type),
        Offence::InvalidBlock(_) => Charge::InvalidBlock,
        Offence::Unchecked(message_type) => Charge::Unchecked(*message_type),
        Offence::NoAnswer(message_type) => Charge::NoAnswer(*message_type),
        Offence::Other("an item was announced as something else than it is") => Charge::FalseSize,
        Offence::Frame(_) => Charge::Frame,
        other => panic!("{other}"),
    }
}

fn frame(message_type: MessageType, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32 + 1).to_le_bytes();
    [&length[..], &[message_type.byte()], payload].concat()
}

/// A well-formed transaction.
fn transaction(number: u64) -> Vec<u8> {
    let signature = [number as u8; 64];
    let (sender, recipient) = ([2; 33], [3; 33]);
    Tx { version: 1, sender, recipient, amount: 1, nonce: number as i64, fee: 1, signature }.to_bytes()
}

/// A block of about so many bytes.
fn block(bytes: usize) -> Vec<u8> {
    DevelopmentChain::new(1, bytes).next().unwrap()
}
