//! What must hold in every run, and who looks at it.

use std::fmt;

use spacetime_core::wire::{FRAME_HEADER, MAX_PAYLOAD};
use spacetime_core::wire::{MAX_SHARED_FRAME, Priority};
use spacetime_core::{
    ConnectionId, Event, Identity, Limits, NetworkBehaviour, QueueLimit, QueueLoad, Swarm, Time,
};

use super::socket::TRANSMIT_BYTES;
use super::witness::Witness;
use super::{Simulation, node::Running};

/// How often all of a node's memory is added up, in calls of its Swarm.
const MEMORY_INTERVAL: u64 = 64;

/// What may happen to one node in a virtual millisecond.
const MAX_STEPS: u64 = 100_000;

/// Counts what happens to somebody in a millisecond, or nearly: in 2^20 ns.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    moment: u64,
    steps: u64,
}

impl Pace {
    /// Something happens. How much did at this moment.
    #[inline]
    pub(crate) const fn step(&mut self, now: Time) -> u64 {
        let moment = now.as_nanos() >> 20;
        if self.moment != moment {
            *self = Self { moment, steps: 0 };
        }
        self.steps += 1;
        self.steps
    }
}

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

    /// A node's process ends, by a fault or by itself: what its Swarm knows is lost.
    fn on_stopped(&mut self, node: usize, swarm: &Swarm<Witness<B>>) {
        let _ = (node, swarm);
    }
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
        if with_memory && let Some(what) = too_much_memory(running, self.largest_frame_bytes) {
            self.fail(FailureKind::Safety, Some(node), "memory", what);
        }
    }

    /// Something happens, to a node or to none. Whoever makes something happen again and again, and no
    /// time pass, would hold the simulation for ever.
    #[inline]
    pub(crate) fn check_pace(&mut self, node: Option<usize>) {
        let (steps, max) = match node {
            Some(node) => (self.nodes[node].pace.step(self.now), MAX_STEPS),
            None => {
                let hosts = (self.nodes.len() + self.actors.len()) as u64;
                (self.pace.step(self.now), MAX_STEPS * hosts.max(1))
            }
        };
        if steps > max {
            let what = format!("more than {max} things happen in a millisecond");
            self.fail(FailureKind::Safety, node, "steps", what);
        }
    }

    /// A queue has been written to or read from.
    pub(crate) fn check_queue(&mut self, node: usize, connection: ConnectionId) {
        let Some(running) = &self.nodes[node].running else { return };
        let loads = running.swarm.queue_loads(connection);
        if let Some(what) = too_much_queued(&loads, running.swarm.limits(), self.largest_frame_bytes) {
            let what = format!("on {connection} {what}");
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

    /// So must one of which nothing was heard for as long as it may take.
    pub(crate) fn expect_dial_over(&mut self, node: usize, incarnation: u32, connection: ConnectionId) {
        let is_same = self.nodes[node].incarnation == incarnation;
        let Some(running) = self.nodes[node].running.as_ref().filter(|_| is_same) else { return };
        if running.dials.contains(connection) && !running.attachments.contains(connection) {
            let timeout = running.swarm.limits().dial_timeout();
            let what = format!("the dial {connection} was not answered, and goes on after {timeout:?}");
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

/// What is wrong with what waits in the four queues of a connection.
fn too_much_queued(loads: &[QueueLoad; 4], limits: &Limits, largest_frame_bytes: usize) -> Option<String> {
    let mut larger = 0;
    for (priority, load) in Priority::ALL.into_iter().zip(loads) {
        let QueueLimit { max_frames, max_bytes } = limits.queue(priority);
        let QueueLoad { frames, bytes } = *load;
        // One frame may be larger, where nothing else waits and no other such frame.
        larger += usize::from(bytes > max_bytes);
        let is_larger_frame = frames == 1 && larger == 1 && bytes <= largest_frame_bytes;
        if frames > max_frames || (bytes > max_bytes && !is_larger_frame) {
            return Some(format!(
                "{frames} frames of {bytes} bytes wait in the queue {priority:?}, \
                 where {max_frames} frames of {max_bytes} bytes are allowed"
            ));
        }
    }
    None
}

/// What is wrong with what a node holds for its connections. All of them together may hold what is
/// allowed, so that what leaks on one shows when it is more than all may have.
fn too_much_memory<B: NetworkBehaviour>(running: &Running<B>, largest_frame_bytes: usize) -> Option<String> {
    let Running { swarm, attachments, .. } = running;
    let limits = swarm.limits();
    let mut sending = swarm.held_bytes();
    for (connection, it) in attachments.iter() {
        sending += it.out.as_ref().map_or(0, |out| out.len());
        let frame = match swarm.peer(connection) {
            // One, and one in chunks at each of two levels.
            Some(_) => 3 * LARGEST_FRAME_BYTES,
            None => FRAME_HEADER + limits.first_frame_bytes() as usize,
        };
        let (held, max) = (it.reader.held_bytes(), frame + READ_BUFFER_BYTES);
        if held > max {
            return Some(format!("the reader of {connection} holds {held} bytes, where {max} are allowed"));
        }
    }
    let max = attachments.len() * max_sending_bytes(limits, largest_frame_bytes);
    (sending > max).then(|| format!("{sending} bytes are held to be sent, where {max} are allowed"))
}

/// The most memory that one connection takes for what is to be sent: full queues and what keeps them
/// in order, a frame that is larger, what is on its way in chunks at two levels, and what is being written.
fn max_sending_bytes(limits: &Limits, largest_frame_bytes: usize) -> usize {
    let queue = |priority| {
        let QueueLimit { max_frames, max_bytes } = limits.queue(priority);
        max_bytes + max_bytes / 64 + max_frames * 8 + QUEUE_BYTES
    };
    let queues: usize = Priority::ALL.into_iter().map(queue).sum();
    queues + TRANSMIT_BYTES + 4 * largest_frame_bytes
}

/// A queue itself, and the beginning of what it holds.
const QUEUE_BYTES: usize = 512;

/// What a reader holds beside one frame.
const READ_BUFFER_BYTES: usize = 2 * MAX_SHARED_FRAME;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_queue_has_its_own_limit_and_one_frame_in_one_of_them_may_be_larger() {
        let limit = QueueLimit { max_frames: 3, max_bytes: 2000 };
        let limits =
            Priority::ALL.into_iter().fold(Limits::default(), |limits, it| limits.with_queue(it, limit));
        let complaint = |loads: [(usize, usize); 4]| {
            let loads = loads.map(|(frames, bytes)| QueueLoad { frames, bytes });
            too_much_queued(&loads, &limits, 5000)
        };
        let nothing = (0, 0);
        for fine in [[nothing; 4], [(3, 2000); 4], [(3, 2000), (1, 5000), (3, 2000), (3, 2000)]] {
            assert_eq!(complaint(fine), None);
        }
        for wrong in [(4, 2000), (3, 2001), (2, 5000), (1, 5001)] {
            for place in 0..4 {
                let mut loads = [nothing; 4];
                loads[place] = wrong;
                assert!(complaint(loads).is_some(), "{wrong:?} in {place}");
            }
        }
        let what = complaint([nothing, (1, 2001), (1, 2001), nothing]).expect("two frames are larger");
        assert!(what.starts_with("1 frames of 2001 bytes wait in the queue Normal"), "{what}");
    }
}
