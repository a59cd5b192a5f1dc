//! `spacetime start`: run a node.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use spacetime_core::Address;
use spacetime_handshake::Legacy;
use spacetime_peers::AddressRules;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::interval;

use super::node_folder::{DEFAULT_NETWORK, load_config};
use super::{logging, runtime, say};
use crate::app::config::{BandwidthConfig, DEFAULT_PORT, parse_address};
use crate::app::progress::{Bar, line};
use crate::app::{AppError, FullNode, NodeHandle, Options, RateLimit, TrustOptions, default_data_folder};
use crate::transport::TlsMode;
use crate::transport::tls::TlsVersion;

/// How often the status line comes where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// How often the bar moves.
const BAR_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Args, Clone, Debug, Default)]
pub(super) struct Arguments {
    /// The folder with the node's key, chain and address book [default: $XDG_DATA_HOME/spacetime/NETWORK]
    #[arg(long, env = "SPACETIME_DATADIR", value_name = "D")]
    datadir: Option<PathBuf>,

    /// Where to take connections; repeatable, port 8333 if none is given, 0 for any [default: 0.0.0.0:8333]
    #[arg(long, env = "SPACETIME_LISTEN", value_delimiter = ',', value_name = "ADDR")]
    listen: Option<Vec<String>>,

    /// A node to keep a connection with; repeatable
    #[arg(long, env = "SPACETIME_PEER", value_delimiter = ',', value_name = "ADDR")]
    peer: Option<Vec<String>>,

    /// A node to ask for addresses while no peer can be reached, or a DNS name of many; repeatable
    #[arg(long, env = "SPACETIME_SEED", value_delimiter = ',', value_name = "ADDR")]
    seed: Option<Vec<String>>,

    /// Where others reach this node, which peers are told
    #[arg(long, env = "SPACETIME_OWN_ADDRESS", value_name = "ADDR")]
    own_address: Option<String>,

    /// Learn, tell and dial loopback, private and the like addresses [default: true on dev]
    #[arg(long, env = "SPACETIME_ALLOW_PRIVATE", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_name = "BOOL")]
    allow_private: Option<bool>,

    /// The network [default: dev]
    #[arg(long, env = "SPACETIME_NETWORK", value_name = "NAME")]
    network: Option<String>,

    /// Encryption: required, optional (version-1 nodes have none), or off [default: required]
    #[arg(long, env = "SPACETIME_TLS", value_name = "MODE")]
    tls: Option<String>,

    /// Version-1 nodes that never say Handshake: refuse or serve [default: refuse]
    #[arg(long, env = "SPACETIME_LEGACY", value_name = "POLICY")]
    legacy: Option<String>,

    #[command(flatten)]
    bandwidth: BandwidthArguments,

    /// A configuration file [default: $XDG_CONFIG_HOME/spacetime/config.toml, if it is there]
    #[arg(long, env = "SPACETIME_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// What to log, as in warn,spacetime_network=debug [default: info, warn under a progress bar]
    #[arg(long, env = "SPACETIME_LOG", value_name = "FILTER")]
    log: Option<String>,
}

/// Bytes per second, as 65536, 512KiB or 10MB; 0 or off for no limit.
#[derive(Args, Clone, Debug, Default)]
struct BandwidthArguments {
    /// What may be sent in a second, as 512KiB, 10MB, or off [default: 10MiB]
    #[arg(long, env = "SPACETIME_UPLOAD", value_name = "RATE")]
    upload: Option<RateLimit>,

    /// What is taken in a second [default: 10MiB]
    #[arg(long, env = "SPACETIME_DOWNLOAD", value_name = "RATE")]
    download: Option<RateLimit>,

    /// What may be sent to each peer in a second [default: 1MiB]
    #[arg(long, env = "SPACETIME_UPLOAD_PER_PEER", value_name = "RATE")]
    upload_per_peer: Option<RateLimit>,

    /// What is taken from each peer in a second [default: 1MiB]
    #[arg(long, env = "SPACETIME_DOWNLOAD_PER_PEER", value_name = "RATE")]
    download_per_peer: Option<RateLimit>,
}

impl BandwidthArguments {
    const fn config(&self) -> BandwidthConfig {
        let Self { upload, download, upload_per_peer, download_per_peer } = *self;
        BandwidthConfig { upload_per_peer, upload, download_per_peer, download }
    }
}

/// What is to be done, from flags over environment over file over defaults.
struct Settings {
    options: Options,
    network: String,
    log: Option<String>,
}

impl Arguments {
    fn settings(self) -> Result<Settings, AppError> {
        let file = load_config(self.config.as_deref())?;
        let network = self.network.or(file.network.clone()).unwrap_or_else(|| DEFAULT_NETWORK.into());
        if network != "dev" {
            return Err(AppError::Config(format!(
                "there is no network {network:?}; the only one so far is dev"
            )));
        }
        let tls = match self.tls.or(file.tls.clone()).as_deref() {
            None | Some("required") => TlsMode::Required,
            Some("optional") => TlsMode::Optional,
            Some("off") => TlsMode::Off,
            Some(other) => {
                let text = format!("there is no TLS mode {other:?}; there are required, optional and off");
                return Err(AppError::Config(text));
            }
        };
        let min_tls_version = match file.min_tls_version.as_deref() {
            None | Some("1.3") => TlsVersion::V1_3,
            Some("1.2") => TlsVersion::V1_2,
            Some(other) => {
                let text = format!("min_tls_version cannot be {other:?}; it can be 1.2 or 1.3");
                return Err(AppError::Config(text));
            }
        };
        let legacy = match self.legacy.or(file.legacy.clone()).as_deref() {
            None | Some("refuse") => Legacy::Refuse,
            Some("serve") => Legacy::Serve,
            Some(other) => {
                let text =
                    format!("there is no policy {other:?} for version-1 nodes; there are refuse and serve");
                return Err(AppError::Config(text));
            }
        };
        let datadir = match self.datadir.or(file.datadir.clone()) {
            Some(datadir) => datadir,
            None => default_data_folder(&network)?,
        };
        let mut options = Options::new(datadir);
        let listen =
            self.listen.or(file.listen.clone()).unwrap_or_else(|| vec![format!("0.0.0.0:{DEFAULT_PORT}")]);
        options.listen = addresses(listen)?;
        let kept = addresses(self.peer.or(file.peers.clone()).unwrap_or_default())?;
        let seeds = addresses(self.seed.or(file.seeds.clone()).unwrap_or_default())?;
        let (limits, peers) = file.limits()?;
        options.peers = peers.with_kept(kept).with_seeds(seeds);
        options.limits = limits.with_bandwidth(self.bandwidth.config().or(&file.bandwidth).bandwidth());
        options.allow_private = self.allow_private.or(file.allow_private).unwrap_or(true);
        let own_address = self.own_address.or(file.own_address.clone()).filter(|text| !text.is_empty());
        options.own_address = own_address.map(|text| own(&text, options.allow_private)).transpose()?;
        options.legacy = legacy;
        options.tls = tls;
        options.min_tls_version = min_tls_version;
        options.trust = TrustOptions::read(&file)?;
        options.sync = file.sync();
        Ok(Settings { options, network, log: self.log.or(file.log) })
    }
}

fn addresses(texts: Vec<String>) -> Result<Vec<Address>, AppError> {
    texts.iter().filter(|text| !text.is_empty()).map(|text| parse_address(text)).collect()
}

/// Reads the address of this node.
fn own(text: &str, allow_private: bool) -> Result<SocketAddr, AppError> {
    let unusable = |why: &str| AppError::Config(format!("{text:?} cannot be the own address: {why}"));
    let address = parse_address(text)?;
    let address = address.socket_addr().ok_or_else(|| unusable("it must be an IP address"))?;
    AddressRules { allow_private }.check(address).map_err(|error| unusable(&error.to_string()))?;
    Ok(address)
}

pub(super) fn run(arguments: Arguments) -> Result<(), AppError> {
    let Settings { options, network, log } = arguments.settings()?;
    let on_terminal = std::io::stderr().is_terminal();
    logging::start(log.as_deref().unwrap_or(if on_terminal { "warn" } else { "info" }))?;
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        let stop = stop_signals()?;
        let node = FullNode::open(options).await?;
        introduce(&node, &network);
        let progress = tokio::spawn(show_progress(node.handle(), on_terminal));
        let result = node.run(stop).await;
        progress.abort();
        // It is ended before the last line is written.
        let _ = progress.await;
        if result.is_ok() {
            say("stopped");
        }
        result
    });
    // Whatever is left waits for a peer or a client that is gone.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

fn introduce(node: &FullNode, network: &str) {
    say(format_args!("spacetime {} on the network {network}", env!("CARGO_PKG_VERSION")));
    say(format_args!("peer id {}", node.peer_id()));
    for address in node.listen_addresses() {
        say(format_args!("listening on {address}"));
    }
    say(format_args!("data in {}", node.folder().path().display()));
    say(format_args!("tip {} {}", node.tip().height, node.tip().hash));
}

/// Ready at the first SIGINT or SIGTERM. The second one ends the process at once.
fn stop_signals() -> Result<impl Future<Output = ()>, AppError> {
    let failed = |error| AppError::failed("cannot listen for signals", error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let (first, ready) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        next().await;
        // The node has ended by itself if nobody listens.
        let _ = first.send(());
        next().await;
        std::process::exit(1);
    });
    Ok(async {
        let _ = ready.await;
    })
}

/// Shows how the node gets on, until it ends.
async fn show_progress(handle: NodeHandle, on_terminal: bool) {
    let bar = on_terminal.then(Bar::new);
    let mut ticks = interval(if on_terminal { BAR_INTERVAL } else { LINE_INTERVAL });
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let Ok(status) = handle.status().await else {
            break;
        };
        match &bar {
            Some(bar) => bar.update(&status),
            None => say(line(&status)),
        }
    }
    if let Some(bar) = bar {
        bar.finish();
    }
}
