//! Nodes over TCP.

use std::time::Duration;

use futures::StreamExt as _;
use libp2p::identity::Keypair;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, Swarm, SwarmBuilder, noise, tcp, tls, yamux};

use crate::Upgrade;

/// Longer than any run.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

/// A node with this behaviour, and where it listens.
pub(crate) async fn start<B: NetworkBehaviour>(
    upgrade: Upgrade,
    behaviour: impl FnOnce(&Keypair) -> B,
) -> (Swarm<B>, Multiaddr) {
    let builder = SwarmBuilder::with_new_identity().with_tokio();
    let tcp = tcp::Config::default().nodelay(true);
    let mut swarm = match upgrade {
        Upgrade::Noise => builder
            .with_tcp(tcp, noise::Config::new, yamux::Config::default)
            .expect("it can be built")
            .with_behaviour(|key| behaviour(key))
            .expect("it can be built")
            .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE_TIMEOUT))
            .build(),
        Upgrade::Tls => builder
            .with_tcp(tcp, tls::Config::new, yamux::Config::default)
            .expect("it can be built")
            .with_behaviour(|key| behaviour(key))
            .expect("it can be built")
            .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE_TIMEOUT))
            .build(),
    };
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().expect("an address")).expect("a port on loopback");
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return (swarm, address);
        }
    }
}

pub(crate) async fn established<B: NetworkBehaviour>(swarm: &mut Swarm<B>) -> libp2p::PeerId {
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => return peer_id,
            SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error}"),
            SwarmEvent::IncomingConnectionError { error, .. } => panic!("{error}"),
            _ => {}
        }
    }
}

/// Connects two nodes; returns who the second one is.
pub(crate) async fn connect<B: NetworkBehaviour>(
    near: &mut Swarm<B>,
    far: &mut Swarm<B>,
    address: &Multiaddr,
) -> libp2p::PeerId {
    near.dial(address.clone()).expect("it can be dialled");
    tokio::join!(established(near), established(far)).0
}
