//! A protocol of one's own beside ping, between two nodes in one process.
use futures::{StreamExt as _, stream::select};
use serde::{Deserialize, Serialize};
use spacetime_network::wire::{ApplicationMessage, Frame, Nothing};
use spacetime_network::{ConnectionId, Context, NetworkBehaviour, PeerId, Ping, Protocol, Rng, Swarm};
use spacetime_network::{Violation, ping, swarm::Config, transport::MemoryNetwork};

#[derive(Serialize, Deserialize)]
struct Greeting(String);

impl ApplicationMessage for Greeting {
    const TYPE_BYTE: u8 = 0x80;
    const MAX_BYTES: u32 = 256;
}

/// Greets every peer, and passes the greetings that arrive on to the application.
struct Greeter;

impl Protocol for Greeter {
    type Message<'a> = Greeting;
    type Answer<'a> = Nothing;
    type Event = String;
    type Command = std::convert::Infallible;

    fn on_established(&mut self, cx: &mut Context<'_, String>, to: ConnectionId) {
        cx.send(to, &Greeting("hello".into())).expect("a new connection has room");
    }

    #[rustfmt::skip]
    fn on_message(&mut self, cx: &mut Context<'_, String>, _: ConnectionId, Greeting(text): Greeting, _: &Frame)
        -> Result<(), Violation> {
        cx.emit(text);
        Ok(())
    }
}

#[derive(NetworkBehaviour)]
struct Node {
    ping: Ping,
    greeter: Greeter,
}

#[allow(clippy::print_stdout, reason = "an example shows what happens")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let network = MemoryNetwork::new();
    let node = |number: u8| {
        let ping = Ping::new(ping::Config::default(), &Rng::from_number(number.into())).expect("valid");
        let config = Config::new(PeerId([number; 32])).with_transport(network.transport());
        Swarm::new(Node { ping, greeter: Greeter }, config).expect("valid")
    };
    let (mut near, mut far) = (node(1), node(2));
    near.dial(far.listen("memory:2".parse()?).await?)?;
    let mut events = select(near, far).take(6);
    while let Some(event) = events.next().await {
        println!("{event:?}");
    }
    Ok(())
}
