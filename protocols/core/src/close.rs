//! Why connections end and dials fail.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::fmt;

use crate::offence::Offence;
use crate::security::SecurityError;
use crate::wire::FrameError;

/// Why a connection ended. One type for both ends: what one of them decides travels to the other
/// in an Error message, if that peer understands it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// This node is stopping.
    Shutdown,
    /// The application asked for it.
    Requested,
    /// There is another connection with the same peer, and that one is kept.
    Duplicate,
    /// The peer is this node itself.
    SelfConnection,
    /// The peer belongs to another chain.
    WrongChain,
    /// The peer speaks no version of the protocol that this node speaks.
    WrongVersion,
    /// Another peer answered than the one that the address or the transport names.
    WrongPeer,
    /// No place is left for the connection.
    Full,
    /// A behaviour refused the peer; why.
    Refused(&'static str),
    /// The peer did not say who it is in time.
    OpeningTimeout,
    /// The peer gave no sign of life.
    PingTimeout,
    /// The peer took too little of what was sent to it.
    SlowReader,
    /// The peer took too long for a frame that it had begun.
    SlowSender,
    /// The peer broke the protocol.
    Violation(Offence),
    /// The peer closed the stream, between two frames.
    EndOfStream,
    /// The connection could not be secured, or did not stay so.
    Insecure(SecurityError),
    /// The stream broke.
    Transport(Box<str>),
    /// The peer said why before it closed.
    Remote(Box<Self>),
    /// The peer said something else before it closed.
    RemoteText(Box<str>),
}

impl CloseReason {
    /// A word for logs, metrics and the Error message. Never changes for a given reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::Requested => "requested",
            Self::Duplicate => "duplicate",
            Self::SelfConnection => "self-connection",
            Self::WrongChain => "wrong-chain",
            Self::WrongVersion => "wrong-version",
            Self::WrongPeer => "wrong-peer",
            Self::Full => "full",
            Self::Refused(_) => "refused",
            Self::OpeningTimeout => "opening-timeout",
            Self::PingTimeout => "ping-timeout",
            Self::SlowReader => "slow-reader",
            Self::SlowSender => "slow-sender",
            Self::Violation(_) => "violation",
            Self::EndOfStream => "end-of-stream",
            Self::Insecure(_) => "insecure",
            Self::Transport(_) => "transport",
            Self::Remote(_) | Self::RemoteText(_) => "remote",
        }
    }

    /// The text of the Error message that tells the peer: code, colon, sentence.
    pub(crate) fn to_error_text(&self) -> String {
        let mut text = format!("{}: {self}", self.code());
        while text.len() > 1024 {
            text.pop();
        }
        text
    }

    /// What the text of a peer's Error message means.
    pub(crate) fn from_error_text(text: &str) -> Self {
        let known = match text.split_once(": ").map_or(text, |(code, _)| code) {
            "shutdown" => Self::Shutdown,
            "requested" => Self::Requested,
            "duplicate" => Self::Duplicate,
            "self-connection" => Self::SelfConnection,
            "wrong-chain" => Self::WrongChain,
            "wrong-version" => Self::WrongVersion,
            "wrong-peer" => Self::WrongPeer,
            "full" => Self::Full,
            "opening-timeout" => Self::OpeningTimeout,
            "ping-timeout" => Self::PingTimeout,
            "slow-reader" => Self::SlowReader,
            "slow-sender" => Self::SlowSender,
            _ => return Self::RemoteText(printable(text)),
        };
        Self::Remote(Box::new(known))
    }

    /// Whether the peer is to be told: it may not know, and this node decided it.
    pub(crate) const fn is_ours(&self) -> bool {
        !matches!(
            self,
            Self::EndOfStream
                | Self::Insecure(_)
                | Self::Transport(_)
                | Self::Remote(_)
                | Self::RemoteText(_)
        )
    }
}

impl From<FrameError> for CloseReason {
    fn from(error: FrameError) -> Self {
        Self::Violation(Offence::Frame(error))
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shutdown => f.write_str("the node is stopping"),
            Self::Requested => f.write_str("closed on request"),
            Self::Duplicate => f.write_str("there is another connection with this peer"),
            Self::SelfConnection => f.write_str("the peer is this node itself"),
            Self::WrongChain => f.write_str("the peer belongs to another chain"),
            Self::WrongVersion => f.write_str("the peer speaks no common protocol version"),
            Self::WrongPeer => f.write_str("another peer answered than the one that was expected"),
            Self::Full => f.write_str("no place is left for the connection"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::OpeningTimeout => f.write_str("the peer did not say who it is in time"),
            Self::PingTimeout => f.write_str("the peer gave no sign of life"),
            Self::SlowReader => f.write_str("the peer took too little of what was sent to it"),
            Self::SlowSender => f.write_str("the peer took too long for a frame that it had begun"),
            Self::Violation(offence) => offence.fmt(f),
            Self::EndOfStream => f.write_str("the peer closed the stream"),
            Self::Insecure(error) => error.fmt(f),
            Self::Transport(error) => write!(f, "the stream broke: {error}"),
            Self::Remote(reason) => write!(f, "the peer closed: {reason}"),
            Self::RemoteText(text) => write!(f, "the peer closed: {text}"),
        }
    }
}

/// What a peer wrote, safe for a terminal and a log line.
fn printable(text: &str) -> Box<str> {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(256).collect::<String>().into()
}

/// Why a dial came to nothing. The peer was never established.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DialError {
    /// There is already a connection with this address, or a dial to it under way.
    AlreadyConnected,
    /// A behaviour refused the address; why.
    Refused(&'static str),
    /// No place is left for the connection.
    Full,
    /// No transport can dial this kind of address.
    Unsupported,
    /// The transport was not connected in time.
    Timeout,
    /// The transport failed.
    Transport(Box<str>),
    /// The transport was connected, but the connection ended before the peer was established.
    Closed(CloseReason),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyConnected => f.write_str("already connected with this address"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Full => f.write_str("no place is left for the connection"),
            Self::Unsupported => f.write_str("no transport for this kind of address"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Transport(error) => f.write_str(error),
            Self::Closed(reason) => reason.fmt(f),
        }
    }
}

impl core::error::Error for DialError {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn a_reason_travels_as_text() {
        for reason in
            [CloseReason::Shutdown, CloseReason::WrongChain, CloseReason::SlowReader, CloseReason::SlowSender]
        {
            let text = reason.to_error_text();
            assert_eq!(CloseReason::from_error_text(&text), CloseReason::Remote(Box::new(reason)));
        }
    }

    #[test]
    fn what_a_peer_writes_cannot_draw_on_the_terminal() {
        let reason = CloseReason::from_error_text("\x1b[2Jbye\n");
        assert_eq!(reason, CloseReason::RemoteText(" [2Jbye ".into()));
        assert!(CloseReason::from_error_text(&"x".repeat(1000)).to_string().len() < 300);
    }
}
