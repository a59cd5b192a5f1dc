//! A peer with which there is a session.

use core::net::SocketAddr;
use core::time::Duration;

use spacetime_core::{Address, Direction, Identity, Origin, Peer, Time, listens_at};

use crate::target::Target;

/// A session, whoever opened it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) direction: Direction,
    pub(crate) address: Address,
    pub(crate) identity: Identity,
    pub(crate) host: Origin,
    pub(crate) group: Origin,
    /// Where others can reach it, if that is known.
    pub(crate) listens_at: Option<SocketAddr>,
    pub(crate) established_at: Time,
    pub(crate) min_round_trip: Option<Duration>,
    pub(crate) useful_at: Option<Time>,
}

impl Session {
    pub(crate) fn new(peer: &Peer, now: Time) -> Self {
        let host = Origin::host(peer);
        Self {
            direction: peer.direction,
            address: peer.address.clone(),
            identity: peer.identity.clone(),
            group: Origin::group(peer).unwrap_or_else(|| host.clone()),
            host,
            listens_at: listens_at(peer),
            established_at: now,
            min_round_trip: None,
            useful_at: None,
        }
    }

    /// Who has earned what it does: its identity if that is proven, else its host. A claimed name
    /// costs nothing.
    pub(crate) fn account(&self) -> Target {
        self.identity.proven().map_or_else(|| self.host.clone().into(), Target::Peer)
    }

    pub(crate) fn is_inbound(&self) -> bool {
        self.direction == Direction::Inbound
    }
}
