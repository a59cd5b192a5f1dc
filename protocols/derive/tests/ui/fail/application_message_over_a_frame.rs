#[path = "../leaf.rs"]
mod leaf;

use leaf::Leaf;
use serde::{Deserialize, Serialize};
use spacetime_core::NetworkBehaviour;
use spacetime_core::wire::{ApplicationMessage, MAX_PAYLOAD};

#[derive(Serialize, Deserialize)]
struct Film;

impl ApplicationMessage for Film {
    const TYPE_BYTE: u8 = 0x80;
    const MAX_BYTES: u32 = MAX_PAYLOAD + 1;
}

#[derive(NetworkBehaviour)]
struct Node {
    films: Leaf<Film>,
}

fn main() {}
