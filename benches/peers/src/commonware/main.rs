//! `commonware_p2p::authenticated::lookup`, on its own runtime over tokio.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use commonware_cryptography::ed25519::{PrivateKey, PublicKey};
use commonware_cryptography::{ChaCha20Poly1305, Signer as _};
use commonware_p2p::authenticated::lookup::{self, Network};
use commonware_p2p::{Address, AddressableManager as _, Receiver as _, Recipients, Sender as _};
use commonware_runtime::tokio::{Config as RuntimeConfig, Context, Runner};
use commonware_runtime::{Clock as _, Quota, Runner as _, Spawner as _, Supervisor as _};
use commonware_stream::cups::{self, Cups};
use commonware_stream::sake::{self, Sake};
use commonware_utils::ordered::Map;
use commonware_utils::{NZU32, NZUsize};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use spacetime_comparisons::{Job, Security, Subject, Work};

/// Messages that a sender may be ahead of the receiver: what finds no room is dropped.
const WINDOW: usize = 4096;

type Sender = lookup::Sender<PublicKey, Context>;
type Receiver = lookup::Receiver<PublicKey>;

struct Commonware;

/// A node: the channel of its application, and who it is.
struct Node {
    key: PublicKey,
    sender: Sender,
    receiver: Receiver,
}

/// A port that nobody uses.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
    listener.local_addr().expect("a bound listener")
}

fn node(context: &Context, number: u64, peers: &[(PublicKey, SocketAddr)]) -> Node {
    let signer = PrivateKey::from_seed(number);
    let key = signer.public_key();
    let sake = Sake {
        signer,
        synchrony_bound: Duration::from_secs(5),
        max_handshake_age: Duration::from_secs(10),
        version: sake::Version::V1,
    };
    let handshake = Cups::<_, ChaCha20Poly1305>::new(sake, cups::Version::V1);
    let own = peers.iter().find(|it| it.0 == key).expect("it is one of them").1;
    let mut config =
        lookup::Config::local(handshake, b"comparisons", own, NZUsize!(4), 1 << 20, NZUsize!(8192));
    config.dial_frequency = Duration::from_millis(50);
    config.peer_connection_cooldown = Duration::from_millis(100);
    let context = context.child("node").with_attribute("number", number);
    let (mut network, mut oracle) = Network::new(context, config);
    let peers = peers.iter().map(|(key, address)| (key.clone(), Address::from(*address)));
    oracle.track(0, Map::from_iter_dedup(peers));
    // More than can be sent: what is over the rate is dropped. There is room for one burst of each peer.
    let quota = Quota::per_second(NZU32!(10_000_000)).allow_burst(NZU32!(8192));
    let (sender, receiver) = network.register(0, quota);
    network.start();
    Node { key, sender, receiver }
}

/// Two nodes that are connected.
async fn pair(context: &Context) -> (Node, Node) {
    let own = |number| (PrivateKey::from_seed(number).public_key(), free_address());
    let peers = [own(1), own(2)];
    let (mut near, mut far) = (node(context, 1, &peers), node(context, 2, &peers));
    // Whoever is not connected is sent nothing.
    loop {
        near.sender.send(Recipients::One(far.key.clone()), Bytes::from_static(b"hello"), false);
        let waiting = context.sleep(Duration::from_millis(20));
        futures::pin_mut!(waiting);
        if let futures::future::Either::Left((message, _)) =
            futures::future::select(Box::pin(far.receiver.recv()), waiting).await
        {
            message.expect("the network is there");
            break;
        }
    }
    (near, far)
}

/// Sends, and again if there was no room.
async fn send(sender: &mut Sender, to: &PublicKey, message: &Bytes) {
    while sender.send(Recipients::One(to.clone()), message.clone(), false).is_empty() {
        tokio::task::yield_now().await;
    }
}

async fn one_way(context: Context, job: Arc<Job>, bytes: usize) {
    let (mut near, mut far) = pair(&context).await;
    let (count, received) = (job.count, Arc::new(AtomicUsize::new(0)));
    let window = if bytes > 4096 { 16 } else { WINDOW };
    job.start();
    let heard = Arc::clone(&received);
    let sending = context.child("sender").spawn(move |_| async move {
        let (message, to) = (Bytes::from(vec![7; bytes]), far.key);
        for sent in 0..count {
            while sent >= heard.load(Ordering::Acquire) + window {
                tokio::task::yield_now().await;
            }
            send(&mut near.sender, &to, &message).await;
        }
        near
    });
    while received.load(Ordering::Relaxed) < count {
        let (_, message) = far.receiver.recv().await.expect("the network is there");
        // Greetings from before may come late.
        if message.len() == bytes {
            received.fetch_add(1, Ordering::Release);
        }
    }
    job.stop();
    let _near = sending.await;
}

async fn round_trips(context: Context, job: Arc<Job>, in_flight: usize) {
    const BYTES: usize = 256;
    let (mut near, mut far) = pair(&context).await;
    let count = job.count;
    job.start();
    let asker = near.key.clone();
    context.child("echo").spawn(move |_| async move {
        let mut echoed = 0;
        while echoed < count {
            let (from, message) = far.receiver.recv().await.expect("the network is there");
            if from == asker && message.len() == BYTES {
                far.sender.send(Recipients::One(from), message, false);
                echoed += 1;
            }
        }
        // It answers until it is dropped with the runtime.
        futures::future::pending::<()>().await;
    });
    let (question, of) = (Bytes::from(vec![7; BYTES]), PrivateKey::from_seed(2).public_key());
    let (mut asked, mut answered) = (0, 0);
    while answered < count {
        while asked < count && asked < answered + in_flight {
            send(&mut near.sender, &of, &question).await;
            asked += 1;
        }
        near.receiver.recv().await.expect("the network is there");
        answered += 1;
    }
    job.stop();
}

impl Subject for Commonware {
    fn name(&self) -> &'static str {
        "commonware"
    }

    fn offers(&self, work: Work) -> bool {
        matches!(
            work,
            Work::RoundTrips { security: Security::Secured, .. }
                | Work::OneWay { security: Security::Secured, .. }
        )
    }

    fn run<'a>(&'a self, job: &'a Arc<Job>) -> BoxFuture<'a, ()> {
        async move {
            // Its runtime blocks the thread that it is started on, and must not be one of another runtime.
            let (ended, end) = mpsc::channel();
            let job = Arc::clone(job);
            std::thread::spawn(move || {
                Runner::new(RuntimeConfig::new().with_tcp_nodelay(Some(true))).start(|context| async move {
                    match job.work {
                        Work::RoundTrips { in_flight, .. } => round_trips(context, job, in_flight).await,
                        Work::OneWay { bytes, .. } => one_way(context, job, bytes).await,
                        _ => unreachable!("it is not offered"),
                    }
                });
                ended.send(()).expect("it is waited for");
            });
            end.recv().expect("the network ends");
        }
        .boxed()
    }
}

fn main() -> ExitCode {
    spacetime_comparisons::run(&[&Commonware])
}
