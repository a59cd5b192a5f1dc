//! A node that downloads a chain from peers of which some lie.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use spacetime_core::chain::{
    ChainRules, HeaderInfo, InvalidObject, SpacetimeRules, block_hash, development_genesis,
};
use spacetime_core::{Address, Event, Hash, Identity, Now, Severity, Time};
use spacetime_node::{Config, Node, NodeEvent, Start};
use spacetime_relay::{Event as RelayEvent, Verdict};
use spacetime_simulator::{Application, Effects, Simulation, node_address};

use super::liar::{ChainLie, Liar};
use super::made_chain::MadeChain;
use super::runner::Outcome;
use super::scenario::Scenario;
use crate::app::chain_keeper::{self, ChainKeeper, Verifier};
use crate::store::{ChainStore, CheckedBlock, MemoryStore};

/// How long a download may take, whatever its honest run takes.
const LONGEST: Duration = Duration::from_secs(3600);

/// How long a download may take while nobody lies: by so much longer than its bytes take over the line of the
/// node, and so long for the beginning and the end.
const HONEST_FACTOR: f64 = 1.1;
const HONEST_SECONDS: f64 = 2.0;

/// The part of a scenario that makes it a download: one node has nothing, and peers have a chain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Download {
    /// Peers of the node that downloads.
    pub peers: usize,
    /// How many of them lie, each in another way; which ways, the seed says.
    pub liars: usize,
    /// Blocks of the chain.
    pub blocks: usize,
    /// About how large each is.
    pub block_bytes: usize,
    /// How long it may take, of a hundred parts of the run in which nobody lies.
    pub max_time_percent: u64,
    /// What may arrive beside blocks and headers that were needed, of a hundred parts of those.
    pub max_wasted_percent: u64,
}

impl Default for Download {
    fn default() -> Self {
        Self {
            peers: 16,
            liars: 0,
            blocks: 10_000,
            block_bytes: 2000,
            max_time_percent: 100,
            max_wasted_percent: 5,
        }
    }
}

/// What a download came to.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Downloaded {
    /// How long it took.
    pub seconds: f64,
    /// How long it took while nobody lied.
    pub honest_seconds: f64,
    /// What arrived beside blocks and headers that were needed, in percent of those.
    pub wasted_percent: f64,
}

/// What all runs of a download share.
struct Made {
    /// Of how many blocks of which size.
    key: (usize, usize),
    honest: Arc<MadeChain>,
    /// Verified blocks all the same, and of little weight.
    light: Arc<MadeChain>,
    store: Arc<MemoryStore>,
    rules: SpacetimeRules,
    chain_id: Hash,
}

impl Made {
    /// Making the chain takes longer than a run, so it is kept from run to run.
    fn of(download: &Download) -> Arc<Self> {
        static LAST: Mutex<Option<Arc<Made>>> = Mutex::new(None);
        let key = (download.blocks, download.block_bytes);
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(made) if made.key == key => Arc::clone(made),
            _ => Arc::clone(last.insert(Arc::new(Self::new(download)))),
        }
    }

    fn new(download: &Download) -> Self {
        let genesis = development_genesis();
        let rules = SpacetimeRules::new(&genesis).expect("the genesis block is valid");
        let honest = MadeChain::generate(1, download.blocks, download.block_bytes);
        let light = honest.fork(5.min(download.blocks), download.blocks + 500, 1);
        let store = memory_store(&rules);
        let checked: Vec<_> = honest.blocks().skip(1).map(|bytes| checked(&rules, bytes)).collect();
        store.append(&checked).expect("the chain is made in order");
        let chain_id = block_hash(&genesis).expect("the genesis block has a hash");
        let key = (download.blocks, download.block_bytes);
        Self {
            key,
            honest: Arc::new(honest),
            light: Arc::new(light),
            store: Arc::new(store),
            rules,
            chain_id,
        }
    }
}

fn checked<'a>(rules: &SpacetimeRules, bytes: &'a [u8]) -> CheckedBlock<'a> {
    let header = rules.header_of(bytes).expect("a block that was made here has a header");
    let info = rules.read_header(header).expect("its header is valid");
    CheckedBlock { info, header, bytes }
}

fn memory_store(rules: &SpacetimeRules) -> MemoryStore {
    MemoryStore::new(checked(rules, rules.genesis())).expect("a genesis block can always be stored")
}

/// Knows the blocks that were made, to the last bit: what signatures are for.
#[derive(Clone)]
struct MadeHere(Arc<Made>);

impl Verifier for MadeHere {
    fn verify(&self, _: &HeaderInfo, block: &[u8]) -> Result<(), InvalidObject> {
        let is_made = self.0.honest.contains(block) || self.0.light.contains(block);
        if is_made { Ok(()) } else { Err(InvalidObject::Refused) }
    }

    fn verify_transaction(&self, _: &[u8]) -> Verdict {
        Verdict::Accept
    }

    fn verify_proof(&self, _: &[u8]) -> Verdict {
        Verdict::Accept
    }
}

/// Keeps the chain of one node.
struct Keeper(ChainKeeper<SpacetimeRules, MadeHere>);

impl Application<Node<SpacetimeRules>> for Keeper {
    fn on_event(
        &mut self,
        event: &Event<NodeEvent<SpacetimeRules>>,
        effects: &mut Effects<spacetime_node::NodeCommand<SpacetimeRules>>,
    ) {
        let now = Now::new(effects.now(), effects.unix_seconds());
        let commands = match event {
            Event::Behaviour(NodeEvent::Sync(event)) => self.0.carry_out(event, now),
            Event::Behaviour(NodeEvent::Relay(RelayEvent::Received { item, host, .. })) => {
                self.0.judge(item, host, now)
            }
            _ => return,
        };
        commands.expect("memory does not fail").into_iter().for_each(|command| effects.command(command));
    }
}

/// One run.
struct Run {
    simulation: Simulation<Node<SpacetimeRules>>,
    made: Arc<Made>,
    honest: Vec<Address>,
    /// The node that downloads: the last one.
    node: usize,
}

impl Run {
    fn new(scenario: &Scenario, download: &Download, seed: u64, liars: usize) -> Self {
        let made = Made::of(download);
        let mut simulation = Simulation::new(seed).link(scenario.link_config());
        let mut rng = simulation.rng("download");
        let mut lies = ChainLie::ALL.to_vec();
        rng.shuffle(&mut lies);
        let honest: Vec<_> = (0..download.peers - liars).map(node_address).collect();
        let mut addresses = honest.clone();
        for lie in lies.into_iter().cycle().take(liars) {
            let chain = if lie == ChainLie::LowWorkChain { &made.light } else { &made.honest };
            addresses.push(simulation.add_actor(Liar::new(lie, Arc::clone(chain), made.chain_id)));
        }
        rng.shuffle(&mut addresses);
        let node = honest.len();
        let stores = (0..=node).map(|index| match index == node {
            true => Arc::new(memory_store(&made.rules)),
            false => Arc::clone(&made.store),
        });
        let stores: Vec<_> = stores.collect();
        let start = {
            let made = Arc::clone(&made);
            move |boot: &spacetime_simulator::Boot| {
                let peers = spacetime_peers::Config::default().with_max_outbound(0);
                let kept = if boot.index == node { addresses.clone() } else { Vec::new() };
                let config = Config::new(made.chain_id).with_peers(peers.with_kept(kept));
                let store = Arc::clone(&stores[boot.index]);
                let recent = chain_keeper::recent(&*store, &made.rules).expect("memory does not fail");
                let start = Start {
                    recent,
                    peers: spacetime_peers::Stored::default(),
                    unix_seconds: boot.unix_seconds,
                };
                let tree = Node::new(config, made.rules.clone(), start, &boot.rng);
                let keeper = ChainKeeper::new(store, made.rules.clone(), MadeHere(Arc::clone(&made)));
                (tree.expect("the configuration is valid"), Keeper(keeper))
            }
        };
        let simulation = simulation.applications(node + 1, &scenario.limits(), start);
        Self { simulation: simulation.keep_events(true).recording(), made, honest, node }
    }

    fn height(&self) -> u64 {
        self.simulation.swarm(self.node).behaviour().sync.progress().height
    }

    /// Whether all blocks came in time.
    fn complete(&mut self, limit: Duration) -> bool {
        let (node, hash) = (self.node, self.made.honest.hash(self.made.honest.height()));
        let has_all = |simulation: &Simulation<Node<SpacetimeRules>>| {
            simulation.swarm(node).behaviour().sync.progress().tip == hash
        };
        self.simulation.run_until(limit, has_all)
    }

    fn seconds(&self) -> f64 {
        self.simulation.now().since(Time::ZERO).as_secs_f64()
    }

    /// Bytes of the blocks and their headers.
    fn needed_bytes(&self) -> u64 {
        let chain = &self.made.honest;
        chain.bytes() + chain.height() as u64 * spacetime_core::chain::HEADER_BYTES as u64
    }

    /// What arrived beside what was needed, in percent of that.
    fn wasted_percent(&self) -> f64 {
        let needed = self.needed_bytes();
        let received = self.simulation.swarm(self.node).statistics().bytes_received;
        (received as f64 / needed as f64 - 1.0) * 100.0
    }

    /// What was done to honest peers that should not have been.
    fn wrongs(&self) -> Vec<String> {
        let mut wrongs = Vec::new();
        let of_honest = |identity: &Identity| match identity {
            Identity::Claimed { address, .. } => self.honest.contains(address),
            _ => false,
        };
        for (_, event) in self.simulation.events(self.node) {
            match event {
                Event::Offence { identity, offence, .. }
                    if of_honest(identity) && offence.severity() > Severity::Minor =>
                {
                    wrongs.push(format!("the honest {identity} is charged: {offence}"));
                }
                _ => {}
            }
        }
        let sessions: Vec<_> =
            self.simulation.swarm(self.node).peers().map(|(_, peer)| peer.address.clone()).collect();
        for honest in self.honest.iter().filter(|it| !sessions.contains(it)) {
            wrongs.push(format!("the honest peer at {honest} is gone"));
        }
        wrongs
    }
}

/// Runs one seed of a download, after the same without lies.
pub(super) fn run(
    scenario: &Scenario,
    download: &Download,
    seed: u64,
    trace: Option<Box<dyn FnMut(Time, String)>>,
) -> Outcome {
    let mut outcome = Outcome::empty(scenario, seed);
    let mut honest = Run::new(scenario, download, seed, 0);
    if !honest.complete(LONGEST) {
        outcome.liveness.push(format!("without lies {} blocks are there", honest.height()));
        return outcome;
    }
    let honest_seconds = honest.seconds();
    let rate = scenario.links.bytes_per_second;
    if rate > 0 {
        let least = honest.needed_bytes() as f64 / rate as f64;
        let longest = HONEST_FACTOR * least + HONEST_SECONDS;
        if honest_seconds > longest {
            outcome
                .liveness
                .push(format!("it took {honest_seconds:.1} s without lies, and may take {longest:.1} s"));
        }
    }
    let mut run =
        if download.liars == 0 { honest } else { Run::new(scenario, download, seed, download.liars) };
    if let Some(trace) = trace {
        run.simulation = run.simulation.with_trace(trace);
    }
    if !run.complete(LONGEST) {
        let height = run.height();
        outcome.liveness.push(format!("{height} of {} blocks are there", download.blocks));
    }
    let seconds = run.seconds();
    let wasted_percent = run.wasted_percent();
    if seconds * 100.0 > honest_seconds * download.max_time_percent as f64 {
        outcome.liveness.push(format!("it took {seconds:.1} s, and {honest_seconds:.1} s without lies"));
    }
    if wasted_percent > download.max_wasted_percent as f64 {
        outcome.liveness.push(format!("{wasted_percent:.0} % more arrived than was needed"));
    }
    outcome.safety = run.wrongs();
    outcome.safety.extend(run.simulation.failure().map(ToString::to_string));
    outcome.messages = run.simulation.swarm(run.node).statistics().frames_received;
    outcome.audit = run.simulation.audit().to_string();
    let fired = run.simulation.faults_fired();
    outcome.faults = fired.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    outcome.virtual_seconds = seconds;
    outcome.connections = run.simulation.swarm(run.node).peers().count();
    outcome.download = Some(Downloaded { seconds, honest_seconds, wasted_percent });
    outcome
}
