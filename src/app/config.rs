//! The configuration file.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use spacetime_core::{Address, InvalidAddress, Limits};

use super::AppError;

/// The port of the protocol.
pub(super) const DEFAULT_PORT: u16 = 8333;

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
    /// Encryption.
    pub tls: Option<String>,
    /// What to do with version-1 nodes that never say Handshake: `refuse` or `serve`.
    pub legacy: Option<String>,
    /// What to log.
    pub log: Option<String>,
    /// Bounds.
    pub limits: LimitsConfig,
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
    /// Accepted connections that are not established yet, at a time.
    pub max_opening: Option<usize>,
}

/// The part about synchronisation.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SyncConfig {
    /// Peers that are asked for anything.
    pub max_peers: Option<usize>,
    /// Peers that blocks are asked from at the same time.
    pub parallel_downloads: Option<usize>,
    /// Bytes of blocks that may wait to be applied.
    pub max_window_bytes: Option<usize>,
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

    /// The bounds, with the defaults for what is not said.
    pub fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        if let Some(max_connections) = self.limits.max_connections {
            limits = limits.with_max_connections(max_connections);
        }
        if let Some(max_opening) = self.limits.max_opening {
            limits = limits.with_max_opening(max_opening);
        }
        limits
    }

    /// The synchronisation, with the defaults for what is not said.
    pub fn sync(&self) -> spacetime_sync::Config {
        let mut sync = spacetime_sync::Config::default();
        if let Some(max_peers) = self.sync.max_peers {
            sync = sync.with_max_peers(max_peers);
        }
        if let Some(parallel_downloads) = self.sync.parallel_downloads {
            sync = sync.with_parallel_downloads(parallel_downloads);
        }
        if let Some(max_window_bytes) = self.sync.max_window_bytes {
            sync = sync.with_max_window_bytes(max_window_bytes);
        }
        sync
    }
}

/// Reads an address; the port may be left out.
pub(super) fn parse_address(text: &str) -> Result<Address, AppError> {
    let parsed = match text.parse::<IpAddr>() {
        Ok(ip) => Ok(Address::socket(SocketAddr::new(ip, DEFAULT_PORT))),
        Err(_) => match text.parse() {
            Err(InvalidAddress::Port) if !text.is_empty() => format!("{text}:{DEFAULT_PORT}").parse(),
            result => result,
        },
    };
    parsed.map_err(|error| AppError::Config(format!("{text:?} is not an address: {error}")))
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
        for bad in ["", "a b", "203.0.113.1:99999", "x:y:z"] {
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
            config.tls.is_some(),
            config.legacy.is_some(),
            config.log.is_some(),
            config.limits.max_connections.is_some(),
            config.limits.max_opening.is_some(),
            config.sync.max_peers.is_some(),
            config.sync.parallel_downloads.is_some(),
            config.sync.max_window_bytes.is_some(),
        ];
        assert!(all.iter().all(|is_there| *is_there), "{config:?}");
        assert_eq!(config.limits(), Limits::default());
        assert_eq!(config.sync(), spacetime_sync::Config::default());
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let error = FileConfig::parse("[limits]\nmax_conections = 3\n").unwrap_err().to_string();
        assert!(error.contains("max_conections") && error.contains("line 2"), "{error}");
    }
}
