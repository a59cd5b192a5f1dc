#[path = "../leaf.rs"]
mod leaf;

use leaf::Leaf;
use spacetime_core::NetworkBehaviour;
use spacetime_core::wire::{Ping, Pong};

#[derive(NetworkBehaviour)]
struct Node {
    first: Leaf<Ping>,
    between: Leaf<Pong>,
    second: Leaf<Ping>,
}

fn main() {}
