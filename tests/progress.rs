//! How far a node has come, told to the program around it over real sockets.

use std::time::Duration;

use spacetime_network::Address;
use spacetime_network::app::{FullNode, NodeHandle, Options};
use spacetime_sync::{StallReason, State};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const BLOCKS: u64 = 300;

/// A node in this folder. Who it is to talk to, where it is, and what ends it.
async fn start(
    folder: &std::path::Path,
    peers: Vec<Address>,
) -> (NodeHandle, Address, oneshot::Sender<()>, JoinHandle<()>) {
    let mut options = Options::new(folder);
    options.listen = vec!["127.0.0.1:0".parse().unwrap()];
    options.peers = options.peers.with_kept(peers);
    options.sync = options.sync.with_progress_interval(Duration::from_millis(10));
    let node = FullNode::open(options).await.unwrap();
    let (handle, address) = (node.handle(), node.listen_addresses()[0].clone());
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move { node.run(async { drop(stopped.await) }).await.unwrap() });
    (handle, address, stop, task)
}

#[tokio::test]
async fn a_program_is_told_how_far_its_node_has_come_until_it_ends() {
    let (full, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let arguments = ["chain", "generate", "--block-bytes", "1000", "--blocks", &BLOCKS.to_string()];
    let mut generate = std::process::Command::new(env!("CARGO_BIN_EXE_spacetime"));
    assert!(generate.args(arguments).arg("--datadir").arg(full.path()).output().unwrap().status.success());
    let (_, address, stop_server, server) = start(full.path(), Vec::new()).await;
    let (handle, _, stop, node) = start(empty.path(), vec![address]).await;
    let mut progress = handle.progress();
    let is_there = |it: &spacetime_sync::Progress| it.state == State::Synced && it.height == BLOCKS;
    let seen = timeout(Duration::from_secs(60), progress.wait_for(is_there)).await.unwrap().unwrap();
    assert_eq!((seen.header_height, seen.target_height), (BLOCKS, BLOCKS));
    assert_eq!((seen.downloaded_blocks, seen.applied_blocks), (BLOCKS, BLOCKS));
    assert_eq!((seen.time_left, seen.stalled_because), (Some(Duration::ZERO), None));
    drop(seen);

    stop_server.send(()).unwrap();
    server.await.unwrap();
    let is_alone = |it: &spacetime_sync::Progress| it.stalled_because == Some(StallReason::NoPeers);
    let seen = timeout(Duration::from_secs(60), progress.wait_for(is_alone)).await.unwrap().unwrap().state;
    assert_eq!(seen, State::Idle);
    stop.send(()).unwrap();
    node.await.unwrap();
    assert!(progress.wait_for(|_| false).await.is_err(), "it has ended");
}
