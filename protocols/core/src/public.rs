//! Which IP addresses belong to one host on the internet.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an IP address does not belong to one host on the internet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum NotPublic {
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

impl NotPublic {
    /// Whether there is a host at it for those who are near: on the same host, link, or network.
    pub const fn is_private(self) -> bool {
        matches!(self, Self::Loopback | Self::LinkLocal | Self::Private | Self::Shared | Self::Documentation)
    }
}

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
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

impl core::error::Error for NotPublic {}

/// Whether an IP address belongs to one host on the internet: not to this one, a private network,
/// many hosts at once, or nobody. IPv6 addresses that [carry](carried) an IPv4 address are what they
/// carry.
///
/// Of the documentation ranges, 203.0.113.0/24 and 2001:db8::/32 count as public: the reference
/// takes them, and the vectors of the wire format use them as such.
///
/// # Errors
///
/// Why not.
pub fn check_public(ip: IpAddr) -> Result<(), NotPublic> {
    let why = match carried(ip) {
        IpAddr::V4(ip) => not_public_v4(ip),
        IpAddr::V6(ip) => not_public_v6(ip),
    };
    why.map_or(Ok(()), Err)
}

/// Whether [`check_public`] has nothing against an IP address.
pub fn is_public(ip: IpAddr) -> bool {
    check_public(ip).is_ok()
}

fn not_public_v4(ip: Ipv4Addr) -> Option<NotPublic> {
    Some(match ip.octets() {
        [0, ..] => NotPublic::Unspecified,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => NotPublic::Private,
        [127, ..] => NotPublic::Loopback,
        [169, 254, ..] => NotPublic::LinkLocal,
        [100, 64..=127, ..] => NotPublic::Shared,
        [192, 0, 2, _] | [198, 51, 100, _] | [198, 18..=19, ..] => NotPublic::Documentation,
        [224..=239, ..] => NotPublic::Multicast,
        [255, 255, 255, 255] => NotPublic::Broadcast,
        [240..=255, ..] => NotPublic::Reserved,
        _ => return None,
    })
}

fn not_public_v6(ip: Ipv6Addr) -> Option<NotPublic> {
    Some(match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => NotPublic::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => NotPublic::Loopback,
        [0xfe80..=0xfebf, ..] => NotPublic::LinkLocal,
        [0xfec0..=0xfeff, ..] | [0xfc00..=0xfdff, ..] => NotPublic::Private,
        [0xff00..=0xffff, ..] => NotPublic::Multicast,
        [0x3fff, 0..=0xfff, ..] => NotPublic::Documentation,
        [0x2000..=0x3fff, ..] => return None,
        _ => NotPublic::Reserved,
    })
}

/// The IPv4 address to which packets for an address go in the end, if there is one: mapped, NAT64
/// (RFC 6052), Teredo (RFC 4380), 6to4 (RFC 3056). Whoever has one IPv4 address has billions of
/// these.
pub fn carried(ip: IpAddr) -> IpAddr {
    let join = |high: u16, low: u16| Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low)).into();
    match ip.to_canonical() {
        IpAddr::V6(ip) => match ip.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => join(high, low),
            [0x2001, 0, .., high, low] => join(!high, !low),
            [0x2002, high, low, ..] => join(high, low),
            _ => ip.into(),
        },
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_host_on_the_internet_are_public() {
        for ip in [
            "8.8.8.8",
            "172.15.255.255",
            "172.32.0.0",
            "100.128.0.1",
            "203.0.113.1",
            "::ffff:8.8.8.8",
            "2a00::1",
            "2001:db8::1",
            "2002:808:808::1",
        ] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.200.3.4",
            "169.254.1.1",
            "172.16.0.0",
            "192.168.1.1",
            "192.0.2.1",
            "198.51.100.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "3fff::1",
            "4000::1",
            "2002:0a00:0001::1",
            "64:ff9b::10.0.0.1",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
    }
}
