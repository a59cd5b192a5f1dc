//! Unix clocks that jump, and what is stale.

use super::*;

/// The moment `seconds` after the start on a unix clock that is `ahead` seconds ahead.
fn ahead(seconds: u64, ahead: i64) -> Now {
    let now = after(seconds);
    Now::new(now.time, now.unix_seconds.saturating_add(ahead))
}

#[test]
fn a_jump_of_the_clock_changes_no_age() {
    for jump in [-3600, 3600, -1_600_000_000, 1_000_000_000, 1 << 39] {
        let mut book = book();
        reach(&mut book, apart(1), after(0));
        book.add(apart(2), hearsay(), after(0)).unwrap();
        assert_eq!(book.remove_stale(ahead(DAY, jump)), 0, "{jump}");
        // Back again, and on.
        assert_eq!(book.remove_stale(after(DAY)), 0, "{jump}");
        assert_eq!(book.get(apart(2)).unwrap().last_seen, after(0).unix_seconds, "{jump}");
        assert_eq!(book.remove_stale(ahead(DAY + 1, jump)), 1, "the unverified one, {jump}");
        assert_eq!(book.remove_stale(ahead(30 * DAY, jump)), 0, "{jump}");
        assert_eq!(book.remove_stale(ahead(30 * DAY + 1, jump)), 1, "{jump}");
        assert!(book.is_empty());
    }
}

#[test]
fn nothing_lives_for_ever_whatever_the_clock_does() {
    let mut book = book();
    let mut rng = Rng::from_number(5);
    book.add(apart(1), hearsay(), after(0)).unwrap();
    for hour in 0..=24 {
        book.remove_stale(ahead(hour * HOUR + hour, rng.u64().cast_signed() >> rng.below(63)));
    }
    assert!(book.is_empty());
}

#[test]
fn hearsay_never_refreshes_when_an_address_was_seen() {
    let mut book = book();
    book.add(apart(1), hearsay(), after(0)).unwrap();
    reach(&mut book, apart(2), after(0));
    for hour in 1..=25 {
        for address in [apart(1), apart(2)] {
            book.add(address, hearsay(), after(hour * HOUR)).unwrap();
            let entry = book.get(address).unwrap();
            assert_eq!((entry.first_seen, entry.last_seen), (after(0).unix_seconds, after(0).unix_seconds));
        }
    }
    assert_eq!(book.remove_stale(after(25 * HOUR)), 1);
    // Nor does it keep one that was reached once from being worth nothing.
    book.add(apart(2), hearsay(), after(29 * DAY)).unwrap();
    let is_terrible = |now: Now| book.get(apart(2)).unwrap().is_terrible(now.unix_seconds);
    assert_eq!((is_terrible(after(30 * DAY)), is_terrible(after(30 * DAY + 1))), (false, true));
}

#[test]
fn its_own_host_keeps_an_unverified_address_fresh_and_counts_as_its_source() {
    let mut book = book();
    book.add(apart(1), hearsay(), after(0)).unwrap();
    book.add(apart(1), Source::Announced, after(20 * HOUR)).unwrap();
    assert_eq!(book.audit(), Ok(()));
    assert!(book.get(apart(1)).unwrap().is_announced());
    book.add(apart(1), hearsay(), after(21 * HOUR)).unwrap();
    assert!(book.get(apart(1)).unwrap().is_announced());
    assert_eq!(book.remove_stale(after(30 * HOUR)), 0);
    assert_eq!(book.remove_stale(after(45 * HOUR)), 1);
}

#[test]
fn a_wait_goes_by_the_monotonic_clock() {
    let mut book = book();
    reach(&mut book, apart(1), after(0));
    let draw = |book: &mut AddressBook, now| book.select(crate::book::Purpose::Outbound, now, |_, _| false);
    assert_eq!(draw(&mut book, ahead(1, 1_000_000)), None);
    assert_eq!(draw(&mut book, ahead(1, -1_000_000)), None);
    assert_eq!(draw(&mut book, ahead(60, -1_000_000)), Some(apart(1)));
}
