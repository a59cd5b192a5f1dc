#[path = "../leaf.rs"]
mod leaf;

use leaf::{Gate, Leaf};
use spacetime_core::wire::Ping;
use spacetime_core::{NetworkBehaviour, Toggle};

#[derive(NetworkBehaviour)]
struct Node {
    gate: Gate,
    ping: Leaf<Ping>,
    another: Toggle<Gate>,
}

fn main() {}
