//! Headers, as many as there are: checked one by one and stored by one thread.

use rustix::time::{ClockId, clock_gettime};
use spacetime_network::chain::{ChainRules as _, DevelopmentBranch, HEADER_BYTES};
use spacetime_network::store::{ChainStore as _, CheckedBlock};

use crate::{open_store, rules};

/// What is stored at once.
const BATCH: usize = 2000;

/// CPU time of this thread, in seconds.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// What this process holds of memory, in MiB.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() / 1024
}

/// Prints a table; its lines as JSON.
pub(crate) fn run(count: u64) -> Vec<serde_json::Value> {
    let rules = rules();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let store = open_store(folder.path());
    let mut parent = rules.check_block(rules.genesis()).expect("the genesis block is well-formed");
    let mut blocks = DevelopmentBranch::new(rules.genesis(), 1000).expect("it has a header");
    let (mut checking, mut storing) = (0.0, 0.0);
    let (mut stored, mut resident_early) = (0, 0);
    while stored < count {
        let made: Vec<_> = blocks.by_ref().take(BATCH).collect();
        let began = cpu_seconds();
        let checked: Vec<_> = made
            .iter()
            .map(|block| {
                let info = rules.check_block(block).expect("the block is good");
                rules.check_link(&parent, &info).expect("it follows");
                parent = info;
                CheckedBlock { info, header: &block[..HEADER_BYTES], bytes: block }
            })
            .collect();
        let middle = cpu_seconds();
        store.append(&checked).expect("the store is good");
        storing += cpu_seconds() - middle;
        checking += middle - began;
        stored += made.len() as u64;
        if stored * 4 <= count {
            resident_early = resident_mib();
        }
    }
    let resident = resident_mib();
    println!("| headers | checked/s | stored/s | both/s | resident MiB after a quarter | at the end |");
    println!("|---|---|---|---|---|---|");
    let rate = |seconds: f64| stored as f64 / seconds;
    let (checked, written, both) = (rate(checking), rate(storing), rate(checking + storing));
    println!("| {stored} | {checked:.0} | {written:.0} | {both:.0} | {resident_early} | {resident} |");
    vec![serde_json::json!({
        "run": "headers",
        "headers": stored,
        "checking_seconds": checking,
        "storing_seconds": storing,
        "resident_mib_after_a_quarter": resident_early,
        "resident_mib": resident,
    })]
}
