//! A node that runs in another process.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{run, spacetime, stdout};

/// How long anything may take here before the test gives up. Not a measure of speed.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running `spacetime start`, killed when dropped.
pub(crate) struct RunningNode {
    child: Child,
    datadir: String,
    /// What it printed first.
    pub(crate) introduction: Vec<String>,
}

impl RunningNode {
    /// Starts a node and does not wait for it.
    pub(crate) fn spawn(datadir: &Path, arguments: &[&str]) -> Child {
        spacetime()
            .args(["start", "--datadir", datadir.to_str().unwrap()])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Kills one that was not waited for.
    pub(crate) fn end(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts a node and waits until it has introduced itself.
    pub(crate) fn start(datadir: &Path, arguments: &[&str]) -> Self {
        let mut child = Self::spawn(datadir, arguments);
        let datadir = datadir.to_str().unwrap().to_owned();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut introduction = Vec::new();
        while !introduction.last().is_some_and(|line: &String| line.starts_with("tip ")) {
            match lines.next() {
                Some(line) => introduction.push(line.unwrap()),
                None => {
                    let mut stderr = String::new();
                    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
                    panic!("the node ended before it had introduced itself: {stderr}");
                }
            }
        }
        // Read on, so that the node never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        let mut stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Self { child, datadir, introduction }
    }

    /// The first address that it listens on.
    pub(crate) fn address(&self) -> String {
        let line = self.introduction.iter().find_map(|line| line.strip_prefix("listening on "));
        line.expect("it listens").to_owned()
    }

    /// What it says of itself.
    pub(crate) fn status(&self) -> Value {
        let output = run(&["status", "--datadir", &self.datadir, "--json"]);
        assert!(output.status.success(), "the node does not answer");
        serde_json::from_str(&stdout(&output)).unwrap()
    }

    /// Waits until its status is as wanted.
    pub(crate) fn wait_until(&self, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let status = self.status();
            if wanted(&status) {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "not {what}: {status}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills it as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let status = std::process::Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "the node does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for RunningNode {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
