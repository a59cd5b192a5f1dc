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
