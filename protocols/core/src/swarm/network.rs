//! What a Swarm knows of the network, and what behaviours may do to it.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use super::accepting::{AcceptRates, Refusals};
use super::output::{Action, Statistics};
use super::queues::QueuePool;
use super::sessions::SessionKey;
use super::table::{Connection, State, Table};
use super::throttle::Throttle;
use super::transmit::Transmit;
use crate::address::Address;
use crate::admission::OpeningConnection;
use crate::bandwidth::Bandwidth;
use crate::behaviour::Claims;
use crate::canary::{self, Canary};
use crate::close::{CloseReason, DialError};
use crate::connection::{ConnectionId, Direction};
use crate::deadlines::Deadlines;
use crate::hash::PeerId;
use crate::limits::Limits;
use crate::offence::Offence;
use crate::patience::{Held, Patience};
use crate::peer::{Peer, PeerInfo};
use crate::request::{RequestError, RequestId};
use crate::signal::Signal;
use crate::time::{Now, Time};
use crate::wire::{Frame, MessageType, Priority};

/// Signals that one input may cause, directly or through what it causes. Only behaviours that answer
/// signals with signals, round and round, ever come near it.
const MAX_SIGNALS: usize = 4096;

/// What waits to be told to the tree.
#[derive(Debug)]
pub(super) enum Delivery {
    /// A behaviour wants to dial.
    Dial(ConnectionId),
    /// The gate let a peer in, maybe by its first frame.
    Admitted(ConnectionId, Box<PeerInfo>, Option<Frame>),
    /// The frame by which a peer was let in, for whoever claims it.
    First(ConnectionId, Frame),
    /// A session ended.
    Closed { connection: ConnectionId, peer: Box<Peer>, reason: CloseReason },
    /// A connection that the gate knows ended before the peer was established.
    OpeningClosed { connection: ConnectionId, reason: CloseReason },
    /// A peer that connected was not let in.
    Refused { connection: ConnectionId, reason: CloseReason },
    /// A dial came to nothing.
    DialFailed { connection: ConnectionId, address: Address, error: DialError },
    /// A request was given up.
    RequestFailed { connection: ConnectionId, request: RequestId, answer: MessageType, error: RequestError },
    /// A queue that answered `Full` has room.
    Writable(ConnectionId, Priority),
    /// Something for all behaviours.
    Signal(Signal),
}

/// The part of a Swarm that does not depend on the tree.
#[derive(Debug)]
pub(crate) struct Network {
    pub(super) now: Now,
    pub(super) local_id: PeerId,
    pub(super) limits: Limits,
    /// What the tree and the Swarm itself receive.
    pub(super) claims: Claims,
    pub(super) table: Table,
    pub(super) accept_rates: AcceptRates,
    pub(crate) refusals: Refusals,
    pub(super) deliveries: VecDeque<Delivery>,
    pub(super) actions: VecDeque<Action>,
    pub(super) ready: VecDeque<ConnectionId>,
    pub(super) timers: Deadlines<ConnectionId>,
    pub(super) statistics: Statistics,
    pub(super) upload: Throttle,
    pub(super) download: Throttle,
    /// The sessions, by whom they are with, until their ends are told.
    pub(super) sessions: BTreeMap<SessionKey, ConnectionId>,
    /// Nothing is dialled or accepted any more.
    pub(super) is_stopping: bool,
    /// Signals and dials that failed since all was quiet.
    signals: usize,
    pub(super) failed_dials: usize,
    pub(super) next_request: u64,
    pub(super) scratch: Vec<u8>,
    pub(super) queue_pool: QueuePool,
}

impl Network {
    pub(super) fn new(local_id: PeerId, limits: Limits, claims: Claims) -> Self {
        let bandwidth = *limits.bandwidth();
        let queue_pool = QueuePool::new(&limits);
        Self {
            now: Now::default(),
            local_id,
            limits,
            claims,
            table: Table::default(),
            accept_rates: AcceptRates::new(),
            refusals: Refusals::default(),
            deliveries: VecDeque::new(),
            actions: VecDeque::new(),
            ready: VecDeque::new(),
            timers: Deadlines::new(),
            statistics: Statistics::default(),
            upload: Throttle::new(bandwidth.upload_per_peer(), bandwidth.upload()),
            download: Throttle::new(bandwidth.download_per_peer(), bandwidth.download()),
            sessions: BTreeMap::new(),
            is_stopping: false,
            signals: 0,
            failed_dials: 0,
            next_request: 0,
            scratch: Vec::new(),
            queue_pool,
        }
    }

    pub(crate) const fn now(&self) -> Now {
        self.now
    }

    pub(crate) const fn bandwidth(&self) -> &Bandwidth {
        self.limits.bandwidth()
    }

    pub(crate) const fn local_id(&self) -> PeerId {
        self.local_id
    }

    pub(crate) fn peer(&self, id: ConnectionId) -> Option<&Peer> {
        self.table.get(id)?.peer()
    }

    pub(crate) fn opening(&self, id: ConnectionId) -> Option<OpeningConnection<'_>> {
        let connection = self.table.get(id).filter(|it| !it.is_established())?;
        let Connection { direction, address, proven, .. } = connection;
        Some(OpeningConnection { direction: *direction, address, proven: *proven })
    }

    pub(crate) const fn statistics(&self) -> Statistics {
        Statistics {
            received_delayed: self.download.delayed,
            sent_delayed: self.upload.delayed,
            ..self.statistics
        }
    }

    pub(crate) fn last_received(&self, id: ConnectionId) -> Option<Time> {
        self.table.get(id).map(|it| it.last_received)
    }

    /// So many bytes have arrived on a connection.
    pub(super) fn count_received(&mut self, id: ConnectionId, bytes: usize) {
        if bytes > 0
            && let Some(connection) = self.table.get_mut(id)
        {
            connection.last_received = self.now.time;
            connection.bytes_received += bytes as u64;
            self.statistics.bytes_received += bytes as u64;
        }
    }

    pub(super) fn held(&self, id: ConnectionId) -> Held {
        self.table.get(id).map_or_else(Held::default, |it| it.held(self.now.time))
    }

    pub(crate) fn is_excused(&self, id: ConnectionId, patience: &Patience) -> bool {
        patience.is_exhausted(self.held(id))
    }

    pub(crate) fn is_held(&self, id: ConnectionId) -> bool {
        self.held(id).is_held
    }

    pub(crate) fn was_held_since(&self, id: ConnectionId, then: Time) -> bool {
        let shares = self.table.get(id).and_then(|it| it.shares.as_ref());
        shares.is_some_and(|it| it.was_held_since(then))
    }

    pub(crate) fn patience(&self, id: ConnectionId, timeout: Duration) -> Patience {
        Patience::new(self.now.time, timeout, self.held(id))
    }

    pub(crate) fn patience_ends(&self, id: ConnectionId, patience: &Patience) -> Time {
        patience.ends(self.now.time, self.held(id))
    }

    pub(crate) fn queued_bytes(&self, id: ConnectionId, priority: Priority) -> usize {
        self.table.get(id).map_or(0, |it| it.queues.queued_bytes(priority))
    }

    pub(crate) fn queued_frames(&self, id: ConnectionId, priority: Priority) -> usize {
        self.table.get(id).map_or(0, |it| it.queues.queued_frames(priority))
    }

    pub(crate) fn peers(&self) -> impl Iterator<Item = (ConnectionId, &Peer)> {
        self.table.iter().filter_map(|(id, connection)| Some((id, connection.peer()?)))
    }

    pub(crate) fn set_understands_errors(&mut self, id: ConnectionId) {
        if let Some(connection) = self.table.get_mut(id) {
            connection.understands_errors = true;
        }
    }

    pub(super) fn set_gate_knows(&mut self, id: ConnectionId) {
        if let Some(connection) = self.table.get_mut(id) {
            connection.gate_knows = true;
        }
    }

    pub(crate) fn report(&mut self, id: ConnectionId, offence: Offence) {
        let somebody_else = || self.peers().map(|(other, _)| other).find(|other| *other != id);
        let id = if canary::is(Canary::WrongPeerCharged) { somebody_else().unwrap_or(id) } else { id };
        let Some(connection) = self.table.get(id) else {
            return;
        };
        let identity = match connection.peer() {
            Some(peer) => peer.identity.clone(),
            None => Self::identify(connection, &PeerInfo::default()),
        };
        let address = Some(connection.address.clone());
        self.signal(Signal::Offence { connection: id, address, identity, offence });
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.signals >= MAX_SIGNALS {
            debug_assert!(false, "behaviours answer signals with signals without end");
            return;
        }
        self.signals += 1;
        self.deliveries.push_back(Delivery::Signal(signal));
    }

    pub(super) fn next_delivery(&mut self) -> Option<Delivery> {
        let delivery = self.deliveries.pop_front();
        if delivery.is_none() {
            self.signals = 0;
            self.failed_dials = 0;
        }
        delivery
    }

    pub(super) fn arm(&mut self, id: ConnectionId, at: Time) {
        self.timers.set_earlier(id, at);
    }

    /// Looks at everything on a connection that has a time, and sets its next deadline.
    pub(super) fn on_timer(&mut self, id: ConnectionId) {
        let now = self.now.time;
        let write_timeout = self.limits.write_timeout();
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        let held = connection.held(now);
        let open_by = (!connection.is_established()).then(|| connection.opening.ends(now, held));
        if open_by.is_some_and(|at| at <= now) {
            return match (connection.direction, &connection.state) {
                (Direction::Outbound, State::Requested | State::Connecting) => {
                    self.abort_dial(id, DialError::Timeout);
                }
                (Direction::Outbound, State::Securing) => {
                    self.abort_dial(id, DialError::Closed(CloseReason::OpeningTimeout));
                }
                _ => self.close(id, CloseReason::OpeningTimeout),
            };
        }
        let stalled_at = connection.waiting_since.map(|since| since + write_timeout);
        if stalled_at.is_some_and(|at| at <= now) {
            return self.close(id, CloseReason::SlowReader);
        }
        let whole_by = connection.whole_by(now, held);
        if whole_by.is_some_and(|at| at <= now) {
            return self.close(id, CloseReason::SlowSender);
        }
        for (request, answer, error) in connection.requests.give_up_due(now, held) {
            self.deliveries.push_back(Delivery::RequestFailed { connection: id, request, answer, error });
        }
        let mut wake_at = [None, None];
        if let Some(shares) = &mut connection.shares {
            if shares.upload.wakes(now) {
                self.upload.push_paid(id);
            }
            if shares.download.wakes(now) {
                self.download.push_paid(id);
            }
            wake_at = [shares.upload.wake_at(), shares.download.wake_at()];
        }
        let others = [stalled_at, whole_by, connection.requests.deadline(now, held), open_by];
        let next = others.into_iter().chain(wake_at).flatten().min();
        if let Some(at) = next {
            debug_assert!(at > now, "a deadline moves forward when it fires");
            self.arm(id, at);
        }
    }

    pub(super) fn poll_action(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        if action.is_none() {
            self.table.reuse_slots();
        }
        action
    }

    fn abort_dial(&mut self, id: ConnectionId, error: DialError) {
        self.actions.push_back(Action::Close { connection: id, last_words: Transmit::new() });
        self.dial_failed(id, error);
    }
}
