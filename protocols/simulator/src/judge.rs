//! What must hold in every run, and who looks at it.

use std::fmt;

use spacetime_core::wire::{FRAME_HEADER, MAX_PAYLOAD};
use spacetime_core::{ConnectionId, Event, Identity, NetworkBehaviour, Swarm, Time};

use super::witness::Witness;
use super::{Simulation, node::Running};

/// How often all of a node's memory is added up, in calls of its Swarm.
const MEMORY_INTERVAL: u64 = 64;

/// Something that did not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// When.
    pub at: Time,
    /// At which node, if at one.
    pub node: Option<usize>,
    /// What kind of thing must hold always, or at the end.
    pub kind: FailureKind,
    /// Whose judgement it is.
    pub judge: &'static str,
    /// What did not hold.
    pub what: String,
}

/// When something must hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureKind {
    /// Always.
    Safety,
    /// Some time after all faults have ended.
    Liveness,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, node, judge, what, .. } = self;
        match node {
            Some(node) => write!(f, "{judge}: {what} (node {node}, at {at:?})"),
            None => write!(f, "{judge}: {what} (at {at:?})"),
        }
    }
}

/// Looks at everything that a node's Swarm says, and says what must not be.
pub trait Judge<B: NetworkBehaviour> {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// A node's Swarm said something.
    fn on_event(
        &mut self,
        now: Time,
        node: usize,
        swarm: &Swarm<Witness<B>>,
        event: &Event<B::Event>,
    ) -> Result<(), String>;
}

impl<B: NetworkBehaviour> Simulation<B> {
    /// One more judge.
    #[must_use]
    pub fn judge(mut self, judge: impl Judge<B> + 'static) -> Self {
        self.judges.push(Box::new(judge));
        self
    }

    /// Keeps the first failure for [`failure`](Self::failure) and stands still, instead of a panic.
    #[must_use]
    pub const fn recording(mut self) -> Self {
        self.is_recording = true;
        self
    }

    /// The first thing that did not hold.
    pub const fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    pub(crate) fn fail(&mut self, kind: FailureKind, node: Option<usize>, judge: &'static str, what: String) {
        let failure = Failure { at: self.now, node, kind, judge, what };
        self.trace(|| format!("failure: {failure}"));
        assert!(self.is_recording, "{failure} with seed {}", self.seed);
        self.failure.get_or_insert(failure);
    }

    /// Asks all judges about an event.
    pub(crate) fn ask_judges(&mut self, node: usize, event: &Event<B::Event>) {
        if let Event::Established { connection, peer } = event {
            self.check_one_session(node, *connection, &peer.identity);
        }
        let Some(running) = &self.nodes[node].running else { return };
        let mut complaint = None;
        for judge in &mut self.judges {
            if let Err(what) = judge.on_event(self.now, node, &running.swarm, event) {
                complaint = Some((judge.name(), what));
                break;
            }
        }
        if let Some((judge, what)) = complaint {
            self.fail(FailureKind::Safety, Some(node), judge, what);
        }
    }

    fn check_one_session(&mut self, node: usize, connection: ConnectionId, identity: &Identity) {
        let Some(running) = &self.nodes[node].running else { return };
        let is_same = |other: &Identity| match (identity, other) {
            (Identity::Proven(one), Identity::Proven(other)) => one == other,
            (Identity::Claimed { address: one, .. }, Identity::Claimed { address: other, .. }) => {
                one.endpoint() == other.endpoint()
            }
            _ => false,
        };
        let mut peers = running.swarm.peers();
        let sessions = running.swarm.peers().count();
        let other = peers.find(|(id, peer)| *id != connection && is_same(&peer.identity)).map(|(id, _)| id);
        drop(peers);
        let max = running.swarm.limits().max_connections();
        if sessions > max {
            let what = format!("{sessions} sessions, where {max} are allowed");
            return self.fail(FailureKind::Safety, Some(node), "sessions", what);
        }
        if let Some(other) = other {
            let what = format!("{connection} and {other} are sessions with {identity}");
            self.fail(FailureKind::Safety, Some(node), "one session per peer", what);
        }
    }

    /// What holds of a node after each step.
    pub(crate) fn check(&mut self, node: usize) {
        self.checks += 1;
        let with_memory = self.checks.is_multiple_of(MEMORY_INTERVAL);
        let Some(running) = &mut self.nodes[node].running else { return };
        if running.swarm.behaviour().has_complaints() {
            let now = self.nodes[node].clock.read(self.now, self.nodes[node].epoch);
            let Some(running) = &mut self.nodes[node].running else { return };
            let complaints = running.swarm.act(now, |witness, _| witness.take_complaints());
            return self.fail(FailureKind::Safety, Some(node), "witness", complaints.join("; "));
        }
        if let Some(what) = unequal_connections(running) {
            return self.fail(FailureKind::Safety, Some(node), "connections", what);
        }
        if with_memory && let Some(what) = too_much_memory(running) {
            self.fail(FailureKind::Safety, Some(node), "memory", what);
        }
    }

    /// A queue has been written to or read from.
    pub(crate) fn check_queue(&mut self, node: usize, connection: ConnectionId) {
        let Some(running) = &self.nodes[node].running else { return };
        let queued = running.swarm.queued_bytes(connection);
        let max = running.swarm.limits().queue_bytes() + self.largest_frame_bytes;
        if queued > max {
            let what = format!("{queued} bytes wait on {connection}, where {max} are allowed");
            self.fail(FailureKind::Safety, Some(node), "queues", what);
        }
    }

    /// A dial that failed must have an end.
    pub(crate) fn expect_dial_ended(&mut self, node: usize, connection: ConnectionId) {
        let running = self.nodes[node].running.as_ref();
        if running.is_some_and(|running| running.dials.contains(connection)) {
            let what = format!("the dial {connection} failed, and nobody was told");
            self.fail(FailureKind::Safety, Some(node), "dials", what);
        }
    }

    /// After a deadline was let pass, the next one lies in the future: else the node would spin.
    pub(crate) fn check_deadline_moved(&mut self, node: usize) {
        let Some(running) = &self.nodes[node].running else { return };
        let local = self.nodes[node].clock.read(self.now, self.nodes[node].epoch).time;
        if let Some(at) = running.swarm.deadline().filter(|at| *at <= local) {
            let what = format!("the deadline that passed at {local:?} is followed by one at {at:?}");
            self.fail(FailureKind::Safety, Some(node), "deadlines", what);
        }
    }
}

/// The most bytes of a frame, unless the simulation knows better.
pub(crate) const LARGEST_FRAME_BYTES: usize = FRAME_HEADER + MAX_PAYLOAD as usize;

/// What a Swarm and its driver know of each other, after a step.
fn unequal_connections<B: NetworkBehaviour>(running: &Running<B>) -> Option<String> {
    let Running { swarm, attachments, dials, .. } = running;
    // Most of the time nobody dials, and the map need not be walked.
    let mut dialling = 0;
    if !dials.is_empty() {
        dialling = dials.keys().filter(|id| !attachments.contains(*id)).count();
    }
    let (known, held) = (swarm.connections(), attachments.len() + dialling);
    (known != held).then(|| format!("the Swarm knows {known} connections, and its driver {held}"))
}

fn too_much_memory<B: NetworkBehaviour>(running: &Running<B>) -> Option<String> {
    let sockets = running.attachments.iter().map(|(_, it)| it.reader.held_bytes() + it.out.len());
    let held = running.swarm.held_bytes() + sockets.sum::<usize>();
    let max = running.swarm.limits().worst_case_bytes();
    (held > max).then(|| format!("{held} bytes are held, where {max} are allowed"))
}
