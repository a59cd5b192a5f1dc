//! The production node in simulated networks in which everything goes wrong that can, and the
//! command that runs them.
//!
//! Seeds per scenario: 30, or as many as `SPACETIME_SEEDS` says.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use spacetime_network::app::sim::{ChainLie, Outcome, Scenario, Summary, run_seed, run_seeds, shrink};
use spacetime_simulator::{FaultKind, Misdeed};

fn load(name: &str) -> Scenario {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/scenarios/{name}.toml"));
    Scenario::load(path.to_str().unwrap()).unwrap()
}

fn seeds(default: u64) -> Vec<u64> {
    let given = std::env::var("SPACETIME_SEEDS").ok().map(|text| text.parse().unwrap());
    (0..given.unwrap_or(default)).collect()
}

fn without_time(outcome: &Outcome) -> Outcome {
    let mut outcome = outcome.clone();
    outcome.cpu_seconds = 0.0;
    outcome
}

/// Runs all seeds of a scenario; none may fail. A failing one is named with the command that runs
/// it again.
fn all_hold(name: &str) -> Vec<Outcome> {
    let scenario = load(name);
    seeds_hold(&scenario, &seeds(scenario.seeds))
}

fn seeds_hold(scenario: &Scenario, seeds: &[u64]) -> Vec<Outcome> {
    let name = &scenario.name;
    let outcomes = run_seeds(scenario, seeds, 2, |_| {});
    let summary = Summary::of(&outcomes);
    assert!(
        summary.failing.is_empty(),
        "{}",
        summary.failing.iter().fold(String::new(), |text, (seed, what)| {
            text + &format!("{what}\n    spacetime sim replay {seed} --scenario {name} --trace\n")
        })
    );
    outcomes
}

#[test]
fn fifty_nodes_stand_every_kind_of_fault_and_every_kind_happens() {
    let outcomes = all_hold("everything");
    let fired: BTreeSet<_> = outcomes.iter().flat_map(|it| it.faults.keys().cloned()).collect();
    let names = FaultKind::NAMES.into_iter().chain(Misdeed::ALL.map(Misdeed::name));
    for name in names {
        assert!(fired.contains(name), "no {name} in {} seeds", outcomes.len());
    }
    // The same again, in another order and on one thread.
    let scenario = load("everything");
    for outcome in outcomes.iter().take(3) {
        let again = run_seed(&scenario, outcome.seed, None);
        assert_eq!(without_time(&again), without_time(outcome), "seed {}", outcome.seed);
    }
}

#[test]
fn nodes_that_may_send_and_take_little_stand_every_kind_of_fault() {
    let scenario = load("shaped");
    let outcomes = all_hold("shaped");
    // Deadlines that were in the past after they had fired: of a peer that all others came to wait for
    // later than its time was over, and of the first ban after a minute.
    seeds_hold(&scenario, &[75, 152]);
    // The limits are felt: floods and whole chains wait for them.
    let mut unlimited = scenario.clone();
    unlimited.bandwidth = Default::default();
    for outcome in outcomes.iter().take(3) {
        let again = run_seed(&scenario, outcome.seed, None);
        assert_eq!(without_time(&again), without_time(outcome), "seed {}", outcome.seed);
        let quicker = run_seed(&unlimited, outcome.seed, None);
        let (slow, quick) = (outcome.propagation_ms[0], quicker.propagation_ms[0]);
        assert!(slow > quick, "half have an item after {slow} ms, and after {quick} ms without limits");
    }
}

#[test]
fn nothing_that_liars_send_to_the_relay_goes_further_and_only_they_are_charged() {
    let scenario = load("relay_liars");
    let outcomes = all_hold("relay_liars");
    for lie in scenario.relay_liars.keys() {
        assert!(outcomes.iter().all(|it| it.faults[lie] > 0), "{lie}");
    }
    for outcome in outcomes.iter().take(3) {
        let again = run_seed(&scenario, outcome.seed, None);
        assert_eq!(without_time(&again), without_time(outcome), "seed {}", outcome.seed);
    }
}

#[test]
fn nodes_that_know_one_other_each_form_one_network_with_full_pools() {
    all_hold("discovery");
}

#[test]
fn a_network_of_which_half_loses_its_power_is_one_again_soon_after() {
    let outcomes = all_hold("discovery_crash");
    assert!(outcomes.iter().all(|it| it.faults["crash"] == 25));
}

#[test]
fn a_network_that_was_in_two_parts_for_ten_minutes_is_one_again_soon_after() {
    let outcomes = all_hold("discovery_partition");
    assert!(outcomes.iter().all(|it| it.faults["partition"] == 1));
}

/// Downloads of a chain, 10 seeds at most, as 50 of all three take a quarter of an hour:
/// `spacetime sim run` has more.
fn downloads_hold(name: &str) -> Vec<Outcome> {
    let scenario = load(name);
    let mut seeds = seeds(scenario.seeds);
    seeds.truncate(10);
    let outcomes = seeds_hold(&scenario, &seeds);
    for outcome in outcomes.iter().take(2) {
        let again = run_seed(&scenario, outcome.seed, None);
        assert_eq!(without_time(&again), without_time(outcome), "seed {}", outcome.seed);
    }
    outcomes
}

#[test]
fn a_chain_comes_from_sixteen_honest_peers_with_little_else() {
    downloads_hold("download_0_liars");
}

#[test]
fn a_chain_comes_from_sixteen_peers_of_which_half_lie() {
    downloads_hold("download_8_liars");
}

#[test]
fn a_chain_comes_from_sixteen_peers_of_which_one_is_honest_and_every_lie_is_told() {
    let outcomes = downloads_hold("download_15_liars");
    for lie in ChainLie::ALL {
        let told = |outcome: &Outcome| outcome.faults.contains_key(lie.name());
        assert!(outcomes.iter().any(told), "no {} in {} seeds", lie.name(), outcomes.len());
    }
}

#[test]
fn every_scenario_there_is_can_be_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let scenario = Scenario::load(path.to_str().unwrap()).unwrap();
        assert_eq!(Some(&*scenario.name), path.file_stem().unwrap().to_str());
        assert!(names.insert(scenario.name));
    }
    assert!(names.contains("everything"));
}

#[test]
fn scenarios_that_make_no_sense_are_refused_with_a_reason() {
    for (text, reason) in [
        ("nodes = 1", "nodes must be between 2 and 10000"),
        ("degree = 0", "degree must be between 1 and 1000"),
        ("seconds = 0", "seconds must be between 1 and 86400, converge_seconds at most 86400"),
        ("[traffic]\nitem_bytes = 70000", "item_bytes must be at most 65000"),
        ("[byzantine]\nflooding = 1000000000", "of each misdeed there can be at most 1000 peers"),
        ("[chances]\nmeteor = { percent_of_runs = 1, per_minute = 1.0 }", "there is no fault \"meteor\""),
        (
            "[chances]\npause = { percent_of_runs = 1, per_minute = inf }",
            "the chance of pause: per_minute must be between 0 and 100000",
        ),
        ("[chances]\nkill = { percent_of_runs = 1, per_minute = nan }", "per_minute must be between"),
        ("[chances]\nkill = { percent_of_runs = 1, per_minute = -1.0 }", "per_minute must be between"),
        (
            "[chances]\nclog = { percent_of_runs = 1, per_minute = 1.0, seconds = [2.0, 1.0] }",
            "the chance of clog: seconds must be two numbers from 0 to 86400, the smaller one first",
        ),
        (
            "[chances]\nclog = { percent_of_runs = 1, per_minute = 1.0, seconds = [0.0, inf] }",
            "seconds must be two numbers",
        ),
        (
            "[chances]\nclog = { percent_of_runs = 101, per_minute = 1.0 }",
            "percent_of_runs must be at most 100",
        ),
        ("[byzantine]\npolite = 1", "there is no misdeed \"polite\""),
        ("[relay_liars]\nwhite = 1", "there is no lie \"white\""),
        ("[relay_liars]\ninvalid_items = 1001", "of each misdeed there can be at most 1000 peers"),
        ("[traffic]\nproof_bytes = 1048577", "proof_bytes must be at most 1048576"),
        ("colour = 1", "unknown field"),
    ] {
        let why = Scenario::parse(text).unwrap_err();
        assert!(why.contains(reason), "{text}: {why}");
    }
}

#[test]
fn what_a_node_received_before_it_was_killed_counts() {
    let text = "nodes = 3\ndegree = 2\n[traffic]\nitem_every_ms = 100";
    let kill = |number: u64| {
        format!("\n[[faults]]\nat_ms = 59_900\nduration_ms = 100\nwhat = {{ kill = {number} }}")
    };
    let whole = run_seed(&Scenario::parse(text).unwrap(), 1, None);
    let killed = run_seed(&Scenario::parse(&(text.to_owned() + &kill(0) + &kill(1))).unwrap(), 1, None);
    assert!(killed.ok && killed.faults["kill"] == 2, "{killed:?}");
    for (before, after) in [
        (whole.messages as f64, killed.messages as f64),
        (whole.duplicates_per_delivery, killed.duplicates_per_delivery),
        (whole.bytes_per_delivery, killed.bytes_per_delivery),
    ] {
        assert!(before > 0.0 && (0.9..1.1).contains(&(after / before)), "{whole:?} {killed:?}");
    }
}

/// A network that cannot do what is demanded of it, and faults that have nothing to do with it.
fn impossible() -> Scenario {
    let mut scenario = load("everything");
    scenario.nodes = 5;
    scenario.seconds = 60;
    scenario.converge_seconds = 0;
    scenario
}

#[test]
fn a_failing_run_is_cut_down_to_the_faults_it_needs() {
    let scenario = impossible();
    let failing = (0..20).find(|seed| !run_seed(&scenario, *seed, None).ok).expect("some run fails");
    let smaller = shrink(&scenario, failing, |_, _| {}).expect("it fails");
    let before = scenario.faults_of(failing).len();
    assert!(smaller.faults.len() < before / 2, "{} of {before} faults", smaller.faults.len());
    let outcome = run_seed(&smaller, failing, None);
    assert!(!outcome.ok);
    // What is written down is the same scenario.
    let written = toml::to_string(&smaller).unwrap();
    assert_eq!(Scenario::parse(&written).unwrap(), smaller);
    assert_eq!(run_seed(&Scenario::parse(&written).unwrap(), failing, None).audit, outcome.audit);
}

fn spacetime(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_spacetime"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("sim")
        .args(arguments)
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_command_runs_replays_and_compares() {
    let folder = tempfile::tempdir().unwrap();
    let small = folder.path().join("small.toml");
    std::fs::write(&small, "name = \"small\"\nnodes = 4\nseconds = 20\n").unwrap();
    let small = small.to_str().unwrap();
    let reports: Vec<_> = ["1", "2"]
        .into_iter()
        .map(|jobs| {
            let report = folder.path().join(format!("{jobs}.json")).to_str().unwrap().to_owned();
            let arguments = ["run", small, "--seeds", "3..7", "--jobs", jobs, "--json", &report];
            let (code, said) = spacetime(&arguments);
            assert_eq!(code, Some(0), "{said}");
            assert!(said.contains("runs                    4 (0 failing)"), "{said}");
            report
        })
        .collect();
    let lines: Vec<Outcome> = std::fs::read_to_string(&reports[0])
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.iter().map(|it| it.seed).collect::<Vec<_>>(), [3, 4, 5, 6]);

    let (code, said) = spacetime(&["compare", &reports[0], &reports[1]]);
    assert_eq!(code, Some(0));
    assert!(said.starts_with("4 seeds in both reports, 4 of them the same run"), "{said}");

    let (code, said) = spacetime(&["replay", "5", "--scenario", small, "--trace"]);
    assert_eq!(code, Some(0));
    let (trace, outcome) = said.trim_end().rsplit_once('\n').unwrap();
    assert!(trace.lines().count() > 100);
    let outcome: Outcome = serde_json::from_str(outcome).unwrap();
    assert_eq!(outcome.audit, lines[2].audit);
}

#[test]
fn a_campaign_that_is_interrupted_leaves_what_it_had_in_the_order_of_the_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let small = folder.path().join("small.toml");
    std::fs::write(&small, "name = \"small\"\nnodes = 4\nseconds = 20\n").unwrap();
    let report = folder.path().join("report.json");
    let mut campaign = Command::new(env!("CARGO_BIN_EXE_spacetime"))
        .args(["sim", "run", small.to_str().unwrap(), "--seeds", "0..5000", "--jobs", "2", "--json"])
        .arg(&report)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let lines = || std::fs::read_to_string(&report).unwrap_or_default().lines().count();
    while lines() < 5 && campaign.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(campaign.try_wait().unwrap().is_none(), "it goes on");
    campaign.kill().unwrap();
    campaign.wait().unwrap();
    let text = std::fs::read_to_string(&report).unwrap();
    let seeds: Vec<_> =
        text.lines().map(|line| serde_json::from_str::<Outcome>(line).unwrap().seed).collect();
    assert_eq!(seeds, Vec::from_iter(0..seeds.len() as u64));
}

#[test]
fn a_failing_seed_is_named_with_the_command_that_runs_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("impossible.toml");
    std::fs::write(&path, toml::to_string(&impossible()).unwrap()).unwrap();
    let path = path.to_str().unwrap();
    let (code, said) = spacetime(&["run", path, "--seeds", "0..20"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("spacetime sim replay "), "{said}");
    let (code, _) = spacetime(&["shrink", "0", "--scenario", "no such file"]);
    assert_eq!(code, Some(78));
}
