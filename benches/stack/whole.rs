//! Two nodes with handshake, ping and a protocol that does the work.

use std::convert::Infallible;
use std::time::Duration;

use futures::StreamExt as _;
use spacetime_handshake::Handshake;
use spacetime_network::swarm::Config;
use spacetime_network::transport::TcpTransport;
use spacetime_network::wire::{Decode, DecodeError, EncodeError, Frame, Message, MessageType, Priority};
use spacetime_network::{
    CloseReason, ConnectionId, Context, Event, Expect, Hash, NetworkBehaviour, PeerId, Protocol, RequestId,
    Rng, SendError, Swarm, Violation, message_set,
};
use spacetime_ping::Ping;

use crate::Work;

/// Declares a message that is nothing but bytes.
macro_rules! bytes_message {
    ($name:ident, $byte:literal) => {
        struct $name<'a>(&'a [u8]);

        impl Message for $name<'_> {
            const TYPE: MessageType = MessageType::application($byte);
            const MAX_PAYLOAD: u32 = 1 << 20;

            fn encoded_len(&self) -> usize {
                self.0.len()
            }

            fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                out.extend_from_slice(self.0);
                Ok(())
            }
        }

        impl<'a> Decode<'a> for $name<'a> {
            fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
                Ok(Self(payload))
            }
        }
    };
}

bytes_message!(Data, 0x80);
bytes_message!(Question, 0x81);
bytes_message!(Answer, 0x82);

message_set! {
    enum Arriving<'a> {
        Data(Data<'a>),
        Question(Question<'a>),
    }
}

/// Sends, answers and counts.
struct Worker {
    work: Option<Work>,
    payload: Vec<u8>,
    /// Large data is encoded once and shared, as a relayed block is.
    frame: Option<Frame>,
    sent: usize,
}

impl Worker {
    fn new(work: Option<Work>) -> Self {
        let payload = match work {
            Some(Work::OneWay { bytes, .. } | Work::RoundTrips { bytes, .. }) => vec![7; bytes],
            None => Vec::new(),
        };
        let frame = (payload.len() > 4096).then(|| Frame::encode(&Data(&payload)).expect("it fits"));
        Self { work, payload, frame, sent: 0 }
    }

    fn send_more(&mut self, cx: &mut Context<'_, Frame>, to: ConnectionId) {
        match self.work {
            Some(Work::OneWay { count, .. }) => {
                while self.sent < count {
                    let result = match &self.frame {
                        Some(frame) => cx.send_frame(to, frame),
                        None => cx.send(to, &Data(&self.payload)),
                    };
                    match result {
                        Ok(()) => self.sent += 1,
                        Err(SendError::Full) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            Some(Work::RoundTrips { in_flight, .. }) => {
                for _ in 0..in_flight {
                    self.ask(cx, to);
                }
            }
            None => {}
        }
    }

    fn ask(&mut self, cx: &mut Context<'_, Frame>, to: ConnectionId) {
        let Some(Work::RoundTrips { count, .. }) = self.work else {
            return;
        };
        if self.sent < count {
            let expect = Expect { answer: Answer::TYPE, object_id: None, timeout: Duration::from_secs(60) };
            cx.request(to, &Question(&self.payload), expect).expect("there is room for so many");
            self.sent += 1;
        }
    }
}

impl Protocol for Worker {
    type Message<'a> = Arriving<'a>;
    type Answer<'a> = Answer<'a>;
    type Event = Frame;
    type Command = Infallible;

    fn on_established(&mut self, cx: &mut Context<'_, Frame>, connection: ConnectionId) {
        self.send_more(cx, connection);
    }

    fn on_message(
        &mut self,
        cx: &mut Context<'_, Frame>,
        from: ConnectionId,
        message: Arriving<'_>,
        frame: &Frame,
    ) -> Result<(), Violation> {
        match message {
            Arriving::Data(_) => cx.emit(frame.clone()),
            Arriving::Question(question) => {
                cx.send(from, &Answer(question.0)).expect("there is room for so many")
            }
        }
        Ok(())
    }

    fn on_answer(
        &mut self,
        cx: &mut Context<'_, Frame>,
        from: ConnectionId,
        _: RequestId,
        _: Answer<'_>,
        frame: &Frame,
    ) -> Result<(), Violation> {
        cx.emit(frame.clone());
        self.ask(cx, from);
        Ok(())
    }

    fn on_writable(&mut self, cx: &mut Context<'_, Frame>, connection: ConnectionId, _: Priority) {
        if matches!(self.work, Some(Work::OneWay { .. })) {
            self.send_more(cx, connection);
        }
    }
}

#[derive(NetworkBehaviour)]
struct Node {
    handshake: Handshake,
    ping: Ping,
    worker: Worker,
}

fn node(number: u8, work: Option<Work>) -> Swarm<Node> {
    let rng = Rng::from_number(number.into());
    let behaviour = Node {
        handshake: Handshake::new(spacetime_handshake::Config::new(Hash::ZERO), &rng).expect("valid"),
        ping: Ping::new(spacetime_ping::Config::default(), &rng).expect("valid"),
        worker: Worker::new(work),
    };
    let config = Config::new(PeerId([number; 32])).with_transport(TcpTransport::new());
    Swarm::new(behaviour, config).expect("default limits are valid")
}

pub(crate) async fn run(work: Work) {
    let mut far = node(2, None);
    let mut near = node(1, Some(work));
    let address = far.listen("127.0.0.1:0".parse().expect("an address")).await.expect("a port on loopback");
    near.dial(address).expect("room for a connection");
    let (counter, other) = match work {
        Work::OneWay { .. } => (far, near),
        Work::RoundTrips { .. } => (near, far),
    };
    let other = tokio::spawn(until_closed(other));
    tokio::spawn(count(counter, work.count())).await.expect("all messages arrive");
    other.await.expect("the other node ends");
}

/// Counts what arrives at the application, then stops the node.
async fn count(mut swarm: Swarm<Node>, count: usize) {
    let mut arrived = 0;
    while arrived < count {
        match swarm.next().await {
            Some(Event::Behaviour(NodeEvent::Worker(_))) => arrived += 1,
            Some(Event::Closed { reason, .. }) => panic!("{reason}"),
            _ => {}
        }
    }
    swarm.shutdown().await;
}

async fn until_closed(mut swarm: Swarm<Node>) {
    while let Some(event) = swarm.next().await {
        if let Event::Closed { reason: CloseReason::Remote(_) | CloseReason::EndOfStream, .. } = event {
            return;
        }
    }
}
