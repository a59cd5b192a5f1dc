//! A process that has no descriptors left.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures::StreamExt as _;
use rustix::process::{Resource, Rlimit, setrlimit};
use spacetime_network::transport::TcpTransport;
use spacetime_network::{Event, Limits};
use tokio::time::sleep;

use crate::tree::{established, next, node, node_with};

/// What the process that runs short of descriptors finds in its environment.
const MARK: &str = "RUNS_SHORT_OF_DESCRIPTORS";

/// Descriptors that it may have beside those of its start.
const DESCRIPTORS: u64 = 12;

/// The listening process: killed when dropped.
struct Listening(Child);

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Listening {
    /// CPU time that it has used, in hundredths of a second.
    fn cpu_ticks(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<_> = text.rsplit(')').next().unwrap().split_whitespace().collect();
        [11, 12].map(|it: usize| fields[it].parse::<u64>().unwrap()).iter().sum()
    }
}

/// Listens with few descriptors until it is killed.
async fn run_short() {
    let mut far = node_with(1, TcpTransport::new(), Limits::default());
    let address = far.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let used = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let limit = Some(used + DESCRIPTORS);
    setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit }).unwrap();
    let mut output = std::io::stdout();
    writeln!(output, "\nlistening on {address}").unwrap();
    output.flush().unwrap();
    while let Some(event) = far.next().await {
        if let Event::Closed { .. } = event {
            return;
        }
    }
}

#[tokio::test]
async fn a_listener_without_descriptors_waits_without_spinning_and_goes_on_when_there_are_some() {
    if std::env::var_os(MARK).is_some() {
        return run_short().await;
    }
    let test =
        "shortage::a_listener_without_descriptors_waits_without_spinning_and_goes_on_when_there_are_some";
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(MARK, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let far = Listening(process);
    let address = lines.find_map(|it| it.strip_prefix("listening on ").map(str::to_owned)).unwrap();
    // More than it can take; they say nothing.
    let crowd: Vec<_> = (0..40).map(|_| TcpStream::connect(&address).unwrap()).collect();
    sleep(Duration::from_millis(500)).await;
    let before = far.cpu_ticks();
    sleep(Duration::from_secs(2)).await;
    let ticks = far.cpu_ticks() - before;
    assert!(ticks < 60, "{ticks} hundredths of a second of CPU in two seconds");
    drop(crowd);
    let mut near = node(2, TcpTransport::new());
    near.dial(address.parse().unwrap()).unwrap();
    next(&mut near, established).await;
}
