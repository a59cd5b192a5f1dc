//! Who is on the other end of a connection.

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use core::fmt;

use crate::address::Address;
use crate::connection::Direction;
use crate::hash::PeerId;
use crate::time::Time;
use crate::wire::Announcement;

/// Who a peer is, and how far that can be believed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Identity {
    /// The transport proved it: the peer holds the private key that belongs to this id.
    Proven(PeerId),
    /// The peer said so on an unauthenticated transport. Anybody can claim any name, so sessions,
    /// bans and reputation go by the address.
    Claimed {
        /// Where it was dialled; for an inbound peer its address with the port on which it says
        /// that it listens, or the socket's if it says nothing.
        address: Address,
        /// What the peer calls itself.
        name: Box<str>,
    },
}

impl Identity {
    /// The peer id that was proven.
    pub const fn proven(&self) -> Option<PeerId> {
        match self {
            Self::Proven(peer_id) => Some(*peer_id),
            Self::Claimed { .. } => None,
        }
    }

    /// The name under which the peer goes: a proven id in hexadecimal digits, or what it claims.
    pub fn name(&self) -> String {
        match self {
            Self::Proven(peer_id) => peer_id.to_string(),
            Self::Claimed { name, .. } => name.to_string(),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proven(peer_id) => peer_id.fmt(f),
            Self::Claimed { address, .. } => write!(f, "{address} (unproven)"),
        }
    }
}

/// What the gate learned about a peer, when it lets it in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PeerInfo {
    /// What the peer calls itself. Empty if it said nothing.
    pub name: Box<str>,
    /// Its software. Empty if it said nothing.
    pub user_agent: Box<str>,
    /// It knows nothing beyond version 1 of the protocol.
    pub is_version_1: bool,
    /// What its Handshake's extension says; none for a version-1 node.
    pub announcement: Option<Box<Announcement>>,
    /// By how many seconds its clock seems to be ahead of ours. Not to be trusted.
    pub clock_skew_seconds: i64,
}

impl PeerInfo {
    /// A version-1 node that has said nothing of itself.
    pub fn version_1() -> Self {
        Self { is_version_1: true, ..Self::default() }
    }
}

/// A peer with which a session is established.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Who it is.
    pub identity: Identity,
    /// Who opened the connection.
    pub direction: Direction,
    /// The address that was dialled, or the remote address of the socket that was accepted.
    pub address: Address,
    /// When the session was established.
    pub established_at: Time,
    /// What it said of itself.
    pub info: PeerInfo,
}

impl Peer {
    /// Whether it is a version-1 node, which knows nothing beyond that version and must be sent
    /// nothing while it may be waiting for an answer.
    pub const fn is_version_1(&self) -> bool {
        self.info.is_version_1
    }

    /// Whether it announced at least this version of a capability.
    pub fn can(&self, capability: &str, version: u16) -> bool {
        self.info.announcement.as_ref().is_some_and(|it| it.can(capability, version))
    }
}
