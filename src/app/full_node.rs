//! A whole node: chain, network and control socket in one data folder.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;

use futures::StreamExt as _;
use spacetime_core::chain::{ChainRules, HeaderInfo, SpacetimeRules, block_hash, development_genesis};
use spacetime_core::{Address, Bandwidth, Endpoint, Event, Hash, Limits, PeerId};
use spacetime_handshake::Legacy;
use spacetime_node::{Config as NodeConfig, Node, NodeCommand, NodeEvent, Start};
use spacetime_peers::AddressRules;
use spacetime_peers::book::Record;
use spacetime_sync::{Event as SyncEvent, Progress};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::AppError;
use super::chain_keeper::{self, AcceptAll};
use super::chain_worker::ChainWorker;
use super::control::ControlSocket;
use super::folder::DataFolder;
use super::key_file::KeyFile;
use super::node_handle::NodeHandle;
use super::peers_worker::PeersWorker;
use super::resolver::{self, Resolver, SystemResolver};
use super::trust_options::TrustOptions;
use crate::store::{CheckedBlock, RedbStore};
use crate::swarm::{Config as SwarmConfig, Swarm, system_clock};
use crate::transport::tls::{NodeKey, TlsVersion};
use crate::transport::{TcpTransport, TlsConfig, TlsMode, TlsTransport};

/// What a node is started with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The folder with its key, its chain, what it knows of its peers, and its control socket.
    pub datadir: PathBuf,
    /// Where to listen.
    pub listen: Vec<Address>,
    /// With whom to keep connections.
    pub peers: spacetime_peers::Config,
    /// Whether addresses are learned, told and dialled that are of use on some networks only: loopback,
    /// private ones and the like. Yes: that is how the development network is.
    pub allow_private: bool,
    /// Where others reach this node, which peers are told. Without it they learn the port on which it
    /// listens, and try it at the address that they see.
    pub own_address: Option<SocketAddr>,
    /// Who finds out where the DNS names of seeds lead. The system.
    pub resolver: Arc<dyn Resolver>,
    /// The bounds of its Swarm. The default ones, with the [bandwidth](Bandwidth::reference) of the reference
    /// node.
    pub limits: Limits,
    /// How it synchronises.
    pub sync: spacetime_sync::Config,
    /// Whether version-1 nodes that never say Handshake are let in. They cannot encrypt, so to serve them
    /// encryption must not be required.
    pub legacy: Legacy,
    /// Whether connections are encrypted. Required.
    pub tls: TlsMode,
    /// The lowest version of TLS. 1.3.
    pub min_tls_version: TlsVersion,
    /// Whom it believes to be whom, on private networks.
    pub trust: TrustOptions,
}

impl Options {
    /// A node in this folder that neither listens nor dials.
    pub fn new(datadir: impl Into<PathBuf>) -> Self {
        Self {
            datadir: datadir.into(),
            listen: Vec::new(),
            peers: spacetime_peers::Config::default(),
            allow_private: true,
            own_address: None,
            resolver: Arc::new(SystemResolver),
            limits: Limits::default().with_bandwidth(Bandwidth::reference()),
            sync: spacetime_sync::Config::default(),
            legacy: Legacy::default(),
            tls: TlsMode::default(),
            min_tls_version: TlsVersion::V1_3,
            trust: TrustOptions::default(),
        }
    }
}

/// The tree that runs in a [`FullNode`].
pub type FullNodeBehaviour = Node<SpacetimeRules>;

/// A node of the development network that is ready to run.
#[derive(Debug)]
pub struct FullNode {
    // In the order in which they are dropped: the folder stays locked until all is closed.
    control: ControlSocket,
    swarm: Swarm<FullNodeBehaviour>,
    worker: ChainWorker,
    peers_worker: PeersWorker,
    progress: watch::Sender<Progress>,
    resolver: Arc<dyn Resolver>,
    listen: Vec<Address>,
    peer_id: PeerId,
    tip: HeaderInfo,
    folder: DataFolder,
}

/// The rules of the development network.
pub(super) fn development_rules() -> Result<SpacetimeRules, AppError> {
    SpacetimeRules::new(&development_genesis())
        .map_err(|error| AppError::failed("the genesis block is broken", error))
}

/// Opens the chain in a data folder, or makes it with the genesis block in it.
pub(super) fn open_store(folder: &DataFolder, rules: &SpacetimeRules) -> Result<RedbStore, AppError> {
    let bytes = rules.genesis();
    let failed = |error| AppError::failed("the genesis block is broken", error);
    let info = rules.check_block(bytes).map_err(failed)?;
    let header = rules.header_of(bytes).map_err(failed)?;
    Ok(RedbStore::open(&folder.chain_file(), CheckedBlock { info, header, bytes })?)
}

impl FullNode {
    /// Opens the folder and the chain, and starts to listen. Nothing is dialled before
    /// [`run`](Self::run).
    pub async fn open(options: Options) -> Result<Self, AppError> {
        let folder = DataFolder::open(&options.datadir)?;
        let key = KeyFile::at(folder.key_file())
            .load_or_create()
            .map_err(|error| AppError::Failed(error.to_string()))?;
        let peer_id = key.peer_id();
        let rules = development_rules()?;
        let store = Arc::new(open_store(&folder, &rules)?);
        let recent = chain_keeper::recent(&*store, &rules)?;
        let tip = *recent.tip();

        let unix_seconds = system_clock();
        let (stored, warnings) = folder.peers_files().load(unix_seconds);
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let max_reads = options.sync.max_reads();
        let rng =
            crate::os_rng().map_err(|error| AppError::failed("the system gives no randomness", error))?;
        let is_proven = |it: &&Record| it.peer_id.is_some();
        let proven = stored.records.iter().filter(is_proven).map(|it| Endpoint::Socket(it.address));
        let transport = transport(&options, key, proven)?;
        let start = Start { recent, peers: stored, unix_seconds };
        let config = node_config(&options, block_hash(rules.genesis()).unwrap_or_default());
        let node = Node::new(config, rules.clone(), start, &rng)
            .map_err(|error| AppError::Config(error.to_string()))?;
        let config = SwarmConfig::new(peer_id).with_transport(transport).with_limits(options.limits);
        let mut swarm = Swarm::new(node, config).map_err(|error| AppError::Config(error.to_string()))?;

        let mut listen = Vec::new();
        for address in options.listen {
            let actual =
                swarm.listen(address.clone()).await.map_err(|error| listen_error(&address, error))?;
            listen.push(actual);
        }
        let port =
            listen.iter().find_map(Address::socket_addr).and_then(|socket| NonZeroU16::new(socket.port()));
        swarm.act(|node, _| node.handshake.set_listen_port(port));

        let worker = ChainWorker::spawn(store, rules, AcceptAll, max_reads, &swarm.handle())
            .map_err(|error| AppError::failed("cannot start the chain threads", error))?;
        let peers_worker = PeersWorker::spawn(folder.peers_files())
            .map_err(|error| AppError::failed("cannot start the thread that stores peers", error))?;
        let control = ControlSocket::bind(folder.path())
            .map_err(|error| AppError::failed("cannot open the control socket", error))?;
        let resolver = options.resolver;
        let progress = watch::Sender::new(swarm.behaviour().sync.progress());
        Ok(Self { control, swarm, worker, peers_worker, progress, resolver, listen, peer_id, tip, folder })
    }

    /// Who it is.
    pub const fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// Where it listens, with the ports that the system chose.
    pub fn listen_addresses(&self) -> &[Address] {
        &self.listen
    }

    /// The last block of its chain when it was opened.
    pub const fn tip(&self) -> HeaderInfo {
        self.tip
    }

    /// Its data folder.
    pub const fn folder(&self) -> &DataFolder {
        &self.folder
    }

    /// A way to talk to it while it runs.
    pub fn handle(&self) -> NodeHandle {
        let writer = self.peers_worker.writer().clone();
        let progress = self.progress.subscribe();
        NodeHandle::new(self.swarm.handle(), &self.listen, writer, self.worker.publisher(), progress)
    }

    /// Runs until `stop` is ready, then ends in order: peers are told, the chain and what is known of
    /// peers are on the disk.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), AppError> {
        let handle = self.handle();
        let Self { control, mut swarm, mut worker, peers_worker, progress, resolver, folder, .. } = self;
        let control = AbortOnDrop(tokio::spawn(control.serve(handle.clone())).abort_handle());
        let mut lookups = JoinSet::new();
        tokio::pin!(stop);
        let result = loop {
            tokio::select! {
                biased;
                () = &mut stop => break Ok(()),
                error = worker.failed() => break Err(error.into()),
                Some(_) = lookups.join_next() => {}
                Some(event) = swarm.next() => match event {
                    Event::Behaviour(NodeEvent::Sync(SyncEvent::Progressed { progress: now })) => {
                        progress.send_replace(now);
                    }
                    Event::Behaviour(NodeEvent::Sync(event)) => worker.carry_out(event).await,
                    Event::Behaviour(NodeEvent::Relay(spacetime_relay::Event::Received { item, host, .. })) => {
                        worker.judge(item, host);
                    }
                    Event::Behaviour(NodeEvent::Peers(event)) => match event {
                        spacetime_peers::Event::Resolve(seed) => {
                            lookups.spawn(look_up(Arc::clone(&resolver), seed, handle.clone()));
                        }
                        spacetime_peers::Event::StoreBook(records) => peers_worker.writer().store_book(records),
                        // The newest one: since this was said, a command may have had another one stored.
                        spacetime_peers::Event::StoreState(_) => {
                            let state = Box::new(swarm.behaviour().peers.state());
                            peers_worker.writer().store_state(state);
                        }
                        _ => {}
                    },
                    _ => {}
                },
            }
        };
        drop(control);
        // While there are sessions still: they are the anchors of the next start.
        let peers = &swarm.behaviour().peers;
        peers_worker.writer().store_book(peers.records());
        peers_worker.writer().store_state(Box::new(peers.state()));
        swarm.shutdown().await;
        worker.finish().await;
        peers_worker.finish().await;
        drop(folder);
        result
    }
}

/// TCP, encrypted as far as is wanted.
fn transport(
    options: &Options,
    key: NodeKey,
    proven: impl Iterator<Item = Endpoint>,
) -> Result<TlsTransport<TcpTransport>, AppError> {
    if options.legacy == Legacy::Serve && options.tls == TlsMode::Required {
        let text = "to serve version-1 nodes, which cannot encrypt, tls must be optional or off";
        return Err(AppError::Config(text.into()));
    }
    // Those that may wait for our first word are not waited for longer than the handshake would.
    let serves_silent = options.legacy == Legacy::Serve;
    let grace = spacetime_handshake::Config::new(Hash::ZERO).grace();
    let config = TlsConfig::new(key)
        .with_mode(options.tls)
        .with_versions(options.min_tls_version, TlsVersion::V1_3)
        .with_plaintext_after(serves_silent.then_some(grace))
        .with_proven_endpoints(proven);
    let config = options.trust.apply(config);
    TlsTransport::new(TcpTransport::new(), &config).map_err(|error| AppError::Config(error.to_string()))
}

/// The configuration of the tree.
fn node_config(options: &Options, chain_id: Hash) -> NodeConfig {
    let Options { allow_private, own_address, .. } = *options;
    let peers = options.peers.clone().with_address_rules(AddressRules { allow_private });
    NodeConfig::new(chain_id)
        .with_handshake(spacetime_handshake::Config::new(chain_id).with_legacy(options.legacy))
        .with_peers(peers.with_own_addresses(own_address))
        .with_peer_exchange(spacetime_peer_exchange::Config::default().with_own_address(own_address))
        .with_gossip(
            spacetime_gossip::Config::default()
                .with_allow_private(allow_private)
                .with_own_address(own_address),
        )
        .with_sync(options.sync.clone())
}

/// Tells the node where the name of a seed leads.
async fn look_up(resolver: Arc<dyn Resolver>, seed: Address, handle: NodeHandle) {
    if let Endpoint::Name(name, port) = seed.endpoint() {
        let addresses = resolver::resolve(&*resolver, name, *port).await;
        let resolved = NodeCommand::Peers(spacetime_peers::Command::Resolved { seed, addresses });
        // If it has ended, nobody needs to know.
        let _ = handle.swarm().send(resolved).await;
    }
}

fn listen_error(address: &Address, error: io::Error) -> AppError {
    let text = format!("cannot listen on {address}: {error}");
    match error.kind() {
        io::ErrorKind::AddrInUse => AppError::Busy(format!("{text}; give another --listen")),
        _ => AppError::Failed(text),
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
