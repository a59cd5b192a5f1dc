//! The configurations of all behaviours.

use alloc::vec::Vec;
use core::fmt;

use spacetime_core::{Address, Hash};

/// The configuration of a node: those of its behaviours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    pub(crate) handshake: spacetime_handshake::Config,
    pub(crate) ping: spacetime_ping::Config,
    pub(crate) addresses: Vec<Address>,
    pub(crate) sync: spacetime_sync::Config,
}

impl Config {
    /// A node of the chain with this genesis hash; everything else at its default.
    pub fn new(chain_id: Hash) -> Self {
        Self {
            handshake: spacetime_handshake::Config::new(chain_id),
            ping: spacetime_ping::Config::default(),
            addresses: Vec::new(),
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

    /// Addresses that it keeps connected.
    #[must_use]
    pub fn with_addresses(mut self, addresses: impl IntoIterator<Item = Address>) -> Self {
        self.addresses.extend(addresses);
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
            Self::Sync(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for InvalidConfig {}
