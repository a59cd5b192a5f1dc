//! Requests and responses, and connections without any.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _};
use libp2p::request_response::{Behaviour, Codec, Config, Event, Message, ProtocolSupport};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm};
use spacetime_comparisons::{IDLE_NODES, Job};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::{Upgrade, node};

/// Nothing but bytes, up to the end of the stream.
#[derive(Clone, Default)]
pub(crate) struct Bytes;

async fn read<T: AsyncRead + Unpin + Send>(io: &mut T) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io.take(1 << 21).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

impl Codec for Bytes {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        read(io).await
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        read(io).await
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Vec<u8>,
    ) -> io::Result<()> {
        io.write_all(&request).await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: Vec<u8>,
    ) -> io::Result<()> {
        io.write_all(&response).await
    }
}

type Node = Swarm<Behaviour<Bytes>>;

async fn start(upgrade: Upgrade) -> (Node, Multiaddr) {
    node::start(upgrade, |_| {
        let config =
            Config::default().with_request_timeout(Duration::from_secs(60)).with_max_concurrent_streams(256);
        let protocols = [(StreamProtocol::new("/comparisons/1"), ProtocolSupport::Full)];
        Behaviour::with_codec(Bytes, protocols, config)
    })
    .await
}

/// Answers each request.
async fn answer(mut swarm: Node, bytes: usize) {
    loop {
        if let SwarmEvent::Behaviour(Event::Message { message: Message::Request { channel, .. }, .. }) =
            swarm.select_next_some().await
        {
            swarm.behaviour_mut().send_response(channel, vec![7; bytes]).expect("the asker waits");
        }
    }
}

/// Asks, and counts the answers.
async fn ask(mut swarm: Node, of: PeerId, bytes: usize, in_flight: usize, count: usize) -> Node {
    let (mut asked, mut answered) = (0, 0);
    while answered < count {
        while asked < count && asked < answered + in_flight {
            swarm.behaviour_mut().send_request(&of, vec![7; bytes]);
            asked += 1;
        }
        match swarm.select_next_some().await {
            SwarmEvent::Behaviour(Event::Message { message: Message::Response { .. }, .. }) => answered += 1,
            SwarmEvent::Behaviour(Event::OutboundFailure { error, .. }) => panic!("{error}"),
            _ => {}
        }
    }
    swarm
}

pub(crate) async fn round_trips(
    job: &Job,
    upgrade: Upgrade,
    question_bytes: usize,
    answer_bytes: usize,
    in_flight: usize,
) {
    let ((mut near, _), (mut far, address)) = (start(upgrade).await, start(upgrade).await);
    let of = node::connect(&mut near, &mut far, &address).await;
    job.start();
    let answering = tokio::spawn(answer(far, answer_bytes));
    let asking = tokio::spawn(ask(near, of, question_bytes, in_flight, job.count));
    let _near = asking.await.expect("all answers come");
    job.stop();
    answering.abort();
}

/// What a dialler waits for at the other end: one that leaves too early was never there, and one that comes
/// too early is there twice.
#[derive(Default)]
struct OtherEnd {
    established: Notify,
    closed: Notify,
}

async fn accept(mut swarm: Node, diallers: HashMap<PeerId, Arc<OtherEnd>>) {
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => diallers[&peer_id].established.notify_one(),
            SwarmEvent::ConnectionClosed { peer_id, .. } => diallers[&peer_id].closed.notify_one(),
            SwarmEvent::IncomingConnectionError { error, .. } => panic!("{error}"),
            _ => {}
        }
    }
}

async fn dial(mut swarm: Node, address: Multiaddr, count: usize, other_end: Arc<OtherEnd>) {
    for _ in 0..count {
        swarm.dial(address.clone()).expect("it can be dialled");
        let peer = node::established(&mut swarm).await;
        other_end.established.notified().await;
        swarm.disconnect_peer_id(peer).expect("it is connected");
        while !matches!(swarm.select_next_some().await, SwarmEvent::ConnectionClosed { .. }) {}
        other_end.closed.notified().await;
    }
}

pub(crate) async fn connect(job: &Job, upgrade: Upgrade, parallel: usize) {
    let (listener, address) = start(upgrade).await;
    let mut diallers = Vec::new();
    for _ in 0..parallel {
        diallers.push((start(upgrade).await.0, Arc::<OtherEnd>::default()));
    }
    let other_ends = diallers.iter().map(|(swarm, other_end)| (*swarm.local_peer_id(), other_end.clone()));
    let other_ends = other_ends.collect();
    job.start();
    let accepting = tokio::spawn(accept(listener, other_ends));
    let mut dialling = JoinSet::new();
    for (dialler, other_end) in diallers {
        dialling.spawn(dial(dialler, address.clone(), job.count / parallel, other_end));
    }
    dialling.join_all().await;
    job.stop();
    accepting.abort();
}

pub(crate) async fn idle(job: &Job, upgrade: Upgrade) {
    let (mut swarms, mut addresses) = (Vec::new(), Vec::new());
    for _ in 0..IDLE_NODES {
        let (swarm, address) = start(upgrade).await;
        swarms.push(swarm);
        addresses.push(address);
    }
    // One for what all have in common, with nodes of their own.
    let ((mut one, _), (mut other, address)) = (start(upgrade).await, start(upgrade).await);
    node::connect(&mut one, &mut other, &address).await;
    job.start();
    for (listener, address) in addresses.iter().enumerate() {
        for dialler in 0..listener {
            let [near, far] = swarms.get_disjoint_mut([dialler, listener]).expect("two nodes");
            node::connect(near, far, address).await;
        }
    }
    for _ in 0..2 {
        for swarm in &mut swarms {
            let quiet = Duration::from_millis(20);
            while tokio::time::timeout(quiet, swarm.select_next_some()).await.is_ok() {}
        }
    }
    job.stop();
}
