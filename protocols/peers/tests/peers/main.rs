//! Peers: who is dialled, who is let in, and who is closed.

mod anchors;
mod anything;
mod bans;
mod conduct;
mod eviction;
mod feelers;
mod inbound;
mod kept;
mod net;
mod pool;
mod seeds;

use std::net::SocketAddr;
use std::time::Duration;

use net::{Answer, Net, UNIX_SECONDS, disk};
use spacetime_core::wire::{FrameError, MessageType};
use spacetime_core::{
    Address, CloseReason, ConnectionId, Hash, Identity, NetworkBehaviour, Offence, PeerId, Rng, Signal, Time,
};
use spacetime_peers::{Command, Config, Peers, Role, Stored, Target};

const CHAIN: Hash = Hash([7; 32]);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// What each of the three kinds of offences is tested with.
const MINOR: Offence = Offence::NoAnswer(MessageType::PEERS);
const SERIOUS: Offence = Offence::Unsolicited(MessageType::PONG);
const GRAVE: Offence = Offence::Frame(FrameError::Length { found: 0 });

const HOUR: Duration = Duration::from_secs(3600);

fn socket(text: &str) -> SocketAddr {
    text.parse().expect(text)
}

/// What is found out about the name of a seed.
fn resolved(seed: &str, addresses: Vec<SocketAddr>) -> Command {
    Command::Resolved { seed: seed.parse().unwrap(), addresses }
}

fn target(text: &str) -> Target {
    text.parse().expect(text)
}

/// An address in a group of its own.
fn apart(number: u32) -> SocketAddr {
    assert!(number < 12_000);
    socket(&format!("{}.{}.7.9:8333", 11 + number / 250, number % 250))
}

fn id(number: u8) -> PeerId {
    PeerId([number; 32])
}
