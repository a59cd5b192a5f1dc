//! With whom to keep connections, and how many.

use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use spacetime_core::Address;

use crate::admission::AddressRules;
use crate::book::BookConfig;
use crate::reputation::ReputationRules;

/// With whom to keep connections, and how many.
///
/// The defaults fit into the default of [`Limits`](spacetime_core::Limits), 50 connections: 8 that
/// this node chooses, 1 that tests an address, 40 that came, and 1 more for which one of them makes
/// room.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) kept: Vec<Address>,
    pub(crate) seeds: Vec<Address>,
    pub(crate) own_addresses: Vec<SocketAddr>,
    pub(crate) book: BookConfig,
    pub(crate) reputation: ReputationRules,
    pub(crate) max_outbound: usize,
    pub(crate) max_inbound: usize,
    pub(crate) max_inbound_per_host: usize,
    pub(crate) max_inbound_per_group: usize,
    pub(crate) max_anchors: usize,
    pub(crate) feeler_interval: Duration,
    pub(crate) ban_duration: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            seeds: Vec::new(),
            own_addresses: Vec::new(),
            book: BookConfig::default(),
            reputation: ReputationRules::default(),
            max_outbound: 8,
            max_inbound: 40,
            max_inbound_per_host: 4,
            max_inbound_per_group: 10,
            max_anchors: 2,
            feeler_interval: Duration::from_secs(120),
            ban_duration: Duration::from_secs(24 * 3600),
        }
    }
}

impl Config {
    /// Addresses that are kept connected whatever happens, beside those that this node chooses. None.
    #[must_use]
    pub fn with_kept(mut self, addresses: impl IntoIterator<Item = Address>) -> Self {
        self.kept.extend(addresses);
        self
    }

    /// Where to ask for addresses while no peer can be reached: IP addresses, or DNS names that
    /// have a node at each of their addresses. None.
    #[must_use]
    pub fn with_seeds(mut self, seeds: impl IntoIterator<Item = Address>) -> Self {
        self.seeds.extend(seeds);
        self
    }

    /// Addresses of this node itself, which it never dials and does not put into its book. Others are
    /// found out by dialling them. None.
    #[must_use]
    pub fn with_own_addresses(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.own_addresses.extend(addresses);
        self
    }

    /// How large the book is, and what it takes.
    #[must_use]
    pub fn with_book(mut self, book: BookConfig) -> Self {
        self.book = book;
        self
    }

    /// Which addresses the book takes; the rest of its configuration stays.
    #[must_use]
    pub const fn with_address_rules(mut self, rules: AddressRules) -> Self {
        self.book.rules = rules;
        self
    }

    /// How scores are reckoned.
    #[must_use]
    pub const fn with_reputation(mut self, rules: ReputationRules) -> Self {
        self.reputation = rules;
        self
    }

    /// Connections that this node chooses and keeps, each with another group. 8 (Bitcoin Core).
    #[must_use]
    pub const fn with_max_outbound(mut self, max_outbound: usize) -> Self {
        self.max_outbound = max_outbound;
        self
    }

    /// Peers that connected. When there are so many, another one is let in if one of them can be asked
    /// to make room. 40.
    #[must_use]
    pub const fn with_max_inbound(mut self, max_inbound: usize) -> Self {
        self.max_inbound = max_inbound;
        self
    }

    /// Peers that connected from one IPv4 address or one IPv6 /64. 4, for those behind one router. Does
    /// not hold for addresses that are not public.
    #[must_use]
    pub const fn with_max_inbound_per_host(mut self, max_inbound_per_host: usize) -> Self {
        self.max_inbound_per_host = max_inbound_per_host;
        self
    }

    /// Peers that connected from one IPv4 /16 or IPv6 /32. 10, a quarter of all. Does not hold for
    /// addresses that are not public.
    #[must_use]
    pub const fn with_max_inbound_per_group(mut self, max_inbound_per_group: usize) -> Self {
        self.max_inbound_per_group = max_inbound_per_group;
        self
    }

    /// Peers that are dialled first after a restart: those connected for longest. 2 (Bitcoin Core).
    #[must_use]
    pub const fn with_max_anchors(mut self, max_anchors: usize) -> Self {
        self.max_anchors = max_anchors;
        self
    }

    /// How often an address that was only told is tested. 2 minutes (Bitcoin Core), and up to a
    /// quarter more.
    #[must_use]
    pub const fn with_feeler_interval(mut self, interval: Duration) -> Self {
        self.feeler_interval = interval;
        self
    }

    /// How long a peer is banned whose score has fallen too low. 24 hours (Bitcoin Core's bans).
    #[must_use]
    pub const fn with_ban_duration(mut self, duration: Duration) -> Self {
        self.ban_duration = duration;
        self
    }

    /// Connections that this node chooses and keeps.
    pub const fn max_outbound(&self) -> usize {
        self.max_outbound
    }

    /// Peers that connected.
    pub const fn max_inbound(&self) -> usize {
        self.max_inbound
    }

    /// Whether it can work.
    ///
    /// # Errors
    ///
    /// What cannot.
    pub const fn validate(&self) -> Result<(), InvalidConfig> {
        if self.feeler_interval.is_zero() {
            return Err(InvalidConfig::FeelerInterval);
        }
        if self.reputation.min_score >= 0 || self.reputation.max_failures_in_a_row == 0 {
            return Err(InvalidConfig::Reputation);
        }
        Ok(())
    }
}

/// What cannot work in a [`Config`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// No time between two tests of addresses.
    FeelerInterval,
    /// Everybody would be banned at once.
    Reputation,
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FeelerInterval => "the interval between feelers must be longer than nothing",
            Self::Reputation => {
                "the score at which peers are banned must be below 0, and failures in a row above 0"
            }
        })
    }
}

impl core::error::Error for InvalidConfig {}
