//! How fast a node gets a chain from others over loopback into its store, beside what the same bytes
//! cost over one bare connection.
//!
//! `cargo bench --bench sync [-- --blocks N] [--block-bytes B] [--rounds N] [--headers N] [--json FILE]`.
//! By default 10,000 blocks of 100 KiB and two rounds, which takes some minutes and 11 GB in the folder for
//! temporary files; `--blocks 500` is a first look.
//!
//! Eight `spacetime` processes serve the chain, each from a store of its own, and one process with an
//! empty folder synchronises, encrypted as by default, without limits of bandwidth; the time is taken from
//! its start until its tip is the last block. The *floor* is one bare TCP connection in this process: a thread
//! reads the blocks from a store and writes them with their lengths, another one reads, checks (layout,
//! hashes, the root of the transactions) and stores them, in batches of the same size, in a store of the
//! same kind. The best of all rounds is printed, by time.
//!
//! With the limits of bandwidth that a node has by default everything waits for these; that row is what
//! comes in 15 s.
//!
//! Headers: 1,000,000, each with the smallest body that there is, checked and stored by one thread, as many
//! at once as a message holds. CPU time of that thread, and what the process holds of memory.

#![allow(clippy::print_stdout, reason = "a benchmark prints its results")]

mod floor;
mod headers;
mod processes;

use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use processes::Servers;
use spacetime_network::chain::{ChainRules as _, HEADER_BYTES, SpacetimeRules, development_genesis};
use spacetime_network::store::{CheckedBlock, RedbStore};

/// Nodes that serve the chain.
const SERVERS: usize = 8;

/// For how long a node synchronises with the limits that it has by default.
const LIMITED_TIME: Duration = Duration::from_secs(15);

/// One line of the table.
struct Row {
    name: String,
    blocks: u64,
    bytes: u64,
    seconds: f64,
    /// Of the one that synchronises, and of those that serve.
    cpu_seconds: [f64; 2],
    /// The most that the one that synchronises has held; none where it is not a process of its own.
    peak_bytes: Option<u64>,
}

impl Row {
    fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "run": self.name,
            "blocks": self.blocks,
            "bytes": self.bytes,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds[0],
            "cpu_seconds_of_servers": self.cpu_seconds[1],
            "peak_resident_bytes": self.peak_bytes,
        })
    }

    /// `floor_seconds` is what the floor took for the same, if it has done the same.
    fn line(&self, floor_seconds: Option<f64>) -> String {
        let Self { name, blocks, bytes, seconds, cpu_seconds, peak_bytes } = self;
        let ratio = floor_seconds.map_or_else(|| "-".to_owned(), |floor| format!("{:.2}", seconds / floor));
        let peak = peak_bytes.map_or_else(|| "-".to_owned(), |bytes| (bytes >> 20).to_string());
        format!(
            "| {name} | {:.0} | {:.0} | {ratio} | {:.0} | {:.0} | {peak} |",
            *blocks as f64 / seconds,
            *bytes as f64 / seconds / 1e6,
            cpu_seconds[0] * 1e6 / *blocks as f64,
            cpu_seconds[1] * 1e6 / *blocks as f64,
        )
    }
}

#[derive(Clone, Copy, Debug)]
enum Run {
    Floor,
    Parallel(usize),
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Floor => f.write_str("floor"),
            Self::Parallel(peers) => write!(f, "{peers} parallel"),
        }
    }
}

const RUNS: [Run; 4] = [Run::Floor, Run::Parallel(1), Run::Parallel(4), Run::Parallel(8)];

fn rules() -> SpacetimeRules {
    SpacetimeRules::new(&development_genesis()).expect("the genesis block is well-formed")
}

fn open_store(folder: &Path) -> RedbStore {
    let bytes = &development_genesis();
    let info = rules().check_block(bytes).expect("the genesis block is well-formed");
    let genesis = CheckedBlock { info, header: &bytes[..HEADER_BYTES], bytes };
    RedbStore::open(&folder.join("chain.redb"), genesis).expect("the store opens")
}

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (mut blocks, mut block_bytes, mut rounds, mut headers) = (10_000, 100 << 10, 2, 1_000_000);
    let mut json = None;
    while let Some(argument) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        match argument.as_str() {
            "--blocks" => blocks = value.parse().expect("a number of blocks"),
            "--block-bytes" => block_bytes = value.parse().expect("a number of bytes"),
            "--rounds" => rounds = value.parse().expect("a number of rounds"),
            "--headers" => headers = value.parse().expect("a number of headers"),
            "--json" => json = Some(value),
            other => panic!("there is no option {other}"),
        }
    }
    let mut lines = Vec::new();
    if blocks > 0 {
        let folder = tempfile::tempdir()?;
        let servers = Servers::new(folder.path(), SERVERS, blocks, block_bytes);
        println!(
            "| run | blocks/s | MB/s | x floor | CPU us/block | CPU us/block, servers | peak resident MiB |"
        );
        println!("|---|---|---|---|---|---|---|");
        let mut best: [Option<Row>; RUNS.len()] = Default::default();
        for round in 0..rounds {
            for (run, best) in RUNS.into_iter().zip(&mut best) {
                let target = folder.path().join(format!("{run} {round}"));
                let mut row = match run {
                    Run::Floor => floor::run(&servers.spare_chain(), &target, blocks),
                    Run::Parallel(peers) => servers.sync(&target, peers, None),
                };
                row.name = run.to_string();
                std::fs::remove_dir_all(&target)?;
                if best.as_ref().is_none_or(|before| row.seconds < before.seconds) {
                    *best = Some(row);
                }
            }
        }
        let mut rows: Vec<_> = best.into_iter().flatten().collect();
        let mut limited = servers.sync(&folder.path().join("limited"), 4, Some(LIMITED_TIME));
        limited.name = "default limits".into();
        rows.push(limited);
        let floor_seconds = rows.first().map(|row| row.seconds);
        for row in &rows {
            println!("{}", row.line(floor_seconds.filter(|_| row.blocks == blocks)));
            lines.push(row.to_json());
        }
    }
    if headers > 0 {
        lines.extend(headers::run(headers));
    }
    if let Some(path) = json {
        let mut file = std::fs::File::create(path)?;
        for line in lines {
            writeln!(file, "{line}")?;
        }
    }
    Ok(())
}
