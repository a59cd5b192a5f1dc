//! Honest peers.

use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use spacetime_network::chain::{block_hash, development_genesis};
use spacetime_network::transport::tls::NodeKey;
use spacetime_network::transport::{Stream, TlsConfig, TlsTransport, Transport as _};
use spacetime_network::wire::{Announcement, Frame, Message, MessageType, Ping, Pong};
use spacetime_network::{Address, PeerId};
use spacetime_simulator::handshake_frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::crowd::From;
use crate::node::AttackedNode;

/// How often each of them pings the node.
const PING_INTERVAL: Duration = Duration::from_millis(1000);

/// How long one tries to get in.
const PATIENCE: Duration = Duration::from_secs(20);

/// An honest peer with a session.
pub(crate) struct Peer {
    stream: Box<dyn Stream>,
}

impl Peer {
    /// Connects from this address, as this peer, and waits until the node has let it in.
    pub(crate) async fn connect(from: Ipv4Addr, node: &Place) -> io::Result<Self> {
        let key = NodeKey::generate()?;
        let name = key.peer_id().to_string();
        let transport = TlsTransport::new(From(from), &TlsConfig::new(key)).map_err(io::Error::other)?;
        let connecting = async {
            let mut stream = transport.dial(&node.address()).await?.upgrade.await?.stream;
            let announcement = Announcement {
                protocol_versions: (1, 1),
                chain_id: block_hash(&development_genesis()).ok_or(io::ErrorKind::InvalidData)?,
                listen_port: None,
                capabilities: Vec::new(),
                nonce: 1,
                best_block: None,
            };
            stream.write_all(&handshake_frame(&name, Some(&announcement))).await?;
            stream.flush().await?;
            let mut peer = Self { stream };
            // The acknowledgement, and the node's own.
            while peer.read().await?.0 != MessageType::HANDSHAKE.byte() {}
            Ok(peer)
        };
        timeout(PATIENCE, connecting).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// The next frame: its type and its payload.
    async fn read(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let length = self.stream.read_u32_le().await? as usize;
        if !(1..=1 << 24).contains(&length) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut frame = vec![0; length];
        self.stream.read_exact(&mut frame).await?;
        let message_type = frame.remove(0);
        Ok((message_type, frame))
    }

    async fn say(&mut self, message: &impl Message) -> io::Result<()> {
        let frame = Frame::encode(message).map_err(io::Error::other)?;
        self.stream.write_all(frame.bytes()).await?;
        self.stream.flush().await
    }

    /// Pings and answers pings, until the node ends it.
    async fn stay(mut self, round_trips: Arc<Mutex<Vec<Duration>>>) {
        let mut nonce = 0;
        let mut asked = None;
        let mut next = Instant::now() + PING_INTERVAL;
        loop {
            let wait = next.saturating_duration_since(Instant::now());
            let result = tokio::select! {
                // A frame that is read in part is given up with the connection only.
                read = self.stream.read_u32_le() => match read {
                    Ok(length) => self.hear(length as usize, nonce, &mut asked, &round_trips).await,
                    Err(error) => Err(error),
                },
                () = sleep(wait) => {
                    nonce += 1;
                    next = Instant::now() + PING_INTERVAL;
                    asked = Some(Instant::now());
                    self.say(&Ping { nonce, timestamp: 0 }).await
                }
            };
            if result.is_err() {
                return;
            }
        }
    }

    async fn hear(
        &mut self,
        length: usize,
        nonce: i64,
        asked: &mut Option<Instant>,
        round_trips: &Mutex<Vec<Duration>>,
    ) -> io::Result<()> {
        let mut frame = vec![0; length.min(1 << 24)];
        self.stream.read_exact(&mut frame).await?;
        let said = frame.get(1..9).and_then(|it| it.try_into().ok()).map_or(0, i64::from_le_bytes);
        match frame.first() {
            Some(byte) if *byte == MessageType::PING.byte() => {
                self.say(&Pong { nonce: said, timestamp: 0 }).await?;
            }
            Some(byte) if *byte == MessageType::PONG.byte() && said == nonce => {
                if let (Some(asked), Ok(mut all)) = (asked.take(), round_trips.lock()) {
                    all.push(asked.elapsed());
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Where the node is, for tasks.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) socket: std::net::SocketAddr,
    pub(crate) peer_id: PeerId,
}

impl Place {
    pub(crate) const fn of(node: &AttackedNode) -> Self {
        Self { socket: node.address, peer_id: node.peer_id }
    }

    fn address(&self) -> Address {
        Address::socket(self.socket).pinned(self.peer_id)
    }
}

/// Many of them.
pub(crate) struct Peers {
    tasks: JoinSet<()>,
    lost: Arc<AtomicUsize>,
    round_trips: Arc<Mutex<Vec<Duration>>>,
}

impl Peers {
    /// Connects so many, each from a network of its own.
    pub(crate) async fn connect(node: &AttackedNode, count: usize) -> Self {
        let mut peers = Self { tasks: JoinSet::new(), lost: Arc::default(), round_trips: Arc::default() };
        for number in 0..count {
            let from = Ipv4Addr::new(127, number as u8, 99, 1);
            let peer = Peer::connect(from, &Place::of(node)).await.expect("it is let in");
            let (lost, round_trips) = (Arc::clone(&peers.lost), Arc::clone(&peers.round_trips));
            peers.tasks.spawn(async move {
                peer.stay(round_trips).await;
                lost.fetch_add(1, Ordering::Relaxed);
            });
        }
        peers
    }

    /// How many were thrown out or lost.
    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Ordering::Relaxed)
    }

    /// How long their pings took since this was asked the last time.
    pub(crate) fn round_trips(&self) -> Vec<Duration> {
        self.round_trips.lock().map(|mut all| std::mem::take(&mut *all)).unwrap_or_default()
    }
}
