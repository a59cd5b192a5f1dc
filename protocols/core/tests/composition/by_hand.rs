//! Parents that are written by hand and do something of their own around their children.

use spacetime_core::wire::{GetBlock, MessageType, Nothing, Ping, Pong};
use spacetime_core::{
    Candidate, Claims, Context, Hash, Input, NetworkBehaviour, Role, Signal, Stage, Time, Verdict, Violation,
};

use crate::probe::{Call, Do, Driver, Log, Probe, SECOND, What};

const PING: Ping = Ping { nonce: 1, timestamp: 2 };

/// Answers what its child hears, keeps to itself what the child says of commands, and counts.
struct Supervisor<B> {
    child: B,
    heard: u64,
}

#[derive(Debug, PartialEq)]
enum SupervisorEvent {
    Child(Call),
    Heard(u64),
}

#[derive(Debug)]
enum SupervisorCommand {
    Child(Do),
    /// Say how much the child heard.
    Count,
}

impl<B: NetworkBehaviour<Event = Call, Command = Do>> NetworkBehaviour for Supervisor<B> {
    const CLAIMS: Claims = B::CLAIMS;
    type Event = SupervisorEvent;
    type Command = SupervisorCommand;

    fn claims(&self) -> Claims {
        self.child.claims()
    }

    fn takes(&self, message_type: MessageType, role: Role) -> bool {
        self.child.takes(message_type, role)
    }

    fn admit(&self, candidate: &Candidate<'_>) -> Verdict {
        if candidate.stage == Stage::Established && self.heard > 2 {
            return Verdict::Deny("the child heard enough");
        }
        self.child.admit(candidate)
    }

    fn on_input(
        &mut self,
        cx: &mut Context<'_, SupervisorEvent>,
        input: &Input<'_>,
    ) -> Result<(), Violation> {
        let mut messages = Vec::new();
        let wrap = |call: Call| {
            if let What::Message(message_type) = call.1 {
                messages.push(message_type);
            }
            SupervisorEvent::Child(call)
        };
        let result = cx.with_child(wrap, |cx| self.child.on_input(cx, input));
        if let Input::Frame { connection, .. } = input {
            for _ in messages {
                self.heard += 1;
                let pong = Pong { nonce: self.heard as i64, timestamp: 0 };
                assert_eq!(cx.send(*connection, &pong), Ok(()));
                cx.emit(SupervisorEvent::Heard(self.heard));
            }
        }
        result
    }

    fn on_command(&mut self, cx: &mut Context<'_, SupervisorEvent>, command: SupervisorCommand) {
        let keep = |_: Call| None;
        match command {
            SupervisorCommand::Child(command) => {
                cx.with_child(keep, |cx| self.child.on_command(cx, command));
                cx.signal(Signal::TipChanged { height: self.heard, hash: Hash::ZERO });
            }
            SupervisorCommand::Count => cx.emit(SupervisorEvent::Heard(self.heard)),
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.child.deadline()
    }
}

#[derive(NetworkBehaviour)]
struct Children {
    ping: Probe<Ping>,
}

/// A parent that has a derived tree for a child.
struct OverTree(Children);

impl NetworkBehaviour for OverTree {
    const CLAIMS: Claims = Children::CLAIMS;
    type Event = &'static str;
    type Command = ChildrenCommand;

    fn on_input(&mut self, cx: &mut Context<'_, &'static str>, input: &Input<'_>) -> Result<(), Violation> {
        cx.with_child(|ChildrenEvent::Ping((name, _))| name, |cx| self.0.on_input(cx, input))
    }

    fn on_command(&mut self, cx: &mut Context<'_, &'static str>, command: ChildrenCommand) {
        cx.with_child(|ChildrenEvent::Ping((name, _))| name, |cx| self.0.on_command(cx, command));
    }
}

#[derive(NetworkBehaviour)]
struct Tree {
    supervisor: Supervisor<Probe<Ping>>,
    asker: Probe<Nothing, Ping>,
    blocks: Supervisor<Probe<GetBlock>>,
}

fn tree(log: &Log) -> Tree {
    Tree {
        supervisor: Supervisor { child: Probe::new("ping", log).waking_at(Time::ZERO + SECOND), heard: 0 },
        asker: Probe::new("asker", log),
        blocks: Supervisor { child: Probe::new("blocks", log), heard: 0 },
    }
}

#[test]
fn a_parent_reacts_to_what_its_child_says() {
    let log = Log::default();
    let mut driver = Driver::new(tree(&log));
    let peer = driver.session();
    driver.receive(peer, &PING);
    driver.receive(peer, &PING);
    let events = driver.events();
    let said = ("ping", What::Message(MessageType::PING));
    let expected = [
        SupervisorEvent::Child(said),
        SupervisorEvent::Heard(1),
        SupervisorEvent::Child(said),
        SupervisorEvent::Heard(2),
    ];
    let events: Vec<_> = events
        .into_iter()
        .map(|event| match event {
            TreeEvent::Supervisor(event) => event,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(events, expected);
    let sent = driver.sent(peer);
    assert_eq!(sent.chunks(21).map(|frame| (frame[4], frame[5])).collect::<Vec<_>>(), [(5, 1), (5, 2)]);
}

#[test]
fn a_parent_keeps_events_of_its_child_to_itself() {
    let log = Log::default();
    let mut driver = Driver::new(tree(&log));
    let command = |command| TreeCommand::Blocks(SupervisorCommand::Child(command));
    driver.command(command(Do::Nothing));
    assert_eq!(log.take()[0], ("blocks", What::Command(Do::Nothing)));
    assert!(driver.events().is_empty());
    driver.command(TreeCommand::Blocks(SupervisorCommand::Count));
    let events = driver.events();
    assert!(matches!(events[..], [TreeEvent::Blocks(SupervisorEvent::Heard(0))]), "{events:?}");
}

#[test]
fn a_parent_passes_on_what_its_child_needs() {
    let log = Log::default();
    let mut driver = Driver::new(tree(&log));
    let peer = driver.session();
    assert_eq!(driver.swarm.deadline(), Some(Time::ZERO + SECOND));
    log.take();
    driver.wait(SECOND);
    assert_eq!(log.take(), [("ping", What::Deadline)]);
    driver.command(TreeCommand::Supervisor(SupervisorCommand::Child(Do::Nothing)));
    let told = ["ping", "asker", "blocks"].map(|name| (name, What::TipChanged(0)));
    assert_eq!(log.take()[1..], told);
    // The same type in the other role is not for the child.
    driver.command(TreeCommand::Asker(Do::Ask(peer)));
    log.take();
    driver.receive(peer, &PING);
    assert_eq!(log.take(), [("asker", What::Answer(MessageType::PING))]);
}

#[test]
fn a_parent_has_a_say_in_admission_before_its_child() {
    let log = Log::default();
    let mut driver = Driver::new(tree(&log));
    let peer = driver.session();
    for _ in 0..3 {
        driver.receive(peer, &PING);
    }
    log.take();
    driver.accept().unwrap();
    let accept = ["ping", "asker", "blocks"].map(|name| (name, What::Admit(Stage::Accept)));
    assert_eq!(log.take(), accept, "the second question did not get as far as the children");
    assert_eq!(driver.swarm.peers().count(), 1);
}

#[test]
fn a_parent_can_make_something_else_of_a_derived_trees_events() {
    let log = Log::default();
    let mut driver = Driver::new(OverTree(Children { ping: Probe::new("ping", &log) }));
    let peer = driver.session();
    driver.receive(peer, &PING);
    driver.command(ChildrenCommand::Ping(Do::Nothing));
    assert_eq!(driver.events(), ["ping", "ping"]);
}
