//! Messages of applications: any serde type on a type byte of its own, in strict postcard.

use alloc::vec::Vec;

use postcard::ser_flavors::{Flavor, Size};
use serde::{Deserialize, Serialize};

use super::error::{DecodeError, EncodeError, Problem};
use super::message::{Decode, Message};
use super::types::{MAX_PAYLOAD, MessageType, Priority};

/// Makes any serde type a message of an application's own protocol.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use spacetime_core::wire::{ApplicationMessage, Frame};
///
/// #[derive(Serialize, Deserialize)]
/// struct Vote {
///     round: u32,
/// }
///
/// impl ApplicationMessage for Vote {
///     const TYPE_BYTE: u8 = 0x80;
///     const MAX_BYTES: u32 = 16;
/// }
///
/// let frame = Frame::encode(&Vote { round: 300 }).unwrap();
/// assert_eq!(frame.bytes()[..], [3, 0, 0, 0, 0x80, 0xac, 0x02]);
/// ```
///
/// The payload is [postcard](https://postcard.jamesmunns.com/wire-format), strictly: bytes after
/// the value and any second encoding of the same value are refused, so equal values have equal
/// bytes and no peer can dress one message up as many.
///
/// Serde writes a slice or a `Vec` of bytes one by one unless told otherwise, ten times slower: give
/// such fields `#[serde(with = "serde_bytes")]`. The bytes on the wire are the same.
pub trait ApplicationMessage: Serialize {
    /// The type byte, `0x80..=0xEF`; anything else fails the build.
    const TYPE_BYTE: u8;
    /// The largest payload, in bytes. Readers refuse more before they buffer it.
    const MAX_BYTES: u32;
    /// In which of a connection's queues it waits.
    const PRIORITY: Priority = Priority::Normal;
}

impl<M: ApplicationMessage> Message for M {
    const TYPE: MessageType = MessageType::application(M::TYPE_BYTE);
    const MAX_PAYLOAD: u32 = checked_payload(M::MAX_BYTES);
    const PRIORITY: Priority = M::PRIORITY;

    fn encoded_len(&self) -> usize {
        postcard::serialize_with_flavor(self, Size::default()).unwrap_or(0)
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        let written = postcard::serialize_with_flavor(self, Append(out)).map_err(|_| EncodeError::Serialize);
        let bytes = (out.len() - start) as u64;
        let checked = written.and_then(|()| {
            if bytes > M::MAX_BYTES.into() {
                return Err(EncodeError::TooLarge { bytes, max_bytes: M::MAX_BYTES });
            }
            Ok(())
        });
        if checked.is_err() {
            out.truncate(start);
        }
        checked
    }
}

#[track_caller]
const fn checked_payload(max_bytes: u32) -> u32 {
    assert!(max_bytes <= MAX_PAYLOAD, "a frame cannot carry a payload this large");
    max_bytes
}

impl<'a, M: ApplicationMessage + Deserialize<'a>> Decode<'a> for M {
    fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        strict_postcard(payload, "payload")
    }
}

/// Reads a value that must fill `bytes` and be encoded in the one canonical way.
pub(super) fn strict_postcard<'a, T: Deserialize<'a> + Serialize>(
    bytes: &'a [u8],
    field: &'static str,
) -> Result<T, DecodeError> {
    let (value, rest) =
        postcard::take_from_bytes::<T>(bytes).map_err(|_| DecodeError::new(field, Problem::NotPostcard))?;
    if !rest.is_empty() {
        return Err(DecodeError::new(field, Problem::Trailing { bytes: rest.len() as u64 }));
    }
    // postcard reads over-long varints; only writing the value again finds them.
    postcard::serialize_with_flavor(&value, Expect(bytes))
        .map_err(|_| DecodeError::new(field, Problem::NotCanonical))?;
    Ok(value)
}

/// Writes to the end of a buffer.
struct Append<'a>(&'a mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Writes nothing and fails at the first byte that differs from what is expected.
struct Expect<'a>(&'a [u8]);

impl Flavor for Expect<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        let (first, rest) = self.0.split_first().ok_or(postcard::Error::SerializeBufferFull)?;
        self.0 = rest;
        if *first == byte { Ok(()) } else { Err(postcard::Error::SerializeBufferFull) }
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0 = self.0.strip_prefix(bytes).ok_or(postcard::Error::SerializeBufferFull)?;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(postcard::Error::SerializeBufferFull) }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec;

    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Note {
        number: u32,
        text: String,
        more: Option<bool>,
    }

    impl ApplicationMessage for Note {
        const TYPE_BYTE: u8 = 0x81;
        const MAX_BYTES: u32 = 12;
    }

    fn note(text: &str) -> Note {
        Note { number: 1, text: text.into(), more: None }
    }

    #[test]
    fn goes_both_ways() {
        let mut bytes = Vec::new();
        note("hi").encode(&mut bytes).expect("fits");
        assert_eq!(bytes, [1, 2, b'h', b'i', 0]);
        assert_eq!(note("hi").encoded_len(), bytes.len());
        assert_eq!(Note::decode(&bytes), Ok(note("hi")));
    }

    #[test]
    fn only_the_canonical_bytes_decode() {
        for (bytes, problem) in [
            (&[1, 2, b'h', b'i', 0, 0][..], Problem::Trailing { bytes: 1 }),
            (&[1, 2, b'h', b'i'], Problem::NotPostcard),
            (&[0x81, 0x00, 2, b'h', b'i', 0], Problem::NotCanonical),
            (&[1, 0x82, 0x00, b'h', b'i', 0], Problem::NotCanonical),
            (&[1, 2, b'h', 0xff, 0], Problem::NotPostcard),
            (&[1, 2, b'h', b'i', 2], Problem::NotPostcard),
        ] {
            assert_eq!(Note::decode(bytes), Err(DecodeError::new("payload", problem)), "{bytes:?}");
        }
    }

    #[test]
    fn a_value_over_the_limit_leaves_nothing_behind() {
        let mut bytes = vec![7];
        let error = EncodeError::TooLarge { bytes: 13, max_bytes: 12 };
        assert_eq!(note("0123456789").encode(&mut bytes), Err(error));
        assert_eq!(bytes, [7]);
    }
}
