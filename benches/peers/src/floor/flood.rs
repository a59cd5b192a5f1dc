//! A flood by hand: a set of the names that were seen, and a queue for each peer.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use sha2::{Digest as _, Sha256};
use spacetime_comparisons::{Job, RELAYED_BYTES, Security, Shape, Window};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::codec::{FramedRead, FramedWrite};

use crate::codec::codec;
use crate::sockets::{Socket, Sockets};

/// Names that are remembered.
const MAX_SEEN: usize = 100_000;

/// More than may be under way at all.
const MAX_QUEUED: usize = 1024;

type Name = [u8; 32];

#[derive(Default)]
struct Seen {
    names: HashSet<Name>,
    order: VecDeque<Name>,
}

impl Seen {
    fn insert(&mut self, name: Name) -> bool {
        if !self.names.insert(name) {
            return false;
        }
        self.order.push_back(name);
        if self.order.len() > MAX_SEEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.names.remove(&oldest);
        }
        true
    }
}

struct Node {
    number: usize,
    seen: Mutex<Seen>,
    queues: Mutex<Vec<mpsc::Sender<Bytes>>>,
    window: Arc<Window>,
    received: Arc<AtomicUsize>,
}

impl Node {
    /// Sends a message to all but the peer with this place.
    fn spread(&self, message: &Bytes, but: Option<usize>) {
        for (place, queue) in self.queues.lock().expect("nothing panics here").iter().enumerate() {
            if Some(place) != but {
                queue.try_send(message.clone()).expect("the window is smaller than the queue");
            }
        }
    }

    fn is_new(&self, message: &[u8]) -> bool {
        self.seen.lock().expect("nothing panics here").insert(Sha256::digest(message).into())
    }
}

async fn read(node: Arc<Node>, from: ReadHalf<Socket>, place: usize) {
    let mut messages = FramedRead::new(from, codec());
    while let Some(Ok(message)) = messages.next().await {
        node.received.fetch_add(1, Ordering::Relaxed);
        let message = message.freeze();
        if node.is_new(&message) {
            node.spread(&message, Some(place));
            if node.number > 0 {
                node.window.delivered(node.number - 1);
            }
        }
    }
}

async fn write(to: WriteHalf<Socket>, mut queue: mpsc::Receiver<Bytes>) {
    let mut sink = FramedWrite::new(to, codec());
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, 256).await > 0 {
        for message in batch.drain(..) {
            if sink.feed(message).await.is_err() {
                return;
            }
        }
        if futures::SinkExt::<Bytes>::flush(&mut sink).await.is_err() {
            return;
        }
    }
}

pub(crate) async fn relay(job: &Job, shape: Shape) {
    let sockets = Sockets::listen(Security::Secured).await;
    let window = Arc::new(Window::new(shape.nodes() - 1));
    let received = Arc::new(AtomicUsize::new(0));
    let node = |number| {
        let (window, received) = (Arc::clone(&window), Arc::clone(&received));
        Arc::new(Node { number, seen: Mutex::default(), queues: Mutex::default(), window, received })
    };
    let nodes: Vec<_> = (0..shape.nodes()).map(node).collect();
    let mut tasks = JoinSet::new();
    for (dialler, listener) in shape.dials() {
        let (near, far) = sockets.pair().await;
        for (number, socket) in [(dialler, near), (listener, far)] {
            let (reader, writer) = tokio::io::split(socket);
            let (queue, queued) = mpsc::channel(MAX_QUEUED);
            let mut queues = nodes[number].queues.lock().expect("nothing panics here");
            tasks.spawn(read(Arc::clone(&nodes[number]), reader, queues.len()));
            tasks.spawn(write(writer, queued));
            queues.push(queue);
        }
    }
    job.start();
    while let Some(numbers) = window.room(job.count).await {
        for number in numbers {
            let mut message = vec![7; RELAYED_BYTES];
            message[..8].copy_from_slice(&number.to_le_bytes());
            let message = Bytes::from(message);
            nodes[0].is_new(&message);
            nodes[0].spread(&message, None);
        }
    }
    job.stop();
    let deliveries = job.count * (shape.nodes() - 1);
    job.set_copies(received.load(Ordering::Relaxed) as f64 / deliveries as f64);
    tasks.abort_all();
}
