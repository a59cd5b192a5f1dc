//! What peers do wrong.

use core::fmt;

use crate::chain::InvalidObject;
use crate::wire::{DecodeError, FrameError, MessageType};

/// Something a peer did that no honest node does, or did badly.
///
/// It is charged to who sent it, never to who is named in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Offence {
    /// Bytes that cannot be cut into frames.
    Frame(FrameError),
    /// A payload that is not what its type says.
    Malformed {
        /// The type it was sent as.
        message_type: MessageType,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// A message that has no place in the protocol at this moment.
    OutOfPlace(MessageType),
    /// An answer that nobody asked for.
    Unsolicited(MessageType),
    /// A request was not answered in time.
    NoAnswer(MessageType),
    /// Something else than what was asked for.
    WrongAnswer(MessageType),
    /// A header that breaks the rules of the chain.
    InvalidHeader(InvalidObject),
    /// A block that breaks the rules of the chain.
    InvalidBlock(InvalidObject),
    /// Something that was to be passed on, and that breaks the rules of the chain.
    InvalidItem(MessageType),
    /// Something that breaks the rules of the chain, passed on by a version-1 node, which looks at the
    /// layout only before it does so.
    Unchecked(MessageType),
    /// More of something than the protocol allows; of what.
    TooMuch(&'static str),
    /// For the protocols of applications; what it was.
    Other(&'static str),
}

/// How much an [`Offence`] says about the peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Happens to honest peers under load or on a bad line.
    Minor,
    /// No honest peer does it, but a broken one may.
    Serious,
    /// Only an attacker does it, or a peer that cannot be talked with.
    Grave,
}

impl Offence {
    /// How much it says about the peer.
    pub const fn severity(&self) -> Severity {
        match self {
            // A peer that is killed while it writes leaves a frame cut short. A version-1 node passes
            // on before its application has looked (`relay_rules` of the wire format).
            Self::NoAnswer(_) | Self::Unchecked(_) | Self::Frame(FrameError::Truncated { .. }) => {
                Severity::Minor
            }
            Self::Malformed { .. }
            | Self::OutOfPlace(_)
            | Self::Unsolicited(_)
            | Self::WrongAnswer(_)
            | Self::InvalidItem(_)
            | Self::TooMuch(_)
            | Self::Other(_) => Severity::Serious,
            Self::Frame(_) | Self::InvalidHeader(_) | Self::InvalidBlock(_) => Severity::Grave,
        }
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::Malformed { message_type, error } => write!(f, "malformed {message_type}: {error}"),
            Self::OutOfPlace(message_type) => write!(f, "{message_type} at the wrong moment"),
            Self::Unsolicited(message_type) => write!(f, "{message_type} that nobody asked for"),
            Self::NoAnswer(message_type) => write!(f, "no {message_type} in time"),
            Self::WrongAnswer(message_type) => write!(f, "{message_type} that is not what was asked for"),
            Self::InvalidHeader(error) => write!(f, "invalid header: {error}"),
            Self::InvalidBlock(error) => write!(f, "invalid block: {error}"),
            Self::InvalidItem(message_type) => write!(f, "an invalid {message_type}"),
            Self::Unchecked(message_type) => write!(f, "passed on an invalid {message_type}"),
            Self::TooMuch(what) => write!(f, "too much: {what}"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// What a behaviour answers when a message breaks its protocol.
///
/// The offence is charged to the sender; a fatal one also ends the connection, after which nothing
/// more from it is delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Violation {
    pub(crate) offence: Offence,
    pub(crate) is_fatal: bool,
}

impl Violation {
    /// Charges the sender and goes on.
    pub const fn tolerable(offence: Offence) -> Self {
        Self { offence, is_fatal: false }
    }

    /// Charges the sender and closes the connection.
    pub const fn fatal(offence: Offence) -> Self {
        Self { offence, is_fatal: true }
    }

    /// What was done.
    pub const fn offence(&self) -> Offence {
        self.offence
    }

    /// Whether it ends the connection.
    pub const fn is_fatal(&self) -> bool {
        self.is_fatal
    }
}
