//! How whole nodes find each other over real sockets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use spacetime_network::app::{FullNode, NodeHandle, Options, Resolver};
use spacetime_network::node::Status;
use tokio::task::JoinSet;
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

/// Nodes that run until the test ends.
struct Network {
    folder: tempfile::TempDir,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Network {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), stop: CancellationToken::new(), tasks: JoinSet::new() }
    }

    async fn start(&mut self, name: &str, change: impl FnOnce(&mut Options)) -> (NodeHandle, SocketAddr) {
        let mut options = Options::new(self.folder.path().join(name));
        options.listen = vec!["127.0.0.1:0".parse().unwrap()];
        change(&mut options);
        let node = FullNode::open(options).await.unwrap();
        let (handle, address) = (node.handle(), node.listen_addresses()[0].socket_addr().unwrap());
        let stop = self.stop.clone();
        self.tasks.spawn(async move { node.run(stop.cancelled()).await.unwrap() });
        (handle, address)
    }

    async fn end(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

async fn wait_until(node: &NodeHandle, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
    let wait = async {
        loop {
            let status = node.status().await.unwrap();
            if wanted(&status) {
                return status;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(120), wait).await.unwrap_or_else(|_| panic!("not {what}"))
}

#[tokio::test]
async fn a_node_that_knows_a_seeds_name_finds_its_peer() {
    let mut network = Network::new();
    let (_, address) = network.start("other", |_| {}).await;
    let resolver = OneName::new(&[address]);
    let of_node = Arc::clone(&resolver);
    let (node, _) = network
        .start("node", |options| {
            let seeds = ["unknown.example.org:8333", "seed.example.org:8333"];
            options.peers = options.peers.clone().with_seeds(seeds.map(|seed| seed.parse().unwrap()));
            options.resolver = of_node;
        })
        .await;
    let status = wait_until(&node, "connected", |status| !status.peers.is_empty()).await;
    assert_eq!(status.peers[0].address, address.to_string());
    assert_eq!(status.peers[0].role, "outbound");
    assert_eq!(resolver.lookups.load(Ordering::SeqCst), 2, "each name once");
    let source = node.addresses().await.unwrap()[0].source;
    assert_eq!(source, spacetime_network::peers::book::Source::Seed);
    network.end().await;
}

#[tokio::test]
async fn a_node_that_finds_a_peer_in_its_book_asks_no_seed() {
    let mut network = Network::new();
    let (_, address) = network.start("other", |_| {}).await;
    let change = |options: &mut Options| options.peers = options.peers.clone().with_kept([address.into()]);
    let first = {
        let mut before = Network::new();
        std::mem::swap(&mut before.folder, &mut network.folder);
        let (node, _) = before.start("node", change).await;
        wait_until(&node, "connected", |status| !status.peers.is_empty()).await;
        std::mem::swap(&mut before.folder, &mut network.folder);
        before
    };
    first.end().await;
    let resolver = OneName::new(&[]);
    let of_node = Arc::clone(&resolver);
    let (node, _) = network
        .start("node", |options| {
            let seed = "seed.example.org:8333".parse().unwrap();
            options.peers = options.peers.clone().with_seeds([seed]);
            options.resolver = of_node;
        })
        .await;
    let status = wait_until(&node, "connected", |status| !status.peers.is_empty()).await;
    assert_eq!(status.peers[0].address, address.to_string());
    assert_eq!(resolver.lookups.load(Ordering::SeqCst), 0);
    network.end().await;
}

#[tokio::test]
async fn an_own_address_is_told_and_dialled_by_those_who_hear_of_it() {
    let mut network = Network::new();
    let (hub, hub_address) = network.start("hub", |_| {}).await;
    let own: SocketAddr = ([203, 0, 113, 7], 8333).into();
    let (_, _) = network
        .start("node", |options| {
            options.peers = options.peers.clone().with_kept([hub_address.into()]);
            options.own_address = Some(own);
        })
        .await;
    let heard = async {
        while !hub.addresses().await.unwrap().iter().any(|record| record.address == own) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(120), heard).await.expect("the own address is announced");
    network.end().await;
}
