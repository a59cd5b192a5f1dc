//! What a subject is asked to do, and what it took.

use std::fs;
use std::sync::Mutex;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::allocations;
use crate::work::Work;

/// Work that is to be done so many times, and the meter that runs meanwhile.
#[derive(Debug)]
pub struct Job {
    /// What.
    pub work: Work,
    /// How often. For [`Work::Relay`] messages that are published, a multiple of 128; for
    /// [`Work::FanIn`] a multiple of the connections.
    pub count: usize,
    began: Mutex<Option<Reading>>,
    took: Mutex<Option<Took>>,
    copies: Mutex<Option<f64>>,
}

/// What the meters say.
#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    cpu_seconds: f64,
    /// The whole machine's, in the hundredths of a second in which the system counts.
    machine_cpu_seconds: f64,
    allocations: u64,
    live_bytes: i64,
    resident_kib: f64,
}

/// The difference of two.
#[derive(Clone, Copy, Debug)]
struct Took {
    seconds: f64,
    cpu_seconds: f64,
    others_cpu_seconds: f64,
    allocations: u64,
    live_bytes: i64,
    resident_kib: f64,
}

impl Reading {
    fn now() -> Self {
        Self {
            at: Instant::now(),
            cpu_seconds: cpu_seconds(),
            machine_cpu_seconds: machine_cpu_seconds(),
            allocations: allocations::allocations(),
            live_bytes: allocations::live_bytes(),
            resident_kib: resident_kib(),
        }
    }

    fn since(&self, began: &Self) -> Took {
        let cpu_seconds = self.cpu_seconds - began.cpu_seconds;
        let machine = self.machine_cpu_seconds - began.machine_cpu_seconds;
        Took {
            seconds: self.at.duration_since(began.at).as_secs_f64(),
            cpu_seconds,
            others_cpu_seconds: (machine - cpu_seconds).max(0.0),
            allocations: self.allocations - began.allocations,
            live_bytes: self.live_bytes - began.live_bytes,
            resident_kib: self.resident_kib - began.resident_kib,
        }
    }
}

/// What this process has used: user and system time of all its threads.
pub fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// What all processes have used: user, nice and system time.
fn machine_cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let numbers = text.lines().next().unwrap_or_default().split_whitespace().skip(1).take(3);
    numbers.filter_map(|it| it.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn resident_kib() -> f64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|it| it.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse().unwrap_or_default()
}

impl Job {
    pub(crate) const fn new(work: Work, count: usize) -> Self {
        let (began, took) = (Mutex::new(None), Mutex::new(None));
        Self { work, count, began, took, copies: Mutex::new(None) }
    }

    /// All is set up: from here on it is measured.
    pub fn start(&self) {
        *self.began.lock().expect("nothing panics here") = Some(Reading::now());
    }

    /// All is done; what follows is not measured.
    pub fn stop(&self) {
        let now = Reading::now();
        let began = self.began.lock().expect("nothing panics here").expect("it was started");
        *self.took.lock().expect("nothing panics here") = Some(now.since(&began));
    }

    /// How many copies of a message came for each that was delivered.
    pub fn set_copies(&self, copies: f64) {
        *self.copies.lock().expect("nothing panics here") = Some(copies);
    }

    /// How long it took, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.took.lock().expect("nothing panics here").map_or(0.0, |it| it.seconds)
    }

    /// What one of them took: for messages that are relayed, what each delivery took.
    pub(crate) fn to_json(&self, subject: &str, row: &str, counts_allocations: bool) -> Value {
        let took = self.took.lock().expect("nothing panics here").expect("it was stopped");
        let deliveries = match self.work {
            Work::Relay(shape) => shape.nodes() - 1,
            _ => 1,
        };
        let (messages, each) = (self.count as f64, (self.count * deliveries) as f64);
        let rests = matches!(self.work, Work::Idle(_));
        json!({
            "row": row,
            "subject": subject,
            "count": self.count,
            "seconds": took.seconds,
            "per_second": each / took.seconds,
            "cpu_us": took.cpu_seconds * 1e6 / each,
            "allocations": (counts_allocations && !rests).then_some(took.allocations as f64 / messages),
            "heap_kib": rests.then_some(took.live_bytes as f64 / 1024.0 / each),
            "resident_kib": rests.then_some(took.resident_kib / each),
            "copies": *self.copies.lock().expect("nothing panics here"),
            "others_cores": took.others_cpu_seconds / took.seconds,
        })
    }
}
