//! One node of a simulation: a Swarm and its connections.

use std::sync::Arc;

use spacetime_core::wire::{FrameReader, FrameRules};
use spacetime_core::{Address, ConnectionMap, Event, NetworkBehaviour, PeerId, Rng, Swarm, Time, Transmit};

/// What a node is given when it is made.
#[derive(Debug)]
#[non_exhaustive]
pub struct Boot {
    /// Which node it is, from 0.
    pub index: usize,
    /// Where others reach it.
    pub address: Address,
    /// Who it is.
    pub peer_id: PeerId,
    /// Its randomness.
    pub rng: Rng,
}

/// A connection of a node, and the link under it.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) link: usize,
    /// Which end of the link is ours.
    pub(crate) side: usize,
    pub(crate) reader: FrameReader,
    pub(crate) out: Transmit,
    /// The reader waits until the peer is established.
    pub(crate) blocked: bool,
}

pub(crate) struct Node<B: NetworkBehaviour> {
    pub(crate) swarm: Swarm<B>,
    pub(crate) rules: Arc<FrameRules>,
    pub(crate) attachments: ConnectionMap<Attachment>,
    pub(crate) events: Vec<(Time, Event<B::Event>)>,
    pub(crate) address: Address,
    pub(crate) peer_id: PeerId,
    /// For when a wake-up is already under way.
    pub(crate) armed: Option<Time>,
    /// It takes nothing from its sockets.
    pub(crate) reading_paused: bool,
    pub(crate) application: Option<Application<B>>,
}

/// What a node does with the events of its tree, and what it tells the tree in turn.
pub(crate) type Application<B> =
    Box<dyn FnMut(&<B as NetworkBehaviour>::Event) -> Vec<<B as NetworkBehaviour>::Command>>;
