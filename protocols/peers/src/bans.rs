//! Who is not let in, and until when.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use spacetime_core::{Address, Identity, carried};

use crate::target::Target;

/// Bans that are kept.
///
/// # Security
///
/// A peer with many identities or addresses can fill the list, 10,000 x about 200 bytes. Then the ban
/// that would have ended first gives way, which the attacker could have waited for; those that never
/// end, which only people make, give way last.
pub const MAX_BANS: usize = 10_000;

/// One ban.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ban {
    /// Who is not let in.
    pub target: Target,
    /// When it ends, in unix seconds; never if there is nothing here.
    pub until: Option<i64>,
    /// Why: an offence, or what whoever banned it wrote.
    pub reason: Box<str>,
}

/// All bans.
#[derive(Clone, Debug, Default)]
pub struct Bans {
    bans: BTreeMap<Target, (Option<i64>, Box<str>)>,
}

impl Bans {
    /// Adds a ban, or makes the one there is longer. Never shorter: take it back for that.
    pub(crate) fn add(&mut self, ban: Ban, unix_seconds: i64) {
        if self.bans.len() >= MAX_BANS {
            self.remove_ended(unix_seconds);
        }
        let ends = |until: Option<i64>| until.unwrap_or(i64::MAX);
        match self.bans.get_mut(&ban.target) {
            Some(before) if ends(before.0) >= ends(ban.until) => return,
            Some(before) => *before = (ban.until, ban.reason),
            None => {
                self.bans.insert(ban.target, (ban.until, ban.reason));
            }
        }
        if self.bans.len() > MAX_BANS
            && let Some(first) =
                self.bans.iter().min_by_key(|(_, (until, _))| ends(*until)).map(|(target, _)| target.clone())
        {
            self.bans.remove(&first);
        }
    }

    /// Takes a ban back. Whether there was one.
    pub(crate) fn remove(&mut self, target: &Target) -> bool {
        self.bans.remove(target).is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bans.is_empty()
    }

    fn remove_ended(&mut self, unix_seconds: i64) {
        self.bans.retain(|_, (until, _)| until.is_none_or(|until| until > unix_seconds));
    }

    /// Whether exactly this target is banned.
    pub(crate) fn is_banned(&self, target: &Target, unix_seconds: i64) -> bool {
        self.bans.get(target).is_some_and(|(until, _)| until.is_none_or(|until| until > unix_seconds))
    }

    /// Whether there is a ban that [is about](Target::is_about) somebody.
    pub(crate) fn hold(&self, address: &Address, identity: Option<&Identity>, unix_seconds: i64) -> bool {
        let is_banned = |target: &Target| self.is_banned(target, unix_seconds);
        let is_peer_banned = |peer_id| is_banned(&Target::Peer(peer_id));
        let is_place_banned = |it: &Address| is_banned(&Target::Endpoint(it.endpoint().clone()));
        address.ip().is_some_and(|ip| {
            self.holds(ip.to_canonical(), unix_seconds)
                || carried(ip) != ip.to_canonical() && self.holds(carried(ip), unix_seconds)
        }) || is_place_banned(address)
            || address.peer_id().is_some_and(is_peer_banned)
            || identity.is_some_and(|identity| match identity {
                Identity::Proven(peer_id) => is_peer_banned(*peer_id),
                Identity::Claimed { address, .. } => is_place_banned(address),
            })
    }

    fn holds(&self, ip: IpAddr, unix_seconds: i64) -> bool {
        let is_banned = |target| self.is_banned(&target, unix_seconds);
        // Few targets are wider than a host, and they stand next to each other; but a hundred lookups
        // are quick enough, and take as long whoever fills the list.
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        (0..=bits)
            .rev()
            .any(|bits| ipnet::IpNet::new(ip, bits).is_ok_and(|net| is_banned(Target::Network(net.trunc()))))
    }

    /// All bans that have not ended.
    pub fn iter(&self, unix_seconds: i64) -> impl Iterator<Item = Ban> {
        let current =
            self.bans.iter().filter(move |(_, (until, _))| until.is_none_or(|it| it > unix_seconds));
        current.map(|(target, (until, reason))| Ban {
            target: target.clone(),
            until: *until,
            reason: reason.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString as _;
    use alloc::vec::Vec;
    use core::net::SocketAddr;

    use spacetime_core::PeerId;

    use super::*;

    fn ban(target: &str, until: Option<i64>) -> Ban {
        Ban { target: target.parse().unwrap(), until, reason: "test".into() }
    }

    fn holds(bans: &Bans, ip: &str, at: i64) -> bool {
        bans.hold(&SocketAddr::new(ip.parse().unwrap(), 1).into(), None, at)
    }

    #[test]
    fn a_ban_holds_for_all_of_a_network_and_ends() {
        let mut bans = Bans::default();
        bans.add(ban("198.51.0.0/16", Some(100)), 0);
        bans.add(ban("2001:db8::/32", None), 0);
        for (ip, at, is_banned) in [
            ("198.51.100.7", 99, true),
            ("::ffff:198.51.100.7", 99, true),
            ("2002:c633:6407::1", 99, true),
            ("64:ff9b::198.51.100.7", 99, true),
            ("2001:0:5::39cc:9bf8", 99, true),
            ("198.51.100.7", 100, false),
            ("198.52.100.7", 0, false),
            ("2001:db8:7::1", i64::MAX, true),
            ("2001:db9::1", 0, false),
        ] {
            assert_eq!(holds(&bans, ip, at), is_banned, "{ip} at {at}");
        }
        assert_eq!(bans.iter(99).count(), 2);
        assert_eq!(bans.iter(100).count(), 1);
    }

    #[test]
    fn a_ban_gets_longer_and_never_shorter_but_can_be_taken_back() {
        let mut bans = Bans::default();
        for until in [Some(50), Some(100), Some(70)] {
            bans.add(ban("203.0.113.1", until), 0);
        }
        assert_eq!(Vec::from_iter(bans.iter(0)), [ban("203.0.113.1", Some(100))]);
        bans.add(ban("203.0.113.1", None), 0);
        bans.add(ban("203.0.113.1", Some(100)), 0);
        assert_eq!(Vec::from_iter(bans.iter(0)), [ban("203.0.113.1", None)]);
        assert!(bans.remove(&"203.0.113.1".parse().unwrap()));
        assert!(!holds(&bans, "203.0.113.1", 0));
    }

    #[test]
    fn bans_are_found_of_all_that_is_known_of_somebody() {
        let id = PeerId([7; 32]);
        let claimed = |at: &str| Identity::Claimed { address: at.parse().unwrap(), name: "anybody".into() };
        let pinned = format!("{id}@203.0.113.1:1");
        let cases = [
            ("203.0.113.1:1000", None),
            ("203.0.113.1:1000", Some(Identity::Proven(id))),
            ("203.0.113.1:1000", Some(claimed("203.0.113.1:1"))),
            ("203.0.113.1:1", None),
            (&pinned, None),
            ("[2002:cb00:7101::9]:1", None),
            ("[2001:db8:0:0:9::1]:1", Some(claimed("[2001:db8:0:0:9::1]:1"))),
            ("memory:5", None),
            ("memory:6", Some(claimed("memory:5"))),
        ];
        let targets = [
            &id.to_string(),
            "203.0.113.1",
            "203.0.0.0/8",
            "203.0.113.1:1",
            "203.0.113.1:1000",
            "2002:cb00:7101::/48",
            "2001:db8::/64",
            "2001:db8::1",
            "memory:5",
            "0.0.0.0/0",
            "::/0",
        ];
        let mut found = 0;
        for target in targets {
            let mut bans = Bans::default();
            bans.add(ban(target, None), 0);
            let target: Target = target.parse().unwrap();
            for (address, identity) in &cases {
                let address = address.parse().unwrap();
                let is_about = target.is_about(&address, identity.as_ref());
                assert_eq!(bans.hold(&address, identity.as_ref(), 0), is_about, "{target} {address}");
                found += usize::from(is_about);
            }
        }
        assert_eq!(found, 32);
    }

    #[test]
    fn a_full_list_forgets_what_ends_first_and_keeps_what_people_made() {
        let mut bans = Bans::default();
        bans.add(ban("198.51.0.0/16", None), 0);
        for number in 0..MAX_BANS as i64 {
            bans.add(ban(&format!("memory:{number}"), Some(1000 + number)), 0);
        }
        assert_eq!(bans.iter(0).count(), MAX_BANS);
        assert!(holds(&bans, "198.51.0.1", 0));
        assert!(!bans.is_banned(&"memory:0".parse().unwrap(), 0));
        assert!(bans.is_banned(&"memory:1".parse().unwrap(), 0));
    }
}
