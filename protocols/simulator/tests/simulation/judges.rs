//! What must hold, and how it is said that it does not.

use std::time::Duration;

use spacetime_core::wire::Priority;
use spacetime_core::{Event, Limits, QueueLimit, Swarm, Time};
use spacetime_simulator::{FailureKind, Judge, Simulation, Witness};

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
