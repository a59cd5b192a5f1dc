//! `spacetime-network`

#[cfg(feature = "node")]
pub mod app;
#[cfg(feature = "node")]
pub mod store;
pub mod swarm;
pub mod transport;

use std::io;

pub use spacetime_core::*;
/// Makes a tree of a struct of behaviours. See [`behaviour`].
pub use spacetime_derive::FacadeNetworkBehaviour as NetworkBehaviour;
pub use swarm::Swarm;

/// Randomness for a node, from the operating system.
pub fn os_rng() -> io::Result<Rng> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::from)?;
    Ok(Rng::from_seed(seed))
}
