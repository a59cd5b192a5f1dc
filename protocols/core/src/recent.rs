//! A bounded memory of what happened last.

use alloc::collections::BTreeMap;

/// A map that holds so many entries at most: what was put in longest ago is forgotten first.
///
/// All operations are O(log n), whatever the keys are, so nobody who chooses them can make it slow.
/// An entry takes about one and a half times two keys, a value and 16 bytes.
#[derive(Clone, Debug)]
pub struct Recent<K, V> {
    capacity: usize,
    by_key: BTreeMap<K, (u64, V)>,
    by_age: BTreeMap<u64, K>,
    next: u64,
}

impl<K: Ord + Clone, V> Recent<K, V> {
    /// An empty memory for so many entries.
    pub const fn new(capacity: usize) -> Self {
        Self { capacity, by_key: BTreeMap::new(), by_age: BTreeMap::new(), next: 0 }
    }

    /// What is remembered of `key`.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.by_key.get(key).map(|(_, value)| value)
    }

    /// What is remembered of `key`, to change it. It gets no younger by that.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.by_key.get_mut(key).map(|(_, value)| value)
    }

    /// Remembers `value` for `key`, as the newest entry, also where there was one before.
    pub fn insert(&mut self, key: K, value: V) {
        let age = self.next;
        self.next += 1;
        if let Some((before, _)) = self.by_key.insert(key.clone(), (age, value)) {
            self.by_age.remove(&before);
        }
        self.by_age.insert(age, key);
        if self.by_key.len() > self.capacity
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.by_key.remove(&oldest);
        }
        debug_assert_eq!(self.by_key.len(), self.by_age.len(), "one age per key");
    }

    /// Takes out what is remembered of `key`.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (age, value) = self.by_key.remove(key)?;
        self.by_age.remove(&age);
        Some(value)
    }

    /// All entries, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.by_key.iter().map(|(key, (_, value))| (key, value))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_and_being_put_in_again_makes_young() {
        let mut recent = Recent::new(2);
        recent.insert('a', 1);
        recent.insert('b', 2);
        recent.insert('a', 3);
        recent.insert('c', 4);
        assert_eq!((recent.get(&'a'), recent.get(&'b'), recent.get(&'c')), (Some(&3), None, Some(&4)));
        assert_eq!(recent.len(), 2);
        assert_eq!((recent.remove(&'a'), recent.remove(&'a'), recent.len()), (Some(3), None, 1));
        recent.insert('d', 5);
        assert_eq!(recent.get_mut(&'c'), Some(&mut 4));
        recent.insert('e', 6);
        assert_eq!((recent.get(&'c'), recent.len()), (None, 2));
    }

    #[test]
    fn a_memory_for_nothing_remembers_nothing() {
        let mut recent = Recent::new(0);
        recent.insert('a', 1);
        assert!(recent.is_empty());
    }
}
