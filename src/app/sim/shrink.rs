//! Cutting a failing run down to the faults that it needs.

use spacetime_simulator::{Fault, Plan};

use super::runner::{Outcome, run_seed};
use super::scenario::Scenario;

/// Runs that cutting down may take.
const MAX_RUNS: usize = 400;

/// A scenario that still fails in the same way, with as few faults as could be found. None if the
/// seed does not fail.
pub fn shrink(scenario: &Scenario, seed: u64, mut on_run: impl FnMut(usize, usize)) -> Option<Scenario> {
    let first = run_seed(scenario, seed, None);
    let failure = Failing::of(&first)?;
    let mut faults = scenario.faults_of(seed);
    let mut runs = 0;
    let mut fails = |faults: &[Fault]| {
        runs += 1;
        on_run(runs, faults.len());
        let cut = with_faults(scenario, seed, faults);
        runs <= MAX_RUNS && Failing::of(&run_seed(&cut, seed, None)).as_ref() == Some(&failure)
    };
    let mut chunk = faults.len().div_ceil(2).max(1);
    while !faults.is_empty() {
        let mut start = 0;
        let before = faults.len();
        while start < faults.len() {
            let mut fewer = faults.clone();
            fewer.drain(start..(start + chunk).min(faults.len()));
            if fails(&fewer) {
                faults = fewer;
            } else {
                start += chunk;
            }
        }
        if chunk == 1 && faults.len() == before {
            break;
        }
        chunk = (chunk / 2).max(1);
    }
    Some(with_faults(scenario, seed, &faults))
}

fn with_faults(scenario: &Scenario, seed: u64, faults: &[Fault]) -> Scenario {
    let mut cut = scenario.clone();
    cut.name = format!("{}-{seed}", scenario.name.trim_end_matches(&format!("-{seed}")));
    cut.faults = faults.to_vec();
    // No fault at all is a list as well.
    cut.chances = Plan::default();
    cut
}

/// In which way a run fails: whose judgement it was, without names and numbers of the run.
#[derive(PartialEq, Eq)]
struct Failing(String);

impl Failing {
    fn of(outcome: &Outcome) -> Option<Self> {
        let what = outcome.safety.first().or_else(|| outcome.liveness.first())?;
        let judge: String = what.chars().take_while(|it| *it != ':').collect();
        Some(Self(judge))
    }
}
