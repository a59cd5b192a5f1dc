//! Watches what honest nodes pass on, and whom they charge.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use spacetime_core::{Address, Event, Identity, Swarm, Time};
use spacetime_node::NodeEvent;
use spacetime_relay::Event as RelayEvent;
use spacetime_simulator::{Judge, Witness};

use super::relay_liars::LIAR;
use super::world::{MadeHere, SimulatedNode, SimulatedNodeEvent};

/// The names of the liars that were charged.
pub(super) type Charged = Rc<RefCell<BTreeSet<String>>>;

/// Demands that no honest node sends what is not true, and notes which liars are charged.
pub(super) struct RelayJudge {
    honest: BTreeSet<Address>,
    made: MadeHere,
    charged: Charged,
}

impl RelayJudge {
    pub(super) const fn new(honest: BTreeSet<Address>, made: MadeHere, charged: Charged) -> Self {
        Self { honest, made, charged }
    }
}

impl Judge<SimulatedNode> for RelayJudge {
    fn name(&self) -> &'static str {
        "relay"
    }

    fn on_event(
        &mut self,
        _: Time,
        _: usize,
        swarm: &Swarm<Witness<SimulatedNode>>,
        event: &Event<SimulatedNodeEvent>,
    ) -> Result<(), String> {
        match event {
            Event::Behaviour(SimulatedNodeEvent::Node(NodeEvent::Relay(RelayEvent::Received {
                item,
                from,
                ..
            }))) => {
                let sender = swarm.peer(*from).map(|it| &it.identity);
                if let Some(Identity::Claimed { address, .. }) = sender
                    && self.honest.contains(address)
                    && !self.made.is_true(item)
                {
                    return Err(format!(
                        "the honest node at {address} sent {:?}, which is not true",
                        item.kind()
                    ));
                }
            }
            Event::Offence { identity: Identity::Claimed { name, .. }, .. } if name.starts_with(LIAR) => {
                self.charged.borrow_mut().insert(name.to_string());
            }
            _ => {}
        }
        Ok(())
    }
}
