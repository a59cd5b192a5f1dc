//! What the whole stack costs over loopback TCP, beside a bare length-delimited codec doing the same
//! work in the same process.
//!
//! `cargo bench --bench stack [-- FILTER] [--json FILE]`. Both ends run in this process on tokio's
//! default runtime. CPU time and allocations cover the whole process, so both ends; they are the
//! figures to compare, the rates depend on what else the machine does.
//!
//! Nothing is left out for the benchmark: handshake, ping, limits and statistics run, and each
//! message reaches the application as an event.

#![allow(clippy::print_stdout, reason = "a benchmark prints its results")]

mod bare;
mod measure;
mod whole;

use std::alloc::System;
use std::io::Write as _;

use measure::Row;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What both subjects do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Work {
    /// Messages in one direction, as fast as they are taken.
    OneWay { bytes: usize, count: usize },
    /// Questions and answers of the same size, so many under way at a time.
    RoundTrips { bytes: usize, in_flight: usize, count: usize },
}

impl Work {
    const ALL: [Self; 5] = [
        Self::OneWay { bytes: 256, count: 2_000_000 },
        Self::OneWay { bytes: 1024, count: 1_000_000 },
        Self::OneWay { bytes: 1 << 20, count: 4_000 },
        Self::RoundTrips { bytes: 256, in_flight: 1, count: 60_000 },
        Self::RoundTrips { bytes: 256, in_flight: 100, count: 1_000_000 },
    ];

    fn name(self) -> String {
        let size = |bytes| {
            if bytes >= 1 << 20 { format!("{} MiB", bytes >> 20) } else { format!("{bytes} B") }
        };
        match self {
            Self::OneWay { bytes, .. } => format!("one-way {}", size(bytes)),
            Self::RoundTrips { bytes, in_flight, .. } => {
                format!("round trips {}, {in_flight} in flight", size(bytes))
            }
        }
    }

    const fn count(self) -> usize {
        match self {
            Self::OneWay { count, .. } | Self::RoundTrips { count, .. } => count,
        }
    }

    /// A tenth of the work, to warm up.
    const fn shortened(self) -> Self {
        match self {
            Self::OneWay { bytes, count } => Self::OneWay { bytes, count: count / 10 },
            Self::RoundTrips { bytes, in_flight, count } => {
                Self::RoundTrips { bytes, in_flight, count: count / 10 }
            }
        }
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (mut filter, mut json) = (String::new(), None);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => json = arguments.next(),
            other => filter = other.to_owned(),
        }
    }

    println!(
        "| work | subject | messages/s | CPU us/message | allocations/message | bytes allocated/message |"
    );
    println!("|---|---|---|---|---|---|");
    let mut rows = Vec::new();
    for work in Work::ALL.into_iter().filter(|work| work.name().contains(&filter)) {
        // Three rounds in turn, so that a busy moment of the machine hits both; the cheapest of each.
        let mut best: [Option<Row>; 2] = [None, None];
        for _ in 0..3 {
            for (subject, best) in best.iter_mut().enumerate() {
                let row = if subject == 0 {
                    measure::run(work, "bare codec", bare::run)
                } else {
                    measure::run(work, "whole stack", whole::run)
                };
                if best.as_ref().is_none_or(|before| row.cpu_micros < before.cpu_micros) {
                    *best = Some(row);
                }
            }
        }
        for row in best.into_iter().flatten() {
            println!("{row}");
            rows.push(row);
        }
    }
    if let Some(path) = json {
        let mut file = std::fs::File::create(&path).expect("the file for the results can be made");
        for row in rows {
            writeln!(file, "{}", row.to_json()).expect("the results can be written");
        }
    }
}
