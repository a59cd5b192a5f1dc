//! Two processes, one chain, and power cuts.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use spacetime_network::Rng;

use crate::process::RunningNode;
use crate::{generate, run, stderr, stdout};

fn height(status: &Value) -> u64 {
    status["tip"]["height"].as_u64().unwrap()
}

/// The length of the chain.
const BLOCKS: u64 = 3000;

/// Blocks ahead of the last stored one that may have been asked for.
const WINDOW_BLOCKS: u64 = 1024;

/// Bytes of headers that are asked for again in each life: three lists of 2000, and one more that was on
/// its way.
const HEADERS_BYTES: u64 = 4 * 2000 * (4 + 290);

/// Bytes of all else that is said in a life: handshakes, pings, addresses.
const TALK_BYTES: u64 = 64 << 10;

/// A chain that is downloaded by nodes that are killed.
struct Campaign {
    source: RunningNode,
    receiver: PathBuf,
    arguments: Vec<String>,
    /// Bytes on the wire for each block.
    block_bytes: u64,
    rng: Rng,
    /// What was last known to be stored, what the source had sent then, and lives that ended since.
    height: u64,
    sent_bytes: u64,
    lives: u64,
}

impl Campaign {
    /// What the source has sent, when nobody is connected.
    fn sent_bytes(&self) -> u64 {
        let is_alone = |status: &Value| status["peers"].as_array().unwrap().is_empty();
        let status = self.source.wait_until("alone", is_alone);
        status["bandwidth"]["sent_bytes"].as_u64().unwrap()
    }

    /// A node that goes on, or begins anew when all is there, is killed at a random moment.
    fn kill_one(&mut self) {
        let sent_bytes = self.sent_bytes();
        let arguments: Vec<_> = self.arguments.iter().map(String::as_str).collect();
        self.lives += 1;
        if self.rng.chance(1, 8) {
            // While it starts: the file is being opened, or made.
            let child = RunningNode::spawn(&self.receiver, &arguments);
            std::thread::sleep(Duration::from_millis(self.rng.below(60)));
            return RunningNode::end(child);
        }
        let node = RunningNode::start(&self.receiver, &arguments);
        let tip = tip_height(&node);
        assert!(tip >= self.height, "what was stored at {} is gone, the chain ends at {tip}", self.height);
        let again = self.lives * (WINDOW_BLOCKS * self.block_bytes + HEADERS_BYTES + TALK_BYTES);
        let needed = (tip - self.height) * self.block_bytes;
        let sent = sent_bytes - self.sent_bytes;
        assert!(sent <= needed + again, "{sent} bytes for {needed} in {} lives", self.lives);
        std::thread::sleep(Duration::from_millis(self.rng.below(400)));
        let height = height(&node.status());
        node.kill();
        (self.height, self.sent_bytes, self.lives) = (height.max(tip), sent_bytes, 1);
        if height == BLOCKS {
            self.verify();
            std::fs::remove_dir_all(&self.receiver).unwrap();
            (self.height, self.lives) = (0, 0);
            self.sent_bytes = self.sent_bytes();
        }
    }

    fn verify(&self) {
        let output = run(&["chain", "verify", "--datadir", self.receiver.to_str().unwrap()]);
        assert!(output.status.success(), "{}", stderr(&output));
        let tip = self.source.status()["tip"]["hash"].as_str().unwrap().to_owned();
        assert_eq!(stdout(&output), format!("verified {} blocks, tip {BLOCKS} {tip}\n", BLOCKS + 1));
    }
}

/// The height of the chain with which a node has started.
fn tip_height(node: &RunningNode) -> u64 {
    node.introduction.last().unwrap().split(' ').nth(1).unwrap().parse().unwrap()
}

/// `SPACETIME_KILLS=200 cargo test --test command killed` is the long form.
#[test]
fn a_node_that_is_killed_again_and_again_goes_on_and_downloads_no_more_than_a_window_twice() {
    let kills = std::env::var("SPACETIME_KILLS").map_or(12, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (source, receiver) = (folder.path().join("source"), folder.path().join("receiver"));
    generate(source.to_str().unwrap(), &BLOCKS.to_string(), "10240");
    let unlimited = ["--listen", "127.0.0.1:0", "--upload", "off", "--upload-per-peer", "off"];
    let source = RunningNode::start(&source, &unlimited);
    let address = source.address();
    // So that all of it takes seconds.
    let limits = ["--download", "off", "--download-per-peer", "20MB"];
    let arguments = [&["--listen", "127.0.0.1:0", "--peer", &address], &limits[..]].concat();
    let mut campaign = Campaign {
        source,
        receiver: receiver.clone(),
        arguments: arguments.iter().map(|it| (*it).to_owned()).collect(),
        block_bytes: 10_240 + 5,
        rng: Rng::from_number(1),
        height: 0,
        sent_bytes: 0,
        lives: 0,
    };
    campaign.sent_bytes = campaign.sent_bytes();
    for _ in 0..kills {
        campaign.kill_one();
    }
    let node = RunningNode::start(&receiver, &arguments);
    assert!(tip_height(&node) >= campaign.height);
    let status =
        node.wait_until("synced", |status| height(status) == BLOCKS && status["sync"]["state"] == "Synced");
    let source = &campaign.source;
    assert_eq!(status["tip"], source.status()["tip"]);
    let sync = &status["sync"];
    assert_eq!((&sync["seconds_left"], &sync["stalled_because"]), (&0.into(), &Value::Null));
    assert_eq!(status["peers"][0]["address"], address);
    assert_eq!(status["peers"][0]["peer_id"], source.status()["peer_id"]);
    node.kill();
    campaign.verify();
}

#[test]
fn a_devnet_ends_with_all_nodes_on_one_tip() {
    let output = run(&["devnet", "--nodes", "3", "--blocks", "200", "--block-bytes", "1000"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.lines().last().unwrap().starts_with("all 3 nodes agree on tip 200 "), "{text}");
}
