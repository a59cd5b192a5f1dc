//! Who is who, and one session with each.

use alloc::boxed::Box;
use alloc::string::ToString as _;
use core::net::SocketAddr;

use super::network::{Delivery, Network};
use super::output::Action;
use super::table::{Connection, State};
use crate::address::{Address, Endpoint};
use crate::canary::{self, Canary};
use crate::connection::{ConnectionId, Direction};
use crate::hash::PeerId;
use crate::peer::{Identity, Peer, PeerInfo};
use crate::wire::{CHUNK_CAPABILITY, CHUNK_VERSION};

/// What there may be one session with.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum SessionKey {
    Proven(PeerId),
    Address(Endpoint),
}

impl SessionKey {
    pub(super) fn of(identity: &Identity) -> Self {
        match identity {
            Identity::Proven(peer_id) => Self::Proven(*peer_id),
            Identity::Claimed { address, .. } => Self::Address(address.endpoint().clone()),
        }
    }
}

/// Whether a peer that was let in becomes a session.
pub(super) enum Rivalry {
    /// There is no other session with it.
    None,
    /// There was one, and its end is not told yet.
    Ending,
    /// There is, and this one takes its place.
    Replaces(ConnectionId),
    /// There is, and that one stays.
    Loses,
}

impl Network {
    /// Who a peer is, from what the transport proved and what it says.
    pub(super) fn identify(connection: &Connection, info: &PeerInfo) -> Identity {
        if let Some(peer_id) = connection.proven {
            return Identity::Proven(peer_id);
        }
        let listen_port = info.announcement.as_ref().and_then(|it| it.listen_port);
        let address = match (connection.direction, connection.address.ip(), listen_port) {
            (Direction::Inbound, Some(ip), Some(port)) => Address::socket(SocketAddr::new(ip, port)),
            _ => connection.address.clone().unpinned(),
        };
        Identity::Claimed { address, name: info.name.clone() }
    }

    /// Whether a peer that was let in on a connection of this direction has a session already, and
    /// which of the two is kept.
    ///
    /// When two nodes dial each other at the same time, both ends must keep the same connection:
    /// the one that the node with the smaller name dialled.
    pub(super) fn rivalry(&self, direction: Direction, identity: &Identity) -> Rivalry {
        let Some(rival_id) = self.sessions.get(&SessionKey::of(identity)).copied() else {
            return Rivalry::None;
        };
        if canary::is(Canary::SecondSession) {
            return Rivalry::None;
        }
        let Some(rival) = self.table.get(rival_id) else {
            let is_its_end =
                |it: &Delivery| matches!(it, Delivery::Closed { connection, .. } if *connection == rival_id);
            if self.deliveries.iter().any(is_its_end) {
                return Rivalry::Ending;
            }
            debug_assert!(false, "a session that ended was not forgotten");
            // To wait for its end would never end.
            return Rivalry::Loses;
        };
        if rival.direction == direction {
            // A peer that proves to be the same one lost the old connection and we have not
            // noticed. One that only claims it may be anybody behind the same address.
            let comes_again = direction == Direction::Inbound && identity.proven().is_some();
            return if comes_again { Rivalry::Replaces(rival_id) } else { Rivalry::Loses };
        }
        let is_smaller = self.local_id.to_string() < identity.name();
        let dialer = if is_smaller || canary::is(Canary::TieBreakRemoved) {
            Direction::Outbound
        } else {
            Direction::Inbound
        };
        if direction == dialer { Rivalry::Replaces(rival_id) } else { Rivalry::Loses }
    }

    /// Whether another connection that this node dialled leads to a peer that has proven who it is.
    ///
    /// Of two that come from one node the peer keeps the one that arrives later, and cannot know
    /// which one we hear of first. So the second is closed before anything is said on it.
    pub(super) fn has_dialled(&self, peer_id: PeerId, id: ConnectionId) -> bool {
        self.table.iter().any(|(other, connection)| {
            other != id && connection.direction == Direction::Outbound && connection.proven == Some(peer_id)
        })
    }

    /// Makes a connection a session.
    pub(super) fn establish(&mut self, id: ConnectionId, identity: Identity, info: PeerInfo) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        // Whoever says what it can has heard that this node takes chunks, whether it takes any or not.
        let may_send_chunks = info.announcement.is_some();
        connection.understands_errors |= may_send_chunks;
        if info.announcement.as_ref().is_some_and(|it| it.can(CHUNK_CAPABILITY, CHUNK_VERSION)) {
            connection.queues.cut_large_frames();
        }
        let peer = Peer {
            identity,
            direction: connection.direction,
            address: connection.address.clone(),
            established_at: self.now.time,
            info,
        };
        let before = self.sessions.insert(SessionKey::of(&peer.identity), id);
        debug_assert_eq!(before, None, "one session per peer");
        self.open_accounts(id, &peer);
        self.table.set_state(id, State::Established(Box::new(peer)));
        self.actions.push_back(Action::Established { connection: id, may_send_chunks });
    }

    /// The end of a session is told: there may be another one with its peer.
    pub(super) fn forget_session(&mut self, identity: &Identity) {
        if canary::is(Canary::SessionNotForgotten) {
            return;
        }
        self.sessions.remove(&SessionKey::of(identity));
    }
}
