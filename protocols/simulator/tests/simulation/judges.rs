//! What must hold, and how it is said that it does not.

use std::time::Duration;

use spacetime_core::{Event, Swarm, Time};
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
