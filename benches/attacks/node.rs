//! The node that is attacked, in a process of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use spacetime_network::PeerId;
use spacetime_network::app::{FullNode, Options};

use crate::PEERS;

/// What this program is called with to be the node.
pub(crate) const COMMAND: &str = "node";

/// Addresses in the book at the start: as many as it takes.
const BOOK_ADDRESSES: usize = 10_000;

/// A running node; killed when dropped.
pub(crate) struct AttackedNode {
    process: Child,
    _folder: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) peer_id: PeerId,
}

impl AttackedNode {
    /// Starts a node with a full book, and waits until it listens.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("peers.json"), book()).expect("a file");
        let program = std::env::current_exe().expect("it runs");
        let mut process = Command::new(program)
            .args([COMMAND, folder.path().to_str().expect("a path in UTF-8")])
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts");
        let mut line = String::new();
        let output = process.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("it introduces itself");
        let (peer_id, address) = line.trim().split_once('@').expect("its address");
        let (peer_id, address) = (peer_id.parse().expect("an id"), address.parse().expect("an address"));
        Self { process, _folder: folder, address, peer_id }
    }

    /// Memory that is resident, in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        let line = self.status_line("VmRSS:");
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
        kib / 1024.0
    }

    /// The most that was.
    pub(crate) fn peak_mib(&self) -> f64 {
        let line = self.status_line("VmHWM:");
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
        kib / 1024.0
    }

    fn status_line(&self, name: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("the node runs");
        status.lines().find_map(|it| it.strip_prefix(name)).expect("it is there").to_owned()
    }

    /// Open files and sockets.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).expect("the node runs").count()
    }
}

impl Drop for AttackedNode {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Addresses on loopback where nobody is, in as many networks as there are.
fn book() -> String {
    let entry = |number: usize| {
        let [high, low] = ((number % 5000) as u16).to_be_bytes();
        format!(
            r#"{{"Address":"127.{}.{}.{}","Port":9,"LastSeen":"2100-01-01T00:00:00Z"}}"#,
            number % 250,
            high ^ 0x40,
            low,
        )
    };
    format!("[{}]", (0..BOOK_ADDRESSES).map(entry).collect::<Vec<_>>().join(",\n"))
}

/// Is the node, until it is killed.
pub(crate) async fn run() {
    let folder = std::env::args().skip_while(|it| it != COMMAND).nth(1).expect("a folder");
    let mut options = Options::new(folder);
    options.listen = vec!["127.0.0.1:0".parse().expect("an address")];
    // Room for those who come and go, so that nobody is put out for them.
    options.limits = options.limits.with_max_connections(PEERS + 40);
    options.peers = options.peers.with_max_inbound(PEERS + 32).with_max_outbound(4);
    let node = FullNode::open(options).await.expect("it starts");
    let address = node.listen_addresses().first().expect("it listens").clone();
    let mut output = std::io::stdout();
    writeln!(output, "{}@{address}", node.peer_id()).expect("somebody reads");
    output.flush().expect("somebody reads");
    node.run(std::future::pending()).await.expect("it runs on");
}
