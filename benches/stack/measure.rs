//! CPU time, allocations and rates of a run.

use std::fmt;
use std::future::Future;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use stats_alloc::Region;

use crate::{ALLOCATOR, Work};

/// One line of the table.
pub(crate) struct Row {
    work: Work,
    subject: &'static str,
    per_second: f64,
    pub(crate) cpu_micros: f64,
    allocations: f64,
    allocated_bytes: f64,
}

impl Row {
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "work": self.work.name(),
            "subject": self.subject,
            "messages_per_second": self.per_second,
            "cpu_microseconds_per_message": self.cpu_micros,
            "allocations_per_message": self.allocations,
            "allocated_bytes_per_message": self.allocated_bytes,
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "| {} | {} | {:.0} | {:.3} | {:.3} | {:.0} |",
            self.work.name(),
            self.subject,
            self.per_second,
            self.cpu_micros,
            self.allocations,
            self.allocated_bytes
        )
    }
}

/// CPU time that this process has used, in seconds.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Runs `subject` on a fresh runtime: a tenth of the work to warm up, then all of it, measured.
pub(crate) fn run<F, R>(work: Work, name: &'static str, subject: F) -> Row
where
    F: Fn(Work) -> R,
    R: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(subject(work.shortened()));
    let allocations = Region::new(ALLOCATOR);
    let (cpu, wall) = (cpu_seconds(), Instant::now());
    runtime.block_on(subject(work));
    let (cpu, wall) = (cpu_seconds() - cpu, wall.elapsed().as_secs_f64());
    let allocated = allocations.change();
    let count = work.count() as f64;
    Row {
        work,
        subject: name,
        per_second: count / wall,
        cpu_micros: cpu * 1e6 / count,
        allocations: (allocated.allocations + allocated.reallocations) as f64 / count,
        allocated_bytes: allocated.bytes_allocated as f64 / count,
    }
}
