//! Two nodes with handshake, ping and a protocol that sends.

use std::convert::Infallible;

use futures::StreamExt as _;
use spacetime_handshake::Handshake;
use spacetime_network::swarm::Config;
use spacetime_network::transport::tls::NodeKey;
use spacetime_network::transport::{TcpTransport, TlsConfig, TlsTransport};
use spacetime_network::wire::{
    Decode, DecodeError, EncodeError, Frame, Message, MessageType, Nothing, Priority,
};
use spacetime_network::{
    Address, CloseReason, ConnectionId, Context, Event, Hash, Limits, NetworkBehaviour, Protocol, Rng,
    SendError, Swarm, Violation,
};
use spacetime_ping::Ping;

use crate::MESSAGE_BYTES;

/// Nothing but bytes.
struct Data<'a>(&'a [u8]);

impl Message for Data<'_> {
    const TYPE: MessageType = MessageType::application(0x80);
    const MAX_PAYLOAD: u32 = 1 << 20;

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(self.0);
        Ok(())
    }
}

impl<'a> Decode<'a> for Data<'a> {
    fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(Self(payload))
    }
}

/// Sends so many messages to whom it is connected with, and counts those that come.
struct Sender {
    frame: Frame,
    left: usize,
}

impl Sender {
    fn send(&mut self, cx: &mut Context<'_, ()>, to: ConnectionId) {
        while self.left > 0 {
            match cx.send_frame(to, &self.frame) {
                Ok(()) => self.left -= 1,
                Err(SendError::Full) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

impl Protocol for Sender {
    type Message<'a> = Data<'a>;
    type Answer<'a> = Nothing;
    type Event = ();
    type Command = Infallible;

    fn on_established(&mut self, cx: &mut Context<'_, ()>, connection: ConnectionId) {
        self.send(cx, connection);
    }

    fn on_message(
        &mut self,
        cx: &mut Context<'_, ()>,
        _: ConnectionId,
        _: Data<'_>,
        _: &Frame,
    ) -> Result<(), Violation> {
        cx.emit(());
        Ok(())
    }

    fn on_writable(&mut self, cx: &mut Context<'_, ()>, connection: ConnectionId, _: Priority) {
        self.send(cx, connection);
    }
}

#[derive(NetworkBehaviour)]
struct Node {
    handshake: Handshake,
    ping: Ping,
    sender: Sender,
}

fn node(number: u8, messages: usize) -> Swarm<Node> {
    let rng = Rng::from_number(number.into());
    let behaviour = Node {
        handshake: Handshake::new(spacetime_handshake::Config::new(Hash::ZERO), &rng).expect("valid"),
        ping: Ping::new(spacetime_ping::Config::default(), &rng).expect("valid"),
        sender: Sender {
            frame: Frame::encode(&Data(&vec![7; MESSAGE_BYTES])).expect("it fits"),
            left: messages,
        },
    };
    let tls = TlsConfig::new(NodeKey::from_seed([number; 32]));
    let transport = TlsTransport::new(TcpTransport::new(), &tls).expect("valid");
    let config = Config::new(tls.peer_id()).with_transport(transport).with_limits(Limits::default());
    Swarm::new(behaviour, config).expect("default limits are valid")
}

async fn listen(node: &mut Swarm<Node>) -> Address {
    node.listen("127.0.0.1:0".parse().expect("an address")).await.expect("a port on loopback")
}

async fn established(node: &mut Swarm<Node>) -> ConnectionId {
    loop {
        match node.next().await {
            Some(Event::Established { connection, .. }) => return connection,
            Some(Event::DialFailed { error, .. }) => panic!("{error}"),
            _ => {}
        }
    }
}

async fn closed(node: &mut Swarm<Node>) {
    while !matches!(node.next().await, Some(Event::Closed { .. })) {}
}

pub(crate) async fn handshakes(count: usize) {
    let (mut near, mut far) = (node(1, 0), node(2, 0));
    let address = listen(&mut far).await;
    for _ in 0..count {
        near.dial(address.clone()).expect("room for a connection");
        let (connection, _) = tokio::join!(established(&mut near), established(&mut far));
        near.act(|_, cx| cx.close(connection, CloseReason::Requested));
        tokio::join!(closed(&mut near), closed(&mut far));
    }
}

pub(crate) async fn bulk(count: usize) {
    let (mut near, mut far) = (node(1, count), node(2, 0));
    let address = listen(&mut far).await;
    near.dial(address).expect("room for a connection");
    let sender = tokio::spawn(async move { closed(&mut near).await });
    let receiver = tokio::spawn(async move {
        let mut arrived = 0;
        while arrived < count {
            match far.next().await {
                Some(Event::Behaviour(NodeEvent::Sender(()))) => arrived += 1,
                Some(Event::Closed { reason, .. }) => panic!("{reason}"),
                _ => {}
            }
        }
        far.shutdown().await;
    });
    receiver.await.expect("the receiver ends");
    sender.await.expect("the sender ends");
}
