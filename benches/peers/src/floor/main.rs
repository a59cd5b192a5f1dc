//! What is below any network layer: sockets, rustls, a codec, and a flood over them by hand.

mod codec;
mod connections;
mod flood;
mod raw;
mod sockets;
mod tls;

use std::process::ExitCode;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use spacetime_comparisons::{Job, Security, Subject, Work};

use sockets::Sockets;

/// Bytes and nothing else, in writes of 64 KiB; what arrived together is answered together.
struct Raw;

/// `LengthDelimitedCodec`, fed one by one.
struct Codec;

/// The same with a task that takes messages from a bounded channel, as a node has.
struct CodecThroughChannel;

/// Messages to all who are not known to have them, with a queue for each.
struct Flood;

impl Subject for Raw {
    fn name(&self) -> &'static str {
        "bare sockets"
    }

    fn offers(&self, work: Work) -> bool {
        !matches!(work, Work::Relay(_) | Work::Limited)
    }

    fn run<'a>(&'a self, job: &'a Arc<Job>) -> BoxFuture<'a, ()> {
        let sockets = |security| async move { Sockets::listen(security).await };
        async move {
            match job.work {
                Work::RoundTrips { in_flight, security } => {
                    raw::round_trips(job, in_flight, &sockets(security).await).await;
                }
                Work::OneWay { bytes, security } => raw::one_way(job, bytes, &sockets(security).await).await,
                Work::Connect { parallel } => {
                    connections::connect(job, parallel, sockets(Security::Secured).await).await;
                }
                Work::Idle(security) => connections::idle(job, &sockets(security).await).await,
                Work::FanIn { connections } => {
                    raw::fan_in(job, connections, &sockets(Security::Secured).await).await;
                }
                Work::Relay(_) | Work::Limited => unreachable!("it is not offered"),
            }
        }
        .boxed()
    }
}

impl Subject for Codec {
    fn name(&self) -> &'static str {
        "codec"
    }

    fn offers(&self, work: Work) -> bool {
        matches!(work, Work::RoundTrips { .. } | Work::OneWay { .. })
    }

    fn run<'a>(&'a self, job: &'a Arc<Job>) -> BoxFuture<'a, ()> {
        async move {
            match job.work {
                Work::RoundTrips { in_flight, security } => {
                    codec::round_trips(job, in_flight, &Sockets::listen(security).await).await;
                }
                Work::OneWay { bytes, security } => {
                    codec::one_way(job, bytes, &Sockets::listen(security).await).await;
                }
                _ => unreachable!("it is not offered"),
            }
        }
        .boxed()
    }
}

impl Subject for CodecThroughChannel {
    fn name(&self) -> &'static str {
        "codec through a channel"
    }

    fn offers(&self, work: Work) -> bool {
        matches!(work, Work::OneWay { .. })
    }

    fn run<'a>(&'a self, job: &'a Arc<Job>) -> BoxFuture<'a, ()> {
        async move {
            match job.work {
                Work::OneWay { bytes, security } => {
                    codec::one_way_through_channel(job, bytes, &Sockets::listen(security).await).await;
                }
                _ => unreachable!("it is not offered"),
            }
        }
        .boxed()
    }
}

impl Subject for Flood {
    fn name(&self) -> &'static str {
        "bare flood"
    }

    fn offers(&self, work: Work) -> bool {
        matches!(work, Work::Relay(_))
    }

    fn run<'a>(&'a self, job: &'a Arc<Job>) -> BoxFuture<'a, ()> {
        async move {
            match job.work {
                Work::Relay(shape) => flood::relay(job, shape).await,
                _ => unreachable!("it is not offered"),
            }
        }
        .boxed()
    }
}

fn main() -> ExitCode {
    spacetime_comparisons::run(&[&Raw, &Codec, &CodecThroughChannel, &Flood])
}
