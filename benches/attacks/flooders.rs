//! Those who flood a node with connections, in a process of their own.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::crowd::connect;

/// What this program is called with to be them.
pub(crate) const COMMAND: &str = "flooders";

/// Connections that are there at a time.
const AT_A_TIME: usize = 1000;

/// Starts them; its output will be how many connections there were.
pub(crate) fn start(node: SocketAddr, networks: usize, duration: Duration) -> Child {
    let numbers = [networks as u64, duration.as_secs()].map(|it| it.to_string());
    // They have the processor when nobody else wants it: an attacker has one of its own, and does not take the
    // node's.
    Command::new("chrt")
        .args(["--idle", "0"])
        .arg(std::env::current_exe().expect("it runs"))
        .args([COMMAND, &node.to_string()])
        .args(numbers)
        .stdout(Stdio::piped())
        .spawn()
        .expect("chrt of util-linux is installed")
}

/// Floods from so many networks for so long: `flooders NODE NETWORKS SECONDS`.
pub(crate) async fn run() {
    let arguments: Vec<_> = std::env::args().skip_while(|it| it != COMMAND).skip(1).collect();
    let [node, networks, seconds] = &arguments[..] else { panic!("three arguments, not {arguments:?}") };
    let node: SocketAddr = node.parse().expect("an address");
    let networks: usize = networks.parse().expect("a number");
    let duration = Duration::from_secs(seconds.parse().expect("a number"));
    let began = Instant::now();
    let mut attack = JoinSet::new();
    for number in 0..AT_A_TIME {
        attack.spawn(async move {
            let mut connections = 0;
            let mut number = number;
            while began.elapsed() < duration {
                number += AT_A_TIME;
                connections += u64::from(flood(node, number % networks).await);
            }
            connections
        });
    }
    println!("{}", attack.join_all().await.into_iter().sum::<u64>());
}

/// One connection from this network, until it is thrown out; whether there was one.
async fn flood(node: SocketAddr, network: usize) -> bool {
    // There are 256 networks of 2^16 addresses on loopback; the last one is for newcomers.
    let from = Ipv4Addr::new(127, (network % 255) as u8, (network / 255) as u8, 1);
    let Ok(mut stream) = connect(from, node).await else {
        sleep(Duration::from_millis(10)).await;
        return false;
    };
    // Otherwise ports that wait for stragglers are soon all there are.
    let _ = stream.set_zero_linger();
    // The beginning of TLS, so that it may stay.
    let _ = stream.write_all(&[0x16, 3, 1, 2, 0, 1]).await;
    let _ = timeout(Duration::from_secs(1), stream.read(&mut [0])).await;
    true
}
