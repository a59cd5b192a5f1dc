//! What faults do to nodes.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;

use spacetime_core::{Address, CloseReason, Event, Limits, Time};
use spacetime_simulator::{
    Actor, Boot, Effects, Fault, FaultKind, Hands, Partition, PuppetId, Shape, Simulation, UNIX_START,
};

use crate::talker::{SECOND, Talker, even, heard, pair, pair_that_says};

/// A fault that begins after ten seconds and lasts for ten.
fn fault(what: FaultKind) -> Vec<Fault> {
    vec![Fault { at_ms: 10_000, duration_ms: 10_000, what }]
}

fn with(what: FaultKind) -> Simulation<Talker> {
    pair(1).faults(fault(what))
}

fn closed(simulation: &Simulation<Talker>, node: usize) -> Vec<CloseReason> {
    let reasons = simulation.events(node).iter().filter_map(|(_, event)| match event {
        Event::Closed { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    reasons.collect()
}

fn fired(simulation: &Simulation<Talker>, name: &str) -> u64 {
    simulation.faults_fired().get(name).copied().unwrap_or(0)
}

#[test]
fn a_lost_connection_ends_on_both_sides() {
    let mut simulation = with(FaultKind::ConnectionLoss(0));
    simulation.run_for(SECOND * 9);
    assert!(closed(&simulation, 0).is_empty());
    simulation.run_for(SECOND * 2);
    for node in 0..2 {
        assert!(matches!(closed(&simulation, node)[..], [CloseReason::Transport(_)]), "{node}");
    }
    assert_eq!(fired(&simulation, "connection_loss"), 1);
}

#[test]
fn a_half_open_connection_swallows_everything_and_nobody_hears_of_it() {
    let mut simulation = with(FaultKind::HalfOpen(0));
    simulation.run_for(SECOND * 40);
    for node in 0..2 {
        assert_eq!(heard(&simulation, node).len(), 9);
        assert!(closed(&simulation, node).is_empty());
    }
}

#[test]
fn a_half_open_connection_ends_when_too_much_waits_on_it() {
    let mut simulation = Simulation::new(1)
        .nodes(2, |boot| Talker::new(boot, SECOND, 10_000))
        .faults(fault(FaultKind::HalfOpen(0)));
    simulation.dial(0, 1).unwrap();
    simulation.run_for(SECOND * 90);
    assert_eq!(closed(&simulation, 0), [CloseReason::SlowReader]);
}

#[test]
fn turned_bits_are_a_violation_or_another_message_and_never_a_panic() {
    let mut refused = 0;
    for seed in 0..30 {
        let mut simulation = Simulation::new(seed)
            .nodes(2, |boot| Talker::new(boot, SECOND / 10, 10))
            .faults(fault(FaultKind::Corruption(seed)));
        simulation.dial(0, 1).unwrap();
        simulation.run_for(SECOND * 30);
        assert!(fired(&simulation, "corruption") > 0);
        refused += closed(&simulation, 0).iter().filter(|it| matches!(it, CloseReason::Violation(_))).count();
    }
    assert!(refused > 5, "{refused}");
}

#[test]
fn a_truncated_stream_ends_inside_a_frame() {
    let mut torn = 0;
    for seed in 0..20 {
        let mut simulation = with(FaultKind::Truncation(seed));
        simulation.run_for(SECOND * 25);
        assert_eq!(fired(&simulation, "truncation"), 1);
        let reasons: Vec<_> = (0..2).flat_map(|node| closed(&simulation, node)).collect();
        assert_eq!(reasons.len(), 2, "{reasons:?}");
        torn += reasons.iter().filter(|it| matches!(it, CloseReason::Violation(_))).count();
    }
    assert!(torn > 10, "{torn}");
}

#[test]
fn a_clogged_direction_is_late_and_complete() {
    let mut simulation = with(FaultKind::Clog(0));
    simulation.run_for(SECOND * 19);
    let (one, other) = (heard(&simulation, 0), heard(&simulation, 1));
    assert_eq!((one.len().min(other.len()), one.len().max(other.len())), (9, 18));
    simulation.run_for(SECOND * 2);
    assert_eq!(heard(&simulation, 0), Vec::from_iter(0..20));
    assert_eq!(heard(&simulation, 1), Vec::from_iter(0..20));
}

#[test]
fn partitions_hold_up_what_crosses_them_in_one_direction_or_both() {
    for (one_way, expected) in [(false, [9, 9]), (true, [18, 9])] {
        let partition = Partition { shape: Shape::Isolated, number: 0, one_way };
        let mut simulation = with(FaultKind::Partition(partition));
        simulation.run_for(SECOND * 19);
        let heard_now = [heard(&simulation, 0).len(), heard(&simulation, 1).len()];
        assert_eq!(heard_now, expected, "{one_way}");
        simulation.run_for(SECOND * 2);
        assert_eq!([heard(&simulation, 0).len(), heard(&simulation, 1).len()], [20, 20]);
    }
}

#[test]
fn nobody_sends_more_than_a_window_to_those_whose_way_back_is_held_up() {
    let partition = Partition { shape: Shape::Isolated, number: 0, one_way: true };
    for (what, receiver) in
        [(FaultKind::Partition(partition), 0), (FaultKind::Clog(0), 1), (FaultKind::Clog(2), 0)]
    {
        let mut simulation = pair_that_says(1, 10_000).faults(fault(what.clone()));
        simulation.run_for(SECOND * 19);
        // Nine lines before, and then 64 KiB.
        assert_eq!(heard(&simulation, receiver).len(), 9 + 6, "{what:?}");
        simulation.run_for(SECOND * 2);
        assert_eq!(heard(&simulation, receiver), Vec::from_iter(0..20), "{what:?}");
    }
}

#[test]
fn dials_do_not_cross_a_partition() {
    let partition = Partition { shape: Shape::Halves, number: 0, one_way: false };
    let mut simulation = Simulation::new(1)
        .nodes(4, |boot| Talker::new(boot, SECOND, 10))
        .faults(fault(FaultKind::Partition(partition)));
    simulation.run_for(SECOND * 11);
    simulation.dial(0, 1).unwrap();
    simulation.dial(0, 2).unwrap();
    simulation.run_for(SECOND * 30);
    assert_eq!(simulation.swarm(0).peers().count(), 1);
    assert!(simulation.events(0).iter().any(|(_, event)| matches!(event, Event::DialFailed { .. })));
}

/// Dials a node, and says when it hears that nothing came of it.
struct Caller(Address, Rc<Cell<Option<Time>>>);

impl Actor for Caller {
    fn on_start(&mut self, hands: &mut Hands) {
        hands.wake_after(SECOND * 11);
    }

    fn on_connected(&mut self, _: &mut Hands, _: PuppetId) {
        panic!("nobody answers");
    }

    fn on_received(&mut self, _: &mut Hands, _: PuppetId, _: &mut Vec<u8>) {}

    fn on_closed(&mut self, hands: &mut Hands, _: PuppetId) {
        self.1.set(Some(hands.now()));
    }

    fn on_wake(&mut self, hands: &mut Hands) {
        hands.dial(self.0.clone());
    }
}

#[test]
fn an_actor_hears_of_a_dial_that_came_to_nothing() {
    let partition = Partition { shape: Shape::Isolated, number: 1, one_way: false };
    for (what, seconds) in [
        (FaultKind::Crash(1), 10),
        (FaultKind::Partition(partition), 10),
        (FaultKind::Kill(1), 0),
        (FaultKind::RefusedDials(1), 0),
    ] {
        let mut simulation = with(what.clone());
        let heard_at = Rc::new(Cell::new(None));
        simulation.add_actor(Caller(simulation.address(1), Rc::clone(&heard_at)));
        simulation.run_for(SECOND * 30);
        let heard_at: Time = heard_at.get().unwrap_or_else(|| panic!("{what:?}: nothing is heard"));
        assert_eq!(heard_at.since(Time::ZERO).as_secs(), 11 + seconds, "{what:?}");
    }
}

#[test]
fn refused_dials_fail_at_once() {
    let mut simulation = Simulation::new(1)
        .nodes(2, |boot| Talker::new(boot, SECOND, 10))
        .spare([0])
        .faults(fault(FaultKind::RefusedDials(0)));
    simulation.run_for(SECOND * 11);
    simulation.dial(0, 1).unwrap();
    simulation.run_for(SECOND);
    assert!(matches!(simulation.events(0).last(), Some((_, Event::DialFailed { .. }))));
    simulation.run_for(SECOND * 10);
    simulation.dial(0, 1).unwrap();
    simulation.run_for(SECOND);
    assert_eq!(simulation.swarm(0).peers().count(), 1);
}

#[test]
fn a_slow_reader_takes_a_piece_now_and_then() {
    let mut simulation = Simulation::new(1)
        .nodes(2, |boot| Talker::new(boot, SECOND, 10_000))
        .spare([0])
        .faults(fault(FaultKind::SlowReader(0)));
    simulation.dial(0, 1).unwrap();
    simulation.run_for(SECOND * 19);
    let slow = heard(&simulation, 1).len();
    assert!((10..18).contains(&slow), "{slow}");
    simulation.run_for(SECOND * 5);
    assert_eq!(heard(&simulation, 1), Vec::from_iter(0..23));
}

#[test]
fn a_killed_process_is_missed_at_once_and_comes_back_as_another_one() {
    let mut simulation = with(FaultKind::Kill(1));
    simulation.run_for(SECOND * 11);
    assert!(!simulation.is_running(1));
    assert!(matches!(closed(&simulation, 0)[..], [CloseReason::Transport(_)]));
    simulation.run_for(SECOND * 11);
    let node = simulation.swarm(1).behaviour();
    assert_eq!((node.incarnation, node.heard.len()), (1, 0));
}

#[test]
fn who_loses_power_is_missed_when_it_is_back_and_knows_nothing() {
    let mut simulation = with(FaultKind::Crash(1));
    simulation.run_for(SECOND * 19);
    assert!(!simulation.is_running(1));
    assert!(closed(&simulation, 0).is_empty(), "nobody said anything");
    simulation.run_for(SECOND * 3);
    assert!(matches!(closed(&simulation, 0)[..], [CloseReason::Transport(_)]), "its system says so now");
}

#[test]
fn what_was_synced_is_there_after_a_crash_and_what_was_not_may_be_lost() {
    let mut lost = 0;
    for seed in 0..40 {
        let mut simulation = pair(seed).faults(fault(FaultKind::Crash(1)));
        simulation.run_for(SECOND * 9);
        let disk = simulation.swarm(1).behaviour().disk.clone();
        disk.append("log", b"synced").unwrap();
        disk.sync("log").unwrap();
        simulation.run_for(SECOND / 2);
        disk.append("log", b", not synced").unwrap();
        simulation.run_for(SECOND * 15);
        let log = simulation.swarm(1).behaviour().disk.read("log").unwrap();
        assert!(log.starts_with(b"synced") && b"synced, not synced".starts_with(&log));
        lost += usize::from(log.len() < 18);
    }
    assert!((10..40).contains(&lost), "{lost}");
}

#[test]
fn a_disk_takes_its_time_whether_or_not_somebody_waits_for_it() {
    // Ten lines a second, each of which is written down and takes a second of a slow disk.
    let mut behind = 0;
    for seed in 0..20 {
        let start = |boot: &Boot| {
            let disk = boot.disk.clone();
            let application = move |event: &Event<u64>, _: &mut Effects<Infallible>| {
                if let Event::Behaviour(_) = event {
                    disk.append("log", b"x").unwrap();
                    disk.sync("log").unwrap();
                }
            };
            (Talker::new(boot, SECOND / 10, 10), application)
        };
        let slow = Fault { at_ms: 0, duration_ms: 20_000, what: FaultKind::SlowDisk(1) };
        let crash = Fault { at_ms: 10_000, duration_ms: 1000, what: FaultKind::Crash(1) };
        let mut simulation = Simulation::new(seed)
            .link(even())
            .applications(2, &Limits::default(), start)
            .faults(vec![slow, crash]);
        simulation.dial(0, 1).unwrap();
        simulation.run_for(SECOND * 10 - SECOND / 100);
        assert!(simulation.disk(1).read("log").unwrap().len() > 90);
        simulation.run_for(SECOND / 50);
        let kept = simulation.disk(1).read("log").unwrap().len();
        assert!(kept >= 9, "{kept}");
        behind += usize::from(kept < 50);
    }
    assert!(behind > 5, "in {behind} runs of 20");
}

#[test]
fn what_is_written_from_outside_is_written_at_the_time_it_is() {
    let survives = |milliseconds: u64| {
        (0..20).all(|seed| {
            let crash = Fault { at_ms: 5000 + milliseconds, duration_ms: 1000, what: FaultKind::Crash(1) };
            let mut simulation = pair(seed).faults(vec![crash]);
            simulation.run_for(SECOND * 5);
            simulation.disk(1).append("log", b"x").unwrap();
            simulation.disk(1).sync("log").unwrap();
            simulation.run_for(SECOND);
            simulation.disk(1).read("log").is_some_and(|log| log == b"x")
        })
    };
    assert!(!survives(1));
    assert!(survives(2));
}

#[test]
fn a_torn_write_is_one_that_was_under_way_when_the_power_went() {
    let mut torn = 0;
    for seed in 0..20 {
        // Everybody writes down what it hears, eight bytes at a time.
        let start = |boot: &Boot| {
            let disk = boot.disk.clone();
            let application = move |event: &Event<u64>, _: &mut Effects<Infallible>| {
                if let Event::Behaviour(number) = event {
                    disk.append("log", &number.to_le_bytes()).unwrap();
                    disk.sync("log").unwrap();
                }
            };
            (Talker::new(boot, SECOND, 10), application)
        };
        let mut simulation = Simulation::new(seed)
            .link(even())
            .applications(2, &Limits::default(), start)
            .faults(fault(FaultKind::TornWrite(1)));
        simulation.dial(0, 1).unwrap();
        simulation.run_for(SECOND * 10);
        assert!(simulation.is_running(1) && fired(&simulation, "torn_write") == 0);
        simulation.run_for(SECOND * 2);
        assert!(!simulation.is_running(1) && fired(&simulation, "torn_write") == 1);
        let log = simulation.disk(1).read("log").unwrap();
        assert!((9 * 8..=10 * 8).contains(&log.len()), "{}", log.len());
        torn += usize::from(!log.len().is_multiple_of(8));
        simulation.run_for(SECOND * 10);
        assert!(simulation.is_running(1));
    }
    assert!(torn > 5, "{torn}");
}

#[test]
fn for_a_node_that_stood_still_everything_is_due_at_once() {
    let mut simulation = with(FaultKind::Pause(1));
    simulation.run_for(SECOND * 19);
    assert_eq!(heard(&simulation, 1).len(), 9);
    assert_eq!(heard(&simulation, 0).len(), 9, "it says nothing either");
    simulation.run_for(SECOND * 2);
    let times: Vec<_> = simulation.swarm(1).behaviour().heard.iter().map(|(at, _)| at.as_nanos()).collect();
    assert_eq!(times.iter().filter(|at| **at == 20_000_000_000).count(), 10);
    // It has missed ten of its own deadlines, which are one.
    assert_eq!(heard(&simulation, 0).len(), 10);
}

#[test]
fn clocks_jump_and_drift_and_the_monotonic_one_does_not() {
    let seconds = |simulation: &Simulation<Talker>| simulation.swarm(1).behaviour().unix_seconds - UNIX_START;
    let mut simulation = with(FaultKind::ClockJump { node: 1, seconds: -3600 });
    simulation.run_for(SECOND * 15);
    assert_eq!(seconds(&simulation), 15 - 3600);
    assert_eq!(heard(&simulation, 0).len(), 14);
    let mut simulation = with(FaultKind::ClockDrift { node: 1, parts_per_million: 500_000 });
    simulation.run_for(SECOND * 20);
    assert_eq!(seconds(&simulation), 25);
}

#[test]
fn disks_fill_up_and_fail_for_a_while() {
    for (what, is_sure) in [(FaultKind::FullDisk(1), true), (FaultKind::FailingDisk(1), false)] {
        let mut simulation = with(what);
        let write = |simulation: &Simulation<Talker>| {
            (0..20).filter(|_| simulation.disk(1).append("log", b"x").is_err()).count()
        };
        assert_eq!(write(&simulation), 0);
        simulation.run_for(SECOND * 15);
        let failed = write(&simulation);
        assert!(if is_sure { failed == 20 } else { (1..20).contains(&failed) }, "{failed}");
        simulation.run_for(SECOND * 10);
        assert_eq!(write(&simulation), 0);
    }
}

#[test]
fn a_fault_counts_once_and_when_it_has_an_effect() {
    let silent = |boot: &Boot| Talker::new(boot, SECOND * 1000, 10);
    let partition = Partition { shape: Shape::Isolated, number: 0, one_way: false };
    let kinds = [
        FaultKind::Clog(0),
        FaultKind::Partition(partition),
        FaultKind::Pause(1),
        FaultKind::SlowReader(1),
        FaultKind::RefusedDials(1),
        FaultKind::SlowDisk(1),
        FaultKind::FailingDisk(1),
        FaultKind::FullDisk(1),
    ];
    for what in kinds {
        let name = what.name();
        let count = |is_used: bool| {
            let mut simulation = if is_used {
                pair(1)
            } else {
                let mut silent = Simulation::new(1).link(even()).nodes(2, silent);
                silent.dial(0, 1).unwrap();
                silent
            };
            simulation = simulation.faults(fault(what.clone()));
            simulation.run_for(SECOND * 15);
            if is_used {
                for _ in 0..20 {
                    let _ =
                        simulation.disk(1).append("log", b"x").and_then(|()| simulation.disk(1).sync("log"));
                }
                let third = simulation.add_node(Limits::default(), |boot| Talker::new(&boot, SECOND, 10));
                simulation.dial(third, 1).unwrap();
            }
            simulation.run_for(SECOND * 15);
            fired(&simulation, name)
        };
        assert_eq!((count(false), count(true)), (0, 1), "{name}");
    }
}

#[test]
fn when_faults_are_stopped_the_network_is_whole() {
    let kinds = [
        FaultKind::Kill(1),
        FaultKind::Pause(0),
        FaultKind::Clog(0),
        FaultKind::Partition(Partition { shape: Shape::Random, number: 3, one_way: false }),
    ];
    let faults = kinds.into_iter().map(|what| Fault { at_ms: 1000, duration_ms: 1_000_000, what }).collect();
    let mut simulation = pair(1).faults(faults);
    simulation.run_for(SECOND * 5);
    assert!(!simulation.is_running(1));
    simulation.stop_faults();
    simulation.run_for(SECOND);
    simulation.dial(1, 0).unwrap();
    simulation.run_for(SECOND * 5);
    assert!(heard(&simulation, 0).len() > 3 && heard(&simulation, 1).len() > 3);
}
