//! Parts of ours beside the crates that do the same: no sockets, one thread.
//!
//! `parts [--row PART] [--subject PART] [--rounds N] [--seconds S] [--json FILE]`. A row is done by
//! subject A, B, C, A, B, C and so on; see the README beside the manifest.

mod book;
mod frames;
mod names;
mod queues;
mod rates;

use std::io::Write as _;
use std::ops::AddAssign;
use std::process::ExitCode;

use serde_json::json;
use spacetime_comparisons::{Options, cpu_seconds, short};

/// What was done.
#[derive(Clone, Copy, Default)]
struct Done {
    operations: u64,
    /// Of these what passed, was known, was new, or came out: it says whether two did the same.
    passed: u64,
}

impl AddAssign for Done {
    fn add_assign(&mut self, other: Self) {
        self.operations += other.operations;
        self.passed += other.passed;
    }
}

/// Something that does the work of a row, some of it each time that it is called.
struct Subject {
    name: &'static str,
    work: Box<dyn FnMut() -> Done>,
}

impl Subject {
    fn new(name: &'static str, work: impl FnMut() -> Done + 'static) -> Self {
        Self { name, work: Box::new(work) }
    }

    /// Warms up, then works for so many CPU seconds: what was done, in operations per CPU second.
    fn measure(&mut self, seconds: f64) -> (f64, Done) {
        (self.work)();
        let mut done = Done::default();
        let began = cpu_seconds();
        loop {
            done += (self.work)();
            let took = cpu_seconds() - began;
            if took >= seconds {
                return (done.operations as f64 / took, done);
            }
        }
    }
}

/// A row, and what makes its subjects, ours first.
struct Row {
    name: &'static str,
    subjects: fn() -> Vec<Subject>,
}

const ROWS: [Row; 12] = [
    Row { name: "names-new", subjects: names::all_new },
    Row { name: "names-known", subjects: names::three_of_four_known },
    Row { name: "names-sha-256", subjects: names::hashed },
    Row { name: "rates-passing", subjects: rates::passing },
    Row { name: "rates-refused", subjects: rates::refused },
    Row { name: "queue-one-priority", subjects: queues::one_priority },
    Row { name: "queue-four-priorities", subjects: queues::four_priorities },
    Row { name: "book-known", subjects: book::known },
    Row { name: "book-filled", subjects: book::filled },
    Row { name: "book-full", subjects: book::full },
    Row { name: "book-choose", subjects: book::choose },
    Row { name: "frames-200", subjects: frames::of_200_bytes },
];

/// Measures the subjects of a row in turn and prints a line for each.
fn measure(row: &Row, options: &mut Options) -> Result<(), String> {
    let mut subjects = (row.subjects)();
    let ours = subjects.first().map(|it| it.name);
    subjects.retain(|it| it.name.contains(&options.subject));
    let mut rates = vec![Vec::new(); subjects.len()];
    let mut passed = vec![Done::default(); subjects.len()];
    for _ in 0..options.rounds {
        for (number, subject) in subjects.iter_mut().enumerate() {
            let (rate, done) = subject.measure(options.seconds);
            rates[number].push(rate);
            passed[number] += done;
            if let Some(json) = &mut options.json {
                let line = json!({"row": row.name, "subject": subject.name, "per_cpu_second": rate});
                writeln!(json, "{line}").map_err(|error| error.to_string())?;
            }
        }
    }
    let mut first = None;
    for ((subject, mut rates), done) in subjects.iter().zip(rates).zip(passed) {
        rates.sort_by(|a, b| b.total_cmp(a));
        let (Some(best), Some(median)) = (rates.first(), rates.get(rates.len() / 2)) else { continue };
        if ours == Some(subject.name) {
            first = Some(*best);
        }
        println!(
            "| {} | {} | {} / {} | {} | {:.1} % |",
            row.name,
            subject.name,
            short(best / 1e6),
            short(median / 1e6),
            first.map(|first| short(best / first)).unwrap_or_default(),
            done.passed as f64 * 100.0 / done.operations as f64,
        );
    }
    Ok(())
}

fn run() -> Result<(), String> {
    let mut options = Options::read(5, 0.1)?;
    println!("| row | subject | M per CPU second, best / median | to ours | passed, known, new or out |");
    println!("|---|---|---|---|---|");
    let part = options.row.clone();
    ROWS.iter().filter(|row| row.name.contains(&part)).try_for_each(|row| measure(row, &mut options))
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
