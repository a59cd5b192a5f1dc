//! Drawing what goes wrong in a run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use spacetime_core::Rng;

use super::{Fault, FaultKind, Partition, Shape};

/// The most faults of one kind in a run.
const MAX_FAULTS_PER_KIND: u64 = 10_000;

/// The most faults of one kind in a minute, and the longest one, in seconds: a day.
const MAX_PER_MINUTE: f64 = 100_000.0;
const MAX_SECONDS: f64 = 86_400.0;

/// How likely a kind of fault is.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chance {
    /// Runs of a hundred in which it happens at all: a fault that is always there hides others.
    pub percent_of_runs: u64,
    /// How often it happens in a minute, over the whole network.
    pub per_minute: f64,
    /// How long it lasts at least and at most, in seconds.
    #[serde(default)]
    pub seconds: (f64, f64),
}

impl Chance {
    fn validate(&self) -> Result<(), String> {
        let Self { percent_of_runs, per_minute, seconds: (shortest, longest) } = *self;
        if percent_of_runs > 100 {
            return Err("percent_of_runs must be at most 100".into());
        }
        // None of these holds of what is not a number.
        if !(0.0..=MAX_PER_MINUTE).contains(&per_minute) {
            return Err(format!("per_minute must be between 0 and {MAX_PER_MINUTE}"));
        }
        if !(shortest >= 0.0 && longest >= shortest && longest <= MAX_SECONDS) {
            return Err(format!(
                "seconds must be two numbers from 0 to {MAX_SECONDS}, the smaller one first"
            ));
        }
        Ok(())
    }
}

/// How likely each kind of fault is, by the names of [`FaultKind::NAMES`].
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Plan {
    chances: BTreeMap<String, Chance>,
}

impl Plan {
    /// Sets how likely a kind is.
    #[must_use]
    pub fn with(mut self, kind: &str, chance: Chance) -> Self {
        self.chances.insert(kind.into(), chance);
        self
    }

    /// Whether it can be drawn from; else why not.
    pub fn validate(&self) -> Result<(), String> {
        for (name, chance) in &self.chances {
            if !FaultKind::NAMES.contains(&&**name) {
                return Err(format!("there is no fault {name:?}"));
            }
            chance.validate().map_err(|why| format!("the chance of {name}: {why}"))?;
        }
        Ok(())
    }

    /// The faults of a run, in the order of time. At most 10,000 of each kind; nothing of what makes
    /// no sense.
    pub fn draw(&self, rng: &Rng, duration: Duration) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (name, chance) in self.chances.iter().filter(|(_, chance)| chance.validate().is_ok()) {
            // A stream for each kind: another chance of one does not shift the others.
            let mut rng = rng.fork(name);
            if !rng.chance(chance.percent_of_runs, 100) {
                continue;
            }
            let expected = chance.per_minute * duration.as_secs_f64() / 60.0;
            let count =
                (expected as u64 + u64::from(unit(&mut rng) < expected.fract())).min(MAX_FAULTS_PER_KIND);
            for _ in 0..count {
                let at_ms = rng.below((duration.as_millis() as u64).max(1));
                let (shortest, longest) = chance.seconds;
                let seconds = shortest + (longest - shortest).max(0.0) * unit(&mut rng);
                let Some(what) = draw_kind(name, &mut rng) else { continue };
                faults.push(Fault { at_ms, duration_ms: (seconds * 1000.0) as u64, what });
            }
        }
        faults.sort_by_key(|fault| fault.at_ms);
        faults
    }
}

/// A number from 0 to 1.
fn unit(rng: &mut Rng) -> f64 {
    rng.below(1 << 32) as f64 / (1_u64 << 32) as f64
}

fn draw_kind(name: &str, rng: &mut Rng) -> Option<FaultKind> {
    // Small enough for every format that scenarios are written in.
    let number = rng.below(1 << 32);
    Some(match name {
        "connection_loss" => FaultKind::ConnectionLoss(number),
        "half_open" => FaultKind::HalfOpen(number),
        "corruption" => FaultKind::Corruption(number),
        "truncation" => FaultKind::Truncation(number),
        "clog" => FaultKind::Clog(number),
        "refused_dials" => FaultKind::RefusedDials(number),
        "slow_reader" => FaultKind::SlowReader(number),
        "partition" => {
            let shape = *rng.pick(&[Shape::Isolated, Shape::Halves, Shape::Random])?;
            FaultKind::Partition(Partition { shape, number, one_way: rng.chance(1, 3) })
        }
        "crash" => FaultKind::Crash(number),
        "torn_write" => FaultKind::TornWrite(number),
        "kill" => FaultKind::Kill(number),
        "pause" => FaultKind::Pause(number),
        "clock_jump" => {
            let seconds = *rng.pick(&[-1_000_000, -3600, -60, -1, 1, 60, 3600, 1_000_000])?;
            FaultKind::ClockJump { node: number, seconds }
        }
        "clock_drift" => {
            let parts_per_million = *rng.pick(&[-100_000, -1000, 1000, 100_000])?;
            FaultKind::ClockDrift { node: number, parts_per_million }
        }
        "slow_disk" => FaultKind::SlowDisk(number),
        "failing_disk" => FaultKind::FailingDisk(number),
        "full_disk" => FaultKind::FullDisk(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let chance = Chance { percent_of_runs: 100, per_minute: 2.5, seconds: (1.0, 30.0) };
        FaultKind::NAMES.into_iter().fold(Plan::default(), |plan, name| plan.with(name, chance))
    }

    #[test]
    fn every_kind_is_drawn_as_often_as_it_should_be() {
        let faults = plan().draw(&Rng::from_number(1), Duration::from_secs(240));
        for name in FaultKind::NAMES {
            let count = faults.iter().filter(|fault| fault.what.name() == name).count();
            assert_eq!(count, 10, "{name}");
        }
        assert!(faults.is_sorted_by_key(|fault| fault.at_ms));
        assert!(faults.iter().all(|fault| (1000..=30_000).contains(&fault.duration_ms)));
    }

    #[test]
    fn one_kind_does_not_shift_another() {
        let rng = Rng::from_number(2);
        let all = plan().draw(&rng, Duration::from_secs(60));
        let chance = Chance { percent_of_runs: 0, per_minute: 0.0, seconds: (0.0, 0.0) };
        let without = plan().with("pause", chance).draw(&rng, Duration::from_secs(60));
        let rest: Vec<_> = all.into_iter().filter(|fault| fault.what.name() != "pause").collect();
        assert_eq!(rest, without);
    }

    #[test]
    fn some_runs_go_without_a_kind() {
        let chance = Chance { percent_of_runs: 50, per_minute: 10.0, seconds: (1.0, 1.0) };
        let plan = Plan::default().with("kill", chance);
        let with =
            (0..100).filter(|seed| !plan.draw(&Rng::from_number(*seed), Duration::from_secs(60)).is_empty());
        assert!((30..70).contains(&with.count()));
    }

    #[test]
    fn names_and_numbers_are_checked() {
        assert_eq!(plan().validate(), Ok(()));
        let chance = Chance { percent_of_runs: 1, per_minute: 1.0, seconds: (1.0, 1.0) };
        assert_eq!(plan().with("meteor", chance).validate(), Err("there is no fault \"meteor\"".into()));
        for wrong in [
            Chance { percent_of_runs: 101, ..chance },
            Chance { per_minute: f64::INFINITY, ..chance },
            Chance { per_minute: f64::NAN, ..chance },
            Chance { per_minute: -0.5, ..chance },
            Chance { seconds: (2.0, 1.0), ..chance },
            Chance { seconds: (f64::NAN, 1.0), ..chance },
            Chance { seconds: (1.0, f64::INFINITY), ..chance },
        ] {
            let wrong = Plan::default()
                .with("kill", Chance { percent_of_runs: wrong.percent_of_runs.max(100), ..wrong });
            assert!(wrong.validate().is_err(), "{wrong:?}");
            assert_eq!(wrong.draw(&Rng::from_number(1), Duration::from_secs(60)), []);
        }
    }
}
