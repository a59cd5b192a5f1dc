//! How likely an attacker is to have all outbound connections of a node, by Monte-Carlo over the real
//! address book.
//!
//! `cargo bench --bench eclipse [-- --runs N] [--seed N]`. 200 runs are the full measurement, of
//! about 18 minutes of CPU time; the default takes about one.
//!
//! # Eclipse
//!
//! A fresh book lives through 30 virtual days, is stored, and restored after a restart with the same
//! key. Then 8 outbound addresses are drawn from it, each from another group.
//!
//! * Honest: 8,000 addresses in 2,500 groups of very different sizes; each day 2 % of them go away for
//!   ever and others come. 8 honest peers each tell 20 addresses every 10 minutes.
//! * The attacker: addresses in some groups, 256 in each, that always answer; 20 connections from
//!   different groups, each telling what the token bucket lets through: 1000 addresses at once, then
//!   0.1 per second.
//! * The node: a feeler every 2 minutes, and 8 outbound connections. An honest one lasts 6 hours on
//!   average; the attacker never lets go of one.
//!
//! The first figure is the exact probability that all 8 are the attacker's, of the tables as they are,
//! averaged over the runs. The last one is what Bitcoin Core's selection by slot would make of the same
//! tables: sampled, and where too rare for that, the power of the chance of one draw.
//!
//! # Flood
//!
//! The book of 30 days without attack, then 24 hours in which 100 connections from different groups tell
//! made-up addresses, all different, at the same rate. What the book has lost of honest addresses is
//! counted against the same 24 hours without flood.
//!
//! # Inserts
//!
//! What it costs to tell an empty book 80,000 different addresses, by 1,000 sources.

#![allow(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use spacetime_core::{Now, Rng, Time};
use spacetime_peers::book::{NotAdded, Purpose, Source};
use spacetime_peers::{AddressBook, BookConfig, BucketKey, Group};

const OUTBOUND: usize = 8;
const DAYS: u64 = 30;
const DAY_SECONDS: u64 = 86_400;
/// One step of the simulation: the interval of feelers.
const STEP_SECONDS: u64 = 120;

const HONEST_ADDRESSES: usize = 8_000;
const HONEST_GROUPS: usize = 2_500;
const HONEST_SOURCES: usize = 8;
/// Addresses that go and come each day: 2 %.
const CHURN: usize = HONEST_ADDRESSES / 50;
/// Of an honest outbound connection.
const MEAN_SESSION_SECONDS: u64 = 6 * 3600;

const ATTACKER_CONNECTIONS: usize = 20;
const ATTACKER_ADDRESSES_PER_GROUP: u8 = 255;
const BUCKET: u64 = 1000;
const SECONDS_PER_ADDRESS: u64 = 10;

const FLOOD_CONNECTIONS: usize = 100;

/// Outbound draws of Core's selection per run.
const SLOT_TRIALS: u32 = 2_000;

/// A /16: the first two bytes.
type Prefix = [u8; 2];

fn address(prefix: Prefix, rng: &mut Rng) -> SocketAddr {
    let [a, b] = prefix;
    SocketAddr::from((Ipv4Addr::new(a, b, rng.below(256) as u8, rng.below(256) as u8), 8333))
}

/// A random /16 of ordinary addresses.
fn prefix(rng: &mut Rng) -> Prefix {
    loop {
        let [a, b] = rng.bytes();
        if (11..=99).contains(&a) || (128..=168).contains(&a) || (173..=191).contains(&a) {
            return [a, b];
        }
    }
}

/// Honest nodes: who is there, and how the groups are made up.
struct Honest {
    prefixes: Vec<Prefix>,
    alive: Vec<SocketAddr>,
    is_alive: BTreeSet<SocketAddr>,
    sources: Vec<SocketAddr>,
}

impl Honest {
    fn new(rng: &mut Rng) -> Self {
        let mut prefixes = BTreeSet::new();
        while prefixes.len() < HONEST_GROUPS {
            prefixes.insert(prefix(rng));
        }
        let mut prefixes: Vec<Prefix> = prefixes.into_iter().collect();
        rng.shuffle(&mut prefixes);
        let mut honest = Self { prefixes, alive: Vec::new(), is_alive: BTreeSet::new(), sources: Vec::new() };
        // Each group has one, the others are distributed by rank.
        for rank in 0..HONEST_GROUPS {
            honest.join(honest.prefixes[rank], rng);
        }
        while honest.alive.len() < HONEST_ADDRESSES {
            honest.join(honest.skewed(rng), rng);
        }
        honest.sources = (0..HONEST_SOURCES).map(|_| *rng.pick(&honest.alive).expect("somebody")).collect();
        honest
    }

    /// A group, the first ones more often: the chance falls with the rank, about as 1 / rank.
    fn skewed(&self, rng: &mut Rng) -> Prefix {
        let exponent = rng.below(1 << 20) as f64 / f64::from(1 << 20);
        let rank = (HONEST_GROUPS as f64).powf(exponent) as usize - 1;
        self.prefixes[rank.min(HONEST_GROUPS - 1)]
    }

    fn join(&mut self, prefix: Prefix, rng: &mut Rng) {
        let address = address(prefix, rng);
        if self.is_alive.insert(address) {
            self.alive.push(address);
        }
    }

    fn churn(&mut self, rng: &mut Rng) {
        for _ in 0..CHURN {
            let gone = self.alive.swap_remove(rng.below(self.alive.len() as u64) as usize);
            self.is_alive.remove(&gone);
            let [a, b, ..] = octets(gone);
            // Where it was, or where most are: the groups stay what they are.
            let prefix = if rng.chance(1, 2) { [a, b] } else { self.skewed(rng) };
            self.join(prefix, rng);
        }
        while self.alive.len() < HONEST_ADDRESSES {
            self.join(self.skewed(rng), rng);
        }
    }
}

fn octets(address: SocketAddr) -> [u8; 4] {
    match address.ip() {
        std::net::IpAddr::V4(ip) => ip.octets(),
        std::net::IpAddr::V6(_) => unreachable!("the model has IPv4 only"),
    }
}

/// Who tells addresses that are not honest.
#[derive(Default)]
struct Attack {
    sources: Vec<SocketAddr>,
    /// What answers and is told. Without any, made-up addresses are told.
    addresses: Vec<SocketAddr>,
    prefixes: BTreeSet<Prefix>,
}

impl Attack {
    /// Real addresses in groups that nobody else has.
    fn with_groups(groups: usize, honest: &Honest, rng: &mut Rng) -> Self {
        let taken: BTreeSet<Prefix> = honest.prefixes.iter().copied().collect();
        let mut attack = Self::default();
        while attack.prefixes.len() < groups {
            let prefix = prefix(rng);
            if !taken.contains(&prefix) && attack.prefixes.insert(prefix) {
                let [a, b] = prefix;
                // One in each /24, so that no subnet is too full.
                attack.addresses.extend(
                    (0..=ATTACKER_ADDRESSES_PER_GROUP).map(|c| SocketAddr::from(([a, b, c, 1], 8333))),
                );
            }
        }
        let mut sources: Vec<Prefix> = attack.prefixes.iter().copied().collect();
        rng.shuffle(&mut sources);
        attack.sources =
            sources.iter().take(ATTACKER_CONNECTIONS).map(|prefix| address(*prefix, rng)).collect();
        attack
    }

    /// Connections that tell made-up addresses.
    fn flood(rng: &mut Rng) -> Self {
        let sources = (0..FLOOD_CONNECTIONS).map(|_| address(prefix(rng), rng)).collect();
        Self { sources, ..Self::default() }
    }

    fn is_of(&self, address: &SocketAddr) -> bool {
        let [a, b, ..] = octets(*address);
        self.prefixes.contains(&[a, b])
    }

    fn next_address(&self, rng: &mut Rng) -> SocketAddr {
        match rng.pick(&self.addresses) {
            Some(address) => *address,
            None => address(prefix(rng), rng),
        }
    }
}

/// A node in the middle of it.
struct World {
    seconds: u64,
    rng: Rng,
    honest: Honest,
    book: AddressBook,
    outbound: Vec<SocketAddr>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::from_number(seed);
        let honest = Honest::new(&mut rng);
        let key = BucketKey::random(&mut rng);
        let book = AddressBook::new(BookConfig::default(), key, &rng);
        Self { seconds: 0, rng, honest, book, outbound: Vec::new() }
    }

    fn now(&self) -> Now {
        Now::new(
            Time::from_epoch(Duration::from_secs(self.seconds)),
            1_700_000_000 + self.seconds.cast_signed(),
        )
    }

    fn run(&mut self, days: u64, attack: &Attack) {
        let start = self.seconds;
        while self.seconds < start + days * DAY_SECONDS {
            let now = self.now();
            let since = self.seconds - start;
            if since.is_multiple_of(DAY_SECONDS) {
                self.honest.churn(&mut self.rng);
            }
            if since.is_multiple_of(600) {
                for source in self.honest.sources.clone() {
                    for _ in 0..20 {
                        let told = *self.rng.pick(&self.honest.alive).expect("somebody is there");
                        let _ = self.book.add(told, Source::Peer(source), now);
                    }
                }
            }
            let count = if since == 0 { BUCKET } else { 0 } + STEP_SECONDS / SECONDS_PER_ADDRESS;
            for source in &attack.sources {
                for _ in 0..count {
                    let told = attack.next_address(&mut self.rng);
                    let _ = self.book.add(told, Source::Peer(*source), now);
                }
            }
            self.feel(attack, now);
            self.keep_outbound(attack, now);
            self.seconds += STEP_SECONDS;
        }
    }

    fn dial(&mut self, address: SocketAddr, attack: &Attack, now: Now) -> bool {
        self.book.record_attempt(address, now);
        let answers = attack.is_of(&address) || self.honest.is_alive.contains(&address);
        if answers {
            self.book.record_success(address, None, now);
        } else {
            self.book.record_failure(address, now);
        }
        answers
    }

    fn feel(&mut self, attack: &Attack, now: Now) {
        let test = self.book.pending_test(now);
        let outbound = &self.outbound;
        let feeler =
            test.or_else(|| self.book.select(Purpose::Feeler, now, |address, _| outbound.contains(address)));
        if let Some(address) = feeler {
            self.dial(address, attack, now);
        }
    }

    fn keep_outbound(&mut self, attack: &Attack, now: Now) {
        let rng = &mut self.rng;
        let honest = &self.honest;
        self.outbound.retain(|address| {
            attack.is_of(address)
                || (honest.is_alive.contains(address) && !rng.chance(STEP_SECONDS, MEAN_SESSION_SECONDS))
        });
        if self.seconds.is_multiple_of(1800) {
            for address in &self.outbound {
                self.book.record_seen(*address, now);
            }
        }
        for _ in self.outbound.len()..OUTBOUND {
            let groups: Vec<Group> =
                self.outbound.iter().map(|address| self.book.grouping().group(*address)).collect();
            let address = self.book.select(Purpose::Outbound, now, |_, group| groups.contains(&group));
            if let Some(address) = address
                && self.dial(address, attack, now)
            {
                self.outbound.push(address);
            }
        }
    }

    /// What is there after the node was stopped and started again.
    fn restart(&mut self) {
        let mut book = AddressBook::new(BookConfig::default(), self.book.key().clone(), &self.rng);
        for record in self.book.records() {
            match book.restore(record, self.now()) {
                Ok(_) | Err(NotAdded::Terrible) => {}
                Err(why) => panic!("what was in the book fits into it, but {why}"),
            }
        }
        self.book = book;
        self.outbound.clear();
    }

    /// Honest addresses in the tried and in the new table.
    fn honest_entries(&self) -> [BTreeSet<SocketAddr>; 2] {
        [true, false].map(|is_tried| {
            let entries = self.book.entries().filter(|entry| entry.is_tried == is_tried);
            entries
                .map(|entry| entry.address)
                .filter(|address| self.honest.is_alive.contains(address))
                .collect()
        })
    }
}

/// Bitcoin Core's selection in the same tables: tried or new, then any address of the table. Returns
/// the chance of one draw and how often all of them were the attacker's.
fn by_slot(world: &mut World, attack: &Attack) -> (f64, u32) {
    let tables = [true, false].map(|is_tried| {
        let entries = world.book.entries().filter(|entry| entry.is_tried == is_tried);
        entries.map(|entry| entry.address).collect::<Vec<_>>()
    });
    let one = tables
        .iter()
        .map(|table| table.iter().filter(|it| attack.is_of(it)).count() as f64 / table.len() as f64 / 2.0)
        .sum();
    let mut captured = 0;
    for _ in 0..SLOT_TRIALS {
        let mut used = BTreeMap::new();
        while used.len() < OUTBOUND {
            let table = &tables[world.rng.below(2) as usize];
            let Some(address) = world.rng.pick(table) else { continue };
            let is_attacker = attack.is_of(address);
            if used.insert(world.book.grouping().group(*address), is_attacker).is_none() && !is_attacker {
                break;
            }
        }
        captured += u32::from(used.values().all(|is_attacker| *is_attacker));
    }
    (one, captured)
}

fn eclipse(groups: usize, runs: u64, seed: u64) {
    let (mut all, mut one, mut worst) = (0.0, 0.0, 0.0_f64);
    let (mut slot_one, mut slot_captured) = (0.0, 0);
    let mut shares = [0.0; 2];
    for run in 0..runs {
        let mut world = World::new(seed + run);
        let attack = Attack::with_groups(groups, &world.honest, &mut world.rng);
        world.run(DAYS, &attack);
        world.restart();
        let now = world.now();
        let chance = world.book.capture_probability(OUTBOUND, now, |address| attack.is_of(address));
        all += chance;
        worst = worst.max(chance);
        one += world.book.capture_probability(1, now, |address| attack.is_of(address));
        for (share, is_tried) in shares.iter_mut().zip([true, false]) {
            let table: Vec<_> = world.book.entries().filter(|it| it.is_tried == is_tried).collect();
            let attackers = table.iter().filter(|entry| attack.is_of(&entry.address)).count();
            *share += attackers as f64 / table.len() as f64;
        }
        let (chance, captured) = by_slot(&mut world, &attack);
        slot_one += chance;
        slot_captured += captured;
    }
    let mean = |sum: f64| sum / runs as f64;
    let slot_one = mean(slot_one);
    let slot_all = if slot_captured > 0 {
        format!("{:.1e}", f64::from(slot_captured) / f64::from(SLOT_TRIALS) / runs as f64)
    } else {
        format!("~{:.0e}", slot_one.powi(OUTBOUND as i32))
    };
    println!(
        "| {groups} x 256 | {:.1} % | {:.1} % | {:.2} % | {:.1e} | {worst:.1e} | {:.1} % | {slot_all} |",
        mean(shares[0]) * 100.0,
        mean(shares[1]) * 100.0,
        mean(one) * 100.0,
        mean(all),
        slot_one * 100.0,
    );
}

fn flood(runs: u64, seed: u64) {
    let mut lost = [[0.0_f64; 2]; 2];
    let mut before = [0; 2];
    for run in 0..runs {
        // Two copies of one world, up to the flood.
        let mut worlds = [World::new(seed + run), World::new(seed + run)];
        for world in &mut worlds {
            world.run(DAYS, &Attack::default());
        }
        let [mut quiet, mut flooded] = worlds;
        let attack = Attack::flood(&mut Rng::from_number(seed + run).fork("flood"));
        let at_first = quiet.honest_entries();
        quiet.run(1, &Attack::default());
        flooded.run(1, &attack);
        let (control, after) = (quiet.honest_entries(), flooded.honest_entries());
        for table in 0..2 {
            before[table] += at_first[table].len();
            let missing = control[table].len() as f64 - after[table].len() as f64;
            lost[0][table] += missing / control[table].len() as f64;
            // What was promoted to tried is not lost.
            let alive = at_first[table].iter().filter(|it| flooded.honest.is_alive.contains(it));
            let gone = alive.clone().filter(|it| flooded.book.get(**it).is_none()).count();
            lost[1][table] += gone as f64 / alive.count() as f64;
        }
    }
    for (table, name) in ["tried", "new"].into_iter().enumerate() {
        println!(
            "| {name} | {} | {:.2} % | {:.2} % |",
            before[table] / runs as usize,
            lost[0][table] * 100.0 / runs as f64,
            lost[1][table] * 100.0 / runs as f64,
        );
    }
}

fn inserts() {
    let mut world = World::new(1);
    let told: Vec<SocketAddr> =
        (0..80_000).map(|_| address(prefix(&mut world.rng), &mut world.rng)).collect();
    let sources: Vec<SocketAddr> =
        (0..1_000).map(|_| address(prefix(&mut world.rng), &mut world.rng)).collect();
    let (now, start) = (world.now(), cpu_seconds());
    for (address, source) in told.iter().zip(sources.iter().cycle()) {
        let _ = world.book.add(*address, Source::Peer(*source), now);
    }
    let millis = (cpu_seconds() - start) * 1e3;
    println!("80,000 inserts: {millis:.0} ms of CPU time, {} are in the book", world.book.len());
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (mut runs, mut seed) = (10, 1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse().ok()).expect("a number");
        match argument.as_str() {
            "--runs" => runs = number(),
            "--seed" => seed = number(),
            other => panic!("{other} is not known: --runs N, --seed N"),
        }
    }

    println!("Eclipse, {runs} runs of {DAYS} days:\n");
    println!(
        "| attacker | of tried | of new | one draw | all {OUTBOUND} | worst run | by slot: one | by slot: all |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for groups in [64, 256] {
        eclipse(groups, runs, seed);
    }
    let runs = runs.div_ceil(10);
    println!("\nFlood, {FLOOD_CONNECTIONS} connections for 24 hours, {runs} runs:\n");
    println!("| table | honest before | fewer than without flood | of those before, gone |");
    println!("|---|---|---|---|");
    flood(runs, seed);
    println!();
    inserts();
    println!("{:.0} s of CPU time in all", cpu_seconds());
}
