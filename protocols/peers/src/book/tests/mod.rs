//! The book against a naive model, against floods, and on bad input.

mod bad_input;
mod clock;
mod model;
mod records;
mod selection;
mod tried;

use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use spacetime_core::{Now, Rng, Time};

use super::{AddressBook, BookConfig, BucketKey, Source};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn config(change: impl FnOnce(&mut BookConfig)) -> BookConfig {
    let mut config = BookConfig::default();
    change(&mut config);
    config
}

fn book_with(config: BookConfig) -> AddressBook {
    AddressBook::new(config, BucketKey::from_bytes([7; 32]), &Rng::from_number(1))
}

fn book() -> AddressBook {
    book_with(BookConfig::default())
}

/// So many seconds after the start.
fn after(seconds: u64) -> Now {
    Now::new(Time::from_epoch(Duration::from_secs(seconds)), 1_700_000_000 + seconds.cast_signed())
}

fn v4(a: u8, b: u8, c: u8, d: u8) -> SocketAddr {
    SocketAddr::from(([a, b, c, d], 8333))
}

/// An address in a group and a subnet of its own.
fn apart(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    assert!(high < 80, "an ordinary address");
    v4(20 + high, low, 1, 1)
}

/// Told by a peer far away from everything else.
fn hearsay() -> Source {
    Source::Peer(v4(8, 8, 8, 8))
}

/// Adds an address and reaches it. It may find its slot taken.
fn reach(book: &mut AddressBook, address: SocketAddr, now: Now) {
    let _ = book.add(address, Source::Configured, now);
    book.record_attempt(address, now);
    book.record_success(address, None, now);
}
