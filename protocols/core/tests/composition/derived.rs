//! Trees that are derived, one in the other.

use std::time::Duration;

use spacetime_core::wire::{GetBlock, MessageType, Nothing, Ping, Pong};
use spacetime_core::{
    Address, CloseReason, DialError, Event, Hash, NetworkBehaviour, Now, Offence, RequestError, Stage, Time,
};

use crate::probe::{Call, Do, Driver, Log, Probe, SECOND, What};

const PING: Ping = Ping { nonce: 1, timestamp: 2 };
const PONG: Pong = Pong { nonce: 1, timestamp: 2 };

#[derive(NetworkBehaviour)]
struct Leaves {
    gossip: Probe<Pong>,
    blocks: Probe<GetBlock>,
}

#[derive(NetworkBehaviour)]
struct Middle {
    leaves: Leaves,
    asker: Probe<Nothing, Pong>,
}

#[derive(NetworkBehaviour)]
struct Tree {
    ping: Probe<Ping>,
    middle: Middle,
    listener: Probe,
}

/// All members, in the order of their fields.
const MEMBERS: [&str; 5] = ["ping", "gossip", "blocks", "asker", "listener"];

fn tree(log: &Log) -> Tree {
    Tree {
        ping: Probe::new("ping", log),
        middle: Middle {
            leaves: Leaves { gossip: Probe::new("gossip", log), blocks: Probe::new("blocks", log) },
            asker: Probe::new("asker", log),
        },
        listener: Probe::new("listener", log),
    }
}

/// A driver of the tree, without what was logged so far.
fn driver() -> (Driver<Tree>, Log) {
    let log = Log::default();
    (Driver::new(tree(&log)), log)
}

fn all(what: What) -> Vec<Call> {
    MEMBERS.map(|name| (name, what)).to_vec()
}

const fn ask(command: Do) -> TreeCommand {
    TreeCommand::Middle(MiddleCommand::Asker(command))
}

const fn blocks(command: Do) -> TreeCommand {
    TreeCommand::Middle(MiddleCommand::Leaves(LeavesCommand::Blocks(command)))
}

#[test]
fn events_are_wrapped_by_each_tree_they_pass_through() {
    let (mut driver, _) = driver();
    let peer = driver.session();
    driver.receive(peer, &PONG);
    driver.receive(peer, &PING);
    driver.receive(peer, &GetBlock { hash: Hash::ZERO });
    driver.command(ask(Do::Nothing));
    let [first, second, third, fourth] = driver.events().try_into().unwrap();
    let TreeEvent::Middle(MiddleEvent::Leaves(LeavesEvent::Gossip(call))) = first else {
        panic!("{first:?}");
    };
    assert_eq!(call, ("gossip", What::Message(MessageType::PONG)));
    let TreeEvent::Ping(call) = second else {
        panic!("{second:?}");
    };
    assert_eq!(call, ("ping", What::Message(MessageType::PING)));
    let TreeEvent::Middle(MiddleEvent::Leaves(LeavesEvent::Blocks(call))) = third else {
        panic!("{third:?}");
    };
    assert_eq!(call, ("blocks", What::Message(MessageType::GET_BLOCK)));
    let TreeEvent::Middle(MiddleEvent::Asker(call)) = fourth else {
        panic!("{fourth:?}");
    };
    assert_eq!(call, ("asker", What::Command(Do::Nothing)));
}

#[test]
fn events_print_as_the_path_through_the_tree() {
    let event = TreeEvent::Middle(MiddleEvent::Leaves(LeavesEvent::Gossip(("it", What::Closed))));
    assert_eq!(format!("{event:?}"), r#"Middle(Leaves(Gossip(("it", Closed))))"#);
    assert_eq!(format!("{:?}", blocks(Do::TellTip(3))), "Middle(Leaves(Blocks(TellTip(3))))");
}

#[test]
fn a_command_reaches_the_member_it_is_for_and_no_other() {
    let (mut driver, log) = driver();
    driver.command(blocks(Do::Nothing));
    assert_eq!(log.take(), [("blocks", What::Command(Do::Nothing))]);
    driver.command(TreeCommand::Listener(Do::Nothing));
    assert_eq!(log.take(), [("listener", What::Command(Do::Nothing))]);
    driver.command(ask(Do::Nothing));
    assert_eq!(log.take(), [("asker", What::Command(Do::Nothing))]);
}

#[test]
fn an_answer_goes_to_who_asked_and_the_same_type_unasked_to_the_other() {
    let (mut driver, log) = driver();
    let peer = driver.session();
    log.take();
    driver.receive(peer, &PONG);
    assert_eq!(log.take(), [("gossip", What::Message(MessageType::PONG))]);
    driver.command(ask(Do::Ask(peer)));
    log.take();
    driver.receive(peer, &PONG);
    driver.receive(peer, &PONG);
    assert_eq!(
        log.take(),
        [("asker", What::Answer(MessageType::PONG)), ("gossip", What::Message(MessageType::PONG)),]
    );
}

#[test]
fn only_who_asked_hears_that_no_answer_comes() {
    let (mut driver, log) = driver();
    let peer = driver.session();
    driver.command(ask(Do::Ask(peer)));
    log.take();
    driver.wait(SECOND);
    assert_eq!(log.take(), [("asker", What::RequestFailed(RequestError::Timeout))]);
    driver.command(ask(Do::Ask(peer)));
    log.take();
    driver.swarm.handle_closed(driver.now(), peer, CloseReason::EndOfStream);
    let mut expected = vec![("asker", What::RequestFailed(RequestError::Closed))];
    expected.extend(all(What::Closed));
    assert_eq!(log.take(), expected);
}

#[test]
fn a_type_that_is_only_claimed_as_an_answer_is_an_offence_when_nobody_asked() {
    #[derive(NetworkBehaviour)]
    struct Asking {
        asker: Probe<Nothing, Pong>,
        blocks: Probe<GetBlock>,
    }
    let log = Log::default();
    let mut driver =
        Driver::new(Asking { asker: Probe::new("asker", &log), blocks: Probe::new("blocks", &log) });
    let peer = driver.session();
    log.take();
    driver.receive(peer, &PONG);
    assert_eq!(log.take(), [("asker", What::Offence), ("blocks", What::Offence)]);
    assert_eq!(driver.offences(), [Offence::Unsolicited(MessageType::PONG)]);
}

#[test]
fn what_is_for_all_reaches_every_member_in_the_order_of_the_fields() {
    let (mut driver, log) = driver();
    let peer = driver.session();
    let mut expected = all(What::Admit(Stage::Accept));
    expected.extend(all(What::Admit(Stage::Established)));
    expected.extend(all(What::Established));
    assert_eq!(log.take(), expected);

    driver.command(blocks(Do::TellTip(7)));
    let mut expected = vec![("blocks", What::Command(Do::TellTip(7)))];
    expected.extend(all(What::TipChanged(7)));
    assert_eq!(log.take(), expected);

    let block = GetBlock { hash: Hash::ZERO };
    driver.swarm.act(driver.now(), |_, cx| while cx.send(peer, &block).is_ok() {});
    driver.sent(peer);
    assert_eq!(log.take(), []);
    driver.wait(Duration::ZERO);
    assert_eq!(log.take(), all(What::Writable));

    driver.swarm.handle_closed(driver.now(), peer, CloseReason::EndOfStream);
    assert_eq!(log.take(), all(What::Closed));

    let address = Address::memory(99);
    let dial = driver.swarm.act(driver.now(), |_, cx| cx.dial(address.clone())).unwrap();
    assert_eq!(log.take(), all(What::Admit(Stage::Dial)));
    let error = DialError::Transport("nobody there".into());
    driver.swarm.handle_dial_failed(driver.now(), dial, error);
    assert_eq!(log.take(), all(What::DialFailed));
}

#[test]
fn the_first_denial_decides_and_nobody_behind_it_is_asked() {
    let log = Log::default();
    let mut denying = tree(&log);
    denying.middle.leaves.blocks =
        Probe::new("blocks", &log).denying(Stage::Established, "blocks does not want it");
    denying.listener = Probe::new("listener", &log).denying(Stage::Established, "listener does not want it");
    let mut driver = Driver::new(denying);
    driver.accept().unwrap();
    let asked_last: Vec<_> = log.take().split_off(MEMBERS.len());
    let established = What::Admit(Stage::Established);
    // Being asked changed nothing, so nobody has to hear of the end either.
    assert_eq!(asked_last, [("ping", established), ("gossip", established), ("blocks", established)]);
    let refused = CloseReason::Refused("blocks does not want it");
    let event = driver.swarm.poll_event();
    assert!(matches!(&event, Some(Event::Refused { reason, .. }) if *reason == refused), "{event:?}");
    assert_eq!(driver.swarm.peers().count(), 0);
}

#[test]
fn every_member_can_deny_at_every_stage() {
    for name in MEMBERS {
        for stage in [Stage::Accept, Stage::Established] {
            let log = Log::default();
            let mut tree = tree(&log);
            let Tree { ping, middle, listener } = &mut tree;
            match name {
                "ping" => *ping = Probe::new(name, &log).denying(stage, name),
                "gossip" => middle.leaves.gossip = Probe::new(name, &log).denying(stage, name),
                "blocks" => middle.leaves.blocks = Probe::new(name, &log).denying(stage, name),
                "asker" => middle.asker = Probe::new(name, &log).denying(stage, name),
                _ => *listener = Probe::new(name, &log).denying(stage, name),
            }
            let mut driver = Driver::new(tree);
            let accepted = driver.accept();
            assert_eq!(accepted.err(), (stage == Stage::Accept).then_some(CloseReason::Refused(name)));
            assert_eq!(driver.swarm.peers().count(), 0, "{name} denied at {stage:?}");
            let calls = log.take();
            assert!(calls.iter().all(|(_, what)| matches!(what, What::Admit(_))), "{calls:?}");
        }
    }
}

#[test]
fn the_deadline_of_a_tree_is_its_members_earliest_and_only_due_members_are_called() {
    let at = |seconds| Time::ZERO + SECOND * seconds;
    let log = Log::default();
    let mut tree = tree(&log);
    assert_eq!(tree.deadline(), None);
    tree.listener = Probe::new("listener", &log).waking_at(at(5));
    assert_eq!(tree.deadline(), Some(at(5)));
    tree.middle.leaves.blocks = Probe::new("blocks", &log).waking_at(at(3));
    tree.middle.asker = Probe::new("asker", &log).waking_at(at(3));
    tree.ping = Probe::new("ping", &log).waking_at(at(4));
    assert_eq!(tree.deadline(), Some(at(3)));
    assert_eq!(tree.middle.deadline(), Some(at(3)));

    let mut driver = Driver::new(tree);
    assert_eq!(driver.swarm.deadline(), Some(at(3)));
    driver.wait(SECOND * 2);
    assert_eq!(log.take(), []);
    driver.wait(SECOND);
    assert_eq!(log.take(), [("blocks", What::Deadline), ("asker", What::Deadline)]);
    assert_eq!(driver.swarm.deadline(), Some(at(4)));
    driver.command(blocks(Do::WakeAt(at(6))));
    log.take();
    driver.wait(SECOND * 9);
    assert_eq!(
        log.take(),
        [("ping", What::Deadline), ("blocks", What::Deadline), ("listener", What::Deadline),]
    );
    assert_eq!(driver.swarm.deadline(), None);
}

#[test]
fn a_deadline_that_is_due_fires_before_the_command_that_comes_with_it() {
    let log = Log::default();
    let mut tree = tree(&log);
    tree.listener = Probe::new("listener", &log).waking_at(Time::ZERO + SECOND);
    let mut driver = Driver::new(tree);
    let later = Now::new(Time::ZERO + SECOND, 0);
    driver.swarm.handle_command(later, TreeCommand::Ping(Do::Nothing));
    assert_eq!(log.take(), [("listener", What::Deadline), ("ping", What::Command(Do::Nothing))]);
}

#[test]
fn a_violation_in_a_nested_tree_ends_the_connection_and_all_members_hear_of_it() {
    let log = Log::default();
    let mut tree = tree(&log);
    tree.middle.leaves.gossip = Probe::new("gossip", &log).breaking_off();
    let mut driver = Driver::new(tree);
    let peer = driver.session();
    log.take();
    driver.receive(peer, &PONG);
    let mut expected = vec![("gossip", What::Message(MessageType::PONG))];
    expected.extend(all(What::Offence));
    expected.extend(all(What::Closed));
    assert_eq!(log.take(), expected);
    assert_eq!(driver.offences(), [Offence::OutOfPlace(MessageType::PONG)]);
}
