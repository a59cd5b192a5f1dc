//! How whole nodes find each other over real sockets.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use spacetime_network::app::{FullNode, NodeHandle, Options, Resolver};
use spacetime_network::node::PeerStatus;
use spacetime_network::peers::book::Source;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Knows one name.
#[derive(Debug)]
struct OneName {
    leads_to: Vec<SocketAddr>,
    lookups: AtomicUsize,
}

impl OneName {
    fn new(leads_to: &[SocketAddr]) -> Arc<Self> {
        Arc::new(Self { leads_to: leads_to.to_vec(), lookups: AtomicUsize::new(0) })
    }
}

impl Resolver for OneName {
    fn lookup(&self, name: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        let answer = match (name, port) {
            ("seed.example.org", 8333) => Ok(self.leads_to.clone()),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        async move { answer }.boxed()
    }
}

/// A node that runs until it is stopped.
struct RunningNode {
    handle: NodeHandle,
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl RunningNode {
    async fn start(folder: &Path, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::new(folder);
        options.listen = vec!["127.0.0.1:0".parse().unwrap()];
        change(&mut options);
        let node = FullNode::open(options).await.unwrap();
        let (handle, address) = (node.handle(), node.listen_addresses()[0].socket_addr().unwrap());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move { node.run(stopped.cancelled()).await.unwrap() });
        Self { handle, address, stop, task }
    }

    async fn wait_until_connected(&self) -> PeerStatus {
        within_patience(async {
            loop {
                if let Some(peer) = self.handle.status().await.unwrap().peers.pop() {
                    return peer;
                }
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// Long enough for any machine; not a measure of speed.
async fn within_patience<T>(wait: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(120), wait).await.expect("it happens")
}

fn seeds(options: &mut Options, names: &[&str], resolver: &Arc<OneName>) {
    options.peers = options.peers.clone().with_seeds(names.iter().map(|name| name.parse().unwrap()));
    options.resolver = Arc::<OneName>::clone(resolver);
}

#[tokio::test]
async fn a_node_that_knows_a_seeds_name_finds_its_peer() {
    let folder = tempfile::tempdir().unwrap();
    let other = RunningNode::start(&folder.path().join("other"), |_| {}).await;
    let resolver = OneName::new(&[other.address]);
    let names = ["unknown.example.org:8333", "seed.example.org:8333"];
    let node =
        RunningNode::start(&folder.path().join("node"), |options| seeds(options, &names, &resolver)).await;
    let peer = node.wait_until_connected().await;
    assert_eq!((peer.address, peer.role), (other.address.to_string(), "outbound".into()));
    assert_eq!(resolver.lookups.load(Ordering::SeqCst), 2, "each name once");
    assert_eq!(node.handle.addresses().await.unwrap()[0].source, Source::Seed);
    node.end().await;
    other.end().await;
}

#[tokio::test]
async fn a_node_that_finds_a_peer_of_its_former_life_asks_no_seed() {
    let folder = tempfile::tempdir().unwrap();
    let other = RunningNode::start(&folder.path().join("other"), |_| {}).await;
    let datadir = folder.path().join("node");
    let before = RunningNode::start(&datadir, |options| {
        options.peers = options.peers.clone().with_kept([other.address.into()]);
    })
    .await;
    before.wait_until_connected().await;
    before.end().await;
    let resolver = OneName::new(&[]);
    let names = ["seed.example.org:8333"];
    let node = RunningNode::start(&datadir, |options| seeds(options, &names, &resolver)).await;
    assert_eq!(node.wait_until_connected().await.address, other.address.to_string());
    assert_eq!(resolver.lookups.load(Ordering::SeqCst), 0);
    node.end().await;
    other.end().await;
}

#[tokio::test]
async fn peers_are_told_the_own_address() {
    let folder = tempfile::tempdir().unwrap();
    let hub = RunningNode::start(&folder.path().join("hub"), |_| {}).await;
    let own = SocketAddr::from(([127, 0, 0, 99], 1));
    let node = RunningNode::start(&folder.path().join("node"), |options| {
        options.peers = options.peers.clone().with_kept([hub.address.into()]);
        options.own_address = Some(own);
    })
    .await;
    within_patience(async {
        while !hub.handle.addresses().await.unwrap().iter().any(|record| record.address == own) {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    // It never puts itself into its own book.
    assert!(!node.handle.addresses().await.unwrap().iter().any(|record| record.address == own));
    node.end().await;
    hub.end().await;
}
