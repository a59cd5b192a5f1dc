//! Points in time as the reference writes them.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A second, as `2026-11-23T10:00:00Z`. Reads what .NET writes: fractions of a second, which are
/// cut off, and an offset or none, which is UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in super::super) struct Date {
    pub(in super::super) unix_seconds: i64,
}

impl Date {
    /// The first second of the year 1: the reference's word for never.
    pub(super) const NEVER: Self = Self { unix_seconds: -62_135_596_800 };

    pub(in super::super) const fn new(unix_seconds: i64) -> Self {
        Self { unix_seconds }
    }

    fn parse(text: &str) -> Result<Self, jiff::Error> {
        let timestamp = text.parse::<Timestamp>().or_else(|error| match text.parse::<DateTime>() {
            Ok(local) => local.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp()),
            Err(_) => Err(error),
        })?;
        // Towards the past, also before 1970.
        let unix_seconds = timestamp.as_nanosecond().div_euclid(1_000_000_000);
        Ok(Self { unix_seconds: i64::try_from(unix_seconds).unwrap_or(i64::MIN) })
    }
}

impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (first, last) = (Self::NEVER.unix_seconds, Timestamp::MAX.as_second());
        match Timestamp::from_second(self.unix_seconds.clamp(first, last)) {
            Ok(timestamp) => timestamp.fmt(f),
            Err(_) => f.write_str("?"),
        }
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&Cow::<str>::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_reference_writes() {
        for (text, unix_seconds) in [
            ("2026-11-23T10:00:00Z", 1_795_428_000),
            ("2026-11-23T10:00:00", 1_795_428_000),
            ("2026-11-23T10:00:00.1234567Z", 1_795_428_000),
            ("2026-11-23T10:00:00.9999999", 1_795_428_000),
            ("2026-11-23T12:00:00+02:00", 1_795_428_000),
            ("2026-11-23T04:30:00.5-05:30", 1_795_428_000),
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59.5Z", -1),
            ("0001-01-01T00:00:00", Date::NEVER.unix_seconds),
            ("0001-01-01T00:00:00Z", Date::NEVER.unix_seconds),
            ("9999-12-30T00:00:00", 253_402_128_000),
        ] {
            assert_eq!(Date::parse(text).ok(), Some(Date { unix_seconds }), "{text}");
        }
        for bad in ["", "yesterday", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "1795428000"] {
            assert!(Date::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn prints_what_everybody_reads() {
        assert_eq!(Date::new(1_795_428_000).to_string(), "2026-11-23T10:00:00Z");
        assert_eq!(Date::NEVER.to_string(), "0001-01-01T00:00:00Z");
        for unix_seconds in [i64::MIN, i64::MAX, -1, 0] {
            let text = Date::new(unix_seconds).to_string();
            assert!(text.len() == 20 && Date::parse(&text).is_ok(), "{text}");
        }
    }
}
