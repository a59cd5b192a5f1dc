//! Bad input by name: what becomes of it.

use alloc::collections::BTreeSet;

use super::*;
use crate::admission::NotAdmitted;
use crate::book::{Added, NotAdded};

/// Random addresses of the open internet, all different.
fn anywhere(count: usize) -> impl Iterator<Item = SocketAddr> {
    let mut rng = Rng::from_number(9);
    (0..count).map(move |number| {
        let [a, b, c, d] = rng.bytes();
        SocketAddr::from(([20 + a % 60, b, c, d], (number % 65_535) as u16 + 1))
    })
}

fn add_all(book: &mut AddressBook, addresses: impl IntoIterator<Item = SocketAddr>, source: Source) {
    for address in addresses {
        let _ = book.add(address, source, after(0));
    }
    assert_eq!(book.audit(), Ok(()));
}

#[test]
fn port_zero_is_refused() {
    let port_zero = SocketAddr::new(v4(50, 1, 1, 1).ip(), 0);
    let why = NotAdded::NotAdmitted(NotAdmitted::PortZero);
    assert_eq!(book().add(port_zero, Source::Configured, after(0)), Err(why));
}

#[test]
fn a_mapped_address_is_the_ipv4_address_it_is() {
    let mut book = book();
    let mapped = "[::ffff:50.1.1.1]:8333".parse().unwrap();
    assert_eq!(book.add(mapped, hearsay(), after(0)), Ok(Added::New));
    assert_eq!(book.add(v4(50, 1, 1, 1), hearsay(), after(0)), Ok(Added::Known));
    assert_eq!(book.len(), 1);
    book.record_attempt(mapped, after(1));
    book.record_success(mapped, None, after(1));
    assert!(book.get(v4(50, 1, 1, 1)).unwrap().is_tried);
    assert!(book.remove(v4(50, 1, 1, 1)).is_some() && book.is_empty());
    let private = "[::ffff:10.0.0.1]:8333".parse().unwrap();
    assert!(book.add(private, hearsay(), after(0)).is_err());
}

#[test]
fn an_address_has_one_entry_whatever_its_flow_and_scope() {
    let mut book = book();
    let plain = core::net::SocketAddrV6::new("2001:db8::1".parse().unwrap(), 1, 0, 0);
    book.add(plain.into(), hearsay(), after(0)).unwrap();
    let odd = core::net::SocketAddrV6::new(*plain.ip(), 1, 7, 9);
    assert_eq!(book.add(odd.into(), hearsay(), after(0)), Ok(Added::Known));
    assert_eq!(book.audit(), Ok(()));
}

#[test]
fn what_is_told_a_thousand_times_has_one_entry() {
    let mut book = book();
    for number in 0..1000 {
        let source = Source::Peer(apart(number + 1));
        let expected = if number == 0 { Added::New } else { Added::Known };
        assert_eq!(book.add(apart(0), source, after(0)), Ok(expected));
    }
    assert_eq!((book.len(), book.audit()), (1, Ok(())));
}

#[test]
fn a_hundred_thousand_addresses_of_one_subnet_leave_ten() {
    let mut book = book();
    let all =
        (0..100_000_u32).map(|it| SocketAddr::from(([50, 1, 1, (it % 256) as u8], (it / 256) as u16 + 1)));
    for (number, address) in all.enumerate() {
        let source = Source::Peer(apart((number % 2000) as u16));
        let _ = book.add(address, source, after(0));
    }
    assert_eq!((book.len(), book.audit()), (10, Ok(())));
    assert_eq!(book.add(v4(50, 1, 1, 1), hearsay(), after(0)), Err(NotAdded::SubnetFull));
}

#[test]
fn hearsay_cannot_keep_a_host_out_of_its_own_subnet() {
    let mut book = book();
    add_all(&mut book, (1..=20).map(|d| v4(50, 1, 1, d)), hearsay());
    let before = book.len();
    assert_eq!(book.add(v4(50, 1, 1, 99), Source::Announced, after(0)), Ok(Added::New));
    assert_eq!((before, book.len(), book.audit()), (10, 10, Ok(())));
}

#[test]
fn a_hundred_thousand_addresses_of_one_group_get_one_bucket_of_each_source() {
    let mut book = book_with(config(|config| config.max_per_subnet = usize::MAX));
    let all = || {
        (0..100_000_u32).map(|it| {
            SocketAddr::from(([50, 1, (it % 256) as u8, (it / 256 % 256) as u8], (it / 65_536) as u16 + 1))
        })
    };
    add_all(&mut book, all(), hearsay());
    assert_eq!(book.len(), 64);
    add_all(&mut book, all(), Source::Peer(v4(60, 1, 1, 1)));
    assert_eq!(book.len(), 128);
}

#[test]
fn a_hundred_thousand_addresses_of_one_source_get_a_sixteenth_of_the_new_table() {
    let mut book = book();
    add_all(&mut book, anywhere(100_000), hearsay());
    assert!((3700..=4096).contains(&book.len()), "{}", book.len());
    // Seeds are one source, too.
    let before = book.len();
    add_all(&mut book, anywhere(100_000), Source::Seed);
    assert!(book.len() - before <= 4096, "{}", book.len());
}

#[test]
fn a_flood_from_everywhere_fills_the_new_table_and_costs_what_was_there_nothing() {
    let mut book = book();
    let told: Vec<_> = (0..2000).map(apart).collect();
    add_all(&mut book, told.iter().copied(), hearsay());
    (2000..3000).for_each(|number| reach(&mut book, apart(number), after(0)));
    let there: Vec<_> = book.entries().map(|entry| entry.address).collect();
    for (number, address) in anywhere(200_000).enumerate() {
        let _ = book.add(address, Source::Peer(apart((number % 4000) as u16)), after(DAY));
    }
    assert_eq!(book.audit(), Ok(()));
    assert!(book.len() > 60_000 && book.len() <= 65_536 + 1000, "{}", book.len());
    assert!(there.iter().all(|address| book.get(*address).is_some()));
}

#[test]
fn a_small_book_stays_small_and_no_flood_drives_a_group_out_of_it() {
    let mut book = book_with(config(|config| config.max_entries = 100));
    reach(&mut book, apart(0), after(0));
    add_all(&mut book, (1..60).map(apart), hearsay());
    // A group with 40 addresses, the first one the oldest.
    let crowd: Vec<_> = (0..40).map(|c| v4(110, 1, c, 1)).collect();
    for (number, address) in (0..).zip(&crowd) {
        book.add(*address, Source::Peer(apart(number)), after(200 + u64::from(number))).unwrap();
    }
    assert_eq!(book.len(), 100);
    assert_eq!(book.add(v4(110, 1, 99, 1), Source::Seed, after(300)), Err(NotAdded::Full));
    book.add(v4(111, 1, 1, 1), hearsay(), after(300)).unwrap();
    assert_eq!(
        (
            book.len(),
            book.get(v4(110, 1, 0, 1)).is_none() || book.new.group_len(book.grouping().group(crowd[0])) == 39
        ),
        (100, true)
    );
    // No flood gets anything but the share of the crowd.
    add_all(&mut book, anywhere(20_000), Source::Seed);
    assert_eq!(book.len(), 100);
    let grouping = book.grouping().clone();
    let groups: BTreeSet<_> = book.entries().map(|entry| grouping.group(entry.address)).collect();
    assert!((0..60).all(|number| groups.contains(&grouping.group(apart(number)))));
}

#[test]
fn a_book_without_room_takes_nothing() {
    let mut book = book_with(config(|config| config.max_entries = 0));
    assert_eq!(book.add(apart(1), Source::Configured, after(0)), Err(NotAdded::Full));
    let mut book = book_with(config(|config| config.max_per_subnet = 0));
    assert_eq!(book.add(apart(1), Source::Configured, after(0)), Err(NotAdded::SubnetFull));
}

#[test]
fn outcomes_of_unknown_addresses_change_nothing() {
    let mut book = book();
    book.record_attempt(apart(1), after(0));
    book.record_success(apart(1), None, after(0));
    book.record_failure(apart(1), after(0));
    book.record_seen(apart(1), after(0));
    assert!(book.remove(apart(1)).is_none() && book.is_empty());
    assert_eq!(book.pending_test(after(0)), None);
    assert_eq!(book.audit(), Ok(()));
}

#[test]
fn many_nodes_on_one_host_fit_where_private_addresses_are_allowed() {
    let mut book = book_with(config(|config| config.rules.allow_private = true));
    for port in 1..=1000 {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let _ = book.add(address, Source::Announced, after(0));
    }
    assert!(book.len() > 970, "{}", book.len());
    assert_eq!(book.audit(), Ok(()));
}
