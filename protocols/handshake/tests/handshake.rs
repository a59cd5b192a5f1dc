//! The gate in a simulated network, against itself and against puppets that speak by hand.

use std::sync::Arc;
use std::time::Duration;

use spacetime_core::wire::{
    Announcement, Block, Frame, FrameReader, GetBlock, HandshakeAck, Heartbeat, MessageType, Ping, ReadStep,
};
use spacetime_core::{
    CloseReason, DialError, Event, Hash, Limits, NetworkBehaviour, Now, Offence, PeerId, Rng, Swarm, Time,
};
use spacetime_handshake::{Config, Handshake, Legacy};
use spacetime_simulator::{PuppetId, Simulation, handshake_frame};

const CHAIN: Hash = Hash([7; 32]);
const SECOND: Duration = Duration::from_secs(1);

fn config() -> Config {
    Config::new(CHAIN).with_listen_port(Some(8333)).with_capability("relay.announce", 1)
}

/// Two nodes with these gates.
fn pair(seed: u64, first: Config, second: Config) -> Simulation<Handshake> {
    let mut simulation = Simulation::new(seed);
    for config in [first, second] {
        simulation.add_node(Limits::default(), |boot| Handshake::new(config, &boot.rng).unwrap());
    }
    simulation
}

fn sessions(simulation: &Simulation<Handshake>, node: usize) -> usize {
    simulation.swarm(node).peers().count()
}

fn dial_error(simulation: &Simulation<Handshake>, node: usize) -> Option<DialError> {
    simulation.events(node).iter().find_map(|(_, event)| match event {
        Event::DialFailed { error, .. } => Some(error.clone()),
        _ => None,
    })
}

fn refusal(simulation: &Simulation<Handshake>, node: usize) -> Option<CloseReason> {
    simulation.events(node).iter().find_map(|(_, event)| match event {
        Event::Refused { reason, .. } => Some(reason.clone()),
        _ => None,
    })
}

#[test]
fn both_ends_learn_who_the_other_is() {
    let best = config().with_best_block(10, Hash([1; 32]));
    let mut simulation = pair(1, best, config().with_user_agent("other/2"));
    simulation.dial(0, 1).unwrap();
    simulation.run_for(SECOND);
    for (node, other, agent) in [(0, 1, "other/2"), (1, 0, config().user_agent())] {
        let (_, peer) = simulation.swarm(node).peers().next().expect("a session");
        assert_eq!(*peer.info.name, *simulation.peer_id(other).to_string());
        assert_eq!(*peer.info.user_agent, *agent);
        assert_eq!(peer.info.clock_skew_seconds, 0);
        let announcement = peer.info.announcement.as_ref().expect("an extension");
        assert_eq!(announcement.listen_port, Some(8333));
        assert!(peer.can("relay.announce", 1) && !peer.is_version_1());
        assert_eq!(announcement.best_block.is_some(), other == 0);
    }
}

#[test]
fn what_does_not_belong_here_is_refused_and_told_why() {
    let other_chain = Config::new(Hash([8; 32]));
    let newer = config().with_protocol_versions(2, 3);
    for (other, reason) in [(other_chain, CloseReason::WrongChain), (newer, CloseReason::WrongVersion)] {
        let mut simulation = pair(2, config(), other);
        simulation.dial(0, 1).unwrap();
        simulation.run_for(SECOND);
        assert_eq!(refusal(&simulation, 1), Some(reason.clone()));
        // The dialer hears the reason from the listener's Error message.
        let told = DialError::Closed(CloseReason::Remote(Box::new(reason)));
        assert_eq!(dial_error(&simulation, 0), Some(told));
        assert_eq!((sessions(&simulation, 0), sessions(&simulation, 1)), (0, 0));
    }
}

#[test]
fn overlapping_versions_are_enough() {
    let mut simulation =
        pair(3, config().with_protocol_versions(1, 4), config().with_protocol_versions(3, 9));
    simulation.dial(0, 1).unwrap();
    simulation.run_for(SECOND);
    assert_eq!((sessions(&simulation, 0), sessions(&simulation, 1)), (1, 1));
}

#[test]
fn a_node_does_not_talk_to_itself() {
    let mut simulation = pair(4, config(), config());
    simulation.dial(0, 0).unwrap();
    simulation.run_for(SECOND);
    assert_eq!(refusal(&simulation, 0), Some(CloseReason::SelfConnection));
    assert_eq!(sessions(&simulation, 0), 0);
}

#[test]
fn the_pinned_peer_must_answer() {
    let mut simulation = pair(5, config(), config());
    let (right, wrong) = (simulation.peer_id(1), simulation.peer_id(0));
    let address = simulation.address(1).pinned(wrong);
    simulation.act(0, |_, cx| cx.dial(address)).unwrap();
    simulation.run_for(SECOND);
    assert_eq!(dial_error(&simulation, 0), Some(DialError::Closed(CloseReason::WrongPeer)));

    let address = simulation.address(1).pinned(right);
    simulation.act(0, |_, cx| cx.dial(address)).unwrap();
    simulation.run_for(SECOND);
    assert_eq!(sessions(&simulation, 0), 1);
}

#[test]
fn simultaneous_dials_end_in_one_session_on_both_ends() {
    for seed in 0..200 {
        let mut simulation = pair(seed, config(), config());
        simulation.dial(0, 1).unwrap();
        simulation.run_for(Duration::from_millis(seed % 50));
        let _already_connected = simulation.dial(1, 0);
        simulation.run_for(SECOND * 2);
        let kept: Vec<_> = (0..2)
            .map(|node| simulation.swarm(node).peers().map(|(_, peer)| peer.direction).collect::<Vec<_>>())
            .collect();
        assert!(kept[0].len() == 1 && kept[1].len() == 1 && kept[0] != kept[1], "seed {seed}: {kept:?}");
    }
}

// Puppets.

fn one_node(legacy: Legacy) -> Simulation<Handshake> {
    let mut simulation = Simulation::new(9);
    simulation
        .add_node(Limits::default(), |boot| Handshake::new(config().with_legacy(legacy), &boot.rng).unwrap());
    simulation
}

/// The types of the frames that a puppet got.
fn received<B: NetworkBehaviour>(simulation: &mut Simulation<B>, puppet: PuppetId) -> Vec<MessageType> {
    simulation.puppet_frames(puppet).into_iter().map(|(message_type, _)| message_type).collect()
}

#[test]
fn a_version_1_dialer_gets_an_empty_acknowledgement_and_nothing_else() {
    let mut simulation = one_node(Legacy::Refuse);
    let puppet = simulation.puppet_dial(0).unwrap();
    simulation.puppet_introduce_version_1(puppet, "a random string");
    simulation.run_for(SECOND * 60);
    assert_eq!(simulation.puppet_received(puppet), [1, 0, 0, 0, 0x02]);
    let (_, peer) = simulation.swarm(0).peers().next().expect("a session");
    assert!(peer.is_version_1());
    assert_eq!((&*peer.info.name, peer.info.clock_skew_seconds), ("a random string", -100));
}

#[test]
fn a_dialer_with_an_extension_gets_a_handshake_behind_the_acknowledgement() {
    let mut simulation = one_node(Legacy::Refuse);
    let puppet = simulation.puppet_dial(0).unwrap();
    simulation.puppet_introduce(puppet, "a name", CHAIN);
    simulation.run_for(SECOND);
    let got = received(&mut simulation, puppet);
    assert_eq!(got, [MessageType::HANDSHAKE_ACK, MessageType::HANDSHAKE]);
}

#[test]
fn a_version_1_listener_is_known_by_its_acknowledgement() {
    let mut simulation = one_node(Legacy::Refuse);
    let (puppet, address) = simulation.puppet_listen();
    simulation.act(0, |_, cx| cx.dial(address)).unwrap();
    simulation.run_for(Duration::from_millis(200));
    assert_eq!(received(&mut simulation, puppet), [MessageType::HANDSHAKE]);
    simulation.puppet_send_message(puppet, &HandshakeAck);
    simulation.run_for(Duration::from_millis(500));
    assert_eq!(sessions(&simulation, 0), 0, "the grace time is not over");
    simulation.run_for(SECOND);
    let (_, peer) = simulation.swarm(0).peers().next().expect("a session");
    assert!(peer.is_version_1());
}

#[test]
fn an_unnamed_listener_is_not_the_pinned_peer() {
    for answers in [true, false] {
        let mut simulation = one_node(Legacy::Serve);
        let (puppet, address) = simulation.puppet_listen();
        simulation.act(0, |_, cx| cx.dial(address.pinned(PeerId([7; 32])))).unwrap();
        simulation.run_for(Duration::from_millis(200));
        if answers {
            simulation.puppet_send_message(puppet, &HandshakeAck);
        }
        simulation.run_for(SECOND * 2);
        assert_eq!(dial_error(&simulation, 0), Some(DialError::Closed(CloseReason::WrongPeer)), "{answers}");
        assert_eq!(sessions(&simulation, 0), 0);
    }
}

#[test]
fn a_proven_peer_that_is_slow_has_all_the_time_there_is() {
    let (own_id, peer_id) = (PeerId([1; 32]), PeerId([7; 32]));
    let at = |milliseconds| Now::new(Time::ZERO + Duration::from_millis(milliseconds), 0);
    for (legacy, acknowledges) in [(Legacy::Serve, false), (Legacy::Serve, true), (Legacy::Refuse, true)] {
        let gate = Handshake::new(config().with_legacy(legacy), &Rng::from_number(1)).unwrap();
        let mut swarm = Swarm::new(gate, own_id, Limits::default()).unwrap();
        let address = "127.0.0.1:8333".parse().unwrap();
        let connection = swarm.act(at(0), |_, cx| cx.dial(address)).unwrap();
        swarm.handle_opened(at(0), connection, Some(peer_id));
        let mut reader = FrameReader::new(Arc::new(swarm.rules().clone()), 1024);
        let mut hears = |swarm: &mut Swarm<Handshake>, now, bytes: &[u8]| {
            reader.push(bytes);
            let Ok(ReadStep::Frames(batch)) = reader.poll_frames() else { panic!("a whole frame") };
            assert!(swarm.handle_frames(now, connection, batch).is_none());
        };
        if acknowledges {
            hears(&mut swarm, at(1), Frame::encode(&HandshakeAck).unwrap().bytes());
        }
        for seconds in 1..5 {
            swarm.handle_deadline(at(seconds * 1000));
            assert_eq!(swarm.connections(), 1, "{legacy:?} {acknowledges} after {seconds} s");
        }
        let announcement = Announcement {
            protocol_versions: (1, 1),
            chain_id: CHAIN,
            listen_port: None,
            capabilities: Vec::new(),
            nonce: 1,
            best_block: None,
        };
        hears(&mut swarm, at(4900), &handshake_frame(&peer_id.to_string(), Some(&announcement)));
        assert!(swarm.peer(connection).is_some());
    }
}

#[test]
fn a_silent_stranger_is_closed_when_the_opening_time_is_over() {
    let mut simulation = one_node(Legacy::Refuse);
    let puppet = simulation.puppet_dial(0).unwrap();
    simulation.run_for(Duration::from_millis(4900));
    assert!(!simulation.puppet_is_closed(puppet));
    simulation.run_for(Duration::from_millis(200));
    assert!(simulation.puppet_is_closed(puppet));
    assert_eq!(refusal(&simulation, 0), Some(CloseReason::OpeningTimeout));
}

#[test]
fn a_peer_that_opens_with_something_else_is_refused_unless_configured() {
    let mut simulation = one_node(Legacy::Refuse);
    let puppet = simulation.puppet_dial(0).unwrap();
    simulation.puppet_send(puppet, &handshake_frame("x", None)[..3]);
    simulation.run_for(SECOND);
    assert!(!simulation.puppet_is_closed(puppet));

    // This gate takes no Pings, so they are skipped; what it takes at the wrong moment is charged.
    let puppet = simulation.puppet_dial(0).unwrap();
    simulation.puppet_send_message(puppet, &Ping::default());
    simulation.puppet_send_message(puppet, &HandshakeAck);
    simulation.run_for(SECOND);
    assert!(simulation.puppet_is_closed(puppet));
    let offence = Offence::OutOfPlace(MessageType::HANDSHAKE_ACK);
    assert_eq!(refusal(&simulation, 0), Some(CloseReason::Violation(offence)));
}

#[test]
fn a_large_first_frame_ends_the_connection_before_it_is_buffered() {
    let mut simulation = one_node(Legacy::Refuse);
    let puppet = simulation.puppet_dial(0).unwrap();
    let block = Frame::encode(&Block { bytes: &[1; 5000] }).unwrap();
    simulation.puppet_send(puppet, &block.bytes()[..5]);
    simulation.run_for(SECOND);
    assert!(simulation.puppet_is_closed(puppet));
    assert!(matches!(refusal(&simulation, 0), Some(CloseReason::Violation(Offence::Frame(_)))));
}

fn announcement() -> Announcement {
    Announcement {
        protocol_versions: (1, 1),
        chain_id: CHAIN,
        listen_port: None,
        capabilities: Vec::new(),
        nonce: 1,
        best_block: None,
    }
}

#[test]
fn malformed_handshakes_are_closed_and_charged() {
    let mut trailing = handshake_frame("x", None);
    trailing[0] += 1;
    trailing.push(0);
    let mut bad_extension = handshake_frame("x", Some(&announcement()));
    let last = bad_extension.len() - 1;
    bad_extension[last] = 0xff;
    for bad in [trailing, bad_extension] {
        let mut simulation = one_node(Legacy::Refuse);
        let puppet = simulation.puppet_dial(0).unwrap();
        simulation.puppet_send(puppet, &bad);
        simulation.run_for(SECOND);
        assert!(simulation.puppet_is_closed(puppet));
        let charged = simulation
            .events(0)
            .iter()
            .any(|(_, event)| matches!(event, Event::Offence { offence: Offence::Malformed { .. }, .. }));
        assert!(charged && sessions(&simulation, 0) == 0);
    }
}

#[test]
fn somebody_who_calls_himself_like_us_is_refused() {
    let mut simulation = one_node(Legacy::Refuse);
    let puppet = simulation.puppet_dial(0).unwrap();
    let our_name = simulation.peer_id(0).to_string();
    simulation.puppet_introduce_version_1(puppet, &our_name.to_uppercase());
    simulation.run_for(SECOND);
    assert_eq!(refusal(&simulation, 0), Some(CloseReason::WrongPeer));
}

#[test]
fn a_second_handshake_is_charged_and_changes_nothing() {
    let mut simulation = one_node(Legacy::Refuse);
    let puppet = simulation.puppet_dial(0).unwrap();
    simulation.puppet_introduce_version_1(puppet, "x");
    simulation.puppet_introduce_version_1(puppet, "y");
    simulation.run_for(SECOND);
    let (_, peer) = simulation.swarm(0).peers().next().expect("a session");
    assert_eq!(&*peer.info.name, "x");
    let offence = Offence::OutOfPlace(MessageType::HANDSHAKE);
    assert!(
        simulation
            .events(0)
            .iter()
            .any(|(_, e)| matches!(e, Event::Offence { offence: o, .. } if *o == offence))
    );
}

/// A node that also takes GetBlock, to see what is delivered.
mod served {
    use std::convert::Infallible;

    use spacetime_core::wire::Nothing;
    use spacetime_core::{ConnectionId, Context, Protocol, Violation};

    use super::*;

    pub(super) struct Blocks;

    impl Protocol for Blocks {
        type Message<'a> = GetBlock;
        type Answer<'a> = Nothing;
        type Event = Hash;
        type Command = Infallible;

        fn on_message(
            &mut self,
            cx: &mut Context<'_, Hash>,
            from: ConnectionId,
            message: GetBlock,
            _: &Frame,
        ) -> Result<(), Violation> {
            assert!(cx.peer(from).is_some(), "only established peers are heard");
            cx.emit(message.hash);
            Ok(())
        }
    }

    #[derive(NetworkBehaviour)]
    pub(super) struct Node {
        pub(super) handshake: Handshake,
        pub(super) blocks: Blocks,
    }

    pub(super) fn node(legacy: Legacy) -> Simulation<Node> {
        let mut simulation = Simulation::new(11);
        simulation.add_node(Limits::default(), |boot| Node {
            handshake: Handshake::new(config().with_legacy(legacy), &boot.rng).unwrap(),
            blocks: Blocks,
        });
        simulation
    }

    pub(super) fn heard(simulation: &Simulation<Node>) -> usize {
        simulation
            .events(0)
            .iter()
            .filter(|(_, e)| matches!(e, Event::Behaviour(NodeEvent::Blocks(_))))
            .count()
    }
}

#[test]
fn with_legacy_serve_the_first_frame_of_a_wordless_peer_is_delivered() {
    for (legacy, expected) in [(Legacy::Serve, 1), (Legacy::Refuse, 0)] {
        let mut simulation = served::node(legacy);
        let puppet = simulation.puppet_dial(0).unwrap();
        simulation.puppet_send_message(puppet, &GetBlock { hash: CHAIN });
        simulation.run_for(SECOND * 10);
        assert_eq!(served::heard(&simulation), expected);
        assert_eq!(simulation.puppet_is_closed(puppet), expected == 0);
    }
}

#[test]
fn with_legacy_serve_a_silent_peer_is_let_in_after_the_grace_time() {
    let mut simulation = served::node(Legacy::Serve);
    let puppet = simulation.puppet_dial(0).unwrap();
    simulation.run_for(SECOND * 30);
    assert_eq!(simulation.swarm(0).peers().count(), 1);
    // Late, but welcome: a version-1 dialer waits for the acknowledgement of its Handshake.
    simulation.puppet_introduce_version_1(puppet, "x");
    simulation.run_for(SECOND);
    assert_eq!(received(&mut simulation, puppet), [MessageType::HANDSHAKE_ACK]);
}

#[test]
fn a_listener_that_talks_right_after_its_acknowledgement_is_a_version_1_node() {
    let mut simulation = served::node(Legacy::Refuse);
    let (puppet, address) = simulation.puppet_listen();
    simulation.act(0, |_, cx| cx.dial(address)).unwrap();
    simulation.run_for(Duration::from_millis(200));
    simulation.puppet_send_message(puppet, &HandshakeAck);
    simulation.puppet_send_message(puppet, &GetBlock { hash: CHAIN });
    simulation.run_for(Duration::from_millis(200));
    assert_eq!(served::heard(&simulation), 1);
}

#[test]
fn heartbeats_are_taken_from_anybody_who_is_in() {
    let mut simulation = one_node(Legacy::Refuse);
    let puppet = simulation.puppet_dial(0).unwrap();
    simulation.puppet_introduce_version_1(puppet, "x");
    simulation.puppet_send_message(puppet, &Heartbeat);
    simulation.puppet_send_message(puppet, &Heartbeat);
    simulation.run_for(SECOND);
    assert_eq!(sessions(&simulation, 0), 1);
    assert!(!simulation.events(0).iter().any(|(_, event)| matches!(event, Event::Offence { .. })));
}

#[test]
fn configurations_that_make_no_handshake_are_refused() {
    assert!(config().validate().is_ok());
    for bad in [
        config().with_user_agent("  "),
        config().with_user_agent("x".repeat(1000)),
        config().with_protocol_versions(2, 1),
        config().with_listen_port(Some(0)),
        config().with_capability("", 1),
        config().with_grace(Duration::ZERO),
    ] {
        assert!(bad.validate().is_err(), "{bad:?}");
    }
}
