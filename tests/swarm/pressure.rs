//! Slow peers and slow applications.

use std::time::Duration;

use futures::StreamExt as _;
use spacetime_network::behaviour::NetworkBehaviour as _;
use spacetime_network::transport::{MemoryNetwork, TcpTransport};
use spacetime_network::wire::{Frame, Handshake};
use spacetime_network::{Address, CloseReason, ConnectionId, Limits, Swarm};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::tree::{Command, Node, NodeCommand, Note, closed, established, next, node, node_with, note};

fn say(swarm: &mut Swarm<Node>, to: ConnectionId, text: String) {
    swarm.act(|node, cx| node.on_command(cx, NodeCommand::Notes(Command::Send(to, Note { text }))));
}

/// A peer that says who it is and then never reads.
async fn silent_reader(address: &Address) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address.socket_addr().unwrap()).await.unwrap();
    let handshake = Handshake {
        version: 1,
        timestamp: 0,
        node_id: "silent",
        user_agent: "Spacetime/1.0",
        extension: None,
    };
    stream.write_all(Frame::encode(&handshake).unwrap().bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_peer_that_does_not_read_costs_its_own_budget_and_is_dropped() {
    let limits = Limits::default().with_write_timeout(Duration::from_secs(2));
    let budget = limits.queue_bytes();
    let mut swarm = node_with(1, TcpTransport::new(), limits);
    let address = swarm.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let _silent = silent_reader(&address).await;
    let silent = next(&mut swarm, established).await;

    let mut reader = node(2, TcpTransport::new());
    reader.dial(address).unwrap();
    let (good, _) = tokio::join!(next(&mut swarm, established), next(&mut reader, established));

    let mut most_queued = 0;
    let mut dropped = None;
    for number in 0..2000_u32 {
        for to in [silent, good] {
            say(&mut swarm, to, format!("{number} {}", "x".repeat(20_000)));
        }
        most_queued = most_queued.max(swarm.queued_bytes(silent));
        // Both nodes get on, and the one that reads hears every word.
        let text = tokio::select! {
            text = next(&mut reader, note) => text,
            reason = next(&mut swarm, closed) => {
                dropped = Some(reason);
                next_of_both(&mut swarm, &mut reader).await
            }
        };
        assert!(text.starts_with(&format!("{number} ")), "{}", &text[..20]);
        if dropped.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(dropped, Some(CloseReason::SlowReader));
    assert!(most_queued > budget / 4 && most_queued <= budget, "{most_queued}");
    assert_eq!(swarm.peers().count(), 1);
}

/// The next note at `reader`, while `swarm` is polled too.
async fn next_of_both(swarm: &mut Swarm<Node>, reader: &mut Swarm<Node>) -> String {
    loop {
        tokio::select! {
            text = next(reader, note) => return text,
            _ = swarm.next() => {}
        }
    }
}

#[tokio::test]
async fn an_application_that_does_not_poll_holds_its_peers_back() {
    let network = MemoryNetwork::new();
    let (far_transport, near_transport) = (network.transport(), network.transport());
    let address = far_transport.address();
    let (mut far, mut near) = (node(2, far_transport), node(1, near_transport));
    far.listen(address.clone()).await.unwrap();
    near.dial(address).unwrap();
    let (connection, _) = tokio::join!(next(&mut near, established), next(&mut far, established));

    // Nobody polls `far` from here on: what is sent to it piles up here, up to the budget, and no
    // more than two batches and a window of it there.
    let mut sent = 0;
    for _ in 0..1000 {
        say(&mut near, connection, "x".repeat(10_000));
        sent += 10_000;
        let _nothing_happens = timeout(Duration::from_millis(1), near.next()).await;
    }
    let queued = near.queued_bytes(connection);
    let limit = Limits::default().queue(spacetime_network::wire::Priority::Normal).max_bytes;
    assert!(queued > limit / 2 && queued <= limit, "{queued} of {sent} wait");
    let taken = near.statistics().bytes_sent;
    assert!(taken < 500_000, "{taken} bytes were taken that nobody reads");

    // As soon as it polls, it hears them.
    let heard = async {
        for _ in 0..10 {
            next(&mut far, note).await;
        }
    };
    tokio::select! {
        () = heard => {}
        () = async { while near.next().await.is_some() {} } => {}
    }
}

#[tokio::test]
async fn large_messages_pass_whole_and_in_order() {
    let network = MemoryNetwork::new();
    let (far_transport, near_transport) = (network.transport(), network.transport());
    let address = far_transport.address();
    let (mut far, mut near) = (node(2, far_transport), node(1, near_transport));
    far.listen(address.clone()).await.unwrap();
    near.dial(address).unwrap();
    let (connection, _) = tokio::join!(next(&mut near, established), next(&mut far, established));
    for size in [1, 4090, 4091, 4092, 65_530, 65_531, 65_532, 200_000, 1_000_000] {
        let text: String = (0..size).map(|index| char::from(b'a' + (index % 26) as u8)).collect();
        say(&mut near, connection, text.clone());
        say(&mut near, connection, "and".into());
        let heard = async { [next(&mut far, note).await, next(&mut far, note).await] };
        let heard = tokio::select! {
            heard = heard => heard,
            () = async { while near.next().await.is_some() {} } => unreachable!("a Swarm does not end"),
        };
        assert!(heard == [text, "and".into()], "{size}");
    }
}
