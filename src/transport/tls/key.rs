//! The key of a node.

use std::fmt;
use std::io;

use rcgen::{KeyPair, PKCS_ED25519};
use rustls::pki_types::PrivatePkcs8KeyDer;
use spacetime_core::PeerId;

/// What stands before the 32 bytes of the seed in a PKCS#8 version 1 key (RFC 8410).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The Ed25519 key by which a node is known: whoever has it is the node.
pub struct NodeKey {
    seed: [u8; 32],
    public_key: [u8; 32],
}

impl NodeKey {
    /// A new key.
    ///
    /// # Errors
    ///
    /// The system gives no randomness.
    pub fn generate() -> io::Result<Self> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        Ok(Self::from_seed(seed))
    }

    /// The key with this seed, which RFC 8032 calls the private key.
    #[allow(clippy::missing_panics_doc, reason = "any 32 bytes are an Ed25519 seed")]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let pair = key_pair(&seed).expect("any 32 bytes are an Ed25519 seed");
        let public_key = pair.public_key_raw().try_into().expect("an Ed25519 public key has 32 bytes");
        Self { seed, public_key }
    }

    /// The key in a PKCS#8 version 1 document (RFC 8410), as `openssl genpkey` writes it; none if
    /// it is something else.
    pub fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let seed = der.strip_prefix(&PKCS8_PREFIX)?;
        Some(Self::from_seed(seed.try_into().ok()?))
    }

    /// The same document. Secret.
    pub fn to_pkcs8(&self) -> Vec<u8> {
        pkcs8(&self.seed)
    }

    /// The public part, 32 bytes.
    pub const fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }

    /// Who the node is to others: the SHA-256 of the public key.
    pub fn peer_id(&self) -> PeerId {
        PeerId::of_public_key(&self.public_key)
    }

    pub(super) fn key_pair(&self) -> Result<KeyPair, rcgen::Error> {
        key_pair(&self.seed)
    }
}

fn pkcs8(seed: &[u8; 32]) -> Vec<u8> {
    [&PKCS8_PREFIX[..], seed].concat()
}

fn key_pair(seed: &[u8; 32]) -> Result<KeyPair, rcgen::Error> {
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(pkcs8(seed)), &PKCS_ED25519)
}

/// The seed stays out of logs.
impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeKey").field("peer_id", &self.peer_id()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_id_is_the_hash_of_the_public_key() {
        // The first test key of RFC 8032, section 7.1.
        let unhex = |text: &str| -> [u8; 32] { text.parse::<PeerId>().unwrap().0 };
        let key =
            NodeKey::from_seed(unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
        let public_key = unhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        assert_eq!(*key.public_key(), public_key);
        let peer_id = "21fe31dfa154a261626bf854046fd2271b7bed4b6abe45aa58877ef47f9721b9";
        assert_eq!(key.peer_id().to_string(), peer_id);
    }

    #[test]
    fn a_key_goes_both_ways_and_stays_out_of_logs() {
        let key = NodeKey::generate().unwrap();
        let again = NodeKey::from_pkcs8(&key.to_pkcs8()).unwrap();
        assert_eq!(again.peer_id(), key.peer_id());
        assert_ne!(NodeKey::generate().unwrap().peer_id(), key.peer_id());
        assert!(NodeKey::from_pkcs8(&key.to_pkcs8()[1..]).is_none());
        assert!(NodeKey::from_pkcs8(&[key.to_pkcs8(), vec![0]].concat()).is_none());
        assert_eq!(format!("{key:?}"), format!("NodeKey {{ peer_id: {:?}, .. }}", key.peer_id()));
    }
}
