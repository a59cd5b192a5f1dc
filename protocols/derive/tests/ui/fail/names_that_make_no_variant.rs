#[path = "../leaf.rs"]
mod leaf;

use leaf::Leaf;
use spacetime_core::NetworkBehaviour;
use spacetime_core::wire::{Ping, Pong};

#[derive(NetworkBehaviour)]
struct Twice {
    peer_list: Leaf<Ping>,
    peer_list_: Leaf<Pong>,
}

#[derive(NetworkBehaviour)]
struct Keyword {
    self_: Leaf<Ping>,
}

#[derive(NetworkBehaviour)]
struct Number {
    _1: Leaf<Ping>,
}

#[derive(NetworkBehaviour)]
struct Nameless {
    __: Leaf<Ping>,
}

fn main() {}
