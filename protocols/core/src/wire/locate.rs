//! What this implementation adds for the synchronisation: Locate.

use alloc::vec::Vec;

use super::announce::Hashes;
use super::cursor::{Cursor, check_range};
use super::error::{DecodeError, EncodeError};
use super::message::{Decode, Message};
use super::types::MessageType;

/// The most hashes in a [`Locate`] (Bitcoin Core).
pub const MAX_LOCATOR_HASHES: usize = 101;

/// Send me [`Headers`](super::Headers) of your best chain, after the first of these blocks that is on
/// it; none if there is no such block. So two nodes find in one question where their chains part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Locate<'a> {
    /// 1 to [`MAX_LOCATOR_HASHES`] blocks, the last one first.
    pub locator: Hashes<'a>,
    /// How many headers at most, from 1. More than fit a message are served as those that fit.
    pub max_headers: i32,
}

impl Message for Locate<'_> {
    const TYPE: MessageType = MessageType::LOCATE;

    fn encoded_len(&self) -> usize {
        8 + self.locator.len() * 32
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        check_range(self.locator.len() as i64, 1, MAX_LOCATOR_HASHES as i64, "item count")?;
        check_range(self.max_headers.into(), 1, i32::MAX.into(), "max_headers")?;
        self.locator.write(out);
        out.extend_from_slice(&self.max_headers.to_le_bytes());
        Ok(())
    }
}

impl<'a> Decode<'a> for Locate<'a> {
    fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(payload);
        let locator = Hashes::read(&mut cursor, 1, MAX_LOCATOR_HASHES)?;
        let max_headers = cursor.i32_within(1, i32::MAX, "max_headers")?;
        cursor.finish("Locate")?;
        Ok(Self { locator, max_headers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Hash;
    use crate::wire::Frame;

    fn frame(hashes: &[Hash], max_headers: i32) -> Result<Frame, EncodeError> {
        Frame::encode(&Locate { locator: hashes.into(), max_headers })
    }

    #[test]
    fn a_locate_is_its_count_its_hashes_and_its_maximum() {
        let hashes = [Hash([1; 32]), Hash([2; 32])];
        let frame = frame(&hashes, 2000).unwrap();
        let mut bytes = [2, 0, 0, 0].to_vec();
        bytes.extend([1; 32]);
        bytes.extend([2; 32]);
        bytes.extend([0xd0, 7, 0, 0]);
        assert_eq!((frame.message_type().byte(), frame.payload()), (0x50, &bytes[..]));
        let read = Locate::decode(&bytes).unwrap();
        assert_eq!(read, Locate { locator: (&hashes[..]).into(), max_headers: 2000 });
        for end in 0..bytes.len() {
            assert!(Locate::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        bytes.push(0);
        assert!(Locate::decode(&bytes).is_err(), "a byte too many");
    }

    #[test]
    fn what_cannot_be_asked_is_neither_written_nor_read() {
        let many = [Hash([1; 32]); MAX_LOCATOR_HASHES + 1];
        assert!(frame(&many[1..], 1).is_ok());
        assert!(frame(&many, 1).is_err() && frame(&[], 1).is_err() && frame(&many[1..], 0).is_err());
        let payload = |count: i32, hashes: usize, max_headers: i32| {
            let mut bytes = count.to_le_bytes().to_vec();
            bytes.resize(4 + hashes * 32, 1);
            bytes.extend(max_headers.to_le_bytes());
            bytes
        };
        assert!(Locate::decode(&payload(101, 101, 1)).is_ok());
        for (count, hashes, max_headers) in
            [(102, 102, 1), (0, 0, 1), (-1, 1, 1), (2, 1, 1), (i32::MAX, 1, 1), (1, 1, 0), (1, 1, -1)]
        {
            assert!(Locate::decode(&payload(count, hashes, max_headers)).is_err(), "{count} {max_headers}");
        }
    }
}
