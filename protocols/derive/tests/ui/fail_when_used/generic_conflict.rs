#[path = "../leaf.rs"]
mod leaf;

use leaf::Leaf;
use spacetime_core::NetworkBehaviour;
use spacetime_core::wire::Ping;

#[derive(NetworkBehaviour)]
struct Node<T> {
    ping: Leaf<Ping>,
    other: T,
}

// What a generic tree claims is known where it is used. A Swarm does this first of all.
fn main() {
    let node = Node {
        ping: Leaf::<Ping>::default(),
        other: Leaf::<Ping>::default(),
    };
    let _ = node.claims();
}
