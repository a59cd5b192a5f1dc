//! What peers send that they should not, to all that deals with addresses together: peer exchange,
//! gossip, and the book and reputation behind them. Each case says what the peer is charged with, its
//! score, what was learned, and how many bytes are allocated at the same time, at most, from the
//! arrival of the bytes on.

mod exchange;
mod frames;
mod gossip;
mod lists;

use std::net::SocketAddr;
use std::time::Duration;

use spacetime_core::wire::{
    Announcement, Decode as _, Frame, GetPeers, HandshakeAck, Message, MessageType, Peers as PeersMessage,
};
use spacetime_core::{ConnectionId, Hash, NetworkBehaviour, Offence, Rng, Signal};
use spacetime_gossip::Gossip;
use spacetime_handshake::Handshake;
use spacetime_peer_exchange::PeerExchange;
use spacetime_peers::{Config, Peers, Stored};
use spacetime_simulator::{Lone, handshake_frame};

const CHAIN: Hash = Hash([7; 32]);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const KIB: u64 = 1024;

/// Where this node is reached.
const OWN: &str = "7.7.7.7:8333";
/// From where the peer connects, or where it was dialled.
const PEER: &str = "8.8.8.8:8333";

#[derive(NetworkBehaviour, Debug)]
struct Tree {
    handshake: Handshake,
    peer_exchange: PeerExchange,
    gossip: Gossip,
    peers: Peers,
}

/// A node with one peer, which misbehaves.
struct Case {
    lone: Lone<Tree>,
    peer: ConnectionId,
    offences: Vec<Offence>,
    known_before: usize,
    max_bytes: u64,
}

/// What the peer was charged with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// Nothing.
    Nothing,
    Malformed(MessageType),
    TooMuch,
    NoAnswer,
    /// Bytes that are no frame: the connection ends, and the host is banned.
    Frame,
}

/// What is left of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct After {
    verdict: Verdict,
    /// Of the host.
    score: i32,
    is_open: bool,
    /// Addresses that are new in the book.
    learned: usize,
}

fn after(verdict: Verdict, score: i32, learned: usize) -> After {
    After { verdict, score, is_open: verdict != Verdict::Frame && score > -10, learned }
}

fn node() -> Lone<Tree> {
    let rng = Rng::from_number(1);
    let own = Some(address(OWN));
    Lone::new(Tree {
        handshake: Handshake::new(spacetime_handshake::Config::new(CHAIN), &rng).unwrap(),
        peer_exchange: PeerExchange::new(
            spacetime_peer_exchange::Config::default().with_own_address(own),
            &rng,
        )
        .unwrap(),
        gossip: Gossip::new(spacetime_gossip::Config::default().with_own_address(own), &rng).unwrap(),
        // It wants no peers of its own choice, so whoever connects is never asked for any.
        peers: Peers::new(
            Config::default().with_max_outbound(0).with_own_addresses(own),
            Stored::default(),
            1_800_000_000,
            &rng,
        )
        .unwrap(),
    })
}

fn introduction(listen_port: Option<u16>) -> Vec<u8> {
    let announcement = Announcement {
        protocol_versions: (1, 1),
        chain_id: CHAIN,
        listen_port,
        capabilities: Vec::new(),
        nonce: 5,
        best_block: None,
    };
    handshake_frame("a peer", Some(&announcement))
}

impl Case {
    /// A peer that connected, and says nothing of where it listens.
    fn inbound() -> Self {
        let mut lone = node();
        let peer = lone.connect_from(PEER.parse().unwrap(), None);
        lone.give_bytes(peer, &introduction(None));
        Self::of(lone, peer)
    }

    /// A peer that was dialled, and is asked for addresses.
    fn asked() -> Self {
        let mut lone = node();
        let peer = lone.act(|_, cx| cx.dial(PEER.parse().unwrap())).unwrap();
        lone.answer_dial(peer);
        lone.give(peer, &HandshakeAck);
        lone.give_bytes(peer, &introduction(None));
        let mut case = Self::of(lone, peer);
        assert!(case.sent().iter().any(|it| it.0 == MessageType::GET_PEERS));
        case
    }

    fn of(mut lone: Lone<Tree>, peer: ConnectionId) -> Self {
        assert!(lone.offences().is_empty());
        let known_before = lone.behaviour().peers.book().len();
        Self { lone, peer, offences: Vec::new(), known_before, max_bytes: 0 }
    }

    fn sent(&mut self) -> Vec<(MessageType, Vec<u8>)> {
        self.lone.sent(self.peer)
    }

    /// The addresses of all the Peers that were sent to it since the last call.
    fn told(&mut self) -> Vec<Vec<SocketAddr>> {
        let sent = self.sent().into_iter().filter(|it| it.0 == MessageType::PEERS);
        sent.map(|(_, payload)| PeersMessage::decode(&payload).unwrap().iter().collect()).collect()
    }

    /// Bytes arrive.
    fn gives(mut self, bytes: &[u8]) -> Self {
        let handle = || self.lone.give_bytes(self.peer, bytes);
        self.max_bytes = self.max_bytes.max(allocation_counter::measure(handle).bytes_max);
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

    fn gives_peers(self, addresses: &[SocketAddr]) -> Self {
        self.gives_message(&PeersMessage::new(addresses))
    }

    /// A payload that could not be encoded.
    fn gives_payload(self, message_type: MessageType, payload: &[u8]) -> Self {
        self.gives(&frame(message_type, payload))
    }

    fn waits(mut self, duration: Duration) -> Self {
        self.lone.advance(duration);
        self.offences.extend(self.lone.offences().into_iter().map(|it| it.1));
        self
    }

    /// The node may tell these.
    fn shares(mut self, addresses: &[SocketAddr]) -> Self {
        self.lone.act(|_, cx| cx.signal(Signal::AddressesToShare(addresses.into())));
        self
    }

    fn learned(&self) -> usize {
        self.lone.behaviour().peers.book().len() - self.known_before
    }

    /// What came of it, all its offences being of one kind.
    #[track_caller]
    fn leaves(self, expected: After, max_bytes: u64) -> Self {
        let verdicts: Vec<_> = self.offences.iter().map(verdict).collect();
        let verdict = verdicts.first().copied().unwrap_or(Verdict::Nothing);
        assert!(verdicts.iter().all(|it| *it == verdict), "{:?}", self.offences);
        let peers = &self.lone.behaviour().peers;
        let score = peers.state().standings.iter().map(|it| it.score).min().unwrap_or(0);
        let is_open = self.lone.closed(self.peer).is_none();
        let learned = self.learned();
        assert_eq!(After { verdict, score, is_open, learned }, expected, "{:?}", self.offences);
        assert_eq!(peers.bans().count(), usize::from(score <= -10), "who is banned");
        let bytes = self.max_bytes;
        assert!(bytes <= max_bytes, "{bytes} bytes allocated, {max_bytes} at most");
        // A limit that is far from what happens says nothing.
        assert!(bytes * 4 + 4 * KIB >= max_bytes, "{bytes} bytes allocated, far from {max_bytes}");
        self
    }
}

fn verdict(offence: &Offence) -> Verdict {
    match offence {
        Offence::Malformed { message_type, .. } => Verdict::Malformed(*message_type),
        Offence::TooMuch(_) => Verdict::TooMuch,
        Offence::NoAnswer(_) => Verdict::NoAnswer,
        Offence::Frame(_) => Verdict::Frame,
        other => panic!("{other}"),
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect(text)
}

/// So many public addresses, each in a subnet of its own.
fn addresses(count: usize) -> Vec<SocketAddr> {
    (0..count).map(|it| address(&format!("{}.{}.9.9:8333", 11 + it / 250, it % 250))).collect()
}

fn frame(message_type: MessageType, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32 + 1).to_le_bytes();
    [&length[..], &[message_type.byte()], payload].concat()
}

/// The payload of a Peers of so many entries, whatever they are.
fn peers_payload(count: i32, entries: &[&[u8]]) -> Vec<u8> {
    [&count.to_le_bytes()[..], &entries.concat()].concat()
}

/// One entry of a Peers.
fn entry(len: i32, ip: &[u8], port: i32) -> Vec<u8> {
    [&len.to_le_bytes()[..], ip, &port.to_le_bytes()].concat()
}

fn question<'a>(max_count: i32, exclude: &'a [&'a str]) -> GetPeers<'a> {
    GetPeers { max_count, exclude: spacetime_core::wire::Exclude::new(exclude) }
}

/// The payload of a GetPeers, whatever it excludes.
fn question_payload(max_count: i32, count: i32, exclude: &[u8]) -> Vec<u8> {
    [&max_count.to_le_bytes()[..], &count.to_le_bytes(), exclude].concat()
}
