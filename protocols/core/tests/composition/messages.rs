//! Sets of messages, and messages of applications, in a tree.

use serde::{Deserialize, Serialize};
use spacetime_core::wire::{
    ApplicationMessage, Block, Decode, DecodeError, Frame, FrameError, GetBlock, Message, MessageSet,
    MessageType, Nothing, Ping, Pong, Priority, Problem, TxPoolRequest,
};
use spacetime_core::{
    CloseReason, ConnectionId, Context, Event, Hash, NetworkBehaviour, Offence, Protocol, Violation,
    message_set,
};

use crate::probe::Driver;

message_set! {
    /// Two that own what they hold.
    #[derive(Debug, PartialEq)]
    enum Signs {
        Ping(Ping),
        Pong(Pong)
    }
}

message_set! {
    /// One that owns and one that borrows.
    #[derive(Debug, PartialEq)]
    pub(crate) enum Blocks<'frame> {
        /// With its documentation.
        GetBlock(GetBlock),
        Block(Block<'frame>),
    }
}

message_set! {
    #[derive(Debug, PartialEq)]
    enum One {
        Only(TxPoolRequest),
    }
}

message_set! {
    enum Nobodys {}
}

message_set! {
    /// Of an application.
    #[derive(Debug, PartialEq)]
    enum Poll {
        Vote(Vote),
        Close(Close),
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Vote {
    round: u32,
    choice: String,
}

impl ApplicationMessage for Vote {
    const TYPE_BYTE: u8 = 0x80;
    const MAX_BYTES: u32 = 16;
    const PRIORITY: Priority = Priority::High;
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Close {}

impl ApplicationMessage for Close {
    const TYPE_BYTE: u8 = 0xEF;
    const MAX_BYTES: u32 = 0;
}

/// Tells what it receives, and what a queue it would be forwarded in.
struct Polls;

impl Protocol for Polls {
    type Message<'a> = Poll;
    type Answer<'a> = Nothing;
    type Event = (Poll, Priority);
    type Command = (ConnectionId, Poll);

    fn on_message(
        &mut self,
        cx: &mut Context<'_, Self::Event>,
        _: ConnectionId,
        message: Poll,
        frame: &Frame,
    ) -> Result<(), Violation> {
        cx.emit((message, frame.priority()));
        Ok(())
    }

    fn on_command(&mut self, cx: &mut Context<'_, Self::Event>, (to, message): Self::Command) {
        let sent = match message {
            Poll::Vote(vote) => cx.send(to, &vote),
            Poll::Close(close) => cx.send(to, &close),
        };
        assert_eq!(sent, Ok(()));
    }
}

/// Tells how long the blocks are that it receives.
struct Lengths;

impl Protocol for Lengths {
    type Message<'a> = Blocks<'a>;
    type Answer<'a> = Nothing;
    type Event = usize;
    type Command = ();

    fn on_message(
        &mut self,
        cx: &mut Context<'_, usize>,
        _: ConnectionId,
        message: Blocks<'_>,
        _: &Frame,
    ) -> Result<(), Violation> {
        match message {
            Blocks::GetBlock(GetBlock { hash }) => cx.emit(usize::from(hash.0[0])),
            Blocks::Block(block) => cx.emit(block.bytes.len()),
        }
        Ok(())
    }
}

#[derive(NetworkBehaviour)]
struct Tree {
    polls: Polls,
    lengths: Lengths,
}

fn driver() -> (Driver<Tree>, ConnectionId) {
    let mut driver = Driver::new(Tree { polls: Polls, lengths: Lengths });
    let peer = driver.session();
    (driver, peer)
}

fn vote() -> Vote {
    Vote { round: 300, choice: "yes".into() }
}

fn types<'a, M: MessageSet<'a>>() -> Vec<MessageType> {
    M::TYPES.iter().map(|rule| rule.message_type).collect()
}

#[test]
fn a_set_decodes_each_type_as_its_own_message() {
    let ping = Ping { nonce: 1, timestamp: 2 };
    let pong = Pong { nonce: 1, timestamp: 2 };
    let frame = Frame::encode(&ping).unwrap();
    // The same bytes are one or the other.
    assert_eq!(Signs::decode_type(MessageType::PING, frame.payload()), Ok(Signs::Ping(ping)));
    assert_eq!(Signs::decode_type(MessageType::PONG, frame.payload()), Ok(Signs::Pong(pong)));
    let too_short = Signs::decode_type(MessageType::PONG, &[]);
    assert_eq!(too_short.unwrap_err(), Pong::decode(&[]).unwrap_err());
    let hash = Hash([3; 32]);
    assert_eq!(
        Blocks::decode_type(MessageType::GET_BLOCK, hash.as_bytes()),
        Ok(Blocks::GetBlock(GetBlock { hash }))
    );
    let bytes = [1, 2, 3];
    let Ok(Blocks::Block(block)) = Blocks::decode_type(MessageType::BLOCK, &bytes) else {
        panic!("a block is not looked into here");
    };
    assert!(std::ptr::eq(block.bytes, &bytes[..]), "it is borrowed");
}

#[test]
fn a_set_refuses_types_that_are_not_in_it() {
    let unknown = |found| DecodeError { field: "message type", problem: Problem::UnknownType { found } };
    assert_eq!(Signs::decode_type(MessageType::BLOCK, &[0; 16]), Err(unknown(0x23)));
    assert_eq!(One::decode_type(MessageType::PING, &[0; 5]), Err(unknown(0x04)));
    assert_eq!(Nobodys::decode_type(MessageType::PING, &[0; 16]).err(), Some(unknown(0x04)));
}

#[test]
fn a_set_has_the_types_of_its_messages_and_their_rules() {
    assert_eq!(types::<Signs>(), [MessageType::PING, MessageType::PONG]);
    assert_eq!(types::<Blocks<'_>>(), [MessageType::GET_BLOCK, MessageType::BLOCK]);
    assert_eq!(types::<One>(), [MessageType::TX_POOL_REQUEST]);
    assert_eq!(types::<Nobodys>(), []);
    assert_eq!(types::<Poll>(), [MessageType::application(0x80), MessageType::application(0xEF)]);
    let [vote, close] = Poll::TYPES else {
        panic!("two");
    };
    assert_eq!((vote.max_payload, vote.priority), (16, Priority::High));
    assert_eq!((close.max_payload, close.priority), (0, Priority::Normal));
}

#[test]
fn a_set_that_borrows_works_in_a_tree() {
    let (mut driver, peer) = driver();
    driver.receive(peer, &Block { bytes: &[7; 1000] });
    driver.receive(peer, &GetBlock { hash: Hash([9; 32]) });
    let events = driver.events();
    assert!(matches!(events[..], [TreeEvent::Lengths(1000), TreeEvent::Lengths(9)]), "{events:?}");
}

#[test]
fn application_messages_go_out_and_come_in_as_strict_postcard() {
    let (mut driver, peer) = driver();
    let bytes = [7, 0, 0, 0, 0x80, 0xac, 0x02, 3, b'y', b'e', b's'];
    driver.command(TreeCommand::Polls((peer, Poll::Vote(vote()))));
    driver.command(TreeCommand::Polls((peer, Poll::Close(Close {}))));
    // The vote is the more urgent one, and went first anyway.
    assert_eq!(driver.sent(peer), [&bytes[..], &[1, 0, 0, 0, 0xEF]].concat());
    driver.receive_bytes(peer, &bytes);
    driver.receive(peer, &Close {});
    let events: Vec<_> = driver
        .events()
        .into_iter()
        .map(|event| match event {
            TreeEvent::Polls(event) => event,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(events, [(Poll::Vote(vote()), Priority::High), (Poll::Close(Close {}), Priority::Normal)]);
}

#[test]
fn an_application_message_waits_in_the_queue_of_its_priority() {
    let (mut driver, peer) = driver();
    driver.command(TreeCommand::Polls((peer, Poll::Close(Close {}))));
    driver.command(TreeCommand::Polls((peer, Poll::Vote(vote()))));
    let sent = driver.sent(peer);
    assert_eq!((sent[4], sent[15]), (0x80, 0xEF), "the vote overtook");
}

#[test]
fn a_second_encoding_of_an_application_message_is_charged_to_its_sender() {
    let message_type = Vote::TYPE;
    for (payload, problem) in [
        (&[0xac, 0x82, 0x00, 1, b'a'][..], Problem::NotCanonical),
        (&[1, 1, b'a', 0], Problem::Trailing { bytes: 1 }),
        (&[1, 2, b'a'], Problem::NotPostcard),
    ] {
        let (mut driver, peer) = driver();
        let mut bytes = vec![payload.len() as u8 + 1, 0, 0, 0, 0x80];
        bytes.extend(payload);
        driver.receive_bytes(peer, &bytes);
        let error = DecodeError { field: "payload", problem };
        assert!(driver.swarm.peer(peer).is_some(), "it can go on");
        assert_eq!(driver.offences(), [Offence::Malformed { message_type, error }]);
    }
}

#[test]
fn an_application_message_over_its_limit_is_refused_by_its_header() {
    let too_large = FrameError::TooLarge { message_type: Vote::TYPE, bytes: 17, max_bytes: 16 };
    assert_eq!(closed_by(&[18, 0, 0, 0, 0x80]), CloseReason::from(too_large));
}

#[test]
fn an_application_type_that_nobody_claims_is_unknown() {
    assert_eq!(closed_by(&[1, 0, 0, 0, 0x81]), CloseReason::from(FrameError::UnknownType { found: 0x81 }));
}

/// Why the tree's Swarm closes a connection from which these bytes come.
fn closed_by(bytes: &[u8]) -> CloseReason {
    let (mut driver, peer) = driver();
    driver.receive_bytes(peer, bytes);
    std::iter::from_fn(|| driver.swarm.poll_event())
        .find_map(|event| match event {
            Event::Closed { reason, .. } => Some(reason),
            _ => None,
        })
        .unwrap()
}
