//! Peer exchange, driven by hand.

mod answer;
mod ask;
mod network;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use spacetime_core::wire::{
    Announcement, Decode as _, Exclude, Frame, GetPeers, HandshakeAck, MessageType, Nothing, Peers,
};
use spacetime_core::{
    ConnectionId, Context, Hash, NetworkBehaviour, PeerId, Protocol, Rng, Signal, Violation,
};
use spacetime_handshake::Handshake;
use spacetime_peer_exchange::{Config, PeerExchange};
use spacetime_simulator::{Lone, handshake_frame};

const CHAIN: Hash = Hash([7; 32]);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Stands for the address book: says what was learned.
#[derive(Debug)]
struct Book;

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
            cx.emit((*from, addresses.to_vec()));
        }
    }
}

#[derive(NetworkBehaviour, Debug)]
struct Node {
    handshake: Handshake,
    peer_exchange: PeerExchange,
    book: Book,
}

fn node(config: Config) -> Lone<Node> {
    let rng = Rng::from_number(1);
    Lone::new(Node {
        handshake: Handshake::new(spacetime_handshake::Config::new(CHAIN), &rng).unwrap(),
        peer_exchange: PeerExchange::new(config, &rng).unwrap(),
        book: Book,
    })
}

/// A node that tells these addresses.
fn node_that_tells(addresses: &[SocketAddr]) -> Lone<Node> {
    let mut lone = node(Config::default());
    let addresses: Arc<[SocketAddr]> = addresses.into();
    lone.act(|_, cx| cx.signal(Signal::AddressesToShare(addresses)));
    lone
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

/// A node like ours connects that proves who it is.
fn connect_proven(lone: &mut Lone<Node>, from: &str, id: PeerId) -> ConnectionId {
    let peer = lone.connect_from(from.parse().unwrap(), Some(id));
    let name = id.to_string();
    let announcement = Announcement {
        protocol_versions: (1, 1),
        chain_id: CHAIN,
        listen_port: None,
        capabilities: Vec::new(),
        nonce: 5,
        best_block: None,
    };
    lone.give_bytes(peer, &handshake_frame(&name, Some(&announcement)));
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
    peer
}

/// The node dials an address at which a version-1 node answers, and has been let in.
fn dial_version_1(lone: &mut Lone<Node>, to: &str) -> ConnectionId {
    let peer = lone.act(|_, cx| cx.dial(to.parse().unwrap())).unwrap();
    lone.dialled();
    lone.answer_dial(peer);
    lone.give(peer, &HandshakeAck);
    lone.advance(SECOND);
    peer
}

/// What a peer is told when it asks for so many; none if it gets no answer.
fn ask(
    lone: &mut Lone<Node>,
    peer: ConnectionId,
    max_count: i32,
    exclude: &[&str],
) -> Option<Vec<SocketAddr>> {
    lone.sent(peer);
    lone.give(peer, &GetPeers { max_count, exclude: Exclude::new(exclude) });
    let sent = lone.sent(peer);
    let (message_type, payload) = sent.first()?;
    assert_eq!((*message_type, sent.len()), (MessageType::PEERS, 1));
    let mut told: Vec<_> = Peers::decode(payload).unwrap().iter().collect();
    told.sort_unstable();
    Some(told)
}

/// The questions that were sent to a peer since the last call: for how many, and what was excluded.
fn questions(lone: &mut Lone<Node>, peer: ConnectionId) -> Vec<(i32, Vec<String>)> {
    let sent = lone.sent(peer).into_iter();
    sent.filter(|(message_type, _)| *message_type == MessageType::GET_PEERS)
        .map(|(_, payload)| {
            let question = GetPeers::decode(&payload).unwrap();
            (question.max_count, question.exclude.iter().map(str::to_owned).collect())
        })
        .collect()
}

/// What was learned since the last call, and from whom.
fn learned(lone: &mut Lone<Node>) -> Vec<(ConnectionId, Vec<SocketAddr>)> {
    let book = |event| match event {
        NodeEvent::Book(learned) => learned,
    };
    lone.events().into_iter().map(book).collect()
}
