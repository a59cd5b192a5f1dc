//! What is believed, how much of it, and how often something is said.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use spacetime_core::{Rate, is_public};

use crate::MAX_FORWARDED;

/// The configuration of gossip. Defaults marked "seed" are the reference node's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    pub(crate) allow_private: bool,
    pub(crate) own_address: Option<SocketAddr>,
    pub(crate) own_interval: Duration,
    pub(crate) interval: Duration,
    pub(crate) count: usize,
    pub(crate) peers: usize,
    pub(crate) forward_peers: usize,
    pub(crate) forward_delay: Duration,
    pub(crate) dedup_window: Duration,
    pub(crate) accepted: Rate,
    pub(crate) accepted_from_strangers: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            allow_private: false,
            own_address: None,
            own_interval: Duration::from_secs(24 * 3600),
            interval: Duration::from_secs(600),
            count: 20,
            peers: 3,
            forward_peers: 3,
            forward_delay: Duration::from_secs(5),
            dedup_window: Duration::from_secs(3600),
            accepted: Rate { capacity: 1000, interval: Duration::from_secs(10) },
            accepted_from_strangers: 20,
        }
    }
}

impl Config {
    /// Whether addresses count that are of no use on the internet: loopback, private networks and
    /// the like. No.
    #[must_use]
    pub const fn with_allow_private(mut self, allow: bool) -> Self {
        self.allow_private = allow;
        self
    }

    /// Where others reach this node, which peers are told. None.
    #[must_use]
    pub const fn with_own_address(mut self, address: Option<SocketAddr>) -> Self {
        self.own_address = address;
        self
    }

    /// How often each peer is told where this node is reached, with up to a quarter added at random.
    /// 24 hours (Bitcoin Core).
    #[must_use]
    pub const fn with_own_interval(mut self, interval: Duration) -> Self {
        self.own_interval = interval;
        self
    }

    /// How often some peers are told some of the addresses that this node tells, with up to a
    /// quarter added at random. 10 min (seed).
    #[must_use]
    pub const fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How many addresses they are told, up to [`MAX_FORWARDED`]. 20 (seed).
    #[must_use]
    pub const fn with_count(mut self, count: usize) -> Self {
        self.count = count;
        self
    }

    /// How many peers are told some. 3.
    #[must_use]
    pub const fn with_peers(mut self, peers: usize) -> Self {
        self.peers = peers;
        self
    }

    /// To how many peers an address is passed on. 3: among nodes that are connected at random, what
    /// each passes on to 3 others reaches 94 % of them, with 2 it is 80 %. Bitcoin Core: 2.
    #[must_use]
    pub const fn with_forward_peers(mut self, peers: usize) -> Self {
        self.forward_peers = peers;
        self
    }

    /// How long an address waits at most until it is passed on, together with others. 5 s.
    #[must_use]
    pub const fn with_forward_delay(mut self, delay: Duration) -> Self {
        self.forward_delay = delay;
        self
    }

    /// For how long an address that was passed on is not passed on again. 1 hour (seed).
    #[must_use]
    pub const fn with_dedup_window(mut self, window: Duration) -> Self {
        self.dedup_window = window;
        self
    }

    /// How many addresses are taken from one host: so many at once, if it was quiet for long enough,
    /// and one more in each interval. 1000, and one in 10 s (Bitcoin Core).
    #[must_use]
    pub const fn with_accepted(mut self, accepted: Rate) -> Self {
        self.accepted = accepted;
        self
    }

    /// How many are taken at once from a host that is not remembered. 20, one honest message. Bitcoin
    /// Core begins with 1, which loses the first message of every honest peer.
    #[must_use]
    pub const fn with_accepted_from_strangers(mut self, addresses: u32) -> Self {
        self.accepted_from_strangers = addresses;
        self
    }

    /// Whether an address is worth being learned and passed on: somebody else's, and of use.
    pub fn accepts(&self, address: SocketAddr) -> bool {
        Some(address) != self.own_address && self.is_of_use(address)
    }

    /// Whether anybody can be reached at an address. This is the one place that decides.
    pub(crate) fn is_of_use(&self, address: SocketAddr) -> bool {
        address.port() != 0 && (self.allow_private || is_public(address.ip()))
    }

    /// Whether a node can gossip by this.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let invalid = |name, must| Err(InvalidConfig { name, must });
        let intervals = [
            (self.own_interval, "own_interval"),
            (self.interval, "interval"),
            (self.accepted.interval, "accepted"),
        ];
        for (interval, name) in intervals {
            if interval.is_zero() {
                return invalid(name, "be longer than nothing");
            }
        }
        if !(1..=MAX_FORWARDED).contains(&self.count) {
            return invalid("count", "be between 1 and 20");
        }
        if self.accepted_from_strangers > self.accepted.capacity {
            return invalid("accepted_from_strangers", "be at most what is accepted at once");
        }
        if self.own_address.is_some_and(|address| address.port() == 0) {
            return invalid("own_address", "have a port");
        }
        Ok(())
    }
}

/// Which entry of a configuration makes no sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidConfig {
    name: &'static str,
    must: &'static str,
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of gossip must {}", self.name, self.must)
    }
}

impl core::error::Error for InvalidConfig {}
