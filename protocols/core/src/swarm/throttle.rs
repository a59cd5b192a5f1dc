//! Limits of bandwidth: who owes what, whose turn it is, and who waits until when.

use alloc::collections::{BTreeSet, VecDeque};
use core::time::Duration;

use super::output::Delayed;
use crate::connection::ConnectionId;
use crate::origin::Origin;
use crate::patience::Held;
use crate::peer::Peer;
use crate::recent::Recent;
use crate::shaper::{ByteRate, Shaper};
use crate::time::Time;
use crate::wire::{FRAME_HEADER, MAX_PAYLOAD};

/// What a connection may have at most, in bytes, when it is its turn; the last frame may go beyond.
const TURN_BYTES: u64 = 64 * 1024;

/// What is urgent does not wait for a debt to be paid, up to this part of the rate: a ping passes
/// while a block is paid off, and whoever has much that is urgent cannot keep all else back for ever.
const URGENT_PART: u64 = 4;

/// By how many bytes one connection can be ahead of the others, so that it waits while they catch up:
/// two of the largest frames, which is more than fair turns ever lead to.
const MAX_AHEAD: u64 = 2 * (FRAME_HEADER as u64 + MAX_PAYLOAD as u64);

/// Accounts of peers that are gone: so many of hosts, and as many of peers that have proven who they
/// are.
///
/// # Security
///
/// Without them whoever connects again begins without debts, and before all that wait. For a host to
/// be forgotten, 1024 others must have left behind debts of their own, whatever keys they have. What
/// several behind one address owe is the most that one of them did, and at most [`MAX_AHEAD`] bytes:
/// who comes from there next need not pay for hours.
const MAX_KEPT_ACCOUNTS: usize = 1024;

/// By which of its two ways something passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lane {
    /// All that is not urgent, and what is urgent while there is no debt.
    Regular,
    /// Signs of life and handshakes, in spite of a debt.
    Urgent,
}

impl Lane {
    const ALL: [Self; 2] = [Self::Urgent, Self::Regular];

    /// Where it is paid for: what passes as urgent like all else, and it takes no turn of the others.
    const fn paid_in(self) -> &'static [Self] {
        match self {
            Self::Regular => &[Self::Regular],
            Self::Urgent => &Self::ALL,
        }
    }
}

/// What belongs to each of the lanes.
#[derive(Clone, Copy, Debug, Default)]
struct ByLane<T> {
    regular: T,
    urgent: T,
}

impl<T> ByLane<T> {
    const fn get(&self, lane: Lane) -> &T {
        match lane {
            Lane::Regular => &self.regular,
            Lane::Urgent => &self.urgent,
        }
    }

    const fn get_mut(&mut self, lane: Lane) -> &mut T {
        match lane {
            Lane::Regular => &mut self.regular,
            Lane::Urgent => &mut self.urgent,
        }
    }
}

/// A place among those who wait for a turn: up to where its bytes are counted, then who came first.
type Place = (u64, u64, ConnectionId);

/// A lane of all connections.
#[derive(Debug)]
struct Line {
    per_peer: ByteRate,
    total: ByteRate,
    debt: Shaper,
    waiting: BTreeSet<Place>,
    /// From where on the bytes counted of the one who had the last turn.
    served: u64,
    /// Up to where the bytes of anybody count.
    most_counted: u64,
    /// Up to where those of all connections count that are opening: together they are one.
    opening_counted: u64,
}

/// What a peer owes in one lane.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    debt: Shaper,
    /// Up to where its bytes are counted, as in [`Line::served`].
    counted: u64,
}

/// What a peer owes in one direction. It outlasts the connection.
type Account = ByLane<Entry>;

/// One direction of all connections: what they may send, or what is read from them.
///
/// While all together are in debt, turns go to whoever had the least, in bytes, counted from when it
/// began to want some (start-time fair queueing, Goyal et al. 1996): so all that want more than their
/// share get the same, whatever the size of their frames, and those that want less get it all. Once
/// nobody waits and nothing is owed, nobody is ahead of others any more.
#[derive(Debug)]
pub(super) struct Throttle {
    is_limited: bool,
    lines: ByLane<Line>,
    /// Who waits next is behind all others with the same count.
    next_number: u64,
    /// Connections whose own debt is paid.
    paid: VecDeque<ConnectionId>,
    /// What those owed that are gone.
    kept_hosts: Recent<Origin, Account>,
    kept_peers: Recent<Origin, Account>,
    pub(super) delayed: Delayed,
}

/// Where a connection stands with the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Turn {
    /// It does not wait for one.
    #[default]
    None,
    /// It waits, in this place.
    Waits(Place),
    /// It has one.
    Has,
}

/// One direction of one connection.
#[derive(Debug, Default)]
pub(super) struct Share {
    account: Account,
    turns: ByLane<Turn>,
    /// It is not established: it has no account, and all of it is urgent.
    pub(super) is_opening: bool,
    /// When it may go on, as far as it waits for its own debt.
    wake_at: Option<Time>,
    /// Since when it waits.
    held_since: Option<Time>,
    /// When it last stopped to wait.
    released_at: Option<Time>,
    /// Of the bytes that waited with it, those that have not passed.
    pub(super) late: u64,
    delayed: Delayed,
}

/// Both directions of one connection.
#[derive(Debug)]
pub(super) struct Shares {
    pub(super) upload: Share,
    pub(super) download: Share,
}

impl Shares {
    /// Those of a connection that is opening.
    pub(super) fn new() -> Self {
        let share = || Share { is_opening: true, ..Share::default() };
        Self { upload: share(), download: share() }
    }

    /// Whether something was held back on it, in either direction, at any time since then.
    pub(super) fn was_held_since(&self, then: Time) -> bool {
        [&self.upload, &self.download]
            .iter()
            .any(|it| it.is_held() || it.released_at.is_some_and(|at| at > then))
    }

    /// For how long something was held back on it, in either direction.
    pub(super) fn held(&self, now: Time) -> Held {
        Held {
            time: self.upload.delayed(now).time.saturating_add(self.download.delayed(now).time),
            is_held: self.upload.is_held() || self.download.is_held(),
        }
    }
}

impl Share {
    /// Whether something waits for a limit.
    pub(super) const fn is_held(&self) -> bool {
        self.held_since.is_some()
    }

    /// What was held back, and for how long, up to now.
    pub(super) fn delayed(&self, now: Time) -> Delayed {
        let running = self.held_since.map_or(Duration::ZERO, |since| now.since(since));
        Delayed { time: self.delayed.time.saturating_add(running), ..self.delayed }
    }

    /// The places in which it waits for a turn.
    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        Lane::ALL.iter().filter(|lane| matches!(self.turns.get(**lane), Turn::Waits(_))).count()
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

    fn hold(&mut self, now: Time, waiting: usize) {
        self.held_since.get_or_insert(now);
        self.late = waiting as u64;
    }
}

impl Line {
    const fn new(per_peer: ByteRate, total: ByteRate) -> Self {
        Self {
            per_peer,
            total,
            debt: Shaper::new(),
            waiting: BTreeSet::new(),
            served: 0,
            most_counted: 0,
            opening_counted: 0,
        }
    }

    /// Counts bytes of somebody; from where on.
    fn count(&mut self, counted: &mut u64, bytes: u64) -> u64 {
        let from = (*counted).max(self.served);
        *counted = from.saturating_add(bytes).min(self.served.saturating_add(MAX_AHEAD));
        self.most_counted = self.most_counted.max(*counted);
        from
    }

    /// The same for all that are opening.
    fn count_opening(&mut self, bytes: u64) -> u64 {
        let mut counted = self.opening_counted;
        let from = self.count(&mut counted, bytes);
        self.opening_counted = counted;
        from
    }

    /// Nobody waits and nothing is owed: who had much before is not behind any more.
    fn end_contention(&mut self, now: Time) {
        if self.waiting.is_empty() && self.debt.is_ready(now) {
            self.served = self.served.max(self.most_counted);
        }
    }

    /// The count of the last who waits, or of those who had their turn.
    fn last_count(&self) -> u64 {
        self.waiting.last().map_or(self.served, |(count, ..)| self.served.max(*count))
    }
}

impl Entry {
    /// The larger debt, if it is not too large, and the larger count.
    fn or_worse(self, other: Self, rate: ByteRate, now: Time) -> Self {
        let debt = self.debt.or_larger(other.debt, rate, now).at_most(MAX_AHEAD, rate, now);
        Self { debt, counted: self.counted.max(other.counted) }
    }
}

impl Throttle {
    pub(super) const fn new(per_peer: ByteRate, total: ByteRate) -> Self {
        Self {
            is_limited: !per_peer.is_unlimited() || !total.is_unlimited(),
            lines: ByLane {
                regular: Line::new(per_peer, total),
                urgent: Line::new(per_peer.part(URGENT_PART), total.part(URGENT_PART)),
            },
            next_number: 0,
            paid: VecDeque::new(),
            kept_hosts: Recent::new(MAX_KEPT_ACCOUNTS),
            kept_peers: Recent::new(MAX_KEPT_ACCOUNTS),
            delayed: Delayed { bytes: 0, time: Duration::ZERO },
        }
    }

    /// How many places there are in which somebody waits for a turn.
    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        Lane::ALL.iter().map(|lane| self.lines.get(*lane).waiting.len()).sum()
    }

    /// Whether there is any limit. If not, nothing here need be asked.
    #[inline]
    pub(super) const fn is_limited(&self) -> bool {
        self.is_limited
    }

    /// How many bytes may pass on a connection, the last frame beyond. If none, it waits with
    /// `waiting` bytes, and is named by [`next_turn`](Self::next_turn), or by
    /// [`next_paid`](Self::next_paid) after its time to wake.
    pub(super) fn room(
        &mut self,
        lane: Lane,
        id: ConnectionId,
        share: &mut Share,
        now: Time,
        waiting: usize,
    ) -> usize {
        if let Turn::Waits(_) = share.turns.get(lane) {
            return 0;
        }
        let line = self.lines.get_mut(lane);
        let account = share.account.get(lane);
        let own = if share.is_opening { u64::MAX } else { account.debt.room(line.per_peer, now) };
        if own == 0 {
            let ready_at = account.debt.ready_at(now);
            *share.turns.get_mut(lane) = Turn::None;
            share.wake_by(ready_at);
            share.hold(now, waiting);
            return 0;
        }
        let total = line.debt.room(line.total, now);
        let is_others_turn = *share.turns.get(lane) != Turn::Has && !line.waiting.is_empty();
        if total == 0 || is_others_turn {
            let counted = if share.is_opening { line.opening_counted } else { account.counted };
            let place = (counted.max(line.served), self.next_number, id);
            self.next_number += 1;
            line.waiting.insert(place);
            *share.turns.get_mut(lane) = Turn::Waits(place);
            share.hold(now, waiting);
            return 0;
        }
        if lane == Lane::Regular || share.is_opening {
            self.release(share, now);
        }
        own.min(total).min(TURN_BYTES) as usize
    }

    /// Something has passed on a connection, in its turn.
    pub(super) fn charge(&mut self, lane: Lane, share: &mut Share, now: Time, bytes: u64) {
        for charged in lane.paid_in() {
            let line = self.lines.get_mut(*charged);
            line.end_contention(now);
            line.debt.charge(line.total, now, bytes);
        }
        self.lines.get_mut(lane).served = self.charge_own(lane, share, now, bytes);
        if *share.turns.get(lane) == Turn::Has {
            *share.turns.get_mut(lane) = Turn::None;
        }
        let late = bytes.min(share.late);
        share.late -= late;
        share.delayed.bytes += late;
        self.delayed.bytes += late;
    }

    /// The same for what came and waited for no turn: part of a frame, or one that was read and not
    /// handled when its connection ended. From where on it counts in its lane.
    ///
    /// # Security
    ///
    /// All together do not pay for it. Whoever sends 16 MiB without the last byte and connects again
    /// would keep everybody else waiting, as nothing holds him back.
    pub(super) fn charge_own(&mut self, lane: Lane, share: &mut Share, now: Time, bytes: u64) -> u64 {
        let mut from = 0;
        for charged in lane.paid_in() {
            let line = self.lines.get_mut(*charged);
            line.end_contention(now);
            let its = if share.is_opening {
                line.count_opening(bytes)
            } else {
                let entry = share.account.get_mut(*charged);
                entry.debt.charge(line.per_peer, now, bytes);
                line.count(&mut entry.counted, bytes)
            };
            if *charged == lane {
                from = its;
            }
        }
        from
    }

    /// Something has passed on a connection that is not there any more.
    pub(super) fn charge_total(&mut self, now: Time, bytes: u64) {
        let line = &mut self.lines.regular;
        line.debt.charge(line.total, now, bytes);
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
    pub(super) fn next_turn(&mut self, now: Time) -> Option<(Lane, ConnectionId)> {
        Lane::ALL.into_iter().find_map(|lane| {
            let line = self.lines.get_mut(lane);
            if !line.debt.is_ready(now) {
                return None;
            }
            line.waiting.pop_first().map(|(.., id)| (lane, id))
        })
    }

    /// It was named by [`next_turn`](Self::next_turn).
    pub(super) const fn give_turn(lane: Lane, share: &mut Share) {
        *share.turns.get_mut(lane) = Turn::Has;
    }

    /// When there will be turns again, if somebody waits for one. Not if there are some now: those
    /// who wait are named then.
    pub(super) fn deadline(&self, now: Time) -> Option<Time> {
        let of = |lane: Lane| {
            let line = self.lines.get(lane);
            (!line.waiting.is_empty() && !line.debt.is_ready(now)).then(|| line.debt.ready_at(now))
        };
        Lane::ALL.into_iter().filter_map(of).min()
    }

    /// Nothing waits on a connection any more.
    pub(super) fn forget(&mut self, share: &mut Share, now: Time) {
        self.leave(share);
        share.late = 0;
        self.release(share, now);
    }

    /// Gives up all places of a connection.
    fn leave(&mut self, share: &mut Share) {
        for lane in Lane::ALL {
            if let Turn::Waits(place) = share.turns.get(lane) {
                self.lines.get_mut(lane).waiting.remove(place);
            }
        }
        share.turns = ByLane::default();
    }

    fn release(&mut self, share: &mut Share, now: Time) {
        share.wake_at = None;
        if let Some(since) = share.held_since.take() {
            share.released_at = Some(now);
            let time = now.since(since);
            share.delayed.time = share.delayed.time.saturating_add(time);
            self.delayed.time = self.delayed.time.saturating_add(time);
        }
    }

    /// A connection becomes a session: from now on it has an account, the one with which its peer
    /// left, and it stands behind all that wait. Otherwise ever new ones would keep them waiting.
    pub(super) fn open_account(&mut self, id: ConnectionId, share: &mut Share, peer: &Peer, now: Time) {
        self.leave(share);
        share.is_opening = false;
        if share.is_held() {
            self.push_paid(id);
        }
        for lane in Lane::ALL {
            share.account.get_mut(lane).counted = self.lines.get(lane).last_count();
        }
        for origin in accountable(peer) {
            if let Some(kept) = self.kept(&origin).get(&origin).copied() {
                share.account = self.worse_of(&share.account, &kept, now);
            }
        }
    }

    /// Keeps what the peer of a session owes that has ended.
    pub(super) fn keep_account(&mut self, share: &Share, peer: &Peer, now: Time) {
        let owes = |lane: Lane| {
            let (entry, line) = (share.account.get(lane), self.lines.get(lane));
            entry.debt.owes(line.per_peer, now) || entry.counted > line.served
        };
        if !Lane::ALL.into_iter().any(owes) {
            return;
        }
        for origin in accountable(peer) {
            let before = self.kept(&origin).get(&origin).copied().unwrap_or_default();
            let account = self.worse_of(&share.account, &before, now);
            self.kept(&origin).insert(origin, account);
        }
    }

    const fn kept(&mut self, origin: &Origin) -> &mut Recent<Origin, Account> {
        match origin {
            Origin::Peer(_) => &mut self.kept_peers,
            _ => &mut self.kept_hosts,
        }
    }

    fn worse_of(&self, one: &Account, other: &Account, now: Time) -> Account {
        let worse = |lane| one.get(lane).or_worse(*other.get(lane), self.lines.get(lane).per_peer, now);
        ByLane { regular: worse(Lane::Regular), urgent: worse(Lane::Urgent) }
    }
}

/// By what an account is found again when its peer comes back.
fn accountable(peer: &Peer) -> impl Iterator<Item = Origin> {
    peer.identity.proven().map(Origin::Peer).into_iter().chain([Origin::host(peer)])
}
