//! Which addresses may enter the book at all.

use core::fmt;
use core::net::SocketAddr;

use spacetime_core::{NotPublic, check_public};

/// What addresses the book takes.
///
/// IPv6 addresses that carry an IPv4 address (mapped, 6to4, Teredo, NAT64) are judged as the IPv4
/// address they are or lead to.
///
/// Of the documentation ranges, 203.0.113.0/24 and 2001:db8::/32 are taken as ordinary addresses:
/// the reference takes them and the vectors of the wire format use them as such. The others
/// (192.0.2.0/24, 198.51.100.0/24, 3fff::/20) are as private ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AddressRules {
    /// Take what is reachable from some hosts only: loopback, private, link-local, unique-local,
    /// shared (100.64.0.0/10) and documentation addresses. For development and private networks.
    pub allow_private: bool,
}

/// Why an address is not taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum NotAdmitted {
    /// Nobody listens on port 0.
    PortZero,
    /// It is no address of the internet.
    NotPublic(NotPublic),
}

impl fmt::Display for NotAdmitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortZero => f.write_str("nobody can be reached at port 0"),
            Self::NotPublic(why) => why.fmt(f),
        }
    }
}

impl core::error::Error for NotAdmitted {}

impl AddressRules {
    /// Whether `address` may enter the book.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check(self, address: SocketAddr) -> Result<(), NotAdmitted> {
        if address.port() == 0 {
            return Err(NotAdmitted::PortZero);
        }
        match check_public(address.ip()) {
            Err(why) if !(self.allow_private && why.is_private()) => Err(NotAdmitted::NotPublic(why)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString as _;
    use core::net::IpAddr;

    use serde_json::Value;

    use super::*;

    fn check(address: &str, allow_private: bool) -> Result<(), NotAdmitted> {
        AddressRules { allow_private }.check(address.parse().expect(address))
    }

    #[test]
    fn addresses_are_taken_as_the_vectors_say_but_for_the_gaps_of_the_reference() {
        let vectors: Value =
            serde_json::from_str(include_str!("../../core/tests/vectors/wire.json")).expect("JSON");
        let cases = vectors["address_rules"].as_array().expect("a list");
        assert_eq!(cases.len(), 33);
        let mut gaps = 0;
        for case in cases {
            let ip: IpAddr = case["ip"].as_str().and_then(|ip| ip.parse().ok()).expect("an IP address");
            let port = case["port"].as_u64().expect("a port") as u16;
            let address = SocketAddr::new(ip, port);
            let verdict = |allow_private| AddressRules { allow_private }.check(address).is_ok();
            if case["reference_gap"] == true {
                gaps += 1;
                assert!(!verdict(false), "{address}");
            } else {
                assert_eq!(verdict(false), case["reference_accepts_default"], "{address}");
                assert_eq!(verdict(true), case["reference_accepts_allow_private"], "{address}");
            }
        }
        assert_eq!(gaps, 11);
    }

    #[test]
    fn private_addresses_are_taken_where_they_are_allowed() {
        for address in [
            "127.0.0.1:1",
            "10.1.2.3:1",
            "172.31.0.1:1",
            "192.168.0.1:1",
            "169.254.1.1:1",
            "100.127.255.255:1",
            "192.0.2.1:1",
            "198.51.100.1:1",
            "198.19.0.1:1",
            "[::1]:1",
            "[fe80::1]:1",
            "[fec0::1]:1",
            "[fd12::1]:1",
            "[3fff:fff::1]:1",
            "[::ffff:10.0.0.1]:1",
            "[64:ff9b::a00:1]:1",
            "[2002:a00:1::1]:1",
            "[2001:0:1:2:3:4:f5ff:fffe]:1",
        ] {
            let why = check(address, false);
            assert!(matches!(why, Err(NotAdmitted::NotPublic(why)) if why.is_private()), "{address}");
            assert_eq!(check(address, true), Ok(()), "{address}");
        }
    }

    #[test]
    fn what_is_no_hosts_address_is_never_taken() {
        for (address, why) in [
            ("203.0.113.1:0", NotAdmitted::PortZero),
            ("127.0.0.1:0", NotAdmitted::PortZero),
            ("0.0.0.0:1", NotAdmitted::NotPublic(NotPublic::Unspecified)),
            ("0.1.2.3:1", NotAdmitted::NotPublic(NotPublic::Unspecified)),
            ("[::]:1", NotAdmitted::NotPublic(NotPublic::Unspecified)),
            ("[::ffff:0.0.0.0]:1", NotAdmitted::NotPublic(NotPublic::Unspecified)),
            ("[::2]:1", NotAdmitted::NotPublic(NotPublic::Reserved)),
            ("[::8.8.8.8]:1", NotAdmitted::NotPublic(NotPublic::Reserved)),
            ("[4000::1]:1", NotAdmitted::NotPublic(NotPublic::Reserved)),
            ("224.0.0.1:1", NotAdmitted::NotPublic(NotPublic::Multicast)),
            ("239.255.255.255:1", NotAdmitted::NotPublic(NotPublic::Multicast)),
            ("[ff02::1]:1", NotAdmitted::NotPublic(NotPublic::Multicast)),
            ("[::ffff:224.0.0.1]:1", NotAdmitted::NotPublic(NotPublic::Multicast)),
            ("240.0.0.1:1", NotAdmitted::NotPublic(NotPublic::Reserved)),
            ("255.255.255.254:1", NotAdmitted::NotPublic(NotPublic::Reserved)),
            ("255.255.255.255:1", NotAdmitted::NotPublic(NotPublic::Broadcast)),
        ] {
            assert_eq!((check(address, false), check(address, true)), (Err(why), Err(why)), "{address}");
            assert!(why.to_string().starts_with(|c: char| c.is_ascii_lowercase()), "{why}");
        }
    }

    #[test]
    fn what_borders_on_a_refused_range_is_taken() {
        for ip in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.255",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.113.1",
            "223.255.255.255",
            "[2001:db8::1]",
            "[2000::1]",
            "[3ffe::1]",
            "[64:ff9b::808:808]",
            "[2002:808:808::1]",
        ] {
            assert_eq!(check(&format!("{ip}:1"), false), Ok(()), "{ip}");
        }
    }
}
