//! Which addresses may enter the book at all.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

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
    /// 0.0.0.0/8, or `::`.
    Unspecified,
    /// 224.0.0.0/4, ff00::/8.
    Multicast,
    /// 255.255.255.255.
    Broadcast,
    /// 240.0.0.0/4, and the parts of IPv6 outside of 2000::/3 that are given to nobody.
    Reserved,
    /// 127.0.0.0/8, `::1`.
    Loopback,
    /// 169.254.0.0/16, fe80::/10.
    LinkLocal,
    /// 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7, and the former fec0::/10.
    Private,
    /// 100.64.0.0/10: behind a provider's NAT.
    Shared,
    /// 192.0.2.0/24, 198.51.100.0/24, 198.18.0.0/15, 3fff::/20: for examples and measurements.
    Documentation,
}

impl NotAdmitted {
    /// Whether [`AddressRules::allow_private`] admits it.
    pub const fn is_private(self) -> bool {
        matches!(self, Self::Loopback | Self::LinkLocal | Self::Private | Self::Shared | Self::Documentation)
    }
}

impl fmt::Display for NotAdmitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PortZero => "nobody can be reached at port 0",
            Self::Unspecified => "an unspecified address leads nowhere",
            Self::Multicast => "a multicast address is no host's",
            Self::Broadcast => "the broadcast address is no host's",
            Self::Reserved => "a reserved address leads nowhere",
            Self::Loopback => "a loopback address is reachable from its own host only",
            Self::LinkLocal => "a link-local address is reachable from its own link only",
            Self::Private => "a private address is reachable from its own network only",
            Self::Shared => "an address of a provider's NAT is reachable from inside of it only",
            Self::Documentation => "an address for examples or measurements is no host's",
        })
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
        match not_global(address.ip()) {
            Some(why) if !(self.allow_private && why.is_private()) => Err(why),
            _ => Ok(()),
        }
    }
}

/// Why an address is not one of the open internet.
pub(crate) fn not_global(ip: IpAddr) -> Option<NotAdmitted> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => not_global_v4(ip),
        IpAddr::V6(ip) => not_global_v6(ip),
    }
}

fn not_global_v4(ip: Ipv4Addr) -> Option<NotAdmitted> {
    Some(match ip.octets() {
        [0, ..] => NotAdmitted::Unspecified,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => NotAdmitted::Private,
        [127, ..] => NotAdmitted::Loopback,
        [169, 254, ..] => NotAdmitted::LinkLocal,
        [100, 64..=127, ..] => NotAdmitted::Shared,
        [192, 0, 2, _] | [198, 51, 100, _] | [198, 18..=19, ..] => NotAdmitted::Documentation,
        [224..=239, ..] => NotAdmitted::Multicast,
        [255, 255, 255, 255] => NotAdmitted::Broadcast,
        [240..=255, ..] => NotAdmitted::Reserved,
        _ => return None,
    })
}

fn not_global_v6(ip: Ipv6Addr) -> Option<NotAdmitted> {
    if let Some(carried) = carried_v4(ip) {
        return not_global_v4(carried);
    }
    Some(match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => NotAdmitted::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => NotAdmitted::Loopback,
        [0xfe80..=0xfebf, ..] => NotAdmitted::LinkLocal,
        [0xfec0..=0xfeff, ..] | [0xfc00..=0xfdff, ..] => NotAdmitted::Private,
        [0xff00..=0xffff, ..] => NotAdmitted::Multicast,
        [0x3fff, 0..=0xfff, ..] => NotAdmitted::Documentation,
        [0x2000..=0x3fff, ..] => return None,
        _ => NotAdmitted::Reserved,
    })
}

/// The IPv4 address to which packets for an IPv6 address go in the end: NAT64 (RFC 6052), Teredo
/// (RFC 4380) and 6to4 (RFC 3056). Whoever has one IPv4 address has billions of these.
pub(crate) fn carried_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        [0x2001, 0, .., high, low] => Some(join(!high, !low)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString as _;

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
            assert!(check(address, false).is_err_and(NotAdmitted::is_private), "{address}");
            assert_eq!(check(address, true), Ok(()), "{address}");
        }
    }

    #[test]
    fn what_is_no_hosts_address_is_never_taken() {
        for (address, why) in [
            ("203.0.113.1:0", NotAdmitted::PortZero),
            ("127.0.0.1:0", NotAdmitted::PortZero),
            ("0.0.0.0:1", NotAdmitted::Unspecified),
            ("0.1.2.3:1", NotAdmitted::Unspecified),
            ("[::]:1", NotAdmitted::Unspecified),
            ("[::ffff:0.0.0.0]:1", NotAdmitted::Unspecified),
            ("[::2]:1", NotAdmitted::Reserved),
            ("[::8.8.8.8]:1", NotAdmitted::Reserved),
            ("[4000::1]:1", NotAdmitted::Reserved),
            ("224.0.0.1:1", NotAdmitted::Multicast),
            ("239.255.255.255:1", NotAdmitted::Multicast),
            ("[ff02::1]:1", NotAdmitted::Multicast),
            ("[::ffff:224.0.0.1]:1", NotAdmitted::Multicast),
            ("240.0.0.1:1", NotAdmitted::Reserved),
            ("255.255.255.254:1", NotAdmitted::Reserved),
            ("255.255.255.255:1", NotAdmitted::Broadcast),
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
