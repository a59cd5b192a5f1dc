//! What goes wrong, and when.

mod inject;
mod plan;

pub(crate) use inject::Injector;
pub use plan::{Chance, Plan};
use serde::{Deserialize, Serialize};

/// Something that goes wrong at a moment, for a while. A list of them is all that is random about
/// the faults of a run: it can be written down, cut down and run again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Milliseconds after the beginning.
    pub at_ms: u64,
    /// How long it lasts, where it lasts.
    #[serde(default)]
    pub duration_ms: u64,
    /// What goes wrong.
    pub what: FaultKind,
}

/// What goes wrong. Nodes and links are numbers modulo how many there are; of links only those that
/// are open count.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultKind {
    /// A connection is torn. Both ends hear of it.
    ConnectionLoss(u64),
    /// A connection leads nowhere any more. Nobody hears of it.
    HalfOpen(u64),
    /// Bits of a connection turn over.
    Corruption(u64),
    /// A connection ends in the middle of a frame.
    Truncation(u64),
    /// One direction of a connection stands still.
    Clog(u64),
    /// A node refuses all dials.
    RefusedDials(u64),
    /// A node reads a little now and then.
    SlowReader(u64),
    /// The network falls apart in two.
    Partition(Partition),
    /// The power of a node goes, and comes back after the duration. What it had not synced may be
    /// lost.
    Crash(u64),
    /// The same; writes that were under way are torn.
    TornWrite(u64),
    /// A node's process is killed, and started again after the duration.
    Kill(u64),
    /// A node stands still: nothing of it runs, and then everything is due.
    Pause(u64),
    /// Somebody sets a node's clock.
    ClockJump {
        /// Which node.
        node: u64,
        /// By how much.
        seconds: i64,
    },
    /// A node's clock runs too fast or too slow.
    ClockDrift {
        /// Which node.
        node: u64,
        /// By how much.
        parts_per_million: i64,
    },
    /// A node's disk takes 500 times as long.
    SlowDisk(u64),
    /// Half of what a node wants of its disk fails.
    FailingDisk(u64),
    /// A node's disk is full.
    FullDisk(u64),
}

/// How a network falls apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// Who is on one side.
    pub shape: Shape,
    /// Which node, or which draw.
    pub number: u64,
    /// Only what the one side sends is held up.
    #[serde(default)]
    pub one_way: bool,
}

/// Who is on one side of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Shape {
    /// One node.
    Isolated,
    /// The first half of the nodes.
    Halves,
    /// Each node by chance.
    Random,
}

impl FaultKind {
    /// The names of all kinds.
    pub const NAMES: [&str; 17] = [
        "connection_loss",
        "half_open",
        "corruption",
        "truncation",
        "clog",
        "refused_dials",
        "slow_reader",
        "partition",
        "crash",
        "torn_write",
        "kill",
        "pause",
        "clock_jump",
        "clock_drift",
        "slow_disk",
        "failing_disk",
        "full_disk",
    ];

    /// Whether it befalls a link, and not a node or the whole network.
    pub(crate) const fn befalls_a_link(&self) -> bool {
        matches!(
            self,
            Self::ConnectionLoss(_)
                | Self::HalfOpen(_)
                | Self::Corruption(_)
                | Self::Truncation(_)
                | Self::Clog(_)
        )
    }

    /// Its name in scenarios and reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ConnectionLoss(_) => "connection_loss",
            Self::HalfOpen(_) => "half_open",
            Self::Corruption(_) => "corruption",
            Self::Truncation(_) => "truncation",
            Self::Clog(_) => "clog",
            Self::RefusedDials(_) => "refused_dials",
            Self::SlowReader(_) => "slow_reader",
            Self::Partition(_) => "partition",
            Self::Crash(_) => "crash",
            Self::TornWrite(_) => "torn_write",
            Self::Kill(_) => "kill",
            Self::Pause(_) => "pause",
            Self::ClockJump { .. } => "clock_jump",
            Self::ClockDrift { .. } => "clock_drift",
            Self::SlowDisk(_) => "slow_disk",
            Self::FailingDisk(_) => "failing_disk",
            Self::FullDisk(_) => "full_disk",
        }
    }
}
