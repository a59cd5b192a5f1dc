//! The peers, and who is asked next.

use alloc::vec::Vec;
use core::time::Duration;

use spacetime_core::chain::HeaderInfo;
use spacetime_core::{ConnectionId, ConnectionMap, Deadlines, Direction, Hash, Peer as Session, Rng, Time};

use super::Asked;
use super::missed::Missed;
use super::pace::Pace;
use crate::config::Config;
use crate::{CAPABILITY, CAPABILITY_VERSION};

/// How long a peer is not asked that failed too often in a row.
const LONG_REST: Duration = Duration::from_secs(600);

/// How long after a peer had a chain that is lighter than the followed one it is asked again.
const LIGHTER_CHAIN_WAIT: Duration = Duration::from_secs(60);

/// How long after a peer had nothing newer for the first time it is asked again; then twice as long
/// each time, up to the configured interval.
const FIRST_POLL_WAIT: Duration = Duration::from_secs(1);

/// How often a peer is believed that says it has something newer: each time costs a list of headers.
const NEWS_INTERVAL: Duration = Duration::from_secs(1);

/// Whoever takes longer for an answer of a few kilobytes is asked for many headers after all others.
const LATE_ANSWER: Duration = Duration::from_secs(1);

/// A peer that has sent no block for so long holds no place of those that blocks are downloaded from.
const SILENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Peer {
    /// The height that it says it has. Nothing but a number to show.
    pub(super) claimed_height: u64,
    /// The height up to which it has shown to have the headers that wait for their blocks.
    pub(super) shown_height: u64,
    /// The last header that it was asked whether it has.
    pub(super) probed: Option<Hash>,
    /// It has been asked for headers and has not answered.
    pub(super) is_asked_for_headers: bool,
    /// When it was last asked for headers.
    pub(super) headers_asked_at: Time,
    /// Until when it holds a place of those that are asked for headers at a time, if it does not answer.
    pub(super) headers_place_until: Time,
    /// How long its last answer took that was little: latency, and how busy its line is.
    latency: Option<Duration>,
    /// Which hash of the locator it is asked for next. A question of version 1 holds one.
    pub(super) locator_index: usize,
    /// It takes a whole locator.
    pub(super) can_locate: bool,
    /// It has answered something.
    pub(super) has_answered: bool,
    /// Blocks it has been asked for and has not sent.
    pub(super) in_flight: usize,
    /// How many those may be.
    pub(super) pace: Pace,
    /// Blocks that it was asked for and did not send. Others are asked for those first.
    pub(super) missed: Missed,
    /// When it last sent a block.
    last_block: Option<Time>,
    /// Since when it has been asked for blocks and has sent none.
    silent_since: Time,
    /// It sent a block that was applied, and has not failed since.
    is_proven: bool,
    /// Failures since it sent a block that was applied.
    failures: u32,
    /// It failed; it is not asked for anything until its deadline is over.
    pub(super) rests: bool,
    /// It has failed too often in a row.
    rests_long: bool,
    /// What it has after the last header that was taken can only be taken later, by the wall clock.
    pub(super) is_ahead_of_clock: bool,
    /// It had nothing newer; it is not asked for headers until its deadline is over.
    pub(super) has_nothing_newer: bool,
    /// Because its chain is not worth following, and whatever it says meanwhile.
    waits_long: bool,
    /// When it was last asked because it said that it had something newer.
    last_news: Option<Time>,
    /// Answers in a row in which it had nothing newer.
    empty_answers: u32,
    /// Its place in the queue: the lowest is asked first.
    place: u64,
    is_version_1: bool,
    /// A version-1 node takes whatever comes next for the answer it waits for: it is asked nothing
    /// while it waits for one of ours.
    waits_for_us: bool,
    /// A version-1 node that connected wants something, and is asked nothing until it is quiet.
    pub(super) comes_to_ask: bool,
    is_inbound: bool,
    last_question: Time,
}

impl Peer {
    pub(super) const fn can_be_asked(&self) -> bool {
        !(self.rests || self.comes_to_ask || self.is_version_1 && self.waits_for_us)
    }

    pub(super) const fn can_be_asked_for_headers(&self) -> bool {
        self.can_be_asked() && !self.is_asked_for_headers
    }

    /// Whether it can be asked for this block: it has shown to have it, and has not failed to send it too
    /// often.
    pub(super) fn can_send(&self, block: &HeaderInfo, max_retries: u32) -> bool {
        self.can_be_asked()
            && self.shown_height >= block.height
            && self.missed.times(block.height, block.hash).is_none_or(|times| times < max_retries)
    }

    /// Whether it sent a block that was applied, and has not failed since.
    pub(super) const fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Whether it has failed too often in a row.
    pub(super) const fn rests_long(&self) -> bool {
        self.rests_long
    }

    /// Whether it has sent good blocks, and soon.
    pub(super) fn is_fast(&self) -> bool {
        self.is_proven && !self.pace.is_slow()
    }

    /// Whom to ask for a block first: who has not failed to send it, and has sent good ones; of those who has
    /// least to do, is fast, and waits longest. Of the others who waits longest, whatever else it is asked
    /// for: those that come again and again have always nothing to do.
    pub(super) fn rank(&self, wanted: &HeaderInfo) -> (Option<u32>, bool, usize, Duration, u64) {
        let missed = self.missed.times(wanted.height, wanted.hash);
        if self.is_proven {
            (missed, false, self.in_flight, self.pace.smoothed(), self.place)
        } else {
            (missed, true, 0, Duration::ZERO, self.place)
        }
    }

    /// It answered a question for headers after so long.
    pub(super) fn answered_headers(&mut self, took: Duration, asked: &Asked, now: Time) {
        self.has_answered = true;
        // Blocks come behind headers.
        self.silent_since = now;
        if !asked.is_for_many_headers() {
            self.latency = Some(took);
        }
    }

    /// Whether it takes long even for little.
    pub(super) fn answers_late(&self) -> bool {
        self.latency.is_some_and(|took| took > LATE_ANSWER)
    }

    /// It sent a block, good or not, so long after it was asked for.
    pub(super) fn sent_block(&mut self, took: Duration, now: Time) {
        self.pace.arrived(took);
        self.last_block = Some(now);
        self.silent_since = now;
    }

    pub(super) fn was_asked_for_block(&mut self, now: Time) {
        if self.in_flight == 0 {
            self.silent_since = now;
        }
        self.in_flight += 1;
    }

    /// Since when it has been asked for blocks and has sent none.
    pub(super) const fn silent_since(&self) -> Time {
        self.silent_since
    }

    /// Whether it has been asked for blocks and sends none: it is asked for no more, and another one is.
    pub(super) fn is_silent(&self, now: Time) -> bool {
        self.in_flight > 0 && self.silent_since + SILENCE <= now
    }

    /// Whether blocks came for as long as an answer may take. Blocks go before headers on their way,
    /// and one before the other.
    pub(super) fn is_sending_blocks(&self, config: &Config, now: Time) -> bool {
        self.last_block.is_some_and(|at| at + config.request_timeout() > now)
    }
}

/// All established peers, in a queue.
///
/// # Security
///
/// A peer that comes stands at the end, and so does one that has had its turn: however many come
/// again and again, and whatever they claim, each of the others has its turn before they have a
/// second one. What is kept of a peer is a few numbers.
#[derive(Debug)]
pub(super) struct Peers {
    map: ConnectionMap<Peer>,
    /// When a peer may be asked again.
    deadlines: Deadlines<ConnectionId>,
    next_place: u64,
    rng: Rng,
}

impl Peers {
    pub(super) const fn new(rng: Rng) -> Self {
        Self { map: ConnectionMap::new(), deadlines: Deadlines::new(), next_place: 0, rng }
    }

    pub(super) fn insert(&mut self, connection: ConnectionId, session: &Session, config: &Config, now: Time) {
        let announced = session.info.announcement.as_ref().and_then(|it| it.best_block);
        let is_version_1 = session.is_version_1();
        let is_inbound = session.direction == Direction::Inbound;
        let peer = Peer {
            claimed_height: announced.map_or(0, |(height, _)| height),
            shown_height: 0,
            probed: None,
            is_asked_for_headers: false,
            headers_asked_at: now,
            headers_place_until: now,
            latency: None,
            locator_index: 0,
            can_locate: session.can(CAPABILITY, CAPABILITY_VERSION),
            has_answered: false,
            in_flight: 0,
            pace: Pace::new(config.max_in_flight_per_peer(), is_version_1),
            missed: Missed::default(),
            last_block: None,
            silent_since: now,
            is_proven: false,
            failures: 0,
            rests: false,
            rests_long: false,
            is_ahead_of_clock: false,
            has_nothing_newer: false,
            waits_long: false,
            last_news: None,
            empty_answers: 0,
            place: self.next_place,
            is_version_1,
            waits_for_us: false,
            comes_to_ask: is_version_1 && is_inbound,
            is_inbound,
            last_question: now,
        };
        if peer.comes_to_ask {
            self.deadlines.set(connection, now + config.poll_interval());
        }
        self.next_place += 1;
        self.map.insert(connection, peer);
    }

    pub(super) fn remove(&mut self, connection: ConnectionId) {
        self.deadlines.cancel(connection);
        self.map.remove(connection);
    }

    pub(super) fn get(&self, connection: ConnectionId) -> Option<&Peer> {
        self.map.get(connection)
    }

    pub(super) fn get_mut(&mut self, connection: ConnectionId) -> Option<&mut Peer> {
        self.map.get_mut(connection)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Peer)> {
        self.map.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    pub(super) fn any(&self, is_it: impl Fn(&Peer) -> bool) -> bool {
        self.map.iter().any(|(_, peer)| is_it(peer))
    }

    pub(super) fn all(&self, is_it: impl Fn(&Peer) -> bool) -> bool {
        self.map.iter().all(|(_, peer)| is_it(peer))
    }

    pub(super) fn count(&self, is_it: impl Fn(&Peer) -> bool) -> usize {
        self.map.iter().filter(|(_, peer)| is_it(peer)).count()
    }

    /// The peers of which something holds, the one that waits longest first.
    pub(super) fn in_turn(&self, is_it: impl Fn(&Peer) -> bool) -> Vec<ConnectionId> {
        self.in_turn_by(is_it, |_| ())
    }

    /// The peers of which something holds, in the order of a rank; of those with the same the one that
    /// waits longest first.
    pub(super) fn in_turn_by<K: Ord>(
        &self,
        is_it: impl Fn(&Peer) -> bool,
        rank: impl Fn(&Peer) -> K,
    ) -> Vec<ConnectionId> {
        let mut found: Vec<_> = self
            .map
            .iter()
            .filter(|(_, peer)| is_it(peer))
            .map(|(connection, peer)| (rank(peer), peer.place, connection))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, _, connection)| connection).collect()
    }

    /// A peer has had its turn.
    pub(super) fn end_turn(&mut self, connection: ConnectionId) {
        if let Some(peer) = self.map.get_mut(connection) {
            peer.place = self.next_place;
            self.next_place += 1;
        }
    }

    /// The headers after a height were forgotten; nobody has shown to have the next ones.
    pub(super) fn forget_shown_after(&mut self, height: u64) {
        for (_, peer) in self.map.iter_mut() {
            peer.shown_height = peer.shown_height.min(height);
            peer.probed = None;
        }
    }

    /// Those blocks are not to be asked for any more.
    pub(super) fn forget_missed(&mut self) {
        self.map.iter_mut().for_each(|(_, peer)| peer.missed = Missed::default());
    }

    /// Whoever had nothing newer is asked again.
    pub(super) fn ask_all_again(&mut self) {
        for (_, peer) in self.map.iter_mut() {
            peer.has_nothing_newer = false;
            peer.waits_long = false;
        }
    }

    /// A block that a peer sent was applied.
    pub(super) fn set_proven(&mut self, connection: ConnectionId) {
        if let Some(peer) = self.map.get_mut(connection) {
            peer.is_proven = true;
            peer.failures = 0;
        }
    }

    /// A peer had nothing newer: it is asked again after a while.
    pub(super) fn wait_for_newer(&mut self, connection: ConnectionId, config: &Config, now: Time) {
        self.end_turn(connection);
        let Some(peer) = self.map.get_mut(connection) else { return };
        peer.has_nothing_newer = true;
        peer.locator_index = 0;
        // Who has nothing newer may be synchronising itself: it is asked again soon at first.
        let wait = FIRST_POLL_WAIT.saturating_mul(1 << peer.empty_answers.min(10));
        peer.empty_answers = peer.empty_answers.saturating_add(1);
        if !peer.rests {
            let again = now + self.rng.jitter(wait.min(config.poll_interval()));
            self.deadlines.set_earlier(connection, again);
        }
    }

    /// A peer has a chain that is not worth following: it is asked again after a while. Not when it has news,
    /// or it would have another useless list of headers taken with each hash that it makes up.
    pub(super) fn wait_long(&mut self, connection: ConnectionId, now: Time) {
        self.end_turn(connection);
        if let Some(peer) = self.map.get_mut(connection) {
            peer.has_nothing_newer = true;
            peer.waits_long = true;
            peer.locator_index = 0;
            if !peer.rests {
                self.deadlines.set(connection, now + self.rng.jitter(LIGHTER_CHAIN_WAIT));
            }
        }
    }

    /// A peer has shown to have the headers up to a height.
    pub(super) fn has_shown(&mut self, connection: ConnectionId, height: u64) {
        if let Some(peer) = self.map.get_mut(connection) {
            peer.shown_height = peer.shown_height.max(height);
        }
    }

    /// A peer had something newer.
    pub(super) fn gave_headers(&mut self, connection: ConnectionId) {
        if let Some(peer) = self.map.get_mut(connection) {
            peer.empty_answers = 0;
        }
    }

    /// A peer says that it has something newer: it is asked at once, or a second after the last time.
    pub(super) fn has_news(&mut self, connection: ConnectionId, now: Time) {
        let Some(peer) = self.map.get_mut(connection) else { return };
        if !peer.has_nothing_newer || peer.waits_long || !peer.can_be_asked() {
            return;
        }
        let at = peer.last_news.map_or(now, |last| now.max(last + NEWS_INTERVAL));
        if at == now {
            peer.has_nothing_newer = false;
            self.deadlines.cancel(connection);
        } else if self.deadlines.get(connection).is_some_and(|before| before <= at) {
            // It is asked before that anyway.
            return;
        } else {
            self.deadlines.set(connection, at);
        }
        peer.last_news = Some(at);
    }

    /// A peer sends more slowly than it is asked.
    pub(super) fn ask_for_less(&mut self, connection: ConnectionId) {
        self.end_turn(connection);
        if let Some(peer) = self.map.get_mut(connection) {
            peer.is_proven = false;
            peer.pace.missed();
        }
    }

    /// A peer failed: it is asked nothing for a while, and for a long while if it goes on like this.
    pub(super) fn rest_after_failure(&mut self, connection: ConnectionId, config: &Config, now: Time) {
        let Some(peer) = self.map.get_mut(connection) else { return };
        peer.failures = peer.failures.saturating_add(1);
        peer.is_proven = false;
        peer.pace.missed();
        let rest = if peer.failures >= config.max_retries() {
            // After which it begins anew.
            peer.failures = 0;
            peer.missed = Missed::default();
            peer.rests_long = true;
            LONG_REST
        } else {
            config.poll_interval() * peer.failures
        };
        self.rest(connection, rest, now);
    }

    /// A peer is asked nothing for about so long.
    pub(super) fn rest(&mut self, connection: ConnectionId, rest: Duration, now: Time) {
        self.end_turn(connection);
        if let Some(peer) = self.map.get_mut(connection) {
            peer.rests = true;
            self.deadlines.set(connection, now + self.rng.jitter(rest));
        }
    }

    /// A peer has asked us something, or has got all its answers. Whether that changes whether it
    /// can be asked.
    pub(super) fn set_waits_for_us(
        &mut self,
        connection: ConnectionId,
        waits: bool,
        config: &Config,
        now: Time,
    ) -> bool {
        let Some(peer) = self.map.get_mut(connection).filter(|peer| peer.is_version_1) else { return false };
        let could_be_asked = peer.can_be_asked();
        peer.waits_for_us = waits;
        if waits && peer.is_inbound {
            peer.last_question = now;
            peer.comes_to_ask = true;
            if self.deadlines.get(connection).is_none() {
                self.deadlines.set(connection, now + config.poll_interval());
            }
        }
        peer.can_be_asked() != could_be_asked
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }

    pub(super) fn on_deadline(&mut self, config: &Config, now: Time) {
        while let Some(connection) = self.deadlines.pop_due(now) {
            let Some(peer) = self.map.get_mut(connection) else { continue };
            peer.rests = false;
            peer.rests_long = false;
            peer.has_nothing_newer = false;
            peer.waits_long = false;
            let quiet_at = peer.last_question + config.poll_interval();
            if peer.comes_to_ask && quiet_at > now {
                self.deadlines.set(connection, quiet_at);
            } else {
                peer.comes_to_ask = false;
            }
        }
    }
}
