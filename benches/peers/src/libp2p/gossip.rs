//! Messages that spread by gossipsub.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use libp2p::Swarm;
use libp2p::gossipsub::{
    Behaviour, ConfigBuilder, Event, IdentTopic, MessageAuthenticity, MessageId, ValidationMode,
};
use libp2p::identity::Keypair;
use libp2p::swarm::SwarmEvent;
use sha2::{Digest as _, Sha256};
use spacetime_comparisons::{Job, RELAYED_BYTES, Shape, Window};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::{Upgrade, node};

/// Until subscriptions are known and the first heartbeat has made a mesh of them.
const SETTLE_TIME: Duration = Duration::from_millis(1500);

fn behaviour(key: &Keypair, is_signed: bool) -> Behaviour {
    let mut config = ConfigBuilder::default();
    config.heartbeat_initial_delay(Duration::from_millis(500)).mesh_n(8).mesh_n_low(6).mesh_n_high(12);
    let authenticity = if is_signed {
        config.validation_mode(ValidationMode::Strict);
        MessageAuthenticity::Signed(key.clone())
    } else {
        config.validation_mode(ValidationMode::Anonymous);
        config.message_id_fn(|message| MessageId::from(Sha256::digest(&message.data).to_vec()));
        MessageAuthenticity::Anonymous
    };
    let mut behaviour = Behaviour::new(authenticity, config.build().expect("valid")).expect("valid");
    behaviour.subscribe(&IdentTopic::new("comparisons")).expect("it can be subscribed to");
    behaviour
}

async fn deliver(mut swarm: Swarm<Behaviour>, receiver: usize, window: Arc<Window>) {
    loop {
        if let SwarmEvent::Behaviour(Event::Message { .. }) = swarm.select_next_some().await {
            window.delivered(receiver);
        }
    }
}

/// Publishes all once it is told to start, and returns when all have delivered them.
async fn publish(
    mut swarm: Swarm<Behaviour>,
    count: usize,
    window: Arc<Window>,
    mut start: oneshot::Receiver<()>,
) -> Swarm<Behaviour> {
    loop {
        tokio::select! {
            _ = swarm.select_next_some() => {}
            _ = &mut start => break,
        }
    }
    let topic = IdentTopic::new("comparisons");
    loop {
        tokio::select! {
            _ = swarm.select_next_some() => {}
            room = window.room(count) => match room {
                Some(numbers) => for number in numbers {
                    let mut message = vec![7; RELAYED_BYTES];
                    message[..8].copy_from_slice(&number.to_le_bytes());
                    swarm.behaviour_mut().publish(topic.clone(), message).expect("there is room for so many");
                },
                None => return swarm,
            },
        }
    }
}

pub(crate) async fn relay(job: &Job, shape: Shape, is_signed: bool) {
    let (mut swarms, mut addresses) = (Vec::new(), Vec::new());
    for _ in 0..shape.nodes() {
        let (swarm, address) = node::start(Upgrade::Tls, |key| behaviour(key, is_signed)).await;
        swarms.push(swarm);
        addresses.push(address);
    }
    for (dialler, listener) in shape.dials() {
        let [near, far] = swarms.get_disjoint_mut([dialler, listener]).expect("two nodes");
        node::connect(near, far, &addresses[listener]).await;
    }
    let window = Arc::new(Window::new(shape.nodes() - 1));
    let (start, started) = oneshot::channel();
    let publisher = tokio::spawn(publish(swarms.remove(0), job.count, Arc::clone(&window), started));
    let mut delivering = JoinSet::new();
    for (receiver, swarm) in swarms.into_iter().enumerate() {
        delivering.spawn(deliver(swarm, receiver, Arc::clone(&window)));
    }
    tokio::time::sleep(SETTLE_TIME).await;
    job.start();
    start.send(()).expect("it waits");
    let _publisher = publisher.await.expect("all are delivered");
    job.stop();
}
