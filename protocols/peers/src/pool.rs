//! The connections that this node chooses: how many there are, and when to look for the next one.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use spacetime_core::{ConnectionId, ConnectionMap, Rng, Time};

use crate::group::Group;

/// Dials at a time.
///
/// # Security
///
/// An attacker who has filled the book with addresses that never answer makes us wait for each; eight
/// at a time find an honest one among a hundred in two minutes. More would make a start of many nodes a
/// flood of connections for those who are known.
pub const MAX_DIALS: usize = 8;

/// The shortest time between two dials.
const DIAL_INTERVAL: Duration = Duration::from_millis(100);
/// The longest, however many came to nothing.
const MAX_DIAL_INTERVAL: Duration = Duration::from_secs(10);
/// How long after it found nobody to dial the book is asked again.
const NOBODY_INTERVAL: Duration = Duration::from_secs(5);
/// How long seeds are asked again after, at first; doubled each time.
const SEED_INTERVAL: Duration = Duration::from_secs(60);
const MAX_SEED_INTERVAL: Duration = Duration::from_secs(1800);
/// How long this node tries the addresses it knows before it asks the seeds (Bitcoin Core).
const SEED_DELAY: Duration = Duration::from_secs(11);

/// How often a peer that was lost is dialled again, and for how long.
const LOST_INTERVAL: Duration = Duration::from_secs(45);
const LOST_LIFETIME: Duration = Duration::from_secs(3600);
/// Peers that were lost.
const MAX_LOST: usize = 16;
/// Of these so many had the same place: who comes and goes in one, again and again with other addresses,
/// makes nobody forget who was lost in the others.
const MAX_LOST_OF_A_SLOT: usize = 2;

/// What a connection that this node opened is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Role {
    /// The user wants it.
    Kept,
    /// One of those that this node chooses and keeps.
    Outbound,
    /// To find out whether the address can be reached; then it is closed.
    Feeler,
    /// To hear addresses, until there are enough others.
    Seed,
}

/// A dial or a session that this node opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    pub(crate) role: Role,
    /// None for a place that is no IP address.
    pub(crate) address: Option<(SocketAddr, Group)>,
    pub(crate) is_session: bool,
    pub(crate) since: Time,
    /// Which of the places it has, if this node chose it to be kept.
    slot: Option<usize>,
}

impl Opened {
    pub(crate) const fn dial(role: Role, address: Option<(SocketAddr, Group)>, now: Time) -> Self {
        Self { role, address, is_session: false, since: now, slot: None }
    }
}

/// A feeler stays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promoted {
    /// Whose place it takes.
    pub(crate) leaves: Option<ConnectionId>,
}

/// A peer that was lost without anybody's wish.
#[derive(Clone, Copy, Debug)]
struct Lost {
    address: SocketAddr,
    slot: usize,
    retry_at: Time,
    until: Time,
}

/// The connections that this node opened, and when to open the next one.
#[derive(Debug)]
pub(crate) struct Pool {
    max_outbound: usize,
    feeler_interval: Duration,
    opened: ConnectionMap<Opened>,
    /// Whom to dial before anybody else, the last one first.
    pub(crate) dial_first: Vec<SocketAddr>,
    /// Dials that came to nothing since the last that did not.
    failures: u32,
    /// No dial before.
    next_dial_at: Time,
    /// Not asking the book before, unless something new is in it.
    next_look_at: Time,
    next_feeler_at: Time,
    /// When the network is split, both parts fill their pools again from among themselves, and nothing
    /// would ever join them. So those who were lost are looked for, and take their places again: each its
    /// own. An attacker who had one place with many peers, one after the other, gets back that one.
    lost: Vec<Lost>,
    pub(crate) next_seed_at: Time,
    seed_interval: Duration,
}

impl Pool {
    pub(crate) fn new(max_outbound: usize, feeler_interval: Duration, rng: &mut Rng) -> Self {
        Self {
            max_outbound,
            feeler_interval,
            opened: ConnectionMap::new(),
            dial_first: Vec::new(),
            failures: 0,
            next_dial_at: Time::ZERO,
            next_look_at: Time::ZERO,
            lost: Vec::new(),
            next_feeler_at: Time::ZERO + rng.jitter(feeler_interval),
            next_seed_at: Time::ZERO,
            seed_interval: SEED_INTERVAL,
        }
    }

    pub(crate) fn get(&self, connection: ConnectionId) -> Option<&Opened> {
        self.opened.get(connection)
    }

    /// All that this node opened.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Opened)> {
        self.opened.iter()
    }

    fn count(&self, is_counted: impl Fn(&Opened) -> bool) -> usize {
        self.opened.iter().filter(|(_, opened)| is_counted(opened)).count()
    }

    /// Sessions that this node chose and keeps, those among them that the user wants.
    pub(crate) fn outbound_sessions(&self) -> usize {
        self.count(|it| it.is_session && matches!(it.role, Role::Outbound | Role::Kept))
    }

    fn dials(&self) -> usize {
        self.count(|it| !it.is_session)
    }

    /// How many more connections are wanted, counting those that are being dialled as there.
    fn missing(&self) -> usize {
        let there = self.count(|it| it.role == Role::Outbound || it.role == Role::Kept && it.is_session);
        self.max_outbound.saturating_sub(there)
    }

    /// Whether there are as many as are wanted.
    pub(crate) fn is_full(&self) -> bool {
        self.outbound_sessions() >= self.max_outbound
    }

    /// The groups with which there is, or will be, a connection.
    pub(crate) fn groups(&self) -> BTreeSet<Group> {
        let chosen = self.opened.iter().filter(|(_, it)| it.role != Role::Feeler);
        chosen.filter_map(|(_, it)| Some(it.address?.1)).collect()
    }

    /// Whether another one should be dialled now.
    pub(crate) fn wants_dial(&self, now: Time) -> bool {
        self.missing() > 0 && self.dials() < MAX_DIALS && self.next_dial_at <= now && self.next_look_at <= now
    }

    pub(crate) fn wants_feeler(&self, now: Time) -> bool {
        self.max_outbound > 0 && self.next_feeler_at <= now
    }

    /// A feeler is on its way, or there is nothing to test.
    pub(crate) fn schedule_feeler(&mut self, now: Time, rng: &mut Rng) {
        self.next_feeler_at = now + rng.jitter(self.feeler_interval);
    }

    /// Nobody is there to be dialled.
    pub(crate) fn found_nobody(&mut self, now: Time, rng: &mut Rng) {
        self.next_look_at = now + rng.jitter(NOBODY_INTERVAL);
    }

    /// There is somebody new to be dialled.
    pub(crate) const fn look_again(&mut self) {
        self.next_look_at = Time::ZERO;
    }

    /// Whether seeds are to be asked: nobody is connected, or there is nobody left to be dialled; and
    /// those who are known were given time.
    pub(crate) fn wants_seeds(&self, now: Time, knows_nobody: bool) -> bool {
        let patience = if knows_nobody { Duration::ZERO } else { SEED_DELAY };
        self.lacks_peers() && self.next_seed_at + patience <= now
    }

    fn lacks_peers(&self) -> bool {
        let has_nobody = self.outbound_sessions() == 0;
        let found_nobody = self.next_look_at > Time::ZERO && self.dials() == 0;
        self.missing() > 0 && (has_nobody || found_nobody)
    }

    /// Seeds were asked.
    pub(crate) fn seeds_asked(&mut self, now: Time, rng: &mut Rng) {
        self.next_seed_at = now + rng.jitter(self.seed_interval);
        self.seed_interval = (self.seed_interval * 2).min(MAX_SEED_INTERVAL);
    }

    /// A place that nobody has.
    fn free_slot(&self) -> Option<usize> {
        let is_free = |slot: &usize| !self.opened.iter().any(|(_, it)| it.slot == Some(*slot));
        (self.missing() > 0).then(|| (0..).find(is_free)).flatten()
    }

    pub(crate) fn dialled(&mut self, connection: ConnectionId, mut opened: Opened, now: Time, rng: &mut Rng) {
        if opened.role == Role::Outbound {
            opened.slot = self.free_slot();
        }
        self.opened.insert(connection, opened);
        // The more of them come to nothing, the slower: there may be no network at all.
        let interval = DIAL_INTERVAL.saturating_mul(1 << (self.failures / 8).min(10)).min(MAX_DIAL_INTERVAL);
        if matches!(opened.role, Role::Outbound | Role::Seed) {
            self.next_dial_at = now + rng.jitter(interval);
        }
        if opened.role == Role::Outbound {
            self.next_look_at = Time::ZERO;
        }
    }

    /// A dial led to a session. What it is for, and where it led.
    pub(crate) fn established(&mut self, connection: ConnectionId, now: Time) -> Option<Opened> {
        let opened = self.opened.get_mut(connection)?;
        opened.is_session = true;
        opened.since = now;
        self.failures = 0;
        self.seed_interval = SEED_INTERVAL;
        Some(*opened)
    }

    /// A session that this node chose has ended without anybody's wish.
    pub(crate) fn lose(&mut self, opened: &Opened, now: Time, rng: &mut Rng) {
        let (Some((address, _)), Some(slot)) = (opened.address, opened.slot) else { return };
        self.lost.retain(|it| it.address != address);
        let of_slot = |it: &Lost| it.slot == slot;
        if self.lost.iter().filter(|it| of_slot(it)).count() >= MAX_LOST_OF_A_SLOT
            && let Some(last) = self.lost.iter().rposition(of_slot)
        {
            self.lost.remove(last);
        }
        if self.lost.len() >= MAX_LOST {
            self.lost.remove(0);
        }
        self.lost.push(Lost {
            address,
            slot,
            retry_at: now + rng.jitter(LOST_INTERVAL),
            until: now + LOST_LIFETIME,
        });
    }

    /// There is a session with the peer at this address: if it was lost, its place is settled.
    pub(crate) fn find(&mut self, address: SocketAddr) -> Option<usize> {
        let slot = self.lost.iter().find(|it| it.address == address)?.slot;
        self.lost.retain(|it| it.slot != slot);
        Some(slot)
    }

    /// A peer that was lost, to be dialled now.
    pub(crate) fn take_lost(&mut self, now: Time, rng: &mut Rng) -> Option<SocketAddr> {
        self.lost.retain(|it| it.until > now);
        let due = self.lost.iter_mut().find(|it| it.retry_at <= now)?;
        due.retry_at = now + rng.jitter(LOST_INTERVAL);
        Some(due.address)
    }

    /// A feeler stays as a connection that is kept, if a place is free or it had one before. Who has to
    /// leave that place, or nothing if it does not stay.
    pub(crate) fn promote(&mut self, connection: ConnectionId, before: Option<usize>) -> Option<Promoted> {
        let free = self.free_slot();
        let of_before =
            |slot| self.opened.iter().find(|(_, it)| it.slot == Some(slot)).map(|(id, _)| (slot, id));
        let (slot, leaves) = match free {
            Some(slot) => (slot, None),
            None => before.and_then(of_before).map(|(slot, id)| (slot, Some(id)))?,
        };
        if let Some(left) = leaves.and_then(|id| self.opened.get_mut(id)) {
            left.slot = None;
        }
        let opened = self.opened.get_mut(connection)?;
        opened.role = Role::Outbound;
        opened.slot = Some(slot);
        Some(Promoted { leaves })
    }

    /// A dial came to nothing, or a session ended. What it was.
    pub(crate) fn ended(&mut self, connection: ConnectionId, now: Time) -> Option<Opened> {
        let opened = self.opened.remove(connection)?;
        if !opened.is_session {
            self.failures = self.failures.saturating_add(1);
        }
        if self.outbound_sessions() == 0 && opened.is_session {
            // The patience with those who are known begins anew.
            self.next_seed_at = self.next_seed_at.max(now);
        }
        Some(opened)
    }

    /// When something is to be done.
    pub(crate) fn deadline(&self) -> Option<Time> {
        if self.max_outbound == 0 {
            return None;
        }
        let dial_at = (self.missing() > 0 && self.dials() < MAX_DIALS)
            .then(|| self.next_dial_at.max(self.next_look_at));
        let seed_at = self.lacks_peers().then(|| self.next_seed_at + SEED_DELAY);
        let lost_at = self.lost.iter().map(|it| it.retry_at).min();
        [dial_at, seed_at, lost_at, Some(self.next_feeler_at)].into_iter().flatten().min()
    }
}
