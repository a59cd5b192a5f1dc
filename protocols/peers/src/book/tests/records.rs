//! Storing and restoring.

use spacetime_core::NotPublic;

use super::*;
use crate::admission::NotAdmitted;
use crate::book::{Added, NotAdded, Record};

fn filled() -> AddressBook {
    let mut book = book();
    for number in 0..3000 {
        let address = apart(number);
        let source = match number % 4 {
            0 => Source::Announced,
            1 => Source::Seed,
            2 => Source::Configured,
            _ => Source::Peer(apart(number / 7)),
        };
        let _ = book.add(address, source, after(u64::from(number)));
        if number % 3 == 0 {
            book.record_attempt(address, after(3000));
            book.record_success(address, None, after(3000));
        }
    }
    book
}

#[test]
fn the_same_key_and_records_make_the_same_tables_in_any_order() {
    let book = filled();
    let mut records: Vec<Record> = book.records().collect();
    assert!(records.len() > 2900 && book.tried_len() > 900);
    for round in 0..3 {
        let mut again = super::book();
        for record in records.clone() {
            assert_eq!(again.restore(record, after(3100)), Ok(Added::New));
        }
        assert_eq!(again.audit(), Ok(()));
        assert!(again.entries().eq(book.entries()), "round {round}");
        assert!(again.records().eq(book.records()), "round {round}");
        Rng::from_number(round).shuffle(&mut records);
    }
}

#[test]
fn a_session_that_proves_nothing_takes_back_no_proof() {
    let mut book = book();
    reach(&mut book, apart(1), after(0));
    assert_eq!(book.get(apart(1)).unwrap().peer_id, None);
    let proven = Some(spacetime_core::PeerId([7; 32]));
    book.record_success(apart(1), proven, after(1));
    book.record_success(apart(1), None, after(2));
    assert_eq!(book.get(apart(1)).unwrap().peer_id, proven);
    // Somebody else who has proven it is there now.
    let other = Some(spacetime_core::PeerId([8; 32]));
    book.record_success(apart(1), other, after(3));
    assert_eq!(book.get(apart(1)).unwrap().peer_id, other);
}

#[test]
fn a_record_goes_through_json() {
    let mut book = book();
    reach(&mut book, apart(1), after(0));
    book.record_success(apart(1), Some(spacetime_core::PeerId([0xab; 32])), after(1));
    book.add(apart(2), Source::Peer("[2001:db8::1]:9".parse().unwrap()), after(1)).unwrap();
    for record in book.records() {
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record, "{text}");
        assert_eq!(text.contains(&"ab".repeat(32)), record.peer_id.is_some(), "{text}");
    }
    let least = r#"{"address":"203.0.113.1:1","source":"Seed","first_seen":0,"last_seen":1700000000}"#;
    assert_eq!(book.restore(serde_json::from_str(least).unwrap(), after(0)), Ok(Added::New));
}

#[test]
fn with_another_key_tried_records_that_collide_become_new_ones() {
    let book = filled();
    let mut other =
        AddressBook::new(BookConfig::default(), BucketKey::from_bytes([8; 32]), &Rng::from_number(1));
    for record in book.records() {
        let _ = other.restore(record, after(3100));
    }
    assert_eq!(other.audit(), Ok(()));
    let demoted = other.entries().filter(|entry| entry.is_verified() && !entry.is_tried).count();
    assert!(demoted > 0 && other.len() > book.len() * 9 / 10, "{demoted} of {}", other.len());
    assert!(!other.entries().map(|entry| entry.address).eq(core::iter::empty()));
}

fn record(address: SocketAddr) -> Record {
    let mut book = book();
    reach(&mut book, address, after(0));
    book.records().next().unwrap()
}

#[test]
fn stamps_in_the_future_are_taken_as_old_ones() {
    for stamp in [i64::MAX, after(601).unix_seconds] {
        let mut book = book();
        let mut record = record(apart(1));
        record.first_seen = stamp;
        record.last_seen = stamp;
        record.last_told = stamp;
        record.last_attempt = Some(stamp);
        record.last_success = Some(stamp);
        assert_eq!(book.restore(record, after(0)), Ok(Added::New));
        let entry = book.get(apart(1)).unwrap().clone();
        let penalty = after(0).unix_seconds - 15 * DAY.cast_signed();
        assert_eq!((entry.first_seen, entry.last_seen, entry.last_told), (penalty, penalty, penalty));
        assert_eq!((entry.last_success, entry.last_attempt), (Some(penalty), Some(after(0).unix_seconds)));
        assert_eq!(book.remove_stale(after(15 * DAY)), 0);
        assert_eq!(book.remove_stale(after(15 * DAY + 1)), 1);
    }
}

#[test]
fn a_clock_that_differs_by_ten_minutes_costs_nothing() {
    let mut book = book();
    let mut record = record(apart(1));
    record.last_seen = after(600).unix_seconds;
    book.restore(record, after(0)).unwrap();
    assert_eq!(book.get(apart(1)).unwrap().last_seen, after(0).unix_seconds);
}

#[test]
fn records_are_believed_no_more_than_peers() {
    let mut book = book();
    let old = after(31 * DAY);
    assert_eq!(book.restore(record(apart(1)), old), Err(NotAdded::Terrible));
    let forged =
        Record { last_seen: i64::MIN, last_told: i64::MIN, last_success: Some(i64::MIN), ..record(apart(1)) };
    assert_eq!(book.restore(forged, after(0)), Err(NotAdded::Terrible));
    let private = Record { address: v4(10, 0, 0, 1), ..record(apart(1)) };
    let why = NotAdded::NotAdmitted(NotAdmitted::NotPublic(NotPublic::Private));
    assert_eq!(book.restore(private, after(0)), Err(why));
    let never_reached = Record { last_success: None, ..record(apart(1)) };
    book.restore(never_reached, after(0)).unwrap();
    assert!(!book.get(apart(1)).unwrap().is_tried);
    assert_eq!(book.restore(record(apart(1)), after(0)), Ok(Added::Known));
    for host in 1..=20 {
        let _ = book.restore(record(v4(60, 1, 1, host)), after(0));
    }
    assert_eq!((book.len(), book.audit()), (11, Ok(())));
    let mapped = Record { address: "[::ffff:61.1.1.1]:8333".parse().unwrap(), ..record(apart(1)) };
    book.restore(mapped, after(0)).unwrap();
    assert!(book.get(v4(61, 1, 1, 1)).is_some());
}

#[test]
fn a_wait_after_a_failure_outlives_the_process() {
    let mut book = book();
    reach(&mut book, apart(1), after(0));
    let record = Record {
        failures_in_a_row: 6,
        last_attempt: Some(after(5 * DAY).unix_seconds),
        ..book.records().next().unwrap()
    };
    let mut again = super::book();
    again.restore(record, after(5 * DAY)).unwrap();
    let mut draw =
        |seconds| again.select(crate::book::Purpose::Outbound, after(5 * DAY + seconds), |_, _| false);
    assert_eq!((draw(0), draw(64 * 30 - 1), draw(64 * 30)), (None, None, Some(apart(1))));
}
