//! Block download: GetHeaders, Headers, GetBlock, Block.

use alloc::vec::Vec;
use core::fmt;

use super::cursor::{Cursor, check_range};
use super::error::{DecodeError, EncodeError, Problem};
use super::message::{Decode, Message};
use super::types::{MAX_PAYLOAD, MessageType};
use crate::hash::Hash;

/// The most headers that one [`Headers`] may hold. A request for more is served with this many.
pub const MAX_HEADERS: usize = 2000;
/// The largest single header, in bytes (10 MiB: the reference's limit).
pub const MAX_HEADER_BYTES: usize = 10_485_760;

/// Asks for the headers that follow a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GetHeaders {
    /// The last block the asker has; [`Hash::ZERO`] if it has none.
    pub locator: Hash,
    /// Where to stop, if not at the tip.
    pub stop: Option<Hash>,
    /// How many at most, from 1.
    pub max_headers: i32,
}

impl Message for GetHeaders {
    const TYPE: MessageType = MessageType::GET_HEADERS;

    fn encoded_len(&self) -> usize {
        if self.stop.is_some() { 69 } else { 37 }
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        check_range(self.max_headers.into(), 1, i32::MAX.into(), "max_headers")?;
        out.extend_from_slice(self.locator.as_bytes());
        out.push(self.stop.is_some().into());
        if let Some(stop) = &self.stop {
            out.extend_from_slice(stop.as_bytes());
        }
        out.extend_from_slice(&self.max_headers.to_le_bytes());
        Ok(())
    }
}

impl Decode<'_> for GetHeaders {
    fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(payload);
        let locator = cursor.hash("locator_hash")?;
        let stop = match cursor.flag("has_stop")? {
            true => Some(cursor.hash("stop_hash")?),
            false => None,
        };
        let max_headers = cursor.i32_within(1, i32::MAX, "max_headers")?;
        cursor.finish("GetHeaders")?;
        Ok(Self { locator, stop, max_headers })
    }
}

/// Headers, each as the bytes it was sent in, at most [`MAX_HEADERS`].
#[derive(Clone, Copy)]
pub struct Headers<'a>(HeadersRepr<'a>);

#[derive(Clone, Copy)]
enum HeadersRepr<'a> {
    /// Checked bytes of a received message.
    Wire { count: usize, bytes: &'a [u8] },
    /// Headers to be sent, one by one.
    Slices(&'a [&'a [u8]]),
    /// Headers to be sent, all of one size and one after the other.
    Packed { header_bytes: usize, bytes: &'a [u8] },
}

impl<'a> Headers<'a> {
    /// These headers.
    pub const fn new(headers: &'a [&'a [u8]]) -> Self {
        Self(HeadersRepr::Slices(headers))
    }

    /// The headers of `header_bytes` each that stand one after the other in `bytes`. What is left
    /// over at the end is not sent.
    pub const fn packed(header_bytes: usize, bytes: &'a [u8]) -> Self {
        Self(HeadersRepr::Packed { header_bytes: if header_bytes == 0 { 1 } else { header_bytes }, bytes })
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        match self.0 {
            HeadersRepr::Wire { count, .. } => count,
            HeadersRepr::Slices(headers) => headers.len(),
            HeadersRepr::Packed { header_bytes, bytes } => bytes.len() / header_bytes,
        }
    }

    /// Whether there is none: the answer of a node that has nothing newer.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The headers, in the order of the message.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (slices, packed, mut cursor): (&[&[u8]], _, _) = match self.0 {
            HeadersRepr::Wire { bytes, .. } => (&[], [].chunks_exact(1), Cursor::new(bytes)),
            HeadersRepr::Slices(headers) => (headers, [].chunks_exact(1), Cursor::new(&[])),
            HeadersRepr::Packed { header_bytes, bytes } => {
                (&[], bytes.chunks_exact(header_bytes), Cursor::new(&[]))
            }
        };
        slices
            .iter()
            .copied()
            .chain(packed)
            // The bytes were read once before, so the first failure is their end.
            .chain(core::iter::from_fn(move || read_header(&mut cursor).ok()))
    }
}

impl PartialEq for Headers<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers<'_> {}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Headers({})", self.len())
    }
}

fn read_header<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], DecodeError> {
    cursor.blob(0, MAX_HEADER_BYTES as i32, "header")
}

impl Message for Headers<'_> {
    const TYPE: MessageType = MessageType::HEADERS;

    fn encoded_len(&self) -> usize {
        4 + match self.0 {
            HeadersRepr::Wire { bytes, .. } => bytes.len(),
            HeadersRepr::Slices(headers) => headers.iter().map(|header| 4 + header.len()).sum(),
            HeadersRepr::Packed { header_bytes, .. } => self.len() * (4 + header_bytes),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        check_range(self.len() as i64, 0, MAX_HEADERS as i64, "header count")?;
        for header in self.iter() {
            check_range(header.len() as i64, 0, MAX_HEADER_BYTES as i64, "header length")?;
        }
        let bytes = self.encoded_len() as u64;
        if bytes > MAX_PAYLOAD.into() {
            return Err(EncodeError::TooLarge { bytes, max_bytes: MAX_PAYLOAD });
        }
        out.extend_from_slice(&(self.len() as i32).to_le_bytes());
        for header in self.iter() {
            out.extend_from_slice(&(header.len() as i32).to_le_bytes());
            out.extend_from_slice(header);
        }
        Ok(())
    }
}

impl<'a> Decode<'a> for Headers<'a> {
    fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(payload);
        let count = cursor.count(MAX_HEADERS as i32, 4, "header count")?;
        let bytes = cursor.rest();
        for _ in 0..count {
            read_header(&mut cursor)?;
        }
        cursor.finish("Headers")?;
        Ok(Self(HeadersRepr::Wire { count, bytes }))
    }
}

/// Asks for a block by its hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GetBlock {
    /// The hash of the block's header.
    pub hash: Hash,
}

impl Message for GetBlock {
    const TYPE: MessageType = MessageType::GET_BLOCK;

    fn encoded_len(&self) -> usize {
        32
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(self.hash.as_bytes());
        Ok(())
    }
}

impl Decode<'_> for GetBlock {
    fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(payload);
        let hash = cursor.hash("block_hash")?;
        cursor.finish("GetBlock")?;
        Ok(Self { hash })
    }
}

/// Declares a message whose payload is one object, as its chain serialized it.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident, $type:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct $name<'a> {
            /// The object, not looked into.
            pub bytes: &'a [u8],
        }

        impl Message for $name<'_> {
            const TYPE: MessageType = MessageType::$type;

            fn encoded_len(&self) -> usize {
                self.bytes.len()
            }

            fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                $crate::wire::blocks::check_object::<Self>(self.bytes, $field)?;
                out.extend_from_slice(self.bytes);
                Ok(())
            }
        }

        impl<'a> Decode<'a> for $name<'a> {
            fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
                $crate::wire::blocks::check_object::<Self>(bytes, $field)?;
                Ok(Self { bytes })
            }
        }
    };
}

pub(super) use object;

pub(super) fn check_object<M: Message>(bytes: &[u8], field: &'static str) -> Result<(), DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::new(field, Problem::Cut { needed: 1, left: 0 }));
    }
    check_range(bytes.len() as i64, 1, M::MAX_PAYLOAD.into(), field)
}

object! {
    /// A block, asked for with [`GetBlock`] or announced.
    Block, BLOCK, "block"
}
