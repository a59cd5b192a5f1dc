//! Between a node's process and the links: its sockets.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, BytesMut};
use spacetime_core::wire::{FrameReader, ReadStep};
use spacetime_core::{Address, CloseReason, ConnectionId, DialError, NetworkBehaviour, Transmit};

use super::fault::FaultKind;
use super::link::{End, Link, Piece};
use super::node::Attachment;
use super::queue::{Dial, Dialer, Scheduled};
use super::{Place, Simulation};

/// Bytes that a node takes over to write at once, as the real driver does.
pub(crate) const TRANSMIT_BYTES: usize = 64 * 1024;

/// How often a node with slow hands reads, one piece from each socket.
const SLOW_READ_INTERVAL: Duration = Duration::from_millis(500);

/// After which time a puppet's dial that nobody answers has come to nothing, as a node's by default.
const PUPPET_DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Ports that hosts dial from (RFC 6335).
const FIRST_EPHEMERAL_PORT: u16 = 49_152;
const EPHEMERAL_PORTS: u16 = 16_384;

/// Buffers of pieces that are kept to be used again, as many as are under way when a thousand nodes
/// flood; and how large they are.
const MAX_SPARE_BUFFERS: usize = 16 * 1024;
const MIN_SPARE_BYTES: usize = 512;
const MAX_SPARE_BYTES: usize = 4096;

impl<B: NetworkBehaviour> Simulation<B> {
    pub(crate) fn attach(&mut self, node: usize, connection: ConnectionId, link: usize, side: usize) {
        self.links[link].ends[side] = End::Node(node, connection);
        let Some(running) = &mut self.nodes[node].running else { return };
        let first_frame_bytes = running.swarm.limits().first_frame_bytes();
        let reader = FrameReader::new(Arc::clone(&running.rules), first_frame_bytes);
        let attachment = Attachment { link, side, reader, out: None, blocked: false, held: None };
        running.attachments.insert(connection, attachment);
    }

    // Dialling.

    pub(crate) fn start_dial(&mut self, dialer: Dialer, address: Address) {
        let at = self.now + self.latency();
        self.queue.push(at, Scheduled::Dial(Box::new(Dial { dialer, address })));
    }

    /// A dial arrives where it leads.
    pub(crate) fn answer_dial(&mut self, dial: Box<Dial>) {
        let dialer = dial.dialer;
        let (from_host, from) = match dialer {
            Dialer::Node { node, .. } => (node, self.dialled_from(node)),
            Dialer::Puppet(puppet) => {
                let from = self.puppets.get(&puppet).map(|it| it.dials_from(puppet));
                (usize::MAX, from.unwrap_or_else(|| super::puppet::puppet_address(puppet)))
            }
        };
        let place = self.places.get(&dial.address.clone().unpinned()).copied();
        let to_host = match place {
            Some(Place::Node(node)) => node,
            _ => usize::MAX,
        };
        if self.injector.is_cut(from_host, to_host) || self.injector.is_cut(to_host, from_host) {
            self.injector.felt_between(from_host, to_host);
            self.injector.felt_between(to_host, from_host);
            return self.swallow_dial(dialer);
        }
        let listener = match place {
            Some(Place::Node(node)) => {
                let it = &mut self.nodes[node];
                if !it.has_power {
                    return self.swallow_dial(dialer);
                }
                if it.pauses > 0 {
                    return self.postpone(node, Scheduled::Dial(dial));
                }
                let now = it.clock.read(self.now, it.epoch);
                let refuses = it.refusals > 0;
                if refuses {
                    self.injector.felt(node, |what| matches!(what, FaultKind::RefusedDials(_)));
                }
                let swarm = it.running.as_mut().map(|running| &mut running.swarm).filter(|_| !refuses);
                swarm.and_then(|swarm| swarm.handle_accept(now, from).ok()).map(|id| End::Node(node, id))
            }
            Some(Place::Puppet(puppet)) => {
                let is_free = self.puppets.get(&puppet).is_some_and(|it| it.link.is_none() || it.ended);
                is_free.then_some(End::Puppet(puppet))
            }
            Some(Place::Actor(actor)) => Some(End::Puppet(self.new_puppet(Some(actor)))),
            None => None,
        };
        let at = self.now + self.latency();
        let link = listener.map(|listener| {
            let awaited = match dialer {
                Dialer::Node { node, .. } => End::Awaited(node),
                Dialer::Puppet(_) => End::Gone,
            };
            let mut new = Link::new([awaited, listener], [from_host, to_host]);
            new.pipes[0].last_arrival = at;
            self.add_link(new)
        });
        self.queue.push(at, Scheduled::DialAnswered { dialer, link });
        match (listener, link) {
            (Some(End::Node(node, connection)), Some(link)) => {
                self.attach(node, connection, link, 1);
                self.opened(node, connection);
            }
            (Some(End::Puppet(puppet)), Some(link)) => self.puppet_connected(puppet, link, 1),
            _ => {}
        }
        if let Some(Place::Node(node)) = place {
            self.drive(node);
        }
    }

    /// Nobody answers a dial. A node's Swarm finds out by itself; for a puppet its system does.
    fn swallow_dial(&mut self, dialer: Dialer) {
        if let Dialer::Puppet(_) = dialer {
            let at = self.now + PUPPET_DIAL_TIMEOUT;
            self.queue.push(at, Scheduled::DialAnswered { dialer, link: None });
        }
    }

    /// Where a dial of a node seems to come from.
    fn dialled_from(&mut self, node: usize) -> Address {
        let address = &self.nodes[node].address;
        let Some(ip) = address.ip() else { return address.clone() };
        self.dialled_from = (self.dialled_from + 1) % EPHEMERAL_PORTS;
        Address::socket((ip, FIRST_EPHEMERAL_PORT + self.dialled_from).into())
    }

    /// The dialer hears what came of its dial.
    pub(crate) fn dial_answered(&mut self, dialer: Dialer, link: Option<usize>) {
        match dialer {
            Dialer::Node { node, incarnation, connection } => {
                let is_same = self.nodes[node].incarnation == incarnation;
                let running = self.nodes[node].running.as_mut().filter(|_| is_same);
                let waits = running.is_some_and(|running| running.dials.contains(connection));
                match link {
                    Some(link) if waits => {
                        self.attach(node, connection, link, 0);
                        self.opened(node, connection);
                    }
                    Some(link) if self.nodes[node].has_power => self.reset_peer(link, 0),
                    Some(link) => self.links[link].ends[0] = End::Forgotten(node),
                    None if waits => {
                        let now = self.clock(node);
                        let error = DialError::Transport("connection refused".into());
                        if let Some(running) = &mut self.nodes[node].running {
                            running.swarm.handle_dial_failed(now, connection, error);
                        }
                        self.drive(node);
                        self.expect_dial_ended(node, connection);
                    }
                    None => {}
                }
            }
            Dialer::Puppet(puppet) => match link {
                Some(link) => {
                    self.links[link].ends[0] = End::Puppet(puppet);
                    self.puppet_connected(puppet, link, 0);
                }
                None => self.puppet_ended(puppet),
            },
        }
    }

    fn opened(&mut self, node: usize, connection: ConnectionId) {
        let now = self.clock(node);
        if let Some(running) = &mut self.nodes[node].running {
            running.swarm.handle_opened(now, connection, None);
        }
        self.drive(node);
    }

    // Sending.

    /// Sends what waits on a connection, as much as the window takes.
    pub(crate) fn write(&mut self, node: usize, connection: ConnectionId) {
        let window_bytes = self.config.window_bytes();
        // What all nodes take over goes through one buffer; what cannot be sent at once stays with
        // its connection.
        let mut out = std::mem::take(&mut self.scratch);
        let mut more = true;
        while let Some(running) = &mut self.nodes[node].running {
            let Some(attachment) = running.attachments.get_mut(connection) else { break };
            if let Some(waiting) = attachment.out.take() {
                out = *waiting;
            } else if more {
                more = running.swarm.poll_transmit(connection, TRANSMIT_BYTES, &mut out);
            }
            if out.is_empty() {
                break;
            }
            let (link, side) = (attachment.link, 1 - attachment.side);
            let pipe = &mut self.links[link].pipes[side];
            let room = pipe.room(self.now, window_bytes);
            if room == 0 {
                pipe.sender_waits = true;
                attachment.out = Some(Box::new(std::mem::take(&mut out)));
                self.expect_room(link, side);
                break;
            }
            self.send_some(link, side, &mut out, room);
            if let Some(attachment) = self.nodes[node].attachment(connection)
                && !out.is_empty()
            {
                attachment.out = Some(Box::new(std::mem::take(&mut out)));
            }
        }
        self.scratch = out;
    }

    /// Sends as much as there is room for, piece by piece.
    fn send_some(&mut self, link: usize, side: usize, out: &mut Transmit, room: usize) {
        let mut left = room;
        while left > 0 && !out.is_empty() {
            left -= self.send_piece(link, side, out, left);
        }
    }

    /// Sends one piece of what waits, not larger than `room`; how large it is.
    pub(crate) fn send_piece(&mut self, link: usize, side: usize, out: &mut Transmit, room: usize) -> usize {
        let mut len = self.config.max_piece_bytes().min(room).min(out.len());
        if self.rng.chance(self.config.cut_percent().into(), 100) {
            len = 1 + self.rng.below(len as u64) as usize;
        }
        let mut bytes = self.spare_buffers.pop().unwrap_or_default();
        if !bytes.try_reclaim(len) {
            bytes = BytesMut::with_capacity(len.max(MIN_SPARE_BYTES));
        }
        bytes.put(out.take(len));
        // Here and not where they arrive: what was just written is at hand.
        self.audit.bytes(&bytes);
        self.links[link].pipes[side].under_way += len;
        self.send(link, side, Piece::Bytes(bytes));
        len
    }

    /// Schedules that the sender hears of the next bytes that were read, if it waits for that.
    fn expect_room(&mut self, link: usize, side: usize) {
        let pipe = &mut self.links[link].pipes[side];
        if let Some((at, _)) = pipe.heard.front()
            && pipe.sender_waits
            && !pipe.room_scheduled
        {
            pipe.room_scheduled = true;
            self.queue.push(*at, Scheduled::Room { link, side });
        }
    }

    /// The sender hears that there is room again.
    pub(crate) fn has_room(&mut self, link: usize, side: usize) {
        let pipe = &mut self.links[link].pipes[side];
        pipe.room_scheduled = false;
        pipe.sender_waits = false;
        if let End::Node(node, connection) = self.links[link].ends[1 - side] {
            // What it takes now counts at the time of now.
            let now = self.clock(node);
            if let Some(running) = &mut self.nodes[node].running {
                running.swarm.handle_deadline(now);
            }
            self.write(node, connection);
            self.drive(node);
        }
    }

    // Receiving.

    /// Something arrived at an end of a link.
    pub(crate) fn arrived(&mut self, link: usize, side: usize) {
        match self.links[link].ends[side] {
            End::Node(node, connection) => {
                if self.nodes[node].slow_readings == 0 {
                    self.read(node, connection, usize::MAX);
                } else {
                    self.injector.felt(node, |what| matches!(what, FaultKind::SlowReader(_)));
                }
            }
            End::Puppet(puppet) => {
                while let Some(bytes) = self.take_piece(link, side) {
                    if let Some(it) = self.puppets.get_mut(&puppet) {
                        it.received.extend(bytes);
                    }
                }
                if self.links[link].pipes[side].ended {
                    self.puppet_ended(puppet);
                } else {
                    self.puppet_received_something(puppet);
                }
            }
            // Whoever dialled takes it when it knows that it was answered.
            End::Awaited(_) => {}
            End::Gone => while self.take_piece(link, side).is_some() {},
            End::Forgotten(host) => {
                self.links[link].pipes[side].unread.clear();
                if self.nodes.get(host).is_none_or(|node| node.has_power) {
                    self.reset_peer(link, side);
                }
            }
        }
    }

    /// Takes the next piece that arrived, and lets the sender know.
    fn take_piece(&mut self, link: usize, side: usize) -> Option<BytesMut> {
        let bytes = self.links[link].pipes[side].unread.pop_front()?;
        if self.is_held(link, 1 - side) {
            self.feel_hold(link, 1 - side);
            self.links[link].pipes[side].trouble().unheard += bytes.len();
        } else {
            self.acknowledge(link, side, bytes.len());
        }
        Some(bytes)
    }

    /// Tells the sender that so many bytes were read. It takes the way back.
    pub(crate) fn acknowledge(&mut self, link: usize, side: usize, len: usize) {
        let heard_at = self.now + self.config.latency();
        let it = &mut self.links[link];
        if it.is_half_open {
            return;
        }
        let pipe = &mut it.pipes[side];
        // Those who never ask for room hear of it as well.
        pipe.hear(self.now);
        pipe.heard.push_back((heard_at, len as u32));
        if pipe.sender_waits {
            self.expect_room(link, side);
        }
    }

    /// Reads up to so many pieces of what arrived on a connection, unless the node or the reader
    /// does not read just now.
    pub(crate) fn read(&mut self, node: usize, connection: ConnectionId, max_pieces: usize) {
        for _ in 0..max_pieces {
            let reading_paused = self.nodes[node].reading_paused;
            let Some(attachment) = self.nodes[node].attachment(connection) else { return };
            if attachment.blocked || attachment.held.is_some() || reading_paused {
                return;
            }
            let (link, side) = (attachment.link, attachment.side);
            let Some(bytes) = self.take_piece(link, side) else {
                if self.links[link].pipes[side].ended {
                    self.stream_ended(node, connection);
                }
                return;
            };
            let attachment = self.nodes[node].attachment(connection);
            if let Some(buffer) = attachment.and_then(|it| it.reader.push_buffer(bytes)) {
                self.keep_buffer(buffer);
            }
            if !self.deliver_frames(node, connection) {
                return;
            }
            let attachment = self.nodes[node].attachment(connection);
            if let Some(buffer) = attachment.and_then(|it| it.reader.take_buffer()) {
                self.keep_buffer(buffer);
            }
        }
    }

    /// Keeps the memory of bytes that were read, for those that are sent next.
    fn keep_buffer(&mut self, mut bytes: BytesMut) {
        if self.spare_buffers.len() < MAX_SPARE_BUFFERS && bytes.capacity() <= MAX_SPARE_BYTES {
            bytes.clear();
            self.spare_buffers.push(bytes);
        }
    }

    pub(crate) fn read_all(&mut self, node: usize) {
        self.read_some(node, usize::MAX);
    }

    fn read_some(&mut self, node: usize, max_pieces: usize) {
        let Some(running) = self.nodes[node].running.as_ref().filter(|_| self.nodes[node].pauses == 0) else {
            return;
        };
        let connections: Vec<_> = running.attachments.keys().collect();
        for connection in connections {
            self.read(node, connection, max_pieces);
        }
    }

    pub(crate) fn read_slowly(&mut self, node: usize) {
        self.nodes[node].slow_read_scheduled = false;
        if self.nodes[node].slow_readings > 0 {
            self.read_some(node, 1);
            self.schedule_slow_read(node);
        }
    }

    pub(crate) fn schedule_slow_read(&mut self, node: usize) {
        if !std::mem::replace(&mut self.nodes[node].slow_read_scheduled, true) {
            self.queue.push(self.now + SLOW_READ_INTERVAL, Scheduled::SlowRead(node));
        }
    }

    /// The peer is known, or the Swarm takes more frames, and the reader may go on.
    pub(crate) fn read_on(&mut self, node: usize, connection: ConnectionId) {
        if self.deliver_frames(node, connection) {
            let max_pieces = if self.nodes[node].slow_readings > 0 { 1 } else { usize::MAX };
            self.read(node, connection, max_pieces);
        }
    }

    /// Gives whole frames to the Swarm. Whether the connection can be read on.
    fn deliver_frames(&mut self, node: usize, connection: ConnectionId) -> bool {
        loop {
            let now = self.clock(node);
            let Some(running) = &mut self.nodes[node].running else { return false };
            let Some(attachment) = running.attachments.get_mut(connection) else { return false };
            let step = match attachment.held.take() {
                Some(batch) => Ok(ReadStep::Frames(*batch)),
                None => attachment.reader.poll_frames(),
            };
            match step {
                Ok(ReadStep::Frames(batch)) => {
                    let rest = running.swarm.handle_frames(now, connection, batch);
                    let is_held = rest.is_some();
                    attachment.held = rest.map(Box::new);
                    // Closes and establishes come into force before the next bytes are looked at.
                    self.drive(node);
                    if is_held {
                        return false;
                    }
                }
                Ok(ReadStep::NeedBytes) => return true,
                Ok(ReadStep::Blocked) => {
                    attachment.blocked = true;
                    return false;
                }
                Err(error) => {
                    running.swarm.handle_cut(now, connection, attachment.reader.cut_bytes());
                    running.swarm.handle_closed(now, connection, error.into());
                    self.drive(node);
                    return false;
                }
            }
        }
    }

    fn stream_ended(&mut self, node: usize, connection: ConnectionId) {
        let now = self.clock(node);
        let Some(running) = &mut self.nodes[node].running else { return };
        let Some(attachment) = running.attachments.get(connection) else { return };
        let (link, side) = (attachment.link, attachment.side);
        let reason = attachment.reader.finish().map_or_else(CloseReason::from, |()| CloseReason::EndOfStream);
        let by_violation = matches!(reason, CloseReason::Violation(_));
        running.swarm.handle_cut(now, connection, attachment.reader.cut_bytes());
        running.swarm.handle_closed(now, connection, reason);
        if !by_violation {
            running.attachments.remove(connection);
            self.end_stream(link, side);
        }
        self.drive(node);
    }

    /// The system says that a connection is torn.
    pub(crate) fn was_reset(&mut self, link: usize, side: usize) {
        let end = std::mem::replace(&mut self.links[link].ends[side], End::Gone);
        self.links[link].pipes[side].tear();
        match end {
            End::Node(node, connection) => {
                let now = self.clock(node);
                if let Some(running) = &mut self.nodes[node].running
                    && let Some(attachment) = running.attachments.get(connection)
                    && attachment.link == link
                {
                    running.swarm.handle_cut(now, connection, attachment.reader.cut_bytes());
                    running.attachments.remove(connection);
                    let reason = CloseReason::Transport("connection reset by peer".into());
                    running.swarm.handle_closed(now, connection, reason);
                    self.drive(node);
                }
            }
            End::Puppet(puppet) => self.puppet_ended(puppet),
            End::Awaited(_) | End::Gone | End::Forgotten(_) => {}
        }
    }
}
