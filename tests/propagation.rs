//! How items spread through a simulated network by default, against flooding. The same as
//! `benches/propagation`, with fewer nodes.

#[path = "../benches/propagation/network.rs"]
mod network;

use network::{Way, measure};

const NODES: usize = 300;
/// What the relay does by default.
const DEFAULT: Way = Way::Push(1);

#[test]
fn blocks_take_a_third_of_the_bytes_and_of_the_duplicates_of_flooding() {
    let flooded = measure(100_000, Way::Flood, NODES, 1);
    let spread = measure(100_000, DEFAULT, NODES, 1);
    for all in [&flooded, &spread] {
        assert!((all.reached_percent - 100.0).abs() < 1e-9, "{all:?}");
    }
    assert!(spread.bytes * 3.0 <= flooded.bytes, "{spread:?} {flooded:?}");
    assert!((spread.copies - 1.0) * 3.0 <= flooded.copies - 1.0, "{spread:?} {flooded:?}");
}

#[test]
fn nearly_everybody_has_a_small_item_within_three_ways_through_the_network() {
    let spread = measure(1024, DEFAULT, NODES, 3);
    assert!(spread.times_ms[2] < 3.0 * spread.bound_ms, "{spread:?}");
    assert!((spread.reached_percent - 100.0).abs() < 1e-9, "{spread:?}");
}

#[test]
fn the_relay_does_by_default_what_is_measured_here() {
    let config = spacetime_relay::Config::default();
    assert_eq!(config, config.clone().with_push_peers(1).with_announce_from_bytes(256));
}
