//! What has been given to whom, or asked of whom, whatever connection it was on.

use alloc::vec::Vec;

use spacetime_core::{Origin, Peer, Recent, Time, TokenBucket};

use crate::config::Config;

/// Origins that are remembered. A peer has up to three; what is forgotten for lack of room is as if
/// it had never been.
pub(crate) const MAX_ORIGINS: usize = 4096;

/// One per peer and interval, a few per group.
///
/// # Security
///
/// A peer must have something left in each of its [`Origin`]s, so that neither another connection
/// nor another key gets it more, and many hosts of one operator get together what a few get.
#[derive(Debug)]
pub(crate) struct Quotas {
    buckets: Recent<Origin, TokenBucket>,
}

impl Quotas {
    pub(crate) const fn new() -> Self {
        Self { buckets: Recent::new(MAX_ORIGINS) }
    }

    /// Takes one out for this peer; else when there will be one.
    pub(crate) fn take(&mut self, config: &Config, peer: &Peer, now: Time) -> Result<(), Time> {
        let buckets: Vec<_> = Origin::all(peer)
            .map(|origin| {
                let rate = match origin {
                    Origin::Group(_) => config.group_rate(),
                    _ => config.peer_rate(),
                };
                let known = self.buckets.get(&origin).copied();
                let bucket = known.unwrap_or(TokenBucket::new(rate.capacity, now));
                (origin, bucket, rate)
            })
            .collect();
        let ready_at = buckets.iter().map(|(_, bucket, rate)| bucket.ready_at(*rate, now)).max();
        if let Some(later) = ready_at.filter(|at| *at > now) {
            return Err(later);
        }
        for (origin, mut bucket, rate) in buckets {
            let taken = bucket.take(rate, now);
            debug_assert!(taken, "each has one");
            self.buckets.insert(origin, bucket);
        }
        Ok(())
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.buckets.len()
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use spacetime_core::{Address, Direction, Identity, PeerId, PeerInfo};

    use super::*;

    fn peer(address: &str, id: Option<u8>) -> Peer {
        let address: Address = address.parse().unwrap();
        let identity = match id {
            Some(id) => Identity::Proven(PeerId([id; 32])),
            None => Identity::Claimed { address: address.clone(), name: "x".into() },
        };
        let direction = Direction::Inbound;
        let info = PeerInfo::default();
        Peer { identity, direction, address, established_at: Time::ZERO, info }
    }

    fn at(seconds: u64) -> Time {
        Time::from_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn neither_a_new_key_nor_a_new_host_gets_a_peer_more() {
        let config = Config::default();
        let mut quotas = Quotas::new();
        let mut take = |address, id, now| quotas.take(&config, &peer(address, id), at(now));
        assert_eq!(take("8.8.8.8:1", Some(1), 0), Ok(()));
        assert_eq!(take("8.8.8.8:2", Some(2), 10), Err(at(300)), "a new key");
        assert_eq!(take("9.9.9.9:3", Some(1), 10), Err(at(300)), "a new host");
        assert_eq!(take("9.9.9.9:3", Some(2), 10), Ok(()), "what was refused was not taken");
        assert_eq!(take("8.8.8.8:1", Some(1), 299), Err(at(300)));
        assert_eq!(take("8.8.8.8:1", Some(1), 300), Ok(()));
    }

    #[test]
    fn a_group_gets_a_few_together_and_no_other_group_pays_for_it() {
        let config = Config::default();
        let mut quotas = Quotas::new();
        let hosts = |quotas: &mut Quotas, group: u8, now| {
            (0..=255)
                .filter(|host| {
                    let address = alloc::format!("{group}.8.{now}.{host}:1");
                    quotas.take(&config, &peer(&address, None), at(now)).is_ok()
                })
                .count()
        };
        assert_eq!(hosts(&mut quotas, 8, 0), 8);
        assert_eq!(hosts(&mut quotas, 8, 38), 1);
        assert_eq!(hosts(&mut quotas, 9, 38), 8);
    }

    #[test]
    fn the_memory_of_many_peers_is_bounded() {
        let config = Config::default();
        let mut quotas = Quotas::new();
        for number in 0..20_000_u32 {
            let address = alloc::format!("{}.{}.1.1:1", 11 + number % 80, number / 80 % 250);
            let _ = quotas.take(&config, &peer(&address, Some(number as u8)), at(number.into()));
        }
        assert_eq!(quotas.len(), MAX_ORIGINS);
    }
}
