//! Why a connection cannot be secured.

use core::fmt;

use crate::close::CloseReason;

/// Why a transport that encrypts has refused a peer, or was refused by it.
///
/// Errors of transports carry it inside of their `io::Error`, so drivers know the reason by name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum SecurityError {
    /// The peer does not encrypt.
    Plaintext,
    /// The peer encrypts, and this node does not.
    Encrypted,
    /// There is no version of the encryption that both ends speak.
    WrongVersion,
    /// There is no cipher, key exchange or signature that both ends know.
    Incompatible,
    /// The peer speaks another protocol inside of the encryption, or does not say which one.
    WrongProtocol,
    /// The peer does not say who it is.
    NoCertificate,
    /// The certificate is broken, too long, or one of too many.
    MalformedCertificate,
    /// The certificate is for another kind of key than Ed25519.
    WrongKeyType,
    /// The certificate is for later.
    NotYetValid,
    /// The certificate was for earlier.
    Expired,
    /// The certificate is signed by somebody who is not trusted.
    UntrustedIssuer,
    /// No key of the certificate's chain is pinned.
    NotPinned,
    /// The peer is not on the list of those that are allowed.
    NotAllowed,
    /// Another peer answered than the one that the address names.
    WrongPeer,
    /// The peer does not hold the key of its certificate, or something was changed on the way.
    BadSignature,
    /// The peer sends more than a handshake can need.
    TooLarge,
    /// The stream ended before the connection was secured.
    Truncated,
    /// What the peer sends makes no sense.
    Malformed,
    /// What the peer sends makes sense, but not there.
    OutOfPlace,
    /// What the peer sends cannot be decrypted: it was changed, sent before, or for somebody else.
    Undecryptable,
    /// The peer has refused this node, with this TLS alert (RFC 8446, section 6).
    Alert(u8),
    /// This node failed at it.
    Internal,
}

impl SecurityError {
    /// A word for logs and metrics. Never changes for a given reason.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Encrypted => "encrypted",
            Self::WrongVersion => "wrong-tls-version",
            Self::Incompatible => "incompatible",
            Self::WrongProtocol => "wrong-protocol",
            Self::NoCertificate => "no-certificate",
            Self::MalformedCertificate => "malformed-certificate",
            Self::WrongKeyType => "wrong-key-type",
            Self::NotYetValid => "not-yet-valid",
            Self::Expired => "expired",
            Self::UntrustedIssuer => "untrusted-issuer",
            Self::NotPinned => "not-pinned",
            Self::NotAllowed => "not-allowed",
            Self::WrongPeer => "wrong-peer",
            Self::BadSignature => "bad-signature",
            Self::TooLarge => "too-large",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::OutOfPlace => "out-of-place",
            Self::Undecryptable => "undecryptable",
            Self::Alert(_) => "alert",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for SecurityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plaintext => "the peer does not encrypt",
            Self::Encrypted => "the peer encrypts, and this node does not",
            Self::WrongVersion => "there is no common version of TLS",
            Self::Incompatible => "there is no common cipher, key exchange or signature",
            Self::WrongProtocol => "the peer does not speak this protocol over TLS",
            Self::NoCertificate => "the peer has no certificate",
            Self::MalformedCertificate => "the certificate of the peer is malformed",
            Self::WrongKeyType => "the certificate of the peer is not for an Ed25519 key",
            Self::NotYetValid => "the certificate of the peer is not valid yet",
            Self::Expired => "the certificate of the peer has expired",
            Self::UntrustedIssuer => "the certificate of the peer is signed by somebody who is not trusted",
            Self::NotPinned => "the key of the peer is not pinned",
            Self::NotAllowed => "the peer is not on the list of allowed peers",
            Self::WrongPeer => "another peer answered than the one that was expected",
            Self::BadSignature => "the peer does not hold the key of its certificate",
            Self::TooLarge => "the peer sent more than a handshake needs",
            Self::Truncated => "the stream ended before the connection was secured",
            Self::Malformed => "the peer sent malformed TLS",
            Self::OutOfPlace => "the peer sent TLS messages out of place",
            Self::Undecryptable => "the peer sent what cannot be decrypted",
            Self::Alert(number) => {
                return match alert_name(*number) {
                    Some(name) => write!(f, "the peer refused the connection: {name}"),
                    None => write!(f, "the peer refused the connection: alert {number}"),
                };
            }
            Self::Internal => "this node cannot encrypt",
        })
    }
}

impl core::error::Error for SecurityError {}

impl From<SecurityError> for CloseReason {
    fn from(error: SecurityError) -> Self {
        match error {
            SecurityError::WrongPeer => Self::WrongPeer,
            error => Self::Insecure(error),
        }
    }
}

/// The names of RFC 8446, section 6, of alerts that refuse a handshake.
const fn alert_name(number: u8) -> Option<&'static str> {
    Some(match number {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        22 => "record_overflow",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => return None,
    })
}
