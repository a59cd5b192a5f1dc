//! What a node says of itself, and whom it lets in.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use spacetime_core::Hash;
use spacetime_core::wire::{Announcement, CHUNK_CAPABILITY, CHUNK_VERSION, Capability};

/// Whether version-1 nodes that never say Handshake are let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Legacy {
    /// A Handshake, of version 1 at least, is needed.
    #[default]
    Refuse,
    /// A peer that says nothing for the grace time, or something else first, is let in as a
    /// version-1 node. The reference's miner needs it: it opens with Block or ProofSubmission.
    Serve,
}

/// The configuration of the gate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    chain_id: Hash,
    user_agent: String,
    protocol_versions: (u16, u16),
    listen_port: Option<u16>,
    capabilities: Vec<Capability>,
    best_block: Option<(u64, Hash)>,
    legacy: Legacy,
    grace: Duration,
}

impl Config {
    /// A node of the chain with this genesis hash; everything else at its default.
    pub fn new(chain_id: Hash) -> Self {
        Self {
            chain_id,
            user_agent: concat!("spacetime-network/", env!("CARGO_PKG_VERSION")).into(),
            protocol_versions: (1, 1),
            listen_port: None,
            capabilities: vec![Capability { name: CHUNK_CAPABILITY.into(), version: CHUNK_VERSION }],
            best_block: None,
            legacy: Legacy::default(),
            grace: Duration::from_secs(1),
        }
    }

    /// What the node calls its software. `spacetime-network/VERSION`.
    #[must_use]
    pub fn with_user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// The lowest and the highest version of the extended protocol that it speaks. 1 and 1.
    #[must_use]
    pub const fn with_protocol_versions(mut self, low: u16, high: u16) -> Self {
        self.protocol_versions = (low, high);
        self
    }

    /// The port on which it takes connections. None.
    #[must_use]
    pub const fn with_listen_port(mut self, port: Option<u16>) -> Self {
        self.listen_port = port;
        self
    }

    /// One more thing that it can do beyond version 1. `chunk/1`, which every Swarm can.
    #[must_use]
    pub fn with_capability(mut self, name: impl Into<String>, version: u16) -> Self {
        self.capabilities.push(Capability { name: name.into(), version });
        self.capabilities.sort();
        self
    }

    /// Does not say that it takes large frames in chunks, and so gets them as a whole.
    #[must_use]
    pub fn without_chunks(mut self) -> Self {
        self.capabilities.retain(|it| it.name != CHUNK_CAPABILITY);
        self
    }

    /// The last block of its chain when it starts; later `Signal::TipChanged` says. None.
    #[must_use]
    pub const fn with_best_block(mut self, height: u64, hash: Hash) -> Self {
        self.best_block = Some((height, hash));
        self
    }

    /// Whether version-1 nodes that never say Handshake are let in. Refused.
    #[must_use]
    pub const fn with_legacy(mut self, legacy: Legacy) -> Self {
        self.legacy = legacy;
        self
    }

    /// How long a listener's Handshake may take after its acknowledgement before it is taken for a
    /// version-1 node; and, where those are served, how long a peer may be silent. 1 s, ten times
    /// a slow round trip, as both frames leave together.
    #[must_use]
    pub const fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The hash of the chain's genesis block.
    pub const fn chain_id(&self) -> Hash {
        self.chain_id
    }

    /// What the node calls its software.
    pub fn user_agent(&self) -> &str {
        &self.user_agent
    }

    /// The versions of the extended protocol that it speaks.
    pub const fn protocol_versions(&self) -> (u16, u16) {
        self.protocol_versions
    }

    /// The port on which it takes connections.
    pub const fn listen_port(&self) -> Option<u16> {
        self.listen_port
    }

    /// What it can do beyond version 1, in the order of the names.
    pub fn capabilities(&self) -> &[Capability] {
        &self.capabilities
    }

    /// The last block of its chain when it starts.
    pub const fn best_block(&self) -> Option<(u64, Hash)> {
        self.best_block
    }

    /// Whether version-1 nodes that never say Handshake are let in.
    pub const fn legacy(&self) -> Legacy {
        self.legacy
    }

    /// How long to wait for what may never come.
    pub const fn grace(&self) -> Duration {
        self.grace
    }

    /// Whether a Handshake can be made of this.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let announcement = Announcement {
            protocol_versions: self.protocol_versions,
            chain_id: self.chain_id,
            listen_port: self.listen_port,
            capabilities: self.capabilities.clone(),
            nonce: u64::MAX,
            best_block: Some((u64::MAX, Hash::ZERO)),
        };
        let bytes = announcement.to_bytes().map_err(|_| InvalidConfig::Announcement)?;
        // Fixed fields 20, node id 64, magic 4.
        if self.user_agent.trim().is_empty() || bytes.len() + self.user_agent.len() + 20 + 64 + 4 > 1024 {
            return Err(InvalidConfig::UserAgent);
        }
        if self.grace.is_zero() {
            return Err(InvalidConfig::Grace);
        }
        Ok(())
    }
}

/// Why no Handshake can be made of a configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// Versions, port or capabilities are not what an extension may hold.
    Announcement,
    /// The user agent is blank, or the Handshake would not fit 1024 bytes.
    UserAgent,
    /// The grace time is zero.
    Grace,
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Announcement => {
                "versions must ascend, the listen port must not be 0, and there may be 32 capabilities with \
                 different names of up to 32 printable ASCII characters"
            }
            Self::UserAgent => {
                "the user agent must not be blank, and short enough for a Handshake of 1024 bytes"
            }
            Self::Grace => "the grace time must be longer than nothing",
        })
    }
}

impl core::error::Error for InvalidConfig {}
