//! Connections, as many as there can be.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::peer::{Peer, Place};
use crate::slow::report;
use crate::{crowded_node, flooders, percentile};

/// How often an honest newcomer comes.
const NEWCOMER_INTERVAL: Duration = Duration::from_millis(500);

pub(crate) async fn run(duration: Duration) {
    for networks in [1, 256] {
        flood(duration, networks).await;
    }
}

async fn flood(duration: Duration, networks: usize) {
    let (node, peers) = crowded_node().await;
    let place = Place::of(&node);
    sleep(Duration::from_secs(5)).await;
    let mut idle = peers.round_trips();
    let before = node.resident_mib();
    let began = Instant::now();
    let attack = flooders::start(place.socket, networks, duration);
    let (mut newcomers, mut refused) = (Vec::new(), 0);
    let mut number = 0_u8;
    while began.elapsed() < duration {
        // Of a network of which nobody else is; it leaves at once.
        number = number.wrapping_add(1);
        let from = Ipv4Addr::new(127, 255, 200, number);
        let asked = Instant::now();
        match Peer::connect(from, &place).await {
            Ok(_leaves_at_once) => newcomers.push(asked.elapsed()),
            Err(_) => refused += 1,
        }
        sleep(NEWCOMER_INTERVAL).await;
    }
    let output = attack.wait_with_output().expect("it ends by itself");
    assert!(output.status.success(), "the flood has failed");
    let count = String::from_utf8_lossy(&output.stdout);
    println!("{} connections in {} s from {networks} networks", count.trim(), duration.as_secs());
    println!("  newcomers: {} let in, {refused} not (none)", newcomers.len());
    println!("  the slowest of them took {:.1} ms (at most 2000)", percentile(&mut newcomers, 100));
    report(&node, &peers, before, &mut idle);
}
