//! Downloading: what is asked for when, and what becomes of it.

mod blocks;
mod headers;
mod peers;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use peers::Peers;
use spacetime_core::chain::{ChainRules, HeaderInfo};
use spacetime_core::wire::MessageType;
use spacetime_core::{ConnectionId, Context, Hash, Offence, RequestError, RequestId, Rng, Signal, Time};

use crate::config::Config;
use crate::effect::Event;
use crate::progress::{Progress, State};
use crate::window::Window;

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
struct Request {
    connection: ConnectionId,
    asked: Asked,
    /// The peer failed at another request; nobody waits for the answer to this one, but it is used
    /// if it comes.
    is_given_up: bool,
}

#[derive(Debug)]
pub(crate) struct Downloader<R> {
    config: Config,
    rules: R,
    window: Window,
    peers: Peers,
    requests: BTreeMap<RequestId, Request>,
    /// A peer was asked for headers; another one is not until then.
    next_headers_at: Option<Time>,
    /// How often the block after the tip was asked for, or sent, in vain.
    next_block_failures: u32,
    is_stopped: bool,
    state: State,
    /// The size that blocks seem to have; falls slowly, so that few are larger.
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
            window: Window::new(tip),
            peers: Peers::new(rng),
            requests: BTreeMap::new(),
            next_headers_at: None,
            next_block_failures: 0,
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
        if let Some(session) = cx.peer(connection) {
            self.peers.insert(connection, session, &self.config, cx.now());
            self.go_on(cx);
        }
    }

    pub(crate) fn on_closed(&mut self, cx: &mut Context<'_, Event>, connection: ConnectionId) {
        self.peers.remove(connection);
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
        let is_known = hash == self.window.tip().hash || hash == self.window.head().hash;
        if !is_known {
            self.peers.has_news(from);
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
            Asked::Headers(_) | Asked::Probe(_) => {
                if let Some(peer) = peer {
                    peer.is_asked_for_headers = false;
                }
                if matches!(request.asked, Asked::Headers(_)) {
                    self.next_headers_at = None;
                }
            }
            Asked::Block { height, .. } => {
                if let Some(peer) = peer {
                    peer.in_flight -= 1;
                }
                self.window.set_wanted(height, id);
            }
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
            self.count_failure(failed.asked);
            let answer = match failed.asked {
                Asked::Headers(_) | Asked::Probe(_) => MessageType::HEADERS,
                Asked::Block { .. } => MessageType::BLOCK,
            };
            match error {
                RequestError::Closed => {}
                RequestError::Timeout if self.is_sending_blocks(cx, connection) => {
                    self.peers.ask_for_less(connection);
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
        let of_peer = |request: &Request| request.connection == connection && !request.is_given_up;
        let ids: Vec<_> =
            self.requests.iter().filter(|(_, request)| of_peer(request)).map(|(id, _)| *id).collect();
        for id in ids {
            if let Some(mut request) = self.requests.remove(&id) {
                self.count_failure(request.asked);
                self.give_up(id, &request);
                request.is_given_up = true;
                self.requests.insert(id, request);
            }
        }
        self.peers.rest_after_failure(connection, &self.config, cx.now());
    }

    /// If it is the next block that was not sent, the headers that name it become less credible.
    fn count_failure(&mut self, asked: Asked) {
        let next = self.window.next().map(|info| info.hash);
        if matches!(asked, Asked::Block { hash, .. } if Some(hash) == next) {
            self.next_block_failures = self.next_block_failures.saturating_add(1);
        }
    }

    pub(crate) fn on_applied(&mut self, cx: &mut Context<'_, Event>, tip: HeaderInfo) {
        let before = self.window.tip().hash;
        if self.window.has(tip.height, tip.hash) {
            let height = self.window.tip().height;
            for sender in self.window.set_tip(tip) {
                self.peers.set_proven(sender);
            }
            self.applied_blocks += tip.height - height;
        } else {
            // The chain went elsewhere; what was downloaded does not link to it.
            if self.window.len() > 0 {
                self.peers.ask_all_again();
            }
            self.peers.forget_shown();
            self.window = Window::new(tip);
        }
        if tip.hash != before {
            self.next_block_failures = 0;
            cx.signal(Signal::TipChanged { height: tip.height, hash: tip.hash });
        }
        self.go_on(cx);
    }

    /// A block came to the chain by another way. What is being applied stays that: its end is still to
    /// come, and says where the chain ends then.
    pub(crate) fn on_tip_moved(&mut self, cx: &mut Context<'_, Event>, tip: HeaderInfo) {
        if !self.window.is_applying() {
            return self.on_applied(cx, tip);
        }
        if self.window.pass(tip) {
            self.next_block_failures = 0;
            cx.signal(Signal::TipChanged { height: tip.height, hash: tip.hash });
            self.go_on(cx);
        }
    }

    pub(crate) fn start(&mut self, cx: &mut Context<'_, Event>) {
        self.is_stopped = false;
        self.go_on(cx);
    }

    /// Stops downloading. Blocks that are on their way are let go when they arrive.
    pub(crate) fn stop(&mut self, cx: &mut Context<'_, Event>) {
        self.is_stopped = true;
        self.forget_headers();
        self.go_on(cx);
    }

    fn forget_headers(&mut self) {
        self.window.clear();
        self.peers.forget_shown();
        self.peers.ask_all_again();
        self.next_block_failures = 0;
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        [self.peers.deadline(), self.next_headers_at].into_iter().flatten().min()
    }

    pub(crate) fn on_deadline(&mut self, cx: &mut Context<'_, Event>) {
        self.peers.on_deadline(&self.config, cx.now());
        if self.next_headers_at.is_some_and(|at| at <= cx.now()) {
            self.next_headers_at = None;
        }
        self.go_on(cx);
    }

    /// Asks for whatever can be asked for now, has applied what can be applied, and says so if the
    /// state is another one than before.
    pub(crate) fn go_on(&mut self, cx: &mut Context<'_, Event>) {
        if !self.is_stopped {
            self.drop_headers_without_blocks();
            self.ask_for_headers(cx);
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

    fn judge_state(&self) -> State {
        if self.is_stopped {
            State::Cancelled
        } else if self.peers.is_empty() && !self.window.is_applying() {
            State::Idle
        } else if self.window.in_flight() > 0 {
            State::DownloadingBlocks
        } else if self.window.is_applying() {
            State::Validating
        } else if self.window.len() > 0 {
            let is_asking = self.peers.any(|peer| peer.is_asked_for_headers);
            if is_asking { State::DownloadingHeaders } else { State::Failed }
        } else if self.peers.all(|peer| peer.rests) {
            State::Failed
        } else if self.peers.all(|peer| peer.has_nothing_newer || !peer.can_be_asked())
            || self.state == State::Synced
        {
            // Asking now and then whether there is something newer is a part of being synced.
            State::Synced
        } else {
            State::Discovering
        }
    }
}
