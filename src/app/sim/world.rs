//! The production node in a simulated network, with a chain on a simulated disk.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use spacetime_core::chain::{
    ChainRules, DevelopmentChain, HEADER_BYTES, HeaderInfo, InvalidObject, SpacetimeRules, block_hash,
    development_genesis,
};
use spacetime_core::wire::{Decode as _, MAX_HEADERS, ProofSubmission};
use spacetime_core::{
    Address, Direction, Event, Hash, Identity, NetworkBehaviour, Now, Origin, Peer, Rng, Swarm, Time,
};
use spacetime_node::{Config, Node, NodeCommand, NodeEvent, Start};
use spacetime_relay::{Event as RelayEvent, Item, Kind, Mark, Verdict};
use spacetime_simulator::{
    Application, Boot, Byzantine, Disk, Effects, Judge, Simulation, Topology, Witness, node_address,
};

use super::disk_store::DiskStore;
use super::flood::{Flood, FloodEvent};
use super::peers_disk;
use super::propagation::Propagation;
use super::relay_judge::{LiedTo, RelayJudge};
use super::relay_liars::{Liar, is_true_proof, is_true_transaction, proof, transaction};
use super::scenario::{Knows, Scenario};
use crate::app::chain_keeper::{self, ChainKeeper, Verifier};
use crate::store::{ChainStore, CheckedBlock, StoreError};

/// The largest frame that nodes of these networks send, apart from items, blocks and lists of headers.
const LARGEST_OTHER_FRAME_BYTES: usize = 32 * 1024;

/// Where nodes that have IP addresses listen.
const LISTEN_PORT: u16 = 8333;

/// What stands around an item, a block or the headers of a list.
const FRAME_OVERHEAD_BYTES: usize = 1024;

/// A full node, and traffic like gossip.
#[derive(NetworkBehaviour, Debug)]
pub struct SimulatedNode {
    /// The production tree.
    pub node: Node<SpacetimeRules>,
    /// Items that everybody passes on.
    pub flood: Flood,
}

/// What a simulation knows beside what its nodes know.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// For each node the height up to which it has said that its chain is stored.
    stored: Vec<u64>,
    /// What a node had lost when it was started again.
    lost: Option<String>,
    /// What nodes have received in lives that are over.
    pub(super) received_before: Received,
    pub(super) propagation: Propagation,
}

/// What nodes have received.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Received {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// Items that were known.
    pub(super) duplicates: u64,
}

impl Received {
    pub(super) fn add(&mut self, swarm: &Swarm<Witness<SimulatedNode>>) {
        let statistics = swarm.statistics();
        self.messages += statistics.frames_received;
        self.bytes += statistics.bytes_received;
        self.duplicates += swarm.behaviour().flood.duplicates();
    }
}

/// Knows the blocks that were made in this network, to the last bit: what signatures are for.
#[derive(Clone, Debug, Default)]
pub(super) struct MadeHere(Arc<Mutex<BTreeSet<Hash>>>);

impl MadeHere {
    fn blocks(&self) -> MutexGuard<'_, BTreeSet<Hash>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an item is what its maker made.
    pub(super) fn is_true(&self, item: &Item) -> bool {
        match item.kind() {
            Kind::Block => self.blocks().contains(&Hash::of(item.payload())),
            Kind::Transaction => is_true_transaction(item.payload()),
            Kind::Proof => is_true_proof(item.payload()),
            _ => true,
        }
    }
}

fn verdict_if(is_true: bool) -> Verdict {
    if is_true { Verdict::Accept } else { Verdict::Reject }
}

impl Verifier for MadeHere {
    fn verify(&self, _: &HeaderInfo, block: &[u8]) -> Result<(), InvalidObject> {
        if self.blocks().contains(&Hash::of(block)) { Ok(()) } else { Err(InvalidObject::Refused) }
    }

    fn verify_transaction(&self, transaction: &[u8]) -> Verdict {
        verdict_if(is_true_transaction(transaction))
    }

    fn verify_proof(&self, submission: &[u8]) -> Verdict {
        verdict_if(is_true_proof(submission))
    }
}

/// A network of a scenario.
pub(super) struct World {
    pub(super) simulation: Simulation<SimulatedNode>,
    pub(super) ledger: Rc<RefCell<Ledger>>,
    rules: SpacetimeRules,
    /// The chain of the first node, and the blocks that it will make.
    chain: Arc<DiskStore>,
    blocks: DevelopmentChain,
    made: MadeHere,
    liars: usize,
    lied_to: LiedTo,
    rng: Rng,
}

impl World {
    pub(super) fn new(scenario: &Scenario, seed: u64) -> Self {
        let genesis = development_genesis();
        let rules = SpacetimeRules::new(&genesis).expect("the genesis block is valid");
        let chain_id = block_hash(&genesis).expect("the genesis block has a hash");
        let ledger = Rc::new(RefCell::new(Ledger { stored: vec![0; scenario.nodes], ..Ledger::default() }));
        let mut simulation = Simulation::new(seed).link(scenario.link_config());
        let rng = simulation.rng("scenario");
        let peers = peers_of(scenario, &mut rng.fork("topology"));
        let misdeeds = scenario.misdeeds();

        let (made, chain_of_first) = (MadeHere::default(), Rc::new(RefCell::new(None)));
        let start = {
            let (ledger, rules, genesis) = (Rc::clone(&ledger), rules.clone(), genesis.clone());
            let made = made.clone();
            let chain_of_first = Rc::clone(&chain_of_first);
            move |boot: &Boot| {
                let chain = Arc::new(
                    DiskStore::open(boot.disk.clone(), &genesis, &rules).expect("a log can always be opened"),
                );
                if boot.index == 0 {
                    *chain_of_first.borrow_mut() = Some(Arc::clone(&chain));
                }
                let handshake =
                    spacetime_handshake::Config::new(chain_id).with_listen_port(Some(LISTEN_PORT));
                let config =
                    Config::new(chain_id).with_handshake(handshake).with_peers(peers[boot.index].clone());
                start_node(boot, chain, &rules, &made, config, &ledger)
            }
        };
        if scenario.knows == Knows::OneSeed {
            simulation = simulation.at(public_address);
        }
        simulation = simulation.applications(scenario.nodes, &scenario.limits(), start).spare([0]);
        simulation = simulation
            .keep_events(false)
            .recording()
            .largest_frame_bytes(largest_frame_bytes(scenario))
            .judge(LedgerJudge(Rc::clone(&ledger)))
            .faults(scenario.faults_of(seed));
        if scenario.honest_are_never_charged {
            let honest = (0..scenario.nodes).map(node_address).collect();
            simulation = simulation.judge(ChargeJudge { honest });
        }
        let (lies, lied_to) = (scenario.lies(), LiedTo::default());
        if !lies.is_empty() {
            let honest = (0..scenario.nodes).map(node_address).collect();
            simulation = simulation.judge(RelayJudge::new(honest, made.clone(), lied_to.clone()));
        }
        let mut victims_rng = rng.fork("victims");
        let mut victims = || -> Vec<Address> {
            (0..3).map(|_| node_address(victims_rng.below(scenario.nodes as u64) as usize)).collect()
        };
        for misdeed in misdeeds {
            simulation.add_actor(Byzantine::new(misdeed, chain_id, victims()));
        }
        let liars = lies.len();
        for (number, lie) in lies.into_iter().enumerate() {
            simulation.add_actor(Liar::new(lie, number, chain_id, victims()));
        }
        let chain = chain_of_first.borrow_mut().take().expect("the first node has been started");
        let blocks = DevelopmentChain::new(seed, scenario.traffic.block_bytes);
        let rng = rng.fork("items");
        let mut world = Self { simulation, ledger, rules, chain, blocks, made, liars, lied_to, rng };
        (0..scenario.traffic.blocks_before).for_each(|_| world.make_block());
        world
    }

    /// The first node makes a block.
    pub(super) fn make_block(&mut self) {
        let Some(bytes) = self.blocks.next() else { return };
        self.made.blocks().insert(Hash::of(&bytes));
        let info = self.rules.check_block(&bytes).expect("the blocks of a development chain are valid");
        let header = self.rules.header_of(&bytes).expect("a valid block has a header");
        let stored = self.chain.append(&[CheckedBlock { info, header, bytes: &bytes }]);
        stored.expect("no fault befalls the disk of the first node");
        let item = Item::block(&bytes).expect("a block fits a frame");
        let moved = NodeCommand::Sync(spacetime_sync::Command::TipMoved { tip: info });
        let publish = NodeCommand::Relay(spacetime_relay::Command::Publish(item));
        for command in [moved, publish] {
            self.simulation.command(0, SimulatedNodeCommand::Node(command));
        }
    }

    /// A node makes a transaction; its name.
    pub(super) fn make_transaction(&mut self, node: usize) -> Option<Hash> {
        let item = Item::transaction(&transaction(&mut self.rng)).ok()?;
        self.publish_item(node, item)
    }

    /// A node makes a proof of so many bytes.
    pub(super) fn make_proof(&mut self, node: usize, bytes: usize) {
        let payload = proof(&mut self.rng, bytes);
        if let Ok(item) =
            ProofSubmission::decode(&payload).map_err(drop).and_then(|it| Item::proof(&it).map_err(drop))
        {
            self.publish_item(node, item);
        }
    }

    fn publish_item(&mut self, node: usize, item: Item) -> Option<Hash> {
        let id = item.id();
        let publish = NodeCommand::Relay(spacetime_relay::Command::Publish(item));
        self.simulation.is_running(node).then(|| {
            self.simulation.command(node, SimulatedNodeCommand::Node(publish));
            id
        })
    }

    /// How many nodes have passed an item on, or have at least accepted it.
    pub(super) fn accepted(simulation: &Simulation<SimulatedNode>, item: Hash) -> usize {
        let has_it = |node: &usize| {
            let swarm = simulation.swarm(*node);
            swarm.behaviour().node.relay.mark(&item, Time::ZERO) == Some(Mark::Accepted)
        };
        (0..simulation.len()).filter(|node| simulation.is_running(*node)).filter(has_it).count()
    }

    /// Whether every liar has a lower score than all honest nodes, with everybody that it has lied to.
    pub(super) fn has_lying_cost(&self) -> Result<(), String> {
        let honest: Vec<_> = (0..self.simulation.len()).map(node_address).collect();
        self.lied_to.has_cost(self.liars, &honest, &self.simulation)
    }

    /// A node has something to tell everybody.
    pub(super) fn publish(&mut self, node: usize, payload_bytes: usize) {
        if self.simulation.is_running(node) {
            self.simulation.command(node, SimulatedNodeCommand::Flood(payload_bytes));
        }
    }

    /// Whether all nodes are up, connected only with those who are there, and have the chain of the
    /// first one.
    pub(super) fn is_well(knows: Knows, simulation: &Simulation<SimulatedNode>) -> Result<(), String> {
        if knows == Knows::OneSeed {
            is_one_network(simulation)?;
        }
        let (height, tip) = tip_of(simulation, 0);
        for node in 0..simulation.len() {
            if !simulation.is_running(node) {
                return Err(format!("node {node} does not run"));
            }
            if simulation.swarm(node).peers().next().is_none() {
                return Err(format!("node {node} has no peers"));
            }
            if let Some(connection) = simulation.dead_sessions(node).next() {
                return Err(format!("node {node} has a session on {connection}, which leads nowhere"));
            }
            let (its_height, its_tip) = tip_of(simulation, node);
            if its_tip != tip {
                return Err(format!("node {node} is at height {its_height} and not {height}"));
            }
        }
        Ok(())
    }
}

/// Whether every node has as many connections as it wants, or as it can have, and there is a way from
/// each to each.
fn is_one_network(simulation: &Simulation<SimulatedNode>) -> Result<(), String> {
    let nodes = simulation.len();
    let wanted = 8.min(nodes / NODES_PER_GROUP - 1);
    let index_of: BTreeMap<Address, usize> =
        (0..nodes).map(|node| (simulation.address(node), node)).collect();
    let mut neighbours = vec![Vec::new(); nodes];
    for node in (0..nodes).filter(|node| simulation.is_running(*node)) {
        let swarm = simulation.swarm(node);
        let of = |direction| {
            let peers = swarm.peers().filter(move |(_, peer)| peer.direction == direction);
            peers.filter_map(|(_, peer)| index_of.get(&listening(peer)).copied())
        };
        let dialled: Vec<usize> = of(Direction::Outbound).collect();
        let outbound = swarm.behaviour().node.peers.outbound();
        // Those that have dialled it need no second connection, and of a group it wants only one.
        let connected: BTreeSet<usize> = dialled.iter().copied().chain(of(Direction::Inbound)).collect();
        let groups: BTreeSet<usize> = dialled.iter().map(|it| it / NODES_PER_GROUP).collect();
        let could_be_chosen = (0..nodes).find(|other| {
            *other != node && !connected.contains(other) && !groups.contains(&(other / NODES_PER_GROUP))
        });
        if outbound < wanted
            && let Some(other) = could_be_chosen
        {
            return Err(format!("node {node} has chosen {outbound} peers of {wanted} and not node {other}"));
        }
        for other in dialled {
            neighbours[node].push(other);
            neighbours[other].push(node);
        }
    }
    let mut reached = BTreeSet::from([0]);
    let mut next = vec![0];
    while let Some(node) = next.pop() {
        next.extend(neighbours[node].iter().filter(|other| reached.insert(**other)));
    }
    if reached.len() < nodes {
        return Err(format!("there is a way from node 0 to {} of {nodes} nodes", reached.len()));
    }
    Ok(())
}

/// The largest frame that any node of a scenario sends.
fn largest_frame_bytes(scenario: &Scenario) -> usize {
    let Scenario { traffic, seconds, .. } = scenario;
    let blocks_made = (seconds * 1000).checked_div(traffic.block_every_ms).unwrap_or(0) as usize;
    let headers = traffic.blocks_before.saturating_add(blocks_made).min(MAX_HEADERS);
    let largest = traffic.item_bytes.max(traffic.block_bytes).max(traffic.proof_bytes);
    let largest = largest.max(headers * (4 + HEADER_BYTES));
    LARGEST_OTHER_FRAME_BYTES.max(largest.saturating_add(FRAME_OVERHEAD_BYTES))
}

fn tip_of(simulation: &Simulation<SimulatedNode>, node: usize) -> (u64, Hash) {
    let progress = simulation.swarm(node).behaviour().node.sync.progress();
    (progress.height, progress.tip)
}

/// The address at which a peer listens.
fn listening(peer: &Peer) -> Address {
    spacetime_core::listens_at(peer).map_or_else(|| peer.address.clone(), Address::socket)
}

/// How many nodes that must find each other are in each /16.
const NODES_PER_GROUP: usize = 2;

/// Where they are reached.
fn public_address(index: usize) -> Address {
    let group = u16::try_from(index / NODES_PER_GROUP).expect("ten thousand nodes at most");
    let [high, low] = group.to_be_bytes();
    Address::socket(([20 + high, low, 0, 1 + (index % NODES_PER_GROUP) as u8], LISTEN_PORT).into())
}

/// Whom each node knows.
fn peers_of(scenario: &Scenario, rng: &mut Rng) -> Vec<spacetime_peers::Config> {
    let config = spacetime_peers::Config::default();
    match scenario.knows {
        Knows::Neighbours => {
            let kept = addresses_of(scenario, rng).into_iter();
            kept.map(|kept| config.clone().with_max_outbound(0).with_kept(kept)).collect()
        }
        Knows::OneSeed => (0..scenario.nodes)
            .map(|node| {
                // One that is older, so that there is a way to each.
                let seed = if node == 0 { 1 } else { rng.below(node as u64) as usize };
                config.clone().with_seeds([public_address(seed)])
            })
            .collect(),
    }
}

/// Whom each node keeps connected: those that it dials, and one that dials it, so that no node
/// depends on one other to come back.
fn addresses_of(scenario: &Scenario, rng: &mut Rng) -> Vec<Vec<Address>> {
    let mut addresses = vec![Vec::new(); scenario.nodes];
    for (one, other) in (Topology::Random { degree: scenario.degree }).dials(scenario.nodes, rng) {
        addresses[one].push(node_address(other));
        if addresses[other].is_empty() {
            addresses[other].push(node_address(one));
        }
    }
    addresses
}

fn start_node(
    boot: &Boot,
    chain: Arc<DiskStore>,
    rules: &SpacetimeRules,
    made: &MadeHere,
    config: Config,
    ledger: &Rc<RefCell<Ledger>>,
) -> (SimulatedNode, NodeApplication) {
    let recent = chain_keeper::recent(&*chain, rules).expect("a chain has at least its genesis block");
    let tip = *recent.tip();
    let keeper = ChainKeeper::new(chain, rules.clone(), made.clone());
    let mut known = ledger.borrow_mut();
    if tip.height < known.stored[boot.index] {
        let stored = known.stored[boot.index];
        known.lost = Some(format!("node {} had stored {stored} blocks and has {}", boot.index, tip.height));
    }
    known.stored[boot.index] = tip.height;
    known.propagation.started(boot.index);
    let start = Start { recent, peers: peers_disk::load(&boot.disk), unix_seconds: boot.unix_seconds };
    let node = Node::new(config, rules.clone(), start, &boot.rng).expect("the configuration is valid");
    let rng = boot.rng.fork("verdicts");
    let application = NodeApplication { keeper, disk: boot.disk.clone(), rng, postponed: Vec::new() };
    (SimulatedNode { node, flood: Flood::new(&boot.rng) }, application)
}

/// Keeps a node's chain, and what it knows of its peers.
struct NodeApplication {
    keeper: ChainKeeper<SpacetimeRules, MadeHere>,
    disk: Disk,
    rng: Rng,
    /// Items about which it decides at the next event, so that verdicts come late and in any order.
    postponed: Vec<(Item, Origin)>,
}

impl Application<SimulatedNode> for NodeApplication {
    fn on_event(&mut self, event: &Event<SimulatedNodeEvent>, effects: &mut Effects<SimulatedNodeCommand>) {
        let now = Now::new(effects.now(), effects.unix_seconds());
        for (item, host) in std::mem::take(&mut self.postponed) {
            tell(self.keeper.judge(&item, &host, now), effects);
        }
        match event {
            Event::Behaviour(SimulatedNodeEvent::Node(NodeEvent::Sync(event))) => {
                tell(self.keeper.carry_out(event, now), effects);
            }
            Event::Behaviour(SimulatedNodeEvent::Node(NodeEvent::Relay(RelayEvent::Received {
                item,
                host,
                ..
            }))) => {
                if self.rng.chance(1, 4) {
                    self.postponed.push((item.clone(), host.clone()));
                } else {
                    tell(self.keeper.judge(item, host, now), effects);
                }
            }
            Event::Behaviour(SimulatedNodeEvent::Node(NodeEvent::Peers(event))) => {
                peers_disk::carry_out(&self.disk, event);
            }
            _ => {}
        }
    }
}

/// Watches what nodes store and pass on.
struct LedgerJudge(Rc<RefCell<Ledger>>);

impl Judge<SimulatedNode> for LedgerJudge {
    fn name(&self) -> &'static str {
        "ledger"
    }

    fn on_event(
        &mut self,
        now: Time,
        node: usize,
        swarm: &Swarm<Witness<SimulatedNode>>,
        event: &Event<SimulatedNodeEvent>,
    ) -> Result<(), String> {
        let mut ledger = self.0.borrow_mut();
        let height = swarm.behaviour().node.sync.progress().height;
        if height < ledger.stored[node] {
            return Err(format!("the chain went back from {} to {height}", ledger.stored[node]));
        }
        ledger.stored[node] = height;
        match event {
            Event::Behaviour(SimulatedNodeEvent::Flood(FloodEvent::Made(id))) => {
                ledger.propagation.made(*id, node, now);
            }
            Event::Behaviour(SimulatedNodeEvent::Flood(FloodEvent::New(id))) => {
                ledger.propagation.arrived(*id, node, now)?;
            }
            _ => {}
        }
        ledger.lost.take().map_or(Ok(()), Err)
    }

    fn on_stopped(&mut self, _: usize, swarm: &Swarm<Witness<SimulatedNode>>) {
        self.0.borrow_mut().received_before.add(swarm);
    }
}

/// Watches who is charged with an offence.
struct ChargeJudge {
    honest: BTreeSet<Address>,
}

impl Judge<SimulatedNode> for ChargeJudge {
    fn name(&self) -> &'static str {
        "charges"
    }

    fn on_event(
        &mut self,
        _: Time,
        _: usize,
        _: &Swarm<Witness<SimulatedNode>>,
        event: &Event<SimulatedNodeEvent>,
    ) -> Result<(), String> {
        match event {
            Event::Offence { identity: Identity::Claimed { address, .. }, offence, .. }
                if self.honest.contains(address) =>
            {
                Err(format!("the honest node at {address} is charged: {offence}"))
            }
            _ => Ok(()),
        }
    }
}

/// Tells the node what came of an effect.
fn tell(
    result: Result<Vec<NodeCommand<SpacetimeRules>>, StoreError>,
    effects: &mut Effects<SimulatedNodeCommand>,
) {
    match result {
        Ok(commands) => commands.into_iter().for_each(|it| effects.command(SimulatedNodeCommand::Node(it))),
        // As the real node does, which is then started again.
        Err(error) => effects.exit(error.to_string()),
    }
}
