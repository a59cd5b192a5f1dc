//! Peer-to-peer networking for blockchains, in which every protocol is a sans-IO state machine.
//!
//! A [`Swarm`] holds connections and a tree of behaviours: handshake, ping, peer exchange, sync,
//! and your own. The behaviours know no socket and no clock, so the tree that runs over TCP is the
//! one that `spacetime-simulator` runs a thousand times in one thread, repeatable from a seed.
//!
//! ```
//! use futures::StreamExt as _;
//! use spacetime_network::{ping, swarm, transport::TcpTransport, Ping, PeerId, Swarm};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let rng = spacetime_network::os_rng()?;
//! let config = swarm::Config::new(PeerId([1; 32])).with_transport(TcpTransport::new());
//! let mut swarm = Swarm::new(Ping::new(ping::Config::default(), &rng)?, config)?;
//! let address = swarm.listen("127.0.0.1:0".parse()?).await?;
//! println!("listening on {address}");
//! # swarm.dial(address)?;
//! while let Some(event) = swarm.next().await {
//!     println!("{event:?}");
//! #   break;
//! }
//! # Ok(()) }
//! ```
//!
//! # Where to look
//!
//! | to | look at |
//! |---|---|
//! | write a protocol | [`Protocol`], [`behaviour`] |
//! | put protocols together | [`derive@NetworkBehaviour`], [`Toggle`], [`Dynamic`] |
//! | run them | [`Swarm`], [`swarm`], [`transport`] |
//! | test them without sockets | the crate `spacetime-simulator` |
//! | speak the wire format | [`wire`], [`chain`] |
//! | drive them with something else than tokio | [`sans_io`] |
//! | run a whole node | the `spacetime` command, or `app::FullNode` (feature `node`) |
//!
//! # Features
//!
//! | feature | brings |
//! |---|---|
//! | `node` (default) | the `spacetime` command, the chain store, the program around a node; needs TLS |
//! | `tls-aws-lc-rs` (default) | TLS by aws-lc-rs, which is faster |
//! | `tls-ring` | TLS by ring, which is lighter to build; if both are on it is aws-lc-rs |
//!
//! Without any this is a library over tokio and nothing else.

#[cfg(feature = "node")]
pub mod app;
#[cfg(feature = "node")]
pub mod store;
pub mod swarm;
pub mod transport;

#[cfg(all(feature = "__tls", not(any(feature = "tls-aws-lc-rs", feature = "tls-ring"))))]
compile_error!("`__tls` is no feature to ask for: ask for `tls-aws-lc-rs` or `tls-ring`");
#[cfg(all(feature = "node", not(feature = "__tls")))]
compile_error!("a node needs keys and TLS: add the feature `tls-aws-lc-rs` or `tls-ring`");

use std::io;

/// The sans-IO Swarm and what its drivers need.
pub use spacetime_core::swarm as sans_io;
pub use spacetime_core::*;
/// Makes a tree of a struct of behaviours. See [`behaviour`].
pub use spacetime_derive::FacadeNetworkBehaviour as NetworkBehaviour;
pub use spacetime_gossip::{self as gossip, Gossip};
pub use spacetime_handshake::{self as handshake, Handshake};
pub use spacetime_node::{self as node, Node};
pub use spacetime_peer_exchange::{self as peer_exchange, PeerExchange};
pub use spacetime_peers::{self as peers, Peers};
pub use spacetime_ping::{self as ping, Ping};
pub use spacetime_relay::{self as relay, Relay};
pub use spacetime_sync::{self as sync, Sync};
pub use swarm::Swarm;

/// Randomness for a node, from the operating system.
pub fn os_rng() -> io::Result<Rng> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::from)?;
    Ok(Rng::from_seed(seed))
}

/// The code in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
