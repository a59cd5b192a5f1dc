//! What is done.

/// Whether connections are encrypted and both ends prove who they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Security {
    /// Neither.
    Plain,
    /// Both, in whichever way is the subject's own.
    Secured,
}

/// Who is connected with whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// Two.
    Pair,
    /// One with 8.
    Star,
    /// 20 in a ring, each with those 1, 3, 5 and 8 places away: 8 connections each.
    Ring,
}

impl Shape {
    /// How many nodes there are. The first one publishes.
    pub const fn nodes(self) -> usize {
        match self {
            Self::Pair => 2,
            Self::Star => 9,
            Self::Ring => 20,
        }
    }

    /// Who dials whom.
    pub fn dials(self) -> Vec<(usize, usize)> {
        match self {
            Self::Pair | Self::Star => (1..self.nodes()).map(|leaf| (0, leaf)).collect(),
            Self::Ring => {
                let nodes = self.nodes();
                let from = |node| [1, 3, 5, 8].map(|away| (node, (node + away) % nodes));
                (0..nodes).flat_map(from).collect()
            }
        }
    }
}

/// Nodes that are all connected with each other in [`Work::Idle`]: 276 connections.
pub const IDLE_NODES: usize = 24;

/// Bytes of a message in [`Work::Relay`], its layout included.
pub const RELAYED_BYTES: usize = 1024;

/// What a subject does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// Questions of 256 bytes and answers of the same size, so many under way at a time.
    RoundTrips { in_flight: usize, security: Security },
    /// Messages in one direction, as fast as they are taken.
    OneWay { bytes: usize, security: Security },
    /// Messages of 1 KiB that one node publishes and all others deliver once, under names that are
    /// SHA-256 of their content; see [`Window`](crate::Window).
    Relay(Shape),
    /// To connect, to prove who is there, to exchange first words, and to close; so many at a time.
    Connect { parallel: usize },
    /// Connections on which nothing happens, between [`IDLE_NODES`].
    Idle(Security),
    /// Messages of 256 bytes in one direction, secured, under the limits of bandwidth that a node comes with.
    Limited,
    /// Messages of 1 KiB from so many nodes to one, secured.
    FanIn { connections: usize },
}

/// Some work, and how it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// How it is called on the command line.
    pub name: &'static str,
    /// What is done.
    pub work: Work,
    /// Threads of the runtime; with 1, both ends share it.
    pub threads: usize,
    /// How often it is done to warm up, and to find out how often it is done then.
    pub warm_up: usize,
    /// How often at most.
    pub max_count: usize,
}

impl Row {
    /// The row with this name.
    pub fn named(name: &str) -> Option<Self> {
        ROWS.into_iter().find(|row| row.name == name)
    }

    /// What is counted: memory of connections that rest, and allocations for each message.
    pub(crate) fn counts_allocations(&self) -> bool {
        matches!(self.work, Work::Idle(_) | Work::Relay(Shape::Pair))
    }
}

const fn row(name: &'static str, work: Work, threads: usize, warm_up: usize, max_count: usize) -> Row {
    Row { name, work, threads, warm_up, max_count }
}

const fn round_trips(in_flight: usize) -> Work {
    Work::RoundTrips { in_flight, security: Security::Secured }
}

const fn one_way(bytes: usize, security: Security) -> Work {
    Work::OneWay { bytes, security }
}

const MIB: usize = 1 << 20;

/// All rows.
pub const ROWS: [Row; 19] = [
    row(
        "round-trips-100-plain",
        Work::RoundTrips { in_flight: 100, security: Security::Plain },
        2,
        20_000,
        4_000_000,
    ),
    row("round-trips-100-tls", round_trips(100), 2, 20_000, 4_000_000),
    row("round-trips-1-tls-2-threads", round_trips(1), 2, 2_000, 400_000),
    row("round-trips-1-tls-1-thread", round_trips(1), 1, 2_000, 400_000),
    row("one-way-256-plain", one_way(256, Security::Plain), 2, 50_000, 20_000_000),
    row("one-way-256-tls", one_way(256, Security::Secured), 2, 50_000, 20_000_000),
    row("one-way-256-tls-limited", Work::Limited, 2, 500, 20_000),
    row("one-way-1m-plain", one_way(MIB, Security::Plain), 2, 200, 20_000),
    row("one-way-1m-tls", one_way(MIB, Security::Secured), 2, 200, 20_000),
    row("relay-star", Work::Relay(Shape::Star), 2, 1_024, 500_000),
    row("relay-star-1-thread", Work::Relay(Shape::Star), 1, 1_024, 500_000),
    row("relay-20", Work::Relay(Shape::Ring), 2, 128, 100_000),
    row("connect-8", Work::Connect { parallel: 8 }, 2, 200, 20_000),
    row("connect-1", Work::Connect { parallel: 1 }, 2, 100, 20_000),
    row("idle-plain", Work::Idle(Security::Plain), 2, 0, IDLE_NODES * (IDLE_NODES - 1) / 2),
    row("idle-tls", Work::Idle(Security::Secured), 2, 0, IDLE_NODES * (IDLE_NODES - 1) / 2),
    row("gossip-allocations", Work::Relay(Shape::Pair), 2, 1_024, 200_000),
    row("fan-in-64-1-thread", Work::FanIn { connections: 64 }, 1, 64_000, 10_000_000),
    row("fan-in-64-2-threads", Work::FanIn { connections: 64 }, 2, 64_000, 10_000_000),
];
