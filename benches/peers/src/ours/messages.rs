//! A protocol of an application: messages, questions and answers that are nothing but bytes.

use std::time::Duration;

use spacetime_network::handshake::{self, Handshake};
use spacetime_network::ping::{self, Ping};
use spacetime_network::wire::{Decode, DecodeError, EncodeError, Frame, Message, MessageType, Priority};
use spacetime_network::{
    ConnectionId, Context, Expect, NetworkBehaviour, Protocol, RequestId, Rng, SendError, Violation,
    message_set,
};

use crate::node::CHAIN;

/// Declares a message that is nothing but bytes.
macro_rules! bytes_message {
    ($name:ident, $byte:literal) => {
        pub(crate) struct $name<'a>(&'a [u8]);

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
    pub(crate) enum Arriving<'a> {
        Data(Data<'a>),
        Question(Question<'a>),
    }
}

/// What the application wants.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// So many messages.
    Send { to: ConnectionId, bytes: usize, count: usize },
    /// So many questions.
    Ask { of: ConnectionId, bytes: usize, in_flight: usize, count: usize },
}

/// Sends what it is ordered to, answers questions, and tells of messages and answers that came.
#[derive(Debug, Default)]
pub(crate) struct Worker {
    payload: Vec<u8>,
    /// Large messages are encoded once and shared, as a relayed block is.
    frame: Option<Frame>,
    messages_left: usize,
    questions_left: usize,
}

impl Worker {
    fn send_more(&mut self, cx: &mut Context<'_, Frame>, to: ConnectionId) {
        while self.messages_left > 0 {
            let result = match &self.frame {
                Some(frame) => cx.send_frame(to, frame),
                None => cx.send(to, &Data(&self.payload)),
            };
            match result {
                Ok(()) => self.messages_left -= 1,
                Err(SendError::Full) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn ask(&mut self, cx: &mut Context<'_, Frame>, of: ConnectionId) {
        if self.questions_left > 0 {
            let expect = Expect { answer: Answer::TYPE, object_id: None, timeout: Duration::from_secs(60) };
            cx.request(of, &Question(&self.payload), expect).expect("there is room for so many");
            self.questions_left -= 1;
        }
    }
}

impl Protocol for Worker {
    type Message<'a> = Arriving<'a>;
    type Answer<'a> = Answer<'a>;
    type Event = Frame;
    type Command = Order;

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
                cx.send(from, &Answer(question.0)).expect("there is room for so many");
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
        self.send_more(cx, connection);
    }

    fn on_command(&mut self, cx: &mut Context<'_, Frame>, order: Order) {
        match order {
            Order::Send { to, bytes, count } => {
                self.payload = vec![7; bytes];
                let is_large = bytes > 4096;
                self.frame = is_large.then(|| Frame::encode(&Data(&self.payload)).expect("it fits"));
                self.messages_left = count;
                self.send_more(cx, to);
            }
            Order::Ask { of, bytes, in_flight, count } => {
                self.payload = vec![7; bytes];
                self.questions_left = count;
                for _ in 0..in_flight {
                    self.ask(cx, of);
                }
            }
        }
    }
}

/// A node with nothing but this.
#[derive(NetworkBehaviour)]
pub(crate) struct Node {
    handshake: Handshake,
    ping: Ping,
    worker: Worker,
}

impl Node {
    pub(crate) fn new(rng: &Rng) -> Self {
        Self {
            handshake: Handshake::new(handshake::Config::new(CHAIN), rng).expect("valid"),
            ping: Ping::new(ping::Config::default(), rng).expect("valid"),
            worker: Worker::default(),
        }
    }
}
