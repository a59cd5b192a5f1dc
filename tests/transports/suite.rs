//! The cases.

use std::io::{ErrorKind, IoSlice};
use std::time::Duration;

use spacetime_network::transport::{Listener, Stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::Fixture;

type End = Box<dyn Stream>;

impl Fixture {
    async fn listen(&self) -> Box<dyn Listener> {
        self.listener.listen(&self.listen).await.unwrap()
    }

    /// Both ends of a new connection: the dialer's and the listener's.
    async fn connect(&self, listener: &mut dyn Listener) -> (End, End) {
        let address = listener.local_address();
        let dial = async { self.dialer.dial(&address).await?.upgrade.await };
        let accept = async { listener.accept().await?.upgrade.await };
        let (dialed, accepted) = tokio::join!(dial, accept);
        (dialed.unwrap().stream, accepted.unwrap().stream)
    }

    async fn pair(&self) -> (End, End) {
        self.connect(&mut *self.listen().await).await
    }
}

/// Bytes in which no two places look alike.
fn pattern(len: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(len)
    .collect()
}

pub(crate) async fn bytes_arrive_in_order_in_both_directions(fixture: Fixture) {
    let (near, far) = fixture.pair().await;
    let run = |end: End, seed: u8| async move {
        let (mut read, mut write) = tokio::io::split(end);
        let (sent, expected) = (pattern(1 << 20, seed), pattern(1 << 20, 1 - seed));
        let writing = async {
            for (index, piece) in sent.chunks(7919).enumerate() {
                let (first, second) = piece.split_at(index % piece.len());
                write.write_all(first).await.unwrap();
                write.write_all(second).await.unwrap();
            }
            write.shutdown().await.unwrap();
        };
        let mut received = Vec::new();
        let (_, result) = tokio::join!(writing, read.read_to_end(&mut received));
        result.unwrap();
        assert!(received == expected, "the bytes differ");
    };
    tokio::join!(run(near, 0), run(far, 1));
}

pub(crate) async fn what_was_written_before_the_end_is_read_before_the_end(fixture: Fixture) {
    let (mut near, mut far) = fixture.pair().await;
    near.write_all(b"last words").await.unwrap();
    near.shutdown().await.unwrap();
    let mut received = Vec::new();
    far.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"last words");
}

pub(crate) async fn one_direction_may_end_before_the_other(fixture: Fixture) {
    let (mut near, mut far) = fixture.pair().await;
    near.shutdown().await.unwrap();
    assert_eq!(far.read(&mut [0; 10]).await.unwrap(), 0);
    far.write_all(b"still here").await.unwrap();
    far.shutdown().await.unwrap();
    let mut received = Vec::new();
    near.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"still here");
}

pub(crate) async fn a_dropped_end_ends_the_other(fixture: Fixture) {
    let (near, mut far) = fixture.pair().await;
    drop(near);
    match far.read(&mut [0; 10]).await {
        Ok(bytes) => assert_eq!(bytes, 0),
        Err(error) => assert_eq!(error.kind(), fixture.cut_off),
    }
}

pub(crate) async fn dialling_nobody_fails(fixture: Fixture) {
    let error = fixture.dialer.dial(&fixture.nobody).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

pub(crate) async fn an_address_of_another_kind_is_refused(fixture: Fixture) {
    assert!(fixture.dialer.supports(fixture.listen.endpoint()));
    assert!(!fixture.dialer.supports(fixture.foreign.endpoint()));
    assert!(fixture.dialer.dial(&fixture.foreign).await.is_err());
    assert!(fixture.listener.listen(&fixture.foreign).await.is_err());
}

pub(crate) async fn the_listener_says_where_it_listens(fixture: Fixture) {
    let mut listener = fixture.listen().await;
    let address = listener.local_address();
    assert!(address.socket_addr().is_none_or(|socket| socket.port() != 0));
    let (dialed, incoming) = tokio::join!(fixture.dialer.dial(&address), listener.accept());
    let incoming = incoming.unwrap();
    assert!(dialed.is_ok() && incoming.remote != address);
    assert_eq!(incoming.remote.ip(), address.ip());
}

pub(crate) async fn many_connections_do_not_mix(fixture: Fixture) {
    let mut listener = fixture.listen().await;
    let mut ends = Vec::new();
    for number in 0..50 {
        let (mut near, far) = fixture.connect(&mut *listener).await;
        near.write_all(&[number; 3]).await.unwrap();
        ends.push((near, far));
    }
    for (number, (_, far)) in ends.iter_mut().enumerate() {
        let mut received = [0; 3];
        far.read_exact(&mut received).await.unwrap();
        assert_eq!(received, [number as u8; 3]);
    }
}

pub(crate) async fn a_reader_that_does_not_read_holds_the_writer_back(fixture: Fixture) {
    let (mut near, mut far) = fixture.pair().await;
    let piece = pattern(1 << 16, 0);
    let mut written = 0;
    while let Ok(result) = timeout(Duration::from_millis(300), near.write(&piece)).await {
        written += result.unwrap();
        assert!(written < 64 << 20, "64 MiB were taken that nobody reads");
    }
    let mut received = vec![0; written];
    // A stream may keep what it has taken until it is asked to let go of it.
    let (flushed, read) = tokio::join!(near.flush(), far.read_exact(&mut received));
    assert!(flushed.is_ok() && read.is_ok());
    timeout(Duration::from_secs(10), near.write_all(&piece)).await.expect("there is room again").unwrap();
}

pub(crate) async fn an_address_is_listened_on_once(fixture: Fixture) {
    let listener = fixture.listen().await;
    let error = fixture.listener.listen(&listener.local_address()).await.err().expect("it is taken");
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

pub(crate) async fn a_dropped_listener_refuses(fixture: Fixture) {
    let listener = fixture.listen().await;
    let address = listener.local_address();
    drop(listener);
    assert_eq!(fixture.dialer.dial(&address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let mut listener = fixture.listener.listen(&address).await.unwrap();
    fixture.connect(&mut *listener).await;
}

pub(crate) async fn a_dropped_accept_loses_no_connection(fixture: Fixture) {
    let mut listener = fixture.listen().await;
    for _ in 0..10 {
        assert!(timeout(Duration::from_millis(1), listener.accept()).await.is_err());
    }
    fixture.connect(&mut *listener).await;
}

pub(crate) async fn many_pieces_are_written_in_order(fixture: Fixture) {
    let (mut near, mut far) = fixture.pair().await;
    let bytes = pattern(5000, 0);
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let slices: Vec<_> = rest.chunks(13).take(16).map(IoSlice::new).collect();
        let written = near.write_vectored(&slices).await.unwrap();
        rest = &rest[written..];
    }
    near.shutdown().await.unwrap();
    let mut received = Vec::new();
    far.read_to_end(&mut received).await.unwrap();
    assert!(received == bytes, "the bytes differ");
}
