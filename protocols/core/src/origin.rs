//! Where peers come from, for limits that outlast their connections.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::address::{Address, Endpoint};
use crate::connection::Direction;
use crate::hash::PeerId;
use crate::peer::Peer;
use crate::public::{carried, is_public};

/// Something about a peer that it cannot change by connecting again.
///
/// A limit that is kept by one of these holds on across reconnects. None of them is a name that
/// was only claimed: those cost nothing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Origin {
    /// Who it has proven to be. A new one costs a new key, which is little.
    Peer(PeerId),
    /// Its IPv4 address, or the /64 of its IPv6 address, which is what one host is given.
    Host(IpAddr),
    /// The /16 of its IPv4 or the /32 of its IPv6 address: what one operator is given.
    Group(IpAddr),
    /// Where it can be reached, if that is no public IP address. On a private network, and in a
    /// simulated one, hosts are not scarce, and many nodes share one.
    Endpoint(Endpoint),
}

impl Origin {
    /// The host of a peer: [`Host`](Self::Host) or [`Endpoint`](Self::Endpoint).
    pub fn host(peer: &Peer) -> Self {
        peer.address.ip().and_then(Self::host_at).unwrap_or_else(|| {
            let listens_at = listens_at(peer).map(Endpoint::Socket);
            Self::Endpoint(listens_at.unwrap_or_else(|| peer.address.endpoint().clone()))
        })
    }

    /// The group of a peer, if it has a public IP address.
    pub fn group(peer: &Peer) -> Option<Self> {
        peer.address.ip().and_then(Self::group_at)
    }

    /// The [`Host`](Self::Host) at an IP address, if that is public.
    pub fn host_at(ip: IpAddr) -> Option<Self> {
        is_public(ip).then(|| Self::Host(prefix(ip, 32, 64)))
    }

    /// The [`Group`](Self::Group) of an IP address, if that is public.
    pub fn group_at(ip: IpAddr) -> Option<Self> {
        is_public(ip).then(|| Self::Group(prefix(ip, 16, 32)))
    }

    /// Everything about a peer that it cannot change by connecting again.
    pub fn all(peer: &Peer) -> impl Iterator<Item = Self> {
        let proven = peer.identity.proven().map(Self::Peer);
        [proven, Some(Self::host(peer)), Self::group(peer)].into_iter().flatten()
    }
}

/// The network from which something comes, whether it is a public one or not: the /16 of an IPv4
/// address or the /32 of an IPv6 one.
pub(crate) fn network_of(address: &Address) -> Option<IpAddr> {
    address.ip().map(|ip| prefix(ip, 16, 32))
}

/// The address at which a peer takes connections, as far as that is known: the one that was
/// dialled, or the IP address from which it came with the port that it announced.
pub fn listens_at(peer: &Peer) -> Option<SocketAddr> {
    let socket = peer.address.socket_addr()?;
    match peer.direction {
        Direction::Outbound => Some(socket),
        Direction::Inbound => {
            let port = peer.info.announcement.as_ref()?.listen_port?;
            Some(SocketAddr::new(socket.ip(), port))
        }
    }
}

/// The address with only so many of its first bits.
fn prefix(ip: IpAddr, v4_bits: u32, v6_bits: u32) -> IpAddr {
    match carried(ip) {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - v4_bits).unwrap_or(0);
            Ipv4Addr::from_bits(ip.to_bits() & mask).into()
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - v6_bits).unwrap_or(0);
            Ipv6Addr::from_bits(ip.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::vec::Vec;

    use super::*;
    use crate::hash::Hash;
    use crate::peer::{Identity, PeerInfo};
    use crate::time::Time;
    use crate::wire::Announcement;

    fn peer(address: &str, direction: Direction, listen_port: Option<u16>) -> Peer {
        let address: Address = address.parse().unwrap();
        let announcement = Announcement {
            protocol_versions: (1, 1),
            chain_id: Hash::ZERO,
            listen_port,
            capabilities: Vec::new(),
            nonce: 1,
            best_block: None,
        };
        Peer {
            identity: Identity::Claimed { address: address.clone(), name: "anybody".into() },
            direction,
            address,
            established_at: Time::ZERO,
            info: PeerInfo { announcement: Some(Box::new(announcement)), ..PeerInfo::default() },
        }
    }

    #[test]
    fn another_port_or_name_is_no_other_origin_on_the_internet() {
        let origins = |address| Vec::from_iter(Origin::all(&peer(address, Direction::Inbound, None)));
        assert_eq!(origins("8.8.8.8:1000"), origins("8.8.8.8:1001"));
        assert_eq!(origins("8.8.8.8:1000")[1], origins("8.8.9.9:1001")[1], "the group");
        assert_ne!(origins("8.8.8.8:1000")[0], origins("8.8.9.9:1001")[0], "the host");
        assert_eq!(origins("[2a00:1450::1]:1"), origins("[2a00:1450:0:0:ffff::1]:1"), "a /64");
        assert_eq!(origins("[2a00:1450::1]:1")[1], origins("[2a00:1450:ffff::1]:1")[1], "a /32");
        for carries in
            ["[::ffff:8.8.8.8]:1", "[2002:808:808:5::7]:1", "[2001:0:5::f7f7:f7f7]:1", "[64:ff9b::8.8.8.8]:1"]
        {
            assert_eq!(origins(carries), origins("8.8.8.8:1"), "{carries}");
        }
    }

    #[test]
    fn on_a_private_network_each_node_is_its_own_origin() {
        let origins = |address, port| Vec::from_iter(Origin::all(&peer(address, Direction::Inbound, port)));
        assert_eq!(origins("127.0.0.1:1000", Some(8333)), origins("127.0.0.1:1001", Some(8333)));
        assert_ne!(origins("127.0.0.1:1000", Some(8333)), origins("127.0.0.1:1000", Some(8334)));
        assert_eq!(origins("memory:1", Some(8333)), [Origin::Endpoint(Endpoint::Memory(1))]);
    }

    #[test]
    fn where_it_listens_is_where_it_was_dialled_or_what_it_announced() {
        let at = |address, direction, port| {
            listens_at(&peer(address, direction, port)).map(|it| alloc::format!("{it}"))
        };
        assert_eq!(at("8.8.8.8:1000", Direction::Outbound, Some(5)).as_deref(), Some("8.8.8.8:1000"));
        assert_eq!(at("8.8.8.8:1000", Direction::Inbound, Some(5)).as_deref(), Some("8.8.8.8:5"));
        assert_eq!(at("8.8.8.8:1000", Direction::Inbound, None), None);
        assert_eq!(at("memory:1", Direction::Inbound, Some(5)), None);
    }
}
