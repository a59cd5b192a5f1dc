//! What the network does to bytes.

use std::time::Duration;

use spacetime_core::Time;
use spacetime_simulator::{LinkConfig, Simulation, Topology};

use crate::talker::{SECOND, Talker, even, heard, pair, pair_that_says};

#[test]
fn bytes_arrive_when_the_link_has_had_its_time_and_not_before() {
    let mut simulation = pair(1);
    simulation.run_for(SECOND * 3);
    let heard = &simulation.swarm(0).behaviour().heard;
    let at = |milliseconds| Time::from_epoch(Duration::from_millis(milliseconds));
    assert_eq!(heard[..], [(at(1050), 0), (at(2050), 1)]);
}

#[test]
fn however_bytes_are_cut_and_delayed_frames_are_whole_and_in_order() {
    for seed in 0..20 {
        let wild = LinkConfig::default()
            .with_jitter(Duration::from_millis(400))
            .with_cut_percent(90)
            .with_max_piece_bytes(50);
        let mut simulation = Simulation::new(seed)
            .link(wild)
            .nodes(4, |boot| Talker::new(boot, SECOND / 20, 300))
            .connect(Topology::Ring);
        simulation.run_for(SECOND * 10);
        for node in 0..4 {
            let numbers = heard(&simulation, node);
            assert!(numbers.len() > 300, "{}", numbers.len());
            // Two peers say the same numbers; each in order.
            for number in 0..50 {
                assert!(numbers.iter().filter(|it| **it == number).count() <= 2);
            }
        }
    }
}

#[test]
fn a_host_sends_on_all_its_links_what_its_line_takes_and_no_more() {
    // 10 kB to each of 8 peers in a second over a line of 20 kB/s: a fourth of it arrives in time.
    let slow = even().with_bandwidth(20_000, 1_000_000_000);
    let mut simulation = Simulation::new(2)
        .link(slow)
        .nodes(9, |boot| Talker::new(boot, if boot.index == 0 { SECOND } else { SECOND * 1000 }, 10_000))
        .connect(Topology::Star);
    simulation.run_for(SECOND * 21);
    let lines: usize = (1..9).map(|node| heard(&simulation, node).len()).sum();
    assert!((36..=40).contains(&lines), "{lines} lines of 10 kB in 20 s");
}

#[test]
fn a_host_receives_what_its_line_takes_and_no_more() {
    let slow = even().with_bandwidth(1_000_000_000, 20_000);
    let mut simulation = Simulation::new(3)
        .link(slow)
        .nodes(9, |boot| Talker::new(boot, if boot.index == 0 { SECOND * 1000 } else { SECOND }, 10_000))
        .connect(Topology::Star);
    simulation.run_for(SECOND * 21);
    let lines = heard(&simulation, 0).len();
    assert!((36..=40).contains(&lines), "{lines} lines of 10 kB in 20 s");
}

#[test]
fn a_window_is_what_is_under_way_at_a_time() {
    // 50 ms there and 50 ms back for each 5000 bytes: 50 kB/s.
    let narrow = even().with_window_bytes(5000);
    let mut simulation =
        Simulation::new(4).link(narrow).nodes(2, |boot| Talker::new(boot, SECOND / 10, 10_000));
    simulation.dial(0, 1).unwrap();
    simulation.run_for(SECOND * 20);
    let lines = heard(&simulation, 1).len();
    assert!((90..=100).contains(&lines), "{lines} lines of 10 kB in 20 s");
}

#[test]
fn who_does_not_read_holds_the_sender_back_and_loses_nothing() {
    let mut simulation = pair_that_says(5, 10_000);
    simulation.run_for(SECOND);
    simulation.set_reading_paused(1, true);
    simulation.run_for(SECOND * 20);
    let (connection, _) = simulation.swarm(0).peers().next().unwrap();
    assert!(simulation.swarm(0).queued_bytes(connection) > 50_000, "what does not fit the window waits");
    assert!(heard(&simulation, 1).len() <= 1);
    simulation.set_reading_paused(1, false);
    simulation.run_for(SECOND * 5);
    let numbers = heard(&simulation, 1);
    assert_eq!(numbers, Vec::from_iter(0..numbers.len() as u64));
    assert!(numbers.len() > 20);
}

#[test]
fn equal_runs_are_equal_and_others_are_not() {
    let run = |seed, seconds| {
        let mut simulation = Simulation::new(seed)
            .nodes(10, |boot| Talker::new(boot, SECOND / 3, 100))
            .connect(Topology::Random { degree: 4 });
        simulation.run_for(SECOND * seconds);
        simulation.audit()
    };
    assert_eq!(run(1, 20), run(1, 20));
    assert_ne!(run(1, 20), run(2, 20));
    assert_ne!(run(1, 20), run(1, 21));
}

#[test]
fn what_a_test_does_by_itself_is_part_of_the_audit() {
    let run = |f: fn(&mut Simulation<Talker>)| {
        let mut simulation = pair(1);
        simulation.run_for(SECOND * 3);
        f(&mut simulation);
        simulation.run_for(SECOND * 3);
        simulation.audit()
    };
    // None of them does anything that is seen.
    let all = [
        run(|_| {}),
        run(|simulation| simulation.act(0, |_, _| ())),
        run(|simulation| simulation.act(1, |_, _| ())),
        run(|simulation| (0..2).for_each(|_| simulation.act(1, |_, _| ()))),
        run(|simulation| simulation.act_as(1, "look", |_, _| ())),
        run(|simulation| assert!(simulation.dial(0, 1).is_err())),
        run(|simulation| simulation.set_reading_paused(0, false)),
    ];
    for (index, audit) in all.iter().enumerate() {
        assert!(!all[..index].contains(audit), "{index}");
    }
    assert_eq!(run(|simulation| simulation.act(1, |_, _| ())), all[2]);
}

#[test]
fn a_run_in_slices_is_the_same_run() {
    let mut whole = pair(6);
    whole.run_for(SECOND * 10);
    let mut sliced = pair(6);
    for _ in 0..1000 {
        sliced.run_for(SECOND / 100);
    }
    assert_eq!(whole.audit(), sliced.audit());
}

#[test]
fn a_trace_has_a_line_for_everything_and_changes_nothing() {
    let mut quiet = pair(7);
    quiet.run_for(SECOND * 3);
    let lines = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let kept = std::rc::Rc::clone(&lines);
    let mut traced = Simulation::new(7)
        .with_trace(move |at, line| kept.borrow_mut().push((at, line)))
        .link(even())
        .nodes(2, |boot| Talker::new(boot, SECOND, 10));
    traced.dial(0, 1).unwrap();
    traced.run_for(SECOND * 3);
    assert_eq!(traced.audit(), quiet.audit());
    let lines = lines.borrow();
    assert!(lines.len() as u64 >= traced.steps());
    assert!(lines.iter().any(|(_, line)| line.starts_with("node 1 says Established")), "{lines:?}");
}
