//! How items spread through a thousand simulated nodes: announced by name, or flooded.
//!
//! `cargo bench --bench propagation [-- --nodes N] [--items N] [--json FILE]`. The default takes some
//! minutes of CPU time.
//!
//! A network of 1,000 nodes with 8 connections each, by chance; 20 to 25 ms one way, and hosts that send
//! and receive 10 MiB a second. Every node accepts what it is asked about within a millisecond. Items of
//! one size are published one after the other, each by another node, and everybody must get each. The
//! same network and the same items, for each way to spread them:
//!
//! * `flood`: sent whole to all who are not known to have it, as version 1 does;
//! * `push N`: sent whole to N peers by chance, and announced to the others.
//!
//! For each: copies of an item that arrive for each one that was needed, all bytes received for each
//! delivery (frames, announcements, questions and the rest), and the time until 50, 95 and 99 % have
//! it, the mean over the items. The *bound* is the way from one end of the network to the other at the
//! slowest a piece can travel: the diameter of the graph in hops, each 25 ms.

#![allow(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::Write as _;
use std::rc::Rc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
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

/// Payloads, in bytes. From 16 KiB on they are blocks, below they are proofs.
const SIZES: [usize; 9] = [128, 256, 512, 1024, 2048, 4096, 16 << 10, 100_000, 1_000_000];
const FIRST_BLOCK_BYTES: usize = 16 << 10;

#[derive(NetworkBehaviour, Debug)]
struct Node {
    handshake: Handshake,
    relay: Relay<SpacetimeRules>,
}

/// How an item is spread.
#[derive(Clone, Copy)]
enum Way {
    Flood,
    Push(usize),
}

impl Way {
    const ALL: [Self; 5] = [Self::Flood, Self::Push(0), Self::Push(1), Self::Push(2), Self::Push(3)];

    fn name(self) -> String {
        match self {
            Self::Flood => "flood".into(),
            Self::Push(peers) => format!("push {peers}"),
        }
    }

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
struct Row {
    payload_bytes: usize,
    way: Way,
    reached_percent: f64,
    copies: f64,
    bytes: f64,
    /// Until 50, 95 and 99 % have it, in milliseconds.
    times: [f64; 3],
    bound: f64,
    cpu_seconds: f64,
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
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

fn measure(payload_bytes: usize, way: Way, nodes: usize, count: usize) -> Row {
    let arrivals = Rc::new(RefCell::new(Vec::new()));
    let mut simulation = network(nodes, &way.config(), &arrivals);
    let bound = diameter(&simulation) as f64 * 25.0;
    let bytes_received = |simulation: &Simulation<Node>| -> u64 {
        (0..nodes).map(|node| simulation.swarm(node).statistics().bytes_received).sum()
    };
    let (before, began) = (bytes_received(&simulation), cpu_seconds());
    let mut times = [0.0; 3];
    let mut deliveries = 0;
    for (number, item) in items(payload_bytes, count).into_iter().enumerate() {
        let published_at = simulation.now();
        arrivals.borrow_mut().clear();
        simulation.command(number * 37 % nodes, NodeCommand::Relay(Command::Publish(item)));
        simulation.run_for(SETTLE_TIME);
        let arrivals = arrivals.borrow();
        deliveries += arrivals.len();
        for (time, percent) in times.iter_mut().zip([50, 95, 99]) {
            let at = arrivals.get(((nodes - 1) * percent).div_ceil(100) - 1);
            let taken = at.map_or(f64::INFINITY, |at| at.since(published_at).as_secs_f64() * 1000.0);
            *time += taken / count as f64;
        }
    }
    let duplicates: u64 =
        (0..nodes).map(|node| simulation.swarm(node).behaviour().relay.statistics().duplicates).sum();
    let deliveries = deliveries as f64;
    Row {
        payload_bytes,
        way,
        reached_percent: 100.0 * deliveries / ((nodes - 1) * count) as f64,
        copies: (deliveries + duplicates as f64) / deliveries,
        bytes: (bytes_received(&simulation) - before) as f64 / deliveries,
        times,
        bound,
        cpu_seconds: cpu_seconds() - began,
    }
}

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (mut nodes, mut count, mut json) = (1000, 5, None);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        match argument.as_str() {
            "--nodes" => nodes = value.parse().expect("a number of nodes"),
            "--items" => count = value.parse().expect("a number of items"),
            "--json" => json = Some(value),
            other => panic!("there is no option {other}"),
        }
    }
    println!(
        "| payload bytes | way | reached % | copies | bytes per delivery | t50 ms | t95 ms | t99 ms | bound ms | CPU s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let mut lines = Vec::new();
    for payload_bytes in SIZES {
        for way in Way::ALL {
            let Row { payload_bytes, way, reached_percent, copies, bytes, times, bound, cpu_seconds } =
                measure(payload_bytes, way, nodes, count);
            let [t50, t95, t99] = times;
            let name = way.name();
            println!(
                "| {payload_bytes} | {name} | {reached_percent:.1} | {copies:.2} | {bytes:.0} | {t50:.0} | {t95:.0} \
                 | {t99:.0} | {bound:.0} | {cpu_seconds:.1} |"
            );
            lines.push(format!(
                "{{\"payload_bytes\":{payload_bytes},\"way\":\"{name}\",\"reached_percent\":{reached_percent},\
                 \"copies\":{copies},\"bytes_per_delivery\":{bytes},\"t50_ms\":{t50},\"t95_ms\":{t95},\
                 \"t99_ms\":{t99},\"bound_ms\":{bound}}}"
            ));
        }
    }
    if let Some(path) = json {
        writeln!(std::fs::File::create(path)?, "{}", lines.join("\n"))?;
    }
    Ok(())
}
