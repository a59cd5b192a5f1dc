//! The sans-IO core of `spacetime-network`: the wire format, behaviours, and the [`Swarm`] that
//! joins them, as state machines that are told what time it is.
//!
//! Nothing here can name a socket, a clock, a thread or the operating system's randomness: the
//! crate is `no_std`, and so are the protocols on it. So the same code runs a node on the internet
//! and a thousand nodes in one thread under virtual time.
//!
//! * [`wire`]: frames and messages, byte for byte.
//! * [`chain`]: the objects inside of them, and the rules that link them.
//! * [`behaviour`]: protocols and trees of them.
//! * [`swarm`]: connections, and how a driver runs it all.
//!
//! Errors come from input and are values; a panic means a bug.

#![no_std]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

extern crate alloc;

mod address;
mod admission;
mod bandwidth;
pub mod behaviour;
#[doc(hidden)]
pub mod canary;
pub mod chain;
mod close;
mod connection;
mod deadlines;
mod hash;
mod limits;
mod offence;
mod origin;
mod patience;
mod peer;
mod public;
mod recent;
mod request;
mod rng;
mod security;
mod shaper;
mod signal;
pub mod swarm;
mod time;
mod token_bucket;
pub mod wire;

pub use address::{Address, Endpoint, InvalidAddress};
pub use admission::{Candidate, OpeningConnection, Stage, Verdict};
pub use bandwidth::Bandwidth;
pub use behaviour::{Claims, Context, Dynamic, Input, NetworkBehaviour, Protocol, Role, Toggle};
pub use close::{CloseReason, DialError};
pub use connection::{ConnectionId, ConnectionMap, Direction};
pub use deadlines::Deadlines;
pub use hash::{Hash, InvalidHex, PeerId};
pub use limits::{InvalidLimits, Limits, QueueLimit};
pub use offence::{Offence, Severity, Violation};
pub use origin::{Origin, listens_at};
pub use patience::Patience;
pub use peer::{Identity, Peer, PeerInfo};
pub use public::{NotPublic, carried, check_public, is_public};
pub use recent::Recent;
pub use request::{Expect, RequestError, RequestId};
pub use rng::Rng;
pub use security::SecurityError;
pub use shaper::{ByteRate, Shaper};
pub use signal::Signal;
pub use swarm::{
    Action, ConnectionStatistics, Delayed, Event, QueueLoad, SendError, Statistics, Swarm, Transmit,
};
pub use time::{Now, Time};
pub use token_bucket::{Rate, TokenBucket};

/// Makes a tree of a struct of behaviours. See [`behaviour`].
#[cfg(feature = "derive")]
pub use spacetime_derive::NetworkBehaviour;

/// What the code that the derive writes refers to.
#[doc(hidden)]
pub mod derive_support {
    pub use crate::admission::{Candidate, Verdict};
    pub use crate::behaviour::{Claims, Context, Input, NetworkBehaviour, Role};
    pub use crate::offence::Violation;
    pub use crate::time::Time;
    pub use crate::wire::MessageType;
}
