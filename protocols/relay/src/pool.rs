//! Things that wait to be used, of senders who do not trust each other.

use alloc::collections::{BTreeMap, BTreeSet};
use core::ops::RangeBounds;
use core::time::Duration;

use spacetime_core::{Origin, Time};

/// How much a [`Pool`] holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolLimits {
    /// Things.
    pub max_count: usize,
    /// Bytes of them.
    pub max_bytes: usize,
    /// For how long each stays.
    pub lifetime: Duration,
}

/// A bounded pool of things with keys: transactions until they are in a block, blocks until their parent is there.
///
/// When it is full, the oldest of the sender that takes most of it makes room. So whoever fills it
/// pushes out its own: of `n` senders each keeps an `n`th part, whatever the others do. What was not
/// used in its time goes.
///
/// All operations are O(log n), but for making room, which looks at each sender once.
///
/// # Security
///
/// The bound in bytes is the caller's, about 300 bytes for each thing are added to it. A sender is a
/// host: many hosts can take much, but not the part of one that is there.
#[derive(Clone, Debug)]
pub struct Pool<K, T> {
    limits: PoolLimits,
    things: BTreeMap<K, Thing<T>>,
    /// Each key, and since when it is there.
    by_age: BTreeMap<u64, (K, Time)>,
    senders: BTreeMap<Option<Origin>, Sent>,
    bytes: usize,
    next: u64,
}

#[derive(Clone, Debug)]
struct Thing<T> {
    value: T,
    bytes: usize,
    sender: Option<Origin>,
    age: u64,
}

/// What is there of one sender.
#[derive(Clone, Debug, Default)]
struct Sent {
    bytes: usize,
    ages: BTreeSet<u64>,
}

impl<K: Ord + Copy, T> Pool<K, T> {
    /// An empty pool.
    pub const fn new(limits: PoolLimits) -> Self {
        Self {
            limits,
            things: BTreeMap::new(),
            by_age: BTreeMap::new(),
            senders: BTreeMap::new(),
            bytes: 0,
            next: 0,
        }
    }

    /// Puts something in that takes so many bytes; `sender` is none for this node itself. False if it
    /// is there already, or larger than the pool.
    pub fn insert(&mut self, key: K, value: T, bytes: usize, sender: Option<Origin>, now: Time) -> bool {
        self.drop_old(now);
        if self.things.contains_key(&key) || bytes > self.limits.max_bytes || self.limits.max_count == 0 {
            return false;
        }
        let age = self.next;
        self.next += 1;
        let sent = self.senders.entry(sender.clone()).or_default();
        sent.bytes += bytes;
        sent.ages.insert(age);
        self.bytes += bytes;
        self.by_age.insert(age, (key, now));
        self.things.insert(key, Thing { value, bytes, sender, age });
        while self.bytes > self.limits.max_bytes || self.things.len() > self.limits.max_count {
            self.make_room();
        }
        debug_assert_eq!(self.things.len(), self.by_age.len(), "one age for each");
        self.things.contains_key(&key)
    }

    /// Drops the oldest of the sender that takes most, by bytes or by number, whichever is scarce.
    fn make_room(&mut self) {
        let by_bytes = self.bytes > self.limits.max_bytes;
        let share = |it: &Sent| if by_bytes { it.bytes } else { it.ages.len() };
        let most = self.senders.values().max_by_key(|it| share(it));
        let oldest = most.and_then(|it| it.ages.first());
        if let Some((key, _)) = oldest.and_then(|age| self.by_age.get(age).copied()) {
            self.remove(&key);
        }
    }

    /// Takes something out.
    pub fn remove(&mut self, key: &K) -> Option<T> {
        let thing = self.things.remove(key)?;
        self.bytes -= thing.bytes;
        self.by_age.remove(&thing.age);
        if let Some(sent) = self.senders.get_mut(&thing.sender) {
            sent.bytes -= thing.bytes;
            sent.ages.remove(&thing.age);
            if sent.ages.is_empty() {
                self.senders.remove(&thing.sender);
            }
        }
        Some(thing.value)
    }

    /// Drops what has been there for too long.
    pub fn drop_old(&mut self, now: Time) {
        while let Some((_, (key, since))) = self.by_age.first_key_value()
            && *since + self.limits.lifetime <= now
        {
            let key = *key;
            self.remove(&key);
        }
    }

    /// When the oldest has been there for too long.
    pub fn deadline(&self) -> Option<Time> {
        let (_, (_, since)) = self.by_age.first_key_value()?;
        Some(*since + self.limits.lifetime)
    }

    /// Something that is there.
    pub fn get(&self, key: &K) -> Option<&T> {
        self.things.get(key).map(|it| &it.value)
    }

    /// The keys in a range, in their order.
    pub fn range(&self, keys: impl RangeBounds<K>) -> impl Iterator<Item = &K> {
        self.things.range(keys).map(|(key, _)| key)
    }

    /// All of it, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &T)> {
        self.by_age.values().filter_map(|(key, _)| Some((key, &self.things.get(key)?.value)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.things.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.things.is_empty()
    }

    /// Bytes of all of it, as was said when it was put in.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr};

    use spacetime_core::Hash;

    use super::*;

    const LIMITS: PoolLimits =
        PoolLimits { max_count: 100, max_bytes: 1000, lifetime: Duration::from_secs(60) };

    fn hash(number: u32) -> Hash {
        Hash::of(&number.to_le_bytes())
    }

    fn host(number: u8) -> Option<Origin> {
        Some(Origin::Host(IpAddr::V4(Ipv4Addr::new(203, 0, 113, number))))
    }

    fn at(seconds: u64) -> Time {
        Time::from_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn who_fills_it_pushes_out_its_own() {
        let mut pool = Pool::new(LIMITS);
        for number in 0..5 {
            assert!(pool.insert(hash(number), number, 50, host(1), at(0)));
        }
        for number in 1000..11_000 {
            pool.insert(hash(number), number, 10, host(2), at(1));
        }
        assert!((0..5).all(|number| pool.get(&hash(number)) == Some(&number)));
        assert_eq!((pool.bytes(), pool.len()), (1000, 80));
        assert_eq!(pool.get(&hash(10_999)), Some(&10_999));
    }

    #[test]
    fn the_count_is_bounded_as_well_as_the_bytes() {
        let mut pool = Pool::new(LIMITS);
        for number in 0..1000 {
            assert!(pool.insert(hash(number), number, 1, host((number % 4) as u8), at(0)));
        }
        assert_eq!(pool.len(), 100);
        assert!((0..4).all(|it| pool.iter().filter(|(_, number)| **number % 4 == it).count() == 25));
    }

    #[test]
    fn what_is_there_is_not_put_in_twice_and_what_does_not_fit_not_at_all() {
        let mut pool = Pool::new(LIMITS);
        assert!(pool.insert(hash(1), 1, 10, None, at(0)));
        assert!(!pool.insert(hash(1), 2, 10, host(1), at(0)));
        assert!(!pool.insert(hash(2), 2, 1001, None, at(0)));
        assert_eq!((pool.get(&hash(1)), pool.bytes()), (Some(&1), 10));
        assert_eq!(pool.remove(&hash(1)), Some(1));
        assert!(pool.is_empty() && pool.bytes() == 0 && pool.senders.is_empty());
    }

    #[test]
    fn what_was_not_used_in_its_time_goes() {
        let mut pool = Pool::new(LIMITS);
        pool.insert(hash(1), 1, 10, None, at(0));
        pool.insert(hash(2), 2, 10, None, at(30));
        pool.drop_old(at(59));
        assert_eq!(pool.len(), 2);
        pool.drop_old(at(60));
        assert_eq!(pool.iter().map(|(_, number)| *number).collect::<alloc::vec::Vec<_>>(), [2]);
    }
}
