//! `litep2p` over TCP, noise and yamux: requests and responses.

use std::process::ExitCode;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use litep2p::config::ConfigBuilder;
use litep2p::protocol::request_response::{
    ConfigBuilder as RequestsBuilder, DialOptions, RequestResponseEvent, RequestResponseHandle,
};
use litep2p::transport::tcp::config::Config as TcpConfig;
use litep2p::types::protocol::ProtocolName;
use litep2p::{Litep2p, Litep2pEvent};
use spacetime_comparisons::{Job, Security, Subject, Work};

struct Requests;

fn start() -> (Litep2p, RequestResponseHandle) {
    let requests = RequestsBuilder::new(ProtocolName::from("/comparisons/1")).with_max_size(1 << 21);
    let (requests, handle) = requests.build();
    let tcp = TcpConfig {
        listen_addresses: vec!["/ip4/127.0.0.1/tcp/0".parse().expect("an address")],
        nodelay: true,
        ..TcpConfig::default()
    };
    let config = ConfigBuilder::new().with_tcp(tcp).with_request_response_protocol(requests).build();
    (Litep2p::new(config).expect("valid"), handle)
}

async fn established(node: &mut Litep2p) {
    while !matches!(node.next_event().await, Some(Litep2pEvent::ConnectionEstablished { .. })) {}
}

async fn serve(mut node: Litep2p) {
    while node.next_event().await.is_some() {}
}

async fn round_trips(job: &Job, question_bytes: usize, answer_bytes: usize, in_flight: usize) {
    let ((mut near, mut asking), (mut far, mut answering)) = (start(), start());
    let address = far.listen_addresses().next().expect("it listens").clone();
    let of = *far.local_peer_id();
    near.dial_address(address).await.expect("it can be dialled");
    tokio::join!(established(&mut near), established(&mut far));
    let serving = [tokio::spawn(serve(near)), tokio::spawn(serve(far))];
    let answers = tokio::spawn(async move {
        while let Some(event) = answering.next().await {
            if let RequestResponseEvent::RequestReceived { request_id, .. } = event {
                answering.send_response(request_id, vec![7; answer_bytes]);
            }
        }
    });
    job.start();
    let (mut asked, mut answered) = (0, 0);
    while answered < job.count {
        while asked < job.count && asked < answered + in_flight {
            let question = vec![7; question_bytes];
            asking.send_request(of, question, DialOptions::Reject).await.expect("it runs");
            asked += 1;
        }
        match asking.next().await.expect("it runs") {
            RequestResponseEvent::ResponseReceived { .. } => answered += 1,
            RequestResponseEvent::RequestFailed { error, .. } => panic!("{error:?}"),
            RequestResponseEvent::RequestReceived { .. } => unreachable!("nobody asks it"),
        }
    }
    job.stop();
    answers.abort();
    serving.iter().for_each(|it| it.abort());
}

impl Subject for Requests {
    fn name(&self) -> &'static str {
        "litep2p"
    }

    fn offers(&self, work: Work) -> bool {
        matches!(
            work,
            Work::RoundTrips { security: Security::Secured, .. }
                | Work::OneWay { bytes: 1_048_576, security: Security::Secured }
        )
    }

    fn run<'a>(&'a self, job: &'a Arc<Job>) -> BoxFuture<'a, ()> {
        async move {
            match job.work {
                Work::RoundTrips { in_flight, .. } => round_trips(job, 256, 256, in_flight).await,
                // Requests that are answered with 8 bytes, one at a time.
                Work::OneWay { bytes, .. } => round_trips(job, bytes, 8, 1).await,
                _ => unreachable!("it is not offered"),
            }
        }
        .boxed()
    }
}

fn main() -> ExitCode {
    spacetime_comparisons::run(&[&Requests])
}
