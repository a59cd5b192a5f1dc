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

mod network;

use std::io::Write as _;

use network::{Spread, Way};
use rustix::time::{ClockId, clock_gettime};

/// Payloads, in bytes.
const SIZES: [usize; 9] = [128, 256, 512, 1024, 2048, 4096, 16 << 10, 100_000, 1_000_000];

const WAYS: [(&str, Way); 5] = [
    ("flood", Way::Flood),
    ("push 0", Way::Push(0)),
    ("push 1", Way::Push(1)),
    ("push 2", Way::Push(2)),
    ("push 3", Way::Push(3)),
];

/// What this process has taken of the processor, in seconds.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
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
        for (name, way) in WAYS {
            let began = cpu_seconds();
            let Spread { reached_percent, copies, bytes, times_ms, bound_ms } =
                network::measure(payload_bytes, way, nodes, count);
            let [t50, t95, t99] = times_ms;
            let cpu_seconds = cpu_seconds() - began;
            println!(
                "| {payload_bytes} | {name} | {reached_percent:.1} | {copies:.2} | {bytes:.0} | {t50:.0} | {t95:.0} \
                 | {t99:.0} | {bound_ms:.0} | {cpu_seconds:.1} |"
            );
            lines.push(format!(
                "{{\"payload_bytes\":{payload_bytes},\"way\":\"{name}\",\"reached_percent\":{reached_percent},\
                 \"copies\":{copies},\"bytes_per_delivery\":{bytes},\"t50_ms\":{t50},\"t95_ms\":{t95},\
                 \"t99_ms\":{t99},\"bound_ms\":{bound_ms}}}"
            ));
        }
    }
    if let Some(path) = json {
        writeln!(std::fs::File::create(path)?, "{}", lines.join("\n"))?;
    }
    Ok(())
}
