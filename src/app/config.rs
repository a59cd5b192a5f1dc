//! The configuration file.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use spacetime_core::{Address, Bandwidth, Endpoint, InvalidAddress, Limits, Rate};

use super::AppError;
use super::rate::RateLimit;

/// The port of the protocol.
pub(super) const DEFAULT_PORT: u16 = 8333;

/// Connections beside those that are chosen and those that came: one that tests an address, and one
/// for which another makes room.
const SPARE_CONNECTIONS: usize = 2;

/// What a configuration file may say; each entry is optional. `examples/spacetime.toml` explains
/// them. What is not known is refused, so that a misspelt entry is not just without effect.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct FileConfig {
    /// Which network.
    pub network: Option<String>,
    /// The data folder.
    pub datadir: Option<PathBuf>,
    /// Where to listen.
    pub listen: Option<Vec<String>>,
    /// With whom to keep connections.
    pub peers: Option<Vec<String>>,
    /// Whom to ask for addresses while no peer can be reached.
    pub seeds: Option<Vec<String>>,
    /// Where others reach this node.
    pub own_address: Option<String>,
    /// Whether private addresses are learned, told and dialled.
    pub allow_private: Option<bool>,
    /// Whether connections are encrypted: `required`, `optional` or `off`.
    pub tls: Option<String>,
    /// The lowest version of TLS: `1.2` or `1.3`.
    pub min_tls_version: Option<String>,
    /// The only peers that there are for this node, by their ids.
    pub allowed_peers: Option<Vec<String>>,
    /// Files with the certificates of authorities that issue those of all peers, in PEM.
    pub authorities: Option<Vec<PathBuf>>,
    /// The file with the certificate of the node, and those of its issuers, in PEM.
    pub certificates: Option<PathBuf>,
    /// SHA-256 hashes of public keys of which each peer must have one in its chain, in hexadecimal digits.
    pub pinned_keys: Option<Vec<String>>,
    /// What to do with version-1 nodes that never say Handshake: `refuse` or `serve`.
    pub legacy: Option<String>,
    /// What to log.
    pub log: Option<String>,
    /// Bounds.
    pub limits: LimitsConfig,
    /// How many bytes a second are sent and received.
    pub bandwidth: BandwidthConfig,
    /// Synchronisation.
    pub sync: SyncConfig,
}

/// The part about bounds.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LimitsConfig {
    /// Sessions and dials at a time.
    pub max_connections: Option<usize>,
    /// Connections that the node chooses itself.
    pub max_outbound: Option<usize>,
    /// Peers that connected.
    pub max_inbound: Option<usize>,
    /// Accepted connections that are not established yet, at a time.
    pub max_opening: Option<usize>,
    /// How often one public host may connect at once.
    pub accepts_per_host: Option<u32>,
    /// After how many milliseconds it may connect once more.
    pub accept_interval_ms_per_host: Option<u64>,
    /// How often the hosts of one public network may connect at once.
    pub accepts_per_group: Option<u32>,
    /// After how many milliseconds one of them may connect once more.
    pub accept_interval_ms_per_group: Option<u64>,
}

impl LimitsConfig {
    /// Limits with the rates of connections that are said here, and their own for what is not.
    fn with_rates(&self, limits: Limits) -> Limits {
        let rate = |rate: Rate, capacity: Option<u32>, interval_ms: Option<u64>| Rate {
            capacity: capacity.unwrap_or(rate.capacity),
            interval: interval_ms.map_or(rate.interval, Duration::from_millis),
        };
        let (per_host, per_group) = (limits.accept_rate_per_host(), limits.accept_rate_per_group());
        limits
            .with_accept_rate_per_host(rate(
                per_host,
                self.accepts_per_host,
                self.accept_interval_ms_per_host,
            ))
            .with_accept_rate_per_group(rate(
                per_group,
                self.accepts_per_group,
                self.accept_interval_ms_per_group,
            ))
    }
}

/// The part about bandwidth: bytes per second, frame headers included, or `"off"`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BandwidthConfig {
    /// Sent to each peer.
    pub upload_per_peer: Option<RateLimit>,
    /// Sent to all peers together.
    pub upload: Option<RateLimit>,
    /// Taken from each peer.
    pub download_per_peer: Option<RateLimit>,
    /// Taken from all peers together.
    pub download: Option<RateLimit>,
}

impl BandwidthConfig {
    /// The same, with what `other` says for what is not said here.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self {
            upload_per_peer: self.upload_per_peer.or(other.upload_per_peer),
            upload: self.upload.or(other.upload),
            download_per_peer: self.download_per_peer.or(other.download_per_peer),
            download: self.download.or(other.download),
        }
    }

    /// The limits of the Swarm, with those of the reference node for what is not said.
    pub fn bandwidth(&self) -> Bandwidth {
        let mut bandwidth = Bandwidth::reference();
        if let Some(RateLimit(limit)) = self.upload_per_peer {
            bandwidth = bandwidth.with_upload_per_peer(limit);
        }
        if let Some(RateLimit(limit)) = self.upload {
            bandwidth = bandwidth.with_upload(limit);
        }
        if let Some(RateLimit(limit)) = self.download_per_peer {
            bandwidth = bandwidth.with_download_per_peer(limit);
        }
        if let Some(RateLimit(limit)) = self.download {
            bandwidth = bandwidth.with_download(limit);
        }
        bandwidth
    }
}

/// The part about synchronisation.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SyncConfig {
    /// Peers that are asked for headers at the same time.
    pub max_peers: Option<usize>,
    /// Peers that blocks are asked from at the same time.
    pub parallel_downloads: Option<usize>,
    /// Headers that are asked for at once.
    pub max_headers_per_request: Option<usize>,
    /// How often a peer is asked for a block, and fails in a row, before it rests for 10 minutes.
    pub max_retries: Option<u32>,
    /// How many milliseconds an answer may take.
    pub request_timeout_ms: Option<u64>,
    /// Blocks that one peer is asked for at the same time.
    pub max_in_flight_per_peer: Option<usize>,
    /// How far ahead of the last applied block blocks are asked for.
    pub max_window_blocks: Option<usize>,
    /// Bytes of blocks that may wait to be applied.
    pub max_window_bytes: Option<usize>,
    /// After how many milliseconds a peer is asked again that had nothing newer, or failed.
    pub poll_interval_ms: Option<u64>,
    /// How many blocks are left for a heavier chain.
    pub max_reorg_depth: Option<usize>,
    /// How many blocks behind is far behind.
    pub initial_download_threshold: Option<u64>,
    /// After how many milliseconds without a new block all peers are asked for one.
    pub stale_tip_timeout_ms: Option<u64>,
    /// How many milliseconds there are at least between two reports of progress.
    pub progress_interval_ms: Option<u64>,
    /// How much is read at a time for peers that ask.
    pub max_reads: Option<usize>,
}

impl SyncConfig {
    /// The same configuration with what is said here.
    fn apply(&self, config: spacetime_sync::Config) -> spacetime_sync::Config {
        use spacetime_sync::Config;

        fn set<T>(config: Config, value: Option<T>, with: fn(Config, T) -> Config) -> Config {
            match value {
                Some(value) => with(config, value),
                None => config,
            }
        }
        let ms = |value: Option<u64>| value.map(Duration::from_millis);
        let config = set(config, self.max_peers, Config::with_max_peers);
        let config = set(config, self.parallel_downloads, Config::with_parallel_downloads);
        let config = set(config, self.max_headers_per_request, Config::with_max_headers_per_request);
        let config = set(config, self.max_retries, Config::with_max_retries);
        let config = set(config, ms(self.request_timeout_ms), Config::with_request_timeout);
        let config = set(config, self.max_in_flight_per_peer, Config::with_max_in_flight_per_peer);
        let config = set(config, self.max_window_blocks, Config::with_max_window_blocks);
        let config = set(config, self.max_window_bytes, Config::with_max_window_bytes);
        let config = set(config, ms(self.poll_interval_ms), Config::with_poll_interval);
        let config = set(config, self.max_reorg_depth, Config::with_max_reorg_depth);
        let config = set(config, self.initial_download_threshold, Config::with_initial_download_threshold);
        let config = set(config, ms(self.stale_tip_timeout_ms), Config::with_stale_tip_timeout);
        let config = set(config, ms(self.progress_interval_ms), Config::with_progress_interval);
        set(config, self.max_reads, Config::with_max_reads)
    }
}

impl FileConfig {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, AppError> {
        let text = fs::read_to_string(path)
            .map_err(|error| AppError::Config(format!("cannot read {}: {error}", path.display())))?;
        Self::parse(&text).map_err(|error| AppError::Config(format!("{}: {error}", path.display())))
    }

    /// Reads a file if there is one.
    pub fn load_if_there(path: &Path) -> Result<Self, AppError> {
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            _ => Self::load(path),
        }
    }

    fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// The bounds of the Swarm and of the peers, with the defaults for what is not said: all the
    /// connections that peers may have, or all the peers for whom there are connections.
    pub fn limits(&self) -> Result<(Limits, spacetime_peers::Config), AppError> {
        let (mut limits, peers) = (Limits::default(), spacetime_peers::Config::default());
        let LimitsConfig { max_connections, max_opening, max_outbound, max_inbound, .. } = self.limits;
        let all = max_connections.unwrap_or(usize::MAX);
        let outbound = max_outbound.unwrap_or(peers.max_outbound().min(all.div_ceil(2)));
        let left = all.saturating_sub(outbound).saturating_sub(SPARE_CONNECTIONS);
        let inbound = max_inbound.unwrap_or(peers.max_inbound().min(left));
        let needed = outbound.saturating_add(inbound).saturating_add(SPARE_CONNECTIONS);
        if needed > all && (max_outbound.is_some() || max_inbound.is_some()) {
            return Err(AppError::Config(format!(
                "max_connections = {all} is too little: max_outbound = {outbound} and max_inbound = {inbound} \
                 need {needed}, {SPARE_CONNECTIONS} of them to test addresses and to let somebody in for \
                 whom room is made"
            )));
        }
        limits = limits.with_max_connections(max_connections.unwrap_or(needed));
        if let Some(max_opening) = max_opening {
            limits = limits.with_max_opening(max_opening);
        }
        limits = self.limits.with_rates(limits);
        Ok((limits, peers.with_max_outbound(outbound).with_max_inbound(inbound)))
    }

    /// The synchronisation, with the defaults for what is not said.
    pub fn sync(&self) -> spacetime_sync::Config {
        self.sync.apply(spacetime_sync::Config::default())
    }
}

/// Reads an address; the port may be left out.
pub(super) fn parse_address(text: &str) -> Result<Address, AppError> {
    let (pin, place) = match text.split_once('@') {
        Some((pin, place)) => (Some(pin.parse().map_err(|_| InvalidAddress::PeerId)), place),
        None => (None, text),
    };
    let parsed = match place.parse::<IpAddr>() {
        Ok(ip) => Ok(Address::socket(SocketAddr::new(ip, DEFAULT_PORT))),
        Err(_) => match place.parse::<Endpoint>() {
            Err(InvalidAddress::Port) if !place.is_empty() => format!("{place}:{DEFAULT_PORT}").parse(),
            result => result,
        }
        .map(Address::from),
    };
    let pinned = parsed.and_then(|address| match pin {
        Some(peer_id) => Ok(address.pinned(peer_id?)),
        None => Ok(address),
    });
    pinned.map_err(|error| AppError::Config(format!("{text:?} is not an address: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_may_be_left_out() {
        for (text, address) in [
            ("203.0.113.1", "203.0.113.1:8333"),
            ("2001:db8::1", "[2001:db8::1]:8333"),
            ("[2001:db8::1]:1", "[2001:db8::1]:1"),
            ("seed.example.org", "seed.example.org:8333"),
            ("127.0.0.1:0", "127.0.0.1:0"),
        ] {
            assert_eq!(parse_address(text).unwrap().to_string(), address);
        }
        let id = "ab".repeat(32);
        for (place, address) in [
            ("2001:db8::1", "[2001:db8::1]:8333"),
            ("203.0.113.1", "203.0.113.1:8333"),
            ("seed.example.org", "seed.example.org:8333"),
            ("[2001:db8::1]:1", "[2001:db8::1]:1"),
        ] {
            let text = format!("{id}@{place}");
            assert_eq!(parse_address(&text).unwrap().to_string(), format!("{id}@{address}"));
        }
        for bad in ["", "a b", "203.0.113.1:99999", "x:y:z", "@203.0.113.1", "abc@203.0.113.1"] {
            assert!(parse_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_example_explains_every_entry_and_sets_none() {
        let example = include_str!("../../examples/spacetime.toml");
        assert_eq!(FileConfig::parse(example).unwrap(), FileConfig::default());
        // With the entries uncommented it is what the defaults are.
        let is_entry = |line: &&str| line.starts_with("# ") && line.contains(" = ") || line.starts_with('[');
        let entries: String = example
            .lines()
            .filter(is_entry)
            .map(|line| line.trim_start_matches("# ").to_owned() + "\n")
            .collect();
        let config = FileConfig::parse(&entries).unwrap();
        let all = [
            config.network.is_some(),
            config.datadir.is_some(),
            config.listen.is_some(),
            config.peers.is_some(),
            config.seeds.is_some(),
            config.allow_private.is_some(),
            config.tls.is_some(),
            config.min_tls_version.is_some(),
            config.legacy.is_some(),
            config.limits.accepts_per_host.is_some(),
            config.limits.accept_interval_ms_per_host.is_some(),
            config.limits.accepts_per_group.is_some(),
            config.limits.accept_interval_ms_per_group.is_some(),
            config.allowed_peers.is_some(),
            config.authorities.is_some(),
            config.certificates.is_some(),
            config.pinned_keys.is_some(),
            config.log.is_some(),
            config.limits.max_connections.is_some(),
            config.limits.max_outbound.is_some(),
            config.limits.max_inbound.is_some(),
            config.limits.max_opening.is_some(),
            config.bandwidth.upload_per_peer.is_some(),
            config.bandwidth.upload.is_some(),
            config.bandwidth.download_per_peer.is_some(),
            config.bandwidth.download.is_some(),
            config.sync.max_peers.is_some(),
            config.sync.parallel_downloads.is_some(),
            config.sync.max_headers_per_request.is_some(),
            config.sync.max_retries.is_some(),
            config.sync.request_timeout_ms.is_some(),
            config.sync.max_in_flight_per_peer.is_some(),
            config.sync.max_window_blocks.is_some(),
            config.sync.max_window_bytes.is_some(),
            config.sync.poll_interval_ms.is_some(),
            config.sync.max_reorg_depth.is_some(),
            config.sync.initial_download_threshold.is_some(),
            config.sync.stale_tip_timeout_ms.is_some(),
            config.sync.progress_interval_ms.is_some(),
            config.sync.max_reads.is_some(),
        ];
        assert!(all.iter().all(|is_there| *is_there), "{config:?}");
        // There is none by default.
        assert_eq!(config.own_address.as_deref(), Some("203.0.113.1:8333"));
        let (limits, peers) = config.limits().unwrap();
        assert_eq!(limits, Limits::default());
        assert_eq!(config.bandwidth.bandwidth(), Bandwidth::reference());
        let defaults = spacetime_peers::Config::default();
        assert_eq!(peers.max_outbound(), defaults.max_outbound());
        assert_eq!(peers.max_inbound(), defaults.max_inbound());
        assert_eq!(config.sync(), spacetime_sync::Config::default());
    }

    #[test]
    fn there_are_connections_for_all_peers_or_peers_for_all_connections() {
        for (text, limits) in [
            ("", Some((50, 8, 40))),
            ("max_connections = 200", Some((200, 8, 40))),
            ("max_connections = 30", Some((30, 8, 20))),
            ("max_connections = 10", Some((10, 5, 3))),
            ("max_connections = 1", Some((1, 1, 0))),
            ("max_inbound = 117", Some((127, 8, 117))),
            ("max_outbound = 0\nmax_inbound = 0", Some((2, 0, 0))),
            ("max_connections = 60\nmax_outbound = 20", Some((60, 20, 38))),
            ("max_connections = 60\nmax_outbound = 20\nmax_inbound = 38", Some((60, 20, 38))),
            ("max_connections = 60\nmax_outbound = 20\nmax_inbound = 39", None),
            ("max_connections = 20\nmax_outbound = 19", None),
        ] {
            let config = FileConfig::parse(&format!("[limits]\n{text}")).unwrap();
            let found = config.limits().ok();
            let found =
                found.map(|(all, peers)| (all.max_connections(), peers.max_outbound(), peers.max_inbound()));
            assert_eq!(found, limits, "{text}");
        }
    }

    #[test]
    fn limits_of_bandwidth_are_those_of_flags_then_of_the_file_then_of_the_reference() {
        let file = FileConfig::parse("[bandwidth]\nupload = \"off\"\ndownload = 50000\n").unwrap().bandwidth;
        let flags = BandwidthConfig { download: Some(RateLimit(Some(60_000))), ..BandwidthConfig::default() };
        let expected = Bandwidth::reference().with_upload(None).with_download(Some(60_000));
        assert_eq!(flags.or(&file).bandwidth(), expected);
        assert!(FileConfig::parse("[bandwidth]\nupload = \"much\"\n").is_err());
    }

    #[test]
    fn what_is_said_of_the_synchronisation_is_done() {
        let text = "[sync]\nmax_peers = 1\nparallel_downloads = 2\nmax_headers_per_request = 3\n\
            max_retries = 4\nrequest_timeout_ms = 5\nmax_in_flight_per_peer = 6\nmax_window_blocks = 7\n\
            max_window_bytes = 8\npoll_interval_ms = 9\nmax_reorg_depth = 10\n\
            initial_download_threshold = 11\nstale_tip_timeout_ms = 12\nprogress_interval_ms = 13\n\
            max_reads = 14\n";
        let expected = spacetime_sync::Config::default()
            .with_max_peers(1)
            .with_parallel_downloads(2)
            .with_max_headers_per_request(3)
            .with_max_retries(4)
            .with_request_timeout(Duration::from_millis(5))
            .with_max_in_flight_per_peer(6)
            .with_max_window_blocks(7)
            .with_max_window_bytes(8)
            .with_poll_interval(Duration::from_millis(9))
            .with_max_reorg_depth(10)
            .with_initial_download_threshold(11)
            .with_stale_tip_timeout(Duration::from_millis(12))
            .with_progress_interval(Duration::from_millis(13))
            .with_max_reads(14);
        let config = FileConfig::parse(text).unwrap().sync();
        assert_eq!(config, expected);
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let error = FileConfig::parse("[limits]\nmax_conections = 3\n").unwrap_err().to_string();
        assert!(error.contains("max_conections") && error.contains("line 2"), "{error}");
    }
}
