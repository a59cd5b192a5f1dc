//! How much is relayed, how it spreads, and for how long it is remembered.

use core::fmt;
use core::time::Duration;

use spacetime_core::Rate;

/// The configuration of the relay. Defaults marked "seed" are the reference node's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    pub(crate) max_seen: usize,
    pub(crate) seen_lifetime: Duration,
    pub(crate) rate: Rate,
    pub(crate) is_adaptive: bool,
    pub(crate) relay_first: bool,
    pub(crate) verdict_timeout: Duration,
    pub(crate) announce_from_bytes: usize,
    pub(crate) push_peers: usize,
    pub(crate) fetch_timeout: Duration,
    pub(crate) max_stock_bytes: usize,
    pub(crate) stock_lifetime: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_seen: 100_000,
            seen_lifetime: Duration::from_secs(300),
            rate: Rate { capacity: 100, interval: Duration::from_millis(100) },
            is_adaptive: true,
            relay_first: false,
            verdict_timeout: Duration::from_secs(60),
            announce_from_bytes: 256,
            push_peers: 1,
            fetch_timeout: Duration::from_secs(3),
            max_stock_bytes: 32 * 1024 * 1024,
            stock_lifetime: Duration::from_secs(300),
        }
    }
}

impl Config {
    /// Items that are remembered. 100,000 (seed).
    #[must_use]
    pub const fn with_max_seen(mut self, items: usize) -> Self {
        self.max_seen = items;
        self
    }

    /// For how long they are. 5 min (seed).
    #[must_use]
    pub const fn with_seen_lifetime(mut self, lifetime: Duration) -> Self {
        self.seen_lifetime = lifetime;
        self
    }

    /// New items that are taken from a host: 100, then one more every 100 ms (seed).
    #[must_use]
    pub const fn with_rate(mut self, rate: Rate) -> Self {
        self.rate = rate;
        self
    }

    /// Whether that changes with what the host sends and with how much there is to do. Yes.
    #[must_use]
    pub const fn with_adaptive(mut self, is_adaptive: bool) -> Self {
        self.is_adaptive = is_adaptive;
        self
    }

    /// Whether items are passed on before the application has decided about them: faster by as long
    /// as that takes, but this node then spreads what is invalid, and is charged for it. No.
    #[must_use]
    pub const fn with_relay_first(mut self, relay_first: bool) -> Self {
        self.relay_first = relay_first;
        self
    }

    /// How long the application may take to decide; then it is as if it had ignored the item. 60 s.
    #[must_use]
    pub const fn with_verdict_timeout(mut self, timeout: Duration) -> Self {
        self.verdict_timeout = timeout;
        self
    }

    /// From how many bytes of payload on items are announced to most peers instead of sent to all.
    /// 256: from there on it saves more than half of all bytes, for twice the time (measured with 1,000
    /// nodes of 8 connections, `benches/propagation`).
    #[must_use]
    pub const fn with_announce_from_bytes(mut self, bytes: usize) -> Self {
        self.announce_from_bytes = bytes;
        self
    }

    /// To how many peers such an item is sent all the same, so that it need not be asked for on each of
    /// its hops. 1: a block of 100 kB takes 187 kB for each delivery, where flooding takes 700, and 2
    /// would take 270 (the same measurement).
    #[must_use]
    pub const fn with_push_peers(mut self, peers: usize) -> Self {
        self.push_peers = peers;
        self
    }

    /// How long a peer may take to send what it announced, and a second more for every 128 KiB. 3 s.
    #[must_use]
    pub const fn with_fetch_timeout(mut self, timeout: Duration) -> Self {
        self.fetch_timeout = timeout;
        self
    }

    /// Bytes of announced items that are kept to be fetched. 32 MiB, and one item.
    #[must_use]
    pub const fn with_max_stock_bytes(mut self, bytes: usize) -> Self {
        self.max_stock_bytes = bytes;
        self
    }

    /// For how long they are. 5 min.
    #[must_use]
    pub const fn with_stock_lifetime(mut self, lifetime: Duration) -> Self {
        self.stock_lifetime = lifetime;
        self
    }

    /// Whether a relay can work with this.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let timeouts = [
            self.seen_lifetime,
            self.rate.interval,
            self.verdict_timeout,
            self.fetch_timeout,
            self.stock_lifetime,
        ];
        if timeouts.iter().any(Duration::is_zero) {
            return Err(InvalidConfig("the times of the relay must be longer than nothing"));
        }
        if self.max_seen == 0 || self.rate.capacity == 0 {
            return Err(InvalidConfig("the relay must be able to remember and take at least one item"));
        }
        if self.seen_lifetime <= self.verdict_timeout {
            return Err(InvalidConfig("an item must be remembered for longer than a verdict may take"));
        }
        Ok(())
    }
}

/// What makes no sense about a configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidConfig(&'static str);

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for InvalidConfig {}
