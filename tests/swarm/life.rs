//! Connections from dial to shutdown.

use std::time::Duration;

use futures::StreamExt as _;
use spacetime_network::swarm::Config;
use spacetime_network::transport::{MemoryNetwork, TcpTransport, Transport as _};
use spacetime_network::wire::{Frame, Handshake, Heartbeat, Message};
use spacetime_network::{Address, CloseReason, DialError, Event, Limits, PeerId, Swarm};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::{advance, timeout};

use crate::scripted::{Remote, Scripted};
use crate::tree::{
    Command, Node, NodeCommand, Note, bare_note, closed, established, next, node, node_with, note,
};

fn loopback() -> Address {
    "127.0.0.1:0".parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn one_whose_time_is_over_is_closed_although_another_one_comes_in_the_same_moment() {
    let network = MemoryNetwork::new();
    let place = network.transport();
    let address = place.address();
    let mut far = node(1, place);
    far.listen(address.clone()).await.unwrap();
    let connect = async || network.transport().dial(&address).await.unwrap().upgrade.await.unwrap();
    let mut first = connect().await;
    assert!(timeout(Duration::from_millis(10), far.next()).await.is_err(), "it says nothing");
    // While nobody polls the node.
    let _second = connect().await;
    advance(Duration::from_secs(6)).await;
    for _ in 0..20 {
        yield_now().await;
    }
    let mut heard = Vec::new();
    let ended = timeout(Duration::from_secs(3), first.stream.read_to_end(&mut heard));
    tokio::select! {
        biased;
        ended = ended => assert!(ended.is_ok(), "nobody closes it any more"),
        () = async { while far.next().await.is_some() {} } => {}
    }
}

#[tokio::test]
async fn two_nodes_meet_over_tcp_and_talk() {
    let mut far = node(2, TcpTransport::new());
    let address = far.listen(loopback()).await.unwrap();
    let mut near = node(1, TcpTransport::new());
    let dialled = near.dial(address.clone()).unwrap();
    let (connection, _) = tokio::join!(next(&mut near, established), next(&mut far, established));
    assert_eq!(connection, dialled);
    assert_eq!(near.peers().next().unwrap().1.address, address);
    assert_eq!(&*near.peers().next().unwrap().1.info.name, PeerId([2; 32]).to_string());

    near.act(|node, cx| {
        spacetime_network::behaviour::NetworkBehaviour::on_command(
            node,
            cx,
            NodeCommand::Notes(Command::Send(connection, Note { text: "echo hello".into() })),
        );
    });
    let (echo, heard) = tokio::join!(next(&mut near, note), next(&mut far, note));
    assert_eq!((echo.as_str(), heard.as_str()), ("hello", "echo hello"));
}

#[tokio::test]
async fn a_handle_commands_from_another_task() {
    let network = MemoryNetwork::new();
    let (far_transport, near_transport) = (network.transport(), network.transport());
    let address = far_transport.address();
    let mut far = node(2, far_transport);
    far.listen(address.clone()).await.unwrap();
    let mut near = node(1, near_transport);
    let handle = near.handle();
    let task = tokio::spawn(async move {
        let connection = handle.dial(address).await.unwrap().unwrap();
        loop {
            let peers = handle.peers().await.unwrap();
            if !peers.is_empty() {
                break;
            }
        }
        let note = Note { text: "from a handle".into() };
        handle.send(NodeCommand::Notes(Command::Send(connection, note))).await.unwrap();
        let round_trips =
            handle.act(move |node, _| node.ping.round_trip(connection).is_some()).await.unwrap();
        (round_trips, handle)
    });
    let near = tokio::spawn(async move {
        next(&mut near, closed).await;
        drop(near);
    });
    assert_eq!(next(&mut far, note).await, "from a handle");
    let (_, handle) = task.await.unwrap();
    far.shutdown().await;
    near.await.unwrap();
    assert!(handle.peers().await.is_err(), "the Swarm is gone");
}

#[tokio::test]
async fn a_shutdown_tells_the_peers_and_leaves_no_socket() {
    let mut far = node(2, TcpTransport::new());
    let address = far.listen(loopback()).await.unwrap();
    let mut near = node(1, TcpTransport::new());
    near.dial(address.clone()).unwrap();
    tokio::join!(next(&mut near, established), next(&mut far, established));
    let (reason, ()) = tokio::join!(next(&mut near, closed), far.shutdown());
    assert_eq!(reason, CloseReason::Remote(Box::new(CloseReason::Shutdown)));
    assert!(TcpStream::connect(address.socket_addr().unwrap()).await.is_err(), "nobody listens");
}

#[tokio::test]
async fn dials_that_cannot_work_fail_with_a_reason() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut swarm = node(1, TcpTransport::new());
    for (address, wanted) in [(nobody.into(), "refused"), (Address::memory(1), "no transport")] {
        swarm.dial(address).unwrap();
        let error = next(&mut swarm, |event| match event {
            Event::DialFailed { error, .. } => Some(error.clone()),
            _ => None,
        });
        assert!(error.await.to_string().contains(wanted));
    }
}

#[tokio::test]
async fn a_dial_is_given_up_when_its_time_is_over() {
    tokio::time::pause();
    let network = MemoryNetwork::new();
    let (silent, near_transport) = (network.transport(), network.transport());
    let address = silent.address();
    // It listens and never answers.
    let _listener = spacetime_network::transport::Transport::listen(&silent, &address).await.unwrap();
    let mut near = node(1, near_transport);
    near.dial(address).unwrap();
    let error = next(&mut near, |event| match event {
        Event::DialFailed { error, .. } => Some(error.clone()),
        _ => None,
    });
    assert_eq!(error.await, DialError::Closed(CloseReason::OpeningTimeout));
}

#[tokio::test]
async fn listening_twice_fails_and_the_first_goes_on() {
    let mut first = node(1, TcpTransport::new());
    let address = first.listen(loopback()).await.unwrap();
    let mut second = node(2, TcpTransport::new());
    let error = second.listen(address.clone()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    second.dial(address).unwrap();
    tokio::join!(next(&mut first, established), next(&mut second, established));
}

#[tokio::test]
async fn no_more_connections_than_allowed_are_let_in() {
    let limits = Limits::default().with_max_opening(3).with_opening_timeout(Duration::from_secs(600));
    let mut swarm = node_with(1, TcpTransport::new(), limits);
    let address = swarm.listen(loopback()).await.unwrap().socket_addr().unwrap();
    let poll = tokio::spawn(async move { while swarm.next().await.is_some() {} });
    let (ended, mut ends) = tokio::sync::mpsc::unbounded_channel();
    for number in 0..10 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let ended = ended.clone();
        tokio::spawn(async move {
            // Closed or reset, it is over.
            let _ = stream.read(&mut [0; 1]).await;
            ended.send(number)
        });
    }
    for _ in 0..7 {
        ends.recv().await.unwrap();
    }
    let one_more = timeout(Duration::from_millis(300), ends.recv()).await;
    assert!(one_more.is_err(), "three of ten have time to say who they are");
    poll.abort();
}

fn bytes<M: Message>(message: &M) -> Vec<u8> {
    Frame::encode(message).unwrap().bytes().to_vec()
}

fn version_1_handshake() -> Vec<u8> {
    let handshake = Handshake {
        version: 1,
        timestamp: 0,
        node_id: "a name",
        user_agent: "Spacetime/1.0",
        extension: None,
    };
    bytes(&handshake)
}

/// What arrives before the end of the stream.
async fn rest_of(mut stream: TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    // A reset after the last words is an end too.
    let _ = stream.read_to_end(&mut received).await;
    received
}

#[tokio::test]
async fn garbage_ends_its_own_connection_and_no_other() {
    let mut swarm = node(1, TcpTransport::new());
    let address = swarm.listen(loopback()).await.unwrap().socket_addr().unwrap();
    let (events, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let poll = tokio::spawn(async move {
        while let Some(event) = swarm.next().await {
            if let Some(reason) = closed(&event) {
                events.send(reason.to_string()).unwrap();
            }
        }
    });
    let mut honest = TcpStream::connect(address).await.unwrap();
    honest.write_all(&version_1_handshake()).await.unwrap();
    let mut ack = [0; 5];
    honest.read_exact(&mut ack).await.unwrap();
    assert_eq!(ack, [1, 0, 0, 0, 2]);

    let after_handshake = |tail: &[u8]| [version_1_handshake(), tail.to_vec()].concat();
    for (sent, reason) in [
        (b"\xff\xff\xff\xff\x03".to_vec(), "frame length -1"),
        (b"\x00\x00\x00\x00\x03".to_vec(), "frame length 0"),
        (b"\x00\x00\x00\x01\x23".to_vec(), "first frame of 16777215 bytes"),
        (after_handshake(b"\x01\x00\x00\x01\x23"), "frame length 16777217"),
        (after_handshake(b"\x01\x00\x00\x00\x77"), "unknown message type 0x77"),
        (after_handshake(b"\x12\x00\x00\x00\x04"), "Ping of 17 bytes"),
        (after_handshake(b"\x11\x00\x00\x00\x04\x01\x02"), "the stream ended after 7 bytes"),
        (after_handshake(b"\x11"), "the stream ended after 1 bytes"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&sent).await.unwrap();
        stream.shutdown().await.unwrap();
        let heard = seen.recv().await.unwrap();
        assert!(heard.contains(reason), "{heard}, not {reason}");
        rest_of(stream).await;
    }

    honest.write_all(&bytes(&Heartbeat)).await.unwrap();
    honest.write_all(&bytes(&spacetime_network::wire::Ping { nonce: 5, timestamp: 0 })).await.unwrap();
    let mut pong = [0; 13];
    honest.read_exact(&mut pong).await.unwrap();
    assert_eq!(pong, [17, 0, 0, 0, 5, 5, 0, 0, 0, 0, 0, 0, 0]);
    poll.abort();
}

#[tokio::test]
async fn a_swarm_without_a_gate_lets_everybody_in() {
    let network = MemoryNetwork::new();
    let (far_transport, near_transport) = (network.transport(), network.transport());
    let address = far_transport.address();
    let swarm = |number, transport| {
        Swarm::new(crate::tree::Notes, Config::new(PeerId([number; 32])).with_transport(transport)).unwrap()
    };
    let (mut far, mut near) = (swarm(2, far_transport), swarm(1, near_transport));
    far.listen(address.clone()).await.unwrap();
    near.dial(address).unwrap();
    let (event, _) = tokio::join!(near.next(), far.next());
    assert!(matches!(event, Some(Event::Established { .. })));
}

#[tokio::test(start_paused = true)]
async fn without_a_gate_a_peer_may_begin_with_a_large_message() {
    let (mut swarm, arrivals) = Scripted::notes(Limits::default()).await;
    let remote = Remote::new(usize::MAX);
    let text = "x".repeat(100_000);
    remote.say(&Note { text: text.clone() });
    arrivals.put(remote);
    assert!(next(&mut swarm, bare_note).await == text);
}

#[test]
fn a_swarm_can_be_moved_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Swarm<Node>>();
    is_send::<spacetime_network::swarm::Handle<Node>>();
}
