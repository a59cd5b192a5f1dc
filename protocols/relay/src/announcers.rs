//! Peers that announce items: who they are, and what each of them was asked for.

use alloc::collections::BTreeMap;

use spacetime_core::{ConnectionId, ConnectionMap, Direction, Origin, Peer, Time};

/// Items that a host is asked for at a time, on all its connections.
///
/// # Security
///
/// Announcing costs an attacker 37 bytes for each, and makes this node keep 300 for as long as the item
/// may take to come: 75 KiB for each host. No host can take the place of another: with one limit for all,
/// two of them could fill it with items that nobody has. What a host announces beyond it is not asked of it.
pub const MAX_FETCHES_PER_HOST: usize = 256;

/// Items that are waited for of which is noted that one peer has them, too: 16 bytes each. An honest peer
/// does not announce that many in the time that one takes.
const MAX_NOTED_PER_PEER: usize = 1024;

/// A peer that may announce items.
#[derive(Debug)]
struct Announcer {
    host: Origin,
    is_dialled: bool,
    /// The items of which is noted that it has them.
    noted: usize,
    /// The bytes of those that it was asked for, as many as it said.
    asked_bytes: u64,
    /// When it was last charged for not sending something.
    charged_at: Option<Time>,
}

/// All of them, and how many items each host was asked for.
#[derive(Debug, Default)]
pub(crate) struct Announcers {
    peers: ConnectionMap<Announcer>,
    asked: BTreeMap<Origin, usize>,
}

impl Announcers {
    /// A peer is there.
    pub(crate) fn enter(&mut self, connection: ConnectionId, peer: &Peer) {
        let is_dialled = peer.direction == Direction::Outbound;
        let announcer =
            Announcer { host: Origin::host(peer), is_dialled, noted: 0, asked_bytes: 0, charged_at: None };
        self.peers.insert(connection, announcer);
    }

    /// A peer is gone. It is asked for nothing any more.
    pub(crate) fn leave(&mut self, connection: ConnectionId) {
        let peer = self.peers.remove(connection);
        debug_assert!(
            peer.is_none_or(|it| (it.noted, it.asked_bytes) == (0, 0)),
            "it was taken off all items"
        );
    }

    /// On which host a peer is.
    pub(crate) fn host(&self, connection: ConnectionId) -> Option<&Origin> {
        self.peers.get(connection).map(|it| &it.host)
    }

    /// Whether this node has chosen the peer, and not the peer this node.
    pub(crate) fn is_dialled(&self, connection: ConnectionId) -> bool {
        self.peers.get(connection).is_some_and(|it| it.is_dialled)
    }

    /// Notes that a peer has an item. False if there is no room for it.
    pub(crate) fn note(&mut self, connection: ConnectionId) -> bool {
        let has_room = |it: &&mut Announcer| it.noted < MAX_NOTED_PER_PEER;
        let Some(peer) = self.peers.get_mut(connection).filter(has_room) else { return false };
        peer.noted += 1;
        true
    }

    /// An item of which that was noted is not waited for any more.
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        if let Some(peer) = self.peers.get_mut(connection) {
            peer.noted -= 1;
        }
    }

    /// Whether a peer can be asked for one more.
    pub(crate) fn may_ask(&self, connection: ConnectionId) -> bool {
        self.host(connection)
            .is_some_and(|host| self.asked.get(host).is_none_or(|count| *count < MAX_FETCHES_PER_HOST))
    }

    /// A peer is asked for an item of so many bytes. How many it was asked for before that.
    pub(crate) fn ask(&mut self, connection: ConnectionId, payload_bytes: u32) -> u64 {
        let Some(peer) = self.peers.get_mut(connection) else { return 0 };
        *self.asked.entry(peer.host.clone()).or_default() += 1;
        let before = peer.asked_bytes;
        peer.asked_bytes += u64::from(payload_bytes);
        before
    }

    /// Whether a peer is charged for not sending what it was asked for at that time. However much it did
    /// not send, it is one failure: what it was asked for before is part of it.
    pub(crate) fn charge(&mut self, connection: ConnectionId, asked_at: Time, now: Time) -> bool {
        let is_another = |it: &&mut Announcer| it.charged_at.is_none_or(|at| asked_at >= at);
        let Some(peer) = self.peers.get_mut(connection).filter(is_another) else { return false };
        peer.charged_at = Some(now);
        true
    }

    /// A peer is not asked for such an item any more.
    pub(crate) fn ask_no_more(&mut self, connection: ConnectionId, payload_bytes: u32) {
        let Some(peer) = self.peers.get_mut(connection) else { return };
        peer.asked_bytes -= u64::from(payload_bytes);
        if let Some(count) = self.asked.get_mut(&peer.host) {
            *count -= 1;
            if *count == 0 {
                self.asked.remove(&peer.host);
            }
        }
    }
}
