//! Items that spread through nodes.

use std::sync::Arc;

use futures::StreamExt as _;
use spacetime_comparisons::{Job, RELAYED_BYTES, Security, Shape, Window};
use spacetime_network::chain::{SpacetimeRules, development_genesis};
use spacetime_network::handshake::{self, Handshake};
use spacetime_network::ping::{self, Ping};
use spacetime_network::relay::{self, Command, Item, MemoryPool, Relay, Verdict};
use spacetime_network::wire::ProofSubmission;
use spacetime_network::{Event, Limits, NetworkBehaviour, Rng, Swarm};
use tokio::task::JoinSet;

use crate::node::{self, CHAIN};

/// Bytes of a proof's message before the proof: its height, its miner and a length.
const PROOF_HEADER_BYTES: usize = 45;

#[derive(NetworkBehaviour)]
struct Node {
    handshake: Handshake,
    ping: Ping,
    relay: Relay<SpacetimeRules>,
}

impl Node {
    fn new(config: &relay::Config, rng: &Rng) -> Self {
        let handshake =
            handshake::Config::new(CHAIN).with_capability(relay::CAPABILITY, relay::CAPABILITY_VERSION);
        let rules = SpacetimeRules::new(&development_genesis()).expect("the genesis block is valid");
        let relay = Relay::new(config.clone(), rules, MemoryPool::default(), rng);
        Self {
            handshake: Handshake::new(handshake, rng).expect("valid"),
            ping: Ping::new(ping::Config::default(), rng).expect("valid"),
            relay: relay.expect("valid"),
        }
    }
}

fn command(swarm: &mut Swarm<Node>, command: Command) {
    swarm.act(|node, cx| node.on_command(cx, NodeCommand::Relay(command)));
}

fn item(number: usize) -> Item {
    let proof = [7; RELAYED_BYTES - PROOF_HEADER_BYTES];
    let proof = ProofSubmission { block_height: number as i64, miner_id: [2; 33], proof: &proof };
    Item::proof(&proof).expect("a proof fits a frame")
}

/// Accepts all that comes.
async fn deliver(mut swarm: Swarm<Node>, receiver: usize, window: Arc<Window>) {
    while let Some(event) = swarm.next().await {
        match event {
            Event::Behaviour(NodeEvent::Relay(relay::Event::Received { item, .. })) => {
                command(&mut swarm, Command::Verdict { id: item.id(), verdict: Verdict::Accept });
                window.delivered(receiver);
            }
            Event::Closed { reason, .. } => panic!("{reason}"),
            _ => {}
        }
    }
}

/// Publishes all, and returns when all have delivered them.
async fn publish(mut swarm: Swarm<Node>, count: usize, window: Arc<Window>) -> Swarm<Node> {
    loop {
        tokio::select! {
            event = swarm.next() => if let Some(Event::Closed { reason, .. }) = event {
                panic!("{reason}");
            },
            room = window.room(count) => match room {
                Some(numbers) => {
                    numbers.for_each(|number| command(&mut swarm, Command::Publish(item(number))));
                }
                None => return swarm,
            },
        }
    }
}

pub(crate) async fn relay(job: &Job, shape: Shape, config: &relay::Config) {
    let new =
        |number| node::swarm(number, Security::Secured, Limits::default(), |rng| Node::new(config, rng));
    let mut swarms: Vec<_> = (0..shape.nodes()).map(new).collect();
    let mut addresses = Vec::new();
    for swarm in &mut swarms {
        addresses.push(node::listen(swarm).await);
    }
    for (dialler, listener) in shape.dials() {
        let [near, far] = swarms.get_disjoint_mut([dialler, listener]).expect("two nodes");
        node::connect(near, far, &addresses[listener]).await;
    }
    let window = Arc::new(Window::new(shape.nodes() - 1));
    let publisher = swarms.remove(0);
    job.start();
    let (mut delivering, mut handles) = (JoinSet::new(), Vec::new());
    for (receiver, swarm) in swarms.into_iter().enumerate() {
        handles.push(swarm.handle());
        delivering.spawn(deliver(swarm, receiver, Arc::clone(&window)));
    }
    let publisher = tokio::spawn(publish(publisher, job.count, window)).await.expect("all are delivered");
    job.stop();
    let mut duplicates = publisher.behaviour().relay.statistics().duplicates;
    for handle in handles {
        duplicates += handle.act(|node, _| node.relay.statistics().duplicates).await.expect("it runs");
    }
    // Before the publisher hangs up on them.
    delivering.shutdown().await;
    let deliveries = (job.count * (shape.nodes() - 1)) as f64;
    job.set_copies((deliveries + duplicates as f64) / deliveries);
}
