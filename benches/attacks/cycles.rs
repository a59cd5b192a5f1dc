//! Connections that come and go.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::crowd::connect;
use crate::crowded_node;
use crate::peer::{Peer, Place};

/// Who comes and goes at the same time.
const TASKS: usize = 16;

/// One of so many becomes a session.
const SESSION_EVERY: usize = 50;

pub(crate) async fn run(count: usize) {
    let (node, peers) = crowded_node().await;
    let place = Place::of(&node);
    println!("| cycles | resident MiB | descriptors | peers lost |");
    println!("|---|---|---|---|");
    let line = |cycles: usize| {
        println!("| {cycles} | {:.1} | {} | {} |", node.resident_mib(), node.descriptors(), peers.lost());
    };
    line(0);
    let done = Arc::new(AtomicUsize::new(0));
    for tenth in 1..=10 {
        let mut tasks = JoinSet::new();
        for _ in 0..TASKS {
            let done = Arc::clone(&done);
            tasks.spawn(async move {
                loop {
                    let number = done.fetch_add(1, Ordering::Relaxed);
                    if number >= count * tenth / 10 {
                        return;
                    }
                    cycle(number, place).await;
                }
            });
        }
        while tasks.join_next().await.is_some() {}
        done.store(count * tenth / 10, Ordering::Relaxed);
        // Those that are left have ended.
        sleep(Duration::from_secs(6)).await;
        line(count * tenth / 10);
    }
}

/// One that comes and goes: without a word, with some, in the middle of TLS, or after a session.
async fn cycle(number: usize, node: Place) {
    let [_, a, b, c] = (number as u32).to_be_bytes();
    let from = Ipv4Addr::new(127, b, a, c | 1);
    if number.is_multiple_of(SESSION_EVERY) {
        drop(Peer::connect(from, &node).await);
        return;
    }
    let Ok(mut stream) = connect(from, node.socket).await else { return };
    let words: &[u8] = match number % 3 {
        0 => &[],
        1 => &[1, 0, 0, 0, 2],
        _ => &[0x16, 3, 1, 0, 200, 1],
    };
    let _ = stream.write_all(words).await;
}
