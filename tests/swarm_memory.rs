//! The memory of a node under attack stays within `Limits::worst_case_bytes`.
//!
//! A program of its own, so that nothing else allocates meanwhile.

use std::alloc::System;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{self, BoxFuture};
use futures::{FutureExt as _, StreamExt as _};
use serde::{Deserialize, Serialize};
use spacetime_network::swarm::Config;
use spacetime_network::transport::{Connected, Incoming, Listener, Outgoing, Transport};
use spacetime_network::wire::{ApplicationMessage, Frame, Heartbeat, Nothing};
use spacetime_network::{
    Address, CloseReason, ConnectionId, Endpoint, Event, Limits, PeerId, Protocol, Swarm, Violation,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::yield_now;
use tokio::time::sleep;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[derive(Serialize, Deserialize)]
struct Note(Vec<u8>);

impl ApplicationMessage for Note {
    const TYPE_BYTE: u8 = 0x80;
    const MAX_BYTES: u32 = 60_000;
}

/// Takes notes and does nothing with them.
struct Notes;

impl Protocol for Notes {
    type Message<'a> = Note;
    type Answer<'a> = Nothing;
    type Event = ();
    type Command = std::convert::Infallible;

    fn on_message(
        &mut self,
        _: &mut spacetime_network::Context<'_, ()>,
        _: ConnectionId,
        _: Note,
        _: &Frame,
    ) -> Result<(), Violation> {
        Ok(())
    }
}

/// Says the same thing again and again, as fast as it is taken, and reads nothing.
struct Flood {
    words: &'static [u8],
    position: usize,
    /// The most bytes that one read gives.
    piece: usize,
}

impl AsyncRead for Flood {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut left = buffer.remaining().min(self.piece);
        while left > 0 {
            let words = &self.words[self.position..];
            let now = words.len().min(left);
            buffer.put_slice(&words[..now]);
            left -= now;
            self.position = (self.position + now) % self.words.len();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Its listener takes one flood after the other.
struct Floods {
    words: &'static [u8],
    piece: usize,
    next: u64,
}

impl Transport for Floods {
    fn supports(&self, _: &Endpoint) -> bool {
        true
    }

    fn dial(&self, _: &Address) -> BoxFuture<'static, io::Result<Outgoing>> {
        future::ready(Err(io::ErrorKind::ConnectionRefused.into())).boxed()
    }

    fn listen(&self, _: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let listener = Self { words: self.words, piece: self.piece, next: 2 };
        future::ready(Ok(Box::new(listener) as Box<dyn Listener>)).boxed()
    }
}

impl Listener for Floods {
    fn local_address(&self) -> Address {
        Address::memory(1)
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Incoming>> {
        if self.next > 1 + SESSIONS as u64 {
            return future::pending().boxed();
        }
        let remote = Address::memory(self.next);
        self.next += 1;
        let flood = Flood { words: self.words, position: 0, piece: self.piece };
        let upgrade = future::ready(Ok(Connected::unproven(flood))).boxed();
        future::ready(Ok(Incoming { remote, upgrade })).boxed()
    }
}

const SESSIONS: usize = 20;

/// The most that messages of 16 MiB take; none of them is sent here.
const LARGE: usize = SESSIONS * 5 * (5 + 16_777_215);

/// Bytes that the peers make the node hold while its application is busy with other things.
fn held(words: Vec<u8>, piece: usize) -> usize {
    // Long, so that the floods themselves cost little.
    let words = words.repeat(1 + 100_000 / words.len()).leak();
    let limits = Limits::default().with_max_connections(SESSIONS).with_max_opening(SESSIONS);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let config =
            Config::new(PeerId([1; 32])).with_transport(Floods { words, piece, next: 0 }).with_limits(limits);
        let mut swarm = Swarm::new(Notes, config).unwrap();
        let region = Region::new(ALLOCATOR);
        swarm.listen(Address::memory(1)).await.unwrap();
        let mut peers = Vec::new();
        while peers.len() < SESSIONS {
            if let Some(Event::Established { connection, .. }) = swarm.next().await {
                peers.push(connection);
            }
        }
        for round in 0..3 {
            for peer in &peers {
                swarm.act(|_, cx| while cx.send(*peer, &Note(vec![0; 3000])).is_ok() {});
            }
            if round < 2 {
                for _ in 0..20 {
                    let _nothing_to_tell = swarm.next().now_or_never();
                    yield_now().await;
                }
            }
        }
        // The floods are held back, so the clock moves.
        sleep(Duration::from_secs(1)).await;
        let open = region.change();
        for peer in peers {
            swarm.act(|_, cx| cx.close(peer, CloseReason::Requested));
        }
        let closing = region.change();
        [open, closing].iter().map(|it| it.bytes_allocated - it.bytes_deallocated).max().unwrap()
    })
}

#[test]
fn peers_that_flood_and_do_not_read_are_held_within_the_worst_case() {
    let limits = Limits::default().with_max_connections(SESSIONS).with_max_opening(SESSIONS);
    let most = limits.worst_case_bytes() - LARGE;
    let small = Frame::encode(&Heartbeat).unwrap().bytes().to_vec();
    // A Transaction, which nobody in this tree takes.
    let ignored = |bytes: u32| {
        let payload = vec![0; bytes as usize];
        [&(bytes + 1).to_le_bytes()[..], &[0x30], &payload].concat()
    };
    let note = |bytes: usize| Frame::encode(&Note(vec![0; bytes])).unwrap().bytes().to_vec();
    for (what, words, piece) in [
        ("small frames", small.clone(), usize::MAX),
        ("small frames one by one", small.clone(), small.len()),
        ("small frames among what nobody takes", [small.clone(), ignored(65_000)].concat(), usize::MAX),
        (
            "small frames among what nobody takes, behind a large one",
            [note(59_000), [small.clone(), ignored(65_000)].concat().repeat(85)].concat(),
            usize::MAX,
        ),
        ("small frames before frames that move on", [small, note(40_000)].concat(), usize::MAX),
        ("frames of half a buffer", note(33_000), usize::MAX),
        ("frames of nearly a buffer", note(59_000), 50_000),
    ] {
        let held = held(words, piece);
        assert!(held <= most, "{what}: {held} of {most}");
        // A bound that nothing comes near is worth nothing.
        assert!(held >= SESSIONS * limits.queue_bytes() / 2, "{what}: {held} of {most}");
    }
}
