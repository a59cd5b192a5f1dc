//! Handshake, its acknowledgement, and the extension that our handshakes carry.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::application::strict_postcard;
use super::cursor::{Cursor, check_not_blank, check_range};
use super::error::{DecodeError, EncodeError, Problem};
use super::message::{Decode, Message};
use super::types::MessageType;
use crate::hash::Hash;

/// The protocol version that every Handshake names.
pub const PROTOCOL_VERSION: i32 = 1;

/// What stands between a version-1 Handshake and our extension of it.
pub const EXTENSION_MAGIC: [u8; 4] = *b"STX\x01";

/// The most capabilities that one node may announce.
pub const MAX_CAPABILITIES: usize = 32;
/// The longest name of a capability, in bytes.
pub const MAX_CAPABILITY_NAME_BYTES: usize = 32;

/// Who I am. The dialer's first frame; the listener sends one after its acknowledgement if the
/// dialer's carried an extension.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handshake<'a> {
    /// The protocol version, [`PROTOCOL_VERSION`].
    pub version: i32,
    /// The sender's clock, in unix seconds. Not to be trusted.
    pub timestamp: i64,
    /// What the sender calls itself; ours is its peer id in hexadecimal digits. Not blank.
    pub node_id: &'a str,
    /// The sender's software. Not blank.
    pub user_agent: &'a str,
    /// What version 1 does not know about. A version-1 node sends none and ignores ours.
    pub extension: Option<Extension<'a>>,
}

impl Message for Handshake<'_> {
    const TYPE: MessageType = MessageType::HANDSHAKE;

    fn encoded_len(&self) -> usize {
        let extension = self.extension.map_or(0, |extension| EXTENSION_MAGIC.len() + extension.bytes.len());
        4 + 8 + 4 + self.node_id.len() + 4 + self.user_agent.len() + extension
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        check_not_blank(self.node_id, "node_id")?;
        check_not_blank(self.user_agent, "user_agent")?;
        let bytes = self.encoded_len() as u64;
        if bytes > Self::MAX_PAYLOAD.into() {
            return Err(EncodeError::TooLarge { bytes, max_bytes: Self::MAX_PAYLOAD });
        }
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.timestamp.to_le_bytes());
        for text in [self.node_id, self.user_agent] {
            out.extend_from_slice(&(text.len() as i32).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        if let Some(extension) = self.extension {
            out.extend_from_slice(&EXTENSION_MAGIC);
            out.extend_from_slice(extension.bytes);
        }
        Ok(())
    }
}

impl<'a> Decode<'a> for Handshake<'a> {
    fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(payload);
        let version = cursor.i32("protocol_version")?;
        let timestamp = cursor.i64("timestamp")?;
        let node_id = cursor.text("node_id")?;
        let user_agent = cursor.text("user_agent")?;
        let extension = match cursor.rest().strip_prefix(&EXTENSION_MAGIC) {
            Some(entries) => Some(Extension::new(entries)?),
            None => {
                // Without the magic this is version 1's, and it must end here.
                cursor.finish("Handshake")?;
                None
            }
        };
        Ok(Self { version, timestamp, node_id, user_agent, extension })
    }
}

/// Your Handshake arrived. The reference sends it empty; a payload of up to 1024 bytes is ignored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HandshakeAck;

impl Message for HandshakeAck {
    const TYPE: MessageType = MessageType::HANDSHAKE_ACK;

    fn encoded_len(&self) -> usize {
        0
    }

    fn encode(&self, _: &mut Vec<u8>) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl Decode<'_> for HandshakeAck {
    fn decode(_: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}

/// The entries of an extension: `u16` key, `u16` length, value; keys in ascending order.
///
/// Unknown keys are kept and skipped, so the extension can grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extension<'a> {
    bytes: &'a [u8],
}

impl<'a> Extension<'a> {
    /// Checks that `bytes` are well-formed entries. Values are checked by
    /// [`Announcement::read`].
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        let mut last_key = None;
        while !cursor.rest().is_empty() {
            let (key, _) = read_entry(&mut cursor)?;
            if last_key >= Some(key) {
                return Err(DecodeError::new("extension keys", Problem::OutOfOrder));
            }
            last_key = Some(key);
        }
        Ok(Self { bytes })
    }

    /// Keys and values, in the order of the keys.
    pub fn entries(&self) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        let mut cursor = Cursor::new(self.bytes);
        // The bytes were read once before, so the first failure is their end.
        core::iter::from_fn(move || read_entry(&mut cursor).ok())
    }
}

fn read_entry<'a>(cursor: &mut Cursor<'a>) -> Result<(u16, &'a [u8]), DecodeError> {
    let key = cursor.u16("extension key")?;
    let len = cursor.u16("extension length")?;
    Ok((key, cursor.bytes(len.into(), "extension value")?))
}

/// The keys of an extension. Append-only: a key never changes its meaning or its layout.
mod key {
    pub(super) const PROTOCOL_VERSIONS: u16 = 1;
    pub(super) const CHAIN_ID: u16 = 2;
    pub(super) const LISTEN_PORT: u16 = 3;
    pub(super) const CAPABILITIES: u16 = 4;
    pub(super) const NONCE: u16 = 5;
    pub(super) const BEST_BLOCK: u16 = 6;
}

/// What a node says of itself in the extension of its Handshake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announcement {
    /// The lowest and the highest version of the extended protocol that it understands.
    pub protocol_versions: (u16, u16),
    /// The hash of its genesis block.
    pub chain_id: Hash,
    /// The port on which it takes connections, if it does.
    pub listen_port: Option<u16>,
    /// What it can do beyond version 1, in ascending order of the names.
    pub capabilities: Vec<Capability>,
    /// A number that it made up when it started, to recognise itself.
    pub nonce: u64,
    /// Height and hash of the last block of its chain. A claim.
    pub best_block: Option<(u64, Hash)>,
}

/// Something a node can do beyond version 1, with the version of it: `relay.announce/1`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Capability {
    /// Up to 32 bytes of printable ASCII.
    pub name: String,
    /// The version of the capability.
    pub version: u16,
}

impl Announcement {
    /// Reads what an extension says; protocol versions, chain id and nonce must be there.
    pub fn read(extension: Extension<'_>) -> Result<Self, DecodeError> {
        let mut versions = None;
        let mut chain_id = None;
        let mut nonce = None;
        let mut announcement = Self {
            protocol_versions: (0, 0),
            chain_id: Hash::ZERO,
            listen_port: None,
            capabilities: Vec::new(),
            nonce: 0,
            best_block: None,
        };
        for (key, value) in extension.entries() {
            match key {
                key::PROTOCOL_VERSIONS => versions = Some(strict_postcard(value, "protocol versions")?),
                key::CHAIN_ID => chain_id = Some(Hash(strict_postcard(value, "chain id")?)),
                key::LISTEN_PORT => announcement.listen_port = Some(strict_postcard(value, "listen port")?),
                key::CAPABILITIES => announcement.capabilities = strict_postcard(value, "capabilities")?,
                key::NONCE => nonce = Some(strict_postcard(value, "nonce")?),
                key::BEST_BLOCK => {
                    let (height, hash) = strict_postcard(value, "best block")?;
                    announcement.best_block = Some((height, Hash(hash)));
                }
                _ => {}
            }
        }
        let missing = |field| DecodeError::new(field, Problem::Cut { needed: 1, left: 0 });
        announcement.protocol_versions = versions.ok_or(missing("protocol versions"))?;
        announcement.chain_id = chain_id.ok_or(missing("chain id"))?;
        announcement.nonce = nonce.ok_or(missing("nonce"))?;
        announcement.check()?;
        Ok(announcement)
    }

    /// The entries, ready to be borrowed by an [`Extension`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        self.check()?;
        let mut out = Vec::new();
        put_entry(&mut out, key::PROTOCOL_VERSIONS, &self.protocol_versions)?;
        put_entry(&mut out, key::CHAIN_ID, self.chain_id.as_bytes())?;
        if let Some(port) = self.listen_port {
            put_entry(&mut out, key::LISTEN_PORT, &port)?;
        }
        if !self.capabilities.is_empty() {
            put_entry(&mut out, key::CAPABILITIES, &self.capabilities)?;
        }
        put_entry(&mut out, key::NONCE, &self.nonce)?;
        if let Some((height, hash)) = &self.best_block {
            put_entry(&mut out, key::BEST_BLOCK, &(height, hash.as_bytes()))?;
        }
        Ok(out)
    }

    /// Whether the node announced at least this version of a capability.
    pub fn can(&self, name: &str, version: u16) -> bool {
        self.capabilities.iter().any(|it| it.name == name && it.version >= version)
    }

    fn check(&self) -> Result<(), DecodeError> {
        let (low, high) = self.protocol_versions;
        check_range(high.into(), low.into(), u16::MAX.into(), "highest protocol version")?;
        if let Some(port) = self.listen_port {
            check_range(port.into(), 1, u16::MAX.into(), "listen port")?;
        }
        check_range(self.capabilities.len() as i64, 0, MAX_CAPABILITIES as i64, "capability count")?;
        for capability in &self.capabilities {
            let name = &capability.name;
            check_range(name.len() as i64, 1, MAX_CAPABILITY_NAME_BYTES as i64, "capability name length")?;
            if let Some(byte) = name.bytes().find(|byte| !byte.is_ascii_graphic()) {
                check_range(byte.into(), 0x21, 0x7e, "character of a capability name")?;
            }
        }
        if !self.capabilities.is_sorted_by(|a, b| a.name < b.name) {
            return Err(DecodeError::new("capability names", Problem::OutOfOrder));
        }
        Ok(())
    }
}

fn put_entry<T: Serialize>(out: &mut Vec<u8>, key: u16, value: &T) -> Result<(), EncodeError> {
    let value = postcard::to_allocvec(value).map_err(|_| EncodeError::Serialize)?;
    let bytes = value.len() as u64;
    let len = u16::try_from(value.len())
        .map_err(|_| EncodeError::TooLarge { bytes, max_bytes: u16::MAX.into() })?;
    out.extend_from_slice(&key.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn announcement() -> Announcement {
        Announcement {
            protocol_versions: (1, 2),
            chain_id: Hash([9; 32]),
            listen_port: Some(8333),
            capabilities: vec![
                Capability { name: "relay.announce".into(), version: 1 },
                Capability { name: "sync.locator".into(), version: 3 },
            ],
            nonce: 300,
            best_block: Some((10_000, Hash([7; 32]))),
        }
    }

    fn with_entry(key: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = announcement().to_bytes().expect("valid");
        bytes.extend_from_slice(&key.to_le_bytes());
        bytes.extend_from_slice(&(value.len() as u16).to_le_bytes());
        bytes.extend_from_slice(value);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Announcement, DecodeError> {
        Extension::new(bytes).and_then(Announcement::read)
    }

    #[test]
    fn goes_both_ways() {
        let bytes = announcement().to_bytes().expect("valid");
        assert_eq!(read(&bytes), Ok(announcement()));
        assert!(announcement().can("relay.announce", 1));
        assert!(!announcement().can("relay.announce", 2));
    }

    #[test]
    fn unknown_keys_are_skipped() {
        assert_eq!(read(&with_entry(7, b"later")), Ok(announcement()));
    }

    #[test]
    fn keys_ascend_and_values_fill_their_entries() {
        let out_of_order = DecodeError::new("extension keys", Problem::OutOfOrder);
        assert_eq!(read(&with_entry(6, &[])), Err(out_of_order));
        let mut bytes = announcement().to_bytes().expect("valid");
        bytes.push(0);
        assert!(read(&bytes).is_err());
        assert_eq!(read(&[]).map_err(|error| error.field), Err("protocol versions"));
    }

    #[test]
    fn what_may_not_be_announced_is_neither_read_nor_written() {
        let mut backwards = announcement();
        backwards.protocol_versions = (2, 1);
        let mut no_port = announcement();
        no_port.listen_port = Some(0);
        let mut twice = announcement();
        twice.capabilities[1].name = "relay.announce".into();
        let mut control = announcement();
        control.capabilities[0].name = "a\nb".into();
        let mut many = announcement();
        many.capabilities =
            (0..33).map(|i| Capability { name: alloc::format!("c{i:02}"), version: 1 }).collect();
        for bad in [backwards, no_port, twice, control, many] {
            assert!(bad.to_bytes().is_err(), "{bad:?}");
        }
    }
}
