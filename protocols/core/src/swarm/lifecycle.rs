//! Connections from dial or accept to close.

use alloc::boxed::Box;
use alloc::string::ToString as _;
use core::time::Duration;

use super::network::{Delivery, Network};
use super::output::Action;
use super::table::{Connection, State};
use super::throttle::Shares;
use super::transmit::Transmit;
use crate::address::Address;
use crate::canary::{self, Canary};
use crate::close::{CloseReason, DialError};
use crate::connection::{ConnectionId, Direction};
use crate::hash::PeerId;
use crate::patience::Patience;
use crate::peer::{Identity, PeerInfo};
use crate::request::RequestError;
use crate::wire::{self, Frame};

/// Dials that may fail because of one input. A behaviour that dials again whenever a dial fails,
/// beside one that refuses it each time, would hold the executor for ever.
const MAX_FAILED_DIALS: usize = 1024;

impl Network {
    pub(crate) fn dial(&mut self, address: Address) -> Result<ConnectionId, DialError> {
        if self.is_stopping {
            return Err(DialError::Refused("the node is stopping"));
        }
        if self.table.sessions() >= self.limits.max_connections() || self.failed_dials >= MAX_FAILED_DIALS {
            return Err(DialError::Full);
        }
        if self.table.iter().any(|(_, connection)| leads_to(connection, &address)) {
            return Err(DialError::AlreadyConnected);
        }
        let now = self.now.time;
        let timeout = self.limits.dial_timeout();
        let connection = Connection::new(Direction::Outbound, address, State::Requested, now, timeout);
        let id = self.insert(connection);
        if !canary::is(Canary::ForgottenDialTimeout) {
            self.arm(id, now + timeout);
        }
        self.deliveries.push_back(Delivery::Dial(id));
        Ok(id)
    }

    fn insert(&mut self, mut connection: Connection) -> ConnectionId {
        connection.shares = self.is_limited().then(|| Box::new(Shares::new()));
        self.table.insert(connection)
    }

    pub(super) fn accept(&mut self, address: Address) -> ConnectionId {
        let now = self.now.time;
        let timeout = self.limits.opening_timeout();
        let id = self.insert(Connection::new(Direction::Inbound, address, State::Securing, now, timeout));
        self.arm(id, now + timeout);
        id
    }

    /// A dial has reached somebody.
    pub(super) fn connected(&mut self, id: ConnectionId) {
        let (now, timeout) = (self.now.time, self.limits.opening_timeout());
        if let Some(connection) = self.table.get_mut(id)
            && matches!(connection.state, State::Connecting)
        {
            connection.state = State::Securing;
            connection.opening = Patience::new(now, timeout, connection.held(now));
            self.arm(id, now + timeout);
        }
    }

    /// The transport of a connection stands. Whether it was expected.
    pub(super) fn open(&mut self, id: ConnectionId, proven: Option<PeerId>) -> bool {
        self.connected(id);
        let Some(connection) = self.table.get_mut(id) else {
            return false;
        };
        if !matches!(connection.state, State::Securing) {
            return false;
        }
        connection.state = State::Opening;
        connection.proven = proven;
        true
    }

    /// The gate knows who is there.
    pub(crate) fn admit(&mut self, id: ConnectionId, info: PeerInfo, first: Option<Frame>) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        if matches!(connection.state, State::Opening) {
            connection.state = State::Admitted;
            self.admitted(id, info, first);
        }
    }

    /// A connection waits for its turn to become a session.
    pub(super) fn admitted(&mut self, id: ConnectionId, info: PeerInfo, first: Option<Frame>) {
        self.deliveries.push_back(Delivery::Admitted(id, Box::new(info), first));
    }

    /// Ends a connection by our decision.
    pub(crate) fn close(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(mut connection) = self.table.remove(id) else {
            return;
        };
        let mut last_words = Transmit::new();
        if connection.can_send() {
            // Where the tree denies a peer that the gate has let in, the gate's answer must not
            // reach it: it would take this for a session.
            if !matches!(connection.state, State::Admitted | State::Accepted) {
                connection.queues.transmit_critical(usize::MAX, &mut self.queue_pool, &mut last_words);
            }
            if connection.understands_errors
                && reason.is_ours()
                && let Ok(frame) = Frame::encode(&wire::Error { text: &reason.to_error_text() })
            {
                last_words.push_copied(frame.bytes());
            }
        }
        let bytes = last_words.len() as u64;
        self.statistics.bytes_sent += bytes;
        self.upload.charge_total(self.now.time, bytes);
        if !matches!(connection.state, State::Requested) {
            self.actions.push_back(Action::Close { connection: id, last_words });
        }
        self.after_removal(id, *connection, reason, None);
    }

    /// Ends a connection whose transport has ended.
    pub(super) fn lost(&mut self, id: ConnectionId, reason: CloseReason) {
        if let Some(mut connection) = self.table.remove(id) {
            let reason = connection.farewell.take().unwrap_or(reason);
            self.after_removal(id, *connection, reason, None);
        }
    }

    /// Ends a dial that came to nothing.
    pub(super) fn dial_failed(&mut self, id: ConnectionId, error: DialError) {
        let dialling =
            |it: &&Connection| matches!(it.state, State::Requested | State::Connecting | State::Securing);
        if self.table.get(id).filter(dialling).is_none() {
            return;
        }
        if canary::is(Canary::LeakedDial) {
            self.table.insert(Connection::new(
                Direction::Outbound,
                Address::memory(u64::MAX),
                State::Connecting,
                self.now.time,
                Duration::ZERO,
            ));
        }
        if let Some(connection) = self.table.remove(id) {
            let reason = CloseReason::Transport(error.to_string().into());
            self.after_removal(id, *connection, reason, Some(error));
        }
    }

    fn after_removal(
        &mut self,
        id: ConnectionId,
        mut connection: Connection,
        reason: CloseReason,
        dial_error: Option<DialError>,
    ) {
        self.timers.cancel(id);
        if let Some(shares) = &mut connection.shares {
            let peer = match &connection.state {
                State::Established(peer) => Some(&**peer),
                _ => None,
            };
            self.close_accounts(shares, peer);
        }
        for (request, answer) in connection.requests.drain() {
            let error = RequestError::Closed;
            self.deliveries.push_back(Delivery::RequestFailed { connection: id, request, answer, error });
        }
        if let State::Established(peer) = connection.state {
            self.deliveries.push_back(Delivery::Closed { connection: id, peer, reason });
            return;
        }
        if connection.gate_knows {
            let reason = reason.clone();
            self.deliveries.push_back(Delivery::OpeningClosed { connection: id, reason });
        }
        match connection.direction {
            Direction::Outbound => {
                self.failed_dials += 1;
                self.deliveries.push_back(Delivery::DialFailed {
                    connection: id,
                    address: connection.address,
                    error: dial_error.unwrap_or(DialError::Closed(reason)),
                });
            }
            Direction::Inbound => {
                self.refusals.count(&reason);
                self.deliveries.push_back(Delivery::Refused { connection: id, reason });
            }
        }
    }
}

/// Whether a connection already goes, or is about to go, where a dial would lead.
fn leads_to(connection: &Connection, address: &Address) -> bool {
    if let Some(pinned) = address.peer_id() {
        let known = match connection.peer() {
            // A session of which this is only claimed keeps nobody from the one who can prove it.
            Some(peer) => peer.identity.proven(),
            None => connection.address.peer_id(),
        };
        if known == Some(pinned) {
            return true;
        }
    }
    // A session with somebody else keeps nobody from the peer that is pinned there.
    let may_be_it = address.peer_id().is_none()
        || connection.peer().is_none()
        || connection.address.peer_id() == address.peer_id();
    let dialled = connection.direction == Direction::Outbound
        && connection.address.endpoint() == address.endpoint()
        && may_be_it;
    let listens_there = match connection.peer().map(|peer| &peer.identity) {
        // Who only says that it listens there keeps nobody from the peer that can prove it.
        Some(Identity::Claimed { address: claimed, .. }) => {
            address.peer_id().is_none() && claimed.endpoint() == address.endpoint()
        }
        _ => false,
    };
    dialled || listens_there
}
