//! What single operations cost, in figures that are the same on each run: allocations, and instructions
//! where `valgrind` is installed. None may cost more than `bounds.toml` says.
//!
//! `cargo test --test costs` prints them all. A figure is the difference of two runs of which one does
//! more, so what is done once does not count.

#![allow(clippy::print_stdout, reason = "the figures are printed")]

mod limits;
mod peers;
mod relay;
mod swarm;
mod wire;

use std::alloc::System;
use std::collections::BTreeMap;
use std::process::Command;

use serde::Deserialize;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Something that is done so many times.
struct Operation {
    name: &'static str,
    run: fn(usize),
}

const fn operation(name: &'static str, run: fn(usize)) -> Operation {
    Operation { name, run }
}

const OPERATIONS: [Operation; 19] = [
    operation("read a frame", wire::read_frames),
    operation("read a block of 128 KiB", wire::read_blocks),
    operation("decode a transaction", wire::decode_transactions),
    operation("decode 16 headers", wire::decode_headers),
    operation("decode 8 addresses", wire::decode_addresses),
    operation("encode a transaction", wire::encode_transactions),
    operation("route a frame in a tree of 1", swarm::route_in_one),
    operation("route a frame in a tree of 5", swarm::route_in_five),
    operation("route a frame in a tree of 20", swarm::route_in_twenty),
    operation("a step of a tree of 1", swarm::step_one),
    operation("a step of a tree of 20", swarm::step_twenty),
    operation("send a frame", swarm::send_frames),
    operation("ask and be answered", swarm::ask),
    operation("a new name in a full seen set", limits::new_names),
    operation("a known name in a seen set", limits::known_names),
    operation("take a token", limits::tokens),
    operation("pass a shaper", limits::shapers),
    operation("relay a transaction to 7 peers", relay::relay_transactions),
    operation("add a known address to a book of 10 000", peers::add_addresses),
];

/// The most that an operation may cost.
#[derive(Deserialize, Clone, Copy, Debug)]
#[serde(deny_unknown_fields)]
struct Bound {
    allocations: f64,
    instructions: f64,
}

/// Runs of an operation that are compared.
const COUNTS: [usize; 2] = [1000, 3000];

/// What the child process is to do: an operation, and how often.
const OPERATION: &str = "SPACETIME_COST_OPERATION";
const COUNT: &str = "SPACETIME_COST_COUNT";

fn main() {
    if let (Ok(name), Ok(count)) = (std::env::var(OPERATION), std::env::var(COUNT)) {
        let operation = OPERATIONS.iter().find(|it| it.name == name).expect("a name of the list");
        return (operation.run)(count.parse().expect("a number"));
    }
    let bounds: BTreeMap<String, Bound> =
        toml::from_str(include_str!("bounds.toml")).expect("bounds.toml can be read");
    assert_eq!(bounds.len(), OPERATIONS.len(), "each operation has its bounds");
    let has_valgrind = Command::new("valgrind").arg("--version").output().is_ok_and(|it| it.status.success());
    println!("| operation | allocations | at most | instructions | at most |");
    println!("|---|---|---|---|---|");
    let mut dearer = Vec::new();
    for operation in &OPERATIONS {
        let bound = bounds[operation.name];
        let allocations = difference(|count| allocations(operation, count));
        let instructions = has_valgrind.then(|| difference(|count| instructions(operation, count)));
        println!(
            "| {} | {allocations:.3} | {} | {} | {} |",
            operation.name,
            bound.allocations,
            instructions.map_or_else(|| "(no valgrind)".into(), |it| format!("{it:.0}")),
            bound.instructions
        );
        if allocations > bound.allocations || instructions.is_some_and(|it| it > bound.instructions) {
            dearer.push(operation.name);
        }
    }
    assert!(dearer.is_empty(), "these cost more than tests/costs/bounds.toml allows: {dearer:?}");
}

/// Per operation.
fn difference(cost: impl Fn(usize) -> u64) -> f64 {
    let [few, many] = COUNTS;
    let (less, more) = (cost(few), cost(many));
    (more as f64 - less as f64) / (many - few) as f64
}

fn allocations(operation: &Operation, count: usize) -> u64 {
    let region = Region::new(ALLOCATOR);
    (operation.run)(count);
    let change = region.change();
    (change.allocations + change.reallocations) as u64
}

/// Of a process of its own, as `callgrind` counts them: without the extensions that it does not know, such
/// as those for SHA-256.
fn instructions(operation: &Operation, count: usize) -> u64 {
    let this = std::env::current_exe().expect("this program has a path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .env(OPERATION, operation.name)
        .env(COUNT, count.to_string())
        .output()
        .expect("valgrind runs");
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected : "));
    let collected = collected.and_then(|(_, count)| count.trim().parse().ok());
    collected.unwrap_or_else(|| panic!("valgrind says how many: {text}"))
}
