//! Two processes, one chain, and power cuts.

use serde_json::Value;

use crate::process::RunningNode;
use crate::{generate, run, stderr, stdout};

fn height(status: &Value) -> u64 {
    status["tip"]["height"].as_u64().unwrap()
}

#[test]
fn a_killed_node_goes_on_where_it_was_and_ends_with_the_same_chain() {
    const BLOCKS: u64 = 3000;
    let folder = tempfile::tempdir().unwrap();
    let (source, receiver) = (folder.path().join("source"), folder.path().join("receiver"));
    generate(source.to_str().unwrap(), &BLOCKS.to_string(), "10240");
    let source = RunningNode::start(&source, &["--listen", "127.0.0.1:0"]);
    let address = source.address();
    let arguments = ["--listen", "127.0.0.1:0", "--peer", &address];

    let mut before = 0;
    for kill in 1..=5 {
        let node = RunningNode::start(&receiver, &arguments);
        let tip: u64 = node.introduction.last().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        assert!(tip >= before, "kill {kill}: what was stored at {before} is gone, the chain ends at {tip}");
        let enough = BLOCKS * kill / 7;
        let status = node.wait_until("getting on", |status| height(status) >= enough);
        before = height(&status);
        node.kill();
    }
    let node = RunningNode::start(&receiver, &arguments);
    let status =
        node.wait_until("synced", |status| height(status) == BLOCKS && status["sync"]["state"] == "Synced");
    assert_eq!(status["tip"], source.status()["tip"]);
    assert_eq!(status["peers"][0]["address"], address);
    assert_eq!(status["peers"][0]["peer_id"], source.status()["peer_id"]);
    node.kill();

    let output = run(&["chain", "verify", "--datadir", receiver.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).starts_with(&format!("verified {} blocks", BLOCKS + 1)));
}

#[test]
fn a_devnet_ends_with_all_nodes_on_one_tip() {
    let output = run(&["devnet", "--nodes", "3", "--blocks", "200", "--block-bytes", "1000"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.lines().last().unwrap().starts_with("all 3 nodes agree on tip 200 "), "{text}");
}
