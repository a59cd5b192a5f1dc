//! What belongs together: addresses that one party is likely to control.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};
use spacetime_core::{carried, is_public};

use crate::admission::AddressRules;

/// Addresses that one party is likely to control, and that are expensive to have many of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Group {
    /// The /16 of an IPv4 address, also of one that an IPv6 address carries.
    V4([u8; 2]),
    /// The /32 of an IPv6 address: what a provider is given.
    V6([u8; 4]),
    /// An autonomous system, where the user gave an [`AsnMap`] that knows the address.
    Asn(u32),
    /// One socket of a private network, where those are allowed: many nodes on one host are
    /// different ones.
    Private(SocketAddr),
}

/// Addresses of one customer of a provider: IPv4 /24, IPv6 /48 (seed).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Subnet {
    /// The /24 of an IPv4 address.
    V4([u8; 3]),
    /// The /48 of an IPv6 address.
    V6([u8; 6]),
    /// One socket of a private network, where those are allowed.
    Private(SocketAddr),
}

impl Subnet {
    /// The first and the last socket address of the subnet, in the order of socket addresses.
    pub(crate) fn bounds(self) -> (SocketAddr, SocketAddr) {
        let (first, last): (IpAddr, IpAddr) = match self {
            Self::V4([a, b, c]) => ([a, b, c, 0].into(), [a, b, c, 255].into()),
            Self::V6([a, b, c, d, e, f]) => {
                let prefix = u128::from_be_bytes([a, b, c, d, e, f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                (Ipv6Addr::from_bits(prefix).into(), Ipv6Addr::from_bits(prefix | (u128::MAX >> 48)).into())
            }
            Self::Private(address) => return (address, address),
        };
        (SocketAddr::new(first, 0), SocketAddr::new(last, u16::MAX))
    }
}

/// How addresses are grouped.
#[derive(Clone, Debug, Default)]
pub struct Grouping {
    rules: AddressRules,
    asns: Option<Arc<AsnMap>>,
}

impl Grouping {
    /// Groups by autonomous system where `asns` knows it, else by prefix.
    pub const fn new(rules: AddressRules, asns: Option<Arc<AsnMap>>) -> Self {
        Self { rules, asns }
    }

    /// The group of an address.
    pub fn group(&self, address: SocketAddr) -> Group {
        let address = canonical(address);
        if self.is_private(address) {
            return Group::Private(address);
        }
        let ip = carried(address.ip());
        if let Some(asn) = self.asns.as_ref().and_then(|asns| asns.get(ip)) {
            return Group::Asn(asn);
        }
        match ip {
            IpAddr::V4(ip) => {
                let [a, b, ..] = ip.octets();
                Group::V4([a, b])
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.octets();
                Group::V6([a, b, c, d])
            }
        }
    }

    /// The subnet of an address.
    pub fn subnet(&self, address: SocketAddr) -> Subnet {
        let address = canonical(address);
        if self.is_private(address) {
            return Subnet::Private(address);
        }
        match address.ip() {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Subnet::V4([a, b, c])
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, ..] = ip.octets();
                Subnet::V6([a, b, c, d, e, f])
            }
        }
    }

    fn is_private(&self, address: SocketAddr) -> bool {
        self.rules.allow_private && !is_public(address.ip())
    }
}

/// One host, one address: no mapped forms, and neither flow nor scope is part of where a host is.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Which autonomous system a network belongs to: a table of prefixes; the longest one that holds an
/// address counts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AsnMap {
    /// Where a stretch of addresses with one answer begins, in order. IPv4 is in ::ffff:0:0/96.
    stretches: Vec<(u128, Option<u32>)>,
}

/// A prefix that no [`AsnMap`] can hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidPrefix {
    /// The network that was given.
    pub network: IpAddr,
    /// Its length in bits: at most 32 or 128, with nothing after it in the network.
    pub length: u8,
}

impl fmt::Display for InvalidPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network, length } = self;
        write!(f, "{network}/{length} is no prefix: it is too long, or has bits set after its length")
    }
}

impl core::error::Error for InvalidPrefix {}

impl AsnMap {
    /// A map of `(network, length in bits, number of the autonomous system)`, in any order. Of two
    /// equal prefixes the later one counts.
    ///
    /// # Errors
    ///
    /// A length beyond 32 or 128 bits, or a network with bits set after it.
    pub fn new(prefixes: impl IntoIterator<Item = (IpAddr, u8, u32)>) -> Result<Self, InvalidPrefix> {
        let mut ranges = Vec::new();
        for (network, length, asn) in prefixes {
            let (bits, before) = match network {
                IpAddr::V4(_) => (32, 96),
                IpAddr::V6(_) => (128, 0),
            };
            let first = number(network);
            let tail = u128::MAX.checked_shr(u32::from(length) + before).unwrap_or(0);
            if length > bits || first & tail != 0 {
                return Err(InvalidPrefix { network, length });
            }
            ranges.push((first, first | tail, asn));
        }
        // A network before those inside of it.
        ranges.sort_by_key(|(first, last, _)| (*first, core::cmp::Reverse(*last)));
        let mut map = Self::default();
        let mut around: Vec<(u128, u32)> = Vec::new();
        for (first, last, asn) in ranges {
            map.leave(&mut around, Some(first));
            around.push((last, asn));
            map.begin(first, Some(asn));
        }
        map.leave(&mut around, None);
        Ok(map)
    }

    /// Ends the networks that end before `next`, the innermost first.
    fn leave(&mut self, around: &mut Vec<(u128, u32)>, next: Option<u128>) {
        while let Some((last, _)) = around.pop_if(|(last, _)| next.is_none_or(|next| *last < next)) {
            if let Some(after) = last.checked_add(1) {
                self.begin(after, around.last().map(|(_, asn)| *asn));
            }
        }
    }

    fn begin(&mut self, first: u128, asn: Option<u32>) {
        match self.stretches.last_mut() {
            Some(before) if before.0 == first => before.1 = asn,
            _ => self.stretches.push((first, asn)),
        }
    }

    /// The autonomous system of an address, if the map knows it.
    pub fn get(&self, ip: IpAddr) -> Option<u32> {
        let ip = number(ip);
        let after = self.stretches.partition_point(|(first, _)| *first <= ip);
        self.stretches.get(after.checked_sub(1)?)?.1
    }
}

fn number(ip: IpAddr) -> u128 {
    let ip = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    Ipv6Addr::to_bits(ip)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn socket(text: &str) -> SocketAddr {
        text.parse().expect(text)
    }

    #[test]
    fn addresses_are_grouped_by_what_a_provider_is_given() {
        let grouping = Grouping::default();
        for (address, group, subnet) in [
            ("203.0.113.9:1", Group::V4([203, 0]), Subnet::V4([203, 0, 113])),
            ("[::ffff:203.0.113.9]:1", Group::V4([203, 0]), Subnet::V4([203, 0, 113])),
            ("[2001:db8:1:2::3]:1", Group::V6([0x20, 1, 0xd, 0xb8]), Subnet::V6([0x20, 1, 0xd, 0xb8, 0, 1])),
            // Private networks are ordinary ones where they are not allowed.
            ("10.1.2.3:1", Group::V4([10, 1]), Subnet::V4([10, 1, 2])),
        ] {
            let address = socket(address);
            assert_eq!((grouping.group(address), grouping.subnet(address)), (group, subnet), "{address}");
        }
    }

    #[test]
    fn one_ipv4_address_is_in_one_group_however_it_is_wrapped() {
        let grouping = Grouping::default();
        for wrapped in ["[2002:cb00:7109::1]:1", "[64:ff9b::cb00:7109]:1", "[2001:0:1:2:3:4:34ff:8ef6]:1"] {
            assert_eq!(grouping.group(socket(wrapped)), Group::V4([203, 0]), "{wrapped}");
        }
    }

    #[test]
    fn where_private_addresses_are_allowed_each_socket_is_a_group() {
        let grouping = Grouping::new(AddressRules { allow_private: true }, None);
        let (a, b) = (socket("127.0.0.1:1"), socket("127.0.0.1:2"));
        assert_eq!((grouping.group(a), grouping.subnet(a)), (Group::Private(a), Subnet::Private(a)));
        assert_ne!(grouping.group(a), grouping.group(b));
        assert_eq!(grouping.group(socket("[::ffff:127.0.0.1]:1")), Group::Private(a));
        assert_eq!(grouping.group(socket("203.0.113.9:1")), Group::V4([203, 0]));
    }

    #[test]
    fn a_subnet_is_what_lies_between_its_bounds() {
        for (address, first, last) in [
            ("203.0.113.9:7", "203.0.113.0:0", "203.0.113.255:65535"),
            ("[2001:db8:1:2::3]:7", "[2001:db8:1::]:0", "[2001:db8:1:ffff:ffff:ffff:ffff:ffff]:65535"),
        ] {
            assert_eq!(Grouping::default().subnet(socket(address)).bounds(), (socket(first), socket(last)));
        }
    }

    #[test]
    fn autonomous_systems_group_what_their_map_knows() {
        let asns = AsnMap::new([("203.0.0.0".parse().expect("an IP"), 8, 64_500)]).expect("prefixes");
        let grouping = Grouping::new(AddressRules::default(), Some(Arc::new(asns)));
        assert_eq!(grouping.group(socket("203.0.113.9:1")), Group::Asn(64_500));
        assert_eq!(grouping.group(socket("[2002:cb00:7109::1]:1")), Group::Asn(64_500));
        assert_eq!(grouping.group(socket("204.0.113.9:1")), Group::V4([204, 0]));
    }

    #[test]
    fn a_prefix_with_bits_after_its_length_is_refused() {
        for (network, length) in
            [("203.0.113.1", 24), ("203.0.113.0", 33), ("2001:db8::1", 32), ("2001:db8::", 129)]
        {
            let network: IpAddr = network.parse().expect(network);
            assert_eq!(AsnMap::new([(network, length, 1)]), Err(InvalidPrefix { network, length }));
        }
        assert!(
            AsnMap::new([("::".parse().expect("an IP"), 0, 1), ("1.2.3.4".parse().expect("an IP"), 32, 2)])
                .is_ok()
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Few bits, so that prefixes lie inside of each other.
        #[test]
        fn the_longest_prefix_that_holds_an_address_counts(
            prefixes in prop::collection::vec((any::<u8>(), 0_u8..=8, 0_u32..9), 0..20),
            ip in any::<u8>(),
        ) {
            let prefixes: Vec<(u8, u8, u32)> = prefixes
                .into_iter()
                .map(|(bits, length, asn)| (bits & !0xff_u8.checked_shr(length.into()).unwrap_or(0), length, asn))
                .collect();
            // Of equal ones the later counts, as does the last of the longest.
            let longest = prefixes
                .iter()
                .filter(|(bits, length, _)| (ip ^ bits) & !0xff_u8.checked_shr((*length).into()).unwrap_or(0) == 0)
                .max_by_key(|(_, length, _)| *length);
            for last_bits in [false, true] {
                let wide = |byte: u8| match last_bits {
                    false => IpAddr::from([byte, 0, 0, 0]),
                    true => IpAddr::from([0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xff00 | u16::from(byte)]),
                };
                let offset = if last_bits { 120 } else { 0 };
                let map = AsnMap::new(prefixes.iter().map(|(bits, length, asn)| (wide(*bits), length + offset, *asn)));
                prop_assert_eq!(map.expect("prefixes").get(wide(ip)), longest.map(|(_, _, asn)| *asn));
            }
        }
    }
}
