//! `spacetime-network`

pub mod swarm;
pub mod transport;

pub use spacetime_core::*;
/// Makes a tree of a struct of behaviours. See [`behaviour`].
pub use spacetime_derive::FacadeNetworkBehaviour as NetworkBehaviour;
pub use swarm::Swarm;
