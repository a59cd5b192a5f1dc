//! Every message of version 1 as one type, for tools that look at all traffic.

use alloc::vec::Vec;

use super::cursor::check_range;
use super::error::{DecodeError, EncodeError, Problem};
use super::frame::Frame;
use super::message::{Decode, Message};
use super::types::MessageType;
use super::{
    Block, BlockAccepted, Error, GetBlock, GetHeaders, GetPeers, Handshake, HandshakeAck, Headers, Heartbeat,
    NewBlock, Peers, Ping, Pong, ProofSubmission, Transaction, TxPoolRequest,
};

macro_rules! any_message {
    ($($name:ident $(<$lt:lifetime>)?),* $(,)?) => {
        /// Any message of version 1. Behaviours use the single types instead.
        #[derive(Clone, PartialEq, Eq, Debug)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "each variant is the message of the same name")]
        pub enum AnyMessage<'a> {
            $($name($name $(<$lt>)?),)*
        }

        impl<'a> AnyMessage<'a> {
            /// Reads a payload by its type. The limit of the type holds here as in a reader.
            pub fn decode(message_type: MessageType, payload: &'a [u8]) -> Result<Self, DecodeError> {
                $(if message_type == <$name as Message>::TYPE {
                    let max = <$name as Message>::MAX_PAYLOAD;
                    check_range(payload.len() as i64, 0, max.into(), "payload length")?;
                    return <$name as Decode>::decode(payload).map(Self::$name);
                })*
                Err(DecodeError::unknown_type(message_type))
            }

            /// The type byte.
            pub const fn message_type(&self) -> MessageType {
                match self {
                    $(Self::$name(_) => <$name as Message>::TYPE,)*
                }
            }

            /// The exact number of bytes of the payload.
            pub fn encoded_len(&self) -> usize {
                match self {
                    $(Self::$name(message) => message.encoded_len(),)*
                }
            }

            /// Appends the payload.
            pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                match self {
                    $(Self::$name(message) => message.encode(out),)*
                }
            }

            /// The whole frame.
            pub fn to_frame(&self) -> Result<Frame, EncodeError> {
                match self {
                    $(Self::$name(message) => Frame::encode(message),)*
                }
            }
        }
    };
}

any_message! {
    Handshake<'a>, HandshakeAck, Heartbeat, Ping, Pong, GetPeers<'a>, Peers<'a>, GetHeaders, Headers<'a>,
    GetBlock, Block<'a>, Transaction<'a>, NewBlock<'a>, TxPoolRequest, ProofSubmission<'a>, BlockAccepted,
    Error<'a>,
}

impl DecodeError {
    /// No message of the set that was asked for has this type.
    #[doc(hidden)]
    pub const fn unknown_type(message_type: MessageType) -> Self {
        Self::new("message type", Problem::UnknownType { found: message_type.byte() })
    }
}

/// Whether `payload` is a valid, canonical payload of a version-1 message of this type.
///
/// The check that every received message goes through, for tools that have bytes from elsewhere.
pub fn validate(message_type: MessageType, payload: &[u8]) -> Result<(), DecodeError> {
    AnyMessage::decode(message_type, payload).map(|_| ())
}
