//! Connections that come and go, and such that rest.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use spacetime_comparisons::{IDLE_NODES, Job, Security};
use spacetime_network::chain::{ChainRules as _, SpacetimeRules, block_hash, development_genesis};
use spacetime_network::node::{Config, Node, NodeCommand, NodeEvent, Start};
use spacetime_network::peers::{self, Stored};
use spacetime_network::wire::{Frame, Headers};
use spacetime_network::{Address, CloseReason, Event, Limits, NetworkBehaviour as _, Rng, Swarm, sync};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::messages;
use crate::node;

type FullNode = Node<SpacetimeRules>;

/// All behaviours of a full node, with room for so many peers, and none that it chooses itself.
fn full_node(rng: &Rng) -> FullNode {
    let genesis = development_genesis();
    let rules = SpacetimeRules::new(&genesis).expect("the genesis block is valid");
    let chain_id = block_hash(&genesis).expect("it is a block");
    let tip = rules.check_block(&genesis).expect("the genesis block is valid");
    let peers = peers::Config::default().with_max_inbound(IDLE_NODES).with_max_outbound(0);
    let start = Start { recent: tip.into(), peers: Stored::default(), unix_seconds: 1_700_000_000 };
    Node::new(Config::new(chain_id).with_peers(peers), rules, start, rng).expect("valid")
}

/// What happens next. There are no headers for who asks, as the chain has none but its first block.
async fn next(swarm: &mut Swarm<FullNode>) -> Event<NodeEvent<SpacetimeRules>> {
    let event = swarm.next().await.expect("a Swarm goes on");
    match &event {
        Event::Closed { reason, .. } | Event::Refused { reason, .. } => panic!("{reason}"),
        Event::Behaviour(NodeEvent::Sync(sync::Event::ReadHeaders { read, .. })) => {
            let answer = Frame::encode(&Headers::new(&[])).expect("it can be encoded");
            let command = NodeCommand::Sync(sync::Command::HeadersRead { read: *read, answer });
            swarm.act(|node, cx| node.on_command(cx, command));
        }
        _ => {}
    }
    event
}

/// Waits until a session began.
async fn established(swarm: &mut Swarm<FullNode>) {
    while !matches!(next(swarm).await, Event::Established { .. }) {}
}

async fn connect_full(near: &mut Swarm<FullNode>, far: &mut Swarm<FullNode>, address: &Address) {
    near.dial(address.clone()).expect("room for a connection");
    tokio::join!(established(near), established(far));
}

/// Polls until nothing has happened for a while.
async fn settle(swarm: &mut Swarm<FullNode>, quiet: Duration) {
    while tokio::time::timeout(quiet, next(swarm)).await.is_ok() {}
}

pub(crate) async fn idle(job: &Job, security: Security) {
    let limits = Limits::default().with_max_connections(IDLE_NODES + 8);
    let new = |number| node::swarm(number, security, limits.clone(), full_node);
    let mut swarms: Vec<_> = (0..IDLE_NODES).map(new).collect();
    let mut addresses = Vec::new();
    for swarm in &mut swarms {
        addresses.push(node::listen(swarm).await);
    }
    // One for what all have in common, with nodes of their own.
    let (mut one, mut other) = (new(IDLE_NODES), new(IDLE_NODES + 1));
    let address = node::listen(&mut other).await;
    connect_full(&mut one, &mut other, &address).await;
    job.start();
    for (listener, address) in addresses.iter().enumerate() {
        for dialler in 0..listener {
            let [near, far] = swarms.get_disjoint_mut([dialler, listener]).expect("two nodes");
            connect_full(near, far, address).await;
        }
    }
    for _ in 0..2 {
        for swarm in &mut swarms {
            settle(swarm, Duration::from_millis(20)).await;
        }
    }
    job.stop();
    assert_eq!(swarms.iter().map(|it| it.peers().count()).sum::<usize>(), 2 * job.count);
}

/// Tells diallers of sessions that ended here as well, so that none comes again before.
async fn accept(mut swarm: Swarm<messages::Node>, closed: Vec<Arc<Notify>>) {
    let numbers: HashMap<_, _> = (0..closed.len()).map(|it| (node::peer_id(it + 1), it)).collect();
    while let Some(event) = swarm.next().await {
        match event {
            Event::Closed { peer, .. } => {
                let number = numbers[&peer.identity.proven().expect("it is secured")];
                closed[number].notify_one();
            }
            Event::Refused { reason, .. } => panic!("{reason}"),
            _ => {}
        }
    }
}

async fn dial(mut swarm: Swarm<messages::Node>, address: Address, count: usize, closed: Arc<Notify>) {
    for _ in 0..count {
        swarm.dial(address.clone()).expect("room for a connection");
        let connection = node::established(&mut swarm).await;
        swarm.act(|_, cx| cx.close(connection, CloseReason::Requested));
        while !matches!(swarm.next().await, Some(Event::Closed { .. })) {}
        closed.notified().await;
    }
}

pub(crate) async fn connect(job: &Job, parallel: usize) {
    let swarm = |number| node::swarm(number, Security::Secured, Limits::default(), messages::Node::new);
    let mut listener = swarm(0);
    let address = node::listen(&mut listener).await;
    let diallers: Vec<_> = (1..=parallel).map(swarm).collect();
    let closed: Vec<_> = diallers.iter().map(|_| Arc::new(Notify::new())).collect();
    job.start();
    let accepting = tokio::spawn(accept(listener, closed.clone()));
    let mut dialling = JoinSet::new();
    for (dialler, closed) in diallers.into_iter().zip(closed) {
        dialling.spawn(dial(dialler, address.clone(), job.count / parallel, closed));
    }
    dialling.join_all().await;
    job.stop();
    accepting.abort();
}
