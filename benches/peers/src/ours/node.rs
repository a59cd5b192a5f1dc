//! Nodes over TCP, plain or with TLS.

use futures::StreamExt as _;
use spacetime_comparisons::Security;
use spacetime_network::swarm::Config;
use spacetime_network::transport::tls::NodeKey;
use spacetime_network::transport::{TcpTransport, TlsConfig, TlsTransport};
use spacetime_network::{Address, ConnectionId, Event, Hash, Limits, NetworkBehaviour, PeerId, Rng, Swarm};

/// The chain of all nodes.
pub(crate) const CHAIN: Hash = Hash([1; 32]);

fn key(number: usize) -> NodeKey {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    NodeKey::from_seed(seed)
}

/// Who the node with this number is.
pub(crate) fn peer_id(number: usize) -> PeerId {
    key(number).peer_id()
}

/// A node with this tree.
pub(crate) fn swarm<B: NetworkBehaviour + 'static>(
    number: usize,
    security: Security,
    limits: Limits,
    tree: impl FnOnce(&Rng) -> B,
) -> Swarm<B> {
    let tls = TlsConfig::new(key(number));
    let config = Config::new(tls.peer_id()).with_limits(limits);
    let config = match security {
        Security::Plain => config.with_transport(TcpTransport::new()),
        Security::Secured => {
            config.with_transport(TlsTransport::new(TcpTransport::new(), &tls).expect("valid"))
        }
    };
    Swarm::new(tree(&Rng::from_number(number as u64)), config).expect("valid limits")
}

pub(crate) async fn listen<B: NetworkBehaviour + 'static>(swarm: &mut Swarm<B>) -> Address {
    swarm.listen("127.0.0.1:0".parse().expect("an address")).await.expect("a port on loopback")
}

/// Waits until a session began.
pub(crate) async fn established<B: NetworkBehaviour + 'static>(swarm: &mut Swarm<B>) -> ConnectionId {
    loop {
        match swarm.next().await {
            Some(Event::Established { connection, .. }) => return connection,
            Some(Event::DialFailed { error, .. }) => panic!("{error}"),
            Some(Event::Refused { reason, .. } | Event::Closed { reason, .. }) => panic!("{reason}"),
            _ => {}
        }
    }
}

/// Connects two nodes, of which the second one listens there; the connection as the first one knows it.
pub(crate) async fn connect<B: NetworkBehaviour + 'static>(
    near: &mut Swarm<B>,
    far: &mut Swarm<B>,
    address: &Address,
) -> ConnectionId {
    near.dial(address.clone()).expect("room for a connection");
    tokio::join!(established(near), established(far)).0
}
