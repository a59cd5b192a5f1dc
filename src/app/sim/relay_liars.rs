//! Peers that lie to the relay, and what an item must be to be true.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use spacetime_core::chain::{DevelopmentChain, Transaction, UNSIGNED_TRANSACTION_BYTES};
use spacetime_core::wire::{
    Announce, Announced, Announcement, Capability, Decode as _, Frame, Hashes, MAX_ANNOUNCED, Message,
    MessageType, NotFound, ProofSubmission,
};
use spacetime_core::{Address, Hash, Rng};
use spacetime_relay::{CAPABILITY, CAPABILITY_VERSION, Item, Kind};
use spacetime_simulator::{Actor, Hands, PuppetId, cut_frames, handshake_frame};

/// How often they do something.
const TURN: Duration = Duration::from_millis(500);

/// Every so many turns they come again where they were thrown out.
const TURNS_BETWEEN_DIALS: u64 = 20;

/// What they remember of what they heard.
const MAX_HEARD: usize = 32;

/// Items in a flood.
const FLOOD_ITEMS: u64 = 200;

/// Blocks that nobody made but they are of about so many bytes.
const BLOCK_BYTES: usize = 1500;

/// A transaction whose signature is right, as far as that goes here: it is the hash of the rest.
pub(super) fn transaction(rng: &mut Rng) -> Vec<u8> {
    let mut unsigned = Transaction {
        version: 1,
        sender: [2; 33],
        recipient: [3; 33],
        amount: 1,
        nonce: (rng.u64() >> 1).cast_signed(),
        fee: 1,
        signature: [0; 64],
    }
    .to_bytes();
    let hash = Hash::of(&unsigned[..UNSIGNED_TRANSACTION_BYTES]);
    unsigned[UNSIGNED_TRANSACTION_BYTES..][..32].copy_from_slice(hash.as_bytes());
    unsigned
}

/// Whether that is so.
pub(super) fn is_true_transaction(bytes: &[u8]) -> bool {
    let Some((unsigned, signature)) = bytes.split_at_checked(UNSIGNED_TRANSACTION_BYTES) else {
        return false;
    };
    signature.len() == 64 && signature[..32] == Hash::of(unsigned).0 && signature[32..] == [0; 32]
}

/// A proof of so many bytes, which begins with the hash of who made it.
pub(super) fn proof(rng: &mut Rng, bytes: usize) -> Vec<u8> {
    let mut miner_id = [2; 33];
    miner_id[..8].copy_from_slice(&rng.bytes::<8>());
    let mut proof = Hash::of(&miner_id).0.to_vec();
    proof.resize(bytes.max(32), 7);
    let submission = ProofSubmission { block_height: 1, miner_id, proof: &proof };
    Item::proof(&submission).map(|item| item.payload().to_vec()).unwrap_or_default()
}

/// Whether that is so.
pub(super) fn is_true_proof(payload: &[u8]) -> bool {
    ProofSubmission::decode(payload).is_ok_and(|it| it.proof.starts_with(Hash::of(&it.miner_id).as_bytes()))
}

/// What a liar does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Lie {
    /// It sends what breaks the rules, in every way.
    Invalid,
    /// It sends again what it heard, and what was refused.
    Replayed,
    /// It changes what the name of a block or of a transaction does not cover.
    Padded,
    /// It sends and announces more than anybody takes, none of it true.
    Flooded,
    /// It speaks in the place of others: of their items with sizes that they do not have, of proofs of
    /// theirs, and says that it has not what it announced.
    Blamed,
    /// It announces what it heard of, and what is not there, and sends nothing of it.
    Withheld,
}

impl Lie {
    const ALL: [Self; 6] =
        [Self::Invalid, Self::Replayed, Self::Padded, Self::Flooded, Self::Blamed, Self::Withheld];

    /// Its name in scenarios and reports.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid_items",
            Self::Replayed => "replayed_items",
            Self::Padded => "padded_items",
            Self::Flooded => "flooded_items",
            Self::Blamed => "blamed_items",
            Self::Withheld => "withheld_items",
        }
    }

    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lie| lie.name() == name)
    }
}

/// What liars call themselves begins with this.
pub(super) const LIAR: &str = "liar";

/// What one calls itself.
pub(super) fn liar_name(number: usize) -> String {
    format!("{LIAR} {number}")
}

/// A peer that tells one kind of lies to everybody it knows.
pub(super) struct Liar {
    lie: Lie,
    name: String,
    chain_id: Hash,
    victims: Vec<Address>,
    /// Its connections, and what came on each that is no whole frame yet.
    connections: BTreeMap<PuppetId, Vec<u8>>,
    heard: VecDeque<Item>,
    /// Something of its own that was refused.
    refused: Option<Vec<u8>>,
    turns: u64,
}

impl Liar {
    pub(super) fn new(lie: Lie, number: usize, chain_id: Hash, victims: Vec<Address>) -> Self {
        Self {
            lie,
            name: liar_name(number),
            chain_id,
            victims,
            connections: BTreeMap::new(),
            heard: VecDeque::new(),
            refused: None,
            turns: 0,
        }
    }

    fn send(&self, hands: &mut Hands, connection: PuppetId, bytes: Vec<u8>) {
        hands.count(self.lie.name());
        hands.send(connection, bytes);
    }

    /// What it says in one turn.
    fn speak(&mut self, hands: &mut Hands) -> Vec<u8> {
        match self.lie {
            Lie::Invalid => invalid(hands.rng()),
            Lie::Replayed => {
                let refused = self.refused.get_or_insert_with(|| padded_transaction(hands.rng())).clone();
                let heard = self.heard.iter().flat_map(|item| item.frame().bytes().to_vec());
                heard.chain(refused).collect()
            }
            Lie::Padded => {
                let heard: Vec<_> = self.heard.iter().filter(|it| it.kind() != Kind::BlockAccepted).collect();
                match hands.rng().pick(&heard) {
                    Some(item) => padded(item, hands.rng().u64()),
                    None => padded_transaction(hands.rng()),
                }
            }
            Lie::Flooded => {
                let items =
                    (0..FLOOD_ITEMS).flat_map(|_| padded_transaction(hands.rng())).collect::<Vec<_>>();
                let made_up: Vec<_> = (0..MAX_ANNOUNCED).map(|_| made_up(hands.rng(), 1_000_000)).collect();
                [items, frame(&Announce::new(&made_up))].concat()
            }
            Lie::Withheld => frame(&Announce::new(&[made_up(hands.rng(), 1000)])),
            Lie::Blamed => {
                let ids: Vec<_> = self.heard.iter().map(Item::id).collect();
                let of_another = ProofSubmission { block_height: 1, miner_id: [2; 33], proof: &[1; 600] };
                let not_found = if ids.is_empty() {
                    Vec::new()
                } else {
                    frame(&NotFound { hashes: Hashes::from(&*ids) })
                };
                [frame(&of_another), not_found].concat()
            }
        }
    }

    /// It heard of an item, and tells the others of it before they can have it.
    fn hear_of(&self, hands: &mut Hands, from: PuppetId, announced: Announced) {
        let Announced { message_type, payload_bytes, .. } = announced;
        let payload_bytes = match self.lie {
            Lie::Blamed => (payload_bytes + 1).min(message_type.max_payload()),
            Lie::Withheld => payload_bytes,
            _ => return,
        };
        let lie = frame(&Announce::new(&[Announced { payload_bytes, ..announced }]));
        for connection in self.connections.keys().filter(|it| **it != from) {
            self.send(hands, *connection, lie.clone());
        }
    }
}

/// A block that is not there.
fn made_up(rng: &mut Rng, payload_bytes: u32) -> Announced {
    Announced { message_type: MessageType::NEW_BLOCK, payload_bytes, id: Hash(rng.bytes()) }
}

/// Something that breaks the rules.
fn invalid(rng: &mut Rng) -> Vec<u8> {
    let block = DevelopmentChain::new(rng.u64(), BLOCK_BYTES).next().unwrap_or_default();
    match rng.below(5) {
        0 => raw(MessageType::TRANSACTION, &[1; 100]),
        1 => padded_transaction(rng),
        // A block that nobody of this network made.
        2 => raw(MessageType::NEW_BLOCK, &block),
        3 => {
            let cut = rng.below(block.len() as u64) as usize;
            raw(MessageType::BLOCK, &block[..cut.max(1)])
        }
        _ => {
            let mut payload = proof(rng, 600);
            if let Some(byte) = payload.get_mut(8) {
                *byte ^= 1;
            }
            raw(MessageType::PROOF_SUBMISSION, &payload)
        }
    }
}

/// An item, with one bit changed that its name of old does not cover.
fn padded(item: &Item, bit: u64) -> Vec<u8> {
    let mut payload = item.payload().to_vec();
    let signature = match item.kind() {
        Kind::Block => 226..290,
        Kind::Transaction => UNSIGNED_TRANSACTION_BYTES..payload.len(),
        _ => 12..45,
    };
    if let Some(signature) = payload.get_mut(signature) {
        let place = bit as usize % signature.len().max(1);
        signature[place] ^= 1 << (bit % 8);
    }
    raw(item.kind().message_type(), &payload)
}

fn padded_transaction(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = transaction(rng);
    bytes[UNSIGNED_TRANSACTION_BYTES] ^= 1;
    raw(MessageType::TRANSACTION, &bytes)
}

fn raw(message_type: MessageType, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32 + 1).to_le_bytes();
    [&length[..], &[message_type.byte()], payload].concat()
}

fn frame(message: &impl Message) -> Vec<u8> {
    Frame::encode(message).map(|frame| frame.bytes().to_vec()).unwrap_or_default()
}

impl Actor for Liar {
    fn on_start(&mut self, hands: &mut Hands) {
        self.victims.iter().for_each(|victim| hands.dial(victim.clone()));
        hands.wake_after(TURN);
    }

    fn on_connected(&mut self, hands: &mut Hands, connection: PuppetId) {
        self.connections.insert(connection, Vec::new());
        let capability = Capability { name: CAPABILITY.into(), version: CAPABILITY_VERSION };
        let announcement = Announcement {
            protocol_versions: (1, 1),
            chain_id: self.chain_id,
            listen_port: None,
            capabilities: vec![capability],
            nonce: hands.rng().u64(),
            best_block: None,
        };
        hands.send(connection, handshake_frame(&self.name, Some(&announcement)));
    }

    fn on_received(&mut self, hands: &mut Hands, connection: PuppetId, received: &mut Vec<u8>) {
        let Some(rest) = self.connections.get_mut(&connection) else { return };
        rest.append(received);
        for (message_type, payload) in cut_frames(rest) {
            let item = match message_type {
                MessageType::NEW_BLOCK => Item::block(&payload),
                MessageType::TRANSACTION => Item::transaction(&payload),
                MessageType::ANNOUNCE => {
                    let announced = Announce::decode(&payload).map(|it| it.iter().collect::<Vec<_>>());
                    for announced in announced.unwrap_or_default() {
                        self.hear_of(hands, connection, announced);
                    }
                    continue;
                }
                _ => continue,
            };
            if let Ok(item) = item {
                let payload_bytes = item.payload().len() as u32;
                let message_type = item.kind().message_type();
                self.hear_of(hands, connection, Announced { message_type, payload_bytes, id: item.id() });
                if self.heard.len() == MAX_HEARD {
                    self.heard.pop_front();
                }
                self.heard.push_back(item);
            }
        }
    }

    fn on_closed(&mut self, _: &mut Hands, connection: PuppetId) {
        self.connections.remove(&connection);
    }

    fn on_wake(&mut self, hands: &mut Hands) {
        self.turns += 1;
        for connection in self.connections.keys().copied().collect::<Vec<_>>() {
            let bytes = self.speak(hands);
            self.send(hands, connection, bytes);
        }
        if self.turns.is_multiple_of(TURNS_BETWEEN_DIALS)
            && self.connections.len() < self.victims.len()
            && let Some(victim) = hands.rng().pick(&self.victims).cloned()
        {
            hands.dial(victim);
        }
        hands.wake_after(TURN);
    }
}
