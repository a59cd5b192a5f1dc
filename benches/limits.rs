//! What it costs to ask whether something may pass: one thread, CPU time, a thousand peers in turn.
//!
//! `cargo bench --bench limits [-- --json FILE]`. Time is passed in, as the Swarm does it.

#![allow(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::hint::black_box;
use std::io::Write as _;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use spacetime_network::{ByteRate, Rate, Shaper, Time, TokenBucket};

const PEERS: usize = 1000;
const ROUNDS: usize = 100_000;

/// What this process has taken of the processor, in seconds.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The best of three runs, in checks per second; `check` says whether something passed.
fn measure<T: Clone>(of: &T, mut check: impl FnMut(&mut T, Time) -> bool) -> (f64, f64) {
    let mut best = (0.0, 0.0);
    for _ in 0..3 {
        let mut all = vec![of.clone(); PEERS];
        let (mut now, mut passed) = (Time::ZERO, 0_u64);
        let began = cpu_seconds();
        for _ in 0..ROUNDS {
            now += Duration::from_micros(10);
            for one in &mut all {
                passed += u64::from(check(black_box(one), now));
            }
        }
        let checks = (PEERS * ROUNDS) as f64;
        let rate = checks / (cpu_seconds() - began);
        if rate > best.0 {
            best = (rate, black_box(passed) as f64 / checks);
        }
    }
    best
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let json = arguments.next().filter(|it| it == "--json").and_then(|_| arguments.next());
    // Of frames of 1 KiB, 100 MB/s are wanted.
    let shaper = |rate: ByteRate| measure(&Shaper::new(), move |it, now| it.pass(rate, now, 1024));
    let tokens = Rate { capacity: 100, interval: Duration::from_millis(100) };
    let rows = [
        ("shaper, a hundredth passes", shaper(ByteRate::per_second(1 << 20))),
        ("shaper, half passes", shaper(ByteRate::per_second(50 << 20))),
        ("shaper, everything passes", shaper(ByteRate::per_second(1 << 30))),
        ("shaper without a limit", shaper(ByteRate::UNLIMITED)),
        ("token bucket", measure(&TokenBucket::new(100, Time::ZERO), |it, now| it.take(tokens, now))),
    ];
    println!("| of {PEERS} peers | M checks/s | passed |");
    println!("|---|---|---|");
    for (name, (rate, passed)) in &rows {
        println!("| {name} | {:.0} | {:.1} % |", rate / 1e6, passed * 100.0);
    }
    if let Some(path) = json {
        let mut file = std::fs::File::create(&path).expect("the file for the results can be made");
        for (name, (rate, passed)) in &rows {
            let row = serde_json::json!({ "work": name, "checks_per_second": rate, "passed": passed });
            writeln!(file, "{row}").expect("the results can be written");
        }
    }
}
