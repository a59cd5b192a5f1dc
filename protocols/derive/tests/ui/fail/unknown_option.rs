#[path = "../leaf.rs"]
mod leaf;

use leaf::Leaf;
use spacetime_core::NetworkBehaviour;
use spacetime_core::wire::Ping;

#[derive(NetworkBehaviour)]
#[behaviour(event = "Event")]
struct Unknown {
    ping: Leaf<Ping>,
}

#[derive(NetworkBehaviour)]
#[behaviour]
struct Bare {
    ping: Leaf<Ping>,
}

#[derive(NetworkBehaviour)]
#[behaviour(crate = "spacetime_core")]
struct Text {
    ping: Leaf<Ping>,
}

#[derive(NetworkBehaviour)]
struct OnAField {
    #[behaviour(ignore)]
    ping: Leaf<Ping>,
}

fn main() {}
