//! Which items were there.

use alloc::vec::Vec;
use core::time::Duration;

use spacetime_core::{Hash, Rng, Time};

/// What is known of an item that was there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Mark {
    /// The application has not decided about it.
    Pending,
    /// It is passed on.
    Accepted,
    /// It is not, and nobody did wrong by sending it.
    Ignored,
    /// It breaks the rules.
    Rejected,
}

/// How much room there is at first; it doubles.
const FIRST_ENTRIES: usize = 64;

/// No entry.
const NONE: u32 = u32::MAX;

/// The names of items that were there of late: so many at most, and each for so long.
///
/// All operations take constant time: a ring of entries in the order in which they came, and a table
/// that finds them. Nothing is sorted, nothing is allocated once there is room for all of them, and
/// the table's order is secret, so nobody can choose names that meet in it.
///
/// # Security
///
/// A flood of new names pushes out old ones: 100,000 of them, at 10 a second from each of 50 peers,
/// last 200 s. 56 bytes each in the ring, 16 to 32 in the table: 7.7 MB.
#[derive(Clone, Debug)]
pub struct Seen {
    capacity: usize,
    lifetime: Duration,
    secret: [u64; 2],
    /// A ring that grows up to `capacity`.
    entries: Vec<Entry>,
    oldest: usize,
    len: usize,
    /// The place in `entries` of each name, by open addressing; at most half full.
    table: Vec<Slot>,
}

/// What the table says of a name. Most questions are answered by these bits alone, so that the ring,
/// which no cache holds, is looked at only for what is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Slot {
    mixed: u32,
    place: u32,
}

impl Slot {
    const EMPTY: Self = Self { mixed: 0, place: NONE };
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    id: Hash,
    at: Time,
    /// None once it was taken out.
    mark: Option<Mark>,
}

#[allow(clippy::indexing_slicing, reason = "places in the ring are below its length, in the table masked")]
impl Seen {
    /// An empty set for so many names (at least one), each for so long.
    pub fn new(capacity: usize, lifetime: Duration, rng: &mut Rng) -> Self {
        let capacity = capacity.clamp(1, NONE as usize / 8);
        let secret = [rng.u64() | 1, rng.u64()];
        Self { capacity, lifetime, secret, entries: Vec::new(), oldest: 0, len: 0, table: Vec::new() }
    }

    /// What is known of an item, if it was there.
    pub fn get(&self, id: &Hash, now: Time) -> Option<Mark> {
        let entry = self.entries[self.find(id)?.1 as usize];
        (entry.at + self.lifetime > now).then_some(entry.mark).flatten()
    }

    /// Notes an item, in the place of what was known of it. It is forgotten after its time, however
    /// often it is noted again meanwhile.
    pub fn insert(&mut self, id: Hash, mark: Mark, now: Time) {
        if let Some((_, place)) = self.find(&id) {
            let entry = &mut self.entries[place as usize];
            if entry.at + self.lifetime > now {
                entry.mark = Some(mark);
                return;
            }
            self.remove(&id);
        }
        // Two for one: what is over does not stay for long.
        for _ in 0..2 {
            let oldest = self.entries.get(self.oldest).filter(|_| self.len > 0);
            if oldest.is_some_and(|it| it.mark.is_none() || it.at + self.lifetime <= now) {
                self.drop_oldest();
            }
        }
        if self.len == self.capacity {
            self.drop_oldest();
        }
        if self.len == self.entries.len() {
            self.grow();
        }
        let place = self.wrap(self.oldest + self.len);
        self.entries[place] = Entry { id, at: now, mark: Some(mark) };
        self.len += 1;
        self.enter(Slot { mixed: self.mix(&id), place: place as u32 });
    }

    /// Forgets an item, as if it had not been there.
    pub fn remove(&mut self, id: &Hash) {
        if let Some((slot, place)) = self.find(id) {
            self.entries[place as usize].mark = None;
            self.close_gap(slot);
        }
    }

    /// How many entries there are, those among them whose time is over.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Memory held, in bytes.
    pub const fn held_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.table.capacity() * size_of::<Slot>()
    }

    /// A place in the ring that may lie behind its end.
    const fn wrap(&self, place: usize) -> usize {
        if place >= self.entries.len() { place - self.entries.len() } else { place }
    }

    /// What of a name stands in the table. Names are hashes, but of what their sender chose: it can make
    /// some that are alike, but not alike under a secret.
    fn mix(&self, id: &Hash) -> u32 {
        let (first, _) = id.as_bytes().split_first_chunk().unwrap_or((&[0; 8], &[]));
        let mixed = u128::from(u64::from_le_bytes(*first) ^ self.secret[1]) * u128::from(self.secret[0]);
        ((mixed >> 64) as u64 ^ mixed as u64) as u32
    }

    /// Where it would stand.
    const fn home(&self, mixed: u32) -> usize {
        mixed as usize & self.table.len().wrapping_sub(1)
    }

    /// The slot in the table, and the place in the ring.
    fn find(&self, id: &Hash) -> Option<(usize, u32)> {
        if self.table.is_empty() {
            return None;
        }
        let mixed = self.mix(id);
        let mut at = self.home(mixed);
        loop {
            let slot = self.table[at];
            if slot.place == NONE {
                return None;
            }
            if slot.mixed == mixed && self.entries[slot.place as usize].id == *id {
                return Some((at, slot.place));
            }
            at = self.home(at as u32 + 1);
        }
    }

    /// Puts something into the table that is not there.
    fn enter(&mut self, slot: Slot) {
        let mut at = self.home(slot.mixed);
        while self.table[at].place != NONE {
            at = self.home(at as u32 + 1);
        }
        self.table[at] = slot;
    }

    fn drop_oldest(&mut self) {
        debug_assert!(self.len > 0, "there is one");
        let entry = self.entries[self.oldest];
        if entry.mark.is_some() {
            let slot = Slot { mixed: self.mix(&entry.id), place: self.oldest as u32 };
            let mut at = self.home(slot.mixed);
            while self.table[at] != slot {
                debug_assert!(self.table[at].place != NONE, "what has a mark is in the table");
                at = self.home(at as u32 + 1);
            }
            self.close_gap(at);
        }
        self.oldest = self.wrap(self.oldest + 1);
        self.len -= 1;
    }

    /// Empties a slot, and moves those behind it that would not be found any more.
    fn close_gap(&mut self, mut gap: usize) {
        let mask = self.table.len() - 1;
        let mut at = gap;
        loop {
            at = (at + 1) & mask;
            let slot = self.table[at];
            if slot.place == NONE {
                break;
            }
            let home = self.home(slot.mixed);
            // It may stand anywhere from its home on; is the gap on the way from there?
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(gap) & mask) {
                self.table[gap] = slot;
                gap = at;
            }
        }
        self.table[gap] = Slot::EMPTY;
    }

    /// Twice the room, up to all there may be.
    fn grow(&mut self) {
        let room = (self.entries.len() * 2).clamp(FIRST_ENTRIES.min(self.capacity), self.capacity);
        debug_assert!(room > self.entries.len(), "it is not full");
        let mut entries = Vec::with_capacity(room);
        let (newer, older) = self.entries.split_at(self.oldest);
        entries.extend_from_slice(older);
        entries.extend_from_slice(newer);
        entries.resize(room, Entry { id: Hash::ZERO, at: Time::ZERO, mark: None });
        self.entries = entries;
        self.oldest = 0;
        self.table = alloc::vec![Slot::EMPTY; (room * 2).next_power_of_two()];
        for place in 0..self.len {
            let entry = self.entries[place];
            if entry.mark.is_some() {
                self.enter(Slot { mixed: self.mix(&entry.id), place: place as u32 });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::VecDeque;

    use proptest::prelude::{ProptestConfig, Strategy as _, TestCaseError, prop_assert_eq, proptest};

    use super::*;

    fn id(number: u16) -> Hash {
        Hash::of(&number.to_le_bytes())
    }

    fn at(seconds: u64) -> Time {
        Time::from_epoch(Duration::from_secs(seconds))
    }

    fn seen(capacity: usize, seconds: u64) -> Seen {
        Seen::new(capacity, Duration::from_secs(seconds), &mut Rng::from_number(1))
    }

    #[test]
    fn what_was_there_is_known_until_its_time_is_over() {
        let mut seen = seen(10, 300);
        seen.insert(id(1), Mark::Pending, at(0));
        seen.insert(id(1), Mark::Accepted, at(299));
        assert_eq!(seen.get(&id(1), at(299)), Some(Mark::Accepted));
        assert_eq!(seen.get(&id(1), at(300)), None);
        assert_eq!(seen.get(&id(2), at(0)), None);
        seen.insert(id(1), Mark::Rejected, at(301));
        assert_eq!(seen.get(&id(1), at(600)), Some(Mark::Rejected));
    }

    #[test]
    fn what_is_taken_out_was_never_there() {
        let mut seen = seen(10, 300);
        seen.insert(id(1), Mark::Pending, at(0));
        seen.remove(&id(1));
        seen.remove(&id(1));
        assert_eq!(seen.get(&id(1), at(0)), None);
        seen.insert(id(1), Mark::Accepted, at(1));
        assert_eq!(seen.get(&id(1), at(1)), Some(Mark::Accepted));
    }

    #[test]
    fn the_oldest_makes_room_and_nothing_more_is_allocated_when_it_is_full() {
        let mut seen = seen(1000, 300);
        for number in 0..1000 {
            seen.insert(id(number), Mark::Accepted, at(0));
        }
        let bytes = seen.held_bytes();
        assert!(bytes < 1000 * (56 + 32));
        for number in 1000..20_000 {
            seen.insert(id(number), Mark::Accepted, at(0));
            assert_eq!(seen.get(&id(number - 1000), at(0)), None);
            assert_eq!(seen.get(&id(number - 999), at(0)), Some(Mark::Accepted));
        }
        assert_eq!((seen.len(), seen.held_bytes()), (1000, bytes));
    }

    #[test]
    fn names_that_begin_alike_do_not_make_it_slow() {
        // Its sender has made hashes whose first four bytes are the same; more it cannot do.
        let mut seen = seen(100_000, 300);
        let mut steps = 0;
        for number in 0_u32..20_000 {
            let mut bytes = Hash::of(&number.to_le_bytes()).0;
            bytes[..4].copy_from_slice(&[7; 4]);
            seen.insert(Hash(bytes), Mark::Accepted, at(0));
            let (slot, _) = seen.find(&Hash(bytes)).unwrap();
            let home = seen.home(seen.mix(&Hash(bytes)));
            steps += slot.wrapping_sub(home) & (seen.table.len() - 1);
        }
        assert!(steps < 20_000, "{steps}");
    }

    /// Takes the steps, and compares with a list after every so many of them.
    fn compare_with_list(
        capacity: usize,
        numbers: u16,
        every: usize,
        steps: Vec<(u8, u16, u64)>,
    ) -> Result<(), TestCaseError> {
        let mut seen = seen(capacity, 10);
        let mut list = VecDeque::<(Hash, Time, Option<Mark>)>::new();
        let mut now = 0;
        for (step, (what, number, later)) in steps.into_iter().enumerate() {
            now += later;
            let is_over = |it: &(Hash, Time, Option<Mark>)| it.1 + Duration::from_secs(10) <= at(now);
            let is_known = |it: &(Hash, Time, Option<Mark>)| it.2.is_some() && !is_over(it);
            let named = id(number);
            if what == 0 {
                seen.remove(&named);
                list.iter_mut().filter(|it| it.0 == named).for_each(|it| it.2 = None);
            } else {
                let mark = if what == 1 { Mark::Accepted } else { Mark::Rejected };
                seen.insert(named, mark, at(now));
                if let Some(known) = list.iter_mut().find(|it| it.0 == named && is_known(it)) {
                    known.2 = Some(mark);
                } else {
                    list.iter_mut().filter(|it| it.0 == named).for_each(|it| it.2 = None);
                    for _ in 0..2 {
                        if list.front().is_some_and(|it| it.2.is_none() || is_over(it)) {
                            list.pop_front();
                        }
                    }
                    if list.len() == capacity {
                        list.pop_front();
                    }
                    list.push_back((named, at(now), Some(mark)));
                }
            }
            prop_assert_eq!(seen.len(), list.len());
            let compared = if step % every == 0 { 0..numbers } else { number..number + 1 };
            for number in compared {
                let known = list.iter().find(|it| it.0 == id(number) && is_known(it));
                prop_assert_eq!(seen.get(&id(number), at(now)), known.and_then(|it| it.2));
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn does_what_a_list_would_do(
            capacity in 1..20_usize,
            steps in proptest::collection::vec((0..3_u8, 0..40_u16, 0..4_u64), 0..200),
        ) {
            compare_with_list(capacity, 40, 1, steps)?;
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]

        /// Its ring and its table grow on the way.
        #[test]
        fn does_what_a_list_would_do_while_it_grows(
            capacity in FIRST_ENTRIES..300,
            steps in proptest::collection::vec(
                (0..6_u8, 0..500_u16, (0..60_u64).prop_map(|it| u64::from(it == 0))),
                0..900,
            ),
        ) {
            let steps = steps.into_iter().map(|(what, number, later)| (what.min(2), number, later)).collect();
            compare_with_list(capacity, 500, 100, steps)?;
        }
    }
}
