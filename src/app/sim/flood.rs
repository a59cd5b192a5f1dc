//! Traffic like gossip: items that everybody passes on once.

use std::collections::{HashSet, VecDeque};

use serde::{Deserialize, Serialize, Serializer};
use spacetime_core::canary::{self, Canary};
use spacetime_core::wire::{ApplicationMessage, Frame, Nothing};
use spacetime_core::{ConnectionId, ConnectionMap, Context, Protocol, Rng, Violation};

/// Items that a node remembers.
const MAX_SEEN: usize = 512;

/// Something to be passed on.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Item<'a> {
    /// Which one.
    pub id: u64,
    /// What it carries.
    #[serde(serialize_with = "in_one_piece")]
    pub payload: &'a [u8],
}

/// Serde would take a slice for a sequence and write it byte by byte.
fn in_one_piece<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

impl ApplicationMessage for Item<'_> {
    const TYPE_BYTE: u8 = 0xe0;
    const MAX_BYTES: u32 = 64 * 1024;
}

/// Passes on every item that it has not seen, to everybody but the one it came from.
#[derive(Debug)]
pub struct Flood {
    rng: Rng,
    peers: ConnectionMap<()>,
    seen: HashSet<u64>,
    /// What was seen, the oldest first.
    order: VecDeque<u64>,
    duplicates: u64,
}

/// What becomes of items.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FloodEvent {
    /// The node itself has made an item.
    Made(u64),
    /// A new item came from a peer.
    New(u64),
}

impl Flood {
    /// A node that has seen nothing.
    pub fn new(rng: &Rng) -> Self {
        let rng = rng.fork("flood");
        Self { rng, peers: ConnectionMap::new(), seen: HashSet::new(), order: VecDeque::new(), duplicates: 0 }
    }

    /// Items that came when they were known.
    pub const fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Whether it is new.
    fn remember(&mut self, id: u64) -> bool {
        if !self.seen.insert(id) {
            return canary::is(Canary::DedupOff);
        }
        self.order.push_back(id);
        if self.order.len() > MAX_SEEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }
}

impl Protocol for Flood {
    type Message<'a> = Item<'a>;
    type Answer<'a> = Nothing;
    type Event = FloodEvent;
    /// Sends an item of so many bytes to everybody.
    type Command = usize;

    fn on_established(&mut self, _: &mut Context<'_, FloodEvent>, connection: ConnectionId) {
        self.peers.insert(connection, ());
    }

    fn on_closed(
        &mut self,
        _: &mut Context<'_, FloodEvent>,
        connection: ConnectionId,
        _: &spacetime_core::CloseReason,
    ) {
        self.peers.remove(connection);
    }

    fn on_message(
        &mut self,
        cx: &mut Context<'_, FloodEvent>,
        from: ConnectionId,
        item: Item<'_>,
        frame: &Frame,
    ) -> Result<(), Violation> {
        if self.remember(item.id) {
            cx.emit(FloodEvent::New(item.id));
            cx.broadcast(self.peers.keys().filter(|peer| *peer != from), frame);
        } else {
            self.duplicates += 1;
        }
        Ok(())
    }

    fn on_command(&mut self, cx: &mut Context<'_, FloodEvent>, payload_bytes: usize) {
        let item = Item { id: self.rng.u64(), payload: &vec![7; payload_bytes] };
        if let Ok(frame) = Frame::encode(&item) {
            self.remember(item.id);
            cx.emit(FloodEvent::Made(item.id));
            cx.broadcast(self.peers.keys(), &frame);
        }
    }
}
