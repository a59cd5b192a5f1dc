//! Gossip, driven by hand and in simulated networks.

mod hear;
mod network;
mod tell;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use spacetime_core::wire::{Announcement, Decode as _, Frame, HandshakeAck, MessageType, Nothing, Peers};
use spacetime_core::{ConnectionId, Context, Hash, NetworkBehaviour, Protocol, Rng, Signal, Violation};
use spacetime_gossip::{Config, Gossip};
use spacetime_handshake::Handshake;
use spacetime_simulator::{Lone, handshake_frame};

const CHAIN: Hash = Hash([7; 32]);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Stands for the address book: says what was learned, and keeps it.
#[derive(Debug, Default)]
struct Book {
    addresses: BTreeSet<SocketAddr>,
}

impl Protocol for Book {
    type Message<'a> = Nothing;
    type Answer<'a> = Nothing;
    type Event = (ConnectionId, Vec<SocketAddr>);
    type Command = Infallible;

    fn on_message(
        &mut self,
        _: &mut Context<'_, Self::Event>,
        _: ConnectionId,
        never: Nothing,
        _: &Frame,
    ) -> Result<(), Violation> {
        match never {}
    }

    fn on_signal(&mut self, cx: &mut Context<'_, Self::Event>, signal: &Signal) {
        if let Signal::AddressesLearned { from, addresses } = signal {
            self.addresses.extend(addresses.iter());
            cx.emit((*from, addresses.to_vec()));
        }
    }
}

#[derive(NetworkBehaviour, Debug)]
struct Node {
    handshake: Handshake,
    gossip: Gossip,
    book: Book,
}

impl Node {
    fn new(config: Config, rng: &Rng) -> Self {
        Self {
            handshake: Handshake::new(spacetime_handshake::Config::new(CHAIN), rng).unwrap(),
            gossip: Gossip::new(config, rng).unwrap(),
            book: Book::default(),
        }
    }
}

fn node(config: Config) -> Lone<Node> {
    Lone::new(Node::new(config, &Rng::from_number(1)))
}

fn share(lone: &mut Lone<Node>, addresses: &[SocketAddr]) {
    lone.act(|_, cx| cx.signal(Signal::AddressesToShare(addresses.into())));
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// So many different public addresses.
fn addresses(count: usize) -> Vec<SocketAddr> {
    (0..count).map(|it| address(&format!("9.{}.{}.1:8333", it / 250, it % 250))).collect()
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

/// A node like ours connects from this address, and announces that it listens on this port.
fn connect(lone: &mut Lone<Node>, from: &str, listen_port: Option<u16>) -> ConnectionId {
    let peer = lone.connect_from(from.parse().unwrap(), None);
    lone.give_bytes(peer, &introduction(listen_port));
    lone.sent(peer);
    peer
}

/// So many nodes like ours connect, that do not say where they listen.
fn connect_many(lone: &mut Lone<Node>, count: usize) -> Vec<ConnectionId> {
    (0..count).map(|it| connect(lone, &format!("8.{it}.8.8:1000"), None)).collect()
}

/// A version-1 node connects.
fn connect_version_1(lone: &mut Lone<Node>, from: &str) -> ConnectionId {
    let peer = lone.connect_from(from.parse().unwrap(), None);
    lone.give_bytes(peer, &handshake_frame("an old peer", None));
    lone.sent(peer);
    peer
}

/// The node dials an address at which a node like ours answers.
fn dial(lone: &mut Lone<Node>, to: &str) -> ConnectionId {
    let peer = lone.act(|_, cx| cx.dial(to.parse().unwrap())).unwrap();
    lone.dialled();
    lone.answer_dial(peer);
    lone.give(peer, &HandshakeAck);
    lone.give_bytes(peer, &introduction(None));
    lone.sent(peer);
    peer
}

/// What a peer was told since the last call: the addresses of each message.
fn told(lone: &mut Lone<Node>, peer: ConnectionId) -> Vec<Vec<SocketAddr>> {
    let sent = lone.sent(peer).into_iter();
    sent.map(|(message_type, payload)| {
        assert_eq!(message_type, MessageType::PEERS);
        Peers::decode(&payload).unwrap().iter().collect()
    })
    .collect()
}

/// To how many of these peers each address was passed on since the last call, with the time that
/// it takes.
fn passed_on(lone: &mut Lone<Node>, peers: &[ConnectionId], address: SocketAddr) -> Vec<ConnectionId> {
    lone.advance(SECOND * 6);
    let mut to = Vec::new();
    for peer in peers {
        let times = told(lone, *peer).into_iter().flatten().filter(|it| *it == address).count();
        to.extend(std::iter::repeat_n(*peer, times));
    }
    to
}

/// What was learned since the last call, and from whom.
fn learned(lone: &mut Lone<Node>) -> Vec<(ConnectionId, Vec<SocketAddr>)> {
    let book = |event| match event {
        NodeEvent::Book(learned) => learned,
    };
    lone.events().into_iter().map(book).collect()
}

/// How many addresses were learned since the last call.
fn learned_count(lone: &mut Lone<Node>) -> usize {
    learned(lone).iter().map(|(_, addresses)| addresses.len()).sum()
}
