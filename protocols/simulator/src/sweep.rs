//! Taking back what connections that are over have left.

use spacetime_core::NetworkBehaviour;

use super::Simulation;
use super::link::{End, Link};
use super::queue::Scheduled;

/// Links that there may be before anybody looks which of them are in use.
const MIN_LINKS: usize = 1024;

/// Links whose places may be taken by others.
#[derive(Debug)]
pub(crate) struct FreeLinks {
    places: Vec<usize>,
    /// How many links there are when it is time to look again, and at least.
    sweep_at: usize,
    min: usize,
}

impl FreeLinks {
    pub(crate) const fn new() -> Self {
        Self { places: Vec::new(), sweep_at: MIN_LINKS, min: MIN_LINKS }
    }
}

impl<B: NetworkBehaviour> Simulation<B> {
    /// Adds a link, in the place of one that is over if there is one.
    pub(crate) fn add_link(&mut self, link: Link) -> usize {
        if self.free_links.places.is_empty() && self.links.len() >= self.free_links.sweep_at {
            self.sweep_links();
        }
        if let Some(place) = self.free_links.places.pop() {
            self.links[place] = link;
            return place;
        }
        self.links.push(link);
        self.links.len() - 1
    }

    /// Finds the links of which nobody knows any more: no end of a connection, nothing that will
    /// happen, no fault. It is done when there are twice as many as were in use the last time, so
    /// that it costs little, and events need not be counted.
    fn sweep_links(&mut self) {
        let mut is_used: Vec<_> =
            self.links.iter().map(|link| link.pipes.iter().any(|pipe| pipe.holds_something())).collect();
        let mut mark = |link: usize| is_used[link] = true;
        self.queue.iter().filter_map(link_of).for_each(&mut mark);
        for node in &self.nodes {
            node.deferred.iter().filter_map(link_of).for_each(&mut mark);
            let attachments = node.running.iter().flat_map(|running| running.attachments.iter());
            attachments.for_each(|(_, attachment)| mark(attachment.link));
        }
        self.puppets.values().filter_map(|puppet| puppet.link).for_each(|(link, _)| mark(link));
        self.injector.links().for_each(&mut mark);
        for (place, _) in is_used.iter().enumerate().filter(|(_, is_used)| !**is_used) {
            self.links[place] = Link::new([End::Gone; 2], [usize::MAX; 2]);
            self.free_links.places.push(place);
        }
        let used = self.links.len() - self.free_links.places.len();
        self.free_links.sweep_at = (2 * used).max(self.free_links.min);
    }
}

/// The link to which something will happen.
const fn link_of<C>(scheduled: &Scheduled<C>) -> Option<usize> {
    match scheduled {
        Scheduled::DialAnswered { link, .. } => *link,
        Scheduled::AtHost { link, .. }
        | Scheduled::Bytes { link, .. }
        | Scheduled::End { link, .. }
        | Scheduled::Reset { link, .. }
        | Scheduled::Room { link, .. } => Some(*link),
        Scheduled::Wake(_)
        | Scheduled::Dial(_)
        | Scheduled::DialDue { .. }
        | Scheduled::Command { .. }
        | Scheduled::SlowRead(_)
        | Scheduled::ActorWake(_)
        | Scheduled::Fault(_)
        | Scheduled::FaultEnds(_)
        | Scheduled::Start(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use spacetime_core::wire::{Frame, Nothing};
    use spacetime_core::{Address, ConnectionId, Context, Protocol, Violation};

    use super::*;
    use crate::{Actor, Fault, FaultKind, Hands, PuppetId};

    /// Says nothing and hears nothing.
    struct Quiet;

    impl Protocol for Quiet {
        type Message<'a> = Nothing;
        type Answer<'a> = Nothing;
        type Event = Infallible;
        type Command = Infallible;

        fn on_message(
            &mut self,
            _: &mut Context<'_, Infallible>,
            _: ConnectionId,
            never: Nothing,
            _: &Frame,
        ) -> Result<(), Violation> {
            match never {}
        }
    }

    /// Dials a node all the time, and hangs up; with every other connection it waits until it is
    /// thrown out for what it says.
    struct Pest {
        victim: Address,
        dials: u64,
        open: Vec<PuppetId>,
    }

    impl Actor for Pest {
        fn on_start(&mut self, hands: &mut Hands) {
            hands.wake_after(Duration::from_secs(1));
        }

        fn on_connected(&mut self, hands: &mut Hands, connection: PuppetId) {
            self.open.push(connection);
            hands.send(connection, vec![0; 100]);
            if self.dials.is_multiple_of(2) {
                self.open.pop();
                hands.close(connection);
            }
        }

        fn on_received(&mut self, _: &mut Hands, _: PuppetId, _: &mut Vec<u8>) {}

        fn on_closed(&mut self, _: &mut Hands, connection: PuppetId) {
            self.open.retain(|it| *it != connection);
        }

        fn on_wake(&mut self, hands: &mut Hands) {
            self.dials += 1;
            hands.dial(self.victim.clone());
            hands.wake_after(Duration::from_millis(10));
        }
    }

    /// A hundred seconds with 10,000 connections; links are looked at when there are so many.
    fn run(min: usize) -> Simulation<Quiet> {
        let fault = |at_ms, duration_ms, what| Fault { at_ms, duration_ms, what };
        // The clog lasts longer than the link, whose place nobody must take meanwhile.
        let faults = vec![
            fault(500, 90_000, FaultKind::Clog(3)),
            fault(20_000, 1000, FaultKind::Kill(2)),
            fault(30_000, 1000, FaultKind::Crash(0)),
            fault(40_000, 1000, FaultKind::Pause(0)),
        ];
        let mut simulation = Simulation::new(1).nodes(5, |_| Quiet).keep_events(false).faults(faults);
        simulation.free_links = FreeLinks { places: Vec::new(), sweep_at: min, min };
        simulation.dial(1, 2).unwrap();
        simulation.run_for(Duration::from_secs(1));
        simulation.dial(3, 4).unwrap();
        let victim = simulation.address(0);
        simulation.add_actor(Pest { victim, dials: 0, open: Vec::new() });
        simulation.run_for(Duration::from_secs(100));
        simulation
    }

    #[test]
    fn connections_that_are_over_leave_nothing_behind() {
        let simulation = run(MIN_LINKS);
        let links = simulation.links.len();
        assert!(links <= MIN_LINKS, "{links} links of 10,000 connections");
        let puppets = simulation.puppets.len();
        assert!(puppets < 100, "{puppets} puppets of 10,000 connections");
        assert_eq!(simulation.audit(), run(MIN_LINKS).audit());
    }

    #[test]
    fn nothing_that_is_in_use_is_taken() {
        let seen = [usize::MAX, MIN_LINKS, 0].map(|min| {
            let mut simulation = run(min);
            simulation.dial(3, 0).unwrap();
            simulation.kill(3);
            simulation.run_for(Duration::from_secs(1));
            let statistics = [0, 1, 2, 4].map(|node| simulation.swarm(node).statistics());
            let peers = [0, 1, 2, 4].map(|node| simulation.swarm(node).peers().count());
            (simulation.steps(), statistics, peers, simulation.faults_fired().clone())
        });
        assert_eq!(seen[0].2[3], 0, "the fifth node has heard that the fourth is gone");
        assert_eq!(seen[0], seen[1]);
        assert_eq!(seen[1], seen[2]);
    }
}
