//! The gate by itself: one peer that connects, is dialled, or both, and says anything.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use spacetime_core::wire::{Announcement, Decode as _, Handshake, MessageType};
use spacetime_core::{Address, CloseReason, ConnectionId, Direction, Event, Limits, Peer, PeerId, Rng};
use spacetime_handshake::{Config, Legacy};

use super::chain;
use super::driver::{Driver, types};
use super::frames::frames;

const LOCAL_ID: PeerId = PeerId([1; 32]);
const PEER_ID: PeerId = PeerId([7; 32]);

/// The versions of the extended protocol that the node speaks.
const NEWER_VERSIONS: (u16, u16) = (2, 3);

/// `u8 setting | (u8 what happens, what arrives)*`.
///
/// Bits of `setting`, from the lowest: version-1 peers that say nothing are served; the peer does
/// not connect; it is dialled; the address that is dialled names it; the inbound, the outbound
/// transport proves it; the node speaks newer versions only; its clock is far off. What happens is
/// on the dialled connection if the highest bit is set; the others are in [`Script::happen`].
pub fn handshake(data: &[u8]) {
    let Some((setting, events)) = data.split_first() else {
        return;
    };
    let mut script = Script::new(*setting);
    let mut events = events.iter();
    while let Some(what) = events.next() {
        script.happen(*what, &mut events);
    }
    script.finish();
}

/// Both ends of a connection.
#[derive(Debug)]
struct Talk {
    direction: Direction,
    received: Vec<u8>,
    sent: Vec<u8>,
}

struct Script {
    driver: Driver<spacetime_handshake::Handshake>,
    versions: (u16, u16),
    serves_legacy: bool,
    is_pinned: bool,
    talks: BTreeMap<ConnectionId, Talk>,
    inbound: Option<ConnectionId>,
    outbound: Option<ConnectionId>,
}

impl Script {
    fn new(setting: u8) -> Self {
        let is_set = |bit: u8| setting & (1 << bit) != 0;
        let versions = if is_set(6) { NEWER_VERSIONS } else { (1, 1) };
        let legacy = if is_set(0) { Legacy::Serve } else { Legacy::Refuse };
        let config = Config::new(chain::chain_id())
            .with_legacy(legacy)
            .with_listen_port(Some(8333))
            .with_protocol_versions(versions.0, versions.1)
            .with_best_block(1, chain::real().hash(1));
        let gate =
            spacetime_handshake::Handshake::new(config, &Rng::from_number(1)).expect("a valid configuration");
        let mut script = Self {
            driver: Driver::new(gate, LOCAL_ID, Limits::default()),
            versions,
            serves_legacy: is_set(0),
            is_pinned: is_set(3),
            talks: BTreeMap::new(),
            inbound: None,
            outbound: None,
        };
        if is_set(7) {
            script.driver.unix_seconds = i64::MIN;
        }
        if is_set(2) {
            script.dial(is_set(3), is_set(5).then_some(PEER_ID));
        }
        if !is_set(1) || !is_set(2) {
            script.accept(is_set(4).then_some(PEER_ID));
        }
        script.settle();
        script
    }

    fn accept(&mut self, proven: Option<PeerId>) {
        let from = Address::socket(SocketAddr::from(([10, 0, 0, 7], 40_000)));
        self.inbound = self.driver.accept(from);
        self.open(self.inbound, Direction::Inbound, proven);
    }

    fn dial(&mut self, is_pinned: bool, proven: Option<PeerId>) {
        let address = Address::socket(SocketAddr::from(([10, 0, 0, 7], 8333)));
        let address = if is_pinned { address.pinned(PEER_ID) } else { address };
        self.outbound = self.driver.dial(address).ok();
        self.open(self.outbound, Direction::Outbound, proven);
    }

    fn open(&mut self, connection: Option<ConnectionId>, direction: Direction, proven: Option<PeerId>) {
        let connection = connection.expect("the first connections are free");
        self.talks.insert(connection, Talk { direction, received: Vec::new(), sent: Vec::new() });
        self.driver.open(connection, proven);
    }

    /// From the lowest value, without the highest bit: 96 lengths of a piece that arrives; tenths of
    /// a second, and seconds, that pass; the stream ends; it breaks; the node hears what it said
    /// last.
    fn happen(&mut self, what: u8, rest: &mut std::slice::Iter<'_, u8>) {
        let (first, second) =
            if what & 0x80 == 0 { (self.inbound, self.outbound) } else { (self.outbound, self.inbound) };
        let Some(connection) = first.or(second) else { return };
        match what & 0x7f {
            len @ 0..96 => {
                let (piece, after) = rest.as_slice().split_at(rest.len().min(usize::from(len) + 1));
                *rest = after.iter();
                self.receive(connection, piece);
            }
            tenths @ 96..112 => self.driver.pass(Duration::from_millis(100) * u32::from(tenths - 95)),
            seconds @ 112..120 => self.driver.jump(Duration::from_secs(u64::from(seconds) - 111)),
            120 => self.driver.end(connection),
            121 => self.driver.lose(connection, CloseReason::Transport("reset".into())),
            122 => {
                if let Some(echo) = self.driver.echoes.front().cloned() {
                    self.receive(connection, &echo);
                }
            }
            _ => {}
        }
        self.settle();
    }

    fn receive(&mut self, connection: ConnectionId, bytes: &[u8]) {
        if self.driver.is_open(connection) {
            if let Some(talk) = self.talks.get_mut(&connection) {
                talk.received.extend(bytes);
            }
            self.driver.receive(connection, bytes);
        } else {
            self.driver.receive_late(connection, bytes);
        }
    }

    /// Writes what waits, and looks at what was said.
    fn settle(&mut self) {
        while let Some(event) = self.driver.events.pop_front() {
            if let Event::Established { connection, peer } = event {
                self.check_peer(&self.talks[&connection], &peer);
            }
        }
        for (connection, talk) in &mut self.talks {
            talk.sent.extend(self.driver.take(*connection, usize::MAX / 2));
            talk.check_sent();
        }
    }

    /// Whether a peer should have been let in.
    fn check_peer(&self, talk: &Talk, peer: &Peer) {
        let has_said = types(&talk.received);
        if !self.serves_legacy {
            let may_be_quiet =
                talk.direction == Direction::Outbound && has_said.contains(&MessageType::HANDSHAKE_ACK);
            assert!(may_be_quiet || has_said.contains(&MessageType::HANDSHAKE), "{peer:?} said nothing");
        }
        let name = &*peer.info.name;
        if let Some(proven) = peer.identity.proven() {
            assert!(
                name.is_empty() || name.eq_ignore_ascii_case(&proven.to_string()),
                "{peer:?} has another name"
            );
        }
        if self.is_pinned && talk.direction == Direction::Outbound {
            let is_expected =
                peer.identity.proven() == Some(PEER_ID) || name.eq_ignore_ascii_case(&PEER_ID.to_string());
            assert!(is_expected, "{peer:?} is not the one that was dialled");
        }
        assert!(!name.eq_ignore_ascii_case(&LOCAL_ID.to_string()), "the node itself");
        if let Some(announcement) = &peer.info.announcement {
            let (low, high) = announcement.protocol_versions;
            assert_eq!(announcement.chain_id, chain::chain_id());
            assert!(low <= self.versions.1 && self.versions.0 <= high, "{low}..={high} is no common version");
        }
    }

    /// Whoever has not said who it is in time is gone.
    fn finish(mut self) {
        let timeout = self.driver.swarm.limits().opening_timeout() + Duration::from_secs(1);
        self.driver.pass(timeout);
        self.settle();
        for connection in self.talks.keys() {
            let is_session = self.driver.swarm.peer(*connection).is_some();
            assert_eq!(self.driver.is_open(*connection), is_session, "{connection} is neither in nor out");
        }
        self.driver.shut_down();
    }
}

impl Talk {
    /// What a version-1 node can read goes to everybody; a second Handshake to nobody, and a
    /// listener's only to who has shown that it is no version-1 node.
    fn check_sent(&self) {
        let sent = types(&self.sent);
        let handshakes = sent.iter().filter(|it| **it == MessageType::HANDSHAKE).count();
        match self.direction {
            Direction::Outbound => {
                assert!(handshakes <= 1 && !sent.contains(&MessageType::HANDSHAKE_ACK), "{sent:?}");
            }
            Direction::Inbound => {
                let has_extension = frames(&self.received).any(|(message_type, payload)| {
                    let handshake =
                        Handshake::decode(payload).ok().filter(|_| message_type == MessageType::HANDSHAKE);
                    let announcement = handshake.and_then(|it| it.extension).map(Announcement::read);
                    announcement.is_some_and(|it| it.is_ok())
                });
                assert!(handshakes <= usize::from(has_extension), "{sent:?}");
                let first = sent.first();
                assert!(first.is_none_or(|it| *it == MessageType::HANDSHAKE_ACK), "{sent:?}");
            }
        }
    }
}
