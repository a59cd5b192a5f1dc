//! Downloading: what is asked for when, and what becomes of it.

mod blocks;
mod headers;
mod hold;
mod marks;
mod meter;
mod missed;
mod pace;
mod peers;
mod rival;
mod stall;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use hold::Hold;
use marks::Marks;
use meter::Meter;
use peers::{Peer, Peers};
use rival::{Rival, Trying};
use spacetime_core::chain::{ChainRules, HeaderInfo};
use spacetime_core::wire::MessageType;
use spacetime_core::{ConnectionId, Context, Hash, Offence, RequestError, RequestId, Rng, Signal, Time};
use stall::Stall;

use crate::config::Config;
use crate::effect::Event;
use crate::followed::Followed;
use crate::progress::{Progress, StallReason, State};
use crate::recent::RecentChain;

/// The size that blocks are expected to have before one has arrived.
const FIRST_EXPECTED_BYTES: usize = 64 * 1024;

/// How long a peer is asked nothing from whom this node has held back answers for too long, by its own limits
/// of bandwidth.
const HELD_BACK_REST: Duration = Duration::from_secs(120);

/// What a request asked for.
#[derive(Clone, Debug)]
enum Asked {
    /// The headers after one of these blocks, so many at most.
    Headers { locator: Vec<HeaderInfo>, max_headers: usize },
    /// Whether the peer has this header.
    Probe(HeaderInfo),
    /// This block.
    Block { height: u64, hash: Hash },
    /// This block, the first one of a rival chain.
    Trial { height: u64, hash: Hash },
}

impl Asked {
    const fn is_for_many_headers(&self) -> bool {
        matches!(self, Self::Headers { max_headers, .. } if *max_headers > headers::FIRST_HEADERS)
    }
}

#[derive(Debug)]
struct Request {
    connection: ConnectionId,
    asked: Asked,
    asked_at: Time,
    /// The peer failed at another request, or nobody needs the answer to this one any more; but it is
    /// used if it comes.
    is_given_up: bool,
    /// Blocks that the peer was asked for later and sent before this one.
    skipped: u32,
}

impl Request {
    const fn new(connection: ConnectionId, asked: Asked, asked_at: Time) -> Self {
        Self { connection, asked, asked_at, is_given_up: false, skipped: 0 }
    }
}

#[derive(Debug)]
pub(crate) struct Downloader<R> {
    config: Config,
    rules: R,
    followed: Followed,
    /// There may be headers after the last one that is known.
    may_have_more: bool,
    /// A block of the followed chain was verified.
    is_chain_proven: bool,
    rivals: Vec<Rival>,
    /// The first block of a rival is being applied.
    trying: Option<Trying>,
    marks: Marks,
    peers: Peers,
    requests: BTreeMap<RequestId, Request>,
    stall: Stall,
    hold: Hold,
    /// When a peer was asked for headers, and whether for more of the followed chain. Another one is asked
    /// once it has answered, or has had its time.
    headers_asked: Option<(Time, bool)>,
    /// When a peer that was asked for headers makes room for one that waits to be asked.
    place_free_at: Option<Time>,
    /// How often the block after the anchor was asked for, or sent, in vain.
    next_block_failures: u32,
    /// It was refused, by more than what its header says.
    is_refused: bool,
    /// When the tip was last another one.
    tip_since: Option<Time>,
    is_initial_download: bool,
    is_stopped: bool,
    state: State,
    meter: Meter,
    /// The size that blocks seem to have; falls slowly, so that few are larger.
    expected_bytes: usize,
    downloaded_blocks: u64,
    downloaded_bytes: u64,
    applied_blocks: u64,
}

impl<R: ChainRules> Downloader<R> {
    pub(crate) fn new(config: Config, rules: R, recent: RecentChain, rng: Rng) -> Self {
        let followed = Followed::new(recent, config.max_reorg_depth());
        let meter = Meter::new(config.progress_interval());
        Self {
            config,
            rules,
            followed,
            may_have_more: true,
            is_chain_proven: false,
            rivals: Vec::new(),
            trying: None,
            marks: Marks::default(),
            peers: Peers::new(rng),
            requests: BTreeMap::new(),
            stall: Stall::new(),
            hold: Hold::default(),
            headers_asked: None,
            place_free_at: None,
            next_block_failures: 0,
            is_refused: false,
            tip_since: None,
            is_initial_download: false,
            is_stopped: false,
            state: State::Idle,
            meter,
            expected_bytes: FIRST_EXPECTED_BYTES,
            downloaded_blocks: 0,
            downloaded_bytes: 0,
            applied_blocks: 0,
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        let tip = self.followed.tip();
        let header_height = self.followed.height();
        let believed = || {
            let believed = self.peers.iter().map(|(_, peer)| peer);
            believed.filter(|peer| !peer.has_nothing_newer && peer.can_be_asked())
        };
        let proven = believed().filter(|peer| peer.is_proven()).map(|peer| peer.claimed_height).max();
        let claimed = proven.or_else(|| believed().map(|peer| peer.claimed_height).max()).unwrap_or(0);
        let target_height = header_height.max(claimed);
        let rivals: usize = self.rivals.iter().map(Rival::len).sum();
        Progress {
            state: self.state,
            height: tip.height,
            tip: tip.hash,
            header_height,
            target_height,
            downloaded_blocks: self.downloaded_blocks,
            downloaded_bytes: self.downloaded_bytes,
            applied_blocks: self.applied_blocks,
            in_flight: self.followed.window.in_flight(),
            waiting_headers: self.followed.window.len() + rivals,
            blocks_per_second: self.meter.blocks_per_second(),
            bytes_per_second: self.meter.bytes_per_second(),
            time_left: self.meter.time_left(target_height - tip.height),
            stalled_because: self.stall_reason(),
            is_initial_download: self.is_initial_download,
        }
    }

    pub(crate) fn on_established(&mut self, cx: &mut Context<'_, Event>, connection: ConnectionId) {
        if let Some(session) = cx.peer(connection) {
            self.peers.insert(connection, session, &self.config, cx.now());
            self.go_on(cx);
        }
    }

    pub(crate) fn on_closed(&mut self, cx: &mut Context<'_, Event>, connection: ConnectionId) {
        self.peers.remove(connection);
        self.drop_rival_of(connection);
        self.go_on(cx);
    }

    /// A peer waits for answers of ours, or has got them all.
    pub(crate) fn set_waits_for_us(
        &mut self,
        cx: &mut Context<'_, Event>,
        connection: ConnectionId,
        waits: bool,
    ) {
        if self.peers.set_waits_for_us(connection, waits, &self.config, cx.now()) {
            self.go_on(cx);
        }
    }

    /// A peer has a block that nobody asked it for.
    pub(crate) fn on_announced(&mut self, cx: &mut Context<'_, Event>, from: ConnectionId, hash: Hash) {
        let is_known = hash == self.followed.tip().hash || hash == self.followed.head().hash;
        if !is_known {
            self.peers.has_news(from, cx.now());
            self.go_on(cx);
        }
    }

    /// Takes out a request that has ended.
    fn end_request(&mut self, request: RequestId) -> Option<Request> {
        let ended = self.requests.remove(&request)?;
        if !ended.is_given_up {
            self.give_up(request, &ended);
        }
        Some(ended)
    }

    /// Nobody waits for the answer to a request any longer.
    fn give_up(&mut self, id: RequestId, request: &Request) {
        let peer = self.peers.get_mut(request.connection);
        match request.asked {
            Asked::Headers { .. } | Asked::Probe(_) => {
                if let Some(peer) = peer {
                    peer.is_asked_for_headers = false;
                }
                if request.asked.is_for_many_headers() {
                    self.headers_asked = None;
                }
            }
            Asked::Block { height, .. } => {
                if let Some(peer) = peer {
                    peer.in_flight -= 1;
                }
                self.followed.window.set_wanted(height, id);
            }
            Asked::Trial { .. } => {}
        }
    }

    pub(crate) fn on_request_failed(
        &mut self,
        cx: &mut Context<'_, Event>,
        connection: ConnectionId,
        request: RequestId,
        error: RequestError,
    ) {
        let Some(failed) = self.end_request(request) else { return };
        if !failed.is_given_up {
            if error != RequestError::HeldBack {
                self.count_failure(connection, &failed.asked);
            }
            let answer = match failed.asked {
                Asked::Headers { .. } | Asked::Probe(_) => MessageType::HEADERS,
                Asked::Block { .. } | Asked::Trial { .. } => MessageType::BLOCK,
            };
            match error {
                RequestError::Closed => {}
                RequestError::Timeout | RequestError::HeldBack if self.is_sending_blocks(cx, connection) => {
                    self.peers.ask_for_less(connection);
                }
                // No failure of the peer. What it was asked for may still be on its way, for as long again.
                RequestError::HeldBack => {
                    self.leave(connection);
                    self.peers.ask_for_less(connection);
                    self.peers.rest(connection, HELD_BACK_REST, cx.now());
                }
                RequestError::Timeout => {
                    cx.report(connection, Offence::NoAnswer(answer));
                    self.pass_over(cx, connection);
                }
                // For bytes that are no answer the Swarm has charged it.
                _ => self.pass_over(cx, connection),
            }
        }
        self.go_on(cx);
    }

    fn is_sending_blocks(&mut self, cx: &Context<'_, Event>, connection: ConnectionId) -> bool {
        let peer = self.peers.get_mut(connection);
        peer.is_some_and(|peer| peer.is_sending_blocks(&self.config, cx.now()))
    }

    /// A peer failed. That is one failure, however much it was asked for: the rest is asked from
    /// others at once.
    fn pass_over(&mut self, cx: &Context<'_, Event>, connection: ConnectionId) {
        for asked in self.leave(connection) {
            self.count_failure(connection, &asked);
        }
        self.peers.rest_after_failure(connection, &self.config, cx.now());
    }

    /// All that a peer was asked for is asked from others. What that is.
    fn leave(&mut self, connection: ConnectionId) -> Vec<Asked> {
        self.drop_rival_of(connection);
        self.give_up_where(|request| request.connection == connection)
    }

    /// Nobody waits any longer for the answers to these requests. What they had asked for.
    fn give_up_where(&mut self, is_it: impl Fn(&Request) -> bool) -> Vec<Asked> {
        let is_it = |request: &Request| !request.is_given_up && is_it(request);
        let ids: Vec<_> =
            self.requests.iter().filter(|(_, request)| is_it(request)).map(|(id, _)| *id).collect();
        let mut given_up = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(mut request) = self.requests.remove(&id) {
                self.give_up(id, &request);
                given_up.push(request.asked.clone());
                request.is_given_up = true;
                self.requests.insert(id, request);
            }
        }
        given_up
    }

    /// If it is the next block that was not sent, the headers that name it become less credible.
    fn count_failure(&mut self, connection: ConnectionId, asked: &Asked) {
        let Asked::Block { height, hash } = *asked else { return };
        if let Some(peer) = self.peers.get_mut(connection) {
            peer.missed.failed(height, hash, self.followed.window.anchor().height);
        }
        if self.followed.window.next().is_some_and(|next| next.hash == hash) {
            self.next_block_failures = self.next_block_failures.saturating_add(1);
        }
    }

    /// The next block is another one than before.
    fn begin_next_block(&mut self) {
        self.next_block_failures = 0;
        self.is_refused = false;
    }

    /// An `Apply` has ended. Whether the best chain has left some of its blocks.
    pub(crate) fn on_applied(
        &mut self,
        cx: &mut Context<'_, Event>,
        last: HeaderInfo,
        tip: HeaderInfo,
    ) -> bool {
        let tip_before = *self.followed.tip();
        if let Some(trying) = self.trying.take() {
            self.on_trial_ended(trying, &last, &tip, cx.now());
        } else {
            let before = self.followed.window.anchor().height;
            match self.followed.applied(&last, &tip) {
                Some(senders) => {
                    senders.into_iter().for_each(|sender| self.peers.set_proven(sender));
                    let applied = self.followed.window.anchor().height.saturating_sub(before);
                    self.applied_blocks += applied;
                    self.stall.applied(applied);
                    if applied > 0 {
                        self.is_chain_proven = true;
                        self.begin_next_block();
                    }
                }
                // What was downloaded does not link to where the chain went.
                None => self.follow_tip(),
            }
        }
        let has_left_blocks = self.tip_changed(cx, &tip_before);
        self.go_on(cx);
        has_left_blocks
    }

    /// A block came to the chain by another way. What is being applied stays that: its end is still to
    /// come, and says where the chain ends then. Whether the best chain has left some of its blocks.
    pub(crate) fn on_tip_moved(&mut self, cx: &mut Context<'_, Event>, tip: HeaderInfo) -> bool {
        let tip_before = *self.followed.tip();
        let head = self.followed.head().hash;
        self.followed.move_tip(&tip);
        if self.followed.head().hash != head {
            self.follow_tip();
        }
        let has_left_blocks = self.tip_changed(cx, &tip_before);
        self.go_on(cx);
        has_left_blocks
    }

    /// The headers that were followed are no more.
    fn follow_tip(&mut self) {
        self.peers.ask_all_again();
        self.peers.forget_shown_after(0);
        self.is_chain_proven = false;
        self.begin_next_block();
    }

    /// Whether the best chain has left some of its blocks, or may have.
    fn tip_changed(&mut self, cx: &mut Context<'_, Event>, before: &HeaderInfo) -> bool {
        let HeaderInfo { height, hash, .. } = *self.followed.tip();
        if hash != before.hash {
            self.tip_since = Some(cx.now());
            cx.signal(Signal::TipChanged { height, hash });
        }
        !self.followed.best_has(before)
    }

    pub(crate) fn start(&mut self, cx: &mut Context<'_, Event>) {
        self.is_stopped = false;
        self.go_on(cx);
    }

    /// Stops downloading. Blocks that are on their way are let go when they arrive.
    pub(crate) fn stop(&mut self, cx: &mut Context<'_, Event>) {
        self.is_stopped = true;
        // What nothing is done about while it is stopped is not waited for either.
        self.hold = Hold::default();
        self.place_free_at = None;
        self.forget_headers();
        self.go_on(cx);
    }

    fn forget_headers(&mut self) {
        self.give_up_blocks();
        self.rivals.clear();
        // Below the tip, if the chain that was followed parts there.
        let fork_height = self.followed.fork_height();
        self.followed.abandon();
        self.may_have_more = false;
        self.peers.forget_missed();
        self.peers.forget_shown_after(fork_height);
        self.peers.ask_all_again();
        self.is_chain_proven = false;
        self.begin_next_block();
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        [self.next_step_at(), self.meter.deadline()].into_iter().flatten().min()
    }

    fn next_step_at(&self) -> Option<Time> {
        let deadlines = [
            self.peers.deadline(),
            self.next_headers_at(),
            self.stalled_at(),
            self.stale_at(),
            self.hold.deadline(),
            self.rival_overdue_at(),
            self.place_free_at,
        ];
        deadlines.into_iter().flatten().min()
    }

    pub(crate) fn on_deadline(&mut self, cx: &mut Context<'_, Event>) {
        if self.next_step_at().is_none_or(|at| at > cx.now()) {
            // Telling how far it has come moves nothing, or it would do so where a deadline was forgotten.
            return self.tell_progress(cx);
        }
        self.peers.on_deadline(&self.config, cx.now());
        if self.next_headers_at().is_some_and(|at| at <= cx.now()) {
            self.headers_asked = None;
        }
        if self.stale_at().is_some_and(|at| at <= cx.now()) {
            // Everybody may be on a chain that nobody has told us of.
            self.tip_since = Some(cx.now());
            self.peers.ask_all_again();
        }
        self.set_rivals_overdue(cx.now());
        self.go_on(cx);
    }

    /// When the tip has been the same for too long.
    fn stale_at(&self) -> Option<Time> {
        self.tip_since.filter(|_| !self.peers.is_empty()).map(|since| since + self.config.stale_tip_timeout())
    }

    /// Asks for whatever can be asked for now, has applied what can be applied, and says so if the
    /// state is another one than before.
    pub(crate) fn go_on(&mut self, cx: &mut Context<'_, Event>) {
        self.tip_since = self.tip_since.or(Some(cx.now()));
        if !self.is_stopped {
            self.forget_marks();
            // Again, if all wait now for somebody whose time is over already. It ends: whoever is passed over
            // rests, and who is waited for again has time.
            loop {
                self.drop_headers_without_blocks();
                self.judge_rivals(cx);
                self.ask_for_headers(cx);
                self.ask_for_blocks(cx);
                if !self.pass_over_staller(cx) {
                    break;
                }
            }
            self.apply_trial(cx);
            if self.trying.is_none() {
                let blocks = self.followed.take_applicable();
                if !blocks.is_empty() {
                    cx.emit(Event::Apply { blocks });
                }
            }
        }
        self.judge_initial_download(cx);
        let state = self.judge_state();
        if state != self.state {
            self.state = state;
            cx.emit(Event::StateChanged { state });
        }
        self.tell_progress(cx);
    }

    /// Says how far it has come, if it is time to.
    fn tell_progress(&mut self, cx: &mut Context<'_, Event>) {
        let is_active = matches!(
            self.state,
            State::Discovering | State::DownloadingHeaders | State::DownloadingBlocks | State::Validating
        );
        let now = cx.now();
        if self.meter.is_due(now) {
            self.meter.measure(is_active, self.applied_blocks, self.downloaded_bytes, now);
            let progress = self.progress();
            if self.meter.tell(progress, now) {
                cx.emit(Event::Progressed { progress });
            }
        } else if !self.meter.is_measuring() {
            let progress = self.progress();
            self.meter.note(&progress);
        }
    }

    /// Why nothing gets on.
    fn stall_reason(&self) -> Option<StallReason> {
        let rest = self.peers.all(|peer| peer.rests);
        match self.state {
            State::Cancelled | State::Synced => None,
            State::Idle => Some(StallReason::NoPeers),
            State::Failed if rest => Some(StallReason::PeersRest),
            State::Failed => Some(StallReason::ClockBehind),
            _ if !self.meter.is_stalled() => None,
            _ if self.followed.window.is_applying() || self.trying.is_some() => {
                Some(StallReason::Application)
            }
            _ if rest => Some(StallReason::PeersRest),
            _ if self.followed.window.len() > 0 => Some(StallReason::NextBlock),
            _ => Some(StallReason::Headers),
        }
    }

    /// If nobody has anything but what was refused, it is tried again.
    fn forget_marks(&mut self) {
        let has_nothing = |peer: &Peer| peer.has_nothing_newer || !peer.can_be_asked();
        if self.followed.window.len() == 0
            && self.rivals.is_empty()
            && self.peers.all(has_nothing)
            && self.marks.clear()
        {
            self.peers.ask_all_again();
        }
    }

    /// By headers that are there and of whose chain a block was verified: what peers claim would keep
    /// the relay quiet.
    fn judge_initial_download(&mut self, cx: &mut Context<'_, Event>) {
        let behind = self.followed.height() - self.followed.tip().height;
        let is_far = behind > self.config.initial_download_threshold();
        let is_initial_download = if self.is_initial_download {
            is_far || self.may_have_more && behind > 0
        } else {
            is_far && self.is_chain_proven
        };
        if is_initial_download != self.is_initial_download {
            self.is_initial_download = is_initial_download;
            cx.signal(Signal::InitialDownload(is_initial_download));
        }
    }

    fn judge_state(&self) -> State {
        if self.is_stopped {
            State::Cancelled
        } else if self.peers.is_empty() && !self.followed.window.is_applying() {
            State::Idle
        } else if self.followed.window.in_flight() > 0 {
            State::DownloadingBlocks
        } else if self.followed.window.is_applying() {
            State::Validating
        } else if self.peers.all(Peer::rests_long) {
            State::Failed
        } else if self.followed.window.len() > 0 {
            let is_asking = self.peers.any(|peer| peer.is_asked_for_headers);
            if is_asking { State::DownloadingHeaders } else { State::DownloadingBlocks }
        } else if self.is_clock_behind() {
            State::Failed
        } else if self.state == State::Synced
            || self.peers.all(|peer| peer.has_nothing_newer || !peer.can_be_asked())
                && !self.peers.all(|peer| peer.rests)
        {
            // Asking now and then whether there is something newer is a part of being synced.
            State::Synced
        } else {
            State::Discovering
        }
    }
    /// Whether most of those that have answered have what can only be taken later, by the wall clock.
    fn is_clock_behind(&self) -> bool {
        let heard = self.peers.count(|peer| peer.has_answered);
        self.peers.count(|peer| peer.is_ahead_of_clock) * 2 > heard
    }
}
