//! What many runs come to.

use std::collections::BTreeMap;
use std::fmt;

use super::runner::Outcome;

/// A summary of runs of one scenario.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// Runs.
    pub runs: usize,
    /// Runs in which something did not hold, with the first thing that did not.
    pub failing: Vec<(u64, String)>,
    /// The median over all runs of what half, 95 and 99 of a hundred deliveries took, in
    /// milliseconds.
    pub propagation_ms: [u64; 3],
    /// Means over all runs.
    pub duplicates_per_delivery: f64,
    /// Means over all runs.
    pub bytes_per_delivery: f64,
    /// Means over all runs.
    pub connections: f64,
    /// Over all runs.
    pub faults: BTreeMap<String, u64>,
    /// Over all runs.
    pub messages: u64,
    /// Over all runs.
    pub virtual_seconds: f64,
    /// Over all runs.
    pub cpu_seconds: f64,
}

impl Summary {
    /// Sums runs up.
    pub fn of(outcomes: &[Outcome]) -> Self {
        let mean =
            |of: fn(&Outcome) -> f64| outcomes.iter().map(of).sum::<f64>() / (outcomes.len() as f64).max(1.0);
        let median = |index: usize| {
            let mut all: Vec<_> = outcomes.iter().map(|it| it.propagation_ms[index]).collect();
            all.sort_unstable();
            all.get(all.len() / 2).copied().unwrap_or(0)
        };
        let mut faults = BTreeMap::new();
        for (name, count) in outcomes.iter().flat_map(|it| &it.faults) {
            *faults.entry(name.clone()).or_default() += count;
        }
        let first_of =
            |it: &Outcome| it.safety.iter().chain(&it.liveness).next().cloned().unwrap_or_default();
        Self {
            runs: outcomes.len(),
            failing: outcomes.iter().filter(|it| !it.ok).map(|it| (it.seed, first_of(it))).collect(),
            propagation_ms: [median(0), median(1), median(2)],
            duplicates_per_delivery: mean(|it| it.duplicates_per_delivery),
            bytes_per_delivery: mean(|it| it.bytes_per_delivery),
            connections: mean(|it| it.connections as f64),
            faults,
            messages: outcomes.iter().map(|it| it.messages).sum(),
            virtual_seconds: outcomes.iter().map(|it| it.virtual_seconds).sum(),
            cpu_seconds: outcomes.iter().map(|it| it.cpu_seconds).sum(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (seed, what) in &self.failing {
            writeln!(f, "seed {seed} fails: {what}")?;
        }
        let [half, most, nearly_all] = self.propagation_ms;
        writeln!(f, "runs                    {} ({} failing)", self.runs, self.failing.len())?;
        writeln!(f, "propagation             p50 {half} ms, p95 {most} ms, p99 {nearly_all} ms")?;
        writeln!(f, "duplicates per delivery {:.2}", self.duplicates_per_delivery)?;
        writeln!(f, "bytes per delivery      {:.0}", self.bytes_per_delivery)?;
        writeln!(f, "connections             {:.0}", self.connections)?;
        writeln!(f, "messages                {}", self.messages)?;
        let times = self.virtual_seconds / self.cpu_seconds.max(1e-9);
        writeln!(
            f,
            "time                    {:.0} virtual s in {:.1} CPU s ({times:.0} times real time)",
            self.virtual_seconds, self.cpu_seconds
        )?;
        let faults: Vec<_> = self.faults.iter().map(|(name, count)| format!("{name} {count}")).collect();
        write!(
            f,
            "faults                  {}",
            if faults.is_empty() { "none".into() } else { faults.join(", ") }
        )
    }
}

/// Says in what two reports differ: seeds whose runs are not the same any more, and what the change
/// comes to.
pub fn compare(before: &[Outcome], after: &[Outcome]) -> String {
    let key = |it: &Outcome| (it.scenario.clone(), it.seed);
    let old: BTreeMap<_, _> = before.iter().map(|it| (key(it), it)).collect();
    let pairs: Vec<_> = after.iter().filter_map(|new| Some((*old.get(&key(new))?, new))).collect();
    let same = pairs.iter().filter(|(old, new)| old.audit == new.audit).count();
    let mut lines = vec![format!("{} seeds in both reports, {same} of them the same run", pairs.len())];
    for (old, new) in &pairs {
        if old.ok != new.ok {
            let how = if new.ok { "does not fail any more" } else { "fails now" };
            lines.push(format!("{} seed {} {how}", new.scenario, new.seed));
        }
    }
    let (old, new): (Vec<_>, Vec<_>) = pairs.into_iter().map(|(old, new)| (old.clone(), new.clone())).unzip();
    let (old, new) = (Summary::of(&old), Summary::of(&new));
    let mut row = |name: &str, old: f64, new: f64| {
        let change = if old == 0.0 { 0.0 } else { (new / old - 1.0) * 100.0 };
        lines.push(format!("{name:<24}{old:>14.2}{new:>14.2}{change:>+9.1} %"));
    };
    for (index, name) in ["propagation p50 ms", "propagation p95 ms", "propagation p99 ms"].iter().enumerate()
    {
        row(name, old.propagation_ms[index] as f64, new.propagation_ms[index] as f64);
    }
    row("duplicates per delivery", old.duplicates_per_delivery, new.duplicates_per_delivery);
    row("bytes per delivery", old.bytes_per_delivery, new.bytes_per_delivery);
    row("connections", old.connections, new.connections);
    row("messages", old.messages as f64, new.messages as f64);
    row("CPU seconds", old.cpu_seconds, new.cpu_seconds);
    lines.join("\n")
}
