//! Limits of bandwidth over real streams.

use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use spacetime_network::behaviour::NetworkBehaviour as _;
use spacetime_network::transport::{MemoryNetwork, TcpTransport, Transport};
use spacetime_network::{Address, Bandwidth, CloseReason, ConnectionId, Limits, Swarm};
use tokio::time::timeout;

use crate::tree::{Command, Node, NodeCommand, Note, closed, established, next, node_with, note};

const KIB: u64 = 1024;

fn limited(bandwidth: Bandwidth) -> Limits {
    Limits::default().with_bandwidth(bandwidth)
}

/// One that sends, as which connection, and one that listens.
async fn pair(
    transports: [impl Transport; 2],
    address: Address,
    limits: [Limits; 2],
) -> (Swarm<Node>, ConnectionId, Swarm<Node>) {
    let [near_transport, far_transport] = transports;
    let [near_limits, far_limits] = limits;
    let mut near = node_with(1, near_transport, near_limits);
    let mut far = node_with(2, far_transport, far_limits);
    let address = far.listen(address).await.unwrap();
    near.dial(address).unwrap();
    let (connection, _) = tokio::join!(next(&mut near, established), next(&mut far, established));
    (near, connection, far)
}

fn say(swarm: &mut Swarm<Node>, to: ConnectionId, bytes: usize) {
    let text = "x".repeat(bytes);
    swarm.act(|node, cx| node.on_command(cx, NodeCommand::Notes(Command::Send(to, Note { text }))));
}

/// What one of two limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Limited {
    Sending,
    Listening,
}

/// The limit of all these tests, in bytes per second.
const RATE: u64 = 256 * KIB;

/// Sends notes of this size, always more than there is room for, until two seconds' worth was heard.
/// What has passed the limit, and what was due by the clock of the node that has it, in bytes.
async fn passed_and_due(
    mut near: Swarm<Node>,
    to: ConnectionId,
    mut far: Swarm<Node>,
    limited: Limited,
    bytes: usize,
) -> (f64, f64) {
    let numbers = |near: &mut Swarm<Node>, far: &mut Swarm<Node>| match limited {
        Limited::Sending => (near.act(|_, cx| cx.now()), near.statistics().bytes_sent),
        Limited::Listening => (far.act(|_, cx| cx.now()), far.statistics().bytes_received),
    };
    let (began, before) = numbers(&mut near, &mut far);
    let mut heard = 0;
    let all = async {
        while heard < 2 * RATE as usize {
            // As many as a queue takes.
            for _ in 0..(64 * 1024_usize).saturating_sub(near.queued_bytes(to)).div_ceil(bytes).min(1000) {
                say(&mut near, to, bytes);
            }
            tokio::select! {
                event = far.next() => heard += event.and_then(|it| note(&it)).map_or(0, |text| text.len()),
                _ = near.next() => {}
            }
        }
    };
    timeout(Duration::from_secs(60), all).await.expect("it goes on");
    let (now, after) = numbers(&mut near, &mut far);
    ((after - before) as f64, RATE as f64 * now.since(began).as_secs_f64())
}

/// A tenth of a second's worth, and what goes beyond.
fn burst(bytes: usize) -> f64 {
    RATE as f64 / 10.0 + bytes as f64 + 100.0
}

fn all_limits() -> [(Limited, [Limits; 2]); 4] {
    let (limit, no) = (Some(RATE), Limits::default);
    [
        (Limited::Sending, [limited(Bandwidth::default().with_upload_per_peer(limit)), no()]),
        (Limited::Sending, [limited(Bandwidth::default().with_upload(limit)), no()]),
        (Limited::Listening, [no(), limited(Bandwidth::default().with_download_per_peer(limit))]),
        (Limited::Listening, [no(), limited(Bandwidth::default().with_download(limit))]),
    ]
}

#[tokio::test(start_paused = true)]
async fn each_limit_holds_over_streams_in_memory() {
    for (who, limits) in all_limits() {
        for bytes in [1000, 100_000] {
            let network = MemoryNetwork::new();
            let transports = [network.transport(), network.transport()];
            let address = transports[1].address();
            let (near, connection, far) = pair(transports, address, limits.clone()).await;
            let (passed, due) = passed_and_due(near, connection, far, who, bytes).await;
            assert!(passed <= due + burst(bytes), "{who:?}, {bytes}: {passed} of {due}");
            assert!(passed >= due * 0.75, "and it is used: {who:?}, {bytes}: {passed} of {due}");
        }
    }
}

/// How quick the machine is does not matter: by its own clock, no node sends or takes more.
#[tokio::test]
async fn each_limit_holds_over_tcp() {
    join_all(all_limits().map(async |(who, limits)| {
        let address = "127.0.0.1:0".parse().unwrap();
        let transports = [TcpTransport::new(), TcpTransport::new()];
        let (near, connection, far) = pair(transports, address, limits.clone()).await;
        let (passed, due) = passed_and_due(near, connection, far, who, 1000).await;
        assert!(passed <= due + burst(1000), "{who:?}: {passed} of {due}");
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_limit_is_heard_before_the_end_of_its_connection() {
    let network = MemoryNetwork::new();
    let transports = [network.transport(), network.transport()];
    let address = transports[1].address();
    let limits = [Limits::default(), limited(Bandwidth::default().with_download(Some(16 * KIB)))];
    let (mut near, connection, mut far) = pair(transports, address, limits).await;
    for _ in 0..60 {
        say(&mut near, connection, 1000);
    }
    // They go out before the connection is given up.
    while near.queued_bytes(connection) > 0 {
        let _nothing_happens = timeout(Duration::from_millis(1), near.next()).await;
    }
    near.act(|_, cx| cx.close(connection, CloseReason::Requested));
    let mut heard = 0;
    let reason = loop {
        tokio::select! {
            event = far.next() => {
                let event = event.unwrap();
                heard += usize::from(note(&event).is_some());
                if let Some(reason) = closed(&event) {
                    break reason;
                }
            }
            _ = near.next() => {}
        }
    };
    let said = CloseReason::Remote(Box::new(CloseReason::Requested));
    assert_eq!((heard, reason), (60, said), "what it said last waits as well");
    let delayed = far.statistics().received_delayed;
    assert!(delayed.time > Duration::from_secs(1) && delayed.bytes > 0, "{delayed:?}");
}

#[tokio::test(start_paused = true)]
async fn who_must_wait_to_be_read_costs_no_more_memory_than_who_sends_too_quickly() {
    let network = MemoryNetwork::new();
    let transports = [network.transport(), network.transport()];
    let address = transports[1].address();
    let limits = [Limits::default(), limited(Bandwidth::default().with_download_per_peer(Some(8 * KIB)))];
    let (mut near, connection, mut far) = pair(transports, address, limits).await;
    let everything = async {
        for _ in 0..2000 {
            say(&mut near, connection, 1000);
            let _nothing_happens = timeout(Duration::from_millis(1), near.next()).await;
        }
    };
    tokio::select! {
        () = everything => {}
        () = async { while far.next().await.is_some() {} } => {}
    }
    // Two batches wait, and what the streams hold.
    let taken = near.statistics().bytes_sent;
    assert!(taken < 500_000, "{taken} bytes were taken that nobody reads");
}
