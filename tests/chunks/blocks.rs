//! A node that sends the largest blocks there can be without a pause, and pings beside them.

use std::convert::Infallible;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use spacetime_network::behaviour::Protocol;
use spacetime_network::wire::{ApplicationMessage, Frame, MAX_PAYLOAD, Nothing, Priority};
use spacetime_network::{
    CloseReason, ConnectionId, ConnectionMap, Context, Handshake, Hash, NetworkBehaviour, Ping, Rng, Time,
    Violation, handshake, message_set, ping,
};

pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);

/// A block as large as a frame can be.
#[derive(Serialize, Deserialize)]
pub(crate) struct Block<'a>(#[serde(serialize_with = "in_one_piece")] &'a [u8]);

/// Serde would take a slice for a sequence and write it byte by byte.
fn in_one_piece<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

impl ApplicationMessage for Block<'_> {
    const TYPE_BYTE: u8 = 0x90;
    const MAX_BYTES: u32 = MAX_PAYLOAD;
    const PRIORITY: Priority = Priority::High;
}

message_set! {
    pub(crate) enum Message<'a> {
        Block(Block<'a>),
    }
}

/// Sends blocks to everybody without a pause, if it has one.
pub(crate) struct Blocks {
    block: Option<Frame>,
    next_at: Time,
    peers: ConnectionMap<()>,
    pub(crate) heard_bytes: usize,
}

impl Blocks {
    fn new(sends: bool) -> Self {
        let block = sends.then(|| Frame::encode(&Block(&vec![7; MAX_PAYLOAD as usize - 8])).unwrap());
        Self { block, next_at: Time::ZERO, peers: ConnectionMap::new(), heard_bytes: 0 }
    }
}

impl Protocol for Blocks {
    type Message<'a> = Message<'a>;
    type Answer<'a> = Nothing;
    type Event = Infallible;
    type Command = Infallible;

    fn on_established(&mut self, _: &mut Context<'_, Infallible>, connection: ConnectionId) {
        self.peers.insert(connection, ());
    }

    fn on_closed(&mut self, _: &mut Context<'_, Infallible>, connection: ConnectionId, _: &CloseReason) {
        self.peers.remove(connection);
    }

    fn on_message(
        &mut self,
        _: &mut Context<'_, Infallible>,
        _: ConnectionId,
        _: Message<'_>,
        frame: &Frame,
    ) -> Result<(), Violation> {
        self.heard_bytes += frame.len();
        Ok(())
    }

    fn deadline(&self) -> Option<Time> {
        self.block.is_some().then_some(self.next_at)
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, Infallible>) {
        self.next_at = cx.now() + MILLISECOND * 5;
        let Some(block) = &self.block else { return };
        for peer in self.peers.keys() {
            if cx.queued_frames(peer, Priority::High) == 0 {
                // It is empty, so there is room.
                let _ = cx.send_frame(peer, block);
            }
        }
    }
}

#[derive(NetworkBehaviour)]
#[behaviour(crate = spacetime_network)]
pub(crate) struct Tree {
    handshake: Handshake,
    ping: Ping,
    pub(crate) blocks: Blocks,
}

pub(crate) fn tree(rng: &Rng, sends: bool) -> Tree {
    node(rng, sends, handshake::Config::new(Hash::ZERO))
}

/// One that gets all blocks as a whole.
pub(crate) fn without_chunks(rng: &Rng, sends: bool) -> Tree {
    node(rng, sends, handshake::Config::new(Hash::ZERO).without_chunks())
}

fn node(rng: &Rng, sends: bool, handshake: handshake::Config) -> Tree {
    let ping = ping::Config::default().with_interval(MILLISECOND * 50);
    Tree {
        handshake: Handshake::new(handshake, rng).unwrap(),
        ping: Ping::new(ping, rng).unwrap(),
        blocks: Blocks::new(sends),
    }
}
