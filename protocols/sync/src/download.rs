//! Downloading: whom to ask for what.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use spacetime_core::chain::{ChainRules, HeaderInfo, InvalidObject};
use spacetime_core::wire::{Frame, GetBlock, GetHeaders, Headers, MessageType};
use spacetime_core::{
    CloseReason, ConnectionId, ConnectionMap, Context, Deadlines, Direction, Expect, Hash, Offence,
    RequestError, RequestId, Rng, SendError, Signal, Time, Violation,
};

use super::config::Config;
use super::effect::Event;
use super::progress::{Progress, State};
use super::window::Window;

/// Headers that may wait for their blocks: two messages full, so that one is downloaded while the
/// blocks of the other are.
const MAX_WAITING_HEADERS: usize = 4000;

/// How long a peer is not asked that failed too often in a row.
const LONG_REST: Duration = Duration::from_secs(600);

/// How long after a peer had nothing newer for the first time it is asked again; then twice as long
/// each time, up to the configured interval.
const FIRST_POLL_WAIT: Duration = Duration::from_secs(1);

/// The size that blocks are expected to have before one has arrived.
const FIRST_EXPECTED_BYTES: usize = 64 * 1024;

/// What a request asked for.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// The headers after this one.
    Headers(HeaderInfo),
    /// Whether the peer has this header.
    Probe(HeaderInfo),
    /// This block.
    Block { height: u64, hash: Hash },
}

#[derive(Debug)]
struct Peer {
    /// The height that it says it has. Ranks whom to ask for headers, and nothing else.
    claimed_height: u64,
    /// The height up to which it has shown to have the chain that we download.
    shown_height: u64,
    /// It has been asked for headers and has not answered.
    asked_headers: bool,
    /// The last header that it was asked whether it has.
    probed: Option<Hash>,
    /// Blocks it has been asked for and has not sent.
    in_flight: usize,
    /// Failures in a row.
    failures: u32,
    /// Answers in a row in which it had nothing newer.
    empty_answers: u32,
    /// It had nothing newer, or failed; it is not asked for headers until its deadline is over.
    has_nothing_newer: bool,
    /// It failed; it is not asked for anything until its deadline is over.
    rests: bool,
    /// A version-1 node takes whatever comes next for the answer it waits for.
    is_version_1: bool,
    /// It has asked us something and waits for the answer.
    waits_for_us: bool,
}

impl Peer {
    const fn can_be_asked(&self) -> bool {
        !(self.rests || self.is_version_1 && self.waits_for_us)
    }
}

#[derive(Debug)]
pub(crate) struct Downloader<R> {
    config: Config,
    rules: R,
    rng: Rng,
    window: Window,
    peers: ConnectionMap<Peer>,
    /// When a peer may be asked again.
    deadlines: Deadlines<ConnectionId>,
    requests: BTreeMap<RequestId, Asked>,
    is_stopped: bool,
    state: State,
    /// Smoothed size of the blocks that arrived.
    expected_bytes: usize,
    downloaded_blocks: u64,
    downloaded_bytes: u64,
    applied_blocks: u64,
}

impl<R: ChainRules> Downloader<R> {
    pub(crate) fn new(config: Config, rules: R, tip: HeaderInfo, rng: Rng) -> Self {
        Self {
            config,
            rules,
            rng,
            window: Window::new(tip),
            peers: ConnectionMap::new(),
            deadlines: Deadlines::new(),
            requests: BTreeMap::new(),
            is_stopped: false,
            state: State::Idle,
            expected_bytes: FIRST_EXPECTED_BYTES,
            downloaded_blocks: 0,
            downloaded_bytes: 0,
            applied_blocks: 0,
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        let tip = self.window.tip();
        let header_height = self.window.head().height;
        let believed = self.peers.iter().filter(|(_, peer)| !peer.has_nothing_newer && peer.can_be_asked());
        let claimed = believed.map(|(_, peer)| peer.claimed_height).max().unwrap_or(0);
        Progress {
            state: self.state,
            height: tip.height,
            tip: tip.hash,
            header_height,
            target_height: header_height.max(claimed),
            downloaded_blocks: self.downloaded_blocks,
            downloaded_bytes: self.downloaded_bytes,
            applied_blocks: self.applied_blocks,
            in_flight: self.window.in_flight(),
        }
    }

    pub(crate) fn on_established(&mut self, cx: &mut Context<'_, Event>, connection: ConnectionId) {
        if self.peers.len() >= self.config.max_peers() {
            return;
        }
        let Some(session) = cx.peer(connection) else { return };
        let announced = session.info.announcement.as_ref().and_then(|it| it.best_block);
        let claimed_height = announced.map_or(0, |(height, _)| height);
        let is_version_1 = session.is_version_1();
        // A version-1 node that connects wants something, and is not disturbed until it is quiet.
        let comes_to_ask = is_version_1 && session.direction == Direction::Inbound;
        let peer = Peer {
            claimed_height,
            shown_height: 0,
            asked_headers: false,
            probed: None,
            in_flight: 0,
            failures: 0,
            empty_answers: 0,
            has_nothing_newer: comes_to_ask,
            rests: false,
            is_version_1,
            waits_for_us: false,
        };
        self.peers.insert(connection, peer);
        if comes_to_ask {
            self.deadlines.set(connection, cx.now() + self.config.poll_interval());
        }
        self.go_on(cx);
    }

    pub(crate) fn on_closed(&mut self, cx: &mut Context<'_, Event>, connection: ConnectionId) {
        self.deadlines.cancel(connection);
        if self.peers.remove(connection).is_some() {
            // A place is free for a peer that came later.
            let waiting = cx.peers().map(|(id, _)| id).find(|id| !self.peers.contains(*id));
            if let Some(next) = waiting {
                self.on_established(cx, next);
            }
        }
        self.go_on(cx);
    }

    /// A peer waits for answers of ours, or has got them all.
    pub(crate) fn set_waits_for_us(
        &mut self,
        cx: &mut Context<'_, Event>,
        connection: ConnectionId,
        waits: bool,
    ) {
        let Some(peer) = self.peers.get_mut(connection) else { return };
        if core::mem::replace(&mut peer.waits_for_us, waits) != waits && peer.is_version_1 {
            self.go_on(cx);
        }
    }

    /// A peer has a block that nobody asked it for.
    pub(crate) fn on_announced(&mut self, cx: &mut Context<'_, Event>, from: ConnectionId, block: &[u8]) {
        let is_known = R::block_id(block)
            .is_none_or(|hash| hash == self.window.tip().hash || hash == self.window.head().hash);
        let Some(peer) = self.peers.get_mut(from) else { return };
        if !is_known && peer.has_nothing_newer && peer.can_be_asked() {
            peer.has_nothing_newer = false;
            self.deadlines.cancel(from);
            self.go_on(cx);
        }
    }

    pub(crate) fn on_headers(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        request: RequestId,
        headers: Headers<'_>,
    ) -> Result<(), Violation> {
        let asked = self.requests.remove(&request);
        let Some(peer) = self.peers.get_mut(from) else { return Ok(()) };
        peer.asked_headers = false;
        let result = match asked {
            Some(Asked::Headers(after)) => self.take_headers(cx, from, after, headers),
            Some(Asked::Probe(head)) => self.take_probe(from, &head, headers),
            Some(Asked::Block { .. }) | None => Ok(()),
        };
        self.go_on(cx);
        result
    }

    fn take_headers(
        &mut self,
        cx: &Context<'_, Event>,
        from: ConnectionId,
        after: HeaderInfo,
        headers: Headers<'_>,
    ) -> Result<(), Violation> {
        let max_headers = self.config.max_headers_per_request();
        if headers.len() > max_headers {
            return Err(Violation::fatal(Offence::TooMuch("headers in one answer")));
        }
        if self.window.head().hash != after.hash || self.is_stopped {
            // The chain has gone elsewhere meanwhile; the answer is of no use.
            return Ok(());
        }
        for header in headers.iter() {
            // What came before a bad header was good and is kept: others may have it too.
            let info =
                self.check_header(header).map_err(|error| Violation::fatal(Offence::InvalidHeader(error)))?;
            self.window.push(info);
        }
        let height = self.window.head().height;
        if let Some(peer) = self.peers.get_mut(from)
            && !headers.is_empty()
        {
            peer.shown_height = height;
            peer.empty_answers = 0;
        }
        if headers.len() < max_headers {
            self.rest_from_headers(cx, from);
        }
        Ok(())
    }

    fn check_header(&self, header: &[u8]) -> Result<HeaderInfo, InvalidObject> {
        let info = self.rules.read_header(header)?;
        self.rules.check_link(self.window.head(), &info)?;
        Ok(info)
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
        if let Some(peer) = self.peers.get_mut(from) {
            // Another header after the same parent shows that it has the parent.
            let shown_height = if info.hash == head.hash { head.height } else { head.height - 1 };
            peer.shown_height = peer.shown_height.max(shown_height);
        }
        Ok(())
    }

    /// A peer had nothing newer: it is asked again after a while.
    fn rest_from_headers(&mut self, cx: &Context<'_, Event>, connection: ConnectionId) {
        if let Some(peer) = self.peers.get_mut(connection) {
            peer.has_nothing_newer = true;
            // Who has nothing newer may be synchronising itself: it is asked again soon at first.
            let wait = FIRST_POLL_WAIT.saturating_mul(1 << peer.empty_answers.min(10));
            peer.empty_answers = peer.empty_answers.saturating_add(1);
            let again = cx.now() + self.rng.jitter(wait.min(self.config.poll_interval()));
            self.deadlines.set_earlier(connection, again);
        }
    }

    pub(crate) fn on_block(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        request: RequestId,
        frame: &Frame,
    ) {
        let Some(Asked::Block { height, hash }) = self.requests.remove(&request) else { return };
        debug_assert_eq!(frame.object_id(), Some(hash), "the Swarm matches answers by the hash");
        if let Some(peer) = self.peers.get_mut(from) {
            peer.in_flight -= 1;
            peer.failures = 0;
        }
        let len = frame.payload().len();
        self.downloaded_blocks += 1;
        self.downloaded_bytes += len as u64;
        self.expected_bytes = (self.expected_bytes * 7 + len) / 8;
        let max_bytes = self.config.max_window_bytes();
        self.window.set_arrived(height, hash, from, frame.keep_payload(), max_bytes);
        self.go_on(cx);
    }

    pub(crate) fn on_request_failed(
        &mut self,
        cx: &mut Context<'_, Event>,
        connection: ConnectionId,
        request: RequestId,
        error: RequestError,
    ) {
        let Some(asked) = self.requests.remove(&request) else { return };
        let peer = self.peers.get_mut(connection);
        let answer = match asked {
            Asked::Headers(_) | Asked::Probe(_) => {
                if let Some(peer) = peer {
                    peer.asked_headers = false;
                }
                MessageType::HEADERS
            }
            Asked::Block { height, hash } => {
                if let Some(peer) = peer {
                    peer.in_flight -= 1;
                }
                self.window.set_wanted(height, hash);
                MessageType::BLOCK
            }
        };
        if error != RequestError::Closed {
            cx.report(connection, Offence::NoAnswer(answer));
            self.pass_over(cx, connection);
        }
        self.go_on(cx);
    }

    /// A peer failed: it is not asked for a while, and for a long while if it goes on like this.
    fn pass_over(&mut self, cx: &Context<'_, Event>, connection: ConnectionId) {
        let Some(peer) = self.peers.get_mut(connection) else { return };
        peer.failures = peer.failures.saturating_add(1);
        peer.rests = true;
        peer.has_nothing_newer = true;
        let rest = if peer.failures >= self.config.max_retries() {
            LONG_REST
        } else {
            self.config.poll_interval() * peer.failures
        };
        self.deadlines.set(connection, cx.now() + self.rng.jitter(rest));
    }

    pub(crate) fn on_rejected(&mut self, cx: &mut Context<'_, Event>, hash: Hash, error: InvalidObject) {
        // Neither proof nor signature is covered by the hash: another peer may have a good copy of
        // the same block, so only who sent this one is to blame.
        if let Some(sender) = self.window.set_rejected(hash) {
            let offence = Offence::InvalidBlock(error);
            cx.report(sender, offence);
            cx.close(sender, CloseReason::Violation(offence));
        }
    }

    pub(crate) fn on_applied(&mut self, cx: &mut Context<'_, Event>, tip: HeaderInfo) {
        let before = self.window.tip().hash;
        self.applied_blocks += self.window.set_tip(tip);
        if tip.hash != before {
            cx.signal(Signal::TipChanged { height: tip.height, hash: tip.hash });
        }
        self.go_on(cx);
    }

    pub(crate) fn start(&mut self, cx: &mut Context<'_, Event>) {
        self.is_stopped = false;
        self.go_on(cx);
    }

    /// Stops downloading. Blocks that are on their way are let go when they arrive.
    pub(crate) fn stop(&mut self, cx: &mut Context<'_, Event>) {
        self.is_stopped = true;
        self.window.clear();
        self.go_on(cx);
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }

    pub(crate) fn on_deadline(&mut self, cx: &mut Context<'_, Event>) {
        while let Some(connection) = self.deadlines.pop_due(cx.now()) {
            let Some(peer) = self.peers.get_mut(connection) else { continue };
            peer.rests = false;
            let comes_to_ask = cx.peer(connection).is_some_and(|it| it.direction == Direction::Inbound);
            let quiet_at = cx.last_received(connection).unwrap_or(cx.now()) + self.config.poll_interval();
            if peer.is_version_1 && comes_to_ask && quiet_at > cx.now() {
                self.deadlines.set(connection, quiet_at);
            } else {
                peer.has_nothing_newer = false;
            }
        }
        self.go_on(cx);
    }

    /// Asks for whatever can be asked for now, has applied what can be applied, and says so if the
    /// state is another one than before.
    pub(crate) fn go_on(&mut self, cx: &mut Context<'_, Event>) {
        if !self.is_stopped {
            self.drop_headers_that_nobody_has();
            self.ask_for_headers(cx);
            self.probe_peers(cx);
            self.ask_for_blocks(cx);
            let blocks = self.window.take_applicable();
            if !blocks.is_empty() {
                cx.emit(Event::Apply { blocks });
            }
        }
        let state = self.judge_state();
        if state != self.state {
            self.state = state;
            cx.emit(Event::StateChanged { state });
        }
    }

    /// Headers are cheap to make up. If the peer that gave them is gone, or did not give their
    /// blocks, and no other has shown to have them, they are forgotten and others are asked.
    fn drop_headers_that_nobody_has(&mut self) {
        let next_height = self.window.tip().height.saturating_add(1);
        let is_waiting =
            self.window.in_flight() > 0 || self.window.is_applying() || self.window.next_is_there();
        let somebody_has_it = self.peers.iter().any(|(_, peer)| {
            let may_show_it = peer.asked_headers || peer.probed != Some(self.window.head().hash);
            !peer.rests && (peer.shown_height >= next_height || may_show_it)
        });
        if self.window.len() == 0 || self.peers.is_empty() || is_waiting || somebody_has_it {
            return;
        }
        self.window.clear();
        let tip_height = self.window.tip().height;
        for (_, peer) in self.peers.iter_mut() {
            peer.shown_height = peer.shown_height.min(tip_height);
            if !peer.rests {
                peer.has_nothing_newer = false;
            }
        }
    }

    /// One peer at a time is asked for headers: the one that says it has most.
    fn ask_for_headers(&mut self, cx: &mut Context<'_, Event>) {
        let is_asking = self.requests.values().any(|asked| matches!(asked, Asked::Headers(_)));
        if is_asking || self.window.len() + self.config.max_headers_per_request() > MAX_WAITING_HEADERS {
            return;
        }
        let candidates = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.can_be_asked() && !peer.has_nothing_newer && !peer.asked_headers);
        let candidates: Vec<_> =
            candidates.map(|(connection, peer)| (connection, peer.claimed_height)).collect();
        let Some(highest) = candidates.iter().map(|(_, height)| *height).max() else { return };
        let best: Vec<_> = candidates
            .into_iter()
            .filter(|(_, height)| *height == highest)
            .map(|(connection, _)| connection)
            .collect();
        let Some(connection) = self.rng.pick(&best).copied() else { return };
        let after = *self.window.head();
        let max_headers = self.config.max_headers_per_request();
        self.request_headers(cx, connection, after.hash, max_headers, Asked::Headers(after));
    }

    /// Peers that have not shown that they have the blocks that are wanted are asked for one header:
    /// the last one that is known.
    fn probe_peers(&mut self, cx: &mut Context<'_, Event>) {
        if self.window.len() == 0 {
            return;
        }
        let head = *self.window.head();
        let unsure = |peer: &Peer| {
            let may_have_it = peer.shown_height < head.height && peer.probed != Some(head.hash);
            peer.can_be_asked() && !peer.asked_headers && may_have_it
        };
        let unsure: Vec<_> =
            self.peers.iter().filter(|(_, peer)| unsure(peer)).map(|(connection, _)| connection).collect();
        for connection in unsure {
            if let Some(peer) = self.peers.get_mut(connection) {
                peer.probed = Some(head.hash);
            }
            self.request_headers(cx, connection, head.parent, 1, Asked::Probe(head));
        }
    }

    fn request_headers(
        &mut self,
        cx: &mut Context<'_, Event>,
        connection: ConnectionId,
        locator: Hash,
        max_headers: usize,
        asked: Asked,
    ) {
        let max_headers = i32::try_from(max_headers).unwrap_or(i32::MAX);
        let message = GetHeaders { locator, stop: None, max_headers };
        let expect =
            Expect { answer: MessageType::HEADERS, object_id: None, timeout: self.config.request_timeout() };
        match cx.request(connection, &message, expect) {
            Ok(request) => {
                self.requests.insert(request, asked);
                if let Some(peer) = self.peers.get_mut(connection) {
                    peer.asked_headers = true;
                }
            }
            // The queue is full, or too many requests were given up: later, if at all.
            Err(SendError::Full | SendError::Closed) => self.rest_from_headers(cx, connection),
            Err(error) => debug_assert!(false, "a GetHeaders can always be encoded: {error}"),
        }
    }

    /// Asks for wanted blocks, each from the peer that has most room, of those that blocks are
    /// downloaded from already, or one more.
    fn ask_for_blocks(&mut self, cx: &mut Context<'_, Event>) {
        let (max_blocks, max_bytes) = (self.config.max_window_blocks(), self.config.max_window_bytes());
        while let Some(wanted) = self.window.next_wanted(max_blocks, max_bytes, self.expected_bytes) {
            let Some(connection) = self.choose_peer(wanted.height) else { return };
            let HeaderInfo { height, hash, .. } = wanted;
            let expect = Expect {
                answer: MessageType::BLOCK,
                object_id: Some(hash),
                timeout: self.config.request_timeout(),
            };
            match cx.request(connection, &GetBlock { hash }, expect) {
                Ok(request) => {
                    self.requests.insert(request, Asked::Block { height, hash });
                    self.window.set_asked(height);
                    if let Some(peer) = self.peers.get_mut(connection) {
                        peer.in_flight += 1;
                    }
                }
                Err(SendError::Full | SendError::Closed) => self.pass_over(cx, connection),
                Err(error) => {
                    debug_assert!(false, "a GetBlock can always be encoded: {error}");
                    return;
                }
            }
        }
    }

    fn choose_peer(&self, height: u64) -> Option<ConnectionId> {
        let is_busy = |peer: &Peer| peer.in_flight > 0;
        let busy_peers = self.peers.iter().filter(|(_, peer)| is_busy(peer)).count();
        let may_use_another = busy_peers < self.config.parallel_downloads();
        let max_in_flight = self.config.max_in_flight_per_peer();
        self.peers
            .iter()
            .filter(|(_, peer)| {
                peer.can_be_asked() && peer.shown_height >= height && peer.in_flight < max_in_flight
            })
            .filter(|(_, peer)| may_use_another || is_busy(peer))
            .min_by_key(|(_, peer)| peer.in_flight)
            .map(|(connection, _)| connection)
    }

    fn judge_state(&self) -> State {
        let knows_blocks = self.window.len() > 0;
        let is_asking = self.peers.iter().any(|(_, peer)| peer.asked_headers);
        if self.is_stopped {
            State::Cancelled
        } else if self.peers.is_empty() && !self.window.is_applying() {
            State::Idle
        } else if self.window.in_flight() > 0 {
            State::DownloadingBlocks
        } else if self.window.is_applying() {
            State::Validating
        } else if knows_blocks {
            if is_asking { State::DownloadingHeaders } else { State::Failed }
        } else if self.peers.iter().all(|(_, peer)| peer.rests) {
            State::Failed
        } else if self.peers.iter().all(|(_, peer)| peer.has_nothing_newer) || self.state == State::Synced {
            // Asking now and then whether there is something newer is a part of being synced.
            State::Synced
        } else {
            State::Discovering
        }
    }
}
