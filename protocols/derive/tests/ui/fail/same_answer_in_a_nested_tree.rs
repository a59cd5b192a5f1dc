#[path = "../leaf.rs"]
mod leaf;

use leaf::Leaf;
use spacetime_core::wire::{Nothing, Ping, Pong};
use spacetime_core::{NetworkBehaviour, Toggle};

#[derive(NetworkBehaviour)]
struct Inner {
    pong: Leaf<Pong>,
    asks: Leaf<Nothing, Ping>,
}

#[derive(NetworkBehaviour)]
struct Node {
    ping: Leaf<Ping>,
    inner: Inner,
    asks_too: Toggle<Leaf<Nothing, Ping>>,
}

fn main() {}
