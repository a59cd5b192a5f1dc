//! `spacetime sim`: networks under virtual time.

use std::fs;
use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::say;
use crate::app::AppError;
use crate::app::sim::{Outcome, Scenario, Summary, Workload, compare, run_seed, run_seeds, shrink};

/// What to do with simulated networks.
#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Run many seeds of a scenario
    Run(Run),
    /// Run one seed again
    Replay(Replay),
    /// Cut a failing seed down to the faults that it needs
    Shrink(Shrink),
    /// Say in what two reports of `run --json` differ
    Compare {
        /// The report from before
        before: PathBuf,
        /// The report from after
        after: PathBuf,
    },
    /// Measure how fast the simulator is
    Bench {
        /// One JSON object per workload
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args, Debug)]
pub(super) struct Run {
    /// A file, or the name of one in tests/scenarios
    scenario: String,

    /// Which seeds; as many as the scenario says, from 0, if nothing is said
    #[arg(long, value_name = "A..B", value_parser = parse_seeds)]
    seeds: Option<Seeds>,

    /// Threads
    #[arg(long, default_value_t = 1, value_name = "N")]
    jobs: usize,

    /// Write one JSON object per seed to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(super) struct Replay {
    /// The seed
    seed: u64,

    /// A file, or the name of one in tests/scenarios
    #[arg(long)]
    scenario: String,

    /// Write a line for everything that happens
    #[arg(long)]
    trace: bool,
}

#[derive(Args, Debug)]
pub(super) struct Shrink {
    /// The seed
    seed: u64,

    /// A file, or the name of one in tests/scenarios
    #[arg(long)]
    scenario: String,

    /// Write the smaller scenario to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Seeds from the first up to, and without, the last.
#[derive(Clone, Copy, Debug)]
struct Seeds(u64, u64);

fn parse_seeds(text: &str) -> Result<Seeds, String> {
    let parsed = text.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    match parsed {
        Some((from, to)) if from < to && to - from <= 1_000_000 => Ok(Seeds(from, to)),
        _ => Err("seeds are written like 0..100: from the first up to, and without, the last".into()),
    }
}

pub(super) fn run(command: Command) -> Result<(), AppError> {
    match command {
        Command::Run(arguments) => run_many(&arguments),
        Command::Replay(arguments) => replay(&arguments),
        Command::Shrink(arguments) => shrink_one(&arguments),
        Command::Compare { before, after } => {
            say(compare(&read_report(&before)?, &read_report(&after)?));
            Ok(())
        }
        Command::Bench { json } => bench(json),
    }
}

fn run_many(arguments: &Run) -> Result<(), AppError> {
    let scenario = Scenario::load(&arguments.scenario)?;
    let Seeds(from, to) = arguments.seeds.unwrap_or(Seeds(0, scenario.seeds));
    let seeds: Vec<_> = (from..to).collect();
    let mut report = arguments.json.as_deref().map(create).transpose()?;
    let mut written = Ok(());
    let bar = progress_bar(seeds.len());
    let outcomes = run_seeds(&scenario, &seeds, arguments.jobs, |outcome| {
        bar.inc(1);
        // At once: who is interrupted keeps what there is.
        if let (Some(report), Ok(())) = (&mut report, &written) {
            written = write_line(report, outcome);
        }
        if !outcome.ok {
            bar.suspend(|| say(how_to_replay(outcome, &arguments.scenario)));
        }
    });
    bar.finish_and_clear();
    written?;
    let summary = Summary::of(&outcomes);
    say(&summary);
    match summary.failing.len() {
        0 => Ok(()),
        failing => Err(AppError::Failed(format!("{failing} of {} seeds fail", seeds.len()))),
    }
}

/// Appends a line to a report, in one write.
fn write_line(report: &mut impl Write, outcome: &Outcome) -> Result<(), AppError> {
    let line = to_json(outcome)? + "\n";
    report.write_all(line.as_bytes()).map_err(|error| AppError::failed("cannot write the report", error))
}

/// The command that runs a failing seed again.
fn how_to_replay(outcome: &Outcome, scenario: &str) -> String {
    let what = outcome.safety.iter().chain(&outcome.liveness).next().map_or("", String::as_str);
    format!("{what}\n    spacetime sim replay {} --scenario {scenario} --trace", outcome.seed)
}

fn replay(arguments: &Replay) -> Result<(), AppError> {
    let scenario = Scenario::load(&arguments.scenario)?;
    let trace = arguments.trace.then(|| {
        Box::new(|at: spacetime_core::Time, line: String| say(format_args!("{:>12.6} {line}", seconds(at))))
            as _
    });
    let outcome = run_seed(&scenario, arguments.seed, trace);
    say(to_json(&outcome)?);
    match outcome.ok {
        true => Ok(()),
        false => Err(AppError::Failed(format!("seed {} fails", arguments.seed))),
    }
}

fn seconds(at: spacetime_core::Time) -> f64 {
    at.since(spacetime_core::Time::ZERO).as_secs_f64()
}

fn shrink_one(arguments: &Shrink) -> Result<(), AppError> {
    let scenario = Scenario::load(&arguments.scenario)?;
    let bar = ProgressBar::new_spinner();
    let smaller = shrink(&scenario, arguments.seed, |runs, faults| {
        bar.set_message(format!("{runs} runs, {faults} faults"));
        bar.tick();
    });
    bar.finish_and_clear();
    let smaller =
        smaller.ok_or_else(|| AppError::Failed(format!("seed {} does not fail", arguments.seed)))?;
    let text =
        toml::to_string(&smaller).map_err(|error| AppError::failed("cannot write the scenario", error))?;
    match &arguments.output {
        Some(path) => fs::write(path, text).map_err(|error| cannot_write(path, &error)),
        None => {
            say(text);
            Ok(())
        }
    }
}

fn bench(json: bool) -> Result<(), AppError> {
    for workload in Workload::ALL {
        let measurement = workload.measure();
        if json { say(to_json(&measurement)?) } else { say(measurement) }
    }
    Ok(())
}

fn to_json(value: &impl serde::Serialize) -> Result<String, AppError> {
    serde_json::to_string(value).map_err(|error| AppError::failed("cannot write JSON", error))
}

fn create(path: &Path) -> Result<fs::File, AppError> {
    fs::File::create(path).map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> AppError {
    AppError::Failed(format!("cannot write {}: {error}", path.display()))
}

fn read_report(path: &Path) -> Result<Vec<Outcome>, AppError> {
    let text = fs::read_to_string(path)
        .map_err(|error| AppError::Failed(format!("cannot read {}: {error}", path.display())))?;
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().map_err(|error| AppError::failed("the report is broken", error))
}

fn progress_bar(seeds: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(seeds as u64);
    match ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {eta} left") {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}
