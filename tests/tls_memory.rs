//! The memory of connections that are being secured, and of those that are and rest.
//!
//! A program of its own, so that nothing else allocates meanwhile. Peers are plain sockets without a heap
//! of their own.

#![allow(clippy::print_stdout, reason = "figures for whoever runs it with --nocapture")]

use std::alloc::System;
use std::convert::Infallible;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use spacetime_network::swarm::Config;
use spacetime_network::transport::tls::{NodeKey, TlsVersion};
use spacetime_network::transport::{
    Connected, Listener, TcpTransport, TlsConfig, TlsMode, TlsTransport, Transport,
};
use spacetime_network::{Claims, Context, Input, Limits, NetworkBehaviour, Swarm, Violation};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One test at a time: they count what the whole process allocates.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes of the heap that are in use since then.
fn held(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change.bytes_allocated.saturating_sub(change.bytes_deallocated)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Lets nobody in.
struct Closed;

impl NetworkBehaviour for Closed {
    const CLAIMS: Claims = Claims::NONE.with_gate();
    type Event = Infallible;
    type Command = Infallible;

    fn on_input(&mut self, _: &mut Context<'_, Infallible>, _: &Input<'_>) -> Result<(), Violation> {
        Ok(())
    }

    fn on_command(&mut self, _: &mut Context<'_, Infallible>, never: Infallible) {
        match never {}
    }
}

/// What each of so many peers makes a node hold that say this and then nothing.
fn held_by_each(peers: usize, words: &[u8]) -> usize {
    runtime().block_on(async {
        let tls = TlsConfig::new(NodeKey::from_seed([1; 32]))
            .with_mode(TlsMode::Optional)
            .with_versions(TlsVersion::V1_2, TlsVersion::V1_3);
        let transport = TlsTransport::new(TcpTransport::new(), &tls).unwrap();
        let limits = Limits::default().with_opening_timeout(Duration::from_secs(600));
        let config = Config::new(tls.peer_id()).with_transport(transport).with_limits(limits);
        let mut swarm = Swarm::new(Closed, config).unwrap();
        let address = swarm.listen("127.0.0.1:0".parse().unwrap()).await.unwrap().socket_addr().unwrap();
        let mut sockets = Vec::with_capacity(peers);
        let mut region = None;
        for number in 0..=peers {
            let mut socket = TcpStream::connect(address).unwrap();
            socket.write_all(words).unwrap();
            sockets.push(socket);
            // All that was said is read.
            while timeout(Duration::from_millis(if number % 64 == 0 { 50 } else { 1 }), swarm.next())
                .await
                .is_ok()
            {}
            // The first one is for what all have in common.
            region.get_or_insert_with(|| Region::new(ALLOCATOR));
        }
        assert_eq!(swarm.refusals().count(), 0, "all of them are there");
        held(&region.unwrap()) / peers
    })
}

#[test]
fn a_connection_that_is_being_opened_costs_what_it_may() {
    let _alone = alone();
    // A frame of which the end does not come.
    let plain = held_by_each(200, &[[40, 0, 0, 0, 1].as_slice(), &[0; 30]].concat());
    println!("being opened, plain: {plain} bytes");
    assert!(plain <= 8 * 1024, "{plain}");
    // A ClientHello of 64 KiB, of which as much comes as is taken, in records of any size.
    let record = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        [&[0x16, 3, 1], &length[..], bytes].concat()
    };
    let begin = record(&[&[1, 0, 0xff, 0xf0, 3, 3][..], &[0; 16_000]].concat());
    let large = [&begin[..], &record(&[0; 8_000])].concat();
    let small: Vec<u8> = std::iter::repeat_n(record(&[0; 100]), 70).flatten().collect();
    for (what, words) in [
        ("a byte", &[0x16][..]),
        ("large records", &large),
        ("small records", &[&begin[..], &small].concat()),
        ("one record", &begin[..10_000]),
    ] {
        let secured = held_by_each(100, words);
        println!("being opened, TLS, {what}: {secured} bytes");
        assert!(secured <= 64 * 1024, "{what}: {secured}");
    }
}

/// Both ends of a secured connection.
async fn pair(near: &TlsTransport<TcpTransport>, listener: &mut dyn Listener) -> [Connected; 2] {
    let address = listener.local_address();
    let dial = async { near.dial(&address).await.unwrap().upgrade.await.unwrap() };
    let accept = async { listener.accept().await.unwrap().upgrade.await.unwrap() };
    tokio::join!(dial, accept).into()
}

/// Says so much in both directions.
async fn talk([one, other]: &mut [Connected; 2], bytes: usize) {
    for _ in 0..2 {
        let write = async {
            one.stream.write_all(&vec![7; bytes]).await.unwrap();
            one.stream.flush().await.unwrap();
        };
        let mut heard = vec![0; bytes];
        let read = other.stream.read_exact(&mut heard);
        tokio::join!(write, async { read.await.unwrap() });
        std::mem::swap(one, other);
    }
}

#[test]
fn a_secured_connection_that_rests_costs_what_it_may_whatever_it_did_before() {
    const PAIRS: usize = 100;
    let _alone = alone();
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        for bytes in [1, 1 << 20] {
            let each = runtime().block_on(async {
                let config =
                    |seed| TlsConfig::new(NodeKey::from_seed([seed; 32])).with_versions(version, version);
                let near = TlsTransport::new(TcpTransport::new(), &config(1)).unwrap();
                let far = TlsTransport::new(TcpTransport::new(), &config(2)).unwrap();
                let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
                let mut listener = far.listen(&any.into()).await.unwrap();
                let mut pairs = Vec::with_capacity(PAIRS);
                // The first ones are for what all have in common.
                for _ in 0..4 {
                    talk(&mut pair(&near, &mut *listener).await, bytes).await;
                }
                let region = Region::new(ALLOCATOR);
                for _ in 0..PAIRS {
                    let mut pair = pair(&near, &mut *listener).await;
                    talk(&mut pair, bytes).await;
                    // As a Swarm does, each end waits for more.
                    for end in &mut pair {
                        assert!(end.stream.read(&mut [0]).now_or_never().is_none());
                    }
                    pairs.push(pair);
                }
                held(&region) / PAIRS
            });
            println!("at rest after {bytes} bytes, {version:?}, both ends: {each} bytes");
            assert!(each <= 24 * 1024, "{version:?}, {bytes}: {each}");
        }
    }
}
