//! What peers have earned.

use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};
use spacetime_core::{Recent, Severity};

use crate::target::Target;

/// Scores that are remembered. The one that changed longest ago is forgotten first.
///
/// # Security
///
/// About 300 bytes each. An attacker with 10,000 addresses can wash its own away by offending once
/// with each of the others; with that many it has no need to.
pub const MAX_STANDINGS: usize = 10_000;

/// The most that good deeds add up to, so that nobody saves up for a great offence.
pub const MAX_SCORE: i32 = 10;

/// How scores are reckoned. Defaults marked "seed" are those of the reference node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ReputationRules {
    /// What being of use earns: 1 (seed).
    pub reward: i32,
    /// What an offence that happens to honest peers costs: 1.
    pub minor: i32,
    /// What an offence costs that a broken peer may commit: 2 (the seed's price of a failure).
    pub serious: i32,
    /// What an offence costs that no honest peer commits: 10.
    pub grave: i32,
    /// The score at which a peer is banned: -10 (seed).
    pub min_score: i32,
    /// Offences without any good deed in between at which a session ends: 5 (seed).
    pub max_failures_in_a_row: u32,
    /// How long until a score is one point closer to 0: 1 hour. The seed forgives nothing.
    pub forgive_interval: Duration,
}

impl Default for ReputationRules {
    fn default() -> Self {
        Self {
            reward: 1,
            minor: 1,
            serious: 2,
            grave: 10,
            min_score: -10,
            max_failures_in_a_row: 5,
            forgive_interval: Duration::from_secs(3600),
        }
    }
}

/// What somebody has earned so far.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Standing {
    /// Who.
    pub target: Target,
    /// Below 0 if there were more offences than good deeds.
    pub score: i32,
    /// Offences since the last good deed.
    pub failures_in_a_row: u32,
    /// When the score was last reckoned, in unix seconds.
    pub as_of: i64,
}

/// What an offence leads to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Sentence {
    /// Nothing yet.
    None,
    /// The session ends: it fails too often.
    Close,
    /// And there will be none for a while.
    Ban,
}

/// The scores of all who did anything.
#[derive(Clone, Debug)]
pub struct Reputation {
    rules: ReputationRules,
    standings: Recent<Target, (i32, u32, i64)>,
}

impl Reputation {
    /// Nobody has done anything yet.
    pub(crate) const fn new(rules: ReputationRules) -> Self {
        Self { rules, standings: Recent::new(MAX_STANDINGS) }
    }

    /// The score of somebody; 0 for those who are not known.
    pub fn score(&self, target: &Target, unix_seconds: i64) -> i32 {
        self.get(target, unix_seconds).0
    }

    /// The score, the failures in a row, and the moment from which on time forgives the next point.
    fn get(&self, target: &Target, unix_seconds: i64) -> (i32, u32, i64) {
        let Some((score, failures, as_of)) = self.standings.get(target) else { return (0, 0, unix_seconds) };
        let interval_seconds = self.rules.forgive_interval.as_secs().max(1);
        let elapsed_seconds = unix_seconds.saturating_sub(*as_of).max(0).unsigned_abs();
        let forgiven = elapsed_seconds / interval_seconds;
        if forgiven > 0 && forgiven >= u64::from(score.unsigned_abs()) {
            return (0, 0, unix_seconds);
        }
        if *score == 0 {
            // On its way through 0; the failures in a row still count.
            return (0, *failures, (*as_of).min(unix_seconds));
        }
        let rest_seconds = (elapsed_seconds % interval_seconds).cast_signed();
        let left = i64::from(score.unsigned_abs()) - forgiven.cast_signed();
        let score = i32::try_from(left).unwrap_or(i32::MAX).saturating_mul(score.signum());
        (score, *failures, unix_seconds.saturating_sub(rest_seconds))
    }

    /// Somebody was of use.
    pub(crate) fn reward(&mut self, target: Target, unix_seconds: i64) {
        let (score, _, as_of) = self.get(&target, unix_seconds);
        let as_of = if score == 0 { unix_seconds } else { as_of };
        let score = score.saturating_add(self.rules.reward).min(MAX_SCORE);
        self.standings.insert(target, (score, 0, as_of));
    }

    /// Somebody offended. `shared_by` is how many honest peers may stand behind the same target: it
    /// takes as many times the price to condemn it.
    pub(crate) fn charge(
        &mut self,
        target: Target,
        severity: Severity,
        shared_by: i32,
        unix_seconds: i64,
    ) -> Sentence {
        let rules = self.rules;
        let price = match severity {
            Severity::Minor => rules.minor,
            Severity::Serious => rules.serious,
            Severity::Grave => rules.grave,
        };
        let (score, failures, as_of) = self.get(&target, unix_seconds);
        let as_of = if score == 0 { unix_seconds } else { as_of };
        let (score, failures) = (score.saturating_sub(price), failures.saturating_add(1));
        self.standings.insert(target, (score, failures, as_of));
        if score <= rules.min_score.saturating_mul(shared_by) {
            Sentence::Ban
        } else if failures >= rules.max_failures_in_a_row.saturating_mul(shared_by.unsigned_abs()) {
            Sentence::Close
        } else {
            Sentence::None
        }
    }

    /// Forgets what somebody did.
    pub(crate) fn pardon(&mut self, target: &Target, unix_seconds: i64) {
        if self.standings.get(target).is_some() {
            self.standings.insert(target.clone(), (0, 0, unix_seconds));
        }
    }

    /// Everybody of whom something is left, to be stored.
    pub fn standings(&self, unix_seconds: i64) -> Vec<Standing> {
        let known = self.standings.iter().map(|(target, _)| target);
        known
            .filter_map(|target| {
                let (score, failures_in_a_row, as_of) = self.get(target, unix_seconds);
                let target = target.clone();
                (score != 0 || failures_in_a_row != 0).then_some(Standing {
                    target,
                    score,
                    failures_in_a_row,
                    as_of,
                })
            })
            .collect()
    }

    /// Takes in what was stored, with stamps in the future taken for now.
    pub(crate) fn restore(&mut self, standings: impl IntoIterator<Item = Standing>, unix_seconds: i64) {
        for Standing { target, score, failures_in_a_row, as_of } in standings.into_iter().take(MAX_STANDINGS)
        {
            let score = score.clamp(self.rules.min_score.saturating_mul(10), MAX_SCORE);
            self.standings.insert(target, (score, failures_in_a_row, as_of.min(unix_seconds)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;

    fn somebody() -> Target {
        "203.0.113.1".parse().unwrap()
    }

    fn charge(reputation: &mut Reputation, severity: Severity, at: i64) -> Sentence {
        reputation.charge(somebody(), severity, 1, at)
    }

    #[test]
    fn the_rules_of_the_seed_hold() {
        let mut reputation = Reputation::new(ReputationRules::default());
        let of = |reputation: &Reputation| reputation.score(&somebody(), 0);
        reputation.reward(somebody(), 0);
        assert_eq!(of(&reputation), 1);
        assert_eq!(charge(&mut reputation, Severity::Serious, 0), Sentence::None);
        assert_eq!(of(&reputation), -1);
        for _ in 0..3 {
            assert_eq!(charge(&mut reputation, Severity::Serious, 0), Sentence::None);
        }
        // The fifth failure in a row; then the score.
        assert_eq!(charge(&mut reputation, Severity::Minor, 0), Sentence::Close);
        assert_eq!(charge(&mut reputation, Severity::Serious, 0), Sentence::Ban);
        assert_eq!(of(&reputation), -10);
    }

    #[test]
    fn a_good_deed_ends_a_row_of_failures_and_cannot_be_hoarded() {
        let mut reputation = Reputation::new(ReputationRules::default());
        for _ in 0..1000 {
            reputation.reward(somebody(), 0);
        }
        assert_eq!(reputation.score(&somebody(), 0), MAX_SCORE);
        for _ in 0..4 {
            assert_eq!(charge(&mut reputation, Severity::Minor, 0), Sentence::None);
        }
        reputation.reward(somebody(), 0);
        assert_eq!(charge(&mut reputation, Severity::Minor, 0), Sentence::None);
        assert_eq!(charge(&mut reputation, Severity::Grave, 0), Sentence::None);
        assert_eq!(charge(&mut reputation, Severity::Grave, 0), Sentence::Ban);
    }

    #[test]
    fn a_score_of_0_on_the_way_down_does_not_end_a_row_of_failures() {
        let mut reputation = Reputation::new(ReputationRules::default());
        reputation.reward(somebody(), 0);
        reputation.reward(somebody(), 0);
        for _ in 0..2 {
            assert_eq!(charge(&mut reputation, Severity::Minor, 0), Sentence::None);
        }
        let stored = reputation.standings(0);
        assert_eq!((stored[0].score, stored[0].failures_in_a_row), (0, 2));
        let mut again = Reputation::new(ReputationRules::default());
        again.restore(stored, 0);
        for _ in 0..2 {
            assert_eq!(charge(&mut again, Severity::Minor, 0), Sentence::None);
        }
        assert_eq!(charge(&mut again, Severity::Minor, 0), Sentence::Close);
        // Then time forgives it.
        assert_eq!(charge(&mut again, Severity::Minor, 4 * HOUR), Sentence::None);
    }

    #[test]
    fn time_forgives_a_point_an_hour_in_both_directions() {
        let mut reputation = Reputation::new(ReputationRules::default());
        charge(&mut reputation, Severity::Serious, 0);
        for (at, score) in [(HOUR - 1, -2), (HOUR, -1), (2 * HOUR, 0), (i64::MAX, 0), (-HOUR, -2)] {
            assert_eq!(reputation.score(&somebody(), at), score, "{at}");
        }
        reputation.reward(somebody(), 3 * HOUR);
        assert_eq!(reputation.score(&somebody(), 3 * HOUR), 1);
        assert_eq!(reputation.score(&somebody(), 4 * HOUR), 0);
        // Four minor offences a day are a bad line, and never add up.
        for time in 0..1000 {
            assert_eq!(charge(&mut reputation, Severity::Minor, 10 * HOUR + time * 6 * HOUR), Sentence::None);
        }
        // Nor does deed after deed keep time from forgiving: twelve in ten hours leave two.
        for minutes in 0..12 {
            let at = 10_000 * HOUR + minutes * 50 * 60;
            reputation.charge("203.0.113.2".parse().unwrap(), Severity::Minor, 4, at);
        }
        assert_eq!(reputation.score(&"203.0.113.2".parse().unwrap(), 10_010 * HOUR), -2);
    }

    #[test]
    fn a_host_that_many_may_share_takes_as_many_times_the_price() {
        let mut reputation = Reputation::new(ReputationRules::default());
        for _ in 0..3 {
            assert_eq!(reputation.charge(somebody(), Severity::Grave, 4, 0), Sentence::None);
        }
        assert_eq!(reputation.charge(somebody(), Severity::Grave, 4, 0), Sentence::Ban);
    }

    #[test]
    fn what_is_stored_comes_back_and_extremes_are_cut() {
        let mut reputation = Reputation::new(ReputationRules::default());
        charge(&mut reputation, Severity::Serious, 5 * HOUR);
        let stored = reputation.standings(5 * HOUR);
        let mut again = Reputation::new(ReputationRules::default());
        again.restore(stored, 6 * HOUR);
        assert_eq!(again.score(&somebody(), 6 * HOUR), -1);
        let extreme =
            |score, as_of| Standing { target: somebody(), score, failures_in_a_row: u32::MAX, as_of };
        for (score, as_of) in [(i32::MIN, i64::MAX), (i32::MAX, i64::MIN), (i32::MIN, i64::MIN)] {
            again.restore([extreme(score, as_of)], 0);
            assert!((-100..=MAX_SCORE).contains(&again.score(&somebody(), 0)));
            charge(&mut again, Severity::Grave, i64::MIN);
            charge(&mut again, Severity::Grave, i64::MAX);
        }
    }

    #[test]
    fn pardoned_is_as_if_nothing_had_happened() {
        let mut reputation = Reputation::new(ReputationRules::default());
        charge(&mut reputation, Severity::Serious, 0);
        reputation.pardon(&somebody(), 0);
        assert_eq!(reputation.standings(0), []);
    }
}
