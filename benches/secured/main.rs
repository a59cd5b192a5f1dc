//! What TLS costs, beside bare tokio-rustls doing the same in the same process.
//!
//! `cargo bench --bench secured [-- FILTER]`. Both ends run in this process, on loopback, with TLS 1.3,
//! Ed25519 keys, one provider, and certificates of both ends that are checked. CPU time covers the whole process, so both
//! ends; it is the figure to compare, the rates depend on what else the machine does.
//!
//! * "handshakes": to connect, to secure the connection, and ours to say Handshake and to be a session on both
//!   ends; then the connection is closed. At most 1.3 times the CPU of the bare one.
//! * "bulk": messages of 1 MiB in one direction. At least 0.9 of the rate of the bare one.

#![allow(clippy::print_stdout, reason = "a benchmark prints its results")]

mod bare;
mod whole;

use std::future::Future;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

const HANDSHAKES: usize = 1000;
const MESSAGES: usize = 1000;
const MESSAGE_BYTES: usize = 1 << 20;

/// How much one of them cost: CPU time in microseconds, and how many there were in a second.
#[derive(Clone, Copy)]
struct Cost {
    cpu_micros: f64,
    per_second: f64,
}

/// CPU time that this process has used, in seconds.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// On one thread nobody waits for another core to wake up, which costs more than a signature.
#[derive(Clone, Copy)]
enum Threads {
    One,
    All,
}

fn measure<F: Future<Output = ()>>(threads: Threads, count: usize, subject: impl Fn(usize) -> F) -> Cost {
    let mut runtime = match threads {
        Threads::One => tokio::runtime::Builder::new_current_thread(),
        Threads::All => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.enable_all().build().expect("a runtime");
    runtime.block_on(subject(count / 10));
    let (cpu, wall) = (cpu_seconds(), Instant::now());
    runtime.block_on(subject(count));
    let (cpu, wall) = (cpu_seconds() - cpu, wall.elapsed().as_secs_f64());
    Cost { cpu_micros: cpu * 1e6 / count as f64, per_second: count as f64 / wall }
}

/// Five rounds in turn, so that a busy moment of the machine hits both; the best of each.
fn compare(work: &str, bare: impl Fn() -> Cost, whole: impl Fn() -> Cost) {
    let better = |one: Cost, other: Cost| Cost {
        cpu_micros: one.cpu_micros.min(other.cpu_micros),
        per_second: one.per_second.max(other.per_second),
    };
    let rounds = || (0..5).map(|_| (bare(), whole()));
    let best = rounds().reduce(|one, other| (better(one.0, other.0), better(one.1, other.1)));
    let (bare, whole) = best.expect("there are rounds");
    for (subject, cost) in [("bare tokio-rustls", bare), ("whole stack", whole)] {
        println!(
            "| {work} | {subject} | {:.0} | {:.1} | {:.2} | {:.2} |",
            cost.per_second,
            cost.cpu_micros,
            cost.cpu_micros / bare.cpu_micros,
            cost.per_second / bare.per_second
        );
    }
}

fn main() {
    let filter = std::env::args().skip(1).find(|argument| argument != "--bench").unwrap_or_default();
    println!("| work | subject | per second | CPU us each | CPU to bare | rate to bare |");
    println!("|---|---|---|---|---|---|");
    for (threads, name) in [(Threads::One, "one thread"), (Threads::All, "all threads")] {
        if "handshakes".contains(&filter) {
            compare(
                &format!("handshakes, {name}"),
                || measure(threads, HANDSHAKES, bare::handshakes),
                || measure(threads, HANDSHAKES, whole::handshakes),
            );
        }
        if "bulk".contains(&filter) {
            compare(
                &format!("bulk, 1 MiB, {name}"),
                || measure(threads, MESSAGES, bare::bulk),
                || measure(threads, MESSAGES, whole::bulk),
            );
        }
    }
}
