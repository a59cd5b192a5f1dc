//! Many at once, who want nothing good.

use std::net::SocketAddr;

use futures::StreamExt as _;
use spacetime_network::transport::TlsConfig;
use spacetime_network::{Event, Limits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
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

/// Memory that is resident, in bytes.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_that_come_and_go_leave_neither_memory_nor_tasks_nor_descriptors() {
    const ROUND: usize = 4000;
    let _alone = ALONE.lock().await;
    let mut far = swarm_with(&TlsConfig::new(key()), Limits::default());
    let address = listening(&mut far).await.socket_addr().unwrap();
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let descriptors_before = descriptors();
    let (refused, mut refusals) = watch::channel(0);
    let running = tokio::spawn(async move {
        loop {
            far.next().await;
            assert_eq!(far.peers().count(), 0);
            let _nobody_looks_any_more = refused.send(far.refusals().map(|it| it.1).sum::<u64>());
        }
    });
    let tasks_before = tasks();
    let attacker = Attacker::new(VERSIONS[1]);
    let mut resident = Vec::new();
    for round in 1..=5 {
        for number in 0..ROUND {
            // From ever other addresses: there are only so many ports.
            let from = [127, 0, (number % 250) as u8, round];
            let stream = connect_from(from, address).await.unwrap();
            match number % 16 {
                // All of TLS, a part of it, plaintext, and nothing at all.
                0 => drop(attacker.secure(stream).await),
                1..5 => drop({ stream }.write_all(&[0x16, 3, 1, 0, 200, 1]).await),
                5..10 => drop({ stream }.write_all(&[1, 0, 0, 0, 2]).await),
                _ => drop(stream),
            }
        }
        let all = u64::from(round) * ROUND as u64;
        let all_refused = refusals.wait_for(|refused| *refused >= all);
        timeout(PATIENCE, all_refused).await.expect("all of them are refused").unwrap();
        // While it runs on: other tests open and close some meanwhile.
        let gone = async {
            while descriptors() > descriptors_before + 100 || tasks() > tasks_before + 2 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, gone).await.expect("each kind of connection leaves descriptors or tasks");
        resident.push(resident_bytes());
    }
    running.abort();
    // 4,000 connections of a KiB each would show; the first round is for what is kept to be used again.
    let grown = resident[4].saturating_sub(resident[1]);
    assert!(grown < 8 << 20, "{resident:?}");
}
