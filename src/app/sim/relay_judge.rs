//! Watches what honest nodes pass on, and what they think of those who lie to them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use spacetime_core::{Address, Event, Identity, Origin, Swarm, Time};
use spacetime_node::NodeEvent;
use spacetime_peers::Target;
use spacetime_relay::Event as RelayEvent;
use spacetime_simulator::{Judge, Simulation, Witness};

use super::relay_liars::{LIAR, liar_name};
use super::world::{MadeHere, SimulatedNode, SimulatedNodeEvent};

/// In what time after it was let in a liar is found out: by then it has said what it says, and has not
/// sent what it announced.
const FOUND_OUT_TIME: Duration = Duration::from_secs(10);

/// A liar that was let in: its name, where it came from this time, and by which node.
type LetIn = (String, Address, usize);

/// When each was.
#[derive(Clone, Debug, Default)]
pub(super) struct LiedTo(Rc<RefCell<BTreeMap<LetIn, Time>>>);

impl LiedTo {
    /// Whether so many liars have lied to somebody, and each that was let in has a lower score than every
    /// honest node with the one that did so.
    pub(super) fn has_cost(
        &self,
        liars: usize,
        honest: &[Address],
        simulation: &Simulation<SimulatedNode>,
    ) -> Result<(), String> {
        let lied_to = self.0.borrow();
        for name in (0..liars).map(liar_name) {
            if !lied_to.keys().any(|(liar, ..)| *liar == name) {
                return Err(format!("{name} was let in by nobody"));
            }
        }
        for ((name, liar, node), at) in &*lied_to {
            if *at + FOUND_OUT_TIME > simulation.now() {
                continue;
            }
            let standings = simulation.swarm(*node).behaviour().node.peers.state().standings;
            let score = |address: &Address| {
                let target = Target::from(Origin::Endpoint(address.endpoint().clone()));
                standings.iter().find(|it| it.target == target).map_or(0, |it| it.score)
            };
            let (of_liar, worst) = (score(liar), honest.iter().map(score).min().unwrap_or(0));
            if of_liar >= worst {
                return Err(format!(
                    "{name} has a score of {of_liar} with node {node}, an honest one {worst}"
                ));
            }
        }
        Ok(())
    }
}

/// Demands that no honest node sends what is not true, and notes to whom liars have lied.
pub(super) struct RelayJudge {
    honest: BTreeSet<Address>,
    made: MadeHere,
    lied_to: LiedTo,
}

impl RelayJudge {
    pub(super) const fn new(honest: BTreeSet<Address>, made: MadeHere, lied_to: LiedTo) -> Self {
        Self { honest, made, lied_to }
    }
}

impl Judge<SimulatedNode> for RelayJudge {
    fn name(&self) -> &'static str {
        "relay"
    }

    fn on_event(
        &mut self,
        now: Time,
        node: usize,
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
            Event::Established { peer, .. } => {
                if let Identity::Claimed { address, name } = &peer.identity
                    && name.starts_with(LIAR)
                {
                    let let_in = (name.to_string(), address.clone(), node);
                    self.lied_to.0.borrow_mut().insert(let_in, now);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
