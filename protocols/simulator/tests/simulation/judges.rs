//! What must hold, and how it is said that it does not.

use std::convert::Infallible;
use std::time::Duration;

use spacetime_core::wire::{Frame, Nothing, Priority};
use spacetime_core::{
    ConnectionId, Context, Event, Hash, Limits, Protocol, QueueLimit, Signal, Swarm, Time, Violation,
};
use spacetime_simulator::{Actor, FailureKind, Hands, Judge, PuppetId, Simulation, Witness};

use crate::talker::{SECOND, Talker, even, heard, pair};

/// Thinks that nobody may hear a certain number.
struct Superstition(u64);

impl Judge<Talker> for Superstition {
    fn name(&self) -> &'static str {
        "superstition"
    }

    fn on_event(
        &mut self,
        _: Time,
        _: usize,
        _: &Swarm<Witness<Talker>>,
        event: &Event<u64>,
    ) -> Result<(), String> {
        match event {
            Event::Behaviour(number) if *number == self.0 => Err(format!("{number} was heard")),
            _ => Ok(()),
        }
    }
}

#[test]
fn a_judge_ends_a_recording_run_at_the_first_failure() {
    let mut simulation = pair(1).recording().judge(Superstition(3));
    simulation.run_for(SECOND * 100);
    let failure = simulation.failure().expect("three was heard");
    assert_eq!(
        (failure.kind, failure.judge, &*failure.what),
        (FailureKind::Safety, "superstition", "3 was heard")
    );
    assert_eq!(failure.at, Time::from_epoch(Duration::from_millis(4050)));
    assert_eq!(heard(&simulation, 0).len().max(heard(&simulation, 1).len()), 4);
}

#[test]
#[should_panic(expected = "superstition: 3 was heard (node")]
fn without_recording_a_failure_is_a_panic() {
    pair(1).judge(Superstition(3)).run_for(SECOND * 100);
}

#[test]
fn what_comes_to_hold_in_time_is_well_and_what_does_not_is_a_failure() {
    let patient = |limit: u32| {
        let mut simulation = pair(1).recording();
        let held = simulation.converge(SECOND * limit, |simulation| match heard(simulation, 0).len() {
            lines @ 0..10 => Err(format!("only {lines} lines")),
            _ => Ok(()),
        });
        (held, simulation.failure().map(|failure| (failure.kind, failure.what.clone())))
    };
    assert_eq!(patient(20), (true, None));
    assert_eq!(patient(5), (false, Some((FailureKind::Liveness, "only 4 lines".into()))));
}

#[test]
#[should_panic(expected = "deadline")]
fn a_deadline_that_does_not_move_on_is_a_failure() {
    let mut simulation =
        Simulation::new(1).link(even()).nodes(1, |boot| Talker::new(boot, Duration::ZERO, 0));
    simulation.run_for(SECOND);
}

/// Two nodes whose queues of normal frames hold so many bytes, and the others 1024; one of them does
/// not read. The judges are told of no frame larger than this.
fn full_queues(normal_bytes: usize, filler_bytes: usize, largest_frame_bytes: usize) -> Option<String> {
    let mut simulation = Simulation::new(1).link(even()).recording().largest_frame_bytes(largest_frame_bytes);
    let queue = |max_bytes| QueueLimit { max_frames: 10, max_bytes };
    let limits = Priority::ALL
        .into_iter()
        .fold(Limits::default(), |limits, priority| limits.with_queue(priority, queue(1024)))
        .with_queue(Priority::Normal, queue(normal_bytes));
    for _ in 0..2 {
        simulation.add_node(limits.clone(), |boot| Talker::new(&boot, SECOND, filler_bytes));
    }
    simulation.dial(0, 1).unwrap();
    simulation.set_reading_paused(1, true);
    simulation.run_for(SECOND * 20);
    simulation.failure().map(|failure| failure.judge.to_owned())
}

#[test]
fn a_frame_that_is_larger_than_any_should_be_is_too_much_for_a_queue() {
    assert_eq!(full_queues(1024, 8000, 8100), None);
    assert_eq!(full_queues(1024, 8000, 7900), Some("queues".into()));
}

#[test]
fn what_connections_hold_is_added_up() {
    // A frame waits, and one is being written, of which the window takes nothing.
    assert_eq!(full_queues(600_000, 500_000, 501_000), None);
    assert_eq!(full_queues(600_000, 500_000, 1000), Some("memory".into()));
}

#[test]
fn a_node_that_spins_ends_the_run() {
    // Its deadlines move on, by a nanosecond each.
    let interval = Duration::from_nanos(1);
    let mut simulation = Simulation::new(1)
        .recording()
        .nodes(2, move |boot| Talker::new(boot, interval, 0))
        .keep_events(false);
    simulation.run_for(SECOND);
    let failure = simulation.failure().expect("somebody spins");
    assert_eq!((failure.kind, failure.judge), (FailureKind::Safety, "steps"));
    assert_eq!(failure.what, "more than 100000 things happen in a millisecond");
    assert_eq!(failure.node, Some(0));
}

/// Wants to be called at once, whenever it is called.
struct Restless;

impl Actor for Restless {
    fn on_start(&mut self, hands: &mut Hands) {
        hands.wake_after(Duration::ZERO);
    }

    fn on_connected(&mut self, _: &mut Hands, _: PuppetId) {}

    fn on_received(&mut self, _: &mut Hands, _: PuppetId, _: &mut Vec<u8>) {}

    fn on_closed(&mut self, _: &mut Hands, _: PuppetId) {}

    fn on_wake(&mut self, hands: &mut Hands) {
        hands.wake_after(Duration::ZERO);
    }
}

#[test]
fn an_actor_that_spins_ends_the_run() {
    let mut simulation = Simulation::<Talker>::new(1).recording();
    simulation.add_actor(Restless);
    simulation.run_for(SECOND);
    assert_eq!(simulation.failure().map(|failure| failure.judge), Some("steps"));
}

/// Answers a signal with another one, so many times.
struct Chatter {
    left: u64,
}

impl Protocol for Chatter {
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

    fn on_signal(&mut self, cx: &mut Context<'_, Infallible>, _: &Signal) {
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            cx.signal(Signal::TipChanged { height: left, hash: Hash([0; 32]) });
        }
    }
}

#[test]
fn signals_that_are_answered_with_signals_without_end_are_a_failure() {
    let complaint = |left| {
        let mut simulation = Simulation::new(1).recording().nodes(1, move |_| Chatter { left });
        for _ in 0..3 {
            simulation.act(0, |tree, cx| {
                tree.left = left;
                cx.signal(Signal::TipChanged { height: left, hash: Hash([0; 32]) });
            });
        }
        simulation.failure().map(|failure| (failure.judge, failure.what.clone()))
    };
    assert_eq!(complaint(3000), None);
    let expected = "after 4000 signals in a row come more".to_owned();
    assert_eq!(complaint(u64::MAX), Some(("witness", expected)));
}
