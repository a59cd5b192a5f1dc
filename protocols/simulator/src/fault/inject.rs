//! Making things go wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use spacetime_core::{NetworkBehaviour, Rng, Time};

use super::{Fault, FaultKind, Partition, Shape};
use crate::Simulation;
use crate::disk::{Report, count};
use crate::queue::Scheduled;

/// How long after the beginning nodes that are down for no time are started again.
const SHORTEST_OUTAGE: Duration = Duration::from_millis(1);

/// The faults of a run.
#[derive(Debug, Default)]
pub(crate) struct Injector {
    faults: Vec<Fault>,
    /// What the ones that have begun and not ended befell.
    active: BTreeMap<usize, usize>,
    /// Those of them that had no effect yet.
    unfelt: BTreeSet<usize>,
    partitions: BTreeMap<usize, Cut>,
    fired: BTreeMap<&'static str, u64>,
    has_stopped: bool,
}

/// A partition: the nodes of one side, and whether the other side is heard there.
#[derive(Debug)]
struct Cut {
    is_inside: Vec<bool>,
    one_way: bool,
}

impl Cut {
    /// Whether it lies between two hosts, in this direction.
    fn is_between(&self, from: usize, to: usize) -> bool {
        let is_inside = |host: usize| self.is_inside.get(host).is_some_and(|inside| *inside);
        is_inside(from) != is_inside(to) && (!self.one_way || is_inside(from))
    }
}

impl Injector {
    /// Whether a partition lies between two hosts, in this direction.
    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.partitions.values().any(|cut| cut.is_between(from, to))
    }

    /// A fault has an effect on what it befell: those that do so for the first time count.
    pub(crate) fn felt(&mut self, target: usize, is_it: impl Fn(&FaultKind) -> bool) {
        let Self { faults, active, unfelt, fired, .. } = self;
        unfelt.retain(|index| {
            let what = &faults[*index].what;
            let is_felt = active.get(index) == Some(&target) && is_it(what);
            if is_felt {
                *fired.entry(what.name()).or_default() += 1;
            }
            !is_felt
        });
    }

    /// Something is held up in a direction of a link.
    pub(crate) fn felt_on_way(&mut self, link: usize, to: usize) {
        self.felt(link, |what| matches!(what, FaultKind::Clog(number) if side(*number) == to));
    }

    /// Something is held up between two hosts.
    pub(crate) fn felt_between(&mut self, from: usize, to: usize) {
        let Self { unfelt, partitions, fired, .. } = self;
        unfelt.retain(|index| {
            let is_felt = partitions.get(index).is_some_and(|cut| cut.is_between(from, to));
            if is_felt {
                *fired.entry("partition").or_default() += 1;
            }
            !is_felt
        });
    }

    /// What was wanted of a node's disk took longer, or came to nothing.
    pub(crate) fn felt_on_disk(&mut self, node: usize, report: Report) {
        let Report { was_slow, has_failed, was_full, .. } = report;
        if was_slow || has_failed || was_full {
            self.felt(node, |what| match what {
                FaultKind::SlowDisk(_) => was_slow,
                FaultKind::FailingDisk(_) => has_failed,
                FaultKind::FullDisk(_) => was_full,
                _ => false,
            });
        }
    }

    /// The links that faults have to do with until they end.
    pub(crate) fn links(&self) -> impl Iterator<Item = usize> {
        let active = self.active.iter().filter(|(index, _)| self.faults[**index].what.befalls_a_link());
        active.map(|(_, target)| *target)
    }

    /// Counts something that went wrong.
    pub(crate) fn fired(&mut self, name: &'static str) {
        *self.fired.entry(name).or_default() += 1;
    }
}

impl<B: NetworkBehaviour> Simulation<B> {
    /// Lets these things go wrong, at their times.
    #[must_use]
    pub fn faults(mut self, faults: Vec<Fault>) -> Self {
        for (index, fault) in (self.injector.faults.len()..).zip(&faults) {
            let at = Time::from_epoch(Duration::from_millis(fault.at_ms));
            self.queue.push(at.max(self.now), Scheduled::Fault(index));
        }
        self.injector.faults.extend(faults);
        self
    }

    /// How often which kind of fault had an effect.
    pub fn faults_fired(&self) -> &BTreeMap<&'static str, u64> {
        &self.injector.fired
    }

    /// Ends all faults: nothing goes wrong any more. Connections that lead nowhere and clocks that
    /// were set stay as they are, and actors go on.
    pub fn stop_faults(&mut self) {
        self.injector.has_stopped = true;
        let active: Vec<_> = self.injector.active.keys().copied().collect();
        active.into_iter().for_each(|index| self.end_fault(index));
    }

    pub(crate) fn begin_fault(&mut self, index: usize) {
        if self.injector.has_stopped {
            return;
        }
        let Fault { duration_ms, ref what, .. } = self.injector.faults[index];
        let what = what.clone();
        let Some(target) = self.target_of(&what) else { return };
        if !self.begin(index, &what, target) {
            return;
        }
        match what {
            // Each bit and each write counts that is damaged.
            FaultKind::Corruption(_) | FaultKind::Truncation(_) | FaultKind::TornWrite(_) => {}
            FaultKind::Clog(_)
            | FaultKind::RefusedDials(_)
            | FaultKind::SlowReader(_)
            | FaultKind::Partition(_)
            | FaultKind::Pause(_)
            | FaultKind::SlowDisk(_)
            | FaultKind::FailingDisk(_)
            | FaultKind::FullDisk(_) => {
                self.injector.unfelt.insert(index);
            }
            _ => self.injector.fired(what.name()),
        }
        self.trace(|| format!("fault: {what:?} befalls {target}"));
        self.injector.active.insert(index, target);
        let duration = Duration::from_millis(duration_ms).max(SHORTEST_OUTAGE);
        self.queue.push(self.now + duration, Scheduled::FaultEnds(index));
    }

    /// The node or link that a fault befalls, if there is one.
    fn target_of(&self, what: &FaultKind) -> Option<usize> {
        let open_link = |number: u64| {
            let open: Vec<_> = self
                .links
                .iter()
                .enumerate()
                .filter(|(_, link)| link.is_open())
                .map(|(index, _)| index)
                .collect();
            nth(&open, number)
        };
        let node = |number: u64| {
            let nodes: Vec<_> = (0..self.nodes.len()).filter(|node| !self.spared.contains(node)).collect();
            nth(&nodes, number)
        };
        match *what {
            FaultKind::ConnectionLoss(link)
            | FaultKind::HalfOpen(link)
            | FaultKind::Corruption(link)
            | FaultKind::Truncation(link)
            | FaultKind::Clog(link) => open_link(link),
            FaultKind::Partition(Partition { number, .. }) => Some(number as usize % self.nodes.len().max(1)),
            FaultKind::ClockJump { node: number, .. } | FaultKind::ClockDrift { node: number, .. } => {
                node(number)
            }
            FaultKind::RefusedDials(number)
            | FaultKind::SlowReader(number)
            | FaultKind::Crash(number)
            | FaultKind::TornWrite(number)
            | FaultKind::Kill(number)
            | FaultKind::Pause(number)
            | FaultKind::SlowDisk(number)
            | FaultKind::FailingDisk(number)
            | FaultKind::FullDisk(number) => node(number),
        }
    }

    /// Whether there was anything to go wrong.
    fn begin(&mut self, index: usize, what: &FaultKind, target: usize) -> bool {
        match what {
            FaultKind::ConnectionLoss(_) => self.tear(target),
            FaultKind::HalfOpen(_) => self.links[target].is_half_open = true,
            FaultKind::Corruption(_) => {
                self.links[target].pipes.iter_mut().for_each(|it| it.trouble().corruptions += 1)
            }
            FaultKind::Truncation(number) => {
                count(&mut self.links[target].pipes[side(*number)].trouble().truncations, true)
            }
            FaultKind::Clog(number) => self.links[target].clogs[side(*number)] += 1,
            FaultKind::RefusedDials(_) => count(&mut self.nodes[target].refusals, true),
            FaultKind::SlowReader(_) => {
                count(&mut self.nodes[target].slow_readings, true);
                self.schedule_slow_read(target);
            }
            FaultKind::Partition(Partition { shape, number, one_way }) => {
                let is_inside = self.side_of(*shape, target, *number);
                self.injector.partitions.insert(index, Cut { is_inside, one_way: *one_way });
            }
            FaultKind::Crash(_) => return self.lose_power(target, false).is_some(),
            // It counts when there is a write to be torn.
            FaultKind::TornWrite(_) => self.nodes[target].disk.set_cut_at_write(true),
            FaultKind::Kill(_) => return self.kill(target),
            FaultKind::Pause(_) => count(&mut self.nodes[target].pauses, true),
            FaultKind::ClockJump { seconds, .. } => self.nodes[target].clock.jump(self.now, *seconds),
            FaultKind::ClockDrift { parts_per_million, .. } => {
                self.nodes[target].clock.add_drift(self.now, *parts_per_million);
            }
            FaultKind::SlowDisk(_) => self.nodes[target].disk.set_slow(true),
            FaultKind::FailingDisk(_) => self.nodes[target].disk.set_failing(true),
            FaultKind::FullDisk(_) => self.nodes[target].disk.set_full(true),
        }
        true
    }

    fn side_of(&self, shape: Shape, target: usize, number: u64) -> Vec<bool> {
        let nodes = self.nodes.len();
        let mut rng = Rng::from_number(number);
        (0..nodes)
            .map(|node| match shape {
                Shape::Isolated => node == target,
                Shape::Halves => node < nodes / 2,
                Shape::Random => rng.chance(1, 2),
            })
            .collect()
    }

    pub(crate) fn end_fault(&mut self, index: usize) {
        let Some(target) = self.injector.active.get(&index).copied() else { return };
        let what = self.injector.faults[index].what.clone();
        if matches!(what, FaultKind::SlowDisk(_) | FaultKind::FailingDisk(_) | FaultKind::FullDisk(_)) {
            // What nobody but the disk has noticed yet.
            let felt = self.nodes[target].disk.take_felt();
            self.injector.felt_on_disk(target, felt);
        }
        self.injector.active.remove(&index);
        self.injector.unfelt.remove(&index);
        self.trace(|| format!("fault over: {what:?} of {target}"));
        match what {
            // A connection that leads nowhere stays like that until somebody gives it up.
            FaultKind::ConnectionLoss(_) | FaultKind::HalfOpen(_) | FaultKind::ClockJump { .. } => {}
            FaultKind::Corruption(_) => {
                self.links[target].pipes.iter_mut().for_each(|it| it.trouble().corruptions -= 1)
            }
            FaultKind::Truncation(number) => {
                count(&mut self.links[target].pipes[side(number)].trouble().truncations, false)
            }
            FaultKind::Clog(number) => {
                self.links[target].clogs[side(number)] -= 1;
                self.release();
            }
            FaultKind::RefusedDials(_) => count(&mut self.nodes[target].refusals, false),
            FaultKind::SlowReader(_) => {
                count(&mut self.nodes[target].slow_readings, false);
                self.read_all(target);
            }
            FaultKind::Partition(_) => {
                self.injector.partitions.remove(&index);
                self.release();
            }
            FaultKind::Crash(_) | FaultKind::Kill(_) => self.start(target),
            FaultKind::TornWrite(_) => {
                self.nodes[target].disk.set_cut_at_write(false);
                self.start(target);
            }
            FaultKind::Pause(_) => {
                count(&mut self.nodes[target].pauses, false);
                self.resume(target);
            }
            FaultKind::ClockDrift { parts_per_million, .. } => {
                self.nodes[target].clock.add_drift(self.now, -parts_per_million);
            }
            FaultKind::SlowDisk(_) => self.nodes[target].disk.set_slow(false),
            FaultKind::FailingDisk(_) => self.nodes[target].disk.set_failing(false),
            FaultKind::FullDisk(_) => self.nodes[target].disk.set_full(false),
        }
    }
}

fn nth(items: &[usize], number: u64) -> Option<usize> {
    items.get(number.checked_rem(items.len() as u64)? as usize).copied()
}

/// Which direction of a link a fault befalls.
const fn side(number: u64) -> usize {
    (number >> 1) as usize & 1
}
