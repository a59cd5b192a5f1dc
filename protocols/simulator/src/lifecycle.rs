//! Nodes that start, stand still, and end before their time.

use std::sync::Arc;
use std::time::Duration;

use spacetime_core::{ConnectionMap, NetworkBehaviour, Swarm, Time};

use super::fault::FaultKind;
use super::link::{End, Piece};
use super::node::{Boot, Running};
use super::queue::Scheduled;
use super::witness::Witness;
use super::{Application, Simulation};

/// How long after its process has ended by itself a node is started again.
const RESTART_TIME: Duration = Duration::from_secs(5);

impl<B: NetworkBehaviour> Simulation<B> {
    pub(crate) fn boot(&self, node: usize) -> Boot {
        let it = &self.nodes[node];
        let rng = self.rng.fork(&format!("node {node}"));
        let rng = if it.incarnation == 0 { rng } else { rng.fork(&format!("life {}", it.incarnation)) };
        Boot {
            index: node,
            incarnation: it.incarnation,
            address: it.address.clone(),
            peer_id: it.peer_id,
            unix_seconds: it.clock.unix_seconds(self.now),
            rng,
            disk: it.disk.clone(),
        }
    }

    /// Runs a tree on a node.
    pub(crate) fn run_process(&mut self, node: usize, tree: B, application: Option<Box<dyn Application<B>>>) {
        let it = &mut self.nodes[node];
        // What the start has taken of the disk.
        let busy_until = it.disk.take_report().done_at.unwrap_or(self.now);
        it.epoch = if it.incarnation == 0 { Time::ZERO } else { self.now };
        let swarm = Swarm::new(Witness::new(tree), it.peer_id, it.limits.clone())
            .expect("limits of a simulation are valid");
        it.running = Some(Running {
            rules: Arc::new(swarm.rules().clone()),
            swarm,
            attachments: ConnectionMap::new(),
            application,
            busy_until,
            armed: None,
            dials: ConnectionMap::new(),
            is_reading_on: false,
        });
        self.drive(node);
    }

    /// Starts a node again that is down, if it is one that can be.
    pub fn start(&mut self, node: usize) {
        let Some(factory) = self.nodes[node].factory.clone() else { return };
        if self.nodes[node].running.is_some() {
            return;
        }
        self.nodes[node].incarnation += 1;
        self.nodes[node].has_power = true;
        self.trace(|| format!("node {node} starts"));
        self.nodes[node].disk.set_not_before(self.now);
        // Those who wait for an answer of its former life send again, and hear that nobody knows them.
        for link in 0..self.links.len() {
            for side in 0..2 {
                let it = &self.links[link];
                if it.ends[side] == End::Forgotten(node) && it.pipes[side].under_way > 0 {
                    self.reset_peer(link, side);
                }
            }
        }
        let (tree, application) = factory(&self.boot(node));
        self.run_process(node, tree, application);
    }

    /// Kills a node's process. What it had written is written, and its peers hear of it. Whether it
    /// was running, and is one that can be started again.
    pub fn kill(&mut self, node: usize) -> bool {
        let Some(attachments) = self.stop(node) else { return false };
        self.nodes[node].disk.flush();
        for (link, side) in attachments {
            self.reset_peer(link, side);
        }
        true
    }

    /// Takes a node's power away; its peers hear nothing. How many writes were lost.
    pub(crate) fn lose_power(&mut self, node: usize, tears: bool) -> Option<usize> {
        self.stop(node)?;
        self.nodes[node].has_power = false;
        let lost = self.nodes[node].disk.lose_power(tears);
        self.trace(|| format!("node {node} loses power and {lost} writes"));
        Some(lost)
    }

    /// Ends a process; the links that it held.
    fn stop(&mut self, node: usize) -> Option<Vec<(usize, usize)>> {
        self.nodes[node].factory.as_ref()?;
        let running = self.nodes[node].running.take()?;
        self.judges.iter_mut().for_each(|judge| judge.on_stopped(node, &running.swarm));
        self.trace(|| format!("node {node} is gone"));
        let held: Vec<_> = running.attachments.iter().map(|(_, it)| (it.link, it.side)).collect();
        for (link, side) in &held {
            self.links[*link].ends[*side] = End::Forgotten(node);
            self.links[*link].pipes[*side].unread.clear();
        }
        // A process that is gone does not stand still; what waited for it finds nobody.
        self.nodes[node].pauses = 0;
        for scheduled in std::mem::take(&mut self.nodes[node].deferred) {
            self.queue.push(self.now, scheduled);
        }
        Some(held)
    }

    /// A process ends by itself, and is started again by whoever watches over it.
    pub(crate) fn exit(&mut self, node: usize, why: &str) {
        self.trace(|| format!("node {node} gives up: {why}"));
        if self.kill(node) {
            self.queue.push(self.now + RESTART_TIME, Scheduled::Start(node));
        }
    }

    /// The holder of `side` is gone, and its system says so to the other end.
    pub(crate) fn reset_peer(&mut self, link: usize, side: usize) {
        self.links[link].ends[side] = End::Gone;
        self.send(link, 1 - side, Piece::Reset);
    }

    /// Something happens to a node that stands still.
    pub(crate) fn postpone(&mut self, node: usize, scheduled: Scheduled<B::Command>) {
        self.injector.felt(node, |what| matches!(what, FaultKind::Pause(_)));
        self.nodes[node].deferred.push_back(scheduled);
    }

    /// A node that stood still goes on: everything that happened meanwhile happens now.
    pub(crate) fn resume(&mut self, node: usize) {
        if self.nodes[node].pauses > 0 {
            return;
        }
        while let Some(scheduled) = self.nodes[node].deferred.pop_front() {
            self.happen(scheduled);
        }
        self.read_all(node);
        self.drive(node);
    }
}
