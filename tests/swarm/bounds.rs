//! What a connection may make the node hold.

use std::time::Duration;

use futures::StreamExt as _;
use spacetime_network::wire::{Frame, Heartbeat};
use spacetime_network::{CloseReason, ConnectionId, Limits, Swarm};
use tokio::time::{Instant, sleep};

use crate::scripted::{Piece, Scripted};
use crate::tree::{Note, Notes, bare_note, closed, established, next, node};

/// Says notes until the queue is full.
fn fill(swarm: &mut Swarm<Notes>, to: ConnectionId) {
    swarm.act(|_, cx| while cx.send(to, &Note { text: "x".repeat(1000) }).is_ok() {});
}

#[tokio::test(start_paused = true)]
async fn small_frames_that_wait_for_the_application_are_few() {
    let (mut swarm, arrivals) = Scripted::notes(Limits::default()).await;
    let remote = arrivals.connect();
    next(&mut swarm, established).await;
    // Nobody polls. Each of them is a batch of its own, with all that goes with it.
    for _ in 0..20_000 {
        remote.say(&Note { text: "a".into() });
    }
    sleep(Duration::from_secs(1)).await;
    let taken = remote.look().reads;
    assert!(taken <= 100, "{taken} batches wait");
    // None of them is lost.
    for _ in 0..20_000 {
        next(&mut swarm, bare_note).await;
    }
}

#[tokio::test(start_paused = true)]
async fn frames_that_wait_for_the_application_are_two_batches() {
    let (mut swarm, arrivals) = Scripted::notes(Limits::default()).await;
    let remote = arrivals.connect();
    next(&mut swarm, established).await;
    let bytes = Frame::encode(&Note { text: "x".repeat(993) }).unwrap().bytes().to_vec();
    assert_eq!(bytes.len(), 1000);
    remote.change(|state| state.pieces.extend((0..1000).map(|_| Piece::Bytes(bytes.clone()))));
    sleep(Duration::from_secs(1)).await;
    // Two of at most 64 KiB, and what the reader holds.
    let taken = 1000 - remote.look().pieces.len();
    assert!((66..=3 * 66).contains(&taken), "{taken} kB were taken");
}

#[tokio::test(start_paused = true)]
async fn of_a_peer_that_is_not_known_yet_one_batch_waits() {
    let (transport, arrivals) = Scripted::new(|_| unreachable!("it dials nobody"));
    let mut swarm = node(1, transport);
    swarm.listen(spacetime_network::Address::memory(1)).await.unwrap();
    let remote = arrivals.connect();
    sleep(Duration::from_millis(1)).await;
    // It hears of the connection, and nobody polls it afterwards.
    let _nothing_to_tell = tokio::time::timeout(Duration::ZERO, swarm.next()).await;
    let bytes = Frame::encode(&Heartbeat).unwrap().bytes().repeat(10);
    remote.change(|state| state.pieces.extend((0..1000).map(|_| Piece::Bytes(bytes.clone()))));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(remote.look().reads, 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_keeps_what_it_takes_is_handed_no_more_than_one_that_writes_it() {
    let (mut swarm, arrivals) = Scripted::notes(Limits::default()).await;
    let remote = arrivals.connect();
    let connection = next(&mut swarm, established).await;
    remote.change(|state| state.flush_blocked = true);
    let start = Instant::now();
    let reason = loop {
        fill(&mut swarm, connection);
        tokio::select! {
            reason = next(&mut swarm, closed) => break reason,
            () = sleep(Duration::from_secs(1)) => {}
        }
        assert!(start.elapsed() < Duration::from_secs(60), "it takes nothing for half a minute");
        let kept = remote.look().unflushed.len();
        assert!(kept <= 2 * 65 * 1024, "{kept} bytes are kept");
    };
    assert_eq!(reason, CloseReason::SlowReader);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_something_now_and_then_is_not_too_slow() {
    let (mut swarm, arrivals) = Scripted::notes(Limits::default()).await;
    let remote = arrivals.connect_with_room(0);
    let connection = next(&mut swarm, established).await;
    fill(&mut swarm, connection);
    let start = Instant::now();
    // Nothing else happens meanwhile. It takes what it was handed after twenty seconds each time.
    let task = tokio::spawn({
        let remote = remote.clone();
        async move {
            for _ in 0..4 {
                sleep(Duration::from_secs(20)).await;
                remote.change(|state| state.room += 70_000);
            }
        }
    });
    // It takes longer than `next` waits.
    let reason = loop {
        if let Some(reason) = closed(&swarm.next().await.unwrap()) {
            break reason;
        }
    };
    assert_eq!(reason, CloseReason::SlowReader);
    assert_eq!(start.elapsed().as_secs(), 4 * 20 + 30);
    task.await.unwrap();
}
