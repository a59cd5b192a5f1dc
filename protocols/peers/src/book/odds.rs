//! The exact probability that an attacker's addresses are all that is dialled.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;

use spacetime_core::Now;

use super::AddressBook;
use super::select::{Moment, Worth};
use super::table::Members;
use crate::group::Group;

/// The largest number of draws for which [`AddressBook::capture_probability`] is computed.
const MAX_DRAWS: usize = 12;

impl AddressBook {
    /// The probability that outbound addresses, drawn with [`select`](Self::select) one after the
    /// other and each from another group, are all an attacker's. At most 12 draws, and no more than
    /// there are groups to draw from; zero if there is none.
    ///
    /// Exact, not sampled. A draw takes tried or new with equal chance, then a group that is not used
    /// up, then an address of it; a group has in each table a share that is the attacker's. So the
    /// chance of one order of draws is a product of shares, times a factor that depends only on how
    /// many groups were used up in each table before. Over all orders: elementary symmetric sums of
    /// the shares, times sums of those factors.
    pub fn capture_probability(
        &self,
        draws: usize,
        now: Now,
        is_attacker: impl Fn(&SocketAddr) -> bool,
    ) -> f64 {
        let moment = Moment { time: now.time, unix_seconds: self.unix_seconds };
        let mut groups: BTreeMap<Group, Shares> = BTreeMap::new();
        for worth in [Worth::Something, Worth::Nothing] {
            if groups.is_empty() {
                for members in self.tried.groups() {
                    if let Some(share) = self.share(members, moment, worth, &is_attacker) {
                        groups.entry(members.group).or_default().tried = Some(share);
                    }
                }
                for members in self.new.groups() {
                    if let Some(share) = self.share(members, moment, worth, &is_attacker) {
                        groups.entry(members.group).or_default().new = Some(share);
                    }
                }
            }
        }
        let draws = draws.min(MAX_DRAWS).min(groups.len());
        if draws == 0 { 0.0 } else { capture(draws, &groups.into_values().collect::<Vec<_>>()) }
    }

    /// How likely an address that is drawn from a group is the attacker's; none if none can be drawn.
    fn share(
        &self,
        members: &Members,
        moment: Moment,
        worth: Worth,
        is_attacker: &impl Fn(&SocketAddr) -> bool,
    ) -> Option<f64> {
        let (mut all, mut attackers) = (0, 0);
        for held in members.ids.iter().filter_map(|id| self.held(*id)) {
            let weight = held.weight(moment, worth);
            all += weight;
            attackers += if is_attacker(&held.entry.address) { weight } else { 0 };
        }
        (all > 0).then(|| attackers as f64 / all as f64)
    }
}

/// The attacker's shares of one group, in each table that has something of it.
#[derive(Default)]
struct Shares {
    tried: Option<f64>,
    new: Option<f64>,
}

/// How many groups were used up: of those in both tables by a tried and by a new address, of those
/// only in the tried table, and of those only in the new one.
type UsedUp = [usize; 4];

fn capture(draws: usize, groups: &[Shares]) -> f64 {
    let factorial = |count: &usize| (1..=*count).map(|it| it as f64).product::<f64>();
    let shares = products_of_shares(draws, groups);
    let chance = |(used_up, chance): (UsedUp, f64)| {
        let orders_of_equals: f64 = used_up.iter().map(factorial).product();
        chance * orders_of_equals * shares.get(&used_up).copied().unwrap_or(0.0)
    };
    chances_of_draws(draws, groups).into_iter().map(chance).sum()
}

/// The products of the shares of `draws` different groups and of fewer, summed over all choices.
fn products_of_shares(draws: usize, groups: &[Shares]) -> BTreeMap<UsedUp, f64> {
    let mut sums = BTreeMap::from([(UsedUp::default(), 1.0)]);
    for group in groups {
        let shares = match (group.tried, group.new) {
            (Some(tried), Some(new)) => [tried, new, 0.0, 0.0],
            (tried, new) => [0.0, 0.0, tried.unwrap_or(0.0), new.unwrap_or(0.0)],
        };
        let shorter = sums.iter().filter(|(used_up, _)| used_up.iter().sum::<usize>() < draws);
        let longer: Vec<_> = shorter.flat_map(|(used_up, sum)| one_more(*used_up, *sum, shares)).collect();
        for (used_up, sum) in longer {
            *sums.entry(used_up).or_insert(0.0) += sum;
        }
    }
    sums
}

/// The chances of `draws` draws but for the shares, summed over all orders.
fn chances_of_draws(draws: usize, groups: &[Shares]) -> BTreeMap<UsedUp, f64> {
    let tried = groups.iter().filter(|shares| shares.tried.is_some()).count();
    let new = groups.iter().filter(|shares| shares.new.is_some()).count();
    let of_one_group = |left: usize, left_in_other: usize| match (left, left_in_other) {
        (0, _) => 0.0,
        (left, 0) => 1.0 / left as f64,
        (left, _) => 0.5 / left as f64,
    };
    let mut sums = BTreeMap::from([(UsedUp::default(), 1.0)]);
    for _ in 0..draws {
        let mut longer = BTreeMap::new();
        for (used_up, sum) in sums {
            let [both_by_tried, both_by_new, only_tried, only_new] = used_up;
            let tried_left = tried.saturating_sub(both_by_tried + both_by_new + only_tried);
            let new_left = new.saturating_sub(both_by_tried + both_by_new + only_new);
            let (by_tried, by_new) = (of_one_group(tried_left, new_left), of_one_group(new_left, tried_left));
            for (used_up, sum) in one_more(used_up, sum, [by_tried, by_new, by_tried, by_new]) {
                *longer.entry(used_up).or_insert(0.0) += sum;
            }
        }
        sums = longer;
    }
    sums
}

/// One group more of each kind, and the number times the factor of that kind.
fn one_more(used_up: UsedUp, number: f64, factors: [f64; 4]) -> impl Iterator<Item = (UsedUp, f64)> {
    factors.into_iter().enumerate().filter(|(_, factor)| *factor > 0.0).map(move |(kind, factor)| {
        let mut used_up = used_up;
        used_up.iter_mut().skip(kind).take(1).for_each(|count| *count += 1);
        (used_up, number * factor)
    })
}
