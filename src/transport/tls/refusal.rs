//! The reasons of rustls in our own words.

use std::io::{self, ErrorKind};

use rustls::{CertificateError, Error, InvalidMessage, PeerIncompatible};
use spacetime_core::SecurityError;

/// Why a handshake, or what came after it, has failed. Errors of the stream below stay what they are.
pub(super) fn named(error: io::Error) -> io::Error {
    let reason = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(reason) => security_error(reason),
        // Ended without a word inside of a handshake, or cut off after it.
        None if error.kind() == ErrorKind::UnexpectedEof => SecurityError::Truncated,
        None => return error,
    };
    refused(reason)
}

/// The reason as an error of a transport.
pub(super) fn refused(reason: SecurityError) -> io::Error {
    let kind = match reason {
        SecurityError::Truncated => ErrorKind::UnexpectedEof,
        _ => ErrorKind::InvalidData,
    };
    io::Error::new(kind, reason)
}

/// The reason that an error of this transport carries.
pub(super) fn reason(error: &io::Error) -> Option<SecurityError> {
    error.get_ref()?.downcast_ref().copied()
}

fn security_error(error: &Error) -> SecurityError {
    match error {
        Error::NoCertificatesPresented => SecurityError::NoCertificate,
        Error::NoApplicationProtocol => SecurityError::WrongProtocol,
        Error::InvalidCertificate(error) => certificate_error(error),
        Error::PeerIncompatible(error) => incompatibility(error),
        Error::AlertReceived(alert) => SecurityError::Alert((*alert).into()),
        Error::DecryptError => SecurityError::Undecryptable,
        Error::PeerSentOversizedRecord => SecurityError::TooLarge,
        Error::InvalidMessage(error) => match error {
            InvalidMessage::HandshakePayloadTooLarge
            | InvalidMessage::CertificatePayloadTooLarge
            | InvalidMessage::MessageTooLarge => SecurityError::TooLarge,
            // The first byte of a record, or its version, is none of TLS.
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion => {
                SecurityError::Plaintext
            }
            _ => SecurityError::Malformed,
        },
        Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerMisbehaved(_) => SecurityError::OutOfPlace,
        _ => SecurityError::Internal,
    }
}

fn certificate_error(error: &CertificateError) -> SecurityError {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => SecurityError::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            SecurityError::NotYetValid
        }
        CertificateError::UnknownIssuer => SecurityError::UntrustedIssuer,
        CertificateError::BadSignature => SecurityError::BadSignature,
        CertificateError::ApplicationVerificationFailure => SecurityError::NotAllowed,
        CertificateError::Other(other) => {
            other.0.downcast_ref().copied().unwrap_or(SecurityError::MalformedCertificate)
        }
        _ => SecurityError::MalformedCertificate,
    }
}

fn incompatibility(error: &PeerIncompatible) -> SecurityError {
    match error {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => SecurityError::WrongVersion,
        _ => SecurityError::Incompatible,
    }
}
