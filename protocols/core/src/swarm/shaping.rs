//! Limits of bandwidth: who may send or is read from, and who waits until when.

use alloc::collections::{BTreeSet, VecDeque};

use super::network::Network;
use super::output::Delayed;
use super::queues::QueuePool;
use super::table::{Connection, Table};
use super::transmit::Transmit;
use crate::connection::ConnectionId;
use crate::shaper::{ByteRate, Shaper};
use crate::time::Time;
use crate::wire::{Batch, Priority};

/// What a connection may have at most, in bytes, when it is its turn; the last frame may go beyond.
const TURN_BYTES: u64 = 64 * 1024;

/// What is urgent does not wait for a debt to be paid, up to this part of the rate: a ping passes
/// while a block is paid off, and whoever has much that is urgent cannot keep all else back for ever.
const URGENT_PART: u64 = 4;

/// All debts of a connection, or of all connections together.
#[derive(Debug, Default)]
struct Line {
    all: Shaper,
    /// What passed although `all` was in debt.
    urgent: Shaper,
}

/// One direction of all connections: what they may send, or what is read from them.
///
/// While all together are in debt, turns go to whoever had the least, in bytes, counted from when it
/// began to want some (start-time fair queueing, Goyal et al. 1996): so all that want more than their
/// share get the same, whatever the size of their frames, and those that want less get it all.
#[derive(Debug)]
pub(super) struct Throttle {
    is_limited: bool,
    per_peer: ByteRate,
    total: ByteRate,
    line: Line,
    /// Who waits for a turn, and from where on its bytes count.
    waiting: BTreeSet<(u64, ConnectionId)>,
    /// From where on the bytes counted of the one who had the last turn.
    served: u64,
    /// Connections whose own debt is paid.
    paid: VecDeque<ConnectionId>,
    pub(super) delayed: Delayed,
}

/// Where a connection stands with the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
    /// It does not wait for one.
    None,
    /// It waits, under this key.
    Waits(u64),
    /// It has one.
    Has,
}

/// One direction of one connection.
#[derive(Debug)]
pub(super) struct Share {
    line: Line,
    turn: Turn,
    /// Up to where its bytes are counted, as in [`Throttle::served`].
    counted: u64,
    /// When it may go on, as far as it waits for its own debt.
    wake_at: Option<Time>,
    /// Since when it waits.
    held_since: Option<Time>,
    /// Of the bytes that waited with it, those that have not passed.
    late: u64,
    /// What passes next may pass because it is urgent.
    passes_urgent: bool,
    pub(super) delayed: Delayed,
}

/// Both directions of one connection.
#[derive(Debug, Default)]
pub(super) struct Shares {
    pub(super) upload: Share,
    pub(super) download: Share,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            line: Line::default(),
            turn: Turn::None,
            counted: 0,
            wake_at: None,
            held_since: None,
            late: 0,
            passes_urgent: false,
            delayed: Delayed::default(),
        }
    }
}

impl Share {
    /// Whether something waits for a limit.
    pub(super) const fn is_held(&self) -> bool {
        self.held_since.is_some()
    }

    #[cfg(test)]
    pub(super) const fn waits_for_turn(&self) -> bool {
        matches!(self.turn, Turn::Waits(_))
    }

    /// When to look at it again.
    pub(super) const fn wake_at(&self) -> Option<Time> {
        self.wake_at
    }

    /// Whether that time has come; it is not asked for again.
    pub(super) fn wakes(&mut self, now: Time) -> bool {
        self.wake_at.take_if(|at| *at <= now).is_some()
    }

    /// Wakes not later than this.
    fn wake_by(&mut self, at: Time) {
        self.wake_at = Some(self.wake_at.map_or(at, |before| before.min(at)));
    }
}

impl Throttle {
    pub(super) const fn new(per_peer: ByteRate, total: ByteRate) -> Self {
        Self {
            is_limited: !per_peer.is_unlimited() || !total.is_unlimited(),
            per_peer,
            total,
            line: Line { all: Shaper::new(), urgent: Shaper::new() },
            waiting: BTreeSet::new(),
            served: 0,
            paid: VecDeque::new(),
            delayed: Delayed { bytes: 0, time: core::time::Duration::ZERO },
        }
    }

    /// How many wait for a turn.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether there is any limit. If not, nothing here need be asked.
    #[inline]
    pub(super) const fn is_limited(&self) -> bool {
        self.is_limited
    }

    /// How many bytes may pass on a connection, the last frame beyond. If none, it waits with
    /// `waiting` bytes, and is named by
    /// [`next_turn`](Self::next_turn), or by [`next_paid`](Self::next_paid) after its time to wake.
    pub(super) fn room(&mut self, id: ConnectionId, share: &mut Share, now: Time, waiting: usize) -> usize {
        if let Turn::Waits(_) = share.turn {
            return 0;
        }
        let own = share.line.all.room(self.per_peer, now);
        if own == 0 {
            share.turn = Turn::None;
            share.wake_by(share.line.all.ready_at(now));
            Self::hold(share, now, waiting);
            return 0;
        }
        let total = self.line.all.room(self.total, now);
        let is_others_turn = share.turn != Turn::Has && !self.waiting.is_empty();
        if total == 0 || is_others_turn {
            let key = share.counted.max(self.served);
            self.waiting.insert((key, id));
            share.turn = Turn::Waits(key);
            Self::hold(share, now, waiting);
            return 0;
        }
        self.release(share, now);
        own.min(total).min(TURN_BYTES) as usize
    }

    /// How many bytes of what is urgent may pass on a connection that waits, the last frame beyond.
    /// If none, it also wakes when some may.
    pub(super) fn urgent_room(&self, share: &mut Share, now: Time) -> usize {
        let own = share.line.urgent.room(self.per_peer.part(URGENT_PART), now);
        let total = self.line.urgent.room(self.total.part(URGENT_PART), now);
        if own == 0 || total == 0 {
            share.wake_by(share.line.urgent.ready_at(now).max(self.line.urgent.ready_at(now)));
        }
        own.min(total).min(TURN_BYTES) as usize
    }

    /// What is charged next passes because it is urgent.
    pub(super) const fn let_urgent_pass(share: &mut Share) {
        share.passes_urgent = true;
    }

    /// Something has passed on a connection.
    pub(super) fn charge(&mut self, share: &mut Share, now: Time, bytes: u64) {
        let from = share.counted.max(self.served);
        share.counted = from.saturating_add(bytes);
        share.line.all.charge(self.per_peer, now, bytes);
        self.line.all.charge(self.total, now, bytes);
        if core::mem::take(&mut share.passes_urgent) {
            share.line.urgent.charge(self.per_peer.part(URGENT_PART), now, bytes);
            self.line.urgent.charge(self.total.part(URGENT_PART), now, bytes);
        } else {
            self.served = from;
            if share.turn == Turn::Has {
                share.turn = Turn::None;
            }
        }
        let late = bytes.min(share.late);
        share.late -= late;
        share.delayed.bytes += late;
        self.delayed.bytes += late;
    }

    /// Something has passed on a connection that is not there any more.
    pub(super) fn charge_total(&mut self, now: Time, bytes: u64) {
        self.line.all.charge(self.total, now, bytes);
    }

    /// The own debt of a connection is paid.
    pub(super) fn push_paid(&mut self, id: ConnectionId) {
        self.paid.push_back(id);
    }

    /// The next connection whose own debt is paid.
    pub(super) fn next_paid(&mut self) -> Option<ConnectionId> {
        self.paid.pop_front()
    }

    /// The next connection whose turn it is, which must be [given](Self::give_turn) to it.
    pub(super) fn next_turn(&mut self, now: Time) -> Option<ConnectionId> {
        if !self.line.all.is_ready(now) {
            return None;
        }
        self.waiting.pop_first().map(|(_, id)| id)
    }

    /// It was named by [`next_turn`](Self::next_turn).
    pub(super) const fn give_turn(share: &mut Share) {
        share.turn = Turn::Has;
    }

    /// When there will be turns again, if somebody waits for one. Not if there are some now: those
    /// who wait are named then.
    fn deadline(&self, now: Time) -> Option<Time> {
        if self.waiting.is_empty() || self.line.all.is_ready(now) {
            return None;
        }
        Some(self.line.all.ready_at(now))
    }

    /// Nothing waits on a connection any more.
    pub(super) fn forget(&mut self, id: ConnectionId, share: &mut Share, now: Time) {
        if let Turn::Waits(key) = share.turn {
            self.waiting.remove(&(key, id));
        }
        share.turn = Turn::None;
        share.late = 0;
        self.release(share, now);
    }

    fn hold(share: &mut Share, now: Time, waiting: usize) {
        share.held_since.get_or_insert(now);
        share.late = waiting as u64;
    }

    fn release(&mut self, share: &mut Share, now: Time) {
        share.wake_at = None;
        if let Some(since) = share.held_since.take() {
            let time = now.since(since);
            share.delayed.time = share.delayed.time.saturating_add(time);
            self.delayed.time = self.delayed.time.saturating_add(time);
        }
    }
}

impl Network {
    /// Moves what waits on a connection into `out`, within the limits of bandwidth.
    pub(super) fn transmit_shaped(
        upload: &mut Throttle,
        id: ConnectionId,
        connection: &mut Connection,
        now: Time,
        max_len: usize,
        pool: &mut QueuePool,
        out: &mut Transmit,
    ) {
        let Connection { queues, shares: Some(shares), .. } = connection else { return };
        let share = &mut shares.upload;
        while out.len() < max_len && !queues.is_empty() {
            let before = out.len();
            let room = upload.room(id, share, now, queues.total_bytes());
            if room > 0 {
                queues.transmit(max_len.min(before.saturating_add(room)), pool, out);
            } else {
                if queues.queued_frames(Priority::Critical) == 0 {
                    break;
                }
                let room = upload.urgent_room(share, now);
                if room == 0 {
                    break;
                }
                Throttle::let_urgent_pass(share);
                queues.transmit_critical(max_len.min(before.saturating_add(room)), pool, out);
            }
            upload.charge(share, now, (out.len() - before) as u64);
        }
        if queues.is_empty() {
            upload.forget(id, share, now);
        }
    }

    /// The next connection that has waited for a limit of bandwidth and may send.
    #[cold]
    pub(super) fn poll_writable(&mut self) -> Option<ConnectionId> {
        let now = self.now.time;
        let id = Self::next_released(&mut self.table, &mut self.upload, now, |it| &mut it.upload)?;
        if let Some(connection) = self.table.get_mut(id)
            && connection.waiting_since.is_none()
            && !connection.queues.is_empty()
        {
            connection.waiting_since = Some(now);
            self.arm(id, now + self.limits.write_timeout());
        }
        Some(id)
    }

    /// Whether there is any limit of bandwidth.
    #[inline]
    pub(super) const fn is_limited(&self) -> bool {
        self.upload.is_limited() || self.download.is_limited()
    }

    /// When there will be turns again for somebody who waits for one.
    #[cold]
    pub(super) fn next_turn_at(&self) -> Option<Time> {
        let now = self.now.time;
        [self.upload.deadline(now), self.download.deadline(now)].into_iter().flatten().min()
    }

    /// The next connection that has waited for a limit of bandwidth and may go on.
    fn next_released(
        table: &mut Table,
        throttle: &mut Throttle,
        now: Time,
        share: fn(&mut Shares) -> &mut Share,
    ) -> Option<ConnectionId> {
        while let Some(id) = throttle.next_paid() {
            if table.get(id).is_some() {
                return Some(id);
            }
        }
        let id = throttle.next_turn(now)?;
        debug_assert!(table.get(id).is_some(), "who is gone waits for no turn");
        if let Some(shares) = table.get_mut(id).and_then(|it| it.shares.as_deref_mut()) {
            Throttle::give_turn(share(shares));
        }
        Some(id)
    }

    /// Whether the limits of bandwidth allow that these frames are handled now.
    pub(super) fn takes_frames(&mut self, id: ConnectionId, now: Time, batch: &Batch) -> bool {
        let Some(connection) = self.table.get_mut(id) else {
            return true;
        };
        let is_opening = !connection.is_established();
        let Some(shares) = &mut connection.shares else {
            return true;
        };
        let share = &mut shares.download;
        if self.download.room(id, share, now, batch.len()) > 0 {
            return true;
        }
        // As on the way out, nothing holds up a handshake.
        if (is_opening || batch.is_critical()) && self.download.urgent_room(share, now) > 0 {
            // What waits behind it is not known yet.
            self.download.forget(id, share, now);
            Throttle::let_urgent_pass(share);
            return true;
        }
        if let Some(at) = share.wake_at() {
            self.arm(id, at);
        }
        false
    }

    /// The next connection that may be read on.
    pub(super) fn poll_readable(&mut self) -> Option<ConnectionId> {
        Self::next_released(&mut self.table, &mut self.download, self.now.time, |it| &mut it.download)
    }
}
