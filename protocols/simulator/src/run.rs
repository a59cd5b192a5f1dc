//! The loop: one thing after the other, in the order of time.

use std::time::Duration;

use spacetime_core::{Action, Event, NetworkBehaviour, Now, Time, Transmit};

use super::Simulation;
use super::application::Effects;
use super::judge::FailureKind;
use super::link::End;
use super::node::Attachment;
use super::queue::{Dialer, Scheduled};

impl<B: NetworkBehaviour> Simulation<B> {
    /// Runs until everything that happens in the next `duration` has happened.
    pub fn run_for(&mut self, duration: Duration) -> &mut Self {
        let until = self.now + duration;
        while self.queue.next().is_some_and(|next| next <= until) && self.failure.is_none() {
            self.step();
        }
        if self.failure.is_none() {
            self.set_now(until);
        }
        self
    }

    /// Runs until `condition` holds, at most for `limit`. Whether it holds.
    pub fn run_until(&mut self, limit: Duration, mut condition: impl FnMut(&Self) -> bool) -> bool {
        let until = self.now + limit;
        while !condition(self) {
            if self.failure.is_some() {
                return false;
            }
            if self.queue.next().is_none_or(|next| next > until) {
                self.set_now(until);
                return false;
            }
            self.step();
        }
        true
    }

    /// The liveness phase: ends all faults, and demands that `condition`, which says what does not
    /// hold yet, holds within `limit`. It is looked at every second.
    pub fn converge(
        &mut self,
        limit: Duration,
        mut condition: impl FnMut(&Self) -> Result<(), String>,
    ) -> bool {
        self.stop_faults();
        let until = self.now + limit;
        while self.failure.is_none() {
            match condition(self) {
                Ok(()) => return true,
                Err(what) if self.now >= until => {
                    self.fail(FailureKind::Liveness, None, "liveness", what);
                }
                Err(_) => {
                    self.run_for(Duration::from_secs(1).min(until.since(self.now)));
                }
            }
        }
        false
    }

    fn step(&mut self) {
        let Some((at, scheduled)) = self.queue.pop() else {
            return;
        };
        debug_assert!(at >= self.now, "time never goes back");
        self.set_now(at);
        self.steps += 1;
        self.note(&scheduled);
        let node = self.node_of(&scheduled);
        self.check_pace(node);
        match node.filter(|node| self.nodes[*node].pauses > 0) {
            Some(node) => self.postpone(node, scheduled),
            None => self.happen(scheduled),
        }
    }

    fn set_now(&mut self, now: Time) {
        self.now = now;
        self.true_time.set(now);
    }

    /// Makes it part of the audit hash.
    fn note(&mut self, scheduled: &Scheduled<B::Command>) {
        let (tag, number) = match scheduled {
            Scheduled::Wake(node) => (1, *node),
            Scheduled::Dial(_) => (2, 0),
            Scheduled::DialAnswered { link, .. } => (3, link.map_or(0, |link| link + 1)),
            Scheduled::AtHost { link, side, .. } => (14, 2 * link + side),
            Scheduled::Bytes { link, side, .. } => (4, 2 * link + side),
            Scheduled::End { link, side } => (5, 2 * link + side),
            Scheduled::Reset { link, side } => (6, 2 * link + side),
            Scheduled::Room { link, side } => (7, 2 * link + side),
            Scheduled::Command { node, .. } => (8, *node),
            Scheduled::SlowRead(node) => (9, *node),
            Scheduled::ActorWake(actor) => (10, *actor),
            Scheduled::Fault(index) => (11, *index),
            Scheduled::FaultEnds(index) => (12, *index),
            Scheduled::Start(node) => (13, *node),
            Scheduled::DialDue { node, .. } => (15, *node),
        };
        self.audit.number(self.now.as_nanos());
        self.audit.number((number as u64) << 8 | tag);
        match scheduled {
            Scheduled::Command { command, .. } => self.audit.shown(command),
            Scheduled::Dial(dial) => self.audit.shown(dial),
            Scheduled::Bytes { bytes, .. } => self.audit.number(bytes.len() as u64),
            _ => {}
        }
        self.trace(|| match scheduled {
            Scheduled::Bytes { link, side, bytes } => {
                format!("{} bytes arrive at link {link}.{side}", bytes.len())
            }
            other => format!("{other:?}"),
        });
    }

    /// Makes what a test does to a node by itself part of the audit hash.
    pub(crate) fn note_act(&mut self, node: usize, label: &str) {
        self.audit.number(self.now.as_nanos());
        self.audit.number((node as u64) << 8 | 16);
        self.audit.bytes(label.as_bytes());
        self.trace(|| format!("node {node} is made to {label}"));
    }

    /// The node to which it happens, if it is one that may stand still.
    fn node_of(&self, scheduled: &Scheduled<B::Command>) -> Option<usize> {
        let holder = |link: usize, side: usize| match self.links[link].ends[side] {
            End::Node(node, _) | End::Awaited(node) => Some(node),
            _ => None,
        };
        match *scheduled {
            Scheduled::Wake(node) | Scheduled::Command { node, .. } | Scheduled::SlowRead(node) => Some(node),
            Scheduled::DialAnswered { dialer: Dialer::Node { node, .. }, .. }
            | Scheduled::DialDue { node, .. } => Some(node),
            Scheduled::Bytes { link, side, .. }
            | Scheduled::End { link, side }
            | Scheduled::Reset { link, side } => holder(link, side),
            Scheduled::Room { link, side } => holder(link, 1 - side),
            _ => None,
        }
    }

    pub(crate) fn happen(&mut self, scheduled: Scheduled<B::Command>) {
        match scheduled {
            Scheduled::Wake(node) => self.wake(node),
            Scheduled::Dial(dial) => self.answer_dial(dial),
            Scheduled::DialAnswered { dialer, link } => self.dial_answered(dialer, link),
            Scheduled::DialDue { node, incarnation, connection } => {
                self.expect_dial_over(node, incarnation, connection)
            }
            Scheduled::AtHost { link, side, piece } => self.reach_host(link, side, piece),
            Scheduled::Bytes { link, side, bytes } => {
                let pipe = &mut self.links[link].pipes[side];
                if !pipe.is_torn {
                    pipe.unread.push_back(bytes);
                    self.arrived(link, side);
                }
            }
            Scheduled::End { link, side } => {
                let pipe = &mut self.links[link].pipes[side];
                if !pipe.is_torn {
                    pipe.ended = true;
                    self.arrived(link, side);
                }
            }
            Scheduled::Reset { link, side } => self.was_reset(link, side),
            Scheduled::Room { link, side } => self.has_room(link, side),
            Scheduled::Command { node, incarnation, command } => {
                self.give_command(node, incarnation, *command)
            }
            Scheduled::SlowRead(node) => self.read_slowly(node),
            Scheduled::ActorWake(actor) => self.wake_actor(actor),
            Scheduled::Fault(index) => self.begin_fault(index),
            Scheduled::FaultEnds(index) => self.end_fault(index),
            Scheduled::Start(node) => self.start(node),
        }
    }

    /// A node's alarm rings; its deadline may have been moved since it was set.
    fn wake(&mut self, node: usize) {
        let now = self.clock(node);
        let Some(running) = &mut self.nodes[node].running else { return };
        if running.armed.is_none_or(|at| at > self.now) {
            return;
        }
        running.armed = None;
        if running.swarm.deadline().is_some_and(|at| at <= now.time) {
            running.swarm.handle_deadline(now);
            self.check_deadline_moved(node);
            self.drive(node);
        } else {
            self.arm(node);
        }
    }

    /// Sets a node's alarm, unless it rings early enough anyway.
    pub(crate) fn arm(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        let Some(running) = &mut it.running else { return };
        let Some(deadline) = running.swarm.deadline() else { return };
        let at = (it.epoch + deadline.since(Time::ZERO)).max(self.now);
        if running.armed.is_none_or(|armed| at < armed) {
            running.armed = Some(at);
            self.queue.push(at, Scheduled::Wake(node));
        }
    }

    pub(crate) fn give_command(&mut self, node: usize, incarnation: u32, command: B::Command) {
        let now = self.clock(node);
        let it = &mut self.nodes[node];
        if it.pauses > 0 {
            let command = Box::new(command);
            return self.postpone(node, Scheduled::Command { node, incarnation, command });
        }
        if let Some(running) = it.running.as_mut().filter(|_| it.incarnation == incarnation) {
            running.swarm.handle_command(now, command);
            self.drive(node);
        }
    }

    /// What a node's clocks say.
    pub(crate) fn clock(&self, node: usize) -> Now {
        let it = &self.nodes[node];
        it.clock.read(self.now, it.epoch)
    }

    /// Does what a node's Swarm wants done, and sets its alarm.
    pub(crate) fn drive(&mut self, node: usize) {
        while let Some(running) = &mut self.nodes[node].running {
            if let Some(action) = running.swarm.poll_action() {
                self.carry_out(node, action);
            } else if let Some(connection) = running.swarm.poll_ready() {
                self.check_queue(node, connection);
                self.write(node, connection);
            } else if let Some(event) = running.swarm.poll_event() {
                self.on_event(node, event);
            } else if !running.is_reading_on
                && let Some(connection) = running.swarm.poll_readable()
            {
                running.is_reading_on = true;
                self.read_on(node, connection);
                if let Some(running) = &mut self.nodes[node].running {
                    running.is_reading_on = false;
                }
            } else {
                break;
            }
        }
        self.check(node);
        self.arm(node);
    }

    fn on_event(&mut self, node: usize, event: Event<B::Event>) {
        self.audit.number(node as u64);
        self.audit.shown(&event);
        self.trace(|| format!("node {node} says {event:?}"));
        if let Event::Established { connection, .. } | Event::DialFailed { connection, .. } = &event
            && let Some(running) = &mut self.nodes[node].running
        {
            running.dials.remove(*connection);
        }
        self.ask_judges(node, &event);
        self.tell_application(node, &event);
        if self.keeps_events {
            self.nodes[node].events.push((self.now, event));
        }
    }

    fn tell_application(&mut self, node: usize, event: &Event<B::Event>) {
        let now = self.clock(node);
        let it = &mut self.nodes[node];
        let incarnation = it.incarnation;
        let Some(running) = &mut it.running else { return };
        let Some(application) = &mut running.application else { return };
        let mut effects = Effects::new(now.time, now.unix_seconds);
        // One thing after the other, so that commands stay in order.
        let begins_at = self.now.max(running.busy_until);
        it.disk.set_not_before(begins_at);
        application.on_event(event, &mut effects);
        let report = it.disk.take_report();
        self.injector.felt_on_disk(node, report);
        if report.is_cut {
            self.injector.fired("torn_write");
            self.lose_power(node, true);
            return;
        }
        let done_at = report.done_at.map_or(begins_at, |at| at.max(begins_at)) + effects.time();
        running.busy_until = done_at;
        for command in effects.commands {
            let command = Box::new(command);
            self.queue.push(done_at, Scheduled::Command { node, incarnation, command });
        }
        if let Some(why) = effects.exit {
            self.exit(node, &why);
        }
    }

    fn carry_out(&mut self, node: usize, action: Action) {
        let Some(running) = &mut self.nodes[node].running else { return };
        match action {
            Action::Dial { connection, address } => {
                running.dials.insert(connection, ());
                // Behind the node's own deadline.
                let due_at = self.now + running.swarm.limits().dial_timeout() + Duration::from_nanos(1);
                let incarnation = self.nodes[node].incarnation;
                self.queue.push(due_at, Scheduled::DialDue { node, incarnation, connection });
                self.start_dial(Dialer::Node { node, incarnation, connection }, address);
            }
            Action::Established { connection, may_send_chunks } => {
                if let Some(attachment) = running.attachments.get_mut(connection) {
                    attachment.reader.set_established();
                    if may_send_chunks {
                        attachment.reader.take_chunks();
                    }
                    if std::mem::take(&mut attachment.blocked) {
                        self.read_on(node, connection);
                    }
                }
            }
            Action::Close { connection, mut last_words } => {
                running.dials.remove(connection);
                if let Some(attachment) = running.attachments.remove(connection) {
                    let Attachment { link, side, out, .. } = attachment;
                    let mut out = out.map_or_else(Transmit::new, |out| *out);
                    out.append(&mut last_words);
                    while !out.is_empty() {
                        self.send_piece(link, 1 - side, &mut out, usize::MAX);
                    }
                    self.end_stream(link, side);
                }
            }
            other => panic!("the simulator does not know {other:?}"),
        }
    }
}
