#[path = "../leaf.rs"]
mod leaf;

use leaf::Leaf;
use serde::{Deserialize, Serialize};
use spacetime_core::NetworkBehaviour;
use spacetime_core::wire::{ApplicationMessage, Ping};

#[derive(Serialize, Deserialize)]
struct Vote;

impl ApplicationMessage for Vote {
    const TYPE_BYTE: u8 = 0x7f;
    const MAX_BYTES: u32 = 16;
}

#[derive(NetworkBehaviour)]
struct Node {
    ping: Leaf<Ping>,
    votes: Leaf<Vote>,
}

fn main() {}
