#[path = "../leaf.rs"]
mod leaf;

use leaf::Leaf;
use spacetime_core::NetworkBehaviour;
use spacetime_core::wire::Ping;

#[derive(NetworkBehaviour)]
struct Node {
    ping: Leaf<Ping>,
    counter: u64,
}

fn main() {}
