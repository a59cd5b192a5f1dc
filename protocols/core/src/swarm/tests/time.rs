//! The clock, and what is due.

use alloc::vec::Vec;
use core::time::Duration;

use super::log::{Entry, Heard, Log, Who};
use super::messages::{NOTE, numbered};
use super::node::{Node, address, ephemeral};
use super::tree::{Reaction, Tree, TreeCommand};
use crate::{CloseReason, DialError, Limits, RequestError, Time};

const SECOND: Duration = Duration::from_secs(1);

fn heard(log: &Log) -> Vec<(Who, Heard)> {
    let heard = |entry| match entry {
        Entry::Heard(who, heard) => Some((who, heard)),
        _ => None,
    };
    log.entries().into_iter().filter_map(heard).collect()
}

#[test]
fn time_stands_still_when_the_driver_goes_back() {
    let mut node = Node::new(Limits::default());
    node.sleep(SECOND * 9);
    node.tick();
    node.now = Time::ZERO + SECOND * 3;
    assert_eq!(node.act(|_, cx| cx.now()), Time::ZERO + SECOND * 9);
    // A dial that is begun now is given up ten seconds after the latest time there was.
    let connection = node.dial(address(7)).unwrap();
    node.now = Time::ZERO + SECOND * 18;
    node.tick();
    assert_eq!(node.dial_errors(connection), []);
    node.now += SECOND;
    node.tick();
    assert_eq!(node.dial_errors(connection), [DialError::Timeout]);
}

#[test]
fn what_is_due_fires_before_what_arrives() {
    let mut node = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    node.command(TreeCommand::First(Reaction::Ask { whom: 0, item: None, timeout: SECOND }));
    node.command(TreeCommand::Second(Reaction::WakeIn(SECOND)));
    let opening = node.accept(ephemeral(8, 40_000)).unwrap();
    node.sent(peer);
    node.log.clear();
    // Nobody calls for an hour, then a frame comes.
    node.now += SECOND * 3600;
    node.receive(peer, numbered(NOTE, 0, 1, &[]).bytes());
    let heard = heard(&node.log);
    assert!(
        matches!(
            heard[..],
            [
                (Who::First, Heard::RequestFailed(_, _, RequestError::Timeout)),
                (Who::Second, Heard::Deadline),
                (Who::First, Heard::Message(_, 1)),
            ]
        ),
        "{heard:?}"
    );
    assert_eq!(node.last_words(opening), Some(&[][..]));
}

#[test]
fn a_deadline_is_called_at_its_time_and_not_before() {
    let mut node = Node::new(Limits::default());
    assert_eq!(node.swarm.deadline(), None);
    node.command(TreeCommand::First(Reaction::WakeIn(SECOND * 2)));
    node.command(TreeCommand::Second(Reaction::WakeIn(SECOND * 3)));
    assert_eq!(node.swarm.deadline(), Some(node.now + SECOND * 2));
    node.sleep(SECOND);
    node.tick();
    assert_eq!(heard(&node.log).len(), 2, "the commands");
    node.sleep(SECOND * 2);
    assert_eq!(heard(&node.log)[2..], [(Who::First, Heard::Deadline), (Who::Second, Heard::Deadline)]);
    assert_eq!(node.swarm.deadline(), None);
}

#[test]
fn a_deadline_that_was_set_into_the_past_is_now() {
    let mut node = Node::new(Limits::default());
    node.sleep(SECOND * 5);
    node.tick();
    node.act(|tree, cx| tree.first.wake = Some(cx.now() - SECOND));
    assert_eq!(node.swarm.deadline(), Some(node.now));
    node.tick();
    assert_eq!(node.log.heard_by(Who::First), [Heard::Deadline]);
}

#[test]
fn a_behaviour_may_want_to_be_called_at_once_because_of_anothers_deadline() {
    let mut node = Node::new(Limits::default());
    node.act(|tree, cx| {
        tree.first.wake = Some(cx.now() + SECOND);
        tree.first.script.push_back(Reaction::Signal);
        tree.second.on_signal = Some(Reaction::WakeIn(Duration::ZERO));
    });
    node.sleep(SECOND * 2);
    let heard = node.log.heard_by(Who::Second);
    assert!(matches!(heard[..], [Heard::Signal(_), Heard::Deadline]), "{heard:?}");
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "a deadline moves forward when it fires")]
fn a_deadline_that_does_not_move_is_a_bug() {
    let mut node = Node::new(Limits::default());
    node.act(|tree, _| {
        tree.first.script.push_back(Reaction::WakeIn(Duration::ZERO));
        tree.first.wake = Some(Time::ZERO);
    });
    node.tick();
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "without end")]
fn signals_that_answer_each_other_without_end_are_a_bug() {
    let mut node = Node::new(Limits::default());
    node.act(|tree, _| tree.first.on_signal = Some(Reaction::Signal));
    node.command(TreeCommand::First(Reaction::Signal));
}

#[test]
fn many_signals_one_after_the_other_are_none() {
    let mut node = Node::new(Limits::default());
    for _ in 0..5000 {
        node.command(TreeCommand::First(Reaction::Signal));
    }
    let signals = node.log.heard_by(Who::Second);
    assert_eq!(signals.len(), 5000);
}

#[test]
fn the_end_of_time_is_not_a_panic() {
    let mut node: Node<Tree> = Node::new(Limits::default());
    let peer = node.inbound_session(7);
    node.now = Time::MAX;
    let dialled = node.dial(address(8)).unwrap();
    node.command(TreeCommand::First(Reaction::Ask { whom: 0, item: None, timeout: Duration::MAX }));
    node.tick();
    assert_eq!(node.dial_errors(dialled), [DialError::Timeout]);
    assert_eq!(node.close_reason(peer), Some(CloseReason::SlowReader));
}
