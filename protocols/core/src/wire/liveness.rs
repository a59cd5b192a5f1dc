//! Signs of life: Heartbeat, Ping, Pong.

use alloc::vec::Vec;

use super::cursor::Cursor;
use super::error::{DecodeError, EncodeError};
use super::message::{Decode, Message};
use super::types::MessageType;

/// Version 1's keep-alive. It has no payload; one of up to 1024 bytes is ignored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Heartbeat;

impl Message for Heartbeat {
    const TYPE: MessageType = MessageType::HEARTBEAT;

    fn encoded_len(&self) -> usize {
        0
    }

    fn encode(&self, _: &mut Vec<u8>) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl Decode<'_> for Heartbeat {
    fn decode(_: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}

macro_rules! echo {
    ($(#[$doc:meta])* $name:ident, $type:ident, $text:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct $name {
            /// Ties the answer to the question.
            pub nonce: i64,
            /// The sender's clock, in unix seconds. Not to be trusted.
            pub timestamp: i64,
        }

        impl Message for $name {
            const TYPE: MessageType = MessageType::$type;

            fn encoded_len(&self) -> usize {
                16
            }

            fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                out.extend_from_slice(&self.nonce.to_le_bytes());
                out.extend_from_slice(&self.timestamp.to_le_bytes());
                Ok(())
            }
        }

        impl Decode<'_> for $name {
            fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
                let mut cursor = Cursor::new(payload);
                let message =
                    Self { nonce: cursor.i64("nonce")?, timestamp: cursor.i64("timestamp")? };
                cursor.finish($text)?;
                Ok(message)
            }
        }
    };
}

echo! {
    /// A question that wants a [`Pong`] with the same nonce. Version 1 answers with a Ping.
    Ping, PING, "Ping"
}

echo! {
    /// The answer to a [`Ping`].
    Pong, PONG, "Pong"
}
