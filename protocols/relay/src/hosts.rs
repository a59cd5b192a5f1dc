//! What is remembered of the hosts that peers are on, whatever connections they have.

use alloc::collections::BTreeMap;
use core::time::Duration;

use spacetime_core::{Origin, Rate, Recent, Time, TokenBucket};

use crate::pending::Share;
use crate::rate::Allowance;

/// Hosts without a connection that are remembered, the one that left last for longest.
///
/// # Security
///
/// Who connects again goes on where it was. About 250 bytes each: 1 MB. Whoever has more hosts than
/// this has a fresh allowance on each of them anyway.
const MAX_GONE: usize = 4096;

/// How often a host may ask for the pool.
const POOL_REQUESTS: Rate = Rate { capacity: 2, interval: Duration::from_secs(10) };

/// A host: all that its connections share.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) allowance: Allowance,
    pub(crate) share: Share,
    pool_requests: TokenBucket,
    connections: usize,
}

impl Host {
    fn new(rate: Rate, now: Time) -> Self {
        Self {
            allowance: Allowance::new(rate, now),
            share: Share::default(),
            pool_requests: TokenBucket::new(1, now),
            connections: 0,
        }
    }

    /// Whether it is told once more what is in the pool.
    pub(crate) fn may_ask_for_pool(&mut self, now: Time) -> bool {
        self.pool_requests.take(POOL_REQUESTS, now)
    }
}

/// All hosts: those that are connected, and those that were of late.
#[derive(Debug)]
pub(crate) struct Hosts {
    here: BTreeMap<Origin, Host>,
    gone: Recent<Origin, Host>,
}

impl Hosts {
    pub(crate) const fn new() -> Self {
        Self { here: BTreeMap::new(), gone: Recent::new(MAX_GONE) }
    }

    /// A host has one connection more.
    pub(crate) fn enter(&mut self, origin: &Origin, rate: Rate, now: Time) {
        let gone = &mut self.gone;
        let fresh = || gone.remove(origin).unwrap_or_else(|| Host::new(rate, now));
        self.here.entry(origin.clone()).or_insert_with(fresh).connections += 1;
    }

    /// A host has one connection less.
    pub(crate) fn leave(&mut self, origin: &Origin) {
        let Some(host) = self.here.get_mut(origin) else { return };
        host.connections -= 1;
        if host.connections == 0
            && let Some(host) = self.here.remove(origin)
        {
            self.gone.insert(origin.clone(), host);
        }
    }

    /// A host that is connected, or is remembered.
    pub(crate) fn get_mut(&mut self, origin: &Origin) -> Option<&mut Host> {
        self.here.get_mut(origin).or_else(|| self.gone.get_mut(origin))
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    const RATE: Rate = Rate { capacity: 100, interval: Duration::from_millis(100) };

    fn origin(number: u32) -> Origin {
        Origin::Host(Ipv4Addr::from_bits(0x0800_0000 + number).into())
    }

    fn has_asked(hosts: &mut Hosts, number: u32) -> bool {
        !hosts.get_mut(&origin(number)).unwrap().may_ask_for_pool(Time::ZERO)
    }

    #[test]
    fn a_host_is_one_however_many_connections_it_has_and_after_all_of_them() {
        let mut hosts = Hosts::new();
        hosts.enter(&origin(1), RATE, Time::ZERO);
        hosts.enter(&origin(1), RATE, Time::ZERO);
        assert!(!has_asked(&mut hosts, 1));
        hosts.leave(&origin(1));
        assert!(has_asked(&mut hosts, 1));
        hosts.leave(&origin(1));
        assert!(has_asked(&mut hosts, 1) && hosts.here.is_empty());
        hosts.enter(&origin(1), RATE, Time::ZERO);
        assert!(has_asked(&mut hosts, 1) && hosts.gone.is_empty());
    }

    #[test]
    fn of_those_that_left_the_last_are_remembered() {
        let mut hosts = Hosts::new();
        for number in 0..=MAX_GONE as u32 {
            hosts.enter(&origin(number), RATE, Time::ZERO);
            hosts.leave(&origin(number));
        }
        assert!(hosts.get_mut(&origin(0)).is_none() && hosts.get_mut(&origin(1)).is_some());
        assert_eq!(hosts.gone.len(), MAX_GONE);
    }
}
