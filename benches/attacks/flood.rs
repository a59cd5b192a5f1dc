//! Connections, as many as there can be.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::crowd::connect;
use crate::peer::{Peer, Place};
use crate::slow::report;
use crate::{crowded_node, percentile};

/// Connections of the flood that are there at a time.
const AT_A_TIME: usize = 1000;

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
    let connections = Arc::new(AtomicUsize::new(0));
    let next = Arc::new(AtomicUsize::new(0));
    let mut attack = JoinSet::new();
    for _ in 0..AT_A_TIME {
        let (connections, next) = (Arc::clone(&connections), Arc::clone(&next));
        attack.spawn(async move {
            while began.elapsed() < duration {
                let number = next.fetch_add(1, Ordering::Relaxed) % networks;
                // There are 256 networks of 2^16 addresses on loopback; the last one is for newcomers.
                let from = Ipv4Addr::new(127, (number % 255) as u8, (number / 255) as u8, 1);
                let Ok(mut stream) = connect(from, place.socket).await else {
                    sleep(Duration::from_millis(10)).await;
                    continue;
                };
                connections.fetch_add(1, Ordering::Relaxed);
                // The beginning of TLS, so that it may stay; until it is thrown out.
                let _ = stream.write_all(&[0x16, 3, 1, 2, 0, 1]).await;
                let _ = timeout(Duration::from_secs(1), stream.read(&mut [0])).await;
            }
        });
    }
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
    while attack.join_next().await.is_some() {}
    let count = connections.load(Ordering::Relaxed);
    println!("{count} connections in {} s from {networks} networks", duration.as_secs());
    println!("  newcomers: {} let in, {refused} not (none)", newcomers.len());
    println!("  the slowest of them took {:.1} ms (at most 2000)", percentile(&mut newcomers, 100));
    report(&node, &peers, before, &mut idle);
}
