//! Limits of bandwidth as people write them.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// Bytes per second, or none: `1048576`, `"1 MiB"`, `"500 kB"`, `0` or `"off"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateLimit(pub Option<u64>);

/// What a number may be followed by.
const UNITS: [(&str, u64); 7] = [
    ("KiB", 1024),
    ("MiB", 1024 * 1024),
    ("GiB", 1024 * 1024 * 1024),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// It is no limit of bandwidth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidRate;

impl fmt::Display for InvalidRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a rate is a number of bytes per second, as 1048576, 1MiB or 500kB, or off")
    }
}

impl std::error::Error for InvalidRate {}

impl RateLimit {
    const fn new(bytes_per_second: u64) -> Self {
        Self(if bytes_per_second == 0 { None } else { Some(bytes_per_second) })
    }
}

impl FromStr for RateLimit {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let text = text.trim();
        if text == "off" {
            return Ok(Self(None));
        }
        let text = text.strip_suffix("/s").unwrap_or(text);
        let unit = UNITS.iter().find_map(|(name, bytes)| Some((text.strip_suffix(name)?, *bytes)));
        let (number, bytes) = unit.unwrap_or((text, 1));
        let number: u64 = number.trim_end().parse().map_err(|_| InvalidRate)?;
        number.checked_mul(bytes).map(Self::new).ok_or(InvalidRate)
    }
}

impl<'de> Deserialize<'de> for RateLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrText;

        impl Visitor<'_> for NumberOrText {
            type Value = RateLimit;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a rate")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<RateLimit, E> {
                u64::try_from(number).map(RateLimit::new).map_err(|_| E::custom(InvalidRate))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<RateLimit, E> {
                Ok(RateLimit::new(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RateLimit, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(NumberOrText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_with_or_without_a_unit_or_off() {
        for (text, bytes) in [
            ("0", None),
            ("off", None),
            ("0 MiB", None),
            ("65536", Some(65_536)),
            ("1MiB", Some(1 << 20)),
            ("10 MiB/s", Some(10 << 20)),
            ("500 kB", Some(500_000)),
            ("9000B", Some(9000)),
        ] {
            assert_eq!(text.parse(), Ok(RateLimit(bytes)), "{text}");
        }
        for bad in ["", "MiB", "-1", "1.5MiB", "1 mib", "none", "18446744073709551615 GiB"] {
            assert_eq!(bad.parse::<RateLimit>(), Err(InvalidRate), "{bad}");
        }
    }
}
