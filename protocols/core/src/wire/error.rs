//! Why bytes are no frames or not a message, and why a message cannot become bytes.

use core::fmt;

use super::chunk::ChunkError;
use super::types::{MAX_LENGTH, MessageType};

/// Why a payload is not the message its type byte announces.
///
/// Nothing was kept of the payload. The sender broke the protocol: no honest node sends this.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecodeError {
    /// Which field of the message.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Problem {
    /// The payload ends before the field does.
    Cut {
        /// Bytes the field needs.
        needed: u64,
        /// Bytes that are left.
        left: u64,
    },
    /// A number outside its range.
    OutOfRange {
        /// What the payload says.
        found: i64,
        /// The smallest legal value.
        min: i64,
        /// The largest legal value.
        max: i64,
    },
    /// A number that must be one of two.
    NeitherNor {
        /// What the payload says.
        found: i64,
        /// One legal value.
        one: i64,
        /// The other.
        other: i64,
    },
    /// Two counts of the same list that differ.
    Differs {
        /// What the payload says.
        found: i64,
        /// What it said before.
        expected: i64,
    },
    /// Text that is not UTF-8.
    NotUtf8,
    /// Text without a character that is not white space.
    Blank,
    /// A length prefix that is not written in the shortest way, or does not fit 32 bits.
    BadPrefix,
    /// Bytes after the end of the message.
    Trailing {
        /// How many.
        bytes: u64,
    },
    /// Keys that are not in ascending order, or twice there.
    OutOfOrder,
    /// The bytes are not a postcard encoding of the value.
    NotPostcard,
    /// The value was not encoded in the one canonical way.
    NotCanonical,
    /// No message has this type.
    UnknownType {
        /// The type byte.
        found: u8,
    },
}

impl DecodeError {
    pub(crate) const fn new(field: &'static str, problem: Problem) -> Self {
        Self { field, problem }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = self.field;
        match self.problem {
            Problem::Cut { needed, left } => {
                write!(f, "{field} is cut short: it needs {needed} bytes and {left} are left")
            }
            Problem::OutOfRange { found, min, max } if max == i64::MAX => {
                write!(f, "{field} is {found}, it must be at least {min}")
            }
            Problem::OutOfRange { found, min, max } if min == max => {
                write!(f, "{field} is {found}, it must be {min}")
            }
            Problem::OutOfRange { found, min, max } => {
                write!(f, "{field} is {found}, it must be between {min} and {max}")
            }
            Problem::NeitherNor { found, one, other } => {
                write!(f, "{field} is {found}, it must be {one} or {other}")
            }
            Problem::Differs { found, expected } => {
                write!(f, "{field} is {found}, but {expected} was announced before")
            }
            Problem::NotUtf8 => write!(f, "{field} is not valid UTF-8"),
            Problem::Blank => write!(f, "{field} must hold a character that is not white space"),
            Problem::BadPrefix => {
                write!(f, "the length of {field} is not a shortest-form 7-bit number below 2^31")
            }
            Problem::Trailing { bytes } => write!(f, "{bytes} bytes follow after the end of {field}"),
            Problem::OutOfOrder => write!(f, "{field} must be in ascending order, each at most once"),
            Problem::NotPostcard => write!(f, "{field} is not a valid postcard encoding"),
            Problem::NotCanonical => {
                write!(f, "{field} has a shorter or other encoding than its canonical one")
            }
            Problem::UnknownType { found } => write!(f, "{field} 0x{found:02x} is not known"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Why a message cannot be put on the wire: a receiver would refuse it. Nothing was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EncodeError {
    /// A field holds what the format does not allow.
    Invalid(DecodeError),
    /// The payload is larger than the type may carry.
    TooLarge {
        /// Bytes of the payload.
        bytes: u64,
        /// The limit of the type.
        max_bytes: u32,
    },
    /// The value refused to be serialized.
    Serialize,
}

impl From<DecodeError> for EncodeError {
    fn from(error: DecodeError) -> Self {
        Self::Invalid(error)
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(error) => error.fmt(f),
            Self::TooLarge { bytes, max_bytes } => {
                write!(f, "a payload of {bytes} bytes is too large: this type carries at most {max_bytes}")
            }
            Self::Serialize => f.write_str("the value could not be serialized"),
        }
    }
}

impl core::error::Error for EncodeError {}

/// Why a stream of bytes cannot be read on. Fatal: there is no way to find the next frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FrameError {
    /// The length field is not between 1 and 16 777 216.
    Length {
        /// What it says.
        found: i32,
    },
    /// Nobody knows this type, or it was not announced to us.
    UnknownType {
        /// The type byte.
        found: u8,
    },
    /// A payload larger than its type may carry.
    TooLarge {
        /// The type.
        message_type: MessageType,
        /// Bytes of payload that were announced.
        bytes: u32,
        /// The limit of the type.
        max_bytes: u32,
    },
    /// The first frame of a connection is larger than a Handshake.
    FirstFrame {
        /// Bytes of payload that were announced.
        bytes: u32,
        /// The limit of a first frame.
        max_bytes: u32,
    },
    /// Something is wrong with a chunk.
    Chunk(ChunkError),
    /// The stream ended inside a frame.
    Truncated {
        /// Bytes of the frame that did arrive.
        bytes: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { found } => {
                write!(f, "frame length {found} is not between 1 and {MAX_LENGTH}")
            }
            Self::UnknownType { found } => write!(f, "unknown message type 0x{found:02x}"),
            Self::TooLarge { message_type, bytes, max_bytes } => {
                write!(f, "{message_type} of {bytes} bytes, at most {max_bytes} are allowed")
            }
            Self::FirstFrame { bytes, max_bytes } => {
                write!(f, "first frame of {bytes} bytes, a handshake has at most {max_bytes}")
            }
            Self::Chunk(error) => error.fmt(f),
            Self::Truncated { bytes } => write!(f, "the stream ended after {bytes} bytes of a frame"),
        }
    }
}

impl core::error::Error for FrameError {}
