//! What makes a Rust type a message.

use alloc::vec::Vec;

use super::error::{DecodeError, EncodeError};
use super::types::{MAX_PAYLOAD, MessageType, Priority};
use crate::hash::Hash;

/// A value that can be sent: a type byte and an encoding.
///
/// Implement [`ApplicationMessage`](super::ApplicationMessage) instead for an application's own
/// messages; it brings this with it.
pub trait Message {
    /// The type byte.
    const TYPE: MessageType;
    /// The largest payload, in bytes. Readers refuse more before they buffer it.
    const MAX_PAYLOAD: u32 = Self::TYPE.max_payload();
    /// In which of a connection's queues it waits.
    const PRIORITY: Priority = Self::TYPE.priority();

    /// The exact number of bytes that [`encode`](Self::encode) appends.
    fn encoded_len(&self) -> usize;

    /// Appends the payload, or refuses a value that the decoder would refuse; then nothing was
    /// appended.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError>;
}

/// A value that can be received. It borrows from the payload what is not of fixed size.
pub trait Decode<'a>: Sized {
    /// Reads the payload, all of it and strictly: what decodes encodes to the same bytes.
    fn decode(payload: &'a [u8]) -> Result<Self, DecodeError>;
}

/// What one behaviour receives in one role: a single message, or an enum of several made with
/// [`message_set!`](crate::message_set).
pub trait MessageSet<'a>: Sized {
    /// The types in the set, and what readers must know about them.
    const TYPES: &'static [TypeRule];

    /// Reads the payload of a frame of type `message_type`, which is one of [`TYPES`](Self::TYPES).
    fn decode_type(message_type: MessageType, payload: &'a [u8]) -> Result<Self, DecodeError>;
}

/// What a frame reader must know about a type before it buffers one.
#[derive(Clone, Copy, Debug)]
pub struct TypeRule {
    /// The type byte.
    pub message_type: MessageType,
    /// The largest payload, in bytes.
    pub max_payload: u32,
    /// The priority with which such a frame is forwarded.
    pub priority: Priority,
    /// Finds the hash of the object inside, if it has one: the reader fills it in, off the Swarm's
    /// path, and answers are matched by it.
    pub object_id: Option<ObjectId>,
}

/// Finds the hash of the object in a payload; none if there is no such object in it.
pub type ObjectId = fn(payload: &[u8]) -> Option<Hash>;

impl TypeRule {
    /// The rule that follows from `M`.
    pub const fn of<M: Message>() -> Self {
        assert!(M::MAX_PAYLOAD <= MAX_PAYLOAD, "a frame cannot carry a payload this large");
        Self { message_type: M::TYPE, max_payload: M::MAX_PAYLOAD, priority: M::PRIORITY, object_id: None }
    }

    /// The same with a lower limit.
    #[must_use]
    pub const fn with_max_payload(self, max_payload: u32) -> Self {
        assert!(max_payload <= self.max_payload, "the limit of a type can only be lowered");
        Self { max_payload, ..self }
    }

    /// The same with a way to find the object's hash.
    #[must_use]
    pub const fn with_object_id(self, object_id: ObjectId) -> Self {
        Self { object_id: Some(object_id), ..self }
    }
}

impl TypeRule {
    /// What holds if both rules hold for one type.
    pub(super) const fn join(self, other: Self) -> Self {
        let max_payload =
            if self.max_payload > other.max_payload { self.max_payload } else { other.max_payload };
        let object_id = if self.object_id.is_some() { self.object_id } else { other.object_id };
        Self { max_payload, object_id, ..self }
    }
}

impl<'a, M: Message + Decode<'a>> MessageSet<'a> for M {
    const TYPES: &'static [TypeRule] = &[TypeRule::of::<M>()];

    fn decode_type(_: MessageType, payload: &'a [u8]) -> Result<Self, DecodeError> {
        M::decode(payload)
    }
}

/// The set of no messages: what a behaviour receives that asks for no answers, or only asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nothing {}

impl<'a> MessageSet<'a> for Nothing {
    const TYPES: &'static [TypeRule] = &[];

    fn decode_type(message_type: MessageType, _: &'a [u8]) -> Result<Self, DecodeError> {
        Err(DecodeError::unknown_type(message_type))
    }
}

/// Declares an enum of messages and how it is decoded by type byte.
///
/// ```
/// use spacetime_core::message_set;
/// use spacetime_core::wire::{Block, GetBlock, Ping, Pong};
///
/// message_set! {
///     /// What a ping behaviour receives.
///     pub enum Signs {
///         /// A question.
///         Ping(Ping),
///         /// An answer.
///         Pong(Pong),
///     }
/// }
///
/// message_set! {
///     /// With a lifetime, if one of the messages borrows from the frame.
///     pub enum Blocks<'a> {
///         /// A question.
///         GetBlock(GetBlock),
///         /// An answer.
///         Block(Block<'a>),
///     }
/// }
/// ```
#[macro_export]
macro_rules! message_set {
    ($(#[$meta:meta])* $vis:vis enum $name:ident<$lt:lifetime> { $($body:tt)* }) => {
        $crate::message_set!(@define [$(#[$meta])* $vis] $name [<$lt>] $lt { $($body)* });
    };
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($body:tt)* }) => {
        $crate::message_set!(@define [$(#[$meta])* $vis] $name [] 'a { $($body)* });
    };
    (
        @define [$($head:tt)*] $name:ident [$($generics:tt)*] $lt:lifetime {
            $($(#[$variant_meta:meta])* $variant:ident($message:ty)),* $(,)?
        }
    ) => {
        $($head)* enum $name $($generics)* {
            $($(#[$variant_meta])* $variant($message),)*
        }

        impl<$lt> $crate::wire::MessageSet<$lt> for $name $($generics)* {
            const TYPES: &'static [$crate::wire::TypeRule] =
                &[$($crate::wire::TypeRule::of::<$message>()),*];

            fn decode_type(
                message_type: $crate::wire::MessageType,
                payload: &$lt [u8],
            ) -> ::core::result::Result<Self, $crate::wire::DecodeError> {
                $(if message_type == <$message as $crate::wire::Message>::TYPE {
                    return <$message as $crate::wire::Decode<$lt>>::decode(payload).map(Self::$variant);
                })*
                ::core::result::Result::Err($crate::wire::DecodeError::unknown_type(message_type))
            }
        }
    };
}
