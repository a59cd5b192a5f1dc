//! The seven guarantees of [`crate::behaviour`], each over random runs.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use proptest::prelude::*;

use super::log::{Did, Entry, Heard, Who};
use super::operations::{Runner, any_run};
use super::tree::TreeEvent;
use crate::{ConnectionId, Event, RequestId, Signal, Time};

/// How far a connection has come, for one member of the tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    Opening,
    Session,
    Over,
}

/// 1: what a member hears of a connection, from `on_established` to `on_closed`.
fn each_session_begins_and_ends_once(runner: &Runner) {
    for who in Who::ALL {
        let mut lives: BTreeMap<ConnectionId, Life> = BTreeMap::new();
        for heard in runner.node.log.heard_by(who) {
            let Some(connection) = heard.connection() else { continue };
            let life = lives.get(&connection).copied();
            let next = match heard {
                Heard::Opened(_) => {
                    assert_eq!((who, life), (Who::Gate, None));
                    Life::Opening
                }
                Heard::OpeningFrame(_) => {
                    assert_eq!(life, Some(Life::Opening), "only the gate knows it");
                    Life::Opening
                }
                Heard::OpeningClosed(..) => {
                    assert_eq!(life, Some(Life::Opening), "it was opened before");
                    Life::Over
                }
                Heard::Established(_) => {
                    let before = (who == Who::Gate).then_some(Life::Opening);
                    assert_eq!(life, before, "{who:?} hears of {connection} for the first time");
                    Life::Session
                }
                Heard::Closed(..) => {
                    assert_eq!(life, Some(Life::Session), "{connection} closes once");
                    Life::Over
                }
                Heard::DialFailed(..) => {
                    let never_began = matches!((who, life), (_, None) | (Who::Gate, Some(Life::Over)));
                    assert!(never_began, "{connection} never was a session: {life:?}");
                    Life::Over
                }
                _ => {
                    assert_eq!(life, Some(Life::Session), "{who:?} heard {heard:?}");
                    Life::Session
                }
            };
            lives.insert(connection, next);
        }
        let open =
            |(connection, life): (&ConnectionId, &Life)| (*life == Life::Session).then_some(*connection);
        let heard_of: BTreeSet<_> = lives.iter().filter_map(open).collect();
        let there_are: BTreeSet<_> = runner.node.swarm.peers().map(|(id, _)| id).collect();
        assert_eq!(heard_of, there_are, "{who:?} knows the sessions there are");
    }
}

/// 2: frames in the order of arrival.
fn frames_keep_their_order(runner: &Runner) {
    let mut heard: BTreeMap<ConnectionId, Vec<u32>> = BTreeMap::new();
    for entry in runner.entries() {
        if let Entry::Heard(
            Who::First | Who::Second,
            Heard::Message(connection, number) | Heard::Answer(connection, _, number),
        ) = entry
        {
            heard.entry(connection).or_default().push(number);
        }
    }
    for (connection, numbers) in &heard {
        assert!(numbers.is_sorted_by(|a, b| a < b), "{connection}: {numbers:?}");
        let arrived = &runner.arrived[connection];
        assert!(numbers.iter().all(|number| arrived.contains(number)));
    }
    for (connection, numbers) in &runner.must_be_heard {
        let heard = heard.get(connection).map_or(&[][..], |heard| heard);
        assert!(numbers.iter().all(|number| heard.contains(number)), "{connection}: {numbers:?}");
    }
}

/// 3: what an input causes comes after it, in the order of causing, before the next input.
fn consequences_come_in_order(runner: &Runner) {
    let mut expected = BTreeMap::from(Who::ALL.map(|who| (who, VecDeque::new())));
    for entry in runner.entries() {
        let (who, heard) = match entry {
            Entry::Step(_) => {
                assert!(expected.values().all(VecDeque::is_empty), "a step ends quietly: {expected:?}");
                continue;
            }
            Entry::Did(_, did @ (Did::Signalled(_) | Did::Closed(_))) => {
                for waiting in expected.values_mut() {
                    waiting.push_back(did.clone());
                }
                continue;
            }
            Entry::Did(..) => continue,
            Entry::Heard(who, heard) => (who, heard),
        };
        if heard.is_from_outside() {
            assert!(expected.values().all(VecDeque::is_empty), "{expected:?} comes before {heard:?}");
        }
        let told = match heard {
            Heard::Signal(Signal::TipChanged { height, .. }) => Did::Signalled(height),
            Heard::Closed(connection, _) => Did::Closed(connection),
            _ => continue,
        };
        let waiting = expected.get_mut(&who).unwrap();
        if waiting.contains(&told) {
            assert_eq!(waiting.pop_front(), Some(told), "in the order in which it was caused");
        } else {
            assert!(matches!(told, Did::Closed(_)), "each signal is told once");
        }
    }
    assert!(expected.values().all(VecDeque::is_empty));
}

/// 4: what is due fires before the next input.
fn due_deadlines_come_first(runner: &Runner) {
    let mut now = Time::ZERO;
    let mut armed: BTreeMap<Who, Time> = BTreeMap::new();
    let mut requests: BTreeMap<RequestId, (Who, Time)> = BTreeMap::new();
    for entry in runner.entries() {
        match entry {
            Entry::Step(at) => now = now.max(at),
            Entry::Did(who, Did::Armed(at)) => {
                armed.insert(who, at);
            }
            Entry::Did(who, Did::Asked(_, request, by)) => {
                requests.insert(request, (who, by));
            }
            Entry::Did(..) => {}
            Entry::Heard(who, heard) => {
                match heard {
                    Heard::Deadline => {
                        let at = armed.remove(&who);
                        assert!(at.is_some_and(|at| at <= now), "not before its time");
                    }
                    Heard::Answer(_, request, _) => {
                        let (asker, by) = requests.remove(&request).expect("it was asked");
                        assert_eq!(asker, who);
                        assert!(by + runner.max_pause() > now, "it was not given up");
                    }
                    Heard::RequestFailed(_, request, _) => {
                        requests.remove(&request);
                    }
                    _ => {}
                }
                if heard.is_from_outside() {
                    assert!(armed.values().all(|at| *at > now), "{armed:?} was due at {now:?}");
                    let is_late = |by: Time| by + runner.max_pause() <= now;
                    assert!(!requests.values().any(|(_, by)| is_late(*by)), "{requests:?}");
                }
            }
        }
    }
}

/// 5: each request ends once, before its connection does.
fn requests_end_once(runner: &Runner) {
    let mut waiting: BTreeMap<RequestId, (Who, ConnectionId)> = BTreeMap::new();
    for entry in runner.entries() {
        match entry {
            Entry::Did(who, Did::Asked(connection, request, _)) => {
                let before = waiting.insert(request, (who, connection));
                assert_eq!(before, None, "ids are not used twice");
            }
            Entry::Heard(
                who,
                Heard::Answer(connection, request, _) | Heard::RequestFailed(connection, request, _),
            ) => assert_eq!(waiting.remove(&request), Some((who, connection)), "once, to who asked"),
            Entry::Heard(_, Heard::Closed(closed, _)) => {
                let left = waiting.values().find(|(_, connection)| *connection == closed);
                assert_eq!(left, None, "requests end before {closed}");
            }
            _ => {}
        }
    }
    for (request, (_, connection)) in waiting {
        assert!(runner.node.swarm.peer(connection).is_some(), "{request:?} can still end");
    }
}

/// 6: each dial ends once.
fn dials_end_once(runner: &Runner) {
    let mut outcomes: BTreeMap<(Option<Who>, ConnectionId), usize> = BTreeMap::new();
    for entry in runner.entries() {
        if let Entry::Heard(who, Heard::Established(connection) | Heard::DialFailed(connection, _)) = entry {
            *outcomes.entry((Some(who), connection)).or_default() += 1;
        }
    }
    for event in &runner.node.events {
        if let Event::Established { connection, .. }
        | Event::DialFailed { connection, .. }
        | Event::Refused { connection, .. } = event
        {
            *outcomes.entry((None, *connection)).or_default() += 1;
        }
    }
    for did in runner.deeds() {
        let Did::Dialled(connection) = did else { continue };
        let is_pending = runner.node.swarm.peer(connection).is_none()
            && runner.node.swarm.network.table.get(connection).is_some();
        // Each member, and the application.
        for who in Who::ALL.map(Some).into_iter().chain([None]) {
            let count = outcomes.get(&(who, connection)).copied().unwrap_or(0);
            assert_eq!(count, usize::from(!is_pending), "{who:?} hears of {connection} once");
        }
    }
}

/// 7: events in the order in which they were emitted, inside of the session they are about.
fn events_keep_their_order(runner: &Runner) {
    let mut emitted: VecDeque<_> = runner
        .deeds()
        .into_iter()
        .filter_map(|did| match did {
            Did::Emitted(number) => Some(number),
            _ => None,
        })
        .collect();
    let mut sessions = BTreeSet::new();
    let mut over = BTreeSet::new();
    for event in &runner.node.events {
        match event {
            Event::Established { connection, .. } => {
                assert!(sessions.insert(*connection) && !over.contains(connection));
            }
            Event::Closed { connection, .. } => {
                assert!(sessions.remove(connection) && over.insert(*connection));
            }
            Event::Offence { connection, .. } => assert!(!over.contains(connection), "{event:?} is late"),
            Event::Behaviour(TreeEvent::First(said) | TreeEvent::Second(said)) => {
                assert_eq!(emitted.pop_front(), Some(said.number));
                assert!(said.about.is_none_or(|it| sessions.contains(&it)), "{said:?}");
            }
            Event::Refused { .. } | Event::DialFailed { .. } | Event::Behaviour(TreeEvent::Gate(_)) => {}
        }
    }
    assert!(emitted.is_empty(), "nothing is swallowed: {emitted:?}");
}

pub(super) fn check_all(runner: &Runner) {
    each_session_begins_and_ends_once(runner);
    frames_keep_their_order(runner);
    consequences_come_in_order(runner);
    due_deadlines_come_first(runner);
    requests_end_once(runner);
    dials_end_once(runner);
    events_keep_their_order(runner);
}

macro_rules! guarantees {
    ($($(#[$doc:meta])* $name:ident: $check:ident;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(150))]

            $(#[test]
            fn $name(run in any_run(120)) {
                $check(&Runner::of(run));
            })*
        }
    };
}

guarantees! {
    guarantee_1_a_session_is_heard_of_from_its_beginning_to_its_end: each_session_begins_and_ends_once;
    guarantee_2_frames_are_delivered_in_the_order_of_arrival: frames_keep_their_order;
    guarantee_3_consequences_come_after_their_cause_and_before_the_next_input: consequences_come_in_order;
    guarantee_4_deadlines_that_are_due_fire_before_the_next_input: due_deadlines_come_first;
    guarantee_5_each_request_ends_once_and_before_its_connection: requests_end_once;
    guarantee_6_each_dial_ends_once: dials_end_once;
    guarantee_7_events_come_out_in_the_order_of_emission: events_keep_their_order;
}

/// A run that reaches nothing proves nothing.
#[test]
fn random_runs_reach_every_kind_of_input() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::{Config, TestRng, TestRunner};

    let rng = TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut seen = BTreeMap::new();
    for _ in 0..100 {
        let run = any_run(120).new_tree(&mut runner).unwrap().current();
        for entry in Runner::of(run).entries() {
            if let Entry::Heard(_, heard) = entry {
                let kind = core::mem::discriminant(&heard);
                let name = alloc::format!("{kind:?}");
                *seen.entry(name).or_insert(0_usize) += 1;
            }
        }
    }
    assert_eq!(seen.len(), 13, "{seen:?}");
    assert!(seen.values().all(|count| *count >= 20), "{seen:?}");
}
