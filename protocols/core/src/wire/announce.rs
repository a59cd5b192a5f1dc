//! What this implementation adds for the relay: Announce, Fetch, NotFound, PoolHashes.

use alloc::vec::Vec;
use core::fmt;

use super::cursor::{Cursor, check_range};
use super::error::{DecodeError, EncodeError, Problem};
use super::message::{Decode, Message};
use super::types::MessageType;
use crate::hash::Hash;

/// The most items in an [`Announce`], a [`Fetch`] or a [`NotFound`].
pub const MAX_ANNOUNCED: usize = 500;
/// The most hashes in a [`PoolHashes`]: what a full pool of a node holds.
pub const MAX_POOL_HASHES: usize = 50_000;

/// Bytes of an [`Announced`] on the wire.
const ANNOUNCED_BYTES: usize = 1 + 4 + 32;

/// An item that a peer has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Announced {
    /// The type of the message that it is sent in.
    pub message_type: MessageType,
    /// Bytes of that message's payload, from 1.
    pub payload_bytes: u32,
    /// The hash of type and payload.
    pub id: Hash,
}

impl Announced {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.message_type.byte());
        out.extend_from_slice(&self.payload_bytes.to_le_bytes());
        out.extend_from_slice(self.id.as_bytes());
    }

    fn check(&self) -> Result<(), DecodeError> {
        let max_bytes = self.message_type.max_payload();
        if !self.message_type.is_version_1() {
            let found = self.message_type.byte();
            return Err(DecodeError::new("message type", Problem::UnknownType { found }));
        }
        check_range(self.payload_bytes.into(), 1, max_bytes.into(), "payload_bytes")
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let message_type = MessageType::from_byte(cursor.u8("message type")?);
        let payload_bytes = cursor.i32_within(1, i32::MAX, "payload_bytes")?.unsigned_abs();
        let announced = Self { message_type, payload_bytes, id: cursor.hash("id")? };
        announced.check()?;
        Ok(announced)
    }
}

/// I have these: 1 to [`MAX_ANNOUNCED`] items. Each type must be one of version 1, and the size one
/// that its payload can have.
#[derive(Clone, Copy)]
pub struct Announce<'a>(AnnounceRepr<'a>);

#[derive(Clone, Copy)]
enum AnnounceRepr<'a> {
    /// Checked bytes of a received message.
    Wire(&'a [u8]),
    /// Items to be sent.
    Slice(&'a [Announced]),
}

impl<'a> Announce<'a> {
    /// These items.
    pub const fn new(items: &'a [Announced]) -> Self {
        Self(AnnounceRepr::Slice(items))
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        match self.0 {
            AnnounceRepr::Wire(bytes) => bytes.len() / ANNOUNCED_BYTES,
            AnnounceRepr::Slice(items) => items.len(),
        }
    }

    /// Never, if it was received.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The items, in the order of the message.
    pub fn iter(&self) -> impl Iterator<Item = Announced> + use<'a> {
        let (bytes, items): (&[u8], &[Announced]) = match self.0 {
            AnnounceRepr::Wire(bytes) => (bytes, &[]),
            AnnounceRepr::Slice(items) => (&[], items),
        };
        // The bytes were read once before, so none of them fails.
        let received =
            bytes.chunks_exact(ANNOUNCED_BYTES).filter_map(|it| Announced::read(&mut Cursor::new(it)).ok());
        received.chain(items.iter().copied())
    }
}

impl Message for Announce<'_> {
    const TYPE: MessageType = MessageType::ANNOUNCE;

    fn encoded_len(&self) -> usize {
        4 + self.len() * ANNOUNCED_BYTES
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        check_range(self.len() as i64, 1, MAX_ANNOUNCED as i64, "item count")?;
        for item in self.iter() {
            item.check()?;
        }
        out.extend_from_slice(&(self.len() as i32).to_le_bytes());
        self.iter().for_each(|item| item.write(out));
        Ok(())
    }
}

impl<'a> Decode<'a> for Announce<'a> {
    fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(payload);
        let count = counted(&mut cursor, 1, MAX_ANNOUNCED, ANNOUNCED_BYTES)?;
        let bytes = cursor.rest();
        for _ in 0..count {
            Announced::read(&mut cursor)?;
        }
        cursor.finish("Announce")?;
        Ok(Self(AnnounceRepr::Wire(bytes)))
    }
}

impl PartialEq for Announce<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Announce<'_> {}

impl fmt::Debug for Announce<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Announce({})", self.len())
    }
}

/// Hashes, borrowed from a message or to be sent in one.
#[derive(Clone, Copy)]
pub struct Hashes<'a>(HashesRepr<'a>);

#[derive(Clone, Copy)]
enum HashesRepr<'a> {
    Wire(&'a [u8]),
    Slice(&'a [Hash]),
}

impl<'a> Hashes<'a> {
    /// How many there are.
    pub const fn len(&self) -> usize {
        match self.0 {
            HashesRepr::Wire(bytes) => bytes.len() / 32,
            HashesRepr::Slice(hashes) => hashes.len(),
        }
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The hashes, in order.
    pub fn iter(&self) -> impl Iterator<Item = Hash> + use<'a> {
        let (bytes, hashes): (&[u8], &[Hash]) = match self.0 {
            HashesRepr::Wire(bytes) => (bytes, &[]),
            HashesRepr::Slice(hashes) => (&[], hashes),
        };
        let received = bytes.as_chunks::<32>().0.iter().map(|it| Hash(*it));
        received.chain(hashes.iter().copied())
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.len() as i32).to_le_bytes());
        self.iter().for_each(|hash| out.extend_from_slice(hash.as_bytes()));
    }

    pub(super) fn read(cursor: &mut Cursor<'a>, min: usize, max: usize) -> Result<Self, DecodeError> {
        let count = counted(cursor, min, max, 32)?;
        Ok(Self(HashesRepr::Wire(cursor.bytes(count * 32, "hashes")?)))
    }
}

impl<'a> From<&'a [Hash]> for Hashes<'a> {
    fn from(hashes: &'a [Hash]) -> Self {
        Self(HashesRepr::Slice(hashes))
    }
}

impl PartialEq for Hashes<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Hashes<'_> {}

impl fmt::Debug for Hashes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hashes({})", self.len())
    }
}

/// A count of items of a fixed size, which are all there.
fn counted(cursor: &mut Cursor<'_>, min: usize, max: usize, item_bytes: usize) -> Result<usize, DecodeError> {
    let count = cursor.count(max as i32, item_bytes, "item count")?;
    check_range(count as i64, min as i64, max as i64, "item count")?;
    Ok(count)
}

/// Declares a message that is a list of hashes.
macro_rules! hashes {
    ($(#[$doc:meta])* $name:ident, $type:ident, $min:literal, $max:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct $name<'a> {
            /// Which.
            pub hashes: Hashes<'a>,
        }

        impl Message for $name<'_> {
            const TYPE: MessageType = MessageType::$type;

            fn encoded_len(&self) -> usize {
                4 + self.hashes.len() * 32
            }

            fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                check_range(self.hashes.len() as i64, $min, $max as i64, "item count")?;
                self.hashes.write(out);
                Ok(())
            }
        }

        impl<'a> Decode<'a> for $name<'a> {
            fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
                let mut cursor = Cursor::new(payload);
                let hashes = Hashes::read(&mut cursor, $min, $max)?;
                cursor.finish(stringify!($name))?;
                Ok(Self { hashes })
            }
        }
    };
}

hashes! {
    /// Send me these items: 1 to [`MAX_ANNOUNCED`] ids that were announced. Each comes as the
    /// message that it is, or is named in a [`NotFound`].
    Fetch, FETCH, 1, MAX_ANNOUNCED
}

hashes! {
    /// Of the items that were fetched these are not there any more.
    NotFound, NOT_FOUND, 1, MAX_ANNOUNCED
}

hashes! {
    /// The hashes of the transactions in a pool, as the answer to a
    /// [`TxPoolRequest`](super::TxPoolRequest) for hashes only.
    PoolHashes, POOL_HASHES, 0, MAX_POOL_HASHES
}
