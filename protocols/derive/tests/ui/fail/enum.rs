#[path = "../leaf.rs"]
mod leaf;

use leaf::Leaf;
use spacetime_core::NetworkBehaviour;
use spacetime_core::wire::Ping;

#[derive(NetworkBehaviour)]
enum Node {
    Ping(Leaf<Ping>),
}

#[derive(NetworkBehaviour)]
union Both {
    number: u8,
}

fn main() {}
