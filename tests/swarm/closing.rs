//! What is still heard and said when a connection ends.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use spacetime_network::wire::{Frame, Heartbeat};
use spacetime_network::{CloseReason, ConnectionId, Limits, Swarm};
use tokio::task::yield_now;
use tokio::time::{Instant, advance, sleep};

use crate::scripted::{Piece, Remote, Scripted};
use crate::tree::{Note, Notes, bare_note, closed, established, next};

fn note(text: &str) -> Note {
    Note { text: text.into() }
}

fn say(swarm: &mut Swarm<Notes>, to: ConnectionId, text: &str) {
    swarm.act(|_, cx| cx.send(to, &note(text)).unwrap());
}

/// A Swarm, and a peer that is connected with it.
async fn connected() -> (Swarm<Notes>, ConnectionId, Remote) {
    let (mut swarm, arrivals) = Scripted::notes(Limits::default()).await;
    let remote = arrivals.connect();
    let connection = next(&mut swarm, established).await;
    // Until the task sleeps.
    sleep(Duration::from_millis(1)).await;
    (swarm, connection, remote)
}

#[tokio::test(start_paused = true)]
async fn what_arrived_is_heard_although_nothing_can_be_written_any_more() {
    for (end, reason) in [
        (Some(Piece::End), CloseReason::EndOfStream),
        (Some(Piece::Error(ErrorKind::ConnectionReset)), CloseReason::Transport("connection reset".into())),
        (None, CloseReason::Transport("broken pipe".into())),
    ] {
        let (mut swarm, connection, remote) = connected().await;
        // The peer says something and is gone, and the node was just about to say something too.
        remote.change(|state| {
            state.write_error = Some(ErrorKind::BrokenPipe);
            for text in ["one", "two"] {
                let bytes = Frame::encode(&note(text)).unwrap().bytes().to_vec();
                state.pieces.push_back(Piece::Bytes(bytes));
            }
            state.pieces.extend(end);
        });
        say(&mut swarm, connection, "hello");
        assert_eq!(next(&mut swarm, bare_note).await, "one");
        assert_eq!(next(&mut swarm, bare_note).await, "two");
        assert_eq!(next(&mut swarm, closed).await, reason);
        sleep(Duration::from_millis(1)).await;
        assert!(remote.look().dropped);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_has_said_everything_still_gets_its_answers() {
    let (mut swarm, _, remote) = connected().await;
    for text in ["echo one", "echo two"] {
        remote.say(&note(text));
    }
    remote.end();
    assert_eq!(next(&mut swarm, closed).await, CloseReason::EndOfStream);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(remote.notes(), ["one", "two"]);
    assert!(remote.look().ended && remote.look().dropped);
}

#[tokio::test(start_paused = true)]
async fn what_was_handed_over_is_written_before_a_connection_is_closed() {
    let (mut swarm, connection, remote) = connected().await;
    say(&mut swarm, connection, "first");
    swarm.act(|_, cx| cx.close(connection, CloseReason::Requested));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(remote.notes(), ["first"]);
    assert!(remote.look().ended);
    assert!(!remote.look().dropped, "the peer has a moment to read it");
    remote.end();
    sleep(Duration::from_millis(1)).await;
    assert!(remote.look().dropped);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_first_finishes_its_own_words_reads_the_last_ones() {
    let (mut swarm, connection, remote) = connected().await;
    say(&mut swarm, connection, "last");
    swarm.act(|_, cx| cx.close(connection, CloseReason::Requested));
    remote.change(|state| {
        state.writes_after_reads = true;
        state.pieces.extend((0..100).map(|_| Piece::Bytes(vec![0; 5000])));
    });
    sleep(Duration::from_millis(1)).await;
    assert_eq!(remote.notes(), ["last"]);
}

#[tokio::test(start_paused = true)]
async fn a_closed_peer_that_takes_nothing_is_dropped_after_a_second() {
    let (mut swarm, connection, remote) = connected().await;
    remote.change(|state| state.room = 0);
    say(&mut swarm, connection, "last");
    swarm.act(|_, cx| cx.close(connection, CloseReason::Requested));
    sleep(Duration::from_millis(900)).await;
    assert!(!remote.look().dropped);
    sleep(Duration::from_millis(200)).await;
    assert!(remote.look().dropped);
}

#[tokio::test(start_paused = true)]
async fn a_closed_peer_that_never_stops_talking_holds_nothing_up() {
    let (mut swarm, connection, remote) = connected().await;
    swarm.act(|_, cx| cx.close(connection, CloseReason::Requested));
    remote.change(|state| {
        state.endless = Some(vec![0; 100]);
        // So that this test ends, even if the task does nothing else any more.
        state.pieces.extend((0..100_000).map(|_| Piece::Bytes(vec![0; 100])));
    });
    let turns = Arc::new(AtomicUsize::new(0));
    let other = tokio::spawn({
        let (turns, remote) = (Arc::clone(&turns), remote.clone());
        poll_fn(move |cx| {
            turns.fetch_add(usize::from(!remote.look().dropped), Ordering::Relaxed);
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        })
    });
    yield_now().await;
    advance(Duration::from_secs(2)).await;
    for _ in 0..10 {
        yield_now().await;
    }
    other.abort();
    let state = remote.look();
    assert!(state.dropped);
    let turns = turns.load(Ordering::Relaxed);
    assert!(state.reads <= 100 * turns, "{} reads, and others had {turns} turns", state.reads);
}

#[tokio::test(start_paused = true)]
async fn garbage_is_answered_with_the_last_words_and_not_read_on() {
    let (mut swarm, connection, remote) = connected().await;
    say(&mut swarm, connection, "first");
    remote.say(&note("heard"));
    remote.change(|state| state.pieces.push_back(Piece::Bytes(vec![0xff; 100])));
    remote.say(&note("not heard"));
    assert_eq!(next(&mut swarm, bare_note).await, "heard");
    assert!(matches!(next(&mut swarm, closed).await, CloseReason::Violation(_)));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(remote.notes(), ["first"]);
    assert!(remote.look().ended);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_all_streams_however_their_peers_behave() {
    let (mut swarm, arrivals) = Scripted::notes(Limits::default()).await;
    let mut remotes = Vec::new();
    for number in 0..6 {
        let remote = arrivals.connect_with_room(if number == 0 { 0 } else { usize::MAX });
        let connection = next(&mut swarm, established).await;
        say(&mut swarm, connection, "first");
        remote.change(|state| match number {
            1 => state.flush_blocked = true,
            2 => state.write_error = Some(ErrorKind::BrokenPipe),
            3 => state.pieces.push_back(Piece::End),
            4 => state.pieces.push_back(Piece::Bytes(vec![0xff; 100])),
            5 => state.endless = Some(Frame::encode(&Heartbeat).unwrap().bytes().to_vec()),
            _ => {}
        });
        remotes.push(remote);
    }
    let start = Instant::now();
    let ticker = tokio::spawn(async {
        loop {
            // One of the peers never lets this runtime idle, so nothing moves the clock.
            yield_now().await;
            advance(Duration::from_millis(10)).await;
        }
    });
    swarm.shutdown().await;
    ticker.abort();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    for (number, remote) in remotes.iter().enumerate() {
        assert!(remote.look().dropped, "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_swarm_leaves_no_stream() {
    let (mut swarm, arrivals) = Scripted::notes(Limits::default()).await;
    let known = arrivals.connect();
    next(&mut swarm, established).await;
    let undecided = arrivals.connect();
    sleep(Duration::from_millis(1)).await;
    drop(swarm);
    sleep(Duration::from_millis(1)).await;
    assert!(known.look().dropped && undecided.look().dropped);
}
