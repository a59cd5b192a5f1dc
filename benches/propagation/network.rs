//! A simulated network in which items spread, and how well they do.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use spacetime_core::chain::{DevelopmentChain, SpacetimeRules, development_genesis};
use spacetime_core::wire::ProofSubmission;
use spacetime_core::{Event, Hash, Limits, NetworkBehaviour, Swarm, Time};
use spacetime_handshake::Handshake;
use spacetime_relay::{Command, Config, Event as RelayEvent, Item, MemoryPool, Relay, Verdict};
use spacetime_simulator::{Effects, Judge, LinkConfig, Simulation, Topology, Witness};

const DEGREE: usize = 8;
const BYTES_PER_SECOND: u64 = 10 << 20;
/// For 25 ms each way at that rate, and once more for what is read late.
const WINDOW_BYTES: usize = 1 << 20;
/// Within which an item must have reached everybody.
const SETTLE_TIME: Duration = Duration::from_secs(20);

/// Payloads from so many bytes on are blocks, smaller ones proofs.
const FIRST_BLOCK_BYTES: usize = 16 << 10;

#[derive(NetworkBehaviour, Debug)]
struct Node {
    handshake: Handshake,
    relay: Relay<SpacetimeRules>,
}

/// How an item is spread.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// Whole to all.
    Flood,
    /// Whole to so many, by name to the others.
    Push(usize),
}

impl Way {
    fn config(self) -> Config {
        match self {
            Self::Flood => Config::default().with_announce_from_bytes(usize::MAX),
            Self::Push(peers) => Config::default().with_announce_from_bytes(1).with_push_peers(peers),
        }
    }
}

/// Writes down when nodes receive something new.
struct Arrivals(Rc<RefCell<Vec<Time>>>);

impl Judge<Node> for Arrivals {
    fn name(&self) -> &'static str {
        "arrivals"
    }

    fn on_event(
        &mut self,
        now: Time,
        _: usize,
        _: &Swarm<Witness<Node>>,
        event: &Event<NodeEvent>,
    ) -> Result<(), String> {
        if let Event::Behaviour(NodeEvent::Relay(RelayEvent::Received { .. })) = event {
            self.0.borrow_mut().push(now);
        }
        Ok(())
    }
}

/// What one way to spread items of one size took.
#[derive(Debug)]
pub(crate) struct Spread {
    /// How many of a hundred who should have an item have it.
    pub(crate) reached_percent: f64,
    /// Copies that arrived for each one that was needed.
    pub(crate) copies: f64,
    /// Bytes that were received for each delivery.
    pub(crate) bytes: f64,
    /// Until 50, 95 and 99 % have it, in milliseconds.
    pub(crate) times_ms: [f64; 3],
    /// The way through the network at the slowest, in milliseconds.
    pub(crate) bound_ms: f64,
}

fn network(nodes: usize, config: &Config, arrivals: &Rc<RefCell<Vec<Time>>>) -> Simulation<Node> {
    let genesis = development_genesis();
    let rules = SpacetimeRules::new(&genesis).expect("the genesis block is valid");
    let config = config.clone();
    let link = LinkConfig::default()
        .with_bandwidth(BYTES_PER_SECOND, BYTES_PER_SECOND)
        .with_window_bytes(WINDOW_BYTES)
        .with_max_piece_bytes(64 << 10);
    let start = move |boot: &spacetime_simulator::Boot| {
        let handshake = spacetime_handshake::Config::new(Hash([1; 32]))
            .with_capability(spacetime_relay::CAPABILITY, spacetime_relay::CAPABILITY_VERSION);
        let handshake = Handshake::new(handshake, &boot.rng);
        let relay = Relay::new(config.clone(), rules.clone(), MemoryPool::default(), &boot.rng);
        let node = Node {
            handshake: handshake.expect("the configuration is valid"),
            relay: relay.expect("the configuration is valid"),
        };
        let judge = |event: &Event<NodeEvent>, effects: &mut Effects<NodeCommand>| {
            if let Event::Behaviour(NodeEvent::Relay(RelayEvent::Received { item, .. })) = event {
                let verdict = Verdict::Accept;
                effects.command(NodeCommand::Relay(Command::Verdict { id: item.id(), verdict }));
            }
        };
        (node, judge)
    };
    let mut simulation = Simulation::new(1)
        .link(link)
        .applications(nodes, &Limits::default(), start)
        .judge(Arrivals(Rc::clone(arrivals)))
        .keep_events(false)
        .connect(Topology::Random { degree: DEGREE });
    simulation.run_for(Duration::from_secs(5));
    simulation
}

/// The most hops that there are between two nodes.
fn diameter(simulation: &Simulation<Node>) -> usize {
    let nodes = simulation.len();
    let addresses: Vec<_> = (0..nodes).map(|node| simulation.address(node)).collect();
    let mut neighbours = vec![Vec::new(); nodes];
    for node in 0..nodes {
        for (_, peer) in simulation.swarm(node).peers() {
            // Of each connection, one end knows the address that the other one listens at.
            if let Some(other) = addresses.iter().position(|it| *it == peer.address) {
                neighbours[node].push(other);
                neighbours[other].push(node);
            }
        }
    }
    let furthest = |from: usize| {
        let mut hops = vec![usize::MAX; nodes];
        hops[from] = 0;
        let mut next = VecDeque::from([from]);
        while let Some(node) = next.pop_front() {
            for other in &neighbours[node] {
                if hops[*other] == usize::MAX {
                    hops[*other] = hops[node] + 1;
                    next.push_back(*other);
                }
            }
        }
        hops.into_iter().max().expect("there are nodes")
    };
    (0..nodes).map(furthest).max().expect("there are nodes")
}

fn items(payload_bytes: usize, count: usize) -> Vec<Item> {
    if payload_bytes >= FIRST_BLOCK_BYTES {
        let blocks = DevelopmentChain::new(1, payload_bytes).take(count);
        return blocks.map(|bytes| Item::block(&bytes).expect("a block fits a frame")).collect();
    }
    let proof = |number: usize| {
        // Height, miner and a length go before the proof.
        let proof = vec![number as u8; payload_bytes - 45];
        let proof = ProofSubmission { block_height: number as i64, miner_id: [2; 33], proof: &proof };
        Item::proof(&proof).expect("a proof fits a frame")
    };
    (0..count).map(proof).collect()
}

/// Spreads so many items of this size, one after the other.
pub(crate) fn measure(payload_bytes: usize, way: Way, nodes: usize, count: usize) -> Spread {
    let arrivals = Rc::new(RefCell::new(Vec::new()));
    let mut simulation = network(nodes, &way.config(), &arrivals);
    let bound_ms = diameter(&simulation) as f64 * 25.0;
    let bytes_received = |simulation: &Simulation<Node>| -> u64 {
        (0..nodes).map(|node| simulation.swarm(node).statistics().bytes_received).sum()
    };
    let before = bytes_received(&simulation);
    let mut times_ms = [0.0; 3];
    let mut deliveries = 0;
    for (number, item) in items(payload_bytes, count).into_iter().enumerate() {
        let published_at = simulation.now();
        arrivals.borrow_mut().clear();
        simulation.command(number * 37 % nodes, NodeCommand::Relay(Command::Publish(item)));
        simulation.run_for(SETTLE_TIME);
        let arrivals = arrivals.borrow();
        deliveries += arrivals.len();
        for (time, percent) in times_ms.iter_mut().zip([50, 95, 99]) {
            let at = arrivals.get(((nodes - 1) * percent).div_ceil(100) - 1);
            let taken = at.map_or(f64::INFINITY, |at| at.since(published_at).as_secs_f64() * 1000.0);
            *time += taken / count as f64;
        }
    }
    let duplicates: u64 =
        (0..nodes).map(|node| simulation.swarm(node).behaviour().relay.statistics().duplicates).sum();
    let deliveries = deliveries as f64;
    Spread {
        reached_percent: 100.0 * deliveries / ((nodes - 1) * count) as f64,
        copies: (deliveries + duplicates as f64) / deliveries,
        bytes: (bytes_received(&simulation) - before) as f64 / deliveries,
        times_ms,
        bound_ms,
    }
}
