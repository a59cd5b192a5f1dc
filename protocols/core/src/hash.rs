//! 32-byte identifiers: hashes and peer ids.

use core::fmt;
use core::str::FromStr;

use sha2::{Digest as _, Sha256};

/// A string that is not 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidHex;

impl fmt::Display for InvalidHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not 64 hexadecimal digits")
    }
}

impl core::error::Error for InvalidHex {}

fn parse_hex(text: &str) -> Result<[u8; 32], InvalidHex> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return Err(InvalidHex);
    }
    let digit = |c: u8| char::from(c).to_digit(16).ok_or(InvalidHex);
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        if let [high, low] = *pair {
            *byte = (digit(high)? * 16 + digit(low)?) as u8;
        }
    }
    Ok(bytes)
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            /// The first eight digits: enough to tell identifiers apart in a log.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl FromStr for $name {
            type Err = InvalidHex;

            fn from_str(text: &str) -> Result<Self, InvalidHex> {
                parse_hex(text).map(Self)
            }
        }
    };
}

identifier! {
    /// A SHA-256 hash: of a block header, a transaction, a payload.
    Hash
}

identifier! {
    /// Who a node is: the SHA-256 of its Ed25519 public key.
    PeerId
}

impl Hash {
    /// All zero: "no hash", as in the locator of a node that has no block.
    pub const ZERO: Self = Self([0; 32]);

    /// The SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The SHA-256 of the concatenation of `parts`.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

impl PeerId {
    /// The id that belongs to an Ed25519 public key.
    pub fn of_public_key(public_key: &[u8; 32]) -> Self {
        Self(Sha256::digest(public_key).into())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn hex_goes_both_ways() {
        let hash = Hash::of(b"abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), text);
        assert_eq!(text.parse(), Ok(hash));
        assert_eq!(text.to_uppercase().parse(), Ok(hash));
        assert_eq!(text[1..].parse::<Hash>(), Err(InvalidHex));
        assert_eq!(text.replace('b', "+").parse::<Hash>(), Err(InvalidHex));
    }
}
