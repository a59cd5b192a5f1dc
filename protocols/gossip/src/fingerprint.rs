//! Addresses as numbers that nobody outside can predict.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use spacetime_core::{Hash, Rng, Time};

/// How long an address goes to the same peers.
const ROTATION: Duration = Duration::from_secs(24 * 3600);

/// An address under this node's secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Fingerprint(u64);

/// The secret of a node.
pub(crate) struct Secret([u8; 32]);

impl Secret {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self(rng.bytes())
    }

    pub(crate) fn fingerprint(&self, address: SocketAddr) -> Fingerprint {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let hash = Hash::of_parts(&[&self.0, &ip.octets(), &address.port().to_le_bytes()]);
        let first = hash.as_bytes().first_chunk().copied().unwrap_or_default();
        Fingerprint(u64::from_le_bytes(first))
    }
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret")
    }
}

impl Fingerprint {
    /// How well a peer suits the address: it goes to those with the highest ranks. For a day they
    /// are the same, then others, and not for all addresses at the same moment.
    pub(crate) fn rank(self, peer: u64, now: Time) -> u64 {
        let rotation = ROTATION.as_nanos() as u64;
        let day = now.as_nanos().saturating_add(self.0 % rotation) / rotation;
        mix(mix(self.0 ^ day) ^ peer)
    }
}

/// The finalizer of SplitMix64: every bit of the number changes half of the result. What goes in is
/// secret, so it need not be more than that.
const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn an_address_has_another_fingerprint_in_each_node() {
        let [one, other] = [1, 2].map(|seed| Secret::new(&mut Rng::from_number(seed)));
        let address = "9.9.9.9:1".parse().unwrap();
        assert_eq!(one.fingerprint(address), one.fingerprint(address));
        assert_ne!(one.fingerprint(address), other.fingerprint(address));
        assert_ne!(one.fingerprint(address), one.fingerprint("9.9.9.9:2".parse().unwrap()));
    }

    #[test]
    fn an_address_has_one_favourite_a_day_and_all_peers_have_their_turns() {
        let hours = |hours: u64| Time::from_epoch(Duration::from_secs(hours * 3600));
        let favourite = |address: u64, now| (0..10).max_by_key(|it| Fingerprint(address).rank(mix(*it), now));
        let changes = (0..240).filter(|it| favourite(77, hours(*it)) != favourite(77, hours(it + 1))).count();
        assert!((5..=10).contains(&changes), "{changes} in ten days");
        let mut counts = [0; 10];
        for address in 0..10_000 {
            counts[favourite(mix(address), hours(0)).unwrap() as usize] += 1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
        let changed_by = |hour: u64| {
            let changed = |it: &u64| favourite(mix(*it), hours(0)) != favourite(mix(*it), hours(hour));
            (0..1000).filter(changed).count()
        };
        let over_the_day = Vec::from_iter([6, 12, 24].map(changed_by));
        assert!(over_the_day.is_sorted() && over_the_day[0] > 150 && over_the_day[0] < 300);
    }
}
