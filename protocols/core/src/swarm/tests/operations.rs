//! Anything that can happen to a Swarm, at random.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use proptest::prelude::*;

use super::log::{Did, Entry};
use super::messages::{ITEM, REPLY, error, hello, numbered, raw};
use super::node::{Node, address, ephemeral, peer_id};
use super::tree::{ARRIVING, BY_PRIORITY, Reaction, Tree, TreeCommand};
use crate::wire::Priority;
use crate::{Bandwidth, CloseReason, ConnectionId, DialError, Limits, QueueLimit, Time};

/// Peers there are, from 1.
const PEERS: u8 = 5;

#[derive(Clone, Debug)]
pub(super) enum Operation {
    /// A peer connects and says who it is.
    Meet {
        peer: u8,
        is_proven: bool,
    },
    Accept {
        peer: u8,
    },
    Open {
        which: usize,
        proven: Option<u8>,
    },
    Hello {
        which: usize,
        peer: u8,
        understands_errors: bool,
    },
    Arrive {
        which: usize,
        frames: Vec<Arriving>,
    },
    /// Frames that were on their way to the Swarm when the connection ended.
    ArriveLate {
        which: usize,
        frames: Vec<Arriving>,
    },
    Lose {
        which: usize,
        reason: CloseReason,
    },
    FailDial {
        which: usize,
    },
    Command {
        to_second: bool,
        reaction: Reaction,
    },
    Pass(Duration),
    /// The driver's clock is not monotonic.
    GoBack(Duration),
    Take {
        which: usize,
        max_bytes: usize,
    },
    ShutDown,
}

#[derive(Clone, Debug)]
pub(super) enum Arriving {
    Good {
        byte: u8,
        item: u8,
        bytes: usize,
    },
    Malformed(u8),
    Heartbeat,
    Farewell,
    /// Cannot be cut into frames.
    Garbage,
}

/// Small ones, so that all of them are reached.
pub(super) fn limits() -> Limits {
    let mut limits = Limits::default()
        .with_max_connections(4)
        .with_max_opening(3)
        .with_max_requests(3)
        .with_dial_timeout(Duration::from_millis(900))
        .with_opening_timeout(Duration::from_millis(700))
        .with_write_timeout(Duration::from_millis(1500));
    for priority in Priority::ALL {
        let limit = QueueLimit { max_frames: 6, max_bytes: 4096 };
        limits = limits.with_queue(priority, limit);
    }
    limits
}

/// So little that most of what is sent and received must wait.
fn bandwidth() -> Bandwidth {
    Bandwidth::default()
        .with_upload_per_peer(Some(8192))
        .with_upload(Some(10_000))
        .with_download_per_peer(Some(8192))
        .with_download(Some(12_000))
}

fn any_peer() -> impl Strategy<Value = u8> {
    1..=PEERS
}

const MAX_TIMEOUT: Duration = Duration::from_millis(600);

fn any_duration() -> impl Strategy<Value = Duration> {
    (1..MAX_TIMEOUT.as_millis() as u64).prop_map(Duration::from_millis)
}

fn any_size() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..100_usize, 2 => 500..3000_usize, 1 => 4000..9000_usize]
}

pub(super) fn any_reaction() -> impl Strategy<Value = Reaction> {
    let which = || 0..4_usize;
    prop_oneof![
        3 => Just(Reaction::Nothing),
        8 => (which(), prop::sample::select(&BY_PRIORITY[..]), any_size())
            .prop_map(|(to, byte, bytes)| Reaction::Send { to, byte, bytes }),
        3 => (prop::sample::select(&BY_PRIORITY[..]), any_size())
            .prop_map(|(byte, bytes)| Reaction::Broadcast { byte, bytes }),
        1 => which().prop_map(Reaction::Close),
        3 => (any_peer(), prop::option::of(any_peer())).prop_map(|(peer, pinned)| {
            let to = address(peer);
            Reaction::Dial(match pinned {
                Some(id) => to.pinned(peer_id(id)),
                None => to,
            })
        }),
        5 => (which(), prop::option::of(0..3_u8), any_duration())
            .prop_map(|(whom, item, timeout)| Reaction::Ask { whom, item, timeout }),
        3 => Just(Reaction::Signal),
        3 => which().prop_map(|about| Reaction::Emit { about }),
        1 => which().prop_map(Reaction::Report),
        2 => any_duration().prop_map(Reaction::WakeIn),
    ]
}

fn any_arriving() -> impl Strategy<Value = Arriving> {
    let good = |byte| (byte, 0..3_u8, any_size());
    prop_oneof![
        8 => good(prop::sample::select(&ARRIVING[..]).boxed())
            .prop_map(|(byte, item, bytes)| Arriving::Good { byte, item, bytes }),
        4 => good(prop::sample::select(&[REPLY, ITEM][..]).boxed())
            .prop_map(|(byte, item, _)| Arriving::Good { byte, item, bytes: 0 }),
        2 => prop::sample::select(&ARRIVING[..]).prop_map(Arriving::Malformed),
        1 => Just(Arriving::Heartbeat),
        1 => Just(Arriving::Farewell),
        1 => Just(Arriving::Garbage),
    ]
}

fn any_frames() -> impl Strategy<Value = Vec<Arriving>> {
    prop::collection::vec(any_arriving(), 1..6)
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let which = || 0..6_usize;
    let reason = prop::sample::select(
        &[
            CloseReason::EndOfStream,
            CloseReason::Shutdown,
            CloseReason::Violation(crate::Offence::Other("told to")),
        ][..],
    );
    prop_oneof![
        10 => (any_peer(), any::<bool>()).prop_map(|(peer, is_proven)| Operation::Meet { peer, is_proven }),
        3 => any_peer().prop_map(|peer| Operation::Accept { peer }),
        12 => (which(), prop::option::of(0..=PEERS))
            .prop_map(|(which, proven)| Operation::Open { which, proven }),
        8 => (which(), any_peer(), any::<bool>()).prop_map(|(which, peer, understands_errors)| {
            Operation::Hello { which, peer, understands_errors }
        }),
        24 => (which(), any_frames()).prop_map(|(which, frames)| Operation::Arrive { which, frames }),
        1 => (which(), any_frames()).prop_map(|(which, frames)| Operation::ArriveLate { which, frames }),
        2 => (which(), reason).prop_map(|(which, reason)| Operation::Lose { which, reason }),
        2 => which().prop_map(|which| Operation::FailDial { which }),
        14 => (any::<bool>(), any_reaction())
            .prop_map(|(to_second, reaction)| Operation::Command { to_second, reaction }),
        8 => any_duration().prop_map(Operation::Pass),
        1 => any_duration().prop_map(Operation::GoBack),
        10 => (which(), 0..10_000_usize)
            .prop_map(|(which, max_bytes)| Operation::Take { which, max_bytes }),
    ]
}

/// A run: what happens, what the two leaves do about it, and whether the node is stopped in the end.
#[derive(Clone, Debug)]
pub(super) struct Run {
    operations: Vec<Operation>,
    first: Vec<Reaction>,
    second: Vec<Reaction>,
    ends: bool,
    /// There are limits of bandwidth.
    is_shaped: bool,
}

impl Run {
    /// The node goes on.
    pub(super) fn without_end(self) -> Self {
        Self { ends: false, ..self }
    }
}

pub(super) fn any_run(operations: usize) -> impl Strategy<Value = Run> {
    (
        prop::collection::vec(any_operation(), operations / 2..operations),
        prop::collection::vec(any_reaction(), 0..operations),
        prop::collection::vec(any_reaction(), 0..operations),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(operations, first, second, ends, is_shaped)| Run {
            operations,
            first,
            second,
            ends,
            is_shaped,
        })
}

/// A Swarm to which a run happens.
pub(super) struct Runner {
    pub(super) node: Node<Tree>,
    is_shaped: bool,
    /// All connections there ever were, the oldest first.
    connections: Vec<ConnectionId>,
    outbound: BTreeSet<ConnectionId>,
    opened: BTreeSet<ConnectionId>,
    /// Those on which the Swarm wants to send, and more was left when it last did.
    ready: BTreeSet<ConnectionId>,
    last_number: u32,
    /// Numbers of all frames that arrived, in order.
    pub(super) arrived: BTreeMap<ConnectionId, Vec<u32>>,
    /// Those that nobody asked for and that a leaf must have been told.
    pub(super) must_be_heard: BTreeMap<ConnectionId, Vec<u32>>,
    /// Those of which some wait for a limit of bandwidth.
    held: BTreeMap<ConnectionId, Vec<u32>>,
}

impl Runner {
    pub(super) fn new(is_shaped: bool) -> Self {
        let limits = if is_shaped { limits().with_bandwidth(bandwidth()) } else { limits() };
        Self {
            node: Node::new(limits),
            is_shaped,
            connections: Vec::new(),
            outbound: BTreeSet::new(),
            opened: BTreeSet::new(),
            ready: BTreeSet::new(),
            last_number: 0,
            arrived: BTreeMap::new(),
            must_be_heard: BTreeMap::new(),
            held: BTreeMap::new(),
        }
    }

    pub(super) fn of(run: Run) -> Self {
        let mut runner = Self::new(run.is_shaped);
        runner.go(run);
        runner
    }

    pub(super) fn go(&mut self, run: Run) {
        self.node.act(|tree, _| {
            tree.first.script.extend(run.first);
            tree.second.script.extend(run.second);
        });
        for operation in run.operations {
            self.perform(operation);
        }
        if run.ends {
            self.perform(Operation::ShutDown);
        }
    }

    /// How much longer than their timeout requests are waited for at most: three times as long, and
    /// an eighth.
    pub(super) fn max_pause(&self) -> Duration {
        if self.is_shaped { MAX_TIMEOUT * 25 / 8 } else { Duration::ZERO }
    }

    /// A connection, more often one of the last.
    fn which(&self, back: usize) -> Option<ConnectionId> {
        let last = self.connections.len().checked_sub(1)?;
        self.connections.get(last - back % self.connections.len()).copied()
    }

    pub(super) fn perform(&mut self, operation: Operation) {
        match operation {
            Operation::Meet { peer, is_proven } => {
                let before = self.connections.len();
                self.perform(Operation::Accept { peer });
                if self.connections.len() > before {
                    self.perform(Operation::Open { which: 0, proven: is_proven.then_some(peer) });
                    self.perform(Operation::Hello { which: 0, peer, understands_errors: is_proven });
                }
            }
            Operation::Accept { peer } => {
                let from = ephemeral(peer, 40_000 + self.connections.len() as u16);
                if let Ok(connection) = self.node.accept(from) {
                    self.connections.push(connection);
                }
            }
            Operation::Open { which, proven } => {
                if let Some(connection) = self.which(which)
                    && self.opened.insert(connection)
                {
                    self.node.open(connection, proven.map(peer_id));
                }
            }
            Operation::Hello { which, peer, understands_errors } => {
                if let Some(connection) = self.which(which) {
                    let name = alloc::format!("{}", peer_id(peer));
                    let frame = hello(&name, Some(8333), understands_errors);
                    self.node.receive(connection, &frame);
                }
            }
            Operation::Arrive { which, frames } => {
                if let Some(connection) = self.which(which)
                    && self.node.wires.contains_key(&connection)
                {
                    self.arrive(connection, &frames);
                }
            }
            Operation::ArriveLate { which, frames } => {
                if let Some(connection) = self.which(which)
                    && self.opened.contains(&connection)
                    && !self.node.wires.contains_key(&connection)
                {
                    let mut bytes = Vec::new();
                    for frame in &frames {
                        if !matches!(frame, Arriving::Garbage) {
                            bytes.extend(self.bytes_of(connection, frame));
                        }
                    }
                    self.node.receive_late(connection, &bytes);
                }
            }
            Operation::Lose { which, reason } => {
                if let Some(connection) = self.which(which) {
                    self.node.lose(connection, reason);
                }
            }
            Operation::FailDial { which } => {
                if let Some(connection) = self.which(which)
                    && self.outbound.contains(&connection)
                    && !self.opened.contains(&connection)
                {
                    self.node.fail_dial(connection, DialError::Transport("told to".into()));
                }
            }
            Operation::Command { to_second, reaction } => self.node.command(if to_second {
                TreeCommand::Second(reaction)
            } else {
                TreeCommand::First(reaction)
            }),
            Operation::Pass(duration) => self.node.sleep(duration),
            Operation::GoBack(duration) => {
                let now = self.node.now;
                self.node.now = Time::from_nanos(now.as_nanos()) - duration;
                self.node.tick();
                self.node.now = now;
            }
            Operation::Take { which, max_bytes } => {
                self.node.read_on();
                while let Some(connection) = self.node.swarm.poll_ready() {
                    self.ready.insert(connection);
                }
                let which = which.checked_rem(self.ready.len()).unwrap_or(0);
                if let Some(connection) = self.ready.iter().nth(which).copied()
                    && !self.node.take_more(connection, max_bytes)
                {
                    self.ready.remove(&connection);
                }
            }
            Operation::ShutDown => self.node.shut_down(),
        }
        for (connection, numbers) in core::mem::take(&mut self.held) {
            match self.node.wires.get(&connection) {
                Some(wire) if wire.held.is_some() => drop(self.held.insert(connection, numbers)),
                Some(_) => self.must_be_heard.entry(connection).or_default().extend(numbers),
                // It ended before.
                None => {}
            }
        }
        for (connection, _) in core::mem::take(&mut self.node.dials) {
            self.connections.push(connection);
            self.outbound.insert(connection);
        }
    }

    fn arrive(&mut self, connection: ConnectionId, frames: &[Arriving]) {
        let was_established = self.node.swarm.peer(connection).is_some();
        let before = self.last_number;
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| self.bytes_of(connection, frame)).collect();
        self.node.receive(connection, &bytes);
        if was_established && self.node.swarm.peer(connection).is_some() {
            let unasked = |frame: &&Arriving| matches!(frame, Arriving::Good { .. });
            let heard = self.held.entry(connection).or_default();
            for (number, frame) in (before + 1..).zip(frames.iter().filter(unasked)) {
                if let Arriving::Good { byte, .. } = frame
                    && !is_answer(*byte)
                {
                    heard.push(number);
                }
            }
        }
    }

    fn bytes_of(&mut self, connection: ConnectionId, frame: &Arriving) -> Vec<u8> {
        match frame {
            Arriving::Good { byte, item, bytes } => {
                self.last_number += 1;
                self.arrived.entry(connection).or_default().push(self.last_number);
                let body = alloc::vec![0; *bytes];
                numbered(*byte, *item, self.last_number, &body).bytes().to_vec()
            }
            Arriving::Malformed(byte) => raw(*byte, &[1, 0xff]),
            Arriving::Heartbeat => raw(0x03, &[]),
            Arriving::Farewell => error(&CloseReason::Shutdown),
            Arriving::Garbage => raw(0x7f, &[]),
        }
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.node.log.entries()
    }

    /// What the leaves did, in order.
    pub(super) fn deeds(&self) -> Vec<Did> {
        self.entries()
            .into_iter()
            .filter_map(|entry| match entry {
                Entry::Did(_, did) => Some(did),
                _ => None,
            })
            .collect()
    }
}

/// Whether frames of this type may answer something.
fn is_answer(byte: u8) -> bool {
    matches!(byte, REPLY | ITEM | super::messages::OTHER_REPLY)
}
