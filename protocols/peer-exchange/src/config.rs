//! How often to ask, for how much, and how much to tell.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use spacetime_core::Rate;
use spacetime_core::wire::MAX_ADDRESSES;

/// The fewest addresses that may be asked for: as many as one message of gossip holds, which may
/// cross the question and be taken for its answer.
pub const MIN_ASK_COUNT: usize = 20;

/// The configuration of peer exchange. Defaults marked "seed" are the reference node's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    interval: Duration,
    max_ask_interval: Duration,
    ask_count: usize,
    timeout: Duration,
    answers_per_group: u32,
    own_address: Option<SocketAddr>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(300),
            max_ask_interval: Duration::from_secs(3600),
            ask_count: 100,
            timeout: Duration::from_secs(10),
            answers_per_group: 8,
            own_address: None,
        }
    }
}

impl Config {
    /// How long after a question the same peer is asked again, with up to a quarter added at
    /// random, and after a full answer gets the next one. 5 min (seed).
    #[must_use]
    pub const fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Up to how long the interval between questions grows, while the answers bring nothing new. 1
    /// hour.
    #[must_use]
    pub const fn with_max_ask_interval(mut self, interval: Duration) -> Self {
        self.max_ask_interval = interval;
        self
    }

    /// How many addresses to ask for, from [`MIN_ASK_COUNT`] to 1000. 100 (seed).
    #[must_use]
    pub const fn with_ask_count(mut self, count: usize) -> Self {
        self.ask_count = count;
        self
    }

    /// How long an answer may take. 10 s (seed).
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many full answers all the hosts of one group, an IPv4 /16 or an IPv6 /32, get in an
    /// interval. 8: with 1, one host could keep all its neighbours without answers.
    #[must_use]
    pub const fn with_answers_per_group(mut self, answers: u32) -> Self {
        self.answers_per_group = answers;
        self
    }

    /// Where others reach this node, which it neither tells nor learns. None.
    #[must_use]
    pub const fn with_own_address(mut self, address: Option<SocketAddr>) -> Self {
        self.own_address = address;
        self
    }

    /// How long a peer is left alone, and left without a full answer.
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// Up to how long the interval between questions grows.
    pub const fn max_ask_interval(&self) -> Duration {
        self.max_ask_interval
    }

    /// How many addresses to ask for.
    pub const fn ask_count(&self) -> usize {
        self.ask_count
    }

    /// How long an answer may take.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How many full answers all the hosts of one group get in an interval.
    pub const fn answers_per_group(&self) -> u32 {
        self.answers_per_group
    }

    /// Where others reach this node.
    pub const fn own_address(&self) -> Option<SocketAddr> {
        self.own_address
    }

    /// Whether a node can exchange peers by this.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let invalid = |name, must| Err(InvalidConfig { name, must });
        if self.interval.is_zero() {
            return invalid("interval", "be longer than nothing");
        }
        if self.max_ask_interval < self.interval {
            return invalid("max_ask_interval", "be at least the interval");
        }
        if !(MIN_ASK_COUNT..=MAX_ADDRESSES).contains(&self.ask_count) {
            return invalid("ask_count", "be between 20 and 1000");
        }
        if self.timeout.is_zero() {
            return invalid("timeout", "be longer than nothing");
        }
        if self.answers_per_group == 0 {
            return invalid("answers_per_group", "be at least 1");
        }
        if self.own_address.is_some_and(|address| address.port() == 0) {
            return invalid("own_address", "have a port");
        }
        Ok(())
    }

    /// What one peer gets, and what it is asked.
    pub(crate) const fn peer_rate(&self) -> Rate {
        Rate { capacity: 1, interval: self.interval }
    }

    /// What the hosts of one group get together.
    pub(crate) fn group_rate(&self) -> Rate {
        let interval = self.interval.checked_div(self.answers_per_group).unwrap_or(self.interval);
        Rate { capacity: self.answers_per_group, interval }
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
        write!(f, "{} of peer exchange must {}", self.name, self.must)
    }
}

impl core::error::Error for InvalidConfig {}
