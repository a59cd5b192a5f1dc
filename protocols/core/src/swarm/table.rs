//! All connections of a Swarm, from dial or accept to close.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::begun::BegunFrames;
use super::questions::Questions;
use super::queues::SendQueues;
use super::requests::Requests;
use super::throttle::Shares;
use crate::address::Address;
use crate::connection::{ConnectionId, Direction};
use crate::hash::PeerId;
use crate::patience::{Held, Patience};
use crate::peer::Peer;
use crate::time::Time;

/// How far a connection has come.
#[derive(Debug)]
pub(super) enum State {
    /// A behaviour asked for it; the tree was not asked yet whether it may be.
    Requested,
    /// The driver connects the transport.
    Connecting,
    /// The transport is connected, the driver secures it.
    Securing,
    /// The transport stands, the gate is finding out who is there.
    Opening,
    /// The gate has let the peer in; the tree was not asked yet.
    Admitted,
    /// The tree has accepted it as well; it waits for the end of the session whose place it takes.
    Accepted,
    /// The peer is known to all behaviours.
    Established(Box<Peer>),
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) direction: Direction,
    pub(super) address: Address,
    pub(super) state: State,
    /// The peer id that the transport proved.
    pub(super) proven: Option<PeerId>,
    /// The gate was told of it.
    pub(super) gate_knows: bool,
    /// The peer knows the Error message.
    pub(super) understands_errors: bool,
    pub(super) queues: SendQueues,
    pub(super) requests: Requests,
    pub(super) questions: Questions,
    /// Where it stands with the limits of bandwidth, if there are any.
    pub(super) shares: Option<Box<Shares>>,
    pub(super) bytes_received: u64,
    pub(super) bytes_sent: u64,
    /// When the connection is closed unless it is established by then.
    pub(super) opening: Patience,
    /// Large frames that the peer has begun to send.
    pub(super) begun: BegunFrames,
    pub(super) last_received: Time,
    /// Since when frames wait without the driver taking any.
    pub(super) waiting_since: Option<Time>,
    /// It stands in the list of connections that have something to send.
    pub(super) is_ready: bool,
    /// What the peer said in an Error message.
    pub(super) farewell: Option<crate::CloseReason>,
}

impl Connection {
    pub(super) fn new(
        direction: Direction,
        address: Address,
        state: State,
        now: Time,
        timeout: Duration,
    ) -> Self {
        Self {
            direction,
            address,
            state,
            proven: None,
            gate_knows: false,
            understands_errors: false,
            queues: SendQueues::default(),
            requests: Requests::default(),
            questions: Questions::default(),
            shares: None,
            bytes_received: 0,
            bytes_sent: 0,
            opening: Patience::new(now, timeout, Held::default()),
            begun: None,
            last_received: now,
            waiting_since: None,
            is_ready: false,
            farewell: None,
        }
    }

    pub(super) const fn peer(&self) -> Option<&Peer> {
        match &self.state {
            State::Established(peer) => Some(peer),
            _ => None,
        }
    }

    pub(super) const fn is_established(&self) -> bool {
        matches!(self.state, State::Established(_))
    }

    /// Frames can be sent: to the gate while it is opening, to all once it is established.
    pub(super) const fn can_send(&self) -> bool {
        !matches!(self.state, State::Requested | State::Connecting | State::Securing)
    }

    /// For how long something has waited for a limit of bandwidth, in either direction.
    pub(super) fn held(&self, now: Time) -> Held {
        self.shares.as_ref().map_or_else(Held::default, |it| it.held(now))
    }

    /// Whether something to be sent waits for a limit of bandwidth.
    pub(super) fn is_held(&self) -> bool {
        self.shares.as_ref().is_some_and(|it| it.upload.is_held())
    }

    /// Whether it takes a place among the sessions: a dial has one from its first moment.
    pub(super) const fn counts_as_session(&self) -> bool {
        matches!(self.direction, Direction::Outbound)
            || matches!(self.state, State::Accepted | State::Established(_))
    }
}

/// Slots of connections. A slot that is reused gets a new generation, so old ids find nothing.
///
/// Drivers keep what belongs to a connection by its slot too, so a slot is reused only once the driver has
/// been told of the end of the connection that had it.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Slots of connections that the driver may still have.
    left: Vec<u32>,
    /// Inbound connections that are neither established nor about to be.
    opening: usize,
    /// All others.
    sessions: usize,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    connection: Option<Box<Connection>>,
}

impl Table {
    pub(super) fn insert(&mut self, connection: Connection) -> ConnectionId {
        *self.counter(&connection) += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, connection: None });
            (self.slots.len() - 1) as u32
        });
        let mut generation = 0;
        if let Some(entry) = self.slots.get_mut(slot as usize) {
            debug_assert!(entry.connection.is_none(), "a free slot has no tenant");
            generation = entry.generation;
            entry.connection = Some(Box::new(connection));
        }
        ConnectionId::new(slot, generation)
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        let slot = self.slots.get_mut(id.slot()).filter(|slot| slot.generation == id.generation())?;
        let connection = slot.connection.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        // Of what was only asked for, the driver has not heard.
        let is_unknown = matches!(connection.state, State::Requested);
        if is_unknown { &mut self.free } else { &mut self.left }.push(id.slot() as u32);
        *self.counter(&connection) -= 1;
        Some(connection)
    }

    /// The driver has done all that it was told: it has no connection any more that is not here.
    pub(super) fn reuse_slots(&mut self) {
        self.free.append(&mut self.left);
    }

    pub(super) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        let slot = self.slots.get(id.slot()).filter(|slot| slot.generation == id.generation())?;
        slot.connection.as_deref()
    }

    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(id.slot()).filter(|slot| slot.generation == id.generation())?;
        slot.connection.as_deref_mut()
    }

    /// Moves a connection on to `state`.
    pub(super) fn set_state(&mut self, id: ConnectionId, state: State) {
        let Some(connection) = self.get_mut(id) else {
            return;
        };
        debug_assert!(!connection.is_established(), "established once");
        let counted = connection.counts_as_session();
        connection.state = state;
        if connection.counts_as_session() && !counted {
            self.opening -= 1;
            self.sessions += 1;
        }
    }

    /// All connections, in the order of their slots.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let connection = slot.connection.as_deref()?;
            Some((ConnectionId::new(index as u32, slot.generation), connection))
        })
    }

    /// Inbound connections that are neither established nor about to be.
    pub(super) const fn opening(&self) -> usize {
        self.opening
    }

    /// Sessions, and dials that may become one.
    pub(super) const fn sessions(&self) -> usize {
        self.sessions
    }

    fn counter(&mut self, connection: &Connection) -> &mut usize {
        if connection.counts_as_session() { &mut self.sessions } else { &mut self.opening }
    }
}
