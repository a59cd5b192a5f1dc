//! Which addresses are drawn, told and praised.

use alloc::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::book::Purpose;
use crate::group::Group;

fn draw(book: &mut AddressBook, purpose: Purpose, now: Now) -> Option<SocketAddr> {
    book.select(purpose, now, |_, _| false)
}

#[test]
fn each_group_is_drawn_equally_often_however_large_it_is() {
    let mut book = book();
    for c in 0..50 {
        let _ = book.add(v4(50, 1, c, 1), Source::Peer(apart(c.into())), after(0));
    }
    book.add(v4(51, 1, 1, 1), Source::Configured, after(0)).unwrap();
    let hits =
        (0..4000).filter(|_| draw(&mut book, Purpose::Feeler, after(0)) == Some(v4(51, 1, 1, 1))).count();
    assert!((1870..2130).contains(&hits), "{hits} of 4000");
}

#[test]
fn outbound_is_half_tried_and_feelers_are_new() {
    let mut book = book();
    reach(&mut book, apart(0), after(0));
    for number in 1..50 {
        let _ = book.add(apart(number), hearsay(), after(0));
    }
    let hits = (0..4000).filter(|_| draw(&mut book, Purpose::Outbound, after(60)) == Some(apart(0))).count();
    assert!((1870..2130).contains(&hits), "{hits} of 4000");
    assert!((0..1000).all(|_| draw(&mut book, Purpose::Feeler, after(60)) != Some(apart(0))));
}

#[test]
fn everything_that_may_be_drawn_is_drawn_and_nothing_else() {
    let mut book = book();
    for number in 0..300 {
        reach(&mut book, apart(number), after(0));
        let _ = book.add(apart(300 + number), hearsay(), after(0));
    }
    let wanted: BTreeSet<_> =
        book.entries().map(|entry| entry.address).filter(|it| it.ip().to_string().contains('7')).collect();
    let mut drawn = BTreeSet::new();
    while let Some(address) = book.select(Purpose::Outbound, after(60), |address, _| {
        !wanted.contains(address) || drawn.contains(address)
    }) {
        assert!(drawn.insert(address));
    }
    assert!(drawn == wanted && drawn.len() > 50, "{}", drawn.len());
}

#[test]
fn nothing_is_drawn_while_it_waits_after_an_attempt() {
    let mut book = book();
    reach(&mut book, apart(0), after(0));
    let mut now = 100;
    let mut waits = Vec::new();
    for _ in 0..25 {
        assert_eq!(draw(&mut book, Purpose::Outbound, after(now)), Some(apart(0)));
        book.record_attempt(apart(0), after(now));
        assert_eq!(draw(&mut book, Purpose::Outbound, after(now)), None);
        // Something else answers, so that failures count.
        book.record_success(apart(9), None, after(now));
        book.record_failure(apart(0), after(now));
        let start = now;
        while draw(&mut book, Purpose::Outbound, after(now)).is_none() {
            now += 1;
        }
        waits.push(now - start);
    }
    // An eighth of the time for which it has been gone, but at least a minute; and up to a quarter more.
    assert!(waits.iter().all(|wait| (60..=now / 8 * 5 / 4 + 75).contains(wait)), "{waits:?}");
    assert!(waits.last().unwrap() > &120, "{waits:?}");
}

#[test]
fn what_was_never_reached_waits_twice_as_long_after_each_failure() {
    let mut book = book();
    book.add(apart(0), hearsay(), after(0)).unwrap();
    for failure in 0..20 {
        let now = after(failure * DAY);
        book.record_success(apart(9), None, now);
        book.record_failure(apart(0), now);
        let wait = book.held(book.id(apart(0)).unwrap()).unwrap().retry_at.since(now.time).as_secs();
        let least = (30 << (failure + 1).min(12)).min(12 * HOUR);
        assert!((least..=least * 5 / 4).contains(&wait), "{wait} after {failure}");
    }
}

#[test]
fn what_is_terrible_is_drawn_when_nothing_else_is_left() {
    let mut book = book();
    for number in 0..20 {
        book.add(apart(number), hearsay(), after(0)).unwrap();
        for _ in 0..3 {
            book.record_success(apart(99), None, after(0));
            book.record_failure(apart(number), after(0));
        }
    }
    book.add(apart(50), hearsay(), after(0)).unwrap();
    for _ in 0..100 {
        assert_eq!(draw(&mut book, Purpose::Outbound, after(DAY)), Some(apart(50)));
    }
    assert!(book.select(Purpose::Outbound, after(DAY), |address, _| *address == apart(50)).is_some());
}

#[test]
fn failing_addresses_of_a_group_are_drawn_less_often() {
    let mut book = book();
    let (good, bad) = (v4(50, 1, 1, 1), v4(50, 1, 2, 1));
    reach(&mut book, good, after(0));
    reach(&mut book, bad, after(0));
    for _ in 0..4 {
        book.record_success(good, None, after(0));
        book.record_failure(bad, after(0));
    }
    let hits = (0..6000).filter(|_| draw(&mut book, Purpose::Outbound, after(DAY)) == Some(bad)).count();
    // (2/3)^4 of 1 + (2/3)^4 is 16.5 %.
    assert!((870..1110).contains(&hits), "{hits} of 6000");
}

#[test]
fn what_others_are_told_was_reached_and_is_a_part_of_the_book() {
    let mut book = book();
    for number in 0..400 {
        reach(&mut book, apart(number), after(0));
        let _ = book.add(apart(1000 + number), hearsay(), after(0));
    }
    let announced = apart(2000);
    book.add(announced, Source::Announced, after(0)).unwrap();
    let len = book.len();
    let mut all = BTreeSet::new();
    for _ in 0..100 {
        let told = book.sample(1000, after(60));
        assert_eq!(told.len(), len * 23 / 100);
        let distinct: BTreeSet<_> = told.iter().copied().collect();
        assert_eq!(distinct.len(), told.len());
        all.extend(distinct);
    }
    let sharable = book.entries().filter(|it| it.is_verified());
    assert!(all.iter().eq(sharable.map(|entry| &entry.address)));
    assert!(!all.contains(&announced), "its own word is a rumour, too");
    assert_eq!(book.sample(7, after(60)).len(), 7);
    assert!(!book.sample(1000, after(29 * DAY)).is_empty());
    assert!(book.sample(1000, after(31 * DAY)).is_empty());
}

#[test]
fn a_small_book_is_told_whole_and_a_large_one_a_thousand_at_most() {
    let mut book = book();
    let mut numbers = 0..;
    while book.tried_len() < 100 {
        reach(&mut book, apart(numbers.next().unwrap()), after(0));
        book.remove_if(|entry| !entry.is_tried);
    }
    assert_eq!(book.sample(1000, after(1)).len(), 100);
    while book.tried_len() < 101 {
        reach(&mut book, apart(numbers.next().unwrap()), after(1));
    }
    assert_eq!(book.sample(1000, after(1)).len(), 23);
    (1000..7000).for_each(|number| reach(&mut book, apart(number), after(1)));
    assert_eq!(book.sample(usize::MAX, after(1)).len(), 1000);
}

#[test]
fn the_best_are_those_that_answered_most() {
    let mut book = book();
    for (number, successes, failures) in [(1, 9, 1), (2, 3, 0), (3, 0, 0), (4, 1, 3), (5, 1, 0), (6, 0, 2)] {
        book.add(apart(number), hearsay(), after(0)).unwrap();
        for _ in 0..successes {
            book.record_success(apart(number), None, after(0));
        }
        for _ in 0..failures {
            book.record_success(apart(99), None, after(0));
            book.record_failure(apart(number), after(0));
        }
    }
    let best = |count, excluded: &[_]| book.best(count, excluded);
    assert_eq!(best(9, &[]), [2, 5, 1, 3, 4, 6].map(apart));
    assert_eq!(best(2, &[apart(5), apart(77)]), [2, 1].map(apart));
    assert_eq!(best(0, &[]), []);
    let mut book = book;
    assert_eq!(book.remove_poor(0.5, 3), 1);
    assert_eq!(book.remove_poor(0.5, 1), 1);
    assert_eq!(book.best(9, &[]), [2, 5, 1, 3].map(apart));
    assert_eq!(book.audit(), Ok(()));
}

/// Groups of both kinds and of both tables, some in one of them only.
fn mixed() -> AddressBook {
    let mut book = book();
    for number in 0..60_u8 {
        let (b, c) = (number % 10, number);
        let address = v4(50, b, c, 1);
        match (b, number % 3) {
            (0..=2, _) | (_, 1) => drop(book.add(address, Source::Configured, after(0))),
            _ => reach(&mut book, address, after(0)),
        }
    }
    reach(&mut book, v4(50, 77, 1, 1), after(0));
    reach(&mut book, v4(50, 78, 1, 1), after(0));
    // Some weigh less.
    for number in [3, 13, 33] {
        book.record_success(apart(99), None, after(0));
        book.record_failure(v4(50, number % 10, number, 1), after(0));
    }
    book
}

fn is_attacker(address: &SocketAddr) -> bool {
    let SocketAddr::V4(address) = address else { return false };
    let [_, b, c, _] = address.ip().octets();
    b == 77 || b == 1 || b == 5 || (b == 3 || b == 6 || b == 7) && c % 20 < 15
}

#[test]
fn the_computed_odds_are_those_of_drawing() {
    const ROUNDS: u32 = 30_000;
    let mut book = mixed();
    for draws in [1, 2, 3, 5] {
        let mut captured = 0;
        for _ in 0..ROUNDS {
            let mut used: BTreeMap<Group, bool> = BTreeMap::new();
            while used.len() < draws && used.values().all(|it| *it) {
                let address =
                    book.select(Purpose::Outbound, after(DAY), |_, group| used.contains_key(&group)).unwrap();
                used.insert(book.grouping().group(address), is_attacker(&address));
            }
            captured += u32::from(used.values().all(|it| *it));
        }
        let exact = book.capture_probability(draws, after(DAY), is_attacker);
        let (seen, deviation) =
            (f64::from(captured) / f64::from(ROUNDS), (exact * (1.0 - exact) / f64::from(ROUNDS)).sqrt());
        assert!((seen - exact).abs() < 4.0 * deviation, "{draws}: {seen} drawn, {exact} computed");
        assert!(exact > 0.001 && exact < 0.9, "{exact}");
    }
}

#[test]
fn the_odds_of_simple_books_are_those_on_paper() {
    let mut book = book();
    let odds = |book: &AddressBook, draws| {
        book.capture_probability(draws, after(60), |it| it.ip().to_string().starts_with("50."))
    };
    assert_eq!(odds(&book, 1), 0.0);
    for b in 0..10 {
        let a = if b < 5 { 50 } else { 60 };
        reach(&mut book, v4(a, b, 1, 1), after(0));
    }
    let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
    assert!(close(odds(&book, 1), 0.5) && close(odds(&book, 3), 5.0 / 10.0 * 4.0 / 9.0 * 3.0 / 8.0));
    assert_eq!(odds(&book, 6), 0.0);
    // In the new table, too.
    for b in 0..15 {
        let a = if b < 5 { 50 } else { 60 };
        book.add(v4(a, 100 + b, 1, 1), Source::Configured, after(0)).unwrap();
    }
    assert!(close(odds(&book, 1), 0.5 / 2.0 + 0.5 / 3.0));
    assert!(close(book.capture_probability(8, after(60), |_| true), 1.0));
    assert!(close(book.capture_probability(99, after(60), |_| true), 1.0));
}
