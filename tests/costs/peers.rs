//! The address book.

use std::hint::black_box;
use std::net::SocketAddr;

use spacetime_network::peers::book::Source;
use spacetime_network::peers::{AddressBook, BookConfig, BucketKey};
use spacetime_network::{Now, Rng, Time};

fn address(number: u32) -> SocketAddr {
    let [_, high, middle, low] = number.to_be_bytes();
    SocketAddr::from(([50 + high, middle, low, 1], 8333))
}

/// What gossip does most of the time.
pub(crate) fn add_addresses(count: usize) {
    let mut rng = Rng::from_number(1);
    let mut book = AddressBook::new(BookConfig::default(), BucketKey::random(&mut rng), &rng);
    let now = Now::new(Time::ZERO, 1_800_000_000);
    for number in 0..10_000 {
        let _may_be_full = book.add(address(number), Source::Seed, now);
    }
    for number in (0..10_000).cycle().take(count) {
        let _is_known = black_box(book.add(address(number), Source::Seed, now));
    }
}
