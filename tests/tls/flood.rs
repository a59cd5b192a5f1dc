//! Many at once, who want nothing good.

use std::net::SocketAddr;

use futures::StreamExt as _;
use spacetime_network::transport::TlsConfig;
use spacetime_network::{Event, Limits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep, timeout};

use crate::attacker::{Attacker, pair_of};
use crate::sessions::{claims, listening, swarm_with};
use crate::{PATIENCE, VERSIONS, key};

/// One flood at a time: they count descriptors.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Connects from an address of its own, as another host would.
async fn connect_from(ip: [u8; 4], to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((ip, 0).into())?;
    socket.connect(to).await
}

/// Says a byte a second of something that could become a session, and ends when it is thrown out.
async fn stall(mut stream: TcpStream, words: &[u8]) {
    let (mut read, mut write) = stream.split();
    let mut answer = Vec::new();
    let thrown_out = read.read_to_end(&mut answer);
    let say = async {
        for byte in words {
            if write.write_all(&[*byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_secs(1)).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = thrown_out => {}
        () = say => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_peers_get_in_while_hundreds_say_a_byte_a_second() {
    const STALLING: usize = 600;
    const HONEST: u8 = 20;
    let _alone = ALONE.lock().await;
    let limits = Limits::default().with_max_opening(256).with_max_connections(50);
    let mut far = swarm_with(&TlsConfig::new(key()), limits);
    let address = listening(&mut far).await.socket_addr().unwrap();
    let running = tokio::spawn(async move {
        let mut established = 0;
        while established < HONEST {
            if let Some(Event::Established { peer, .. }) = far.next().await {
                assert!(peer.identity.proven().is_some());
                established += 1;
            }
        }
        // Until the last of the others was thrown out.
        loop {
            tokio::select! {
                _ = far.next() => {}
                () = sleep(Duration::from_millis(200)) => if far.refusals().map(|it| it.1).sum::<u64>() >= STALLING as u64 {
                    return far;
                },
            }
        }
    });
    let mut stalling = JoinSet::new();
    for number in 0..STALLING {
        // From 250 networks, one after the other; half of them begin as TLS does.
        let words: &[u8] = if number % 2 == 0 { &[0x16, 3, 1, 0, 200, 1, 0, 0] } else { &[0x16] };
        let ip = [127, (number % 250) as u8, 0, 1];
        stalling.spawn(async move {
            // Whoever is not even taken has ended as well.
            if let Ok(stream) = connect_from(ip, address).await {
                stall(stream, words).await;
            }
        });
    }
    let mut honest = Vec::new();
    for number in 0..HONEST {
        let key = key();
        let attempt = async {
            let stream = connect_from([127, 250, 7, number], address).await?;
            let mut stream = Attacker::with_key(VERSIONS[1], pair_of(&key)).secure(stream).await?;
            stream.write_all(&claims(key.peer_id())).await?;
            stream.flush().await?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).await?;
            std::io::Result::Ok(stream)
        };
        let stream = timeout(PATIENCE, attempt).await.expect("it is let in in time").expect("it is let in");
        honest.push(stream);
    }
    let all_out = async { while stalling.join_next().await.is_some() {} };
    timeout(PATIENCE, all_out).await.expect("all of them are thrown out");
    let far = timeout(PATIENCE, running).await.expect("it ends").unwrap();
    assert_eq!(far.peers().count(), usize::from(HONEST), "no session was lost");
    let reasons: Vec<_> = far.refusals().collect();
    assert!(reasons.iter().all(|(reason, _)| ["full", "opening-timeout"].contains(reason)), "{reasons:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_that_come_and_go_leave_nothing() {
    let _alone = ALONE.lock().await;
    let mut far = swarm_with(&TlsConfig::new(key()), Limits::default());
    let address = listening(&mut far).await.socket_addr().unwrap();
    let running = tokio::spawn(async move {
        while far.refusals().map(|it| it.1).sum::<u64>() < 1000 {
            far.next().await;
        }
        far
    });
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let attacker = Attacker::new(VERSIONS[1]);
    for number in 0..1000 {
        let stream = TcpStream::connect(address).await.unwrap();
        match number % 4 {
            // Nothing at all, plaintext, a part of TLS, and all of it.
            0 => drop(stream),
            1 => drop({ stream }.write_all(&[1, 0, 0, 0, 2]).await),
            2 => drop({ stream }.write_all(&[0x16, 3, 1, 0, 200, 1]).await),
            _ => drop(attacker.secure(stream).await),
        }
    }
    let far = timeout(PATIENCE, running).await.expect("all of them are refused").unwrap();
    assert_eq!(far.peers().count(), 0);
    // All others have ended, if not in this very moment.
    far.shutdown().await;
    let left = descriptors();
    assert!(left < 500, "{left} descriptors are left");
}
