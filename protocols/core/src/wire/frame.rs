//! A frame: the bytes of one message as they are on the wire.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use super::error::EncodeError;
use super::message::{Decode, Message};
use super::types::{FRAME_HEADER, MessageType, Priority};
use super::{DecodeError, Problem};
use crate::hash::Hash;

/// One message as it is on the wire, length and type byte included.
///
/// Encode once, send to many: a clone shares the bytes. What was received is forwarded as it is.
#[derive(Clone)]
pub struct Frame {
    bytes: Bytes,
    object_id: Option<Hash>,
    priority: Priority,
    /// Size of the buffer that `bytes` keeps alive.
    pinned_bytes: usize,
}

impl Frame {
    /// Encodes a message, or refuses one that a receiver would refuse.
    pub fn encode<M: Message>(message: &M) -> Result<Self, EncodeError> {
        let mut bytes = Vec::with_capacity(FRAME_HEADER + message.encoded_len());
        write_frame(message, &mut bytes)?;
        let pinned_bytes = bytes.len();
        Ok(Self { bytes: bytes.into(), object_id: None, priority: M::PRIORITY, pinned_bytes })
    }

    /// A frame cut out of what was received. `bytes` holds exactly one frame, which was checked,
    /// inside a buffer of `pinned_bytes`.
    pub(super) const fn received(
        bytes: Bytes,
        object_id: Option<Hash>,
        priority: Priority,
        pinned_bytes: usize,
    ) -> Self {
        Self { bytes, object_id, priority, pinned_bytes }
    }

    /// The type byte.
    pub fn message_type(&self) -> MessageType {
        MessageType::from_byte(self.bytes.get(FRAME_HEADER - 1).copied().unwrap_or(0))
    }

    /// What follows the type byte.
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(FRAME_HEADER..).unwrap_or(&[])
    }

    /// The whole frame.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Bytes of the whole frame.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of memory that keeping it keeps: its own, or those of the buffer that it was received
    /// in, which may hold up to four times as much as a frame that was [kept](Self::keep).
    pub const fn held_bytes(&self) -> usize {
        if self.pinned_bytes > self.bytes.len() { self.pinned_bytes } else { self.bytes.len() }
    }

    /// Never: a frame has at least its header.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The hash of the object inside, if the type has a rule for it (a block's header hash). Filled
    /// in by the reader, so received frames have it and encoded ones do not.
    pub const fn object_id(&self) -> Option<Hash> {
        self.object_id
    }

    /// In which of a connection's queues the frame waits when it is sent.
    pub const fn priority(&self) -> Priority {
        self.priority
    }

    /// Reads the payload as an `M`, whatever the type byte says about `M`'s fields.
    pub fn decode<'a, M: Message + Decode<'a>>(&'a self) -> Result<M, DecodeError> {
        if self.message_type() != M::TYPE {
            let found = self.message_type().byte();
            return Err(DecodeError::new("message type", Problem::UnknownType { found }));
        }
        M::decode(self.payload())
    }

    /// Whether keeping it keeps no other bytes in memory.
    pub(crate) const fn owns_its_buffer(&self) -> bool {
        self.pinned_bytes <= self.bytes.len()
    }

    /// The same frame, to be kept: it shares the receive buffer if that wastes little, and is copied
    /// if it is a small part of it, as [`keep_payload`](Self::keep_payload).
    #[must_use]
    pub fn keep(&self) -> Self {
        let mut kept = self.clone();
        if self.pinned_bytes / 4 > self.len() {
            kept.bytes = Bytes::copy_from_slice(&self.bytes);
            kept.pinned_bytes = self.len();
        }
        kept
    }

    /// A handle on the payload that may be kept after the frame is gone.
    ///
    /// It shares the receive buffer if that wastes little, and copies if the payload is a small
    /// part of it: what is kept never pins more than four times its size.
    pub fn keep_payload(&self) -> Bytes {
        if self.pinned_bytes / 4 > self.len() {
            Bytes::copy_from_slice(self.payload())
        } else {
            self.bytes.slice(FRAME_HEADER.min(self.len())..)
        }
    }
}

/// Frames are equal if their bytes are, wherever those are kept.
impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Frame {}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({} bytes)", self.message_type(), self.payload().len())
    }
}

/// Appends the frame of `message`. On an error nothing was appended.
pub(crate) fn write_frame<M: Message>(message: &M, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, M::TYPE.byte()]);
    let result = message.encode(out).and_then(|()| {
        let bytes = out.len() - start - FRAME_HEADER;
        if bytes as u64 > u64::from(M::MAX_PAYLOAD) {
            return Err(EncodeError::TooLarge { bytes: bytes as u64, max_bytes: M::MAX_PAYLOAD });
        }
        Ok(bytes as u32 + 1)
    });
    match result {
        Ok(length) => {
            if let Some(field) = out.get_mut(start..start + 4) {
                field.copy_from_slice(&length.to_le_bytes());
            }
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}
