//! Moving between the tables, and tests before eviction.

use spacetime_core::PeerId;

use super::*;
use crate::book::{MAX_PENDING_TESTS, NotAdded};

/// Two addresses that want one slot of the tried table, both reached; the first one has it.
fn rivals(book: &mut AddressBook, now: Now) -> (SocketAddr, SocketAddr) {
    let slot = |book: &AddressBook, address| book.key().tried_slot(address, book.grouping().group(address));
    let incumbent = v4(50, 50, 0, 1);
    let rival = (1..=255)
        .flat_map(|c| (1..=255).map(move |d| v4(50, 50, c, d)))
        .find(|rival| slot(book, *rival) == slot(book, incumbent))
        .expect("among so many");
    reach(book, incumbent, now);
    reach(book, rival, now);
    assert!(book.get(incumbent).unwrap().is_tried && !book.get(rival).unwrap().is_tried);
    (incumbent, rival)
}

fn is_tried(book: &AddressBook, address: SocketAddr) -> Option<bool> {
    book.get(address).map(|entry| entry.is_tried)
}

#[test]
fn what_is_reached_is_tried_and_keeps_who_was_there() {
    let mut book = book();
    book.add(apart(1), hearsay(), after(0)).unwrap();
    assert_eq!((book.len(), book.tried_len()), (1, 0));
    book.record_attempt(apart(1), after(10));
    book.record_success(apart(1), Some(PeerId([3; 32])), after(11));
    let entry = book.get(apart(1)).unwrap().clone();
    assert_eq!((book.len(), book.tried_len(), entry.is_tried), (1, 1, true));
    assert_eq!(entry.peer_id, Some(PeerId([3; 32])));
    assert_eq!(entry.last_attempt, Some(after(10).unix_seconds));
    assert_eq!((entry.last_success, entry.last_seen), (Some(after(11).unix_seconds), after(11).unix_seconds));
    assert_eq!((entry.success_count, entry.quality()), (1, 1.0));
    book.record_seen(apart(1), after(99));
    assert_eq!(book.get(apart(1)).unwrap().last_seen, after(99).unix_seconds);
    assert_eq!(book.audit(), Ok(()));
}

#[test]
fn a_tried_address_that_was_seen_lately_keeps_its_place() {
    let mut book = book();
    let (incumbent, rival) = rivals(&mut book, after(0));
    assert_eq!(book.pending_test(after(60)), None);
    assert_eq!(book.pending_test(after(5 * HOUR)), None, "the rival no longer waits");
    assert_eq!((is_tried(&book, incumbent), is_tried(&book, rival)), (Some(true), Some(false)));
}

#[test]
fn a_tried_address_that_fails_its_test_gives_its_place_to_who_waits() {
    let mut book = book();
    let (incumbent, rival) = rivals(&mut book, after(0));
    book.pending_test(after(60));
    book.record_success(rival, None, after(5 * HOUR));
    assert_eq!(book.pending_test(after(5 * HOUR)), Some(incumbent));
    book.record_attempt(incumbent, after(5 * HOUR));
    assert_eq!(book.pending_test(after(5 * HOUR)), None, "it is being tested");
    book.record_failure(incumbent, after(5 * HOUR + 5));
    assert_eq!((is_tried(&book, incumbent), is_tried(&book, rival)), (Some(false), Some(true)));
    assert_eq!(book.audit(), Ok(()));
}

#[test]
fn whoever_is_forgotten_while_it_waits_does_not_get_the_place_when_it_is_told_of_again() {
    let mut book = book();
    let (incumbent, rival) = rivals(&mut book, after(0));
    assert_eq!(book.remove_stale(after(40 * 24 * HOUR)), 2);
    book.add(rival, hearsay(), after(40 * 24 * HOUR)).unwrap();
    assert_eq!(book.pending_test(after(40 * 24 * HOUR)), None);
    assert_eq!((is_tried(&book, incumbent), is_tried(&book, rival)), (None, Some(false)), "never reached");
    assert_eq!(book.audit(), Ok(()));
}

#[test]
fn a_tried_address_that_passes_its_test_stays() {
    let mut book = book();
    let (incumbent, rival) = rivals(&mut book, after(0));
    book.pending_test(after(60));
    book.record_success(rival, None, after(5 * HOUR));
    assert_eq!(book.pending_test(after(5 * HOUR)), Some(incumbent));
    book.record_attempt(incumbent, after(5 * HOUR));
    book.record_success(incumbent, None, after(5 * HOUR));
    assert_eq!(book.pending_test(after(6 * HOUR)), None);
    assert_eq!((is_tried(&book, incumbent), is_tried(&book, rival)), (Some(true), Some(false)));
}

#[test]
fn a_failure_after_a_passed_test_costs_no_place() {
    let mut book = book();
    let (incumbent, rival) = rivals(&mut book, after(0));
    book.pending_test(after(60));
    book.record_success(rival, None, after(5 * HOUR));
    book.record_success(incumbent, None, after(5 * HOUR));
    book.record_failure(incumbent, after(5 * HOUR + 60));
    assert_eq!((is_tried(&book, incumbent), is_tried(&book, rival)), (Some(true), Some(false)));
}

#[test]
fn a_tried_address_that_nobody_tests_for_forty_minutes_gives_way_if_it_was_not_seen_for_four_hours() {
    let mut book = book();
    let (incumbent, rival) = rivals(&mut book, after(0));
    book.pending_test(after(60));
    book.record_success(rival, None, after(5 * HOUR));
    assert_eq!(book.pending_test(after(5 * HOUR + 39 * 60)), Some(incumbent));
    assert_eq!(book.pending_test(after(5 * HOUR + 40 * 60)), None);
    assert_eq!((is_tried(&book, incumbent), is_tried(&book, rival)), (Some(false), Some(true)));
    assert_eq!(book.audit(), Ok(()));
}

#[test]
fn a_place_that_becomes_free_goes_to_who_waits_for_it() {
    let mut book = book();
    let (incumbent, rival) = rivals(&mut book, after(0));
    book.remove(incumbent);
    assert_eq!(book.pending_test(after(60)), None);
    assert_eq!(is_tried(&book, rival), Some(true));
    assert_eq!(book.audit(), Ok(()));
}

#[test]
fn no_more_than_ten_wait_for_a_test() {
    let mut book = book_with(config(|config| config.max_per_subnet = usize::MAX));
    for number in 0..2000_u16 {
        let [high, low] = number.to_be_bytes();
        reach(&mut book, v4(50, 50, high, low), after(0));
    }
    assert_eq!(book.pending.len(), MAX_PENDING_TESTS);
    assert_eq!(book.audit(), Ok(()));
    assert!((200..=512).contains(&book.tried_len()), "{}", book.tried_len());
}

#[test]
fn without_a_network_failures_do_not_count() {
    let mut book = book();
    reach(&mut book, apart(1), after(0));
    for minute in 0..10_000 {
        book.record_attempt(apart(1), after(minute * 60));
        book.record_failure(apart(1), after(minute * 60));
    }
    let entry = book.get(apart(1)).unwrap();
    assert_eq!((entry.failure_count, entry.is_terrible(after(10_000 * 60).unix_seconds)), (1, false));
}

#[test]
fn an_address_that_keeps_failing_while_others_answer_is_terrible() {
    let mut book = book();
    reach(&mut book, apart(1), after(0));
    book.add(apart(2), hearsay(), after(0)).unwrap();
    for day in 0..=10 {
        let now = after(day * DAY + 1);
        book.record_success(apart(3), None, now);
        book.record_failure(apart(1), now);
        book.record_failure(apart(2), now);
        let [tried, new] = [1, 2].map(|it| book.get(apart(it)).unwrap().is_terrible(now.unix_seconds));
        assert_eq!((tried, new), (day >= 9, day >= 2), "day {day}");
    }
}

#[test]
fn only_a_terrible_address_gives_its_slot_in_the_new_table() {
    let mut book = book_with(config(|config| config.max_per_subnet = usize::MAX));
    let slot = |book: &AddressBook, address| {
        let group = book.grouping().group(address);
        book.key().new_slot(address, group, book.source_group(hearsay(), group))
    };
    let owner = v4(50, 50, 0, 1);
    let same = (2..=255).map(|d| v4(50, 50, 1, d)).find(|it| slot(&book, *it) == slot(&book, owner)).unwrap();
    book.add(owner, hearsay(), after(0)).unwrap();
    // Told again and again, never tested: not terrible, though stale.
    for day in 0..40 {
        book.add(owner, hearsay(), after(day * DAY)).unwrap();
        assert_eq!(book.add(same, hearsay(), after(day * DAY)), Err(NotAdded::SlotTaken));
    }
    assert!(book.get(owner).unwrap().is_stale(after(2 * DAY).unix_seconds));
    // Told by nobody any more, but just dialled.
    book.record_attempt(owner, after(69 * DAY + 1));
    assert_eq!(book.add(same, hearsay(), after(69 * DAY + 60)), Err(NotAdded::SlotTaken));
    assert!(book.add(same, hearsay(), after(69 * DAY + 61)).is_ok());
    assert_eq!((book.get(owner), book.len()), (None, 1));
    assert_eq!(book.audit(), Ok(()));
}
