//! What a running node says of itself. One model for the status line, the progress bar, the JSON
//! and whatever else shows it.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use spacetime_core::chain::ChainRules;
use spacetime_core::{Address, Bandwidth, ConnectionId, Context, Direction, Origin, Peer, Statistics, Time};
use spacetime_peers::{Role, Target};
use spacetime_sync::Progress;

use super::Node;

/// What a node says of itself. The JSON is a contract: fields are added and never renamed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The version of this contract.
    pub version: u32,
    /// Who it is, in hexadecimal digits.
    pub peer_id: String,
    /// Where it listens.
    pub listen: Vec<String>,
    /// The last block that is applied.
    pub tip: TipStatus,
    /// The height to be reached, as far as the peers tell the truth.
    pub target: u64,
    /// How the synchronisation is doing.
    pub sync: SyncStatus,
    /// What became of blocks, transactions and proofs that are new.
    #[serde(default)]
    pub relay: RelayStatus,
    /// What waits to be in a block.
    #[serde(default)]
    pub mempool: MempoolStatus,
    /// How much is sent and received, and may be.
    #[serde(default)]
    pub bandwidth: BandwidthStatus,
    /// Why those who connected were not let in, since the node started, and how many for each reason.
    #[serde(default)]
    pub refusals: BTreeMap<String, u64>,
    /// The sessions.
    pub peers: Vec<PeerStatus>,
}

/// The last block of the chain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TipStatus {
    /// Blocks before it.
    pub height: u64,
    /// Its hash, in hexadecimal digits.
    pub hash: String,
}

/// How the synchronisation is doing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SyncStatus {
    /// The name of the state, as the reference has it.
    pub state: String,
    /// The height of the last header that links to the tip.
    pub header_height: u64,
    /// Blocks that were downloaded since the node started.
    pub downloaded_blocks: u64,
    /// Their bytes.
    pub downloaded_bytes: u64,
    /// Blocks that were applied since the node started.
    pub applied_blocks: u64,
    /// Blocks that were asked for and have not arrived.
    pub in_flight: usize,
    /// Blocks that are applied in a second, smoothed; 0 while nothing is downloaded.
    #[serde(default)]
    pub blocks_per_second: u64,
    /// Bytes of blocks that are downloaded in a second, smoothed.
    #[serde(default)]
    pub bytes_per_second: u64,
    /// How many seconds it will take to reach the target at this rate; none if that is not known.
    #[serde(default)]
    pub seconds_left: Option<u64>,
    /// Why nothing gets on: `no_peers`, `peers_rest`, `headers`, `next_block`, `application` or
    /// `clock_behind`; none if it does.
    #[serde(default)]
    pub stalled_because: Option<String>,
    /// Whether it is far behind, so that nothing is passed on that is new.
    #[serde(default)]
    pub initial_download: bool,
    /// Answers to peers that were read from the store.
    #[serde(default)]
    pub served_reads: u64,
    /// Answers to peers that were sent without that, because another one had asked for the same.
    #[serde(default)]
    pub saved_reads: u64,
}

/// What became of blocks, transactions and proofs that are new, since the node started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RelayStatus {
    /// Passed on to peers.
    pub relayed: u64,
    /// Came when they were known.
    pub duplicates: u64,
    /// Over the rate of who sent them, or there was no room.
    pub dropped: u64,
    /// Broke the rules, each time that one came.
    pub rejected: u64,
    /// Bytes of all that the node sends and receives which limits of bandwidth have held back.
    #[serde(default)]
    pub delayed: u64,
}

/// The transactions that wait to be in a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct MempoolStatus {
    /// How many there are.
    pub transactions: usize,
    /// Bytes of their frames.
    pub bytes: usize,
}

/// How much the node sends and receives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct BandwidthStatus {
    /// What may be sent to each peer, in bytes per second; none if there is no limit.
    pub upload_per_peer: Option<u64>,
    /// What may be sent to all peers together, in bytes per second.
    pub upload: Option<u64>,
    /// What is taken from each peer, in bytes per second.
    pub download_per_peer: Option<u64>,
    /// What is taken from all peers together, in bytes per second.
    pub download: Option<u64>,
    /// Bytes that were sent since the node started.
    pub sent_bytes: u64,
    /// Bytes that were received since the node started.
    pub received_bytes: u64,
}

/// One session.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PeerStatus {
    /// What the peer calls itself; its peer id if it is a node like this one.
    pub peer_id: String,
    /// Whether the transport has proven that.
    pub proven: bool,
    /// The address that was dialled, or that it came from.
    pub address: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// Its software.
    pub user_agent: String,
    /// The smoothed round-trip time, in milliseconds; none before the first answer.
    pub latency_ms: Option<u64>,
    /// The height that it said it has; none if it said nothing.
    pub height: Option<u64>,
    /// 0 at first, less with each offence.
    pub score: i32,
    /// What the session is for: `inbound`, `outbound` (this node chose it), `kept` (the user wants it),
    /// `feeler` or `seed`.
    #[serde(default)]
    pub role: String,
    /// For how long there has been a session.
    #[serde(default)]
    pub connected_seconds: u64,
    /// The network it is in, of which this node chooses one peer only; none if that is no public one.
    #[serde(default)]
    pub group: Option<String>,
}

impl<R: ChainRules + 'static> Node<R> {
    /// What the node says of itself.
    pub fn status<E>(&self, cx: &Context<'_, E>, listen: &[Address]) -> Status {
        let progress = self.sync.progress();
        Status {
            version: 1,
            peer_id: cx.local_id().to_string(),
            listen: listen.iter().map(Address::to_string).collect(),
            tip: TipStatus { height: progress.height, hash: progress.tip.to_string() },
            target: progress.target_height,
            sync: SyncStatus::new(progress, self.sync.statistics()),
            relay: RelayStatus::new(self.relay.statistics(), cx.statistics()),
            mempool: MempoolStatus {
                transactions: self.relay.mempool().len(),
                bytes: self.relay.mempool().bytes(),
            },
            bandwidth: BandwidthStatus::new(cx.bandwidth(), cx.statistics()),
            refusals: cx.refusals().map(|(reason, count)| (reason.into(), count)).collect(),
            peers: cx
                .peers()
                .map(|(connection, peer)| self.peer_status(cx.now(), connection, peer))
                .collect(),
        }
    }

    fn peer_status(&self, now: Time, connection: ConnectionId, peer: &Peer) -> PeerStatus {
        let announced = peer.info.announcement.as_ref().and_then(|it| it.best_block);
        let round_trip = self.ping.round_trip(connection);
        PeerStatus {
            peer_id: if peer.identity.proven().is_some() {
                peer.identity.name()
            } else {
                peer.info.name.to_string()
            },
            proven: peer.identity.proven().is_some(),
            address: peer.address.to_string(),
            direction: match peer.direction {
                Direction::Inbound => "inbound".into(),
                Direction::Outbound => "outbound".into(),
            },
            user_agent: peer.info.user_agent.to_string(),
            latency_ms: round_trip.map(|it| u64::try_from(it.smoothed.as_millis()).unwrap_or(u64::MAX)),
            height: announced.map(|(height, _)| height),
            score: self.peers.score(connection),
            role: match self.peers.role(connection) {
                Some(Role::Kept) => "kept".into(),
                Some(Role::Feeler) => "feeler".into(),
                Some(Role::Seed) => "seed".into(),
                None if peer.direction == Direction::Inbound => "inbound".into(),
                _ => "outbound".into(),
            },
            connected_seconds: now.since(peer.established_at).as_secs(),
            group: Origin::group(peer).map(|it| Target::from(it).to_string()),
        }
    }
}

impl SyncStatus {
    fn new(progress: Progress, served: spacetime_sync::Statistics) -> Self {
        Self {
            state: progress.state.name().into(),
            header_height: progress.header_height,
            downloaded_blocks: progress.downloaded_blocks,
            downloaded_bytes: progress.downloaded_bytes,
            applied_blocks: progress.applied_blocks,
            in_flight: progress.in_flight,
            blocks_per_second: progress.blocks_per_second,
            bytes_per_second: progress.bytes_per_second,
            // Rounded up: while something is left it is not nothing.
            seconds_left: progress.time_left.map(|left| left.as_millis().div_ceil(1000) as u64),
            stalled_because: progress.stalled_because.map(|reason| reason.name().into()),
            initial_download: progress.is_initial_download,
            served_reads: served.reads,
            saved_reads: served.saved_reads,
        }
    }
}

impl BandwidthStatus {
    const fn new(bandwidth: &Bandwidth, swarm: Statistics) -> Self {
        Self {
            upload_per_peer: bandwidth.upload_per_peer().limit(),
            upload: bandwidth.upload().limit(),
            download_per_peer: bandwidth.download_per_peer().limit(),
            download: bandwidth.download().limit(),
            sent_bytes: swarm.bytes_sent,
            received_bytes: swarm.bytes_received,
        }
    }
}

impl RelayStatus {
    fn new(relay: spacetime_relay::Statistics, swarm: Statistics) -> Self {
        let spacetime_relay::Statistics { relayed, duplicates, dropped, rejected, .. } = relay;
        let delayed = swarm.received_delayed.bytes.saturating_add(swarm.sent_delayed.bytes);
        Self { relayed, duplicates, dropped, rejected, delayed }
    }
}
