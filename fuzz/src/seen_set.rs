//! The names of items that were there, against a list of them.

use std::collections::VecDeque;
use std::time::Duration;

use spacetime_core::{Hash, Rng, Time};
use spacetime_relay::{Mark, Seen};

/// Steps of one input.
const MAX_STEPS: usize = 600;

/// Something that was there: its name, when it came, and what is known of it, if it was not taken out.
type Known = (Hash, Time, Option<Mark>);

/// `u16 capacity | u8 lifetime`, then steps of `u8 what | u8 name | u8 later`.
pub fn seen_set(data: &[u8]) {
    let Some(([low, high, seconds], steps)) = data.split_first_chunk() else { return };
    let capacity = usize::from(u16::from_le_bytes([*low, *high]) % 400) + 1;
    let lifetime = Duration::from_secs(u64::from(*seconds) + 1);
    let mut seen = Seen::new(capacity, lifetime, &mut Rng::from_number(1));
    let mut list = VecDeque::<Known>::new();
    let mut now = Time::ZERO;
    for step in steps.as_chunks::<3>().0.iter().take(MAX_STEPS) {
        let [what, number, later] = *step;
        // Most steps take no time, so that sets become full.
        now += Duration::from_secs(u64::from(later.saturating_sub(0xf0)));
        let name = Hash::of(&[number, what >> 4]);
        let is_known = |it: &&Known| it.0 == name && it.2.is_some() && it.1 + lifetime > now;
        let known = |list: &VecDeque<Known>| list.iter().find(is_known).and_then(|it| it.2);
        assert_eq!(seen.get(&name, now), known(&list));
        match what & 3 {
            0 => {
                seen.remove(&name);
                list.iter_mut().filter(|it| it.0 == name).for_each(|it| it.2 = None);
            }
            which => {
                let mark = [Mark::Pending, Mark::Accepted, Mark::Ignored, Mark::Rejected][usize::from(which)];
                seen.insert(name, mark, now);
                insert(&mut list, capacity, lifetime, (name, now, Some(mark)));
            }
        }
        assert_eq!(seen.get(&name, now), known(&list));
        assert_eq!(seen.len(), list.len());
        assert!(seen.len() <= capacity);
    }
    for (name, ..) in list.iter().copied() {
        let known = list.iter().find(|it| it.0 == name && it.2.is_some() && it.1 + lifetime > now);
        assert_eq!(seen.get(&name, now), known.and_then(|it| it.2));
    }
    assert!(seen.held_bytes() <= capacity.max(64) * (56 + 32));
}

/// Notes something in the place of what was known of it; of what is over two make room, and the oldest
/// if there is none.
fn insert(list: &mut VecDeque<Known>, capacity: usize, lifetime: Duration, new: Known) {
    let now = new.1;
    let is_over = |it: &Known| it.2.is_none() || it.1 + lifetime <= now;
    if let Some(known) = list.iter_mut().find(|it| it.0 == new.0 && !is_over(it)) {
        known.2 = new.2;
        return;
    }
    list.iter_mut().filter(|it| it.0 == new.0).for_each(|it| it.2 = None);
    for _ in 0..2 {
        if list.front().is_some_and(is_over) {
            list.pop_front();
        }
    }
    if list.len() == capacity {
        list.pop_front();
    }
    list.push_back(new);
}
