//! Two-phase admission: the whole tree is asked before anything changes.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::log::{Heard, Who};
use super::node::{Node, address, ephemeral, peer_id, remote};
use super::tree::Tree;
use super::world::World;
use crate::{Address, Candidate, CloseReason, ConnectionId, DialError, Limits, Stage, Statistics, Verdict};

/// What must not change when a connection is denied.
#[derive(PartialEq, Debug)]
struct Snapshot {
    counters: (usize, usize),
    sessions: Vec<ConnectionId>,
    statistics: Statistics,
    heard: Vec<Vec<Heard>>,
    timers: usize,
}

fn snapshot(node: &Node<Tree>) -> Snapshot {
    Snapshot {
        counters: node.counters(),
        sessions: node.swarm.peers().map(|(connection, _)| connection).collect(),
        statistics: Statistics {
            bytes_received: 0,
            // What the gate says while it opens.
            bytes_sent: 0,
            frames_sent: 0,
            ..node.swarm.statistics()
        },
        heard: Who::ALL.map(|who| node.log.heard_by(who)).into(),
        timers: node.swarm.network.timers.len(),
    }
}

fn deny(node: &mut Node<Tree>, who: Who, stage: Option<Stage>) {
    node.act(|tree, _| match who {
        Who::Gate => tree.gate.denies = stage,
        Who::First => tree.first.denies = stage,
        Who::Second => tree.second.denies = stage,
    });
}

fn any_member() -> impl Strategy<Value = Who> {
    prop::sample::select(&Who::ALL[..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_denied_dial_changes_nothing_and_fails_once(
        who in any_member(),
        stage in prop::sample::select(&[Stage::Dial, Stage::Authenticated, Stage::Established][..]),
        others in 0..4_u8,
    ) {
        let mut node = Node::new(Limits::default());
        for other in 0..others {
            node.inbound_session(20 + other);
        }
        deny(&mut node, who, Some(stage));
        let mut before = snapshot(&node);
        let connection = node.dial(address(7)).unwrap();
        node.open(connection, Some(peer_id(7)));
        node.say_hello(connection, 7);

        let error = match stage {
            Stage::Dial => DialError::Refused("told to"),
            _ => DialError::Closed(CloseReason::Refused("told to")),
        };
        prop_assert_eq!(node.dial_errors(connection), [error.clone()]);
        let after = snapshot(&node);
        for (member, heard) in before.heard.iter_mut().enumerate() {
            let failed = Heard::DialFailed(connection, error.clone());
            if Who::ALL[member] == Who::Gate && stage == Stage::Established {
                let reason = CloseReason::Refused("told to");
                heard.push(Heard::Opened(connection));
                heard.push(Heard::OpeningFrame(connection));
                heard.push(Heard::OpeningClosed(connection, reason));
            }
            heard.push(failed);
        }
        prop_assert_eq!(before, after);
        prop_assert_eq!(node.dials.is_empty(), stage == Stage::Dial, "the driver is asked only if the tree agrees");
    }

    #[test]
    fn a_denied_peer_changes_nothing(
        who in any_member(),
        stage in prop::sample::select(&[Stage::Accept, Stage::Authenticated, Stage::Established][..]),
        others in 0..4_u8,
    ) {
        let mut node = Node::new(Limits::default());
        for other in 0..others {
            node.inbound_session(20 + other);
        }
        deny(&mut node, who, Some(stage));
        let mut before = snapshot(&node);
        let events = node.events.len();
        let refused = CloseReason::Refused("told to");
        let accepted = node.accept(ephemeral(7, 40_000));
        if stage == Stage::Accept {
            prop_assert_eq!(accepted, Err(refused));
        } else {
            let connection = accepted.unwrap();
            node.open(connection, Some(peer_id(7)));
            node.say_hello(connection, 7);
            prop_assert_eq!(node.refusal(connection), Some(refused.clone()));
            prop_assert_eq!(node.events.len(), events + 1);
            if stage == Stage::Established {
                before.heard[0].push(Heard::Opened(connection));
                before.heard[0].push(Heard::OpeningFrame(connection));
                before.heard[0].push(Heard::OpeningClosed(connection, refused));
            }
        }
        prop_assert_eq!(before, snapshot(&node));
    }
}

#[test]
fn a_peer_that_is_denied_does_not_end_the_session_whose_place_it_would_take() {
    let mut node = Node::new(Limits::default());
    let proven = |node: &mut Node<Tree>, port| {
        let connection = node.accept(ephemeral(7, port)).unwrap();
        node.open(connection, Some(peer_id(7)));
        node.say_hello(connection, 7);
        connection
    };
    let old = proven(&mut node, 40_000);
    deny(&mut node, Who::Second, Some(Stage::Established));
    let new = proven(&mut node, 40_001);
    assert_eq!(node.refusal(new), Some(CloseReason::Refused("told to")));
    assert!(node.swarm.peer(old).is_some());
}

#[test]
fn a_peer_that_is_denied_is_not_told_that_it_is_welcome() {
    // The gate has answered the Hello by the time the others are asked. The dialer must not take
    // the answer for a session that never was one here.
    for reason in ["denied", "full", "duplicate"] {
        let dialer = Node::numbered(0, Limits::default());
        let mut listener = Node::numbered(1, Limits::default().with_max_connections(1));
        match reason {
            "denied" => deny(&mut listener, Who::Second, Some(Stage::Established)),
            "full" => {
                listener.inbound_session(20);
            }
            // Somebody on the dialer's host says that it listens where the dialer does.
            _ => {
                let before = listener.accept(ephemeral(0, 39_999)).unwrap();
                listener.open(before, None);
                listener.say_hello(before, 20);
                listener.sent(before);
            }
        }
        let mut world = World::new(alloc::vec![dialer, listener], false);
        let dialled = world.dial(0, address(1)).unwrap();
        world.run(&[0]);
        let [dialer, _] = &world.nodes[..] else { panic!("two nodes") };
        assert_eq!(dialer.dial_errors(dialled).len(), 1, "{reason}: {:?}", dialer.events);
        let told = match reason {
            "denied" => CloseReason::RemoteText("refused: refused: told to".into()),
            "full" => remote(CloseReason::Full),
            _ => remote(CloseReason::Duplicate),
        };
        assert_eq!(dialer.dial_errors(dialled), [DialError::Closed(told)]);
    }
}

#[test]
fn a_session_survives_when_a_better_connection_with_its_peer_is_denied() {
    // Node 1 dialled. Node 0, whose dials win, dials as well, and node 1 denies that.
    let nodes = (0..2).map(|number| Node::numbered(number, Limits::default()));
    let mut world = World::new(nodes.collect(), true);
    world.dial(1, address(0)).unwrap();
    world.run(&[0]);
    deny(&mut world.nodes[1], Who::First, Some(Stage::Established));
    world.dial(0, address(1)).unwrap();
    world.run(&[0]);
    assert_eq!((world.sessions(0), world.sessions(1)), (alloc::vec![0], alloc::vec![0]));
}

#[test]
fn the_tree_is_told_what_is_known_at_each_stage() {
    use alloc::rc::Rc;
    use core::cell::RefCell;
    use core::convert::Infallible;

    use crate::wire::{Frame, Nothing};
    use crate::{Context, Direction, Identity, Protocol, Violation};

    #[derive(PartialEq, Debug)]
    struct Asked {
        stage: Stage,
        has_id: bool,
        direction: Direction,
        address: Address,
        identity: Option<Identity>,
        knows_info: bool,
        sessions: usize,
        opening: usize,
    }

    #[derive(Default)]
    struct Asks(Rc<RefCell<Vec<Asked>>>);

    impl Protocol for Asks {
        type Message<'a> = Nothing;
        type Answer<'a> = Nothing;
        type Event = Infallible;
        type Command = Infallible;

        fn admit(&self, candidate: &Candidate<'_>) -> Verdict {
            self.0.borrow_mut().push(Asked {
                stage: candidate.stage,
                has_id: candidate.connection.is_some(),
                direction: candidate.direction,
                address: candidate.address.clone(),
                identity: candidate.identity.cloned(),
                knows_info: candidate.info.is_some(),
                sessions: candidate.sessions,
                opening: candidate.opening,
            });
            Verdict::Accept
        }

        fn on_message(
            &mut self,
            _: &mut Context<'_, Infallible>,
            _: ConnectionId,
            never: Nothing,
            _: &Frame,
        ) -> Result<(), Violation> {
            match never {}
        }
    }

    let tree = Asks::default();
    let asked = Rc::clone(&tree.0);
    let mut node = Node::with_tree(tree, super::log::Log::default(), 0, Limits::default());
    let waiting = node.accept(ephemeral(9, 40_000)).unwrap();
    asked.borrow_mut().clear();

    let dialled = node.dial(address(7)).unwrap();
    node.open(dialled, Some(peer_id(7)));
    let accepted = node.accept(ephemeral(8, 40_000)).unwrap();
    node.open(accepted, None);
    node.lose(waiting, CloseReason::EndOfStream);

    let row = |stage, direction, address: &Address, identity: Option<&Identity>, sessions| Asked {
        stage,
        has_id: stage != Stage::Accept,
        direction,
        address: address.clone(),
        identity: identity.cloned(),
        knows_info: stage == Stage::Established,
        sessions,
        opening: 1,
    };
    let proven = Identity::Proven(peer_id(7));
    let claimed = Identity::Claimed { address: ephemeral(8, 40_000), name: "".into() };
    let (to, from) = (address(7), ephemeral(8, 40_000));
    assert_eq!(
        *asked.borrow(),
        [
            row(Stage::Dial, Direction::Outbound, &to, None, 0),
            row(Stage::Authenticated, Direction::Outbound, &to, Some(&proven), 0),
            row(Stage::Established, Direction::Outbound, &to, Some(&proven), 0),
            row(Stage::Accept, Direction::Inbound, &from, None, 1),
            row(Stage::Established, Direction::Inbound, &from, Some(&claimed), 1),
        ]
    );
}

#[test]
fn too_many_sessions_are_full_for_those_who_connect() {
    let mut node = Node::new(Limits::default().with_max_connections(2));
    node.inbound_session(7);
    let dialled = node.dial(address(9)).unwrap();
    let late = node.accept(ephemeral(8, 40_000)).unwrap();
    node.open(late, None);
    node.say_hello(late, 8);
    assert_eq!(node.refusal(late), Some(CloseReason::Full), "a dial has its place from the beginning");
    node.fail_dial(dialled, DialError::Transport("refused".into()));
    node.inbound_session(8);
    assert_eq!(node.counters(), (2, 0));
}
