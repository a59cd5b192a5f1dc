#![deny(warnings)]

#[path = "../leaf.rs"]
mod leaf;

use leaf::{Gate, Leaf};
use spacetime_core::wire::{MessageType, Nothing, Ping, Pong, TxPoolRequest};
use spacetime_core::{Dynamic, Limits, NetworkBehaviour, PeerId, Role, Swarm, Toggle};

type Plugins = Dynamic<String, String>;

#[derive(NetworkBehaviour)]
struct Signs {
    ping: Toggle<Leaf<Ping>>,
    pong: Leaf<Pong>,
}

#[derive(NetworkBehaviour)]
struct Guarded<T> {
    gate: Toggle<Gate>,
    inner: T,
    plugins: Plugins,
}

#[derive(NetworkBehaviour)]
struct Node {
    guarded: Toggle<Guarded<Signs>>,
    // The same type in the other role is another claim.
    asks_to_ping: Leaf<Nothing, Ping>,
    more_plugins: Toggle<Plugins>,
}

fn innermost(event: NodeEvent) -> Option<&'static str> {
    match event {
        NodeEvent::Guarded(GuardedEvent::Inner(SignsEvent::Ping(text) | SignsEvent::Pong(text))) => Some(text),
        NodeEvent::Guarded(GuardedEvent::Plugins(_)) | NodeEvent::MorePlugins(_) | NodeEvent::AsksToPing(_) => None,
        NodeEvent::Guarded(GuardedEvent::Gate(never)) => match never {},
    }
}

fn main() {
    let inner = Signs { ping: Toggle::off(), pong: Leaf::default() };
    let gate = Toggle::on(Gate);
    let plugins = Plugins::new().with(Leaf::<TxPoolRequest>::default(), String::from, |it| Err(it)).unwrap();
    let node = Node {
        guarded: Toggle::on(Guarded { gate, inner, plugins }),
        asks_to_ping: Leaf::default(),
        more_plugins: Toggle::on(Plugins::new()),
    };
    assert!(node.claims().has_gate());
    let swarm = Swarm::new(node, PeerId([0; 32]), Limits::default()).unwrap();
    let takes = |message_type| [Role::Message, Role::Answer].map(|role| swarm.behaviour().takes(message_type, role));
    assert_eq!(takes(MessageType::PING), [true, true]);
    assert_eq!(takes(MessageType::PONG), [true, false]);
    assert_eq!(takes(MessageType::TX_POOL_REQUEST), [true, false]);
    assert_eq!(takes(MessageType::BLOCK), [false, false]);
    assert_eq!(innermost(NodeEvent::Guarded(GuardedEvent::Inner(SignsEvent::Ping("ping")))), Some("ping"));
}
