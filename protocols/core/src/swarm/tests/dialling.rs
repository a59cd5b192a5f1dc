//! Dials: whom not to, how long, and that each has one outcome.

use alloc::vec;
use core::time::Duration;

use super::log::{Did, Entry, Heard, Who};
use super::node::{Node, address, ephemeral, peer_id};
use super::tree::{Reaction, Tree, TreeCommand};
use crate::{CloseReason, ConnectionId, DialError, Event, Limits, SecurityError, Stage};

const SECOND: Duration = Duration::from_secs(1);

/// A session with a peer that this node dialled.
fn session(node: &mut Node<Tree>, number: u8, is_proven: bool) -> ConnectionId {
    let connection = node.dial(address(number)).unwrap();
    node.open(connection, is_proven.then(|| peer_id(number)));
    node.say_hello(connection, number);
    assert!(node.swarm.peer(connection).is_some());
    connection
}

#[test]
fn dials_and_sessions_share_the_places() {
    let mut node = Node::new(Limits::default().with_max_connections(3));
    node.inbound_session(7);
    session(&mut node, 8, false);
    let dialled = node.dial(address(9)).unwrap();
    assert_eq!(node.dial(address(10)), Err(DialError::Full));
    node.fail_dial(dialled, DialError::Unsupported);
    assert_eq!(node.dial_errors(dialled), [DialError::Unsupported]);
    node.dial(address(10)).unwrap();
    assert_eq!(node.dials.len(), 3);
}

#[test]
fn the_same_place_is_not_dialled_twice() {
    let mut node = Node::new(Limits::default());
    let again = Err(DialError::AlreadyConnected);
    let connection = node.dial(address(7)).unwrap();
    assert_eq!(node.dial(address(7)), again, "under way");
    assert_eq!(node.dial(address(7).pinned(peer_id(7))), again, "whoever should be there");
    node.open(connection, None);
    assert_eq!(node.dial(address(7)), again, "opening");
    node.say_hello(connection, 7);
    assert_eq!(node.dial(address(7)), again, "a session");
    node.lose(connection, CloseReason::EndOfStream);
    assert!(node.dial(address(7)).is_ok());
}

#[test]
fn a_peer_that_is_known_is_not_dialled_elsewhere() {
    let mut node = Node::new(Limits::default());
    session(&mut node, 7, true);
    let elsewhere = address(70).pinned(peer_id(7));
    assert_eq!(node.dial(elsewhere), Err(DialError::AlreadyConnected));
    // An inbound one as well.
    let inbound = node.accept(ephemeral(8, 40_000)).unwrap();
    node.open(inbound, Some(peer_id(8)));
    node.say_hello(inbound, 8);
    let elsewhere = address(80).pinned(peer_id(8));
    assert_eq!(node.dial(elsewhere), Err(DialError::AlreadyConnected));
    // And one that is being dialled.
    node.dial(address(9).pinned(peer_id(9))).unwrap();
    let elsewhere = address(90).pinned(peer_id(9));
    assert_eq!(node.dial(elsewhere), Err(DialError::AlreadyConnected));
}

#[test]
fn an_inbound_peer_is_not_dialled_where_it_says_that_it_listens() {
    let mut node = Node::new(Limits::default());
    node.inbound_session(7);
    assert_eq!(node.dial(address(7)), Err(DialError::AlreadyConnected));
    assert!(node.dial(ephemeral(7, 8334)).is_ok(), "that is another peer, for all we know");
}

#[test]
fn a_stranger_that_claims_to_be_a_peer_does_not_keep_us_from_it() {
    // Somebody gave us an address for peer 7 at which a stranger answers. Nothing is proven.
    let mut node = Node::new(Limits::default());
    let stranger = node.dial(address(66).pinned(peer_id(7))).unwrap();
    node.open(stranger, None);
    node.say_hello(stranger, 7);
    assert!(node.swarm.peer(stranger).is_some());
    assert!(node.dial(address(7).pinned(peer_id(7))).is_ok());
}

#[test]
fn a_dial_that_takes_too_long_is_given_up() {
    let mut node = Node::new(Limits::default());
    let connection = node.dial(address(7)).unwrap();
    node.sleep(SECOND * 10 - Duration::from_nanos(1));
    assert_eq!(node.dial_errors(connection), []);
    node.sleep(Duration::from_nanos(1));
    assert_eq!(node.dial_errors(connection), [DialError::Timeout]);
    assert_eq!(node.last_words(connection), Some(&[][..]), "the driver is told to stop");
    // It stood in this very moment.
    node.open(connection, None);
    node.fail_dial(connection, DialError::Timeout);
    assert_eq!(node.events.len(), 1);
    assert_eq!(node.log.heard_by(Who::Gate), [Heard::DialFailed(connection, DialError::Timeout)]);
}

#[test]
fn one_deadline_covers_securing_a_dial_and_the_first_words() {
    let timed_out = [DialError::Closed(CloseReason::OpeningTimeout)];
    let mut node = Node::new(Limits::default());
    // However long it took to connect, five seconds are left from then on.
    let [stalls, is_slow] = [7, 8].map(|number| node.dial(address(number)).unwrap());
    node.sleep(SECOND * 9);
    node.connect(stalls);
    node.connect(is_slow);
    node.sleep(SECOND * 4);
    node.open(is_slow, Some(peer_id(8)));
    // To be connected twice, or opened, gives no more time.
    node.connect(stalls);
    node.sleep(SECOND - Duration::from_nanos(1));
    assert_eq!((node.dial_errors(stalls), node.dial_errors(is_slow)), (vec![], vec![]));
    node.sleep(Duration::from_nanos(1));
    for connection in [stalls, is_slow] {
        assert_eq!(node.dial_errors(connection), timed_out);
        assert!(node.last_words(connection).is_some(), "the driver is told to stop");
    }
}

#[test]
fn a_dial_that_cannot_be_secured_says_why() {
    let mut node = Node::new(Limits::default());
    let connection = node.dial(address(7)).unwrap();
    node.connect(connection);
    let error = DialError::Closed(CloseReason::Insecure(SecurityError::Expired));
    node.fail_dial(connection, error.clone());
    assert_eq!(node.dial_errors(connection), [error]);
    assert!(node.dial(address(7)).is_ok(), "it may be tried again");
}

#[test]
fn a_stranger_that_claims_an_address_keeps_nobody_from_the_peer_that_is_pinned_there() {
    let mut node = Node::new(Limits::default());
    node.inbound_session(7);
    assert_eq!(node.dial(address(7)), Err(DialError::AlreadyConnected));
    assert!(node.dial(address(7).pinned(peer_id(7))).is_ok());
}

#[test]
fn a_session_with_somebody_else_keeps_nobody_from_the_peer_that_is_pinned_there() {
    for is_proven in [false, true] {
        let mut node = Node::new(Limits::default());
        let other = session(&mut node, 7, is_proven);
        assert_eq!(node.dial(address(7)), Err(DialError::AlreadyConnected));
        let pinned = node.dial(address(7).pinned(peer_id(9))).unwrap();
        node.open(pinned, Some(peer_id(9)));
        node.say_hello(pinned, 9);
        assert!(node.swarm.peer(pinned).is_some() && node.swarm.peer(other).is_some());
        let again = node.dial(address(7).pinned(peer_id(9)));
        assert_eq!(again, Err(DialError::AlreadyConnected));
    }
    // What only claims to be it is all that there is without proof: it is not dialled again and again.
    let mut node = Node::new(Limits::default());
    let claimed = node.dial(address(7).pinned(peer_id(7))).unwrap();
    node.open(claimed, None);
    node.say_hello(claimed, 7);
    assert_eq!(node.dial(address(7).pinned(peer_id(7))), Err(DialError::AlreadyConnected));
}

#[test]
fn a_node_does_not_talk_to_itself() {
    let mut node = Node::numbered(3, Limits::default());
    let dialled = node.dial(address(7)).unwrap();
    let accepted = node.accept(ephemeral(7, 40_000)).unwrap();
    node.open(dialled, Some(peer_id(3)));
    node.open(accepted, Some(peer_id(3)));
    assert_eq!(node.dial_errors(dialled), [DialError::Closed(CloseReason::SelfConnection)]);
    assert_eq!(node.refusal(accepted), Some(CloseReason::SelfConnection));
}

#[test]
fn the_pinned_peer_must_answer() {
    let mut node = Node::new(Limits::default());
    let connection = node.dial(address(7).pinned(peer_id(7))).unwrap();
    node.open(connection, Some(peer_id(8)));
    assert_eq!(node.dial_errors(connection), [DialError::Closed(CloseReason::WrongPeer)]);
    let connection = node.dial(address(7).pinned(peer_id(7))).unwrap();
    node.open(connection, Some(peer_id(7)));
    node.say_hello(connection, 7);
    assert!(node.swarm.peer(connection).is_some());
}

#[test]
fn a_dial_can_be_taken_back_at_any_stage() {
    let mut node = Node::new(Limits::default());
    let failed = |node: &Node<Tree>, connection| {
        let requested = DialError::Closed(CloseReason::Requested);
        assert_eq!(node.dial_errors(connection), core::slice::from_ref(&requested));
        let heard = node.log.heard_about(Who::First, connection);
        assert_eq!(heard, [Heard::DialFailed(connection, requested)]);
    };
    // Before the tree was asked: the driver never hears of it.
    let connection = node.act(|_, cx| {
        let connection = cx.dial(address(7)).unwrap();
        cx.close(connection, CloseReason::Requested);
        connection
    });
    failed(&node, connection);
    assert_eq!((node.dials.len(), node.closes.len()), (0, 0));
    // While it connects, and while it opens.
    for opens in [false, true] {
        let connection = node.dial(address(7)).unwrap();
        if opens {
            node.open(connection, None);
        }
        node.act(|_, cx| cx.close(connection, CloseReason::Requested));
        failed(&node, connection);
        assert!(node.last_words(connection).is_some());
    }
    assert_eq!(node.counters(), (0, 0));
}

#[test]
fn a_dial_that_the_transport_ends_is_told_once() {
    let mut node = Node::new(Limits::default());
    let connection = node.dial(address(7)).unwrap();
    node.lose(connection, CloseReason::EndOfStream);
    assert_eq!(node.dial_errors(connection), [DialError::Closed(CloseReason::EndOfStream)]);
    assert_eq!(node.events.len(), 1);
}

#[test]
fn dials_that_are_not_taken_have_no_outcome() {
    let mut node = Node::new(Limits::default());
    node.dial(address(7)).unwrap();
    for _ in 0..3 {
        node.command(TreeCommand::First(Reaction::Dial(address(7))));
    }
    let dialled = |entry: &Entry| matches!(entry, Entry::Did(_, Did::Dialled(_)));
    assert!(!node.log.entries().iter().any(dialled));
    assert!(node.events.is_empty());
}

#[test]
fn a_dial_that_fails_can_be_repeated_at_once() {
    let mut node = Node::new(Limits::default());
    node.act(|tree, _| tree.first.on_dial_failed = Some(Reaction::Dial(address(7))));
    let connection = node.dial(address(7)).unwrap();
    node.fail_dial(connection, DialError::Transport("refused".into()));
    assert_eq!(node.dials.len(), 2);
}

#[test]
fn dialling_again_and_again_what_the_tree_refuses_ends() {
    // One behaviour never gives up, another one never agrees. Both are right; the step must end.
    let mut node = Node::new(Limits::default());
    node.act(|tree, _| {
        tree.first.on_dial_failed = Some(Reaction::Dial(address(7)));
        tree.second.denies = Some(Stage::Dial);
    });
    node.dial(address(7)).unwrap();
    let failures = node.events.iter().filter(|event| matches!(event, Event::DialFailed { .. }));
    assert!(failures.count() <= 1024);
    // Later it may try again.
    let before = node.events.len();
    node.command(TreeCommand::First(Reaction::Dial(address(8))));
    assert!(node.events.len() > before);
    assert_eq!(node.counters(), (0, 0));
}
