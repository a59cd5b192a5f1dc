//! Who may connect, decided before anything is read and any cryptography is done.
//!
//! # Security
//!
//! To connect costs an attacker next to nothing, to secure a connection costs this node half a
//! millisecond, and for as long as nobody has said who is there the connection takes a place. So
//!
//! * a host and a group of hosts may connect only so often, also across reconnects;
//! * when all places are taken, whoever has most of them pays: the oldest connection from the network
//!   with the most makes room, unless the newcomer is from that network itself. A stranger from
//!   elsewhere always gets in, however many there are of the others.
//!
//! Whom the tree exempts, as it does those whom the user trusts, no rate holds back, and room is made for
//! it whatever its network is: a flood of its neighbours keeps it out no more.
//!
//! Rates are for public addresses: on a private network many nodes share one host. An attacker with
//! more hosts or groups than are remembered has each of them counted anew; places stay shared out all
//! the same.

use alloc::collections::BTreeMap;
use core::net::IpAddr;

use super::Swarm;
use super::network::Network;
use super::table::Connection;
use crate::address::Address;
use crate::admission::{Candidate, Stage, Verdict};
use crate::behaviour::NetworkBehaviour;
use crate::close::CloseReason;
use crate::connection::{ConnectionId, Direction};
use crate::limits::Limits;
use crate::origin::{Origin, network_of};
use crate::recent::Recent;
use crate::time::{Now, Time};
use crate::token_bucket::{Rate, TokenBucket};

/// Hosts and groups whose rates are remembered, 100 bytes each. There are 40,000 groups of IPv4.
const MAX_REMEMBERED: usize = 8192;

/// How often somebody has connected.
#[derive(Debug)]
pub(super) struct AcceptRates {
    hosts: Recent<Origin, TokenBucket>,
    groups: Recent<Origin, TokenBucket>,
}

impl AcceptRates {
    pub(super) const fn new() -> Self {
        Self { hosts: Recent::new(MAX_REMEMBERED), groups: Recent::new(MAX_REMEMBERED) }
    }

    /// Counts one more that comes from this address, or says why it comes too early.
    fn count(&mut self, address: &Address, limits: &Limits, now: Time) -> Result<(), &'static str> {
        let Some(ip) = address.ip() else { return Ok(()) };
        let (Some(host), Some(group)) = (Origin::host_at(ip), Origin::group_at(ip)) else {
            return Ok(());
        };
        // Who is refused pays nothing: a host that is over its rate costs its neighbours nothing, a network
        // that is over its own costs its hosts nothing, and makes nobody forget the others.
        let host_left = take(&self.hosts, &host, limits.accept_rate_per_host(), now)
            .ok_or("too many connections from this address")?;
        let group_left = take(&self.groups, &group, limits.accept_rate_per_group(), now)
            .ok_or("too many connections from this network")?;
        self.hosts.insert(host, host_left);
        self.groups.insert(group, group_left);
        Ok(())
    }
}

/// What one more connection leaves of a bucket; none if there is too little in it.
fn take(
    buckets: &Recent<Origin, TokenBucket>,
    origin: &Origin,
    rate: Rate,
    now: Time,
) -> Option<TokenBucket> {
    let mut bucket = buckets.get(origin).copied().unwrap_or_else(|| TokenBucket::new(rate.capacity, now));
    bucket.take(rate, now).then_some(bucket)
}

/// Why those who connected were not let in, and how many for each reason.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    by_reason: BTreeMap<&'static str, u64>,
}

impl Refusals {
    /// All reasons are this node's own words, so there are few.
    pub(super) fn count(&mut self, reason: &CloseReason) {
        let code = match reason {
            CloseReason::Insecure(error) => error.code(),
            CloseReason::Refused(why) => why,
            reason => reason.code(),
        };
        *self.by_reason.entry(code).or_default() += 1;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.by_reason.iter().map(|(reason, count)| (*reason, *count))
    }
}

impl<B: NetworkBehaviour> Swarm<B> {
    /// A peer connected. Nothing was read and no cryptography was done yet; on an error the driver
    /// drops the socket.
    ///
    /// Where all places for such connections are taken, it may make room for this one.
    pub fn handle_accept(&mut self, now: Now, address: Address) -> Result<ConnectionId, CloseReason> {
        self.advance(now);
        self.accept(address).inspect_err(|reason| self.network.refusals.count(reason))
    }

    fn accept(&mut self, address: Address) -> Result<ConnectionId, CloseReason> {
        if self.network.is_stopping {
            return Err(CloseReason::Shutdown);
        }
        let candidate = Candidate {
            stage: Stage::Accept,
            connection: None,
            direction: Direction::Inbound,
            address: &address,
            identity: None,
            info: None,
            sessions: self.network.table.sessions(),
            opening: self.network.table.opening(),
        };
        let verdict = self.behaviour.admit(&candidate);
        if let Verdict::Deny(why) = verdict {
            return Err(CloseReason::Refused(why));
        }
        let is_exempt = verdict == Verdict::AcceptExempt;
        let Network { accept_rates, limits, now, .. } = &mut self.network;
        if !is_exempt {
            accept_rates.count(&address, limits, now.time).map_err(CloseReason::Refused)?;
        }
        let is_full = self.network.table.opening() >= self.network.limits.max_opening();
        let newcomer = (!is_exempt).then_some(&address);
        let shed =
            is_full.then(|| self.network.choose_to_shed(newcomer).ok_or(CloseReason::Full)).transpose()?;
        let id = self.network.accept(address);
        if let Some(shed) = shed {
            self.network.close(shed, CloseReason::Full);
            self.settle();
        }
        Ok(id)
    }
}

impl Network {
    /// Who makes room for a newcomer from this address: the oldest from the network that has the
    /// most places. None if that is the newcomer's own, unless it is exempt and comes without an address.
    ///
    /// This looks at all connections, of which there are hundreds, and only where the places are taken.
    fn choose_to_shed(&self, newcomer: Option<&Address>) -> Option<ConnectionId> {
        /// The connections from one network: how many, and the oldest.
        struct Crowd {
            size: usize,
            oldest: (Time, ConnectionId),
        }
        // Those that come from no IP address are a network as well.
        let mut crowds: BTreeMap<Option<IpAddr>, Crowd> = BTreeMap::new();
        let is_opening = |it: &&(ConnectionId, &Connection)| !it.1.counts_as_session();
        for (id, connection) in self.table.iter().filter(|it| is_opening(&it)) {
            let crowd = crowds.entry(network_of(&connection.address));
            let this = (connection.opening.began(), id);
            let crowd = crowd.or_insert(Crowd { size: 0, oldest: this });
            crowd.size += 1;
            crowd.oldest = crowd.oldest.min(this);
        }
        let own = newcomer.and_then(|it| crowds.get(&network_of(it))).map_or(0, |crowd| crowd.size);
        let largest = crowds.values().map(|crowd| crowd.size).max()?;
        if own > 0 && own >= largest {
            return None;
        }
        crowds.values().filter(|crowd| crowd.size == largest).map(|crowd| crowd.oldest).min().map(|it| it.1)
    }
}
