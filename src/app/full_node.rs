//! A whole node: chain, network and control socket in one data folder.

use std::io;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;

use futures::StreamExt as _;
use spacetime_core::chain::{ChainRules, HeaderInfo, SpacetimeRules, block_hash, development_genesis};
use spacetime_core::{Address, Event, Limits, PeerId};
use spacetime_handshake::Legacy;
use spacetime_node::{Config as NodeConfig, Node, NodeEvent, Start, Status};
use tokio::task::AbortHandle;

use super::AppError;
use super::chain_keeper::{self, AcceptAll};
use super::chain_worker::ChainWorker;
use super::control::ControlSocket;
use super::folder::DataFolder;
use super::identity::Identity;
use crate::store::{CheckedBlock, RedbStore};
use crate::swarm::{Config as SwarmConfig, Handle, Swarm, system_clock};
use crate::transport::TcpTransport;

/// What a node is started with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The folder with its key, its chain and its control socket.
    pub datadir: PathBuf,
    /// Where to listen.
    pub listen: Vec<Address>,
    /// With whom to keep connections.
    pub peers: spacetime_peers::Config,
    /// The bounds of its Swarm.
    pub limits: Limits,
    /// How it synchronises.
    pub sync: spacetime_sync::Config,
    /// Whether version-1 nodes that never say Handshake are let in.
    pub legacy: Legacy,
}

impl Options {
    /// A node in this folder that neither listens nor dials.
    pub fn new(datadir: impl Into<PathBuf>) -> Self {
        Self {
            datadir: datadir.into(),
            listen: Vec::new(),
            peers: spacetime_peers::Config::default(),
            limits: Limits::default(),
            sync: spacetime_sync::Config::default(),
            legacy: Legacy::default(),
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
        let identity = Identity::load_or_generate(&folder.key_file())
            .map_err(|error| AppError::Failed(error.to_string()))?;
        let rules = development_rules()?;
        let store = Arc::new(open_store(&folder, &rules)?);
        let tip = chain_keeper::tip(&*store, &rules)?;

        let chain_id = block_hash(rules.genesis()).unwrap_or_default();
        let config = NodeConfig::new(chain_id)
            .with_handshake(spacetime_handshake::Config::new(chain_id).with_legacy(options.legacy))
            .with_peers(options.peers)
            .with_sync(options.sync);
        let rng =
            crate::os_rng().map_err(|error| AppError::failed("the system gives no randomness", error))?;
        let start = Start { tip, peers: spacetime_peers::Stored::default(), unix_seconds: system_clock() };
        let node = Node::new(config, rules.clone(), start, &rng)
            .map_err(|error| AppError::Config(error.to_string()))?;
        let config = SwarmConfig::new(identity.peer_id())
            .with_transport(TcpTransport::new())
            .with_limits(options.limits);
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

        let worker = ChainWorker::spawn(store, rules, AcceptAll, &swarm.handle())
            .map_err(|error| AppError::failed("cannot start the chain threads", error))?;
        let control = ControlSocket::bind(folder.path())
            .map_err(|error| AppError::failed("cannot open the control socket", error))?;
        Ok(Self { control, swarm, worker, listen, peer_id: identity.peer_id(), tip, folder })
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
        NodeHandle { handle: self.swarm.handle(), listen: Arc::from(self.listen.clone()) }
    }

    /// Runs until `stop` is ready, then ends in order: peers are told, the chain is on the disk.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), AppError> {
        let handle = self.handle();
        let Self { control, mut swarm, mut worker, folder, .. } = self;
        let control = AbortOnDrop(
            tokio::spawn(control.serve(move || {
                let handle = handle.clone();
                async move { handle.status().await }
            }))
            .abort_handle(),
        );
        tokio::pin!(stop);
        let result = loop {
            tokio::select! {
                biased;
                () = &mut stop => break Ok(()),
                error = worker.failed() => break Err(error.into()),
                Some(event) = swarm.next() => {
                    if let Event::Behaviour(NodeEvent::Sync(event)) = event {
                        worker.carry_out(event).await;
                    }
                }
            }
        };
        drop(control);
        swarm.shutdown().await;
        worker.finish().await;
        drop(folder);
        result
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

/// A way to talk to a running [`FullNode`]; cheap to clone.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    handle: Handle<FullNodeBehaviour>,
    listen: Arc<[Address]>,
}

impl NodeHandle {
    /// What the node says of itself; none if it has ended.
    pub async fn status(&self) -> Option<Status> {
        let listen = Arc::clone(&self.listen);
        self.handle.act(move |node, cx| node.status(cx, &listen)).await.ok()
    }
}
