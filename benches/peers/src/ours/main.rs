//! `spacetime-network`, by what everybody can use of it.

mod connections;
mod messages;
mod node;
mod relay;
mod streams;

use std::process::ExitCode;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use spacetime_comparisons::{Job, Security, Subject, Work};
use spacetime_network::relay::Config as RelayConfig;
use spacetime_network::{Bandwidth, Limits, Rate};

/// Without limits of bandwidth, as the library comes, and of the rate of items.
struct Ours;

/// The same, and items go to all peers whole instead of by name to most.
struct OursFlooding;

/// As many items as come.
fn unlimited() -> RelayConfig {
    let rate = Rate { capacity: u32::MAX, interval: std::time::Duration::from_nanos(1) };
    RelayConfig::default().with_rate(rate).with_adaptive(false)
}

impl Subject for Ours {
    fn name(&self) -> &'static str {
        "ours"
    }

    fn offers(&self, _: Work) -> bool {
        true
    }

    fn run<'a>(&'a self, job: &'a Arc<Job>) -> BoxFuture<'a, ()> {
        async move {
            match job.work {
                Work::RoundTrips { in_flight, security } => {
                    streams::round_trips(job, in_flight, security).await;
                }
                Work::OneWay { bytes, security } => {
                    streams::one_way(job, bytes, security, Limits::default()).await;
                }
                Work::Relay(shape) => relay::relay(job, shape, &unlimited()).await,
                Work::Connect { parallel } => connections::connect(job, parallel).await,
                Work::Idle(security) => connections::idle(job, security).await,
                Work::Limited => {
                    let limits = Limits::default().with_bandwidth(Bandwidth::reference());
                    streams::one_way(job, 256, Security::Secured, limits).await;
                }
                Work::FanIn { connections } => streams::fan_in(job, connections).await,
            }
        }
        .boxed()
    }
}

impl Subject for OursFlooding {
    fn name(&self) -> &'static str {
        "ours, flooding"
    }

    fn offers(&self, work: Work) -> bool {
        matches!(work, Work::Relay(_))
    }

    fn run<'a>(&'a self, job: &'a Arc<Job>) -> BoxFuture<'a, ()> {
        async move {
            match job.work {
                Work::Relay(shape) => {
                    relay::relay(job, shape, &unlimited().with_announce_from_bytes(usize::MAX)).await;
                }
                _ => unreachable!("it is not offered"),
            }
        }
        .boxed()
    }
}

fn main() -> ExitCode {
    spacetime_comparisons::run(&[&Ours, &OursFlooding])
}
