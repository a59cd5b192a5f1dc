//! Behaviours that are switched on and off.

use spacetime_core::wire::{GetBlock, HandshakeAck, MessageType, Nothing, Ping, Pong};
use spacetime_core::{CloseReason, Hash, NetworkBehaviour, Offence, Stage, Time, Toggle};

use crate::probe::{Do, Door, Driver, Log, Probe, SECOND, What};

const PING: Ping = Ping { nonce: 1, timestamp: 2 };
const PONG: Pong = Pong { nonce: 1, timestamp: 2 };

#[derive(NetworkBehaviour)]
struct Guarded {
    inner: Toggle<Inner>,
    ping: Toggle<Probe<Ping>>,
}

#[derive(NetworkBehaviour)]
struct Inner {
    door: Toggle<Door>,
    blocks: Probe<GetBlock, Pong>,
}

fn inner(log: &Log, door: Toggle<Door>) -> Toggle<Inner> {
    Toggle::on(Inner { door, blocks: Probe::new("blocks", log) })
}

fn ping(log: &Log) -> Probe<Ping> {
    Probe::new("ping", log).waking_at(Time::ZERO + SECOND).denying(Stage::Dial, "not now")
}

/// What a tree is called with in a life with everything in it.
fn life<B: NetworkBehaviour<Command = GuardedCommand>>(driver: &mut Driver<B>) {
    let peer = driver.session();
    driver.receive(peer, &PING);
    driver.command(GuardedCommand::Ping(Do::TellTip(1)));
    driver.wait(SECOND);
    driver.swarm.handle_closed(driver.now(), peer, CloseReason::EndOfStream);
}

#[test]
fn a_behaviour_that_is_on_is_called_as_if_it_stood_there_itself() {
    let log = Log::default();
    let mut driver = Driver::new(Guarded { inner: Toggle::off(), ping: Toggle::on(ping(&log)) });
    assert_eq!(driver.swarm.deadline(), Some(Time::ZERO + SECOND));
    life(&mut driver);
    let expected = [
        What::Admit(Stage::Accept),
        What::Admit(Stage::Established),
        What::Established,
        What::Message(MessageType::PING),
        What::Command(Do::TellTip(1)),
        What::TipChanged(1),
        What::Deadline,
        What::Closed,
    ];
    assert_eq!(log.take(), expected.map(|what| ("ping", what)));
    let [message, command] = driver.events().try_into().unwrap();
    assert!(matches!(message, GuardedEvent::Ping(("ping", What::Message(_)))));
    assert!(matches!(command, GuardedEvent::Ping(("ping", What::Command(_)))));
}

#[test]
fn a_behaviour_that_is_off_ignores_messages_drops_commands_and_has_no_deadline() {
    let log = Log::default();
    let mut driver = Driver::new(Guarded { inner: inner(&log, Toggle::off()), ping: Toggle::off() });
    assert_eq!(driver.swarm.deadline(), None);
    life(&mut driver);
    let expected = [
        What::Admit(Stage::Accept),
        What::Admit(Stage::Established),
        What::Established,
        // Nobody sent a signal, nor is the ping an offence that all would hear of.
        What::Closed,
    ];
    assert_eq!(log.take(), expected.map(|what| ("blocks", what)));
    assert!(driver.events().is_empty());
}

#[test]
fn a_behaviour_that_is_off_refuses_nobody() {
    let log = Log::default();
    for is_on in [true, false] {
        let ping = is_on.then(|| Probe::<Ping>::new("ping", &log).denying(Stage::Accept, "never"));
        let mut driver = Driver::new(Toggle::from(ping));
        assert_eq!(driver.accept().is_err(), is_on);
    }
}

#[test]
fn answers_that_a_behaviour_would_ask_for_are_still_an_offence_when_it_is_off() {
    let log = Log::default();
    let mut driver = Driver::new(Toggle::<Probe<Nothing, Pong>>::off());
    let peer = driver.session();
    driver.receive(peer, &PONG);
    assert_eq!(driver.offences(), [Offence::Unsolicited(MessageType::PONG)]);
    let mut driver = Driver::new(Toggle::on(Probe::<Nothing, Pong>::new("asks", &log)));
    let peer = driver.session();
    driver.receive(peer, &PONG);
    assert_eq!(driver.offences(), [Offence::Unsolicited(MessageType::PONG)]);
}

#[test]
fn a_gate_in_a_nested_tree_alone_hears_of_peers_until_it_lets_them_in() {
    let log = Log::default();
    let mut driver = Driver::new(Guarded {
        inner: inner(&log, Toggle::on(Door::new(&log))),
        ping: Toggle::on(Probe::new("ping", &log)),
    });
    let peer = driver.accept().unwrap();
    let opened = [
        ("blocks", What::Admit(Stage::Accept)),
        ("ping", What::Admit(Stage::Accept)),
        ("door", What::Opened),
    ];
    assert_eq!(log.take(), opened);
    assert!(driver.swarm.peer(peer).is_none());
    driver.receive(peer, &PING);
    let let_in = [
        ("door", What::OpeningFrame(MessageType::PING)),
        ("blocks", What::Admit(Stage::Established)),
        ("ping", What::Admit(Stage::Established)),
        ("blocks", What::Established),
        ("ping", What::Established),
    ];
    assert_eq!(log.take(), let_in);
    driver.receive(peer, &PING);
    driver.receive(peer, &HandshakeAck);
    let received =
        [("ping", What::Message(MessageType::PING)), ("door", What::Message(MessageType::HANDSHAKE_ACK))];
    assert_eq!(log.take(), received);

    let peer = driver.accept().unwrap();
    log.take();
    driver.swarm.handle_closed(driver.now(), peer, CloseReason::EndOfStream);
    assert_eq!(log.take(), [("door", What::OpeningClosed)]);
}

#[test]
fn a_behaviour_that_is_off_beside_a_gate_lets_nobody_in() {
    let log = Log::default();
    let mut driver =
        Driver::new(Guarded { inner: inner(&log, Toggle::on(Door::new(&log))), ping: Toggle::off() });
    let peer = driver.accept().unwrap();
    assert!(driver.swarm.peer(peer).is_none());
    assert_eq!(log.take(), [("blocks", What::Admit(Stage::Accept)), ("door", What::Opened)]);
    driver.receive(peer, &PING);
    assert!(driver.swarm.peer(peer).is_some());
}

#[test]
fn a_gate_that_is_off_lets_peers_in_and_its_messages_mean_nothing() {
    let log = Log::default();
    let mut driver = Driver::new(Guarded { inner: inner(&log, Toggle::off()), ping: Toggle::off() });
    let peer = driver.session();
    let established = [
        ("blocks", What::Admit(Stage::Accept)),
        ("blocks", What::Admit(Stage::Established)),
        ("blocks", What::Established),
    ];
    assert_eq!(log.take(), established);
    driver.receive(peer, &HandshakeAck);
    assert_eq!(log.take(), []);
    assert_eq!(driver.offences(), []);
}

#[test]
fn a_tree_that_is_off_is_off_with_its_gate() {
    let log = Log::default();
    let mut driver =
        Driver::new(Guarded { inner: Toggle::off(), ping: Toggle::on(Probe::new("ping", &log)) });
    let peer = driver.session();
    log.take();
    driver.receive(peer, &GetBlock { hash: Hash::ZERO });
    driver.receive(peer, &HandshakeAck);
    driver.receive(peer, &PING);
    driver.command(GuardedCommand::Inner(InnerCommand::Blocks(Do::Nothing)));
    assert_eq!(log.take(), [("ping", What::Message(MessageType::PING))]);
    assert_eq!(driver.offences(), []);
}

#[test]
fn what_is_switched_on_can_be_reached() {
    let log = Log::default();
    let mut on = Toggle::on(Probe::<Ping>::new("ping", &log));
    assert!(on.get().is_some() && on.get_mut().is_some());
    let mut off = Toggle::<Probe<Ping>>::from(None);
    assert!(off.get().is_none() && off.get_mut().is_none());
}
