//! Running scenarios: one seed, or many.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use spacetime_core::{Rng, Time};
use spacetime_simulator::FailureKind;

use super::bench::cpu_time;
use super::download::{self, Downloaded};
use super::scenario::Scenario;
use super::world::World;

/// How long an item has to reach everybody when all is well, and how many there are: long enough for
/// every node to have pinged.
const LAST_ITEM_TIME: Duration = Duration::from_secs(10);
const MAX_LAST_ITEMS: usize = 20;

/// What came of one seed. One line of a report.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Outcome {
    /// The name of the scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// Whether everything held.
    pub ok: bool,
    /// A hash over everything that happened.
    pub audit: String,
    /// What must always hold and did not.
    pub safety: Vec<String>,
    /// What must hold in the end and did not.
    pub liveness: Vec<String>,
    /// How often which kind of fault had an effect.
    pub faults: BTreeMap<String, u64>,
    /// Messages that were delivered to behaviours.
    pub messages: u64,
    /// How long it lasted in the simulation.
    pub virtual_seconds: f64,
    /// What it took of the processor.
    pub cpu_seconds: f64,
    /// Sessions of all nodes at the end.
    pub connections: usize,
    /// Times in which half, 95 and 99 of a hundred deliveries of items were made, in milliseconds.
    pub propagation_ms: [u64; 3],
    /// Deliveries of items.
    pub deliveries: u64,
    /// Items that arrived where they were known, for each that was delivered.
    pub duplicates_per_delivery: f64,
    /// Bytes of frames that arrived at nodes, for each item that was delivered.
    pub bytes_per_delivery: f64,
    /// What a download came to, if the scenario is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download: Option<Downloaded>,
}

/// Runs one seed of a scenario. A panic of anything in it is a failure of the run.
pub fn run_seed(scenario: &Scenario, seed: u64, trace: Option<Box<dyn FnMut(Time, String)>>) -> Outcome {
    let began = cpu_time();
    let result = catch_unwind(AssertUnwindSafe(|| run(scenario, seed, trace)));
    let mut outcome = result.unwrap_or_else(|panic| {
        let text =
            panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
        let what = format!("panic: {}", text.unwrap_or("of no text"));
        Outcome { safety: vec![what], ..Outcome::empty(scenario, seed) }
    });
    outcome.cpu_seconds = (cpu_time() - began).as_secs_f64();
    outcome.ok = outcome.safety.is_empty() && outcome.liveness.is_empty();
    outcome
}

fn run(scenario: &Scenario, seed: u64, trace: Option<Box<dyn FnMut(Time, String)>>) -> Outcome {
    if let Some(it) = &scenario.download {
        return download::run(scenario, it, seed, trace);
    }
    let mut world = World::new(scenario, seed);
    if let Some(trace) = trace {
        world.simulation = world.simulation.with_trace(trace);
    }
    let mut rng = world.simulation.rng("traffic");
    make_traffic(&mut world, scenario, &mut rng);
    let limit = Duration::from_secs(scenario.converge_seconds);
    let is_well = |simulation: &_| World::is_well(scenario.knows, simulation);
    if world.simulation.converge(limit, is_well) && scenario.traffic.item_every_ms > 0 {
        reach_everybody(&mut world, scenario);
    }
    if scenario.traffic.transaction_every_ms > 0 && world.simulation.failure().is_none() {
        accepted_by_everybody(&mut world);
    }
    if world.simulation.failure().is_none() {
        let cost = world.has_lying_cost();
        world.simulation.converge(Duration::ZERO, |_| cost.clone());
    }
    world.outcome(scenario, seed)
}

/// Demands that what the first node says reaches everybody. Who has only a connection left that
/// leads nowhere finds out with its next ping, so it is said again and again.
fn reach_everybody(world: &mut World, scenario: &Scenario) {
    let nodes = world.simulation.len();
    let ledger = std::rc::Rc::clone(&world.ledger);
    let holders = || ledger.borrow().propagation.holders_of_last();
    for _ in 0..MAX_LAST_ITEMS {
        world.publish(0, scenario.traffic.item_bytes);
        if world.simulation.run_until(LAST_ITEM_TIME, |_| holders() == nodes) {
            return;
        }
    }
    world
        .simulation
        .converge(Duration::ZERO, |_| Err(format!("an item reached {} of {nodes} nodes", holders())));
}

/// Demands that a transaction of the first node is accepted by everybody.
fn accepted_by_everybody(world: &mut World) {
    let nodes = world.simulation.len();
    let mut accepted = 0;
    for _ in 0..MAX_LAST_ITEMS {
        let Some(item) = world.make_transaction(0) else { break };
        if world.simulation.run_until(LAST_ITEM_TIME, |it| World::accepted(it, item) == nodes) {
            return;
        }
        accepted = World::accepted(&world.simulation, item);
    }
    let error = format!("a transaction was accepted by {accepted} of {nodes} nodes");
    world.simulation.converge(Duration::ZERO, |_| Err(error.clone()));
}

/// Lets the time of the faults pass, with all that the nodes have to tell each other meanwhile.
fn make_traffic(world: &mut World, scenario: &Scenario, rng: &mut Rng) {
    let end = Time::from_epoch(Duration::from_secs(scenario.seconds));
    let traffic = &scenario.traffic;
    let every = |milliseconds: u64| (milliseconds > 0).then(|| Duration::from_millis(milliseconds));
    let (item_every, block_every) = (every(traffic.item_every_ms), every(traffic.block_every_ms));
    let (transaction_every, proof_every) =
        (every(traffic.transaction_every_ms), every(traffic.proof_every_ms));
    let first = |every: Option<Duration>| every.map(|every| Time::ZERO + every);
    let (mut next_item, mut next_block) = (first(item_every), first(block_every));
    let (mut next_transaction, mut next_proof) = (first(transaction_every), first(proof_every));
    while world.simulation.failure().is_none() {
        let all = [next_item, next_block, next_transaction, next_proof, Some(end)];
        let next = all.into_iter().flatten().min().unwrap_or(end);
        world.simulation.run_for(next.since(world.simulation.now()));
        if next >= end {
            return;
        }
        if next_item == Some(next) {
            let node = rng.below(scenario.nodes as u64) as usize;
            world.publish(node, traffic.item_bytes);
            next_item = item_every.map(|every| next + every);
        }
        if next_transaction == Some(next) {
            world.make_transaction(rng.below(scenario.nodes as u64) as usize);
            next_transaction = transaction_every.map(|every| next + every);
        }
        if next_proof == Some(next) {
            world.make_proof(rng.below(scenario.nodes as u64) as usize, traffic.proof_bytes);
            next_proof = proof_every.map(|every| next + every);
        }
        if next_block == Some(next) {
            world.make_block();
            next_block = block_every.map(|every| next + every);
        }
    }
}

impl Outcome {
    pub(super) fn empty(scenario: &Scenario, seed: u64) -> Self {
        Self {
            scenario: scenario.name.clone(),
            seed,
            ok: false,
            audit: String::new(),
            safety: Vec::new(),
            liveness: Vec::new(),
            faults: BTreeMap::new(),
            messages: 0,
            virtual_seconds: 0.0,
            cpu_seconds: 0.0,
            connections: 0,
            propagation_ms: [0; 3],
            deliveries: 0,
            duplicates_per_delivery: 0.0,
            bytes_per_delivery: 0.0,
            download: None,
        }
    }
}

impl World {
    fn outcome(&self, scenario: &Scenario, seed: u64) -> Outcome {
        let mut outcome = Outcome::empty(scenario, seed);
        let simulation = &self.simulation;
        if let Some(failure) = simulation.failure() {
            match failure.kind {
                FailureKind::Safety => outcome.safety.push(failure.to_string()),
                FailureKind::Liveness => outcome.liveness.push(failure.to_string()),
            }
        }
        let running = || (0..simulation.len()).filter(|node| simulation.is_running(*node));
        let mut received = self.ledger.borrow().received_before;
        running().for_each(|node| received.add(simulation.swarm(node)));
        outcome.messages = received.messages;
        outcome.connections = running().map(|node| simulation.swarm(node).peers().count()).sum::<usize>() / 2;
        outcome.audit = simulation.audit().to_string();
        outcome.faults =
            simulation.faults_fired().iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        outcome.virtual_seconds = simulation.now().since(Time::ZERO).as_secs_f64();
        let propagation = &mut self.ledger.borrow_mut().propagation;
        outcome.propagation_ms =
            [50, 95, 99].map(|percent| propagation.percentile(percent).as_millis() as u64);
        outcome.deliveries = propagation.deliveries();
        let per_delivery = |number: u64| number as f64 / propagation.deliveries().max(1) as f64;
        outcome.duplicates_per_delivery = per_delivery(received.duplicates);
        outcome.bytes_per_delivery = per_delivery(received.bytes);
        outcome
    }
}

/// Runs seeds on so many threads. `on_outcome` is told of each in the order of the seeds, as soon as
/// it and those before it have ended; in that order they are returned.
pub fn run_seeds(
    scenario: &Scenario,
    seeds: &[u64],
    jobs: usize,
    on_outcome: impl FnMut(&Outcome) + Send,
) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let ended = Mutex::new((Vec::new(), BTreeMap::new(), on_outcome));
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, seeds.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(seed) = seeds.get(index) else { break };
                    let outcome = run_seed(scenario, *seed, None);
                    let Ok(mut ended) = ended.lock() else { break };
                    let (outcomes, early, on_outcome) = &mut *ended;
                    early.insert(index, outcome);
                    while let Some(outcome) = early.remove(&outcomes.len()) {
                        on_outcome(&outcome);
                        outcomes.push(outcome);
                    }
                }
            });
        }
    });
    ended.into_inner().map(|(outcomes, ..)| outcomes).unwrap_or_default()
}
