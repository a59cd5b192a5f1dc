//! Peers that mean ill, one for each of the usual ways.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use spacetime_core::wire::{Announcement, Frame, Headers, Message, MessageType, Ping};
use spacetime_core::{Address, Hash};

use super::actor::{Actor, Hands};
use super::puppet::{PuppetId, cut_frames, handshake_frame};

/// How long it waits before it comes again after it was thrown out.
const RETURN_TIME: Duration = Duration::from_secs(7);

/// How often those that do something do it.
const TURN: Duration = Duration::from_millis(500);

/// Connections that a crowd opens in a turn: 5 s of them are more than a node has places for.
const CROWD: usize = 80;

/// Frames that one flood has.
const FLOOD_FRAMES: usize = 200;

/// Bytes of one piece of garbage.
const GARBAGE_BYTES: u64 = 300;

/// Bytes that a replaying peer keeps of each connection.
const MAX_KEPT_BYTES: usize = 64 * 1024;

/// What it does to its peers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Misdeed {
    /// It connects and says nothing, not even who it is.
    Silent,
    /// It says who it is, and then bytes that mean nothing.
    Garbage,
    /// It says what it heard, to others and to the same.
    Replaying,
    /// It sends pings without end, in frames that are all in order.
    Flooding,
    /// It says that it has the highest chain there is, and answers with nothing.
    LyingAboutHeight,
    /// It says that it has a high chain, is asked, and never answers.
    Stalling,
    /// It connects to its first victim without end, from ever other hosts and networks, and says nothing.
    Crowding,
}

impl Misdeed {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Silent,
        Self::Garbage,
        Self::Replaying,
        Self::Flooding,
        Self::LyingAboutHeight,
        Self::Stalling,
        Self::Crowding,
    ];

    /// Its name in scenarios and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Garbage => "garbage",
            Self::Replaying => "replaying",
            Self::Flooding => "flooding",
            Self::LyingAboutHeight => "lying_about_height",
            Self::Stalling => "stalling",
            Self::Crowding => "crowding",
        }
    }
}

/// A peer that does one misdeed to everybody whom it dials and who dials it, and comes again when
/// it is thrown out.
#[derive(Debug)]
pub struct Byzantine {
    misdeed: Misdeed,
    chain_id: Hash,
    victims: Vec<Address>,
    /// Its connections, and what it heard on each that it may say again.
    connections: BTreeMap<PuppetId, Vec<u8>>,
    /// Victims it dials next.
    next: usize,
}

impl Byzantine {
    /// A peer of the chain with this genesis hash that goes for these nodes.
    pub const fn new(misdeed: Misdeed, chain_id: Hash, victims: Vec<Address>) -> Self {
        Self { misdeed, chain_id, victims, connections: BTreeMap::new(), next: 0 }
    }

    fn greeting(&self, hands: &mut Hands) -> Vec<u8> {
        let claims_height = matches!(self.misdeed, Misdeed::LyingAboutHeight | Misdeed::Stalling);
        let best_block = claims_height.then(|| (u64::MAX / 2, Hash(hands.rng().bytes())));
        let announcement = Announcement {
            protocol_versions: (1, 1),
            chain_id: self.chain_id,
            listen_port: None,
            capabilities: Vec::new(),
            nonce: hands.rng().u64(),
            best_block,
        };
        let name = Hash(hands.rng().bytes()).to_string();
        handshake_frame(&name, Some(&announcement))
    }

    /// Comes from so many hosts at once, of a quarter of which the networks are the same.
    fn crowd(&self, hands: &mut Hands) {
        let Some(victim) = self.victims.first() else { return };
        for number in 0..CROWD {
            let group = if number % 4 == 0 { 8 } else { hands.rng().below(100) as u8 };
            let [host, beside] = (hands.rng().u64() as u16).to_be_bytes();
            let from = SocketAddr::from(([20, group, host, beside], 50_000));
            hands.dial_from(from.into(), victim.clone());
        }
    }

    fn turn(&mut self, hands: &mut Hands) {
        if self.misdeed == Misdeed::Crowding {
            return self.crowd(hands);
        }
        let connections: Vec<_> = self.connections.keys().copied().collect();
        for connection in connections {
            let bytes = match self.misdeed {
                Misdeed::Garbage => {
                    (0..hands.rng().below(GARBAGE_BYTES)).map(|_| hands.rng().u64() as u8).collect()
                }
                Misdeed::Flooding => {
                    let nonce = i64::from_le_bytes(hands.rng().bytes());
                    frame(&Ping { nonce, ..Ping::default() }).repeat(FLOOD_FRAMES)
                }
                Misdeed::Replaying => {
                    let heard: Vec<_> = self.connections.values().filter(|it| !it.is_empty()).collect();
                    hands.rng().pick(&heard).map(|it| it.to_vec()).unwrap_or_default()
                }
                Misdeed::Silent | Misdeed::LyingAboutHeight | Misdeed::Stalling | Misdeed::Crowding => {
                    Vec::new()
                }
            };
            if !bytes.is_empty() {
                hands.count(self.misdeed.name());
                hands.send(connection, bytes);
            }
        }
    }
}

fn frame(message: &impl Message) -> Vec<u8> {
    Frame::encode(message).map(|frame| frame.bytes().to_vec()).unwrap_or_default()
}

impl Actor for Byzantine {
    fn on_start(&mut self, hands: &mut Hands) {
        if self.misdeed != Misdeed::Crowding {
            self.victims.iter().for_each(|victim| hands.dial(victim.clone()));
        }
        hands.wake_after(TURN);
    }

    fn on_connected(&mut self, hands: &mut Hands, connection: PuppetId) {
        self.connections.insert(connection, Vec::new());
        if matches!(self.misdeed, Misdeed::Silent | Misdeed::Crowding) {
            hands.count(self.misdeed.name());
        } else {
            let greeting = self.greeting(hands);
            hands.send(connection, greeting);
        }
    }

    fn on_received(&mut self, hands: &mut Hands, connection: PuppetId, received: &mut Vec<u8>) {
        let Some(kept) = self.connections.get_mut(&connection) else { return };
        match self.misdeed {
            Misdeed::Replaying => {
                if kept.len() + received.len() <= MAX_KEPT_BYTES {
                    kept.extend_from_slice(received);
                }
            }
            Misdeed::LyingAboutHeight | Misdeed::Stalling => {
                kept.append(received);
                for (message_type, _) in cut_frames(kept) {
                    if message_type == MessageType::GET_HEADERS {
                        hands.count(self.misdeed.name());
                        if self.misdeed == Misdeed::LyingAboutHeight {
                            hands.send(connection, frame(&Headers::new(&[])));
                        }
                    }
                }
            }
            Misdeed::Silent | Misdeed::Garbage | Misdeed::Flooding | Misdeed::Crowding => {}
        }
        received.clear();
    }

    fn on_closed(&mut self, _: &mut Hands, connection: PuppetId) {
        self.connections.remove(&connection);
    }

    fn on_wake(&mut self, hands: &mut Hands) {
        self.turn(hands);
        if hands.now().as_nanos() / RETURN_TIME.as_nanos() as u64 > self.next as u64 {
            self.next += 1;
            if self.misdeed != Misdeed::Crowding
                && self.connections.len() < self.victims.len()
                && let Some(victim) = hands.rng().pick(&self.victims).cloned()
            {
                hands.dial(victim);
            }
        }
        hands.wake_after(TURN);
    }
}
