//! Who is not let in, and until when.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

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
        self.remove_ended(unix_seconds);
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

    fn remove_ended(&mut self, unix_seconds: i64) {
        self.bans.retain(|_, (until, _)| until.is_none_or(|until| until > unix_seconds));
    }

    /// Whether exactly this target is banned.
    pub(crate) fn is_banned(&self, target: &Target, unix_seconds: i64) -> bool {
        self.bans.get(target).is_some_and(|(until, _)| until.is_none_or(|until| until > unix_seconds))
    }

    /// Whether peers that come from this address are banned.
    pub(crate) fn holds(&self, ip: IpAddr, unix_seconds: i64) -> bool {
        let is_banned = |target| self.is_banned(&target, unix_seconds);
        let ip = ip.to_canonical();
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
    use alloc::vec::Vec;

    use super::*;

    fn ban(target: &str, until: Option<i64>) -> Ban {
        Ban { target: target.parse().unwrap(), until, reason: "test".into() }
    }

    #[test]
    fn a_ban_holds_for_all_of_a_network_and_ends() {
        let mut bans = Bans::default();
        bans.add(ban("198.51.0.0/16", Some(100)), 0);
        bans.add(ban("2001:db8::/32", None), 0);
        for (ip, at, is_banned) in [
            ("198.51.100.7", 99, true),
            ("::ffff:198.51.100.7", 99, true),
            ("198.51.100.7", 100, false),
            ("198.52.100.7", 0, false),
            ("2001:db8:7::1", i64::MAX, true),
            ("2001:db9::1", 0, false),
        ] {
            assert_eq!(bans.holds(ip.parse().unwrap(), at), is_banned, "{ip} at {at}");
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
        assert!(!bans.holds("203.0.113.1".parse().unwrap(), 0));
    }

    #[test]
    fn a_full_list_forgets_what_ends_first_and_keeps_what_people_made() {
        let mut bans = Bans::default();
        bans.add(ban("198.51.0.0/16", None), 0);
        for number in 0..MAX_BANS as i64 {
            bans.add(ban(&format!("memory:{number}"), Some(1000 + number)), 0);
        }
        assert_eq!(bans.iter(0).count(), MAX_BANS);
        assert!(bans.holds("198.51.0.1".parse().unwrap(), 0));
        assert!(!bans.is_banned(&"memory:0".parse().unwrap(), 0));
        assert!(bans.is_banned(&"memory:1".parse().unwrap(), 0));
    }
}
