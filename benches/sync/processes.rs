//! Nodes in processes of their own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use spacetime_network::app::query_status;

use crate::Row;

/// How often the node is asked how far it has come.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// How long a run may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(300);

/// A running `spacetime start`, killed when dropped.
struct Node {
    child: Child,
    folder: PathBuf,
    address: String,
}

fn spacetime() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spacetime"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SPACETIME_")) {
        command.env_remove(name);
    }
    command.env("XDG_CONFIG_HOME", "/nonexistent").env("NO_COLOR", "1");
    command
}

impl Node {
    fn start(folder: &Path, arguments: &[String]) -> Self {
        let mut child = spacetime()
            .args(["start", "--listen", "127.0.0.1:0", "--log", "warn", "--datadir"])
            .arg(folder)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the node starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        let mut address = String::new();
        for line in lines.by_ref() {
            let line = line.expect("the node prints text");
            if let Some(found) = line.strip_prefix("listening on ") {
                found.clone_into(&mut address);
            }
            if line.starts_with("tip ") {
                break;
            }
        }
        // Read on, so that the node never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, folder: folder.to_owned(), address }
    }

    /// CPU time that it has used, in seconds.
    fn cpu_seconds(&self) -> f64 {
        let stat = self.proc_file("stat");
        // The name of the program, in brackets, may have spaces in it.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64
    }

    /// The most memory that it has held.
    fn peak_bytes(&self) -> u64 {
        let status = self.proc_file("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() * 1024
    }

    fn proc_file(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).expect("the node runs")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nodes that have a chain and serve it.
pub(crate) struct Servers {
    folder: PathBuf,
    nodes: Vec<Node>,
    blocks: u64,
}

impl Servers {
    /// Makes a chain, and starts nodes that each have a copy of it.
    pub(crate) fn new(folder: &Path, count: usize, blocks: u64, block_bytes: usize) -> Self {
        let spare = folder.join("spare");
        let made = spacetime()
            .args(["chain", "generate", "--blocks", &blocks.to_string()])
            .args(["--block-bytes", &block_bytes.to_string(), "--datadir"])
            .arg(&spare)
            .stdout(Stdio::null())
            .status();
        assert!(made.expect("the command runs").success(), "the chain was not made");
        let without_limits = ["--upload", "off", "--upload-per-peer", "off"].map(str::to_owned);
        let nodes = (0..count).map(|index| {
            let own = folder.join(format!("server {index}"));
            fs::create_dir(&own).expect("a folder can be made");
            for entry in fs::read_dir(&spare).expect("the folder is there") {
                let path = entry.expect("the folder is read").path();
                let name = path.file_name().expect("it has a name");
                if name.to_string_lossy().starts_with("chain") {
                    fs::copy(&path, own.join(name)).expect("the chain is copied");
                }
            }
            Node::start(&own, &without_limits)
        });
        Self { nodes: nodes.collect(), folder: folder.to_owned(), blocks }
    }

    /// A folder with the chain that no node uses.
    pub(crate) fn spare_chain(&self) -> PathBuf {
        self.folder.join("spare")
    }

    /// A new node gets the chain, from so many of these at a time; for so long, with default limits, if a
    /// time is given.
    pub(crate) fn sync(&self, target: &Path, parallel: usize, limited_time: Option<Duration>) -> Row {
        let config = self.folder.join("config.toml");
        fs::write(&config, format!("[sync]\nparallel_downloads = {parallel}\n")).expect("a file is written");
        let mut arguments = vec!["--config".to_owned(), config.display().to_string()];
        if limited_time.is_none() {
            arguments.extend(["--download", "off", "--download-per-peer", "off"].map(str::to_owned));
        }
        for node in &self.nodes {
            arguments.extend(["--peer".to_owned(), node.address.clone()]);
        }
        let of_servers = || self.nodes.iter().map(Node::cpu_seconds).sum::<f64>();
        let served_before = of_servers();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let began = Instant::now();
        let node = Node::start(target, &arguments);
        let (height, bytes) = loop {
            std::thread::sleep(LOOK_INTERVAL);
            let status = runtime.block_on(query_status(&node.folder)).expect("the node answers");
            let is_over = limited_time.is_some_and(|time| began.elapsed() >= time);
            if status.tip.height == self.blocks || is_over {
                break (status.tip.height, status.sync.downloaded_bytes);
            }
            assert!(began.elapsed() < PATIENCE, "the node does not get on: {status:?}");
        };
        Row {
            name: String::new(),
            blocks: height,
            bytes,
            seconds: began.elapsed().as_secs_f64(),
            cpu_seconds: [node.cpu_seconds(), of_servers() - served_before],
            peak_bytes: Some(node.peak_bytes()),
        }
    }
}
