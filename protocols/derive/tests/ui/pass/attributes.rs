#![deny(warnings)]

#[path = "../leaf.rs"]
mod leaf;

use leaf::Leaf;
use spacetime_core::NetworkBehaviour;
use spacetime_core::wire::{Ping, Pong};

/// A tree with attributes of others.
#[derive(Default, NetworkBehaviour)]
#[doc(alias = "tree")]
#[must_use]
#[repr(C)]
struct Node {
    /// It is there.
    #[cfg(all())]
    #[doc(alias = "sign")]
    ping: Leaf<Ping>,
    // It is not there, so it neither claims Ping again nor needs a type that exists.
    #[cfg(any())]
    again: Leaf<Ping>,
    #[cfg(any())]
    missing: does::not::Exist,
    #[cfg_attr(all(), allow(dead_code))]
    #[cfg_attr(any(), behaviour(ignore))]
    pong: Leaf<Pong>,
}

fn main() {
    let _ = Node::default();
    match NodeEvent::Pong("pong") {
        NodeEvent::Ping(text) | NodeEvent::Pong(text) => assert_eq!(text, "pong"),
    }
}
