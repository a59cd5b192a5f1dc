//! What others are told, and what outlives the process.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use spacetime_core::{Context, Signal, Time};

use crate::bans::MAX_BANS;
use crate::behaviour::{Event, MAX_TRUSTED, Peers, STORE_DELAY, STORE_INTERVAL};
use crate::book::{MAX_SAMPLE, Record};
use crate::pool::Role;
use crate::state::State;

/// How long what may be shared stays the same, for a book that does not grow: so that nobody learns by
/// asking often who is in it, or when a peer is added (Bitcoin Core: 21 to 27 hours).
const SHARE_INTERVAL: Duration = Duration::from_secs(21 * 3600);
/// A book that is smaller, or in which twice as many addresses were reached, is shared again after so
/// long.
const SHARE_DELAY: Duration = Duration::from_secs(2);
const SMALL_BOOK: usize = 100;

/// How long after it has doubled the book is stored: what a first start found out is not lost with a
/// power failure.
const STORE_GROWTH_DELAY: Duration = Duration::from_secs(10);

impl Peers {
    pub(crate) fn restore(&mut self, state: State) {
        let State { bucket_key: _, anchors, bans, trusted, standings } = state;
        for ban in bans.into_iter().take(MAX_BANS) {
            self.bans.add(ban, self.unix_seconds);
        }
        self.trusted.extend(trusted.into_iter().take(MAX_TRUSTED));
        self.reputation.restore(standings, self.unix_seconds);
        let rules = self.config.book.rules;
        let may_be_dialled = |address: &SocketAddr| rules.check(*address).is_ok();
        self.anchors = anchors.into_iter().filter(may_be_dialled).take(self.config.max_anchors).collect();
        self.pool.dial_first = self.anchors.iter().rev().copied().collect();
    }

    /// The book as it is to be stored: who is connected was seen now, or a peer that stays for a month
    /// would be worth nothing after a crash.
    pub fn records(&self) -> Vec<Record> {
        let sessions = self.pool.iter().filter(|(_, it)| it.is_session);
        let connected: BTreeSet<_> = sessions.filter_map(|(_, it)| Some(it.address?.0)).collect();
        let as_of_now = |mut record: Record| {
            if connected.contains(&record.address) {
                record.last_seen = record.last_seen.max(self.unix_seconds);
            }
            record
        };
        self.book.records().map(as_of_now).collect()
    }

    /// What is to be stored beside the book.
    pub fn state(&self) -> State {
        State {
            bucket_key: self.book.key().clone(),
            anchors: self.anchors.clone(),
            bans: self.bans.iter(self.unix_seconds).collect(),
            trusted: self.trusted.iter().cloned().collect(),
            standings: self.reputation.standings(self.unix_seconds),
        }
    }

    /// The connections that this node chose are others than before: whom to dial first after a
    /// restart. Those connected for longest, and those of before for as long as there are too few:
    /// a node that lost its network, or stops, had good peers all the same.
    pub(crate) fn connections_changed(&mut self, now: Time) {
        let mut chosen: Vec<_> = self
            .pool
            .iter()
            .filter(|(_, it)| it.is_session && matches!(it.role, Role::Outbound | Role::Kept))
            .filter_map(|(_, it)| Some((it.since, it.address?.0)))
            .collect();
        chosen.sort_unstable();
        let mut anchors: Vec<_> = chosen.into_iter().map(|(_, address)| address).collect();
        for before in &self.anchors {
            if !anchors.contains(before) {
                anchors.push(*before);
            }
        }
        anchors.truncate(self.config.max_anchors);
        if anchors != self.anchors {
            self.anchors = anchors;
            self.state_changed(now + STORE_DELAY);
        }
    }

    /// The book has changed: it is to be stored, and shared if it is small or much more of it was
    /// reached than before.
    pub(crate) fn book_changed(&mut self, now: Time) {
        self.store_book_at.get_or_insert(now + STORE_INTERVAL);
        if self.book.len() <= SMALL_BOOK || self.book.tried_len() / 2 >= self.shared_of {
            self.share_at = self.share_at.min(now + SHARE_DELAY);
        }
        if self.book.len() / 2 >= self.stored_of {
            let at = now + STORE_GROWTH_DELAY;
            self.store_book_at = Some(self.store_book_at.map_or(at, |before| before.min(at)));
        }
    }

    pub(crate) fn state_changed(&mut self, at: Time) {
        self.store_state_at = Some(self.store_state_at.map_or(at, |before| before.min(at)));
    }

    pub(crate) fn share(&mut self, cx: &mut Context<'_, Event>) {
        let now = self.now(cx);
        let addresses: Arc<[SocketAddr]> = self.book.sample(MAX_SAMPLE, now).into();
        self.shared_of = self.book.tried_len();
        self.share_at = now.time + self.rng.jitter(SHARE_INTERVAL);
        cx.signal(Signal::AddressesToShare(addresses));
    }

    pub(crate) fn store(&mut self, cx: &mut Context<'_, Event>) {
        let now = self.now(cx).time;
        if self.store_book_at.is_some_and(|at| at <= now) {
            self.store_book_at = None;
            self.stored_of = self.book.len();
            cx.emit(Event::StoreBook(self.records()));
        }
        if self.store_state_at.is_some_and(|at| at <= now) {
            self.store_state_at = None;
            cx.emit(Event::StoreState(Box::new(self.state())));
        }
    }
}
