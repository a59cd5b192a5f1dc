//! The configurations of all behaviours.

use core::fmt;

use spacetime_core::Hash;

/// The configuration of a node: those of its behaviours.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) handshake: spacetime_handshake::Config,
    pub(crate) ping: spacetime_ping::Config,
    pub(crate) peers: spacetime_peers::Config,
    pub(crate) peer_exchange: spacetime_peer_exchange::Config,
    pub(crate) gossip: spacetime_gossip::Config,
    pub(crate) relay: spacetime_relay::Config,
    pub(crate) sync: spacetime_sync::Config,
}

impl Config {
    /// A node of the chain with this genesis hash; everything else at its default.
    pub fn new(chain_id: Hash) -> Self {
        Self {
            handshake: spacetime_handshake::Config::new(chain_id),
            ping: spacetime_ping::Config::default(),
            peers: spacetime_peers::Config::default(),
            peer_exchange: spacetime_peer_exchange::Config::default(),
            gossip: spacetime_gossip::Config::default(),
            relay: spacetime_relay::Config::default(),
            sync: spacetime_sync::Config::default(),
        }
    }

    /// What it says of itself and whom it lets in.
    #[must_use]
    pub fn with_handshake(mut self, handshake: spacetime_handshake::Config) -> Self {
        self.handshake = handshake;
        self
    }

    /// When it pings.
    #[must_use]
    pub fn with_ping(mut self, ping: spacetime_ping::Config) -> Self {
        self.ping = ping;
        self
    }

    /// With whom it keeps connections.
    #[must_use]
    pub fn with_peers(mut self, peers: spacetime_peers::Config) -> Self {
        self.peers = peers;
        self
    }

    /// How it asks peers for addresses, and answers them.
    #[must_use]
    pub fn with_peer_exchange(mut self, peer_exchange: spacetime_peer_exchange::Config) -> Self {
        self.peer_exchange = peer_exchange;
        self
    }

    /// How addresses spread through it.
    #[must_use]
    pub fn with_gossip(mut self, gossip: spacetime_gossip::Config) -> Self {
        self.gossip = gossip;
        self
    }

    /// How what is new spreads through it.
    #[must_use]
    pub fn with_relay(mut self, relay: spacetime_relay::Config) -> Self {
        self.relay = relay;
        self
    }

    /// How it synchronises.
    #[must_use]
    pub fn with_sync(mut self, sync: spacetime_sync::Config) -> Self {
        self.sync = sync;
        self
    }
}

/// Which behaviour cannot work with its configuration, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// The handshake.
    Handshake(spacetime_handshake::InvalidConfig),
    /// The pings.
    Ping(spacetime_ping::InvalidConfig),
    /// Peer exchange.
    PeerExchange(spacetime_peer_exchange::InvalidConfig),
    /// The peers.
    Peers(spacetime_peers::InvalidConfig),
    /// The gossip.
    Gossip(spacetime_gossip::InvalidConfig),
    /// The relay.
    Relay(spacetime_relay::InvalidConfig),
    /// The synchronisation.
    Sync(spacetime_sync::InvalidConfig),
}

impl From<spacetime_handshake::InvalidConfig> for InvalidConfig {
    fn from(error: spacetime_handshake::InvalidConfig) -> Self {
        Self::Handshake(error)
    }
}

impl From<spacetime_ping::InvalidConfig> for InvalidConfig {
    fn from(error: spacetime_ping::InvalidConfig) -> Self {
        Self::Ping(error)
    }
}

impl From<spacetime_peer_exchange::InvalidConfig> for InvalidConfig {
    fn from(error: spacetime_peer_exchange::InvalidConfig) -> Self {
        Self::PeerExchange(error)
    }
}

impl From<spacetime_peers::InvalidConfig> for InvalidConfig {
    fn from(error: spacetime_peers::InvalidConfig) -> Self {
        Self::Peers(error)
    }
}

impl From<spacetime_gossip::InvalidConfig> for InvalidConfig {
    fn from(error: spacetime_gossip::InvalidConfig) -> Self {
        Self::Gossip(error)
    }
}

impl From<spacetime_relay::InvalidConfig> for InvalidConfig {
    fn from(error: spacetime_relay::InvalidConfig) -> Self {
        Self::Relay(error)
    }
}

impl From<spacetime_sync::InvalidConfig> for InvalidConfig {
    fn from(error: spacetime_sync::InvalidConfig) -> Self {
        Self::Sync(error)
    }
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(error) => error.fmt(f),
            Self::Ping(error) => error.fmt(f),
            Self::PeerExchange(error) => error.fmt(f),
            Self::Peers(error) => error.fmt(f),
            Self::Gossip(error) => error.fmt(f),
            Self::Relay(error) => error.fmt(f),
            Self::Sync(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for InvalidConfig {}
