//! `libp2p` over TCP and yamux: request-response, gossipsub, and connections.

mod gossip;
mod node;
mod requests;

use std::process::ExitCode;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use spacetime_comparisons::{Job, Security, Subject, Work};

/// How connections are secured.
#[derive(Clone, Copy)]
enum Upgrade {
    Noise,
    Tls,
}

/// Requests and responses, each on a stream of its own.
struct Requests(Upgrade);

/// Messages under SHA-256 names, without a sender.
struct AnonymousGossip;

/// Messages that are signed, and checked by everybody, which is the default.
struct SignedGossip;

impl Subject for Requests {
    fn name(&self) -> &'static str {
        match self.0 {
            Upgrade::Noise => "libp2p, noise",
            Upgrade::Tls => "libp2p, tls",
        }
    }

    fn offers(&self, work: Work) -> bool {
        matches!(
            work,
            Work::RoundTrips { security: Security::Secured, .. }
                | Work::OneWay { bytes: 1_048_576, security: Security::Secured }
                | Work::Connect { .. }
                | Work::Idle(Security::Secured)
        )
    }

    fn run<'a>(&'a self, job: &'a Arc<Job>) -> BoxFuture<'a, ()> {
        let upgrade = self.0;
        async move {
            match job.work {
                Work::RoundTrips { in_flight, .. } => {
                    requests::round_trips(job, upgrade, 256, 256, in_flight).await;
                }
                // Requests that are answered with 8 bytes, one at a time: more are slower.
                Work::OneWay { bytes, .. } => requests::round_trips(job, upgrade, bytes, 8, 1).await,
                Work::Connect { parallel } => requests::connect(job, upgrade, parallel).await,
                Work::Idle(_) => requests::idle(job, upgrade).await,
                _ => unreachable!("it is not offered"),
            }
        }
        .boxed()
    }
}

impl Subject for AnonymousGossip {
    fn name(&self) -> &'static str {
        "gossipsub, anonymous"
    }

    fn offers(&self, work: Work) -> bool {
        matches!(work, Work::Relay(_))
    }

    fn run<'a>(&'a self, job: &'a Arc<Job>) -> BoxFuture<'a, ()> {
        async move {
            match job.work {
                Work::Relay(shape) => gossip::relay(job, shape, false).await,
                _ => unreachable!("it is not offered"),
            }
        }
        .boxed()
    }
}

impl Subject for SignedGossip {
    fn name(&self) -> &'static str {
        "gossipsub, signed"
    }

    fn offers(&self, work: Work) -> bool {
        matches!(work, Work::Relay(_))
    }

    fn run<'a>(&'a self, job: &'a Arc<Job>) -> BoxFuture<'a, ()> {
        async move {
            match job.work {
                Work::Relay(shape) => gossip::relay(job, shape, true).await,
                _ => unreachable!("it is not offered"),
            }
        }
        .boxed()
    }
}

fn main() -> ExitCode {
    spacetime_comparisons::run(&[
        &Requests(Upgrade::Tls),
        &Requests(Upgrade::Noise),
        &AnonymousGossip,
        &SignedGossip,
    ])
}
