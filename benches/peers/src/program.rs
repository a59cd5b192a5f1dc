//! The program around a subject: `PROGRAM list`, or `PROGRAM SUBJECT ROW [SECONDS]`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::json;

use crate::allocations;
use crate::job::Job;
use crate::work::{ROWS, Row, Work};

/// Something that does the work.
pub trait Subject: Sync {
    /// How it is called in the table.
    fn name(&self) -> &'static str;

    /// Whether it offers this at all.
    fn offers(&self, work: Work) -> bool;

    /// Does the work as often as the job says: sets up what it takes, calls [`Job::start`], and
    /// [`Job::stop`] when all is done.
    fn run<'a>(&'a self, job: &'a Arc<Job>) -> BoxFuture<'a, ()>;
}

/// How long one run may take, its warm-up included.
const TIMEOUT: Duration = Duration::from_secs(12);

/// Does what the command line says, with one of these subjects. The result is a line of JSON.
pub fn run(subjects: &[&dyn Subject]) -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => Ok(list(subjects)),
        [subject, row] => measure(subjects, subject, row, "1"),
        [subject, row, seconds] => measure(subjects, subject, row, seconds),
        _ => Err("usage: list | SUBJECT ROW [SECONDS]".to_owned()),
    };
    match result {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn list(subjects: &[&dyn Subject]) -> String {
    let rows = |subject: &dyn Subject| -> Vec<_> {
        ROWS.into_iter().filter(|row| subject.offers(row.work)).map(|row| row.name).collect()
    };
    let line =
        |subject: &&dyn Subject| json!({"subject": subject.name(), "rows": rows(*subject)}).to_string();
    subjects.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn measure(subjects: &[&dyn Subject], subject: &str, row: &str, seconds: &str) -> Result<String, String> {
    let row = Row::named(row).ok_or_else(|| format!("there is no row {row}"))?;
    let offers = |it: &&&dyn Subject| it.name() == subject && it.offers(row.work);
    let subject = subjects.iter().find(offers).ok_or_else(|| format!("{subject} does not offer that"))?;
    let seconds: f64 = seconds.parse().map_err(|_| "SECONDS is a number")?;
    if row.counts_allocations() {
        allocations::start_counting();
    }
    let runtime = match row.threads {
        1 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        threads => tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build(),
    };
    let runtime = runtime.map_err(|error| error.to_string())?;
    // What stands still for ever is ended with the process.
    std::thread::spawn(|| {
        std::thread::sleep(TIMEOUT);
        eprintln!("it did not end within {} s", TIMEOUT.as_secs());
        std::process::exit(1);
    });
    Ok(runtime.block_on(async {
        let mut count = row.max_count;
        // Connections that rest are counted once, before anything else has used memory.
        if row.warm_up > 0 {
            let warm_up = Arc::new(Job::new(row.work, whole(row.work, row.warm_up)));
            subject.run(&warm_up).await;
            let wanted = warm_up.count as f64 * seconds / warm_up.seconds();
            count = (wanted as usize).clamp(row.warm_up, row.max_count);
        }
        let job = Arc::new(Job::new(row.work, whole(row.work, count)));
        subject.run(&job).await;
        job.to_json(subject.name(), row.name, row.counts_allocations()).to_string()
    }))
}

/// As many as can be shared out evenly.
const fn whole(work: Work, count: usize) -> usize {
    let of = match work {
        Work::Relay(_) => 128,
        Work::FanIn { connections } => connections,
        Work::Connect { parallel } => parallel,
        _ => 1,
    };
    count.next_multiple_of(of)
}
