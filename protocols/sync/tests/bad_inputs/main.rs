//! What peers send that they should not, to sync and the reputation behind it. Each case says what the
//! peer is charged with, its score, how many blocks were applied, and how many bytes are allocated at the
//! same time, at most, from the arrival of the bytes on.

mod blocks;
mod headers;
mod questions;

use std::time::Duration;

use spacetime_core::chain::{
    BlockHeader, ChainRules as _, DevelopmentBranch, DevelopmentChain, HEADER_BYTES, HeaderInfo,
    InvalidObject, SpacetimeRules, development_genesis,
};
use spacetime_core::wire::{
    Announcement, Block, Capability, Frame, GetBlock, GetHeaders, Hashes, Headers, Locate, Message,
    MessageType,
};
use spacetime_core::{ConnectionId, Hash, NetworkBehaviour, Offence, Rng};
use spacetime_handshake::Handshake;
use spacetime_peers::{Peers, Stored};
use spacetime_simulator::{Lone, handshake_frame};
use spacetime_sync::{CAPABILITY, CAPABILITY_VERSION, Command, Config, Event, Sync};

const CHAIN: Hash = Hash([7; 32]);
const SECOND: Duration = Duration::from_secs(1);
const KIB: u64 = 1024;

/// What the application refuses begins with this, in the signature of its header.
const INVALID: u8 = 0xee;

/// Headers that are asked for at a time.
const MAX_HEADERS: usize = 100;

#[derive(NetworkBehaviour, Debug)]
struct Tree {
    handshake: Handshake,
    sync: Sync<SpacetimeRules>,
    peers: Peers,
}

/// A node that has the genesis block, and one peer that misbehaves. The node has asked it for headers.
struct Case {
    lone: Lone<Tree>,
    peer: ConnectionId,
    /// The application's chain.
    chain: Vec<HeaderInfo>,
    offences: Vec<Offence>,
    max_bytes: u64,
}

/// What the peer was charged with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Charge {
    Nothing,
    Malformed(MessageType),
    Unsolicited(MessageType),
    NoAnswer(MessageType),
    InvalidHeader,
    InvalidBlock(InvalidObject),
    TooMuch,
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
    /// Blocks that were applied.
    applied: usize,
}

fn after(charge: Charge, score: i32, applied: usize) -> After {
    After { charge, score, is_open: score > -10, applied }
}

impl Case {
    fn new() -> Self {
        let rng = Rng::from_number(1);
        let peers = spacetime_peers::Config::default().with_max_outbound(0);
        let chain = vec![info(&development_genesis())];
        let config = Config::default().with_max_headers_per_request(MAX_HEADERS);
        let mut lone = Lone::new(Tree {
            handshake: Handshake::new(spacetime_handshake::Config::new(CHAIN), &rng).unwrap(),
            sync: Sync::new(config, rules(), chain[0], &rng).unwrap(),
            peers: Peers::new(peers, Stored::default(), 1_800_000_000, &rng).unwrap(),
        });
        let peer = lone.connect_from("8.8.8.8:8333".parse().unwrap(), None);
        let announcement = Announcement {
            protocol_versions: (1, 1),
            chain_id: CHAIN,
            listen_port: None,
            capabilities: vec![Capability { name: CAPABILITY.into(), version: CAPABILITY_VERSION }],
            nonce: 5,
            best_block: Some((1000, Hash([9; 32]))),
        };
        lone.give_bytes(peer, &handshake_frame("a peer", Some(&announcement)));
        assert!(lone.offences().is_empty());
        let mut case = Self { lone, peer, chain, offences: Vec::new(), max_bytes: 0 };
        assert!(case.sent().contains(&MessageType::GET_HEADERS));
        case
    }

    /// The same, and the peer has given the headers of these blocks and was asked for the first ones.
    fn asked_for(blocks: &[Vec<u8>]) -> Self {
        let mut case = Self::new().gives_headers(&headers(blocks));
        assert!(case.sent().contains(&MessageType::GET_BLOCK));
        case.max_bytes = 0;
        case
    }

    /// The types of what was sent to the peer since the last call.
    fn sent(&mut self) -> Vec<MessageType> {
        self.lone.sent(self.peer).into_iter().map(|(message_type, _)| message_type).collect()
    }

    /// How many headers the peer was asked for since the last call.
    fn asked_headers(&mut self) -> Option<usize> {
        let sent = self.lone.sent(self.peer).into_iter();
        let is_question = |it: &MessageType| [MessageType::GET_HEADERS, MessageType::LOCATE].contains(it);
        let (_, payload) = sent.rev().find(|(message_type, _)| is_question(message_type))?;
        Some(i32::from_le_bytes(*payload.last_chunk().unwrap()) as usize)
    }

    /// Bytes arrive, and the application does what is to be done.
    fn gives(mut self, bytes: &[u8]) -> Self {
        let handle = || self.lone.give_bytes(self.peer, bytes);
        self.max_bytes = self.max_bytes.max(allocation_counter::measure(handle).bytes_max);
        loop {
            let events = self.lone.events();
            if events.is_empty() {
                return self.note_offences();
            }
            for event in events {
                let TreeEvent::Sync(event) = event else { continue };
                for command in self.carry_out(event) {
                    self.lone.command(TreeCommand::Sync(command));
                }
            }
        }
    }

    fn carry_out(&mut self, event: Event) -> Vec<Command> {
        let mut commands = Vec::new();
        match event {
            Event::Apply { blocks } => {
                for bytes in blocks {
                    match self.verify(&bytes) {
                        Ok(info) => self.chain.push(info),
                        Err(error) => {
                            let hash = SpacetimeRules::block_id(&bytes).unwrap();
                            commands.push(Command::Rejected { hash, error });
                            break;
                        }
                    }
                }
                let tip = *self.chain.last().unwrap();
                commands.push(Command::Applied { last: tip, tip });
            }
            Event::ReadHeaders { read, .. } => {
                let answer = Frame::encode(&Headers::new(&[])).unwrap();
                commands.push(Command::HeadersRead { read, answer });
            }
            Event::ReadBlock { read, .. } => commands.push(Command::BlockRead { read, answer: None }),
            _ => {}
        }
        commands
    }

    fn verify(&self, bytes: &[u8]) -> Result<HeaderInfo, InvalidObject> {
        let info = rules().check_block(bytes).expect("sync has looked at the body");
        rules().check_link(self.chain.last().unwrap(), &info)?;
        if bytes[226] == INVALID { Err(InvalidObject::Refused) } else { Ok(info) }
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

    fn gives_headers(self, headers: &[Vec<u8>]) -> Self {
        let headers: Vec<_> = headers.iter().map(Vec::as_slice).collect();
        self.gives_message(&Headers::new(&headers))
    }

    fn gives_block(self, bytes: &[u8]) -> Self {
        self.gives_message(&Block { bytes })
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
        let applied = self.chain.len() - 1;
        assert_eq!(After { charge, score, is_open, applied }, expected, "{:?}", self.offences);
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
        Offence::Unsolicited(message_type) => Charge::Unsolicited(*message_type),
        Offence::NoAnswer(message_type) => Charge::NoAnswer(*message_type),
        Offence::InvalidHeader(_) => Charge::InvalidHeader,
        Offence::InvalidBlock(error) => Charge::InvalidBlock(*error),
        Offence::TooMuch(_) => Charge::TooMuch,
        Offence::Frame(_) => Charge::Frame,
        other => panic!("{other}"),
    }
}

fn rules() -> SpacetimeRules {
    SpacetimeRules::new(&development_genesis()).unwrap()
}

fn info(block: &[u8]) -> HeaderInfo {
    rules().read_header(&block[..HEADER_BYTES]).unwrap()
}

fn frame(message_type: MessageType, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32 + 1).to_le_bytes();
    [&length[..], &[message_type.byte()], payload].concat()
}

/// So many blocks after genesis.
fn blocks(count: usize) -> Vec<Vec<u8>> {
    DevelopmentChain::new(1, 1000).take(count).collect()
}

fn headers(blocks: &[Vec<u8>]) -> Vec<Vec<u8>> {
    blocks.iter().map(|block| block[..HEADER_BYTES].to_vec()).collect()
}

/// The same block with another header.
fn with_header(block: &[u8], change: impl FnOnce(&mut BlockHeader)) -> Vec<u8> {
    let mut header = BlockHeader::decode(&block[..HEADER_BYTES]).unwrap();
    change(&mut header);
    [&header.to_bytes()[..], &block[HEADER_BYTES..]].concat()
}
