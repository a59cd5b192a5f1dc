//! One behaviour, driven by hand.

use spacetime_core::CloseReason;
use spacetime_simulator::{Lone, Simulation};

use crate::talker::{Line, SECOND, Talker};

fn talker() -> Talker {
    // A disk and the rest of what a node starts with, from a network that nobody runs.
    let mut boots = Vec::new();
    let mut simulation = Simulation::new(1);
    simulation.add_node(Default::default(), |boot| {
        let talker = Talker::new(&boot, SECOND, 0);
        boots.push(Talker::new(&boot, SECOND, 0));
        talker
    });
    boots.remove(0)
}

#[test]
fn a_deadline_is_met_exactly_and_what_it_sends_is_seen() {
    let mut lone = Lone::new(talker());
    let peer = lone.connect();
    assert_eq!(lone.deadline(), Some(SECOND));
    lone.advance(SECOND / 2);
    assert_eq!(lone.deadline(), Some(SECOND / 2));
    assert!(lone.sent(peer).is_empty());
    lone.advance(SECOND / 2);
    lone.expect(peer, &Line { number: 0, filler: Vec::new() });
    lone.advance(SECOND * 3);
    assert_eq!(lone.sent(peer).len(), 3);
}

#[test]
fn what_is_given_arrives_and_what_is_garbage_closes() {
    let mut lone = Lone::new(talker());
    let (peer, other) = (lone.connect(), lone.connect());
    lone.give(peer, &Line { number: 7, filler: vec![0; 3] });
    assert_eq!(lone.events(), [7]);
    lone.give_bytes(peer, &[0xff; 10]);
    assert!(matches!(lone.closed(peer), Some(CloseReason::Violation(_))));
    lone.end(other);
    assert_eq!(lone.closed(other), Some(&CloseReason::EndOfStream));
}

#[test]
#[should_panic(expected = "sent to")]
fn what_was_not_sent_is_not_expected_in_vain() {
    let mut lone = Lone::new(talker());
    let peer = lone.connect();
    lone.advance(SECOND);
    lone.expect(peer, &Line { number: 1, filler: Vec::new() });
}
