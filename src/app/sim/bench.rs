//! How fast the simulator is.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use spacetime_core::{Hash, NetworkBehaviour};
use spacetime_handshake::Handshake;
use spacetime_ping::Ping;
use spacetime_simulator::{Simulation, Topology};

use super::flood::Flood;

/// The chain of the nodes that are measured.
const CHAIN: Hash = Hash([1; 32]);

/// What is measured: the gate, pings and items that everybody passes on.
#[derive(NetworkBehaviour, Debug)]
struct Traffic {
    handshake: Handshake,
    ping: Ping,
    flood: Flood,
}

/// A network and its traffic.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    nodes: usize,
    degree: usize,
    ping_interval: Duration,
    items: Items,
    blocks: Option<Items>,
    duration: Duration,
}

/// Items of one size, one after the other, each from another node.
#[derive(Clone, Copy, Debug)]
struct Items {
    every: Duration,
    payload_bytes: usize,
}

impl Workload {
    /// All workloads.
    pub const ALL: [Self; 2] = [
        Self {
            name: "200 nodes, 8 links each, a ping a second on each link, 50 items of 200 bytes a second",
            nodes: 200,
            degree: 8,
            ping_interval: Duration::from_secs(1),
            items: Items { every: Duration::from_millis(20), payload_bytes: 200 },
            blocks: None,
            duration: Duration::from_secs(20),
        },
        Self {
            name: "1000 nodes like a main network: a ping in 2 minutes, an item a second, a block in 10 s",
            nodes: 1000,
            degree: 8,
            ping_interval: Duration::from_secs(120),
            items: Items { every: Duration::from_secs(1), payload_bytes: 200 },
            blocks: Some(Items { every: Duration::from_secs(10), payload_bytes: 300 }),
            duration: Duration::from_secs(120),
        },
    ];

    /// Runs it and measures.
    pub fn measure(&self) -> Measurement {
        let ping = spacetime_ping::Config::default().with_interval(self.ping_interval);
        let mut simulation = Simulation::new(1)
            .nodes(self.nodes, move |boot| Traffic {
                handshake: Handshake::new(spacetime_handshake::Config::new(CHAIN), &boot.rng)
                    .expect("the configuration is valid"),
                ping: Ping::new(ping.clone(), &boot.rng).expect("the configuration is valid"),
                flood: Flood::new(&boot.rng),
            })
            .keep_events(false)
            .connect(Topology::Random { degree: self.degree });
        simulation.run_for(Duration::from_secs(1));

        let delivered = |simulation: &Simulation<Traffic>| -> u64 {
            (0..simulation.len()).map(|node| simulation.swarm(node).statistics().frames_received).sum()
        };
        let (before, steps, began) = (delivered(&simulation), simulation.steps(), cpu_time());
        let end = simulation.now() + self.duration;
        let mut published = 0;
        while simulation.now() < end {
            let node = published * 7 % self.nodes;
            simulation.command(node, TrafficCommand::Flood(self.items.payload_bytes));
            if let Some(blocks) = self.blocks
                && published.is_multiple_of((blocks.every.as_nanos() / self.items.every.as_nanos()) as usize)
            {
                simulation.command(node, TrafficCommand::Flood(blocks.payload_bytes));
            }
            published += 1;
            simulation.run_for(self.items.every);
        }
        let cpu_seconds = (cpu_time() - began).as_secs_f64();
        let messages = delivered(&simulation) - before;
        Measurement {
            workload: self.name,
            messages,
            steps: simulation.steps() - steps,
            virtual_seconds: self.duration.as_secs_f64(),
            cpu_seconds,
            messages_per_cpu_second: messages as f64 / cpu_seconds,
            times_real_time: self.duration.as_secs_f64() / cpu_seconds,
        }
    }
}

/// What a workload took.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct Measurement {
    /// Which one.
    pub workload: &'static str,
    /// Messages that were delivered to behaviours.
    pub messages: u64,
    /// Events of the simulation.
    pub steps: u64,
    /// How long it lasted in the simulation.
    pub virtual_seconds: f64,
    /// What it took of the processor.
    pub cpu_seconds: f64,
    /// Messages in a second of the processor.
    pub messages_per_cpu_second: f64,
    /// Simulated seconds in a second of the processor.
    pub times_real_time: f64,
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {:.0} messages/CPU s, {:.1} times real time ({} messages and {} events in {:.2} CPU s)",
            self.workload,
            self.messages_per_cpu_second,
            self.times_real_time,
            self.messages,
            self.steps,
            self.cpu_seconds
        )
    }
}

/// What this process has taken of the processor.
pub(super) fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}
