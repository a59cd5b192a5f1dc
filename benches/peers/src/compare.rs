//! Runs all subjects in turn, row by row, and prints what it took.
//!
//! `compare [--row PART] [--subject PART] [--rounds N] [--seconds S] [--json FILE]`. A row is done by
//! subject A, B, C, A, B, C and so on, each time in a process of its own, so that a busy moment of the
//! machine hits all of them. Programs that were not built are left out.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use serde_json::Value;
use spacetime_comparisons::{Options, ROWS, short};

const PROGRAMS: [&str; 6] = ["ours", "floor", "commonware", "tentacle", "libp2p", "litep2p"];

/// A subject, the program that it is in, and the rows that it offers.
struct Subject {
    program: PathBuf,
    name: String,
    rows: Vec<String>,
}

/// All that were built.
fn subjects() -> Result<Vec<Subject>, String> {
    let folder = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut subjects = Vec::new();
    for program in PROGRAMS {
        let program = folder.with_file_name(program);
        let Ok(output) = Command::new(&program).arg("list").stderr(Stdio::inherit()).output() else {
            continue;
        };
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let line: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
            let name = line["subject"].as_str().unwrap_or_default().to_owned();
            let rows = line["rows"].as_array().into_iter().flatten().filter_map(Value::as_str);
            subjects.push(Subject {
                program: program.clone(),
                name,
                rows: rows.map(str::to_owned).collect(),
            });
        }
    }
    Ok(subjects)
}

fn measure(subject: &Subject, row: &str, seconds: f64) -> Result<Value, String> {
    let mut command = Command::new(&subject.program);
    let output = command.args([&subject.name, row, &seconds.to_string()]).output();
    let output = output.map_err(|error| error.to_string())?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(error.lines().next().unwrap_or("it failed").to_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

/// The figures of one field of all rounds, in order.
fn sorted(results: &[Value], field: &str) -> Vec<f64> {
    let mut figures: Vec<_> = results.iter().filter_map(|it| it[field].as_f64()).collect();
    figures.sort_by(f64::total_cmp);
    figures
}

fn pair(figures: &[f64]) -> String {
    match (figures.first(), figures.get(figures.len() / 2)) {
        (Some(least), Some(median)) => format!("{} / {}", short(*least), short(*median)),
        _ => String::new(),
    }
}

fn print(row: &str, results: &BTreeMap<usize, Vec<Value>>, subjects: &[Subject]) {
    // Ours is the first subject, if it is there at all.
    let cheapest = |it: &Vec<Value>| sorted(it, "cpu_us").first().copied();
    let first = results.values().next().and_then(cheapest);
    for (subject, results) in results {
        let ratio = cheapest(results).zip(first).map(|(cpu, first)| short(cpu / first));
        println!(
            "| {row} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            subjects[*subject].name,
            pair(&sorted(results, "per_second")),
            pair(&sorted(results, "cpu_us")),
            ratio.unwrap_or_default(),
            pair(&sorted(results, "allocations")),
            pair(&sorted(results, "heap_kib")),
            pair(&sorted(results, "resident_kib")),
            pair(&sorted(results, "copies")),
            pair(&sorted(results, "others_cores")),
        );
    }
}

fn compare() -> Result<(), String> {
    let mut options = Options::read(3, 1.0)?;
    let subjects = subjects()?;
    println!(
        "| row | subject | a second, min / median | CPU us, min / median | CPU to ours | allocations | heap KiB \
         | resident KiB | copies | cores that others used |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for row in ROWS.into_iter().map(|it| it.name).filter(|it| it.contains(&options.row)) {
        let mut results: BTreeMap<usize, Vec<Value>> = BTreeMap::new();
        for _ in 0..options.rounds {
            for (number, subject) in subjects.iter().enumerate() {
                if !subject.name.contains(&options.subject) || !subject.rows.iter().any(|it| it == row) {
                    continue;
                }
                match measure(subject, row, options.seconds) {
                    Ok(result) => {
                        if let Some(json) = &mut options.json {
                            writeln!(json, "{result}").map_err(|error| error.to_string())?;
                        }
                        results.entry(number).or_default().push(result);
                    }
                    Err(error) => eprintln!("{row}, {}: {error}", subject.name),
                }
            }
        }
        print(row, &results, &subjects);
    }
    Ok(())
}

fn main() -> ExitCode {
    match compare() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
