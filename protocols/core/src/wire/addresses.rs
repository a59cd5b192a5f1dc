//! Peer exchange: GetPeers and Peers.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use super::cursor::{Cursor, check_range, put_short_prefix, short_prefix_len};
use super::error::{DecodeError, EncodeError, Problem};
use super::message::{Decode, Message};
use super::types::MessageType;
use crate::address::parse_socket;

/// The most addresses that a [`GetPeers`] may ask for or exclude and a [`Peers`] may hold.
pub const MAX_ADDRESSES: usize = 1000;

/// The longest text of an IPv6 address with a port, with a scope of ten digits.
const MAX_EXCLUDE_BYTES: usize = 64;

/// Asks for addresses, except those the asker knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GetPeers<'a> {
    /// How many at most: 1 to [`MAX_ADDRESSES`].
    pub max_count: i32,
    /// Addresses the asker does not want, as text.
    pub exclude: Exclude<'a>,
}

/// The exclusions of a [`GetPeers`]: texts, meant to be `address:port`, at most [`MAX_ADDRESSES`].
///
/// The format does not require that they parse. [`addresses`](Self::addresses) reads both forms in
/// use, IPv6 with and without brackets.
#[derive(Clone, Copy)]
pub struct Exclude<'a>(ExcludeRepr<'a>);

#[derive(Clone, Copy)]
enum ExcludeRepr<'a> {
    /// Checked bytes of a received message.
    Wire { count: usize, bytes: &'a [u8] },
    /// Texts to be sent.
    Texts(&'a [&'a str]),
}

impl<'a> Exclude<'a> {
    /// No exclusions.
    pub const NONE: Self = Self(ExcludeRepr::Texts(&[]));

    /// These exclusions.
    pub const fn new(texts: &'a [&'a str]) -> Self {
        Self(ExcludeRepr::Texts(texts))
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        match self.0 {
            ExcludeRepr::Wire { count, .. } => count,
            ExcludeRepr::Texts(texts) => texts.len(),
        }
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The texts, in the order of the message.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let (texts, mut cursor): (&[&str], _) = match self.0 {
            ExcludeRepr::Wire { bytes, .. } => (&[], Cursor::new(bytes)),
            ExcludeRepr::Texts(texts) => (texts, Cursor::new(&[])),
        };
        texts
            .iter()
            .copied()
            // The bytes were read once before, so the first failure is their end.
            .chain(core::iter::from_fn(move || cursor.short_text("exclude").ok()))
    }

    /// The addresses among the texts that somebody can be reached at: with a port, and IPv4-mapped
    /// ones as the IPv4 addresses they are. Allocates nothing, and looks at no text that is too
    /// long to be an address.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + use<'a> {
        let texts = self.iter().filter(|text| text.len() <= MAX_EXCLUDE_BYTES);
        texts
            .filter_map(parse_socket)
            .filter(|it| it.port() != 0)
            .map(|it| SocketAddr::new(it.ip().to_canonical(), it.port()))
    }

    /// How an address is written as an exclusion: IPv6 without brackets for version-1 nodes, which
    /// read no other form.
    pub fn text(address: SocketAddr, is_version_1: bool) -> String {
        match address {
            SocketAddr::V6(it) if is_version_1 => format!("{}:{}", it.ip(), it.port()),
            _ => address.to_string(),
        }
    }
}

impl PartialEq for Exclude<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Exclude<'_> {}

impl fmt::Debug for Exclude<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Message for GetPeers<'_> {
    const TYPE: MessageType = MessageType::GET_PEERS;

    fn encoded_len(&self) -> usize {
        8 + match self.exclude.0 {
            ExcludeRepr::Wire { bytes, .. } => bytes.len(),
            ExcludeRepr::Texts(texts) => {
                texts.iter().map(|text| short_prefix_len(text.len()) + text.len()).sum()
            }
        }
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        check_range(self.max_count.into(), 1, MAX_ADDRESSES as i64, "max_count")?;
        check_range(self.exclude.len() as i64, 0, MAX_ADDRESSES as i64, "exclude count")?;
        out.extend_from_slice(&self.max_count.to_le_bytes());
        out.extend_from_slice(&(self.exclude.len() as i32).to_le_bytes());
        match self.exclude.0 {
            ExcludeRepr::Wire { bytes, .. } => out.extend_from_slice(bytes),
            ExcludeRepr::Texts(texts) => {
                for text in texts {
                    put_short_prefix(out, text.len());
                    out.extend_from_slice(text.as_bytes());
                }
            }
        }
        Ok(())
    }
}

impl<'a> Decode<'a> for GetPeers<'a> {
    fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(payload);
        let max_count = cursor.i32_within(1, MAX_ADDRESSES as i32, "max_count")?;
        let count = cursor.count(MAX_ADDRESSES as i32, 1, "exclude count")?;
        let bytes = cursor.rest();
        for _ in 0..count {
            cursor.short_text("exclude")?;
        }
        cursor.finish("GetPeers")?;
        Ok(Self { max_count, exclude: Exclude(ExcludeRepr::Wire { count, bytes }) })
    }
}

/// Addresses of nodes, at most [`MAX_ADDRESSES`].
///
/// They are as they were sent: duplicates, IPv4-mapped forms, port 0 and addresses that nobody can
/// reach included. What to believe is the receiver's to decide.
#[derive(Clone, Copy)]
pub struct Peers<'a>(PeersRepr<'a>);

#[derive(Clone, Copy)]
enum PeersRepr<'a> {
    /// Checked bytes of a received message.
    Wire { count: usize, bytes: &'a [u8] },
    /// Addresses to be sent.
    Addresses(&'a [SocketAddr]),
}

impl<'a> Peers<'a> {
    /// These addresses.
    pub const fn new(addresses: &'a [SocketAddr]) -> Self {
        Self(PeersRepr::Addresses(addresses))
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        match self.0 {
            PeersRepr::Wire { count, .. } => count,
            PeersRepr::Addresses(addresses) => addresses.len(),
        }
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The addresses, in the order of the message.
    pub fn iter(&self) -> impl Iterator<Item = SocketAddr> + use<'a> {
        let (addresses, mut cursor): (&[SocketAddr], _) = match self.0 {
            PeersRepr::Wire { bytes, .. } => (&[], Cursor::new(bytes)),
            PeersRepr::Addresses(addresses) => (addresses, Cursor::new(&[])),
        };
        addresses
            .iter()
            .copied()
            // The bytes were read once before, so the first failure is their end.
            .chain(core::iter::from_fn(move || read_address(&mut cursor).ok()))
    }
}

impl PartialEq for Peers<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Peers<'_> {}

impl fmt::Debug for Peers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

fn read_address(cursor: &mut Cursor<'_>) -> Result<SocketAddr, DecodeError> {
    let ip = match cursor.i32("address length")? {
        4 => IpAddr::from(cursor.array::<4>("address")?),
        16 => IpAddr::from(cursor.array::<16>("address")?),
        found => {
            let problem = Problem::NeitherNor { found: found.into(), one: 4, other: 16 };
            return Err(DecodeError::new("address length", problem));
        }
    };
    let port = cursor.i32_within(0, u16::MAX.into(), "port")?;
    Ok(SocketAddr::new(ip, port as u16))
}

const fn address_len(address: &SocketAddr) -> usize {
    match address {
        SocketAddr::V4(_) => 4 + 4 + 4,
        SocketAddr::V6(_) => 4 + 16 + 4,
    }
}

impl Message for Peers<'_> {
    const TYPE: MessageType = MessageType::PEERS;

    fn encoded_len(&self) -> usize {
        4 + match self.0 {
            PeersRepr::Wire { bytes, .. } => bytes.len(),
            PeersRepr::Addresses(addresses) => addresses.iter().map(address_len).sum(),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        check_range(self.len() as i64, 0, MAX_ADDRESSES as i64, "peer count")?;
        out.extend_from_slice(&(self.len() as i32).to_le_bytes());
        match self.0 {
            PeersRepr::Wire { bytes, .. } => out.extend_from_slice(bytes),
            PeersRepr::Addresses(addresses) => {
                for address in addresses {
                    match address.ip() {
                        IpAddr::V4(ip) => {
                            out.extend_from_slice(&4_i32.to_le_bytes());
                            out.extend_from_slice(&ip.octets());
                        }
                        IpAddr::V6(ip) => {
                            out.extend_from_slice(&16_i32.to_le_bytes());
                            out.extend_from_slice(&ip.octets());
                        }
                    }
                    out.extend_from_slice(&i32::from(address.port()).to_le_bytes());
                }
            }
        }
        Ok(())
    }
}

impl<'a> Decode<'a> for Peers<'a> {
    fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(payload);
        let count = cursor.count(MAX_ADDRESSES as i32, 12, "peer count")?;
        let bytes = cursor.rest();
        for _ in 0..count {
            read_address(&mut cursor)?;
        }
        cursor.finish("Peers")?;
        Ok(Self(PeersRepr::Wire { count, bytes }))
    }
}
