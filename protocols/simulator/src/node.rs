//! One node of a simulation: a host, and the process that runs on it.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use spacetime_core::wire::{Batch, FrameReader, FrameRules};
use spacetime_core::{
    Address, ConnectionId, ConnectionMap, Event, Limits, NetworkBehaviour, PeerId, Rng, Swarm, Time, Transmit,
};

use super::application::Application;
use super::clock::Clock;
use super::disk::Disk;
use super::judge::Pace;
use super::queue::Scheduled;
use super::witness::Witness;

/// What a node is given when it is started.
#[derive(Debug)]
#[non_exhaustive]
pub struct Boot {
    /// Which node it is, from 0.
    pub index: usize,
    /// How often it was started before.
    pub incarnation: u32,
    /// Where others reach it.
    pub address: Address,
    /// Who it is.
    pub peer_id: PeerId,
    /// What its wall clock says.
    pub unix_seconds: i64,
    /// Its randomness, another one in each life.
    pub rng: Rng,
    /// What it kept from its former lives.
    pub disk: Disk,
}

/// Makes a node's tree and application, at every start.
pub(crate) type Factory<B> = Rc<dyn Fn(&Boot) -> (B, Option<Box<dyn Application<B>>>)>;

/// A connection of a node, and the link under it.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) link: usize,
    /// Which end of the link is ours.
    pub(crate) side: usize,
    pub(crate) reader: FrameReader,
    /// What was taken over from the Swarm and could not be sent at once.
    pub(crate) out: Option<Box<Transmit>>,
    /// The reader waits until the peer is established.
    pub(crate) blocked: bool,
    /// Frames that the Swarm does not take yet. Nothing is read meanwhile.
    pub(crate) held: Option<Box<Batch>>,
}

/// A process.
pub(crate) struct Running<B: NetworkBehaviour> {
    pub(crate) swarm: Swarm<Witness<B>>,
    pub(crate) rules: Arc<FrameRules>,
    pub(crate) attachments: ConnectionMap<Attachment>,
    pub(crate) application: Option<Box<dyn Application<B>>>,
    /// Until when the application is busy.
    pub(crate) busy_until: Time,
    /// For when a wake-up is already under way.
    pub(crate) armed: Option<Time>,
    /// Dials that were begun and have not ended.
    pub(crate) dials: ConnectionMap<()>,
    /// It is reading on where the Swarm did not take frames, and looks for more such places later.
    pub(crate) is_reading_on: bool,
}

pub(crate) struct Node<B: NetworkBehaviour> {
    pub(crate) address: Address,
    pub(crate) peer_id: PeerId,
    pub(crate) limits: Limits,
    pub(crate) disk: Disk,
    pub(crate) clock: Clock,
    pub(crate) factory: Option<Factory<B>>,
    pub(crate) incarnation: u32,
    /// When its process was started; its monotonic clock counts from there.
    pub(crate) epoch: Time,
    pub(crate) running: Option<Running<B>>,
    pub(crate) events: Vec<(Time, Event<B::Event>)>,
    /// Its system runs, if not its process.
    pub(crate) has_power: bool,
    /// Until when its lines are taken by what was sent and received before.
    pub(crate) upload_free_at: Time,
    pub(crate) download_free_at: Time,
    /// It takes nothing from its sockets.
    pub(crate) reading_paused: bool,
    /// How many faults make it take little from its sockets at a time.
    pub(crate) slow_readings: u32,
    pub(crate) slow_read_scheduled: bool,
    /// How many faults make it refuse all dials.
    pub(crate) refusals: u32,
    /// How many faults make it stand still; what happened to it meanwhile.
    pub(crate) pauses: u32,
    pub(crate) deferred: VecDeque<Scheduled<B::Command>>,
    /// How much happens to it.
    pub(crate) pace: Pace,
}

impl<B: NetworkBehaviour> Node<B> {
    pub(crate) fn attachment(&mut self, connection: ConnectionId) -> Option<&mut Attachment> {
        self.running.as_mut()?.attachments.get_mut(connection)
    }

    /// The process that runs on it, which a test asks for.
    pub(crate) fn expect_running(&self) -> &Running<B> {
        self.running.as_ref().expect("the node is running")
    }
}
