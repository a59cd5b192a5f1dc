//! What it costs to ask whether something may pass, whether an item was there, and to queue a frame: one
//! thread, CPU time, a thousand peers in turn.
//!
//! `cargo bench --bench limits [-- --json FILE]`. Time is passed in, as the Swarm does it, and the names
//! of items, which the readers of frames find.

#![allow(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::hint::black_box;
use std::io::Write as _;
use std::time::Duration;

use bytes::Buf as _;
use rustix::time::{ClockId, clock_gettime};
use spacetime_network::relay::{Mark, Seen};
use spacetime_network::wire::{Frame, Nothing, Transaction};
use spacetime_network::{
    Address, ByteRate, ConnectionId, Context, Hash, Limits, Now, PeerId, Protocol, Rate, Rng, Shaper, Time,
    TokenBucket, Violation, sans_io,
};

const PEERS: usize = 1000;
const ROUNDS: usize = 100_000;

/// What the seen set of a node holds, names of which each is new again when its turn comes, and how
/// many are looked up.
const SEEN: usize = 100_000;
const NAMES: usize = 1 << 18;
const LOOKUPS: usize = 20_000_000;

/// Frames that are queued before they are taken, and how often.
const FRAMES: usize = 500;
const TURNS: usize = 20_000;

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

/// Names in a full set, of which so many in a hundred were there: in names per second.
fn measure_seen(known_percent: usize) -> (f64, f64) {
    let mut rng = Rng::from_number(1);
    let names: Vec<Hash> = (0..NAMES).map(|_| Hash(rng.bytes())).collect();
    let mut best = (0.0, 0.0);
    for _ in 0..3 {
        let mut seen = Seen::new(SEEN, Duration::from_secs(300), &mut Rng::from_number(1));
        for name in names.iter().take(SEEN) {
            seen.insert(*name, Mark::Accepted, Time::ZERO);
        }
        let (mut next, mut known) = (SEEN, 0_u64);
        let began = cpu_seconds();
        for lookup in 0..LOOKUPS {
            // One of the last hundred, or the next one.
            let place = if lookup % 100 < known_percent { next - 1 - lookup % 100 } else { next };
            let name = &names[place % NAMES];
            if seen.get(black_box(name), Time::ZERO).is_some() {
                known += 1;
            } else {
                seen.insert(*name, Mark::Pending, Time::ZERO);
                next += 1;
            }
        }
        let rate = LOOKUPS as f64 / (cpu_seconds() - began);
        if rate > best.0 {
            best = (rate, black_box(known) as f64 / LOOKUPS as f64);
        }
    }
    best
}

/// Says nothing and hears nothing.
#[derive(Debug)]
struct Silent;

impl Protocol for Silent {
    type Message<'a> = Nothing;
    type Answer<'a> = Nothing;
    type Event = std::convert::Infallible;
    type Command = std::convert::Infallible;

    fn on_message(
        &mut self,
        _: &mut Context<'_, Self::Event>,
        _: ConnectionId,
        never: Nothing,
        _: &Frame,
    ) -> Result<(), Violation> {
        match never {}
    }
}

/// A frame of a transaction into the queue of a connection and out of it, through the whole Swarm: in
/// frames per second.
fn measure_queue() -> (f64, f64) {
    let frame = Frame::encode(&Transaction { bytes: &[7; 155] }).expect("it can be encoded");
    let mut best = (0.0, 0.0);
    for _ in 0..3 {
        let mut swarm =
            sans_io::Swarm::new(Silent, PeerId([0; 32]), Limits::default()).expect("the limits are valid");
        let now = Now::new(Time::ZERO, 0);
        let peer = swarm.handle_accept(now, Address::memory(1)).expect("there is room");
        swarm.handle_opened(now, peer, None);
        let mut out = sans_io::Transmit::new();
        let mut bytes = 0;
        let began = cpu_seconds();
        for _ in 0..TURNS {
            swarm.act(now, |_, cx| {
                for _ in 0..FRAMES {
                    cx.send_frame(peer, &frame).expect("there is room");
                }
            });
            while swarm.poll_ready().is_some() {}
            while swarm.poll_transmit(peer, usize::MAX / 2, &mut out) {}
            bytes += out.len();
            out.advance(out.len());
        }
        let frames = (FRAMES * TURNS) as f64;
        let rate = frames / (cpu_seconds() - began);
        if rate > best.0 {
            best = (rate, black_box(bytes) as f64 / (frames * frame.len() as f64));
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
        ("seen set, all new", measure_seen(0)),
        ("seen set, three of four known", measure_seen(75)),
        ("send queue, through the Swarm", measure_queue()),
    ];
    println!("| what | M/s | passed, or known |");
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
