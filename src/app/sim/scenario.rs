//! Scenarios: what a network is like, what happens in it, and what goes wrong.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use spacetime_core::wire::{MAX_PROOF_BYTES, Priority};
use spacetime_core::{Bandwidth, Limits, QueueLimit, Rng};
use spacetime_simulator::{Fault, LinkConfig, Misdeed, Plan};

use super::download::Download;
use super::relay_liars::Lie;
use crate::app::AppError;

/// The largest payload of an item that fits its message.
const MAX_ITEM_BYTES: usize = 65_000;

/// A scenario, as it stands in a file. Everything but the name has a default.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Scenario {
    /// Its name, in reports.
    pub name: String,
    /// Honest nodes. The first one makes the blocks; no fault of its own befalls it.
    pub nodes: usize,
    /// Whom each node knows at its start.
    pub knows: Knows,
    /// Connections of each node, on average, where nodes know their neighbours.
    pub degree: usize,
    /// How long faults and traffic last.
    pub seconds: u64,
    /// How long the network has afterwards until all is well again. 240: a connection that leads
    /// nowhere is found out by a ping, which takes up to 170 s.
    pub converge_seconds: u64,
    /// The seeds that are run if nobody says which.
    pub seeds: u64,
    /// The lines between the nodes.
    pub links: Links,
    /// Sessions and dials of a node at a time.
    pub max_connections: usize,
    /// Bytes that each of a connection's four send queues holds; as production nodes do if it is 0.
    pub queue_bytes: usize,
    /// Frames that each of them holds; as production nodes do if it is 0.
    pub queue_frames: usize,
    /// What the nodes send and take in a second.
    pub bandwidth: BytesPerSecond,
    /// What the nodes have to tell each other.
    pub traffic: Traffic,
    /// Peers that mean ill, by the names of [`Misdeed`]: how many of each.
    pub byzantine: BTreeMap<String, usize>,
    /// Peers that lie to the relay: how many tell `invalid_items`, `replayed_items`, `padded_items`,
    /// `flooded_items`, `blamed_items` and `withheld_items`. Each of them must come to have a lower score than
    /// all honest nodes, and no honest node may pass on what is not true.
    pub relay_liars: BTreeMap<String, usize>,
    /// Whether an honest node must never be charged with an offence. It may where faults change
    /// bytes.
    pub honest_are_never_charged: bool,
    /// How likely each kind of fault is.
    pub chances: Plan,
    /// The faults themselves, instead of chances: what is left of a run that was cut down.
    pub faults: Vec<Fault>,
    /// One node downloads a chain, and that is all that happens: of the rest only seeds, links and limits
    /// count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download: Option<Download>,
}

/// Whom each node knows at its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Knows {
    /// Those with whom it is to keep connections, whatever happens.
    #[default]
    Neighbours,
    /// One other node, as its seed. All else it must find out: all is well only when every node has
    /// as many connections as it wants, and there is a way from each node to each other.
    OneSeed,
}

/// Limits of nodes, in bytes per second; there is none where it is 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct BytesPerSecond {
    /// What a node sends to each peer.
    pub upload_per_peer: u64,
    /// What it sends in all.
    pub upload: u64,
    /// What it takes from each peer.
    pub download_per_peer: u64,
    /// What it takes in all.
    pub download: u64,
}

/// The lines between the nodes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Links {
    /// One way.
    pub latency_ms: u64,
    /// How much longer something may take.
    pub jitter_ms: u64,
    /// Of each host, in each direction; without a limit if it is 0.
    pub bytes_per_second: u64,
    /// Bytes under way in each direction of a connection.
    pub window_bytes: usize,
}

/// What the nodes have to tell each other.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Traffic {
    /// How often a node has an item that everybody passes on; never if it is 0.
    pub item_every_ms: u64,
    /// How large an item is.
    pub item_bytes: usize,
    /// How often a node has a transaction; never if it is 0.
    pub transaction_every_ms: u64,
    /// How often a node has a proof; never if it is 0.
    pub proof_every_ms: u64,
    /// How large a proof is.
    pub proof_bytes: usize,
    /// How often the first node makes a block; never if it is 0.
    pub block_every_ms: u64,
    /// How large a block is.
    pub block_bytes: usize,
    /// Blocks that the first node has from the beginning.
    pub blocks_before: usize,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: "unnamed".into(),
            nodes: 10,
            knows: Knows::Neighbours,
            degree: 4,
            seconds: 60,
            converge_seconds: 240,
            seeds: 30,
            links: Links::default(),
            max_connections: Limits::default().max_connections(),
            queue_bytes: 0,
            queue_frames: 0,
            bandwidth: BytesPerSecond::default(),
            traffic: Traffic::default(),
            byzantine: BTreeMap::new(),
            relay_liars: BTreeMap::new(),
            honest_are_never_charged: false,
            chances: Plan::default(),
            faults: Vec::new(),
            download: None,
        }
    }
}

impl Default for Links {
    fn default() -> Self {
        Self { latency_ms: 40, jitter_ms: 20, bytes_per_second: 0, window_bytes: 64 * 1024 }
    }
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            item_every_ms: 1000,
            item_bytes: 200,
            transaction_every_ms: 0,
            proof_every_ms: 0,
            proof_bytes: 2000,
            block_every_ms: 10_000,
            block_bytes: 1000,
            blocks_before: 20,
        }
    }
}

impl Scenario {
    /// Reads a scenario, by the path of its file or by its name in `tests/scenarios`.
    pub fn load(name: &str) -> Result<Self, AppError> {
        let named = Path::new("tests/scenarios").join(format!("{name}.toml"));
        let path = if Path::new(name).exists() { Path::new(name).to_owned() } else { named };
        let text = std::fs::read_to_string(&path).map_err(|error| {
            AppError::Config(format!("cannot read the scenario {}: {error}", path.display()))
        })?;
        Self::parse(&text).map_err(|why| AppError::Config(format!("{}: {why}", path.display())))
    }

    /// Reads the text of a scenario; else why it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let scenario: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        scenario.validate()?;
        Ok(scenario)
    }

    fn validate(&self) -> Result<(), String> {
        if !(2..=10_000).contains(&self.nodes) {
            return Err("nodes must be between 2 and 10000".into());
        }
        if !(1..=1000).contains(&self.degree) {
            return Err("degree must be between 1 and 1000".into());
        }
        if !(1..=86_400).contains(&self.seconds) || self.converge_seconds > 86_400 {
            return Err("seconds must be between 1 and 86400, converge_seconds at most 86400".into());
        }
        if self.traffic.item_bytes > MAX_ITEM_BYTES {
            return Err(format!("item_bytes must be at most {MAX_ITEM_BYTES}"));
        }
        if self.traffic.proof_bytes > MAX_PROOF_BYTES {
            return Err(format!("proof_bytes must be at most {MAX_PROOF_BYTES}"));
        }
        if let Some(name) = self.relay_liars.keys().find(|name| Lie::of(name).is_none()) {
            return Err(format!("there is no lie {name:?}"));
        }
        if self.byzantine.values().chain(self.relay_liars.values()).any(|count| *count > 1000) {
            return Err("of each misdeed there can be at most 1000 peers".into());
        }
        if let Some(Download { peers, liars, blocks, .. }) = self.download
            && (!(1..=50).contains(&peers) || liars >= peers || !(1..=1_000_000).contains(&blocks))
        {
            return Err(
                "a download has 1 to 50 peers, of which one does not lie, and at most a million blocks"
                    .into(),
            );
        }
        self.limits().validate().map_err(|error| error.to_string())?;
        self.chances.validate()?;
        match self.byzantine.keys().find(|name| misdeed(name).is_none()) {
            Some(name) => Err(format!("there is no misdeed {name:?}")),
            None => Ok(()),
        }
    }

    /// The peers that mean ill.
    pub(super) fn misdeeds(&self) -> Vec<Misdeed> {
        let counted = self.byzantine.iter().filter_map(|(name, count)| Some((misdeed(name)?, *count)));
        counted.flat_map(|(misdeed, count)| std::iter::repeat_n(misdeed, count)).collect()
    }

    /// What is told to the relay by peers that lie, once for each of them.
    pub(super) fn lies(&self) -> Vec<Lie> {
        let counted = self.relay_liars.iter().filter_map(|(name, count)| Some((Lie::of(name)?, *count)));
        counted.flat_map(|(lie, count)| std::iter::repeat_n(lie, count)).collect()
    }

    /// The faults of a run.
    pub fn faults_of(&self, seed: u64) -> Vec<Fault> {
        if self.faults.is_empty() {
            self.chances.draw(&Rng::from_number(seed).fork("faults"), Duration::from_secs(self.seconds))
        } else {
            self.faults.clone()
        }
    }

    /// The limits of the nodes.
    pub(super) fn limits(&self) -> Limits {
        let BytesPerSecond { upload_per_peer, upload, download_per_peer, download } = self.bandwidth;
        let limit = |bytes: u64| (bytes > 0).then_some(bytes);
        let bandwidth = Bandwidth::default()
            .with_upload_per_peer(limit(upload_per_peer))
            .with_upload(limit(upload))
            .with_download_per_peer(limit(download_per_peer))
            .with_download(limit(download));
        let limits = Limits::default().with_max_connections(self.max_connections).with_bandwidth(bandwidth);
        let or_default = |given: usize, default: usize| if given == 0 { default } else { given };
        Priority::ALL.into_iter().fold(limits, |limits, priority| {
            let QueueLimit { max_frames, max_bytes } = limits.queue(priority);
            let max_frames = or_default(self.queue_frames, max_frames);
            let max_bytes = or_default(self.queue_bytes, max_bytes);
            limits.with_queue(priority, QueueLimit { max_frames, max_bytes })
        })
    }

    pub(super) fn link_config(&self) -> LinkConfig {
        let Links { latency_ms, jitter_ms, bytes_per_second, window_bytes } = self.links;
        let config = LinkConfig::default()
            .with_latency(Duration::from_millis(latency_ms))
            .with_jitter(Duration::from_millis(jitter_ms))
            .with_window_bytes(window_bytes.max(1));
        if bytes_per_second == 0 { config } else { config.with_bandwidth(bytes_per_second, bytes_per_second) }
    }
}

fn misdeed(name: &str) -> Option<Misdeed> {
    Misdeed::ALL.into_iter().find(|misdeed| misdeed.name() == name)
}
