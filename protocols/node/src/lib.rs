//! The production tree of `spacetime-network`: all behaviours of a full node in one.
//!
//! The tree is sans-IO as its members are, so the node that runs on the internet is the one that is
//! simulated. What touches the chain comes out as [`spacetime_sync::Event`]s and
//! [`spacetime_relay::Event`]s, to be carried out by whatever drives the node.

#![no_std]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

extern crate alloc;

mod config;
mod status;

pub use config::{Config, InvalidConfig};
use spacetime_core::chain::ChainRules;
use spacetime_core::{NetworkBehaviour, Rng};
use spacetime_gossip::Gossip;
use spacetime_handshake::Handshake;
use spacetime_peer_exchange::PeerExchange;
use spacetime_peers::{Peers, Stored};
use spacetime_ping::Ping;
use spacetime_relay::{MemoryPool, Relay};
use spacetime_sync::{RecentChain, Sync};
pub use status::{BandwidthStatus, MempoolStatus, PeerStatus, RelayStatus, Status, SyncStatus, TipStatus};

/// The behaviours of a full node.
#[derive(NetworkBehaviour, Debug)]
pub struct Node<R: ChainRules + 'static> {
    /// Who is there, and whether it belongs to this chain.
    pub handshake: Handshake,
    /// Signs of life and round-trip times.
    pub ping: Ping,
    /// With whom to keep connections.
    pub peers: Peers,
    /// Telling peers about other peers.
    pub peer_exchange: PeerExchange,
    /// Addresses that spread by themselves.
    pub gossip: Gossip,
    /// Blocks, transactions and proofs that are new.
    pub relay: Relay<R>,
    /// The chain.
    pub sync: Sync<R>,
}

/// What a node starts from: what it kept of its former lives, and the time.
#[derive(Clone, Debug)]
pub struct Start {
    /// The last blocks of its chain: as far back as it may leave them for a heavier one.
    pub recent: RecentChain,
    /// What it knew of its peers.
    pub peers: Stored,
    /// What the wall clock says.
    pub unix_seconds: i64,
}

impl<R: ChainRules + Clone + 'static> Node<R> {
    /// A node with this configuration, whose chain follows `rules`.
    ///
    /// # Errors
    ///
    /// The configuration of one of its behaviours cannot work.
    pub fn new(config: Config, rules: R, start: Start, rng: &Rng) -> Result<Self, InvalidConfig> {
        let Config { handshake, ping, peers, peer_exchange, gossip, relay, sync } = config;
        let Start { recent, peers: stored, unix_seconds } = start;
        let tip = *recent.tip();
        let handshake = handshake
            .with_best_block(tip.height, tip.hash)
            .with_capability(spacetime_relay::CAPABILITY, spacetime_relay::CAPABILITY_VERSION)
            .with_capability(spacetime_sync::CAPABILITY, spacetime_sync::CAPABILITY_VERSION);
        Ok(Self {
            handshake: Handshake::new(handshake, rng)?,
            ping: Ping::new(ping, rng)?,
            peers: Peers::new(peers, stored, unix_seconds, rng)?,
            peer_exchange: PeerExchange::new(peer_exchange, rng)?,
            gossip: Gossip::new(gossip, rng)?,
            relay: Relay::new(relay, rules.clone(), MemoryPool::default(), rng)?,
            sync: Sync::new(sync, rules, recent, rng)?,
        })
    }
}
