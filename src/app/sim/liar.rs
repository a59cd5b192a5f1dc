//! Peers that serve a chain, and lie.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use spacetime_core::Hash;
use spacetime_core::chain::{BlockHeader, HEADER_BYTES};
use spacetime_core::wire::{
    Announcement, Block, Capability, Decode as _, Frame, GetBlock, GetHeaders, HandshakeAck, Headers, Locate,
    MAX_HEADERS, Message, MessageType, Ping, Pong,
};
use spacetime_simulator::{Actor, Hands, PuppetId, handshake_frame};

use super::made_chain::MadeChain;

/// How often those that drip do so.
const DRIP_TIME: Duration = Duration::from_millis(100);

/// Bytes that come in one drip: 1 KB/s.
const DRIP_BYTES: usize = 100;

/// Blocks that are held back to be sent in another order.
const REORDERED_BLOCKS: usize = 4;

/// Of so many blocks one never comes, from those that stall.
const STALLED_BLOCKS: usize = 50;

/// What a peer that serves a chain does instead of serving it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum ChainLie {
    /// It answers nothing.
    Silent,
    /// It sends most blocks, and some never: all others soon wait for those.
    StallsAtTheWindowHead,
    /// It sends 1000 bytes per second.
    Drips,
    /// It has a long chain of blocks that are valid and weigh little.
    LowWorkChain,
    /// One of its headers does not follow the one before.
    BrokenLink,
    /// Its blocks have the right headers and other bodies.
    WrongBody,
    /// Its headers have heights that are not theirs.
    WrongHeight,
    /// It has all headers and no blocks.
    ClaimsWhatItLacks,
    /// It sends blocks twice, and in another order.
    DuplicatesAndReorders,
    /// It goes over to another heavier chain, which it makes up, with each question.
    FlapsReorganisations,
    /// It serves all but the last of a hundred parts, and then nothing.
    HonestUntilNearlyDone,
    /// It answers with bytes that mean nothing.
    ServesGarbage,
}

impl ChainLie {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Silent,
        Self::StallsAtTheWindowHead,
        Self::Drips,
        Self::LowWorkChain,
        Self::BrokenLink,
        Self::WrongBody,
        Self::WrongHeight,
        Self::ClaimsWhatItLacks,
        Self::DuplicatesAndReorders,
        Self::FlapsReorganisations,
        Self::HonestUntilNearlyDone,
        Self::ServesGarbage,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "lie_silent",
            Self::StallsAtTheWindowHead => "lie_stalls_at_the_window_head",
            Self::Drips => "lie_drips",
            Self::LowWorkChain => "lie_low_work_chain",
            Self::BrokenLink => "lie_broken_link",
            Self::WrongBody => "lie_wrong_body",
            Self::WrongHeight => "lie_wrong_height",
            Self::ClaimsWhatItLacks => "lie_claims_what_it_lacks",
            Self::DuplicatesAndReorders => "lie_duplicates_and_reorders",
            Self::FlapsReorganisations => "lie_flaps_reorganisations",
            Self::HonestUntilNearlyDone => "lie_honest_until_nearly_done",
            Self::ServesGarbage => "lie_serves_garbage",
        }
    }
}

/// A peer that is dialled, says who it is, and lies.
pub(super) struct Liar {
    lie: ChainLie,
    chain: Arc<MadeChain>,
    chain_id: Hash,
    connections: BTreeMap<PuppetId, Held>,
    /// What it has made up, by the hashes of the headers.
    invented: MadeChain,
}

/// What is not sent yet on a connection.
#[derive(Default)]
struct Held {
    dripping: VecDeque<u8>,
    blocks: Vec<Vec<u8>>,
}

impl Liar {
    /// A peer that has, or should have, this chain.
    pub(super) fn new(lie: ChainLie, chain: Arc<MadeChain>, chain_id: Hash) -> Self {
        Self { lie, chain, chain_id, connections: BTreeMap::new(), invented: MadeChain::default() }
    }

    fn greeting(&self, hands: &mut Hands) -> Vec<u8> {
        let claimed = match self.lie {
            ChainLie::ClaimsWhatItLacks => u64::MAX / 2,
            _ => self.chain.height() as u64,
        };
        let mut capabilities = Vec::new();
        // Half of them answer as nodes of version 1 do.
        if hands.rng().chance(1, 2) {
            let (name, version) = (spacetime_sync::CAPABILITY.into(), spacetime_sync::CAPABILITY_VERSION);
            capabilities.push(Capability { name, version });
        }
        let announcement = Announcement {
            protocol_versions: (1, 1),
            chain_id: self.chain_id,
            listen_port: None,
            capabilities,
            nonce: hands.rng().u64(),
            best_block: Some((claimed, self.chain.hash(self.chain.height()))),
        };
        let name = Hash(hands.rng().bytes()).to_string();
        [frame(&HandshakeAck), handshake_frame(&name, Some(&announcement))].concat()
    }

    fn on_message(
        &mut self,
        hands: &mut Hands,
        connection: PuppetId,
        message_type: MessageType,
        payload: &[u8],
    ) {
        match message_type {
            MessageType::HANDSHAKE => {
                let greeting = self.greeting(hands);
                hands.send(connection, greeting);
            }
            MessageType::PING => {
                if let Ok(Ping { nonce, timestamp }) = Ping::decode(payload) {
                    hands.send(connection, frame(&Pong { nonce, timestamp }));
                }
            }
            MessageType::GET_HEADERS => {
                if let Ok(GetHeaders { locator, stop: _, max_headers }) = GetHeaders::decode(payload) {
                    self.on_get_headers(hands, connection, &[locator], max_headers);
                }
            }
            MessageType::LOCATE => {
                if let Ok(Locate { locator, max_headers }) = Locate::decode(payload) {
                    self.on_get_headers(hands, connection, &locator.iter().collect::<Vec<_>>(), max_headers);
                }
            }
            MessageType::GET_BLOCK => {
                if let Ok(GetBlock { hash }) = GetBlock::decode(payload) {
                    self.on_get_block(hands, connection, hash);
                }
            }
            _ => {}
        }
    }

    fn on_get_headers(&mut self, hands: &mut Hands, to: PuppetId, locator: &[Hash], max_headers: i32) {
        let max_headers = usize::try_from(max_headers).unwrap_or(1).min(MAX_HEADERS);
        let mut headers = self.chain.headers_after(locator, max_headers);
        let middle = headers.len() / 2;
        match self.lie {
            ChainLie::Silent => return hands.count(self.lie.name()),
            ChainLie::ServesGarbage => return self.garbage(hands, to, MessageType::HEADERS),
            ChainLie::BrokenLink if middle > 0 => {
                hands.count(self.lie.name());
                headers.remove(middle);
            }
            ChainLie::WrongHeight if middle > 0 => {
                hands.count(self.lie.name());
                change(&mut headers[middle], |header| header.height += 1 + hands.rng().below(100) as i64);
            }
            ChainLie::FlapsReorganisations => {
                if let Some(parent) = locator.iter().find_map(|hash| self.chain.height_of(*hash)) {
                    hands.count(self.lie.name());
                    let parent = parent.saturating_sub(hands.rng().below(3) as usize);
                    let salt = hands.rng().u64() as i64 & 0xffff;
                    self.invented = self.chain.invent(parent, max_headers.min(500), 3000 + salt % 1000);
                    headers = self.invented.headers_after(locator, max_headers);
                }
            }
            ChainLie::LowWorkChain => hands.count(self.lie.name()),
            _ => {}
        }
        let headers: Vec<_> = headers.iter().map(Vec::as_slice).collect();
        self.send(hands, to, frame(&Headers::new(&headers)));
        if self.lie == ChainLie::DuplicatesAndReorders && !headers.is_empty() && hands.rng().chance(1, 4) {
            hands.count(self.lie.name());
            self.send(hands, to, frame(&Headers::new(&headers)));
        }
    }

    fn on_get_block(&mut self, hands: &mut Hands, to: PuppetId, hash: Hash) {
        let Some(height) = self.chain.height_of(hash) else { return };
        let block = self.chain.block(height).to_vec();
        let count = |hands: &mut Hands| hands.count(self.lie.name());
        match self.lie {
            ChainLie::Silent => {}
            ChainLie::ClaimsWhatItLacks => count(hands),
            ChainLie::StallsAtTheWindowHead if height % STALLED_BLOCKS == 1 => count(hands),
            ChainLie::HonestUntilNearlyDone if height * 100 > self.chain.height() * 99 => count(hands),
            ChainLie::ServesGarbage => self.garbage(hands, to, MessageType::BLOCK),
            ChainLie::WrongBody => {
                count(hands);
                let mut block = block;
                // A transaction, or the proof: the header commits to one of them only.
                let place = match hands.rng().chance(1, 2) {
                    true => HEADER_BYTES + 100,
                    false => block.len() - 10,
                };
                block[place] ^= 1;
                self.send(hands, to, frame(&Block { bytes: &block }));
            }
            ChainLie::DuplicatesAndReorders => {
                count(hands);
                let held = &mut self.connections.entry(to).or_default().blocks;
                held.push(block);
                if held.len() >= REORDERED_BLOCKS {
                    self.send_held(hands, to);
                } else {
                    hands.wake_after(DRIP_TIME);
                }
            }
            _ => self.send(hands, to, frame(&Block { bytes: &block })),
        }
    }

    /// Sends what was held back, in another order and some of it twice.
    fn send_held(&mut self, hands: &mut Hands, to: PuppetId) {
        let mut blocks = std::mem::take(&mut self.connections.entry(to).or_default().blocks);
        hands.rng().shuffle(&mut blocks);
        for block in &blocks {
            let times = if hands.rng().chance(1, 4) { 2 } else { 1 };
            (0..times).for_each(|_| hands.send(to, frame(&Block { bytes: block })));
        }
    }

    fn garbage(&self, hands: &mut Hands, to: PuppetId, message_type: MessageType) {
        hands.count(self.lie.name());
        let payload: Vec<u8> = (0..500).map(|_| hands.rng().u64() as u8).collect();
        let length = (payload.len() as u32 + 1).to_le_bytes();
        hands.send(to, [&length[..], &[message_type.byte()], &payload].concat());
    }

    fn send(&mut self, hands: &mut Hands, to: PuppetId, bytes: Vec<u8>) {
        if self.lie == ChainLie::Drips {
            hands.count(self.lie.name());
            let held = self.connections.entry(to).or_default();
            if held.dripping.is_empty() {
                hands.wake_after(DRIP_TIME);
            }
            held.dripping.extend(bytes);
        } else {
            hands.send(to, bytes);
        }
    }
}

impl Actor for Liar {
    fn on_start(&mut self, _: &mut Hands) {}

    fn on_connected(&mut self, _: &mut Hands, connection: PuppetId) {
        self.connections.insert(connection, Held::default());
    }

    fn on_received(&mut self, hands: &mut Hands, connection: PuppetId, received: &mut Vec<u8>) {
        let mut used = 0;
        while let Some((length, rest)) = received[used..].split_first_chunk() {
            let length = u32::from_le_bytes(*length) as usize;
            let Some((message_type, payload)) = rest.get(..length).and_then(<[u8]>::split_first) else {
                break;
            };
            let (message_type, payload) = (MessageType::from_byte(*message_type), payload.to_vec());
            used += 4 + length;
            self.on_message(hands, connection, message_type, &payload);
        }
        received.drain(..used);
    }

    fn on_closed(&mut self, _: &mut Hands, connection: PuppetId) {
        self.connections.remove(&connection);
    }

    fn on_wake(&mut self, hands: &mut Hands) {
        let connections: Vec<_> = self.connections.keys().copied().collect();
        for connection in connections {
            self.send_held(hands, connection);
            let Some(held) = self.connections.get_mut(&connection) else { continue };
            let bytes: Vec<_> = held.dripping.drain(..held.dripping.len().min(DRIP_BYTES)).collect();
            if !bytes.is_empty() {
                hands.send(connection, bytes);
                hands.wake_after(DRIP_TIME);
            }
        }
    }
}

fn frame(message: &impl Message) -> Vec<u8> {
    Frame::encode(message).map(|frame| frame.bytes().to_vec()).unwrap_or_default()
}

fn change(header: &mut Vec<u8>, change: impl FnOnce(&mut BlockHeader)) {
    if let Ok(mut read) = BlockHeader::decode(header) {
        change(&mut read);
        *header = read.to_bytes();
    }
}
