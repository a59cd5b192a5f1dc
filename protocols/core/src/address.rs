//! Where a peer can be reached.

use alloc::boxed::Box;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

use crate::hash::PeerId;

/// Where to dial or listen, and optionally who must answer there.
///
/// Prints and parses as `host:port`, or `peer-id@host:port` if the peer is pinned. IPv4-mapped
/// IPv6 addresses become the IPv4 addresses they are, so one host has one address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    endpoint: Endpoint,
    peer_id: Option<PeerId>,
}

/// The part of an [`Address`] that a transport understands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// An IP address and a TCP port.
    Socket(SocketAddr),
    /// A DNS name and a TCP port. Resolved when it is dialled.
    Name(Box<str>, u16),
    /// A place in a memory network, written `memory:NUMBER`.
    Memory(u64),
    /// For transports that are not in the box, written `SCHEME:REST` with a scheme of their own.
    Other(Box<str>),
}

/// The longest text that parses as an address: a pinned id and the longest DNS name.
const MAX_TEXT_BYTES: usize = 64 + 1 + 253 + 6;

impl Address {
    /// The address of a TCP socket.
    pub fn socket(socket: SocketAddr) -> Self {
        Self::from(Endpoint::Socket(socket))
    }

    /// Place `number` in a memory network.
    pub fn memory(number: u64) -> Self {
        Self::from(Endpoint::Memory(number))
    }

    /// An address of a transport that is not in the box: `SCHEME:REST`.
    pub fn other(text: impl Into<Box<str>>) -> Self {
        Self::from(Endpoint::Other(text.into()))
    }

    /// Asks for a connection to `peer_id` and nobody else. Transports that prove identities refuse
    /// any other peer; on plain TCP the claim in the handshake is compared.
    #[must_use]
    pub fn pinned(mut self, peer_id: PeerId) -> Self {
        self.peer_id = Some(peer_id);
        self
    }

    /// The same place, whoever answers there.
    #[must_use]
    pub fn unpinned(mut self) -> Self {
        self.peer_id = None;
        self
    }

    /// What the transport needs to know.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Who must answer there, if the address says so.
    pub fn peer_id(&self) -> Option<PeerId> {
        self.peer_id
    }

    /// The IP address, if there is one without asking DNS.
    pub fn ip(&self) -> Option<IpAddr> {
        self.socket_addr().map(|socket| socket.ip())
    }

    /// The IP address and port, if there is one without asking DNS.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self.endpoint {
            Endpoint::Socket(socket) => Some(socket),
            _ => None,
        }
    }
}

impl From<Endpoint> for Address {
    fn from(mut endpoint: Endpoint) -> Self {
        if let Endpoint::Socket(socket) = &mut endpoint {
            // One host, one address: no mapped forms, and neither flow nor scope is part of where
            // a host is.
            *socket = SocketAddr::new(socket.ip().to_canonical(), socket.port());
        }
        Self { endpoint, peer_id: None }
    }
}

impl From<SocketAddr> for Address {
    fn from(socket: SocketAddr) -> Self {
        Self::socket(socket)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(socket) => write!(f, "{socket}"),
            Self::Name(host, port) => write!(f, "{host}:{port}"),
            Self::Memory(number) => write!(f, "memory:{number}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(peer_id) = self.peer_id {
            write!(f, "{peer_id}@")?;
        }
        self.endpoint.fmt(f)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum InvalidAddress {
    /// What stands before the `@` is not a peer id.
    PeerId,
    /// There is no `:port` at the end, or it is not a number up to 65535.
    Port,
    /// The host is neither an IP address nor a DNS name.
    Host,
    /// Longer than any address can be.
    TooLong,
}

impl fmt::Display for InvalidAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PeerId => "what stands before the @ must be a peer id of 64 hexadecimal digits",
            Self::Port => "an address must end in a port between 0 and 65535, as in 203.0.113.1:8333",
            Self::Host => "the host must be an IP address ([2001:db8::1] if it is IPv6) or a DNS name",
            Self::TooLong => "longer than any address can be",
        })
    }
}

impl core::error::Error for InvalidAddress {}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(InvalidAddress::TooLong);
        }
        let (peer_id, place) = match text.split_once('@') {
            Some((id, place)) => (Some(id.parse().map_err(|_| InvalidAddress::PeerId)?), place),
            None => (None, text),
        };
        Ok(Self { peer_id, ..Self::from(place.parse::<Endpoint>()?) })
    }
}

impl FromStr for Endpoint {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        if let Some(socket) = parse_socket(text) {
            return Ok(Self::Socket(socket));
        }
        let (host, port) = text.rsplit_once(':').ok_or(InvalidAddress::Port)?;
        if host == "memory" {
            return port.parse().map(Self::Memory).map_err(|_| InvalidAddress::Port);
        }
        let port: u16 = port.parse().map_err(|_| InvalidAddress::Port)?;
        if is_dns_name(host) { Ok(Self::Name(host.into(), port)) } else { Err(InvalidAddress::Host) }
    }
}

/// An IP address and a port, in either form in use.
pub(crate) fn parse_socket(text: &str) -> Option<SocketAddr> {
    if let Ok(socket) = text.parse() {
        return Some(socket);
    }
    // The form that version-1 nodes print: IPv6 without brackets, split at its last colon.
    let (host, port) = text.rsplit_once(':')?;
    Some(SocketAddr::new(host.parse::<Ipv6Addr>().ok()?.into(), port.parse().ok()?))
}

/// RFC 1123 host names: labels of letters, digits and inner hyphens, not all of the last numeric
/// (that would be a mistyped IPv4 address).
fn is_dns_name(host: &str) -> bool {
    let label_is_valid = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric_end = host.rsplit('.').next().is_some_and(|label| label.bytes().all(|c| c.is_ascii_digit()));
    host.len() <= 253 && host.split('.').all(label_is_valid) && !numeric_end
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString as _};

    use super::*;

    #[test]
    fn prints_as_it_parses() {
        let id = "ab".repeat(32);
        for text in [
            "203.0.113.1:8333",
            "[2001:db8::1]:8333",
            "seed.example.org:8333",
            "localhost:0",
            "memory:7",
            &alloc::format!("{id}@203.0.113.1:8333"),
        ] {
            assert_eq!(text.parse::<Address>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn one_host_has_one_address() {
        for (text, canonical) in
            [("[::ffff:203.0.113.1]:8333", "203.0.113.1:8333"), ("2001:db8::1:8333", "[2001:db8::1]:8333")]
        {
            assert_eq!(text.parse::<Address>().expect(text).to_string(), canonical);
        }
    }

    #[test]
    fn what_is_refused_says_why() {
        for (text, why) in [
            ("", InvalidAddress::Port),
            ("203.0.113.1", InvalidAddress::Port),
            ("203.0.113.1:65536", InvalidAddress::Port),
            ("203.0.113:8333", InvalidAddress::Host),
            ("-bad.example:1", InvalidAddress::Host),
            ("a..b:1", InvalidAddress::Host),
            ("xyz@203.0.113.1:8333", InvalidAddress::PeerId),
            (&String::from("a").repeat(400), InvalidAddress::TooLong),
        ] {
            assert_eq!(text.parse::<Address>(), Err(why), "{text}");
        }
    }
}
