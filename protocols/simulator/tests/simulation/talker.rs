//! A protocol that says numbered lines, and remembers what it heard.

use std::convert::Infallible;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use spacetime_core::wire::{ApplicationMessage, Frame, Nothing};
use spacetime_core::{CloseReason, ConnectionId, ConnectionMap, Context, Protocol, Time, Violation};
use spacetime_simulator::{Boot, Disk, LinkConfig, Simulation};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) number: u64,
    pub(crate) filler: Vec<u8>,
}

impl ApplicationMessage for Line {
    const TYPE_BYTE: u8 = 0x81;
    const MAX_BYTES: u32 = 1 << 20;
}

/// Says a line to everybody whenever its interval is over.
pub(crate) struct Talker {
    pub(crate) incarnation: u32,
    pub(crate) unix_seconds: i64,
    pub(crate) disk: Disk,
    interval: Duration,
    filler_bytes: usize,
    next_at: Time,
    said: u64,
    peers: ConnectionMap<()>,
    /// Numbers, in the order in which they came, and when.
    pub(crate) heard: Vec<(Time, u64)>,
}

impl Talker {
    pub(crate) fn new(boot: &Boot, interval: Duration, filler_bytes: usize) -> Self {
        Self {
            incarnation: boot.incarnation,
            unix_seconds: 0,
            disk: boot.disk.clone(),
            interval,
            filler_bytes,
            next_at: Time::ZERO + interval,
            said: 0,
            peers: ConnectionMap::new(),
            heard: Vec::new(),
        }
    }
}

impl Protocol for Talker {
    type Message<'a> = Line;
    type Answer<'a> = Nothing;
    type Event = u64;
    type Command = Infallible;

    fn on_established(&mut self, _: &mut Context<'_, u64>, connection: ConnectionId) {
        self.peers.insert(connection, ());
    }

    fn on_closed(&mut self, _: &mut Context<'_, u64>, connection: ConnectionId, _: &CloseReason) {
        self.peers.remove(connection);
    }

    fn on_message(
        &mut self,
        cx: &mut Context<'_, u64>,
        _: ConnectionId,
        line: Line,
        _: &Frame,
    ) -> Result<(), Violation> {
        self.heard.push((cx.now(), line.number));
        cx.emit(line.number);
        Ok(())
    }

    fn deadline(&self) -> Option<Time> {
        Some(self.next_at)
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, u64>) {
        self.unix_seconds = cx.unix_seconds();
        self.next_at = cx.now() + self.interval;
        let line = Line { number: self.said, filler: vec![7; self.filler_bytes] };
        self.said += 1;
        for peer in self.peers.keys() {
            // Who is too slow misses a line.
            let _ = cx.send(peer, &line);
        }
    }
}

/// A line a second, over links of exactly 50 ms that cut nothing.
pub(crate) fn even() -> LinkConfig {
    LinkConfig::default()
        .with_latency(Duration::from_millis(50))
        .with_jitter(Duration::ZERO)
        .with_cut_percent(0)
}

/// Two nodes that talk to each other.
pub(crate) fn pair(seed: u64) -> Simulation<Talker> {
    pair_that_says(seed, 10)
}

pub(crate) fn pair_that_says(seed: u64, filler_bytes: usize) -> Simulation<Talker> {
    let mut simulation =
        Simulation::new(seed).link(even()).nodes(2, move |boot| Talker::new(boot, SECOND, filler_bytes));
    simulation.dial(0, 1).unwrap();
    simulation
}

/// The numbers that a node has heard.
pub(crate) fn heard(simulation: &Simulation<Talker>, node: usize) -> Vec<u64> {
    simulation.swarm(node).behaviour().heard.iter().map(|(_, number)| *number).collect()
}
