//! What a node says of how far it has come.

use std::time::Duration;

use spacetime_core::{Event, Time};
use spacetime_simulator::{LinkConfig, Simulation};
use spacetime_sync::{Command, Config, Progress, StallReason, State};

use crate::chain::Chain;
use crate::{Node, NodeCommand, NodeEvent, SECOND, add_node, offences};

fn told(simulation: &Simulation<Node>, node: usize) -> Vec<(Time, Progress)> {
    let progress = |(at, event): &(Time, Event<NodeEvent>)| match event {
        Event::Behaviour(NodeEvent::Sync(spacetime_sync::Event::Progressed { progress })) => {
            Some((*at, *progress))
        }
        _ => None,
    };
    simulation.events(node).iter().filter_map(progress).collect()
}

fn stalled(simulation: &Simulation<Node>, node: usize) -> (State, Option<StallReason>) {
    let progress = simulation.swarm(node).behaviour().sync.progress();
    (progress.state, progress.stalled_because)
}

/// A download at 100 KB/s, that takes about 30 s, and a minute after it.
fn slow_download(interval: Duration) -> Vec<(Time, Progress)> {
    let link = LinkConfig::default().with_bandwidth(100_000, 100_000);
    let (full, empty) = (Chain::generate(1, 3000), Chain::generate(1, 0));
    let mut simulation = Simulation::new(51).link(link);
    add_node(&mut simulation, &full, Config::default());
    let node = add_node(&mut simulation, &empty, Config::default().with_progress_interval(interval));
    simulation.dial(node, 0).unwrap();
    simulation.run_for(SECOND * 120);
    assert_eq!(empty.len(), 3001);
    told(&simulation, node)
}

#[test]
fn progress_is_told_at_most_once_in_its_interval_and_no_more_when_there_is_none() {
    for interval in [SECOND, SECOND * 5] {
        let told = slow_download(interval);
        assert!(told.windows(2).all(|it| it[1].0.since(it[0].0) >= interval && it[1].1 != it[0].1));
        let (_, last) = told.last().unwrap();
        assert_eq!((last.state, last.height, last.stalled_because), (State::Synced, 3000, None));
        assert_eq!((last.time_left, last.blocks_per_second), (Some(Duration::ZERO), 0));
        let loading = told.iter().filter(|(_, it)| it.state == State::DownloadingBlocks).count();
        let expected = 28 / interval.as_secs() as usize;
        assert!((expected - 2..=expected + 6).contains(&loading), "{loading} in {interval:?}");
        assert!(told.len() <= loading + 6, "{} in 120 s", told.len());
    }
}

#[test]
fn the_time_left_is_about_what_it_takes() {
    let told = slow_download(SECOND);
    let end = told.iter().find(|(_, it)| it.height == 3000).unwrap().0;
    let mut known = 0;
    for (at, progress) in told.iter().filter(|(at, _)| *at + SECOND * 2 < end) {
        // Before that headers share the line.
        let (Some(left), true) = (progress.time_left, progress.applied_blocks > 1500) else { continue };
        let (left, really) = (left.as_secs_f64(), end.since(*at).as_secs_f64());
        assert!((0.6..1.5).contains(&(left / really)), "{left} s, and it took {really} s: {progress:?}");
        assert!((80..120).contains(&progress.blocks_per_second), "{progress:?}");
        assert!((70_000..110_000).contains(&progress.bytes_per_second), "{progress:?}");
        known += 1;
    }
    assert!(known >= 8, "{known}");
}

#[test]
fn a_node_says_why_it_does_not_get_on() {
    let (full, empty) = (Chain::generate(1, 100), Chain::generate(1, 0));
    let mut simulation = Simulation::new(52);
    let node = add_node(&mut simulation, &empty, Config::default());
    assert_eq!(stalled(&simulation, node), (State::Idle, Some(StallReason::NoPeers)));
    let silent = add_node(&mut simulation, &full, Config::default());
    simulation.set_application(silent, |_| Vec::new());
    simulation.dial(node, silent).unwrap();
    simulation.run_for(SECOND * 4);
    assert_eq!(stalled(&simulation, node), (State::Discovering, None));
    simulation.run_for(SECOND * 3);
    assert_eq!(stalled(&simulation, node), (State::Discovering, Some(StallReason::Headers)));

    let hollow = full.forged_after(100, 0);
    (1..=100).for_each(|height| hollow.forget_body(height));
    let hollow = add_node(&mut simulation, &hollow, Config::default());
    simulation.dial(node, hollow).unwrap();
    simulation.run_for(SECOND * 8);
    assert_eq!(stalled(&simulation, node), (State::DownloadingBlocks, Some(StallReason::NextBlock)));

    // The application takes its time.
    let mut simulation = Simulation::new(53);
    let node = add_node(&mut simulation, &Chain::generate(1, 0), Config::default());
    simulation.set_application(node, |_| Vec::new());
    let server = add_node(&mut simulation, &full, Config::default());
    simulation.dial(node, server).unwrap();
    simulation.run_for(SECOND * 10);
    assert_eq!(stalled(&simulation, node), (State::Validating, Some(StallReason::Application)));
}

#[test]
fn a_peer_that_comes_soon_after_something_was_told_is_told_of_in_time() {
    let interval = SECOND * 5;
    let (full, empty) = (Chain::generate(1, 10), Chain::generate(1, 0));
    let mut simulation = Simulation::new(55);
    let node = add_node(&mut simulation, &empty, Config::default().with_progress_interval(interval));
    let silent = add_node(&mut simulation, &full, Config::default());
    simulation.set_application(silent, |_| Vec::new());
    // Told are the stop at once, and after the interval that there is nobody.
    simulation.command(node, NodeCommand::Sync(Command::Stop));
    simulation.command(node, NodeCommand::Sync(Command::Start));
    simulation.run_for(interval + SECOND);
    assert_eq!(told(&simulation, node).last().unwrap().1.state, State::Idle);
    simulation.dial(node, silent).unwrap();
    simulation.run_for(interval * 2);
    let states: Vec<_> = told(&simulation, node).into_iter().map(|(_, it)| it.state).collect();
    assert_eq!(states.last(), Some(&State::Discovering), "{states:?}");
}

#[test]
fn a_node_whose_clock_is_behind_is_not_synced_without_a_word() {
    let (full, late) = (Chain::generate(1, 10), Chain::generate(1, 11));
    late.set_timestamp(11, i64::MAX);
    let empty = Chain::generate(1, 0);
    let mut simulation = Simulation::new(54);
    let node = add_node(&mut simulation, &empty, Config::default());
    let ahead = add_node(&mut simulation, &late, Config::default());
    simulation.dial(node, ahead).unwrap();
    simulation.run_for(SECOND * 5);
    let behind = (State::Failed, Some(StallReason::ClockBehind));
    for _ in 0..100 {
        simulation.run_for(SECOND);
        assert_eq!((empty.len(), stalled(&simulation, node)), (11, behind));
    }
    // What one of three says may be a lie.
    for _ in 0..2 {
        let server = add_node(&mut simulation, &full, Config::default());
        simulation.dial(node, server).unwrap();
    }
    simulation.run_for(SECOND * 15);
    assert_eq!(stalled(&simulation, node), (State::Synced, None));
    assert_eq!(offences(&simulation, node), []);
}
