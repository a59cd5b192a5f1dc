//! Whom a ban, a trust or a score is about.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use spacetime_core::{Address, Endpoint, Identity, Origin, PeerId, carried};

/// Whom a ban, a trust or a score is about: something that a peer cannot change by connecting again.
///
/// Prints and parses as a peer id of 64 hexadecimal digits, an IP address, a network as
/// `198.51.0.0/16`, or `address:port`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Target {
    /// Who it has proven to be.
    Peer(PeerId),
    /// Where it comes from: one address, or all addresses of a network.
    Network(IpNet),
    /// Where it can be reached, on networks where many nodes share an IP address, or have none.
    Endpoint(Endpoint),
}

impl Target {
    /// The network of one host: its IPv4 address, or the /64 of its IPv6 address.
    pub fn host(ip: IpAddr) -> Self {
        let ip = ip.to_canonical();
        Self::network(ip, if ip.is_ipv4() { 32 } else { 64 })
    }

    /// The network with so many of the first bits of `ip`; the whole address if there are too many.
    fn network(ip: IpAddr, bits: u8) -> Self {
        Self::Network(IpNet::new(ip, bits).map_or_else(|_| ip.into(), |net| net.trunc()))
    }

    /// The host at an address; the address itself if that is not public.
    pub(crate) fn host_of(address: &Address) -> Self {
        let host = address.ip().and_then(Origin::host_at);
        host.map_or_else(|| Self::Endpoint(address.endpoint().clone()), Self::from)
    }

    /// Whether it is about peers that come from this address, or from one that [carries](carried) it.
    pub fn holds(&self, ip: IpAddr) -> bool {
        matches!(self, Self::Network(network)
            if network.contains(&ip.to_canonical()) || network.contains(&carried(ip)))
    }

    /// Whether it is about who is, or is to be reached, at this address, and is known to be this one.
    pub fn is_about(&self, address: &Address, identity: Option<&Identity>) -> bool {
        match self {
            Self::Network(_) => address.ip().is_some_and(|ip| self.holds(ip)),
            Self::Peer(peer_id) => {
                address.peer_id() == Some(*peer_id)
                    || identity.and_then(Identity::proven).is_some_and(|it| it == *peer_id)
            }
            Self::Endpoint(endpoint) => {
                let is_claimed = |it: &Identity| match it {
                    Identity::Claimed { address, .. } => address.endpoint() == endpoint,
                    Identity::Proven(_) => false,
                };
                address.endpoint() == endpoint || identity.is_some_and(is_claimed)
            }
        }
    }
}

impl From<Origin> for Target {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Peer(peer_id) => Self::Peer(peer_id),
            Origin::Host(ip) => Self::host(ip),
            Origin::Group(ip) => Self::network(ip, if ip.is_ipv4() { 16 } else { 32 }),
            Origin::Endpoint(endpoint) => Self::Endpoint(endpoint),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(peer_id) => peer_id.fmt(f),
            Self::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                network.addr().fmt(f)
            }
            Self::Network(network) => network.fmt(f),
            Self::Endpoint(endpoint) => endpoint.fmt(f),
        }
    }
}

/// A text that is no [`Target`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InvalidTarget {
    /// The text, cut to 100 characters.
    pub text: Box<str>,
}

impl fmt::Display for InvalidTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no peer: give a peer id of 64 hexadecimal digits, an IP address, a network as in \
             198.51.0.0/16, or an address with a port",
            self.text
        )
    }
}

impl core::error::Error for InvalidTarget {}

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        if let Ok(peer_id) = text.parse() {
            return Ok(Self::Peer(peer_id));
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Network(ip.to_canonical().into()));
        }
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network.trunc()));
        }
        let endpoint = text.parse().map(Self::Endpoint);
        endpoint.map_err(|_| InvalidTarget { text: text.chars().take(100).collect::<String>().into() })
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn prints_as_it_parses() {
        let id = "ab".repeat(32);
        for text in [
            &id,
            "203.0.113.1",
            "198.51.0.0/16",
            "2001:db8::/64",
            "2001:db8::1",
            "127.0.0.1:8333",
            "memory:7",
        ] {
            assert_eq!(text.parse::<Target>().expect(text).to_string(), *text);
        }
        assert_eq!("198.51.100.7/16".parse::<Target>().unwrap().to_string(), "198.51.0.0/16");
        assert_eq!("::ffff:203.0.113.1".parse::<Target>().unwrap().to_string(), "203.0.113.1");
        assert!("203.0.113.0/33".parse::<Target>().is_err());
        assert!("".parse::<Target>().is_err());
    }

    #[test]
    fn a_host_is_an_ipv4_address_or_the_64_of_an_ipv6_address() {
        let host = Target::host("2001:db8:1:2:3::4".parse().unwrap());
        assert_eq!(host.to_string(), "2001:db8:1:2::/64");
        assert!(host.holds("2001:db8:1:2::9".parse().unwrap()));
        assert!(!host.holds("2001:db8:1:3::9".parse().unwrap()));
        let host = Target::host("::ffff:203.0.113.1".parse().unwrap());
        assert!(host.holds("203.0.113.1".parse().unwrap()));
        assert!(!host.holds("203.0.113.2".parse().unwrap()));
    }
}
