//! Trees that are put together when the program runs.

use std::convert::Infallible;

use proptest::prelude::*;
use spacetime_core::wire::{Block, GetBlock, Heartbeat, Message, MessageType, Nothing, Ping, Pong, TypeRule};
use spacetime_core::{
    Claims, CloseReason, Context, Dynamic, Hash, Input, NetworkBehaviour, RequestError, Role, Stage, Time,
    Toggle, Violation,
};

use crate::probe::{Call, Do, Door, Driver, Log, Probe, SECOND, What};

const PING: Ping = Ping { nonce: 1, timestamp: 2 };
const PONG: Pong = Pong { nonce: 1, timestamp: 2 };
const GET_BLOCK: GetBlock = GetBlock { hash: Hash::ZERO };

/// What the members of a set tell the application.
#[derive(Debug, PartialEq)]
enum Told {
    First(Call),
    Second(Call),
}

/// What the application tells them: one of them by name, or whoever takes it.
#[derive(Debug, PartialEq)]
enum Tell {
    First(Do),
    Second(Do),
    Whoever(Do),
}

type Set = Dynamic<Told, Tell>;

const fn for_first(tell: Tell) -> Result<Do, Tell> {
    match tell {
        Tell::First(command) | Tell::Whoever(command) => Ok(command),
        Tell::Second(_) => Err(tell),
    }
}

const fn for_second(tell: Tell) -> Result<Do, Tell> {
    match tell {
        Tell::Second(command) | Tell::Whoever(command) => Ok(command),
        Tell::First(_) => Err(tell),
    }
}

const fn for_nobody<C>(tell: Tell) -> Result<C, Tell> {
    Err(tell)
}

/// A set of a gossip and of one that asks for what is gossiped, and a listener that takes no
/// commands in front.
fn set(log: &Log) -> Set {
    Set::new()
        .with(Probe::<Nothing>::new("listener", log), Told::First, for_nobody)
        .and_then(|set| set.with(Probe::<Pong, Ping>::new("first", log), Told::First, for_first))
        .and_then(|set| set.with(Probe::<GetBlock, Pong>::new("second", log), Told::Second, for_second))
        .unwrap()
}

#[derive(NetworkBehaviour)]
struct Tree {
    ping: Probe<Ping>,
    set: Toggle<Set>,
    nested: Dynamic<&'static str, Infallible>,
}

#[test]
fn a_set_can_stand_alone() {
    let log = Log::default();
    let mut driver = Driver::new(set(&log));
    let peer = driver.session();
    let admit = [What::Admit(Stage::Accept), What::Admit(Stage::Established), What::Established];
    let calls = admit.map(|what| ["listener", "first", "second"].map(|name| (name, what)));
    assert_eq!(log.take(), calls.concat());
    driver.receive(peer, &PONG);
    driver.receive(peer, &GET_BLOCK);
    driver.command(Tell::Second(Do::Nothing));
    let expected = [
        ("first", What::Message(MessageType::PONG)),
        ("second", What::Message(MessageType::GET_BLOCK)),
        ("second", What::Command(Do::Nothing)),
    ];
    assert_eq!(log.take(), expected);
    assert_eq!(
        driver.events(),
        [Told::First(expected[0]), Told::Second(expected[1]), Told::Second(expected[2])]
    );
}

#[test]
fn a_set_can_be_a_field_of_a_derived_tree() {
    let log = Log::default();
    let mut driver = Driver::new(Tree {
        ping: Probe::new("ping", &log),
        set: Toggle::on(set(&log)),
        nested: Dynamic::new(),
    });
    let peer = driver.session();
    log.take();
    driver.receive(peer, &PING);
    driver.receive(peer, &PONG);
    driver.command(TreeCommand::Set(Tell::First(Do::TellTip(1))));
    let expected = [
        ("ping", What::Message(MessageType::PING)),
        ("first", What::Message(MessageType::PONG)),
        ("first", What::Command(Do::TellTip(1))),
        ("ping", What::TipChanged(1)),
        ("listener", What::TipChanged(1)),
        ("first", What::TipChanged(1)),
        ("second", What::TipChanged(1)),
    ];
    assert_eq!(log.take(), expected);
    let events = driver.events();
    assert!(
        matches!(
            events[..],
            [
                TreeEvent::Ping(_),
                TreeEvent::Set(Told::First((_, What::Message(_)))),
                TreeEvent::Set(Told::First((_, What::Command(_)))),
            ]
        ),
        "{events:?}"
    );
}

#[test]
fn a_set_can_be_a_member_of_a_set() {
    let log = Log::default();
    let outer = Set::new().with(set(&log), |told| told, Ok).unwrap();
    let conflict = outer.with(Probe::<Pong>::new("another", &log), Told::First, for_first);
    assert!(conflict.is_err());
    let outer = Set::new()
        .with(Probe::<Ping>::new("ping", &log), Told::First, for_nobody)
        .and_then(|outer| outer.with(set(&log), |told| told, Ok))
        .unwrap();
    let mut driver = Driver::new(outer);
    let peer = driver.session();
    log.take();
    driver.receive(peer, &GET_BLOCK);
    driver.command(Tell::Second(Do::Nothing));
    let expected =
        [("second", What::Message(MessageType::GET_BLOCK)), ("second", What::Command(Do::Nothing))];
    assert_eq!(log.take(), expected);
    assert_eq!(driver.events(), expected.map(Told::Second));
}

#[test]
fn what_claims_the_same_type_in_the_same_role_does_not_get_in() {
    let log = Log::default();
    let new = || set(&log);
    // Pong is a message of the first and an answer of the second.
    let message = new().with(Probe::<Pong>::new("", &log), Told::First, for_first);
    let answer = new().with(Probe::<Nothing, Pong>::new("", &log), Told::First, for_first);
    let both = new().with(Probe::<GetBlock, GetBlock>::new("", &log), Told::First, for_first);
    let free = new().with(Probe::<Ping, GetBlock>::new("", &log), Told::First, for_first);
    for (set, type_name) in [(message, "Pong"), (answer, "Pong"), (both, "GetBlock")] {
        let conflict = set.unwrap_err().to_string();
        assert!(conflict.starts_with(type_name), "{conflict}");
    }
    let claims = free.unwrap().claims();
    let takes = |message_type| [Role::Message, Role::Answer].map(|role| claims.takes(message_type, role));
    assert_eq!(takes(MessageType::PING), [true, true]);
    assert_eq!(takes(MessageType::PONG), [true, true]);
    assert_eq!(takes(MessageType::GET_BLOCK), [true, true]);
    assert_eq!(takes(MessageType::BLOCK), [false, false]);
}

#[test]
fn a_gate_does_not_get_in() {
    let log = Log::default();
    let set = Set::new().with(Door::new(&log), |never| match never {}, for_nobody);
    assert!(set.unwrap_err().to_string().ends_with("by a gate"));
}

#[test]
#[should_panic(expected = "two behaviours claim the same message type in the same role")]
fn a_set_that_claims_what_a_field_beside_it_claims_is_found_when_the_swarm_is_made() {
    let log = Log::default();
    let clashing = Dynamic::new().with(Probe::<Ping>::new("", &log), |_| "", |never| match never {});
    Driver::new(Tree { ping: Probe::new("ping", &log), set: Toggle::off(), nested: clashing.unwrap() });
}

#[test]
#[should_panic(expected = "two behaviours claim the same message type in the same role")]
fn a_set_that_claims_what_the_swarm_claims_is_found_when_the_swarm_is_made() {
    let log = Log::default();
    let set = Set::new().with(Probe::<Heartbeat>::new("", &log), Told::First, for_first);
    Driver::new(set.unwrap());
}

#[test]
fn a_command_is_offered_in_order_until_one_takes_it() {
    let log = Log::default();
    let mut driver = Driver::new(set(&log));
    driver.command(Tell::Whoever(Do::Nothing));
    assert_eq!(log.take(), [("first", What::Command(Do::Nothing))]);
    driver.command(Tell::Second(Do::Nothing));
    assert_eq!(log.take(), [("second", What::Command(Do::Nothing))]);

    let deaf = Set::new().with(Probe::<Pong>::new("first", &log), Told::First, for_nobody);
    let mut driver = Driver::new(deaf.unwrap());
    driver.command(Tell::First(Do::Nothing));
    assert_eq!(log.take(), []);
    assert_eq!(driver.events(), []);
}

#[test]
fn answers_and_their_failures_go_to_the_member_that_asked() {
    let log = Log::default();
    let mut driver = Driver::new(set(&log));
    let peer = driver.session();
    driver.command(Tell::Second(Do::Ask(peer)));
    driver.command(Tell::Second(Do::Ask(peer)));
    log.take();
    driver.receive(peer, &PONG);
    assert_eq!(log.take(), [("second", What::Answer(MessageType::PONG))]);
    driver.wait(SECOND);
    assert_eq!(log.take(), [("second", What::RequestFailed(RequestError::Timeout))]);
}

#[test]
fn answers_reach_members_of_sets_in_sets_and_in_trees() {
    let log = Log::default();
    let nested = Set::new().with(set(&log), |told| told, Ok);
    let mut driver = Driver::new(Tree {
        ping: Probe::new("ping", &log),
        set: Toggle::on(nested.unwrap()),
        nested: Dynamic::new(),
    });
    let peer = driver.session();
    driver.command(TreeCommand::Set(Tell::First(Do::Ask(peer))));
    driver.command(TreeCommand::Set(Tell::Second(Do::Ask(peer))));
    log.take();
    driver.receive(peer, &PONG);
    driver.receive(peer, &PING);
    assert_eq!(
        log.take(),
        [("second", What::Answer(MessageType::PONG)), ("first", What::Answer(MessageType::PING)),]
    );
}

#[test]
fn members_are_called_at_their_own_deadlines() {
    let at = |seconds| Time::ZERO + SECOND * seconds;
    let log = Log::default();
    let sleeper = |name, seconds| Probe::<Nothing>::new(name, &log).waking_at(at(seconds));
    let set = Set::new()
        .with(sleeper("late", 3), Told::First, for_nobody)
        .and_then(|set| set.with(sleeper("early", 1), Told::First, for_nobody))
        .and_then(|set| set.with(Probe::<Nothing>::new("never", &log), Told::First, for_nobody))
        .unwrap();
    assert_eq!(Set::new().deadline(), None);
    assert_eq!(set.deadline(), Some(at(1)));
    let mut driver = Driver::new(set);
    driver.wait(SECOND);
    assert_eq!(log.take(), [("early", What::Deadline)]);
    assert_eq!(driver.swarm.deadline(), Some(at(3)));
    driver.wait(SECOND * 2);
    assert_eq!(log.take(), [("late", What::Deadline)]);
    assert_eq!(driver.swarm.deadline(), None);
}

#[test]
fn the_first_member_that_denies_decides() {
    let log = Log::default();
    let denying = |name, why| Probe::<Nothing>::new(name, &log).denying(Stage::Accept, why);
    let set = Set::new()
        .with(Probe::<Nothing>::new("willing", &log), Told::First, for_nobody)
        .and_then(|set| set.with(denying("unwilling", "not this one"), Told::First, for_nobody))
        .and_then(|set| set.with(denying("unasked", "nor this one"), Told::First, for_nobody))
        .unwrap();
    let mut driver = Driver::new(set);
    assert_eq!(driver.accept(), Err(CloseReason::Refused("not this one")));
    let admit = What::Admit(Stage::Accept);
    assert_eq!(log.take(), [("willing", admit), ("unwilling", admit)]);
}

#[test]
fn frame_readers_know_the_types_of_all_members() {
    let log = Log::default();
    let driver = Driver::new(Tree {
        ping: Probe::new("ping", &log),
        set: Toggle::on(set(&log)),
        nested: Dynamic::new(),
    });
    let rules = driver.swarm.rules();
    for message_type in [MessageType::PING, MessageType::PONG, MessageType::GET_BLOCK] {
        assert!(rules.get(message_type).is_some(), "{message_type}");
    }
    assert!(rules.get(<Block<'_> as Message>::TYPE).is_none());
}

/// Claims what it is told to claim.
struct Claiming {
    index: usize,
    claims: Claims,
}

impl Claiming {
    fn new(index: usize, types: &[(u8, Role)]) -> Self {
        let claims = types.iter().fold(Claims::NONE, |claims, (byte, role)| {
            let message_type = MessageType::from_byte(*byte);
            let rule = TypeRule::of::<Ping>();
            claims.with(*role, &[TypeRule { message_type, ..rule }])
        });
        Self { index, claims }
    }
}

impl NetworkBehaviour for Claiming {
    const CLAIMS: Claims = Claims::NONE;
    type Event = (usize, MessageType);
    type Command = Infallible;

    fn claims(&self) -> Claims {
        self.claims.clone()
    }

    fn takes(&self, message_type: MessageType, role: Role) -> bool {
        self.claims.takes(message_type, role)
    }

    fn on_input(&mut self, cx: &mut Context<'_, Self::Event>, input: &Input<'_>) -> Result<(), Violation> {
        if let Input::Frame { frame, .. } = input {
            cx.emit((self.index, frame.message_type()));
        }
        Ok(())
    }

    fn on_command(&mut self, _: &mut Context<'_, Self::Event>, command: Infallible) {
        match command {}
    }
}

fn roles() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Message), Just(Role::Answer)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_members_claim_equal_claims_are_refused_and_frames_find_the_one_that_claims_them(
        members in prop::collection::vec(prop::collection::btree_map(0x80..0x88_u8, roles(), 0..3), 1..6),
    ) {
        let mut taken: Vec<(u8, Role, usize)> = Vec::new();
        let mut set = Dynamic::<(usize, MessageType), Infallible>::new();
        for (index, types) in members.into_iter().enumerate() {
            let types: Vec<(u8, Role)> = types.into_iter().collect();
            let clashes = taken.iter().any(|(byte, role, _)| types.contains(&(*byte, *role)));
            match set.with(Claiming::new(index, &types), |event| event, |never| match never {}) {
                Ok(larger) => {
                    prop_assert!(!clashes);
                    set = larger;
                    taken.extend(types.iter().map(|(byte, role)| (*byte, *role, index)));
                }
                Err(_) => {
                    prop_assert!(clashes);
                    return Ok(());
                }
            }
        }
        let mut driver = Driver::new(set);
        let peer = driver.session();
        for byte in 0x80..0x88 {
            driver.receive_bytes(peer, &[1, 0, 0, 0, byte]);
            if !taken.iter().any(|claim| claim.0 == byte) {
                // Nobody knows the type, and the connection is over.
                break;
            }
            let claims = taken.iter().filter(|claim| claim.0 == byte && claim.1 == Role::Message);
            let expected: Vec<_> = claims.map(|claim| (claim.2, MessageType::from_byte(byte))).collect();
            prop_assert_eq!(driver.events(), expected);
        }
    }
}
