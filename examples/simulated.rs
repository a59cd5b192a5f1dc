//! A deterministic test of a protocol of one's own: a rumour reaches a whole network, whatever is
//! connection is torn meanwhile. The same seed is always the same run.
use std::{convert::Infallible, time::Duration};

use serde::{Deserialize, Serialize};
use spacetime_network::wire::{ApplicationMessage, Frame, Nothing};
use spacetime_network::{ConnectionId, Context, Protocol, Violation};
use spacetime_simulator::{Fault, FaultKind, Simulation, Topology};

#[derive(Serialize, Deserialize)]
struct Rumour;

impl ApplicationMessage for Rumour {
    const TYPE_BYTE: u8 = 0x80;
    const MAX_BYTES: u32 = 1;
}

/// Whoever knows the rumour tells every new peer.
struct Gossip {
    knows: bool,
}

impl Protocol for Gossip {
    type Message<'a> = Rumour;
    type Answer<'a> = Nothing;
    type Event = Infallible;
    type Command = Infallible;

    fn on_established(&mut self, cx: &mut Context<'_, Infallible>, peer: ConnectionId) {
        if self.knows {
            let _ = cx.send(peer, &Rumour);
        }
    }

    #[rustfmt::skip]
    fn on_message(&mut self, cx: &mut Context<'_, Infallible>, _: ConnectionId, _: Rumour, frame: &Frame)
        -> Result<(), Violation> {
        if !std::mem::replace(&mut self.knows, true) {
            let peers: Vec<_> = cx.peers().map(|(peer, _)| peer).collect();
            cx.broadcast(peers, frame);
        }
        Ok(())
    }
}

fn main() {
    for seed in 0..20 {
        let torn = Fault { at_ms: 30, duration_ms: 0, what: FaultKind::ConnectionLoss(seed) };
        let mut simulation = Simulation::new(seed)
            .nodes(20, |boot| Gossip { knows: boot.index == 0 })
            .connect(Topology::Random { degree: 8 })
            .faults(vec![torn]);
        simulation.run_for(Duration::from_secs(1));
        simulation.converge(Duration::from_secs(5), |all| {
            let unaware = (0..20).filter(|node| !all.swarm(*node).behaviour().knows).count();
            if unaware == 0 { Ok(()) } else { Err(format!("{unaware} nodes have not heard")) }
        });
    }
}
