//! What an async Swarm is made of.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use spacetime_core::{Limits, PeerId};

use crate::transport::Transport;

/// Reads the wall clock, in unix seconds.
pub(super) type UnixClock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Who the node is, how it connects, and its limits.
#[derive(Clone)]
pub struct Config {
    pub(super) peer_id: PeerId,
    pub(super) limits: Limits,
    pub(super) transports: Vec<Arc<dyn Transport>>,
    pub(super) unix_clock: UnixClock,
}

impl Config {
    /// A node with default limits and no transport.
    pub fn new(peer_id: PeerId) -> Self {
        Self {
            peer_id,
            limits: Limits::default(),
            transports: Vec::new(),
            unix_clock: Arc::new(system_clock),
        }
    }

    /// One more way to connect. An address goes to the first transport that supports it.
    #[must_use]
    pub fn with_transport(mut self, transport: impl Transport) -> Self {
        self.transports.push(Arc::new(transport));
        self
    }

    /// Other limits than the default.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Another wall clock than the system's, in unix seconds: for tests that run twice.
    #[must_use]
    pub fn with_unix_clock(mut self, clock: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        self.unix_clock = Arc::new(clock);
        self
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("peer_id", &self.peer_id)
            .field("limits", &self.limits)
            .field("transports", &self.transports.len())
            .finish_non_exhaustive()
    }
}

/// What the system's wall clock says, in unix seconds.
pub(crate) fn system_clock() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds),
    }
}
