//! Proven identities in whole Swarms.

use std::time::Duration;

use futures::StreamExt as _;
use spacetime_network::handshake::Config as HandshakeConfig;
use spacetime_network::ping::Config as PingConfig;
use spacetime_network::swarm::Config;
use spacetime_network::transport::tls::NodeKey;
use spacetime_network::transport::{TcpTransport, TlsConfig, TlsMode};
use spacetime_network::wire::{
    Announcement, Extension, Frame, Handshake as HandshakeMessage, HandshakeAck, Heartbeat,
};
use spacetime_network::{
    Address, Bandwidth, CloseReason, ConnectionId, DialError, Event, Handshake, Hash, Identity, Limits,
    NetworkBehaviour, Peer, PeerId, Ping, SecurityError, Swarm,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::attacker::{Attacker, pair_of};
use crate::{PATIENCE, VERSIONS, key, numbered_key, transport};

const CHAIN: Hash = Hash([9; 32]);

#[derive(NetworkBehaviour, Debug)]
pub(crate) struct Node {
    handshake: Handshake,
    ping: Ping,
}

fn tree() -> Node {
    let rng = spacetime_network::os_rng().unwrap();
    Node {
        handshake: Handshake::new(HandshakeConfig::new(CHAIN), &rng).unwrap(),
        ping: Ping::new(PingConfig::default(), &rng).unwrap(),
    }
}

pub(crate) fn swarm_with(config: &TlsConfig, limits: Limits) -> Swarm<Node> {
    let config = Config::new(config.peer_id()).with_transport(transport(config)).with_limits(limits);
    Swarm::new(tree(), config).unwrap()
}

fn swarm(key: NodeKey) -> Swarm<Node> {
    swarm_with(&TlsConfig::new(key), Limits::default())
}

/// The first event for which `find` finds something.
pub(crate) async fn next<T>(swarm: &mut Swarm<Node>, find: impl Fn(Event<NodeEvent>) -> Option<T>) -> T {
    let finding = async {
        loop {
            let event = swarm.next().await.expect("it never ends");
            if let Some(found) = find(event) {
                return found;
            }
        }
    };
    timeout(PATIENCE, finding).await.expect("it happens in time")
}

pub(crate) fn established(event: Event<NodeEvent>) -> Option<(ConnectionId, Peer)> {
    match event {
        Event::Established { connection, peer } => Some((connection, peer)),
        _ => None,
    }
}

fn refused(event: Event<NodeEvent>) -> Option<CloseReason> {
    match event {
        Event::Refused { reason, .. } => Some(reason),
        _ => None,
    }
}

fn dial_failed(event: Event<NodeEvent>) -> Option<(Address, DialError)> {
    match event {
        Event::DialFailed { address, error, .. } => Some((address, error)),
        _ => None,
    }
}

pub(crate) async fn listening(swarm: &mut Swarm<Node>) -> Address {
    swarm.listen("127.0.0.1:0".parse().unwrap()).await.unwrap()
}

/// The Handshake of a node of this chain that says it is `peer_id`.
pub(crate) fn claims(peer_id: PeerId) -> Vec<u8> {
    let announcement = Announcement {
        protocol_versions: (1, 1),
        chain_id: CHAIN,
        listen_port: None,
        capabilities: Vec::new(),
        nonce: 1,
        best_block: None,
    };
    let extension = announcement.to_bytes().unwrap();
    let handshake = HandshakeMessage {
        version: 1,
        timestamp: 0,
        node_id: &peer_id.to_string(),
        user_agent: "test",
        extension: Some(Extension::new(&extension).unwrap()),
    };
    Frame::encode(&handshake).unwrap().bytes().to_vec()
}

#[tokio::test]
async fn both_ends_of_a_session_are_proven() {
    let (mut near, mut far) = (swarm(numbered_key(1)), swarm(numbered_key(2)));
    let address = listening(&mut far).await;
    near.dial(address).unwrap();
    let (there, here) = tokio::join!(next(&mut near, established), next(&mut far, established));
    assert_eq!(there.1.identity, Identity::Proven(numbered_key(2).peer_id()));
    assert_eq!(here.1.identity, Identity::Proven(numbered_key(1).peer_id()));
}

#[tokio::test]
async fn a_dialer_that_names_somebody_else_in_its_handshake_is_refused() {
    for version in VERSIONS {
        let config = TlsConfig::new(key()).with_versions(version, version);
        let mut far = swarm_with(&config, Limits::default());
        let address = listening(&mut far).await.to_string();
        let liar = async {
            let mut stream = Attacker::new(version).dial(&address).await.unwrap();
            stream.write_all(&claims(numbered_key(7).peer_id())).await.unwrap();
            stream.flush().await.unwrap();
            stream
        };
        let (_stream, reason) = tokio::join!(liar, next(&mut far, refused));
        assert_eq!(reason, CloseReason::WrongPeer);
        assert_eq!(far.peers().count(), 0);
    }
}

#[tokio::test]
async fn a_listener_that_names_somebody_else_in_its_handshake_fails_the_dialled_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: Address = listener.local_addr().unwrap().into();
    let mut near = swarm(key());
    near.dial(address.clone()).unwrap();
    let liar = async {
        let mut stream = Attacker::new(VERSIONS[1]).accept(&listener).await.unwrap();
        let ack = Frame::encode(&HandshakeAck).unwrap();
        let words = [&ack.bytes()[..], &claims(numbered_key(7).peer_id())].concat();
        stream.write_all(&words).await.unwrap();
        stream.flush().await.unwrap();
        stream
    };
    let (_stream, failed) = tokio::join!(liar, next(&mut near, dial_failed));
    assert_eq!(failed, (address, DialError::Closed(CloseReason::WrongPeer)));
}

#[tokio::test]
async fn another_peer_than_the_pinned_one_fails_the_dialled_address() {
    let (mut near, mut far) = (swarm(key()), swarm(key()));
    let address = listening(&mut far).await.pinned(numbered_key(7).peer_id());
    near.dial(address.clone()).unwrap();
    let failed = tokio::select! {
        failed = next(&mut near, dial_failed) => failed,
        _ = next(&mut far, established) => panic!("it is the wrong one"),
    };
    assert_eq!(failed, (address, DialError::Closed(CloseReason::WrongPeer)));
}

#[tokio::test]
async fn tls_on_a_port_without_it_is_refused() {
    let config = TlsConfig::new(key()).with_mode(TlsMode::Off);
    let mut far = swarm_with(&config, Limits::default());
    let address = listening(&mut far).await;
    let mut near = swarm(key());
    near.dial(address).unwrap();
    let (reason, failed) = tokio::join!(next(&mut far, refused), next(&mut near, dial_failed));
    assert_eq!(reason, CloseReason::Insecure(SecurityError::Encrypted), "it is no offence");
    let truncated = DialError::Closed(CloseReason::Insecure(SecurityError::Truncated));
    let is_named = failed.1 == truncated || matches!(failed.1, DialError::Transport(_));
    assert!(is_named, "{failed:?}");
}

#[tokio::test]
async fn one_who_cannot_be_secured_in_time_takes_no_place() {
    let limits = Limits::default().with_opening_timeout(Duration::from_millis(300)).with_max_opening(1);
    let mut far = swarm_with(&TlsConfig::new(numbered_key(2)), limits.clone());
    let address = listening(&mut far).await;
    let mut silent = TcpStream::connect(address.to_string()).await.unwrap();
    silent.write_all(&[0x16]).await.unwrap();
    let closed = async {
        let mut rest = Vec::new();
        let _ = silent.read_to_end(&mut rest).await;
    };
    tokio::select! {
        () = closed => {}
        _ = next(&mut far, |_| None::<()>) => {}
    }
    // Its place is free.
    let mut near = swarm(numbered_key(1));
    near.dial(address).unwrap();
    let (_, here) = tokio::join!(next(&mut near, established), next(&mut far, established));
    assert_eq!(here.1.identity.proven(), Some(numbered_key(1).peer_id()));

    // The other direction.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: Address = listener.local_addr().unwrap().into();
    let mut near = swarm_with(&TlsConfig::new(key()), limits);
    near.dial(address.clone()).unwrap();
    let failed = next(&mut near, dial_failed).await;
    assert_eq!(failed, (address, DialError::Closed(CloseReason::OpeningTimeout)));
}

#[tokio::test]
async fn a_peer_that_comes_again_replaces_its_old_session_and_a_stranger_with_its_name_does_not() {
    let config = TlsConfig::new(numbered_key(2)).with_mode(TlsMode::Optional);
    let mut far = swarm_with(&config, Limits::default());
    let address = listening(&mut far).await.to_string();
    let peer_id = numbered_key(1).peer_id();
    let come = async || {
        let attacker = Attacker::with_key(VERSIONS[1], pair_of(&numbered_key(1)));
        let mut stream = attacker.dial(&address).await.unwrap();
        stream.write_all(&claims(peer_id)).await.unwrap();
        stream.flush().await.unwrap();
        stream
    };
    let (_first, (first, _)) = tokio::join!(come(), next(&mut far, established));
    let (_second, (second, _)) = tokio::join!(come(), next(&mut far, established));
    let sessions = |far: &Swarm<Node>| far.peers().map(|(connection, _)| connection).collect::<Vec<_>>();
    assert!(first != second);
    assert_eq!(sessions(&far), [second], "one session for each proven identity");

    // In plaintext, with the same name: it is somebody else.
    let mut stranger = TcpStream::connect(&address).await.unwrap();
    stranger.write_all(&claims(peer_id)).await.unwrap();
    let (third, peer) = next(&mut far, established).await;
    assert_eq!(peer.identity.proven(), None);
    assert_eq!(sessions(&far).len(), 2);
    assert!(sessions(&far).contains(&second) && sessions(&far).contains(&third));
    assert!(peer.identity.to_string().contains("unproven"), "{}", peer.identity);
}

#[tokio::test]
async fn a_plain_node_and_an_optional_one_have_a_session_that_proves_nothing() {
    let mut far = swarm_with(&TlsConfig::new(key()).with_mode(TlsMode::Optional), Limits::default());
    let address = listening(&mut far).await;
    let plain = Config::new(numbered_key(1).peer_id()).with_transport(TcpTransport::new());
    let mut near = Swarm::new(tree(), plain).unwrap();
    near.dial(address).unwrap();
    let (there, here) = tokio::join!(next(&mut near, established), next(&mut far, established));
    assert_eq!((there.1.identity.proven(), here.1.identity.proven()), (None, None));
}

#[tokio::test]
async fn small_records_are_charged_with_what_they_take() {
    for (bytes_each, is_delayed) in [(1, true), (5000, false)] {
        let limit = Bandwidth::default().with_download_per_peer(Some(64 * 1024));
        let mut far = swarm_with(&TlsConfig::new(key()), Limits::default().with_bandwidth(limit));
        let address = listening(&mut far).await.to_string();
        let own_key = key();
        let attacker = Attacker::with_key(VERSIONS[1], pair_of(&own_key));
        let heartbeats = Frame::encode(&Heartbeat).unwrap().bytes().repeat(1000);
        let speaks = async {
            let mut stream = attacker.dial(&address).await.unwrap();
            stream.write_all(&claims(own_key.peer_id())).await.unwrap();
            for record in heartbeats.chunks(bytes_each) {
                stream.write_all(record).await.unwrap();
                stream.flush().await.unwrap();
            }
            stream
        };
        let hears = async {
            let (connection, _) = next(&mut far, established).await;
            while far.statistics().frames_received < 1000 {
                let _nothing_to_tell = timeout(Duration::from_millis(20), far.next()).await;
            }
            far.connection_statistics(connection).unwrap().received_delayed.bytes
        };
        let (_stream, delayed) = tokio::join!(speaks, hears);
        assert_eq!(delayed > 0, is_delayed, "{delayed} bytes in records of {bytes_each}");
    }
}
