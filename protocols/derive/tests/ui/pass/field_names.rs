#![deny(warnings)]
#![allow(non_snake_case)]

#[path = "../leaf.rs"]
mod leaf;

use leaf::Leaf;
use spacetime_core::NetworkBehaviour;
use spacetime_core::wire::{GetBlock, Heartbeat, HandshakeAck, Nothing, Ping, Pong, TxPoolRequest};

#[derive(NetworkBehaviour, Default)]
struct r#Node {
    r#type: Leaf<Ping>,
    r#async: Leaf<Pong>,
    _ping_2: Leaf<Nothing, Ping>,
    höhe_über_null: Leaf<GetBlock>,
    event: Leaf<HandshakeAck>,
    cx: Leaf<Nothing, Pong>,
    input: Leaf<Nothing, GetBlock>,
    now: Leaf<TxPoolRequest>,
    Camel: Leaf<Nothing, Heartbeat>,
}

#[derive(NetworkBehaviour, Default)]
struct Names {
    f: Leaf<Ping>,
    command: Leaf<Pong>,
    claims: Leaf<Nothing, Ping>,
    takes: Leaf<GetBlock>,
    role: Leaf<Nothing, GetBlock>,
    some: Leaf<Nothing, Pong>,
    result: Leaf<TxPoolRequest>,
}

fn main() {
    let _ = Node::default();
    let _ = Names::default();
    let events = [
        NodeEvent::Type("type"),
        NodeEvent::Async(""),
        NodeEvent::Ping2(""),
        NodeEvent::HöheÜberNull(""),
        NodeEvent::Event(""),
        NodeEvent::Cx(""),
        NodeEvent::Input(""),
        NodeEvent::Now(""),
        NodeEvent::Camel(""),
    ];
    assert_eq!(format!("{:?}", events[0]), r#"Type("type")"#);
    assert_eq!(format!("{:?}", NamesCommand::Result(3)), "Result(3)");
}
