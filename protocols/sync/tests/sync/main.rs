//! Synchronisation in a simulated network: honest peers, peers that fail, and version-1 puppets.

mod chain;
mod download;
mod forks;
mod liars;
mod news;
mod progress;
mod reorganisations;
mod serve;
mod speed;

use std::time::Duration;

use chain::{Chain, rules};
use spacetime_core::chain::{block_hash, development_genesis};
use spacetime_core::{Event, Hash, Limits, NetworkBehaviour, Offence};
use spacetime_handshake::Handshake;
use spacetime_simulator::Simulation;
use spacetime_sync::{Config, State, Sync};

const SECOND: Duration = Duration::from_secs(1);

#[derive(NetworkBehaviour)]
struct Node {
    handshake: Handshake,
    sync: Sync<spacetime_core::chain::SpacetimeRules>,
}

fn chain_id() -> Hash {
    block_hash(&development_genesis()).unwrap()
}

/// Adds a node that has this chain.
fn add_node(simulation: &mut Simulation<Node>, chain: &Chain, config: Config) -> usize {
    add_limited_node(simulation, chain, config, Limits::default())
}

fn add_limited_node(
    simulation: &mut Simulation<Node>,
    chain: &Chain,
    config: Config,
    limits: Limits,
) -> usize {
    let tip = chain.tip();
    let node = simulation.add_node(limits, |boot| Node {
        handshake: Handshake::new(
            spacetime_handshake::Config::new(chain_id())
                .with_best_block(tip.height, tip.hash)
                .with_capability(spacetime_sync::CAPABILITY, spacetime_sync::CAPABILITY_VERSION),
            &boot.rng,
        )
        .unwrap(),
        sync: Sync::new(config, rules(), chain.recent(), &boot.rng).unwrap(),
    });
    let chain = chain.clone();
    simulation.set_application(node, move |event| match event {
        NodeEvent::Sync(event) => chain.carry_out(event).into_iter().map(NodeCommand::Sync).collect(),
        NodeEvent::Handshake(never) => match *never {},
    });
    node
}

fn state(simulation: &Simulation<Node>, node: usize) -> State {
    simulation.swarm(node).behaviour().sync.progress().state
}

/// The offences that a node charged its peers with.
fn offences(simulation: &Simulation<Node>, node: usize) -> Vec<Offence> {
    let offence = |event: &Event<NodeEvent>| match event {
        Event::Offence { offence, .. } => Some(*offence),
        _ => None,
    };
    simulation.events(node).iter().filter_map(|(_, event)| offence(event)).collect()
}
