//! What the behaviours of these tests say to each other.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::message_set;
use crate::wire::{
    ApplicationMessage, Decode as _, DecodeError, Error, Frame, Message, MessageSet, MessageType, Priority,
    TypeRule,
};
use crate::{CloseReason, Hash};

/// Who I am. The dialer's first frame, and the listener's answer to it.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub(super) struct Hello {
    pub(super) name: String,
    pub(super) listen_port: Option<u16>,
    pub(super) understands_errors: bool,
}

impl ApplicationMessage for Hello {
    const TYPE_BYTE: u8 = 0x80;
    const MAX_BYTES: u32 = 512;
}

pub(super) const NOTE: u8 = 0x90;
pub(super) const URGENT: u8 = 0x91;
pub(super) const NEWS: u8 = 0x92;
pub(super) const GOSSIP: u8 = 0x93;
pub(super) const ASK: u8 = 0x94;
pub(super) const REPLY: u8 = 0x95;
pub(super) const ITEM: u8 = 0x96;
pub(super) const OTHER_NOTE: u8 = 0xA0;
pub(super) const OTHER_REPLY: u8 = 0xA1;

const fn priority_of(byte: u8) -> Priority {
    match byte {
        URGENT => Priority::Critical,
        NEWS => Priority::High,
        GOSSIP => Priority::Low,
        _ => Priority::Normal,
    }
}

/// A message that can be told from all others: `number` is unique, `item` is what its hash is of.
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
pub(super) struct Numbered<'a, const BYTE: u8> {
    pub(super) item: u8,
    pub(super) number: u32,
    pub(super) body: &'a [u8],
}

impl<const BYTE: u8> ApplicationMessage for Numbered<'_, BYTE> {
    const TYPE_BYTE: u8 = BYTE;
    const MAX_BYTES: u32 = 4 << 20;
    const PRIORITY: Priority = priority_of(BYTE);
}

/// Messages whose number can be read.
pub(super) trait HasNumber {
    fn number(&self) -> u32;
}

impl<const BYTE: u8> HasNumber for Numbered<'_, BYTE> {
    fn number(&self) -> u32 {
        self.number
    }
}

message_set! {
    #[derive(Debug)]
    pub(super) enum FirstMessage<'a> {
        Note(Numbered<'a, NOTE>),
        Urgent(Numbered<'a, URGENT>),
        News(Numbered<'a, NEWS>),
        Gossip(Numbered<'a, GOSSIP>),
        Ask(Numbered<'a, ASK>),
    }
}

impl HasNumber for FirstMessage<'_> {
    fn number(&self) -> u32 {
        match self {
            Self::Note(it) => it.number,
            Self::Urgent(it) => it.number,
            Self::News(it) => it.number,
            Self::Gossip(it) => it.number,
            Self::Ask(it) => it.number,
        }
    }
}

message_set! {
    /// The same type is the first leaf's answer, and the second one's message if nobody asked.
    #[derive(Debug)]
    pub(super) enum SecondMessage<'a> {
        Note(Numbered<'a, OTHER_NOTE>),
        Reply(Numbered<'a, REPLY>),
    }
}

impl HasNumber for SecondMessage<'_> {
    fn number(&self) -> u32 {
        match self {
            Self::Note(it) => it.number,
            Self::Reply(it) => it.number,
        }
    }
}

/// The hash of what is in an [`ITEM`].
pub(super) fn item_id(item: u8) -> Hash {
    Hash::of(&[item])
}

fn object_id(payload: &[u8]) -> Option<Hash> {
    payload.first().copied().map(item_id)
}

/// An answer that is matched by order, or by its hash.
#[derive(Debug)]
pub(super) struct FirstAnswer {
    number: u32,
}

impl<'a> MessageSet<'a> for FirstAnswer {
    const TYPES: &'static [TypeRule] = &[
        TypeRule::of::<Numbered<'_, REPLY>>(),
        TypeRule::of::<Numbered<'_, ITEM>>().with_object_id(object_id),
    ];

    fn decode_type(message_type: MessageType, payload: &'a [u8]) -> Result<Self, DecodeError> {
        let number = if message_type.byte() == ITEM {
            Numbered::<ITEM>::decode(payload)?.number
        } else {
            Numbered::<REPLY>::decode(payload)?.number
        };
        Ok(Self { number })
    }
}

impl HasNumber for FirstAnswer {
    fn number(&self) -> u32 {
        self.number
    }
}

/// The bytes of a frame.
pub(super) fn bytes_of<M: Message>(message: &M) -> Vec<u8> {
    Frame::encode(message).unwrap().bytes().to_vec()
}

/// A frame of any of the types above.
pub(super) fn numbered(byte: u8, item: u8, number: u32, body: &[u8]) -> Frame {
    macro_rules! encode {
        ($($byte:ident)*) => {
            match byte {
                $($byte => Frame::encode(&Numbered::<'_, $byte> { item, number, body }),)*
                _ => unreachable!("not one of these tests' messages"),
            }
        };
    }
    encode!(NOTE URGENT NEWS GOSSIP ASK REPLY ITEM OTHER_NOTE OTHER_REPLY).unwrap()
}

/// The bytes of a frame with any payload, right or wrong.
pub(super) fn raw(byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32 + 1).to_le_bytes().to_vec();
    bytes.push(byte);
    bytes.extend_from_slice(payload);
    bytes
}

pub(super) fn hello(name: &str, listen_port: Option<u16>, understands_errors: bool) -> Vec<u8> {
    bytes_of(&Hello { name: name.into(), listen_port, understands_errors })
}

/// The bytes of the message with which a peer says why it closes.
pub(super) fn error(reason: &CloseReason) -> Vec<u8> {
    bytes_of(&Error { text: &reason.to_error_text() })
}

/// Cuts what was sent into frames: type byte and number, if it has one.
pub(super) fn sent_frames(mut bytes: &[u8]) -> Vec<(u8, Option<u32>)> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = u32::from_le_bytes(*length) as usize;
        let (frame, later) = rest.split_at(length);
        let number = Numbered::<NOTE>::decode(&frame[1..]).ok().map(|it| it.number);
        frames.push((frame[0], number));
        bytes = later;
    }
    assert_eq!(bytes, b"", "only whole frames are sent");
    frames
}

pub(super) fn sent_numbers(bytes: &[u8]) -> Vec<u32> {
    sent_frames(bytes).into_iter().filter_map(|(_, number)| number).collect()
}
