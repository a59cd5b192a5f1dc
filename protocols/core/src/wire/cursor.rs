//! Reading fields off a payload, each check with the name of the field it is about.

use super::error::{DecodeError, Problem};
use crate::hash::Hash;

/// What is left of a payload.
///
/// Every length and count is compared with the bytes that are left before anything is done with
/// it, so nothing is ever reserved for what a peer only claims.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

type Result<T> = core::result::Result<T, DecodeError>;

impl<'a> Cursor<'a> {
    pub(crate) const fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn bytes(&mut self, len: usize, field: &'static str) -> Result<&'a [u8]> {
        let Some((bytes, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.cut(len, field));
        };
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N]> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else {
            return Err(self.cut(N, field));
        };
        self.rest = rest;
        Ok(*bytes)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8> {
        let [byte] = self.array(field)?;
        Ok(byte)
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16> {
        self.array(field).map(u16::from_le_bytes)
    }

    pub(crate) fn i32(&mut self, field: &'static str) -> Result<i32> {
        self.array(field).map(i32::from_le_bytes)
    }

    pub(crate) fn i64(&mut self, field: &'static str) -> Result<i64> {
        self.array(field).map(i64::from_le_bytes)
    }

    pub(crate) fn hash(&mut self, field: &'static str) -> Result<Hash> {
        self.array(field).map(Hash)
    }

    /// An `i32` between `min` and `max`.
    pub(crate) fn i32_within(&mut self, min: i32, max: i32, field: &'static str) -> Result<i32> {
        let found = self.i32(field)?;
        check_range(found.into(), min.into(), max.into(), field)?;
        Ok(found)
    }

    /// An `i64` that is at least `min`.
    pub(crate) fn i64_from(&mut self, min: i64, field: &'static str) -> Result<i64> {
        let found = self.i64(field)?;
        check_range(found, min, i64::MAX, field)?;
        Ok(found)
    }

    /// A byte that is 0 or 1.
    pub(crate) fn flag(&mut self, field: &'static str) -> Result<bool> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            found => {
                let problem = Problem::NeitherNor { found: found.into(), one: 0, other: 1 };
                Err(DecodeError::new(field, problem))
            }
        }
    }

    /// An `i32` byte count between `min` and `max`, then so many bytes.
    pub(crate) fn blob(&mut self, min: i32, max: i32, field: &'static str) -> Result<&'a [u8]> {
        let len = self.i32_within(min, max, field)?;
        self.bytes(to_usize(len), field)
    }

    /// An `i32` count of items, at most `max`, that take at least `item_bytes` each.
    pub(crate) fn count(&mut self, max: i32, item_bytes: usize, field: &'static str) -> Result<usize> {
        let count = to_usize(self.i32_within(0, max, field)?);
        let needed = count.saturating_mul(item_bytes);
        if needed > self.rest.len() {
            return Err(self.cut(needed, field));
        }
        Ok(count)
    }

    /// An `i32` byte count, then so much UTF-8 text that is not blank.
    pub(crate) fn text(&mut self, field: &'static str) -> Result<&'a str> {
        let bytes = self.blob(0, i32::MAX, field)?;
        let text = utf8(bytes, field)?;
        check_not_blank(text, field)?;
        Ok(text)
    }

    /// A 7-bit little-endian length in at most five bytes, then so much UTF-8 text.
    pub(crate) fn short_text(&mut self, field: &'static str) -> Result<&'a str> {
        let mut len = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8(field)?;
            len |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let shortest = shift == 0 || byte != 0;
                let fits = len <= i32::MAX as u64;
                if !shortest || !fits {
                    break;
                }
                return utf8(self.bytes(len as usize, field)?, field);
            }
        }
        Err(DecodeError::new(field, Problem::BadPrefix))
    }

    /// Nothing may be left. `message` names what ended.
    pub(crate) fn finish(self, message: &'static str) -> Result<()> {
        match self.rest.len() as u64 {
            0 => Ok(()),
            bytes => Err(DecodeError::new(message, Problem::Trailing { bytes })),
        }
    }

    fn cut(&self, needed: usize, field: &'static str) -> DecodeError {
        DecodeError::new(field, Problem::Cut { needed: needed as u64, left: self.rest.len() as u64 })
    }
}

/// A count that was checked not to be negative.
fn to_usize(count: i32) -> usize {
    usize::try_from(count).unwrap_or(0)
}

pub(crate) fn utf8<'a>(bytes: &'a [u8], field: &'static str) -> Result<&'a str> {
    core::str::from_utf8(bytes).map_err(|_| DecodeError::new(field, Problem::NotUtf8))
}

pub(crate) fn check_not_blank(text: &str, field: &'static str) -> Result<()> {
    if text.trim().is_empty() {
        return Err(DecodeError::new(field, Problem::Blank));
    }
    Ok(())
}

pub(crate) const fn check_range(found: i64, min: i64, max: i64, field: &'static str) -> Result<()> {
    if min <= found && found <= max {
        return Ok(());
    }
    Err(DecodeError::new(field, Problem::OutOfRange { found, min, max }))
}

/// How many bytes [`Cursor::short_text`] uses for the length `len`.
pub(crate) const fn short_prefix_len(len: usize) -> usize {
    let bits = usize::BITS - len.leading_zeros();
    if bits == 0 { 1 } else { bits.div_ceil(7) as usize }
}

/// Appends a length the way [`Cursor::short_text`] reads it.
pub(crate) fn put_short_prefix(out: &mut alloc::vec::Vec<u8>, mut len: usize) {
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
}
