//! Who makes room when no place is left for another peer that connects.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

use spacetime_core::{ConnectionId, Origin, Rng, Time};

/// What an inbound peer has to show for itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Its connection.
    pub connection: ConnectionId,
    /// Where it comes from.
    pub group: Origin,
    /// Since when it is connected.
    pub established_at: Time,
    /// The shortest round trip that was measured.
    pub min_round_trip: Option<Duration>,
    /// When it was of use for the last time.
    pub useful_at: Option<Time>,
}

/// Inbound peers that are protected for the group from which they come (Bitcoin Core).
pub const PROTECTED_BY_GROUP: usize = 4;
/// Inbound peers that are protected for being near (Bitcoin Core).
pub const PROTECTED_BY_ROUND_TRIP: usize = 8;
/// Inbound peers that are protected for having been of use (Bitcoin Core: 4 for transactions, 4 for
/// blocks).
pub const PROTECTED_BY_USE: usize = 8;

/// Chooses who makes room, if anybody may be asked to (Bitcoin Core).
///
/// # Security
///
/// An attacker with thousands of connections wants to displace honest peers. So those are protected
/// who have what is hard to forge: [`PROTECTED_BY_GROUP`] of groups that a secret favours, which
/// nobody can choose to be in; [`PROTECTED_BY_ROUND_TRIP`] who are nearest; [`PROTECTED_BY_USE`] who
/// brought something last; and of the others the half that is connected for longest. Of the rest the
/// youngest of the largest group goes: the attacker's own, unless it has more groups than all honest
/// peers together.
pub fn choose(mut candidates: Vec<Candidate>, group_secret: &Rng) -> Option<ConnectionId> {
    let favour = |group: &Origin| group_secret.fork(&format!("{group:?}")).u64();
    let favours: BTreeMap<_, _> = candidates.iter().map(|it| (it.group.clone(), favour(&it.group))).collect();
    protect(&mut candidates, PROTECTED_BY_GROUP, |it| favours.get(&it.group).copied());
    protect(&mut candidates, PROTECTED_BY_ROUND_TRIP, |it| it.min_round_trip);
    protect(&mut candidates, PROTECTED_BY_USE, |it| it.useful_at.map(Reverse));
    let half = candidates.len() / 2;
    protect(&mut candidates, half, |it| Some(it.established_at));

    let mut groups: BTreeMap<Origin, (usize, Time)> = BTreeMap::new();
    for candidate in &candidates {
        let (count, youngest) = groups.entry(candidate.group.clone()).or_insert((0, Time::ZERO));
        *count += 1;
        *youngest = candidate.established_at.max(*youngest);
    }
    let (largest, _) = groups.into_iter().max_by_key(|(_, size)| *size)?;
    let of_it = candidates.into_iter().filter(|it| it.group == largest);
    of_it.max_by_key(|it| (it.established_at, it.connection)).map(|it| it.connection)
}

/// Takes out of those who may have to go the first `count` in an order, of those who have a place in it.
fn protect<K: Ord>(
    candidates: &mut Vec<Candidate>,
    count: usize,
    mut order: impl FnMut(&Candidate) -> Option<K>,
) {
    // Those without a place last; of equals the older connection first.
    candidates.sort_by_cached_key(|it| {
        let place = order(it);
        (place.is_none(), place, it.connection)
    });
    let has_place = candidates.iter().take(count).take_while(|it| order(it).is_some()).count();
    candidates.drain(..has_place);
}
