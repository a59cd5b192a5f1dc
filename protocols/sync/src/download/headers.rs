//! Headers: from whom, and what they are.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use spacetime_core::chain::{ChainRules, HeaderInfo, InvalidObject, MAX_AHEAD_SECONDS};
use spacetime_core::wire::{GetHeaders, Headers, Locate, MAX_LOCATOR_HASHES, MessageType};
use spacetime_core::{ConnectionId, Context, Expect, Offence, RequestId, SendError, Time, Violation};

use super::peers::Peer;
use super::{Asked, Downloader, Request};
use crate::config::MAX_WAITING_HEADERS;
use crate::effect::Event;

/// How long one peer is waited for alone, where another could be asked. An answer that comes later
/// is used all the same.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// The same while more headers wait than a window of blocks has: nothing is held up, and on a line
/// that is full of blocks headers take long.
const LONG_PATIENCE: Duration = Duration::from_secs(15);

/// For so long a peer that was asked holds one of the places of those that are asked at a time. More
/// than 2000 headers take over a line of 1 Mbit/s.
const PLACE_TIME: Duration = Duration::from_secs(5);

/// The same for those that were asked for little.
const SHORT_PLACE_TIME: Duration = Duration::from_secs(1);

/// Headers that a peer is asked for at first, and that one is asked for which seems to have another chain:
/// 5 KB, of which many can be under way at once, and that tell a chain that was made up from one that is
/// worth asking for.
pub(super) const FIRST_HEADERS: usize = 16;

/// What a peer is asked next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    /// Whether it has the last header that is known.
    Probe,
    /// The first headers that it has and we have not.
    First,
    /// As many headers as there may be.
    Many,
}

/// What is in a list of headers.
#[derive(Default)]
struct Taken {
    /// The last one that is a part of the followed chain.
    known: Option<HeaderInfo>,
    /// The block that the new ones follow.
    fork: Option<HeaderInfo>,
    /// The new ones.
    fresh: Vec<HeaderInfo>,
    /// Not all were taken.
    is_cut: bool,
    /// Because they are too far ahead of the wall clock.
    is_ahead_of_clock: bool,
}

impl<R: ChainRules> Downloader<R> {
    pub(crate) fn on_headers(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        request: RequestId,
        headers: Headers<'_>,
    ) -> Result<(), Violation> {
        let ended = self.end_request(request);
        if let Some(ended) = &ended
            && let Some(peer) = self.peers.get_mut(from)
        {
            peer.answered_headers(cx.now().since(ended.asked_at), &ended.asked, cx.now());
        }
        let result = match ended.map(|request| request.asked) {
            Some(Asked::Headers { locator, max_headers }) => {
                self.take_headers(cx, from, &locator, max_headers, headers)
            }
            Some(Asked::Probe(head)) => self.take_probe(from, &head, headers),
            Some(Asked::Block { .. } | Asked::Trial { .. }) | None => Ok(()),
        };
        self.go_on(cx);
        result
    }

    fn take_headers(
        &mut self,
        cx: &Context<'_, Event>,
        from: ConnectionId,
        locator: &[HeaderInfo],
        max_headers: usize,
        headers: Headers<'_>,
    ) -> Result<(), Violation> {
        if headers.len() > max_headers {
            return Err(Violation::fatal(Offence::TooMuch("headers in one answer")));
        }
        if self.is_stopped {
            return Ok(());
        }
        // What came before a bad header was good and is kept: others may have it too.
        let mut taken = Taken::default();
        let latest = cx.unix_seconds().saturating_add(MAX_AHEAD_SECONDS);
        let result = self.read_headers(from, locator, headers, latest, &mut taken);
        let Taken { known, fork, fresh, is_cut, is_ahead_of_clock } = taken;
        if let Some(peer) = self.peers.get_mut(from) {
            peer.is_ahead_of_clock = is_ahead_of_clock;
        }
        let is_last = is_cut || result.is_err() || headers.len() < max_headers;
        if let Some(known) = known {
            self.peers.has_shown(from, known.height);
        }
        match fork {
            Some(fork) => {
                self.peers.gave_headers(from);
                if fork.hash == self.followed.head().hash {
                    self.extend(from, &fresh, is_last);
                } else {
                    self.offer_rival(cx, from, fork, fresh, is_last);
                }
                if is_last {
                    self.peers.wait_for_newer(from, &self.config, cx.now());
                }
            }
            None => self.had_nothing_new(cx, from, locator, headers.is_empty(), is_last),
        }
        result.map_err(|error| Violation::fatal(Offence::InvalidHeader(error)))
    }

    /// Reads headers until one is bad.
    fn read_headers(
        &self,
        from: ConnectionId,
        locator: &[HeaderInfo],
        headers: Headers<'_>,
        latest: i64,
        taken: &mut Taken,
    ) -> Result<(), InvalidObject> {
        let mut last = None;
        for header in headers.iter() {
            let info = self.rules.read_header(header)?;
            let asked = || locator.iter().find(|block| block.hash == info.parent).copied();
            let parent = last.or_else(asked).ok_or(InvalidObject::Parent)?;
            self.rules.check_link(&parent, &info)?;
            let is_rival = || self.rival_of(from).is_some_and(|rival| rival.head().hash == parent.hash);
            if last.is_none() && !self.followed.has(parent.height, parent.hash) && !is_rival() {
                // The chain has gone elsewhere since the question; the answer is of no use.
                return Ok(());
            }
            taken.is_ahead_of_clock = info.timestamp > latest;
            if taken.is_ahead_of_clock || self.marks.contains(&info.hash) {
                taken.is_cut = true;
                return Ok(());
            }
            if taken.fresh.is_empty() && self.followed.has(info.height, info.hash) {
                taken.known = Some(info);
            } else {
                taken.fork = taken.fork.or(Some(parent));
                taken.fresh.push(info);
            }
            last = Some(info);
        }
        Ok(())
    }

    /// More headers of the followed chain.
    fn extend(&mut self, from: ConnectionId, fresh: &[HeaderInfo], is_last: bool) {
        let room = MAX_WAITING_HEADERS.saturating_sub(self.followed.window.len());
        fresh.iter().take(room).for_each(|info| self.followed.window.push(*info));
        self.may_have_more = !is_last || fresh.len() > room;
        self.peers.has_shown(from, self.followed.head().height);
    }

    fn had_nothing_new(
        &mut self,
        cx: &Context<'_, Event>,
        from: ConnectionId,
        locator: &[HeaderInfo],
        is_empty: bool,
        is_last: bool,
    ) {
        let head = *self.followed.head();
        let may_be_elsewhere = {
            let hashes = self.followed.locator();
            let Some(peer) = self.peers.get_mut(from) else { return };
            let has_more_to_ask = !peer.can_locate && peer.locator_index + 1 < hashes.len();
            is_empty && peer.shown_height < head.height && has_more_to_ask
        };
        if may_be_elsewhere {
            // It does not know the last block: its chain parts from ours somewhere before.
            if let Some(peer) = self.peers.get_mut(from) {
                peer.locator_index += 1;
            }
            return;
        }
        if is_empty && locator.first() == Some(&head) {
            self.may_have_more = false;
        }
        if is_last {
            self.peers.wait_for_newer(from, &self.config, cx.now());
        } else if let Some(peer) = self.peers.get_mut(from) {
            peer.locator_index = 0;
        }
    }

    fn take_probe(
        &mut self,
        from: ConnectionId,
        head: &HeaderInfo,
        headers: Headers<'_>,
    ) -> Result<(), Violation> {
        if headers.len() > 1 {
            return Err(Violation::fatal(Offence::TooMuch("headers in one answer")));
        }
        let answered = headers.iter().next().map(|header| self.rules.read_header(header)).transpose();
        let info = answered.map_err(|error| Violation::fatal(Offence::InvalidHeader(error)))?;
        let Some(info) = info else { return Ok(()) };
        if info.parent != head.parent {
            return Err(Violation::fatal(Offence::InvalidHeader(InvalidObject::Parent)));
        }
        // Another header after the same parent shows that it has the parent.
        let (height, hash) =
            if info.hash == head.hash { (head.height, head.hash) } else { (head.height - 1, head.parent) };
        if self.followed.has(height, hash) {
            self.peers.has_shown(from, height);
        }
        Ok(())
    }

    /// Headers are cheap to make up. They are forgotten if there are peers to ask and none of them
    /// vouches for the next one; and those who did have had their turn.
    pub(super) fn drop_headers_without_blocks(&mut self) {
        let window = &self.followed.window;
        let Some(next) = window.next().filter(|_| window.next_is_wanted() && self.trying.is_none()) else {
            return;
        };
        let (head, next) = (self.followed.head().hash, *next);
        let max_retries = self.config.max_retries();
        let is_hope = |peer: &Peer| {
            peer.can_send(&next, max_retries) || peer.is_asked_for_headers || peer.probed != Some(head)
        };
        let is_vain = !self.peers.any(|peer| peer.can_be_asked() && is_hope(peer));
        if is_vain && self.peers.any(Peer::can_be_asked) {
            for connection in self.peers.in_turn(|peer| peer.shown_height >= next.height) {
                self.peers.end_turn(connection);
            }
            if self.is_refused {
                self.marks.insert(next.hash);
            }
            self.forget_headers();
        }
    }

    /// Asks for headers: whoever is new for the first few, and those that have not shown to have the
    /// blocks that are wanted for the last header that is known, all at once, for that is little; for many
    /// one peer at a time, and one more if that takes long.
    pub(super) fn ask_for_headers(&mut self, cx: &mut Context<'_, Event>) {
        let max_headers = self.config.max_headers_per_request();
        let head = *self.followed.head();
        let knows_headers = self.followed.window.len() > 0;
        let has_room = self.followed.window.len() + max_headers <= MAX_WAITING_HEADERS;
        let mut may_ask = self.headers_asked.is_none();
        let rivals_below = self.rivals_below();
        for (from, end) in self.rivals_that_want_headers() {
            if may_ask && self.peers.get_mut(from).is_some_and(|peer| peer.can_be_asked_for_headers()) {
                may_ask = !self.request_headers(cx, from, vec![end], max_headers);
            }
        }
        let next_question = |peer: &Peer| {
            let has_head = peer.shown_height >= head.height;
            let is_unsure = knows_headers && !has_head && peer.probed != Some(head.hash);
            if !peer.can_be_asked_for_headers() {
                None
            } else if is_unsure {
                Some(Question::Probe)
            } else if peer.has_nothing_newer {
                None
            } else if !knows_headers && !peer.has_answered
                || knows_headers && !has_head && peer.shown_height < rivals_below
            {
                Some(Question::First)
            } else {
                (may_ask && has_room && (has_head || !knows_headers)).then_some(Question::Many)
            }
        };
        let candidates = self.peers.in_turn_by(
            |peer| next_question(peer).is_some(),
            // Headers that come behind blocks take long.
            |peer| (!peer.has_answered, peer.answers_late(), peer.in_flight > 0),
        );
        let now = cx.now();
        let holds_place = |peer: &Peer| peer.is_asked_for_headers && peer.headers_place_until > now;
        let mut places = self.config.max_peers().saturating_sub(self.peers.count(holds_place));
        self.place_free_at = None;
        for connection in candidates {
            if places == 0 {
                let held = self.peers.iter().filter(|(_, peer)| holds_place(peer));
                self.place_free_at = held.map(|(_, peer)| peer.headers_place_until).min();
                return;
            }
            let is_rival = self.rival_of(connection).is_some();
            let question = self.peers.get_mut(connection).and_then(|peer| next_question(peer));
            let is_asked = match question {
                Some(Question::Probe) => self.request_probe(cx, connection, head),
                Some(Question::First) if !is_rival => {
                    let locator = self.question_for(connection);
                    self.request_headers(cx, connection, locator, max_headers.min(FIRST_HEADERS))
                }
                Some(Question::Many) if !is_rival && self.headers_asked.is_none() => {
                    let locator = self.question_for(connection);
                    self.request_headers(cx, connection, locator, max_headers)
                }
                _ => false,
            };
            places -= usize::from(is_asked);
        }
    }

    /// The blocks of which a peer is asked for the headers after the first that it has. A question of
    /// version 1 holds only one.
    fn question_for(&mut self, connection: ConnectionId) -> Vec<HeaderInfo> {
        let head = *self.followed.head();
        let Some(peer) = self.peers.get_mut(connection) else { return Vec::new() };
        if peer.shown_height >= head.height {
            return vec![head];
        }
        let mut locator = self.followed.locator();
        locator.truncate(MAX_LOCATOR_HASHES);
        if !peer.can_locate {
            let shown = self.followed.at(peer.shown_height).filter(|_| peer.shown_height > 0);
            let asked = match shown {
                Some(shown) if peer.locator_index == 0 => *shown,
                _ => locator.get(peer.locator_index).copied().unwrap_or(head),
            };
            locator = vec![asked];
        }
        locator
    }

    fn request_probe(&mut self, cx: &mut Context<'_, Event>, to: ConnectionId, head: HeaderInfo) -> bool {
        let message = GetHeaders { locator: head.parent, stop: None, max_headers: 1 };
        let sent = cx.request(to, &message, self.expect_headers());
        let is_asked = self.was_asked_for_headers(cx, to, sent, Asked::Probe(head), SHORT_PLACE_TIME);
        if let Some(peer) = self.peers.get_mut(to).filter(|_| is_asked) {
            peer.probed = Some(head.hash);
        }
        is_asked
    }

    /// Whether the peer was asked.
    fn request_headers(
        &mut self,
        cx: &mut Context<'_, Event>,
        to: ConnectionId,
        locator: Vec<HeaderInfo>,
        max_headers: usize,
    ) -> bool {
        let limit = i32::try_from(max_headers).unwrap_or(i32::MAX);
        let expect = self.expect_headers();
        let sent = match &*locator {
            [] => return false,
            [block] => {
                let message = GetHeaders { locator: block.hash, stop: None, max_headers: limit };
                cx.request(to, &message, expect)
            }
            blocks => {
                let hashes: Vec<_> = blocks.iter().map(|block| block.hash).collect();
                cx.request(to, &Locate { locator: hashes[..].into(), max_headers: limit }, expect)
            }
        };
        let extends = *locator == [*self.followed.head()];
        let asked = Asked::Headers { locator, max_headers };
        let is_many = asked.is_for_many_headers();
        let place_time = if is_many { PLACE_TIME } else { SHORT_PLACE_TIME };
        let is_asked = self.was_asked_for_headers(cx, to, sent, asked, place_time);
        if is_asked && is_many {
            self.headers_asked = Some((cx.now(), extends));
        }
        is_asked
    }

    /// When another peer is asked for headers, if the last one has not answered.
    pub(super) fn next_headers_at(&self) -> Option<Time> {
        let (asked_at, extends) = self.headers_asked?;
        let is_well_off = extends && self.followed.window.len() > self.config.max_window_blocks();
        Some(asked_at + if is_well_off { LONG_PATIENCE } else { PATIENCE })
    }

    const fn expect_headers(&self) -> Expect {
        Expect { answer: MessageType::HEADERS, object_id: None, timeout: self.config.request_timeout() }
    }

    fn was_asked_for_headers(
        &mut self,
        cx: &Context<'_, Event>,
        to: ConnectionId,
        sent: Result<RequestId, SendError>,
        asked: Asked,
        place_time: Duration,
    ) -> bool {
        match sent {
            Ok(request) => {
                self.requests.insert(request, Request::new(to, asked, cx.now()));
                if let Some(peer) = self.peers.get_mut(to) {
                    peer.is_asked_for_headers = true;
                    peer.headers_asked_at = cx.now();
                    peer.headers_place_until = cx.now() + place_time;
                }
                true
            }
            // The queue is full, or too many requests were given up: later, if at all.
            Err(SendError::Full | SendError::Closed) => {
                self.peers.rest(to, self.config.poll_interval(), cx.now());
                false
            }
            Err(error) => {
                debug_assert!(false, "a question for headers can always be encoded: {error}");
                false
            }
        }
    }
}
