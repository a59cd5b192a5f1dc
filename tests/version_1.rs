//! A plain socket that speaks version 1 by hand, against a whole node.

use std::time::Duration;

use spacetime_core::chain::{DevelopmentChain, HEADER_BYTES, block_hash, development_genesis};
use spacetime_network::Address;
use spacetime_network::app::{FullNode, Options};
use spacetime_network::transport::TlsMode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// A version-1 node, byte by byte: nothing here uses the codec under test.
struct VersionOne {
    stream: TcpStream,
}

impl VersionOne {
    async fn send(&mut self, message_type: u8, payload: &[u8]) {
        let length = (payload.len() as i32 + 1).to_le_bytes();
        let frame = [&length[..], &[message_type], payload].concat();
        self.stream.write_all(&frame).await.unwrap();
    }

    /// The next frame: type and payload.
    async fn receive(&mut self) -> (u8, Vec<u8>) {
        let read = async {
            let mut length = [0; 4];
            self.stream.read_exact(&mut length).await.unwrap();
            let mut body = vec![0; i32::from_le_bytes(length) as usize];
            self.stream.read_exact(&mut body).await.unwrap();
            (body[0], body[1..].to_vec())
        };
        timeout(Duration::from_secs(60), read).await.expect("an answer")
    }

    async fn says_nothing(&mut self) {
        let read = timeout(Duration::from_millis(300), self.stream.read_u8());
        assert!(read.await.is_err(), "nothing may come that was not asked for");
    }

    async fn handshake(&mut self) {
        let text = |text: &str| [&(text.len() as i32).to_le_bytes()[..], text.as_bytes()].concat();
        let payload = [
            &1_i32.to_le_bytes()[..],
            &1_800_000_000_i64.to_le_bytes(),
            &text("a-random-string"),
            &text("Spacetime/1.0"),
        ];
        self.send(0x01, &payload.concat()).await;
    }
}

/// A node with a chain, and what ends it.
struct RunningNode {
    address: Address,
    blocks: Vec<Vec<u8>>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl RunningNode {
    async fn start(blocks: usize, peers: Vec<Address>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if blocks > 0 {
            let datadir = folder.path().to_str().unwrap();
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_spacetime"));
            let arguments = [
                "chain",
                "generate",
                "--block-bytes",
                "1000",
                "--seed",
                "3",
                "--datadir",
                datadir,
                "--blocks",
            ];
            assert!(command.args(arguments).arg(blocks.to_string()).output().unwrap().status.success());
        }
        let mut options = Options::new(folder.path());
        options.listen = vec!["127.0.0.1:0".parse().unwrap()];
        options.peers = options.peers.with_kept(peers);
        options.tls = TlsMode::Optional;
        let node = FullNode::open(options).await.unwrap();
        let address = node.listen_addresses()[0].clone();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move { node.run(stopped.cancelled()).await.unwrap() });
        let blocks = std::iter::once(development_genesis())
            .chain(DevelopmentChain::new(3, 1000).take(blocks))
            .collect();
        Self { address, blocks, stop, task, _folder: folder }
    }

    async fn connect(&self) -> VersionOne {
        VersionOne { stream: TcpStream::connect(self.address.socket_addr().unwrap()).await.unwrap() }
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn get_headers(locator: &[u8; 32], stop: Option<&[u8; 32]>, max: i32) -> Vec<u8> {
    let stop = stop.map_or(vec![0], |stop| [&[1][..], stop].concat());
    [&locator[..], &stop, &max.to_le_bytes()].concat()
}

fn headers_payload(blocks: &[Vec<u8>]) -> Vec<u8> {
    let mut payload = (blocks.len() as i32).to_le_bytes().to_vec();
    for block in blocks {
        payload.extend_from_slice(&(HEADER_BYTES as i32).to_le_bytes());
        payload.extend_from_slice(&block[..HEADER_BYTES]);
    }
    payload
}

fn hash(block: &[u8]) -> [u8; 32] {
    block_hash(block).unwrap().0
}

#[tokio::test]
async fn a_version_1_node_that_connects_is_answered_as_it_expects() {
    let node = RunningNode::start(100, Vec::new()).await;
    let blocks = node.blocks.clone();
    let mut peer = node.connect().await;
    peer.handshake().await;
    assert_eq!(peer.receive().await, (0x02, Vec::new()), "an empty acknowledgement");
    peer.says_nothing().await;

    peer.send(0x20, &get_headers(&[0; 32], None, 2000)).await;
    assert_eq!(peer.receive().await, (0x21, headers_payload(&blocks[1..])));
    peer.send(0x20, &get_headers(&hash(&blocks[40]), Some(&hash(&blocks[42])), 2000)).await;
    assert_eq!(peer.receive().await, (0x21, headers_payload(&blocks[41..=42])));
    peer.send(0x20, &get_headers(&[9; 32], None, 5)).await;
    assert_eq!(peer.receive().await, (0x21, headers_payload(&[])));

    for block in &blocks[1..] {
        peer.send(0x22, &hash(block)).await;
        assert_eq!(peer.receive().await, (0x23, block.clone()));
    }

    peer.send(0x10, &[&100_i32.to_le_bytes()[..], &0_i32.to_le_bytes()].concat()).await;
    assert_eq!(peer.receive().await, (0x11, 0_i32.to_le_bytes().to_vec()), "it has dialled nobody");

    // It answers a Ping with 05; a version-1 node takes that for a Ping and answers in kind, once.
    let ping = [&77_i64.to_le_bytes()[..], &1_800_000_000_i64.to_le_bytes()].concat();
    peer.send(0x04, &ping).await;
    let (message_type, pong) = peer.receive().await;
    assert_eq!((message_type, &pong[..8]), (0x05, &ping[..8]));
    peer.send(0x04, &pong).await;
    peer.says_nothing().await;
    node.end().await;
}

#[tokio::test]
async fn known_peers_are_told_to_a_version_1_node() {
    let other = RunningNode::start(0, Vec::new()).await;
    let node = RunningNode::start(0, vec![other.address.clone()]).await;
    let port = i32::from(other.address.socket_addr().unwrap().port());
    let expected =
        [&1_i32.to_le_bytes()[..], &4_i32.to_le_bytes(), &[127, 0, 0, 1], &port.to_le_bytes()].concat();
    // It is told as soon as the node has dialled it; each asker is answered once.
    let answer = async {
        loop {
            let mut peer = node.connect().await;
            peer.handshake().await;
            peer.receive().await;
            peer.send(0x10, &[&1000_i32.to_le_bytes()[..], &0_i32.to_le_bytes()].concat()).await;
            let (message_type, payload) = peer.receive().await;
            if payload.len() > 4 {
                return (message_type, payload);
            }
        }
    };
    let answer = timeout(Duration::from_secs(60), answer).await.expect("the other node is dialled");
    assert_eq!(answer, (0x11, expected));
    node.end().await;
    other.end().await;
}

#[tokio::test]
async fn a_chain_is_fetched_from_a_version_1_node_that_is_dialled() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = RunningNode::start(0, vec![listener.local_addr().unwrap().into()]).await;
    let blocks: Vec<_> =
        std::iter::once(development_genesis()).chain(DevelopmentChain::new(3, 1000).take(30)).collect();
    // It takes the beginning of TLS for the length of a frame, and waits for the rest.
    let _waits_for_more = listener.accept().await.unwrap();
    let mut peer = VersionOne { stream: listener.accept().await.unwrap().0 };
    let (message_type, handshake) = peer.receive().await;
    assert_eq!((message_type, &handshake[..4]), (0x01, &1_i32.to_le_bytes()[..]));
    // A version-1 listener acknowledges, and answers what it is asked, one by one.
    peer.send(0x02, &[]).await;
    let mut served = 0;
    while served < 30 {
        let (message_type, payload) = peer.receive().await;
        match message_type {
            0x20 => {
                let locator = &payload[..32];
                let after =
                    blocks.iter().position(|block| hash(block) == *locator).map_or(blocks.len(), |at| at + 1);
                let max = i32::from_le_bytes(payload[33..].try_into().unwrap()) as usize;
                let end = blocks.len().min(after + max);
                peer.send(0x21, &headers_payload(&blocks[after..end])).await;
            }
            0x22 => {
                let block = blocks.iter().find(|block| hash(block) == *payload).unwrap();
                // Gossip in between breaks nothing.
                peer.send(0x03, &[]).await;
                peer.send(0x31, &blocks[30]).await;
                peer.send(0x23, block).await;
                served += 1;
            }
            other => panic!("a version-1 node is not sent {other:02x}"),
        }
    }
    let folder = node._folder.path().to_owned();
    let synced = async {
        loop {
            let status = spacetime_network::app::query_status(&folder).await.unwrap();
            if status.tip.height == 30 {
                return status;
            }
        }
    };
    let status = timeout(Duration::from_secs(60), synced).await.expect("all blocks are applied");
    assert_eq!(status.tip.hash, block_hash(&blocks[30]).unwrap().to_string());
    assert_eq!(status.peers[0].score, 0, "nothing was held against it");
    node.end().await;
}
