//! Connections that say a byte a second.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::crowd::connect;
use crate::peer::{Peer, Place};
use crate::{crowded_node, percentile};

/// What could become a Handshake, in plaintext, and the beginning of TLS.
const WORDS: [&[u8]; 2] = [&[40, 0, 0, 0, 1, 1, 0, 0, 0, 0], &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3]];

/// How long one waits to be thrown out. Whoever waits for longer never got through the queue of the system, as
/// those do not that come while it is full; the node knows nothing of them.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long until it was thrown out.
async fn stall(number: usize, node: Place) -> Option<Duration> {
    // One after the other, so that few of them find the queue full.
    sleep(Duration::from_millis(number as u64)).await;
    let from = Ipv4Addr::new(127, (number % 250) as u8, 7, 1 + (number / 250) as u8);
    let mut stream = connect(from, node.socket).await.ok()?;
    let began = Instant::now();
    let (mut read, mut write) = stream.split();
    let mut answer = Vec::new();
    let speak = async {
        for byte in WORDS[number % 2] {
            if write.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = read.read_to_end(&mut answer) => Some(began.elapsed()),
        () = speak => None,
        () = sleep(PATIENCE) => None,
    }
}

pub(crate) async fn run(count: usize) {
    let (node, peers) = crowded_node().await;
    let place = Place::of(&node);
    sleep(Duration::from_secs(5)).await;
    let mut idle = peers.round_trips();
    let (before, descriptors_before) = (node.resident_mib(), node.descriptors());
    let mut attack = JoinSet::new();
    for number in 0..count {
        attack.spawn(stall(number, place));
    }
    let mut honest = Vec::new();
    let mut refused = 0;
    let began = Instant::now();
    let mut number = 0;
    while began.elapsed() < Duration::from_secs(6) {
        let from = Ipv4Addr::new(127, 250, number, 1);
        number = number.wrapping_add(1);
        let asked = Instant::now();
        match Peer::connect(from, &place).await {
            Ok(_leaves_at_once) => honest.push(asked.elapsed()),
            Err(_) => refused += 1,
        }
        sleep(Duration::from_millis(20)).await;
    }
    let mut times = Vec::new();
    while let Some(time) = attack.join_next().await {
        times.extend(time.ok().flatten());
    }
    let longest = times.iter().max().copied().unwrap_or_default();
    println!(
        "{count} connections that say a byte a second, half of them in TLS; {} got through",
        times.len()
    );
    println!("  the last was closed after {:.2} s (at most 6)", longest.as_secs_f64());
    println!("  {} descriptors before, {} after (no more)", descriptors_before, node.descriptors());
    println!("  honest ones meanwhile: {} let in, {refused} not (none)", honest.len());
    let (p50, p99) = (percentile(&mut honest, 50), percentile(&mut honest, 99));
    println!("  which took {p50:.1} ms, p99 {p99:.1} ms (at most 500)");
    report(&node, &peers, before, &mut idle);
}

/// What all attacks must leave as it was.
pub(crate) fn report(
    node: &crate::node::AttackedNode,
    peers: &crate::peer::Peers,
    before: f64,
    idle: &mut [Duration],
) {
    let mut attacked = peers.round_trips();
    let (idle, attacked) = (percentile(idle, 99), percentile(&mut attacked, 99));
    println!("  {} of {} peers were lost (none)", peers.lost(), crate::PEERS);
    println!("  their pings: p99 {attacked:.2} ms, {idle:.2} ms before (at most twice)");
    println!(
        "  resident: {before:.1} MiB before, {:.1} MiB at most (32 more, and 96 in all)",
        node.peak_mib()
    );
}
