//! Deadlines of many things, with the next one at hand.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::time::Time;

/// One deadline per key. Setting a key again moves its deadline, so nothing stale ever fires.
///
/// Finding the next deadline is O(1) in practice, moving one O(log n). Do not move a deadline with
/// every message: keep the time of the last one and look at it when the deadline fires.
#[derive(Clone, Debug)]
pub struct Deadlines<K> {
    by_key: BTreeMap<K, Time>,
    by_time: BTreeSet<(Time, K)>,
    /// The first of `by_time`, which is asked for with every message.
    next: Option<Time>,
}

impl<K: Ord + Copy> Deadlines<K> {
    /// No deadlines.
    pub const fn new() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BTreeSet::new(), next: None }
    }

    /// Sets or moves the deadline of `key`.
    pub fn set(&mut self, key: K, at: Time) {
        if let Some(before) = self.by_key.insert(key, at) {
            self.by_time.remove(&(before, key));
        }
        self.by_time.insert((at, key));
        self.find_next();
    }

    /// Sets the deadline of `key` unless it has an earlier one.
    pub fn set_earlier(&mut self, key: K, at: Time) {
        if self.get(key).is_none_or(|before| at < before) {
            self.set(key, at);
        }
    }

    /// Forgets the deadline of `key`.
    pub fn cancel(&mut self, key: K) {
        if let Some(at) = self.by_key.remove(&key) {
            self.by_time.remove(&(at, key));
            self.find_next();
        }
    }

    fn find_next(&mut self) {
        self.next = self.by_time.first().map(|(at, _)| *at);
    }

    /// The deadline of `key`.
    pub fn get(&self, key: K) -> Option<Time> {
        self.by_key.get(&key).copied()
    }

    /// The earliest deadline.
    pub const fn next(&self) -> Option<Time> {
        self.next
    }

    /// Takes out the earliest deadline if it is not after `now`.
    pub fn pop_due(&mut self, now: Time) -> Option<K> {
        if self.next? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        self.find_next();
        debug_assert_eq!(self.by_key.len(), self.by_time.len(), "one deadline per key");
        Some(key)
    }

    /// How many keys have a deadline.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether no key has a deadline.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

impl<K: Ord + Copy> Default for Deadlines<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_deadline_and_fires_once() {
        let at = Time::from_nanos;
        let mut deadlines = Deadlines::new();
        deadlines.set('a', at(5));
        deadlines.set('b', at(3));
        deadlines.set('a', at(1));
        deadlines.set_earlier('b', at(4));
        assert_eq!(deadlines.next(), Some(at(1)));
        assert_eq!(deadlines.pop_due(at(0)), None);
        assert_eq!(deadlines.pop_due(at(9)), Some('a'));
        assert_eq!(deadlines.pop_due(at(9)), Some('b'));
        assert_eq!(deadlines.pop_due(at(9)), None);
        deadlines.set('c', at(1));
        deadlines.cancel('c');
        assert!(deadlines.is_empty());
    }
}
