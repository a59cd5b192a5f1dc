//! Does the simulator find the bugs that it is there for? They are planted one after the other.
#![allow(clippy::print_stdout)]

use spacetime_core::canary::{Canary, plant};
use spacetime_network::app::sim::{Scenario, run_seed};

/// Seeds in which a bug must be found.
const MAX_SEEDS: u64 = 1000;

/// Seeds of each scenario that must be clean when nothing is planted.
const CLEAN_SEEDS: u64 = 20;

/// In which scenario to look for a bug.
const fn scenario_of(canary: Canary) -> &'static str {
    match canary {
        Canary::ForgottenDeadline | Canary::StuckDeadline => "half_open",
        Canary::TieBreakRemoved | Canary::SecondSession | Canary::ForgottenRedial => "simultaneous_dials",
        Canary::WrongPeerCharged | Canary::MessageAfterClose => "misdeeds",
        Canary::LostTimeout => "download_15_liars",
        Canary::LeakedDial | Canary::ForgottenDialTimeout => "refused_dials",
        Canary::UnboundedQueue => "slow_readers",
        Canary::LostWritable => "slow_lines",
        Canary::MissingSync | Canary::UncutLog => "torn_disks",
        _ => "crowded",
    }
}

fn load(name: &str) -> Scenario {
    Scenario::load(name).expect("the scenario can be read")
}

/// What is said of a seed; nothing if all is well.
fn complaint(scenario: &Scenario, seed: u64) -> Option<String> {
    let outcome = run_seed(scenario, seed, None);
    outcome.safety.into_iter().chain(outcome.liveness).next()
}

/// One test, since what is planted is planted in the whole process.
#[test]
fn every_planted_bug_is_found_and_without_one_nothing_is() {
    let mut names = Canary::ALL.map(scenario_of).to_vec();
    names.sort_unstable();
    names.dedup();
    let mut failures = Vec::new();
    for name in names {
        let scenario = load(name);
        // A download takes as long as twenty seeds of the others.
        let seeds = if scenario.download.is_some() { 3 } else { CLEAN_SEEDS };
        let unclean = (0..seeds).find_map(|seed| Some((seed, complaint(&scenario, seed)?)));
        failures.extend(unclean.map(|(seed, what)| format!("{name}, seed {seed}, nothing planted: {what}")));
    }
    for canary in Canary::ALL {
        let scenario = load(scenario_of(canary));
        plant(Some(canary));
        let found = (0..MAX_SEEDS).find_map(|seed| Some((seed, complaint(&scenario, seed)?)));
        plant(None);
        match found {
            Some((seed, what)) => println!("{canary:?}: {} seed {seed}, {what}", scenario.name),
            None => failures.push(format!("{canary:?} is not found")),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
