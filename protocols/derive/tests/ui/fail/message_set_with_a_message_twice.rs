#[path = "../leaf.rs"]
mod leaf;

use leaf::Leaf;
use spacetime_core::wire::{Ping, Pong};
use spacetime_core::{NetworkBehaviour, message_set};

message_set! {
    /// Pong and Ping, and Ping.
    enum Signs {
        Ping(Ping),
        Pong(Pong),
        Again(Ping),
    }
}

#[derive(NetworkBehaviour)]
struct Node {
    signs: Leaf<Signs>,
}

fn main() {}
