//! Messages, questions and answers between nodes.

use futures::StreamExt as _;
use spacetime_comparisons::{Job, Security};
use spacetime_network::{Event, Limits, NetworkBehaviour as _, Swarm};
use tokio::task::JoinSet;

use crate::messages::{Node, NodeCommand, NodeEvent, Order};
use crate::node;

/// Polls a node until the application has heard of so many messages or answers.
async fn hear(mut swarm: Swarm<Node>, count: usize) -> Swarm<Node> {
    let mut heard = 0;
    while heard < count {
        match swarm.next().await {
            Some(Event::Behaviour(NodeEvent::Worker(_))) => heard += 1,
            Some(Event::Closed { reason, .. }) => panic!("{reason}"),
            _ => {}
        }
    }
    swarm
}

/// Polls a node for as long as others need it.
async fn serve(mut swarm: Swarm<Node>) {
    while swarm.next().await.is_some() {}
}

fn order(swarm: &mut Swarm<Node>, order: Order) {
    swarm.act(|node, cx| node.on_command(cx, NodeCommand::Worker(order)));
}

/// Two nodes that are connected.
async fn pair(
    security: Security,
    limits: &Limits,
) -> (Swarm<Node>, Swarm<Node>, spacetime_network::ConnectionId) {
    let swarm = |number| node::swarm(number, security, limits.clone(), Node::new);
    let (mut near, mut far) = (swarm(1), swarm(2));
    let address = node::listen(&mut far).await;
    let connection = node::connect(&mut near, &mut far, &address).await;
    (near, far, connection)
}

pub(crate) async fn one_way(job: &Job, bytes: usize, security: Security, limits: Limits) {
    let (mut near, far, to) = pair(security, &limits).await;
    job.start();
    let receiver = tokio::spawn(hear(far, job.count));
    order(&mut near, Order::Send { to, bytes, count: job.count });
    let sender = tokio::spawn(serve(near));
    let _far = receiver.await.expect("all messages arrive");
    job.stop();
    sender.abort();
}

pub(crate) async fn round_trips(job: &Job, in_flight: usize, security: Security) {
    let (mut near, far, of) = pair(security, &Limits::default()).await;
    job.start();
    let answering = tokio::spawn(serve(far));
    order(&mut near, Order::Ask { of, bytes: 256, in_flight, count: job.count });
    let _near = tokio::spawn(hear(near, job.count)).await.expect("all answers arrive");
    job.stop();
    answering.abort();
}

pub(crate) async fn fan_in(job: &Job, connections: usize) {
    let limits = Limits::default().with_max_connections(connections);
    let mut hub = node::swarm(0, Security::Secured, limits, Node::new);
    let address = node::listen(&mut hub).await;
    let mut senders = Vec::new();
    for number in 1..=connections {
        let mut sender = node::swarm(number, Security::Secured, Limits::default(), Node::new);
        let to = node::connect(&mut sender, &mut hub, &address).await;
        senders.push((sender, to));
    }
    job.start();
    let hub = tokio::spawn(hear(hub, job.count));
    let mut serving = JoinSet::new();
    for (mut sender, to) in senders {
        order(&mut sender, Order::Send { to, bytes: 1024, count: job.count / connections });
        serving.spawn(serve(sender));
    }
    let _hub = hub.await.expect("all messages arrive");
    job.stop();
}
