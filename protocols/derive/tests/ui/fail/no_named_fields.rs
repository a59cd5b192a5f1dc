#[path = "../leaf.rs"]
mod leaf;

use leaf::Leaf;
use spacetime_core::NetworkBehaviour;
use spacetime_core::wire::Ping;

#[derive(NetworkBehaviour)]
struct Tuple(Leaf<Ping>);

#[derive(NetworkBehaviour)]
struct Unit;

#[derive(NetworkBehaviour)]
struct Empty {}

#[derive(NetworkBehaviour)]
struct Without {
    #[cfg(any())]
    ping: Leaf<Ping>,
}

fn main() {}
