//! Blocks: from whom, and what becomes of them.

use alloc::vec::Vec;

use spacetime_core::chain::{ChainRules, HeaderInfo, InvalidObject};
use spacetime_core::wire::{Frame, GetBlock, MessageType};
use spacetime_core::{CloseReason, ConnectionId, Context, Expect, Hash, Offence, RequestId, SendError, Time};

use super::peers::Peer;
use super::{Asked, Downloader, Request};
use crate::effect::Event;

/// Peers answer in the order of the questions, but for a few that are answered side by side. A block that
/// so many overtake does not come, or not soon.
const MAX_SKIPPED: u32 = 8;

impl<R: ChainRules> Downloader<R> {
    pub(crate) fn on_block(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        request: RequestId,
        frame: &Frame,
    ) {
        let Some(Request { asked, is_given_up, asked_at, .. }) = self.end_request(request) else { return };
        self.give_up_skipped(from, request);
        let len = frame.payload().len();
        if let Some(peer) = self.peers.get_mut(from) {
            peer.has_answered = true;
            if !is_given_up {
                peer.sent_block(cx.now().since(asked_at), cx.now());
            }
        }
        // The header names its transactions: a body that was changed on the way is found out here, before it
        // waits in the window for all that come before it, and nowhere after this.
        if let (Asked::Block { hash, .. } | Asked::Trial { hash, .. }, Err(error)) =
            (&asked, self.rules.check_block(frame.payload()))
        {
            self.blame(cx, from, *hash, error);
            return self.go_on(cx);
        }
        match asked {
            Asked::Block { height, hash } => {
                debug_assert_eq!(frame.object_id(), Some(hash), "the Swarm matches answers by the hash");
                self.expected_bytes = match self.downloaded_blocks {
                    0 => len,
                    // A burst of large ones over a slow line must not end in a timeout.
                    _ => len.max((self.expected_bytes * 7 + len) / 8),
                };
                let max_bytes = self.config.max_window_bytes();
                self.followed.window.set_arrived(height, hash, from, frame.keep_payload(), max_bytes);
            }
            Asked::Trial { height, hash } => self.on_trial_block(from, height, hash, frame.keep_payload()),
            Asked::Headers { .. } | Asked::Probe(_) => return,
        }
        self.downloaded_blocks += 1;
        self.downloaded_bytes += len as u64;
        self.go_on(cx);
    }

    pub(crate) fn on_rejected(&mut self, cx: &mut Context<'_, Event>, hash: Hash, error: InvalidObject) {
        // Neither proof nor signature is covered by the hash: another peer may have a good copy of
        // the same block, so only who sent this one is to blame.
        let tried = self.trying.filter(|trying| trying.hash == hash).map(|trying| trying.from);
        let sender = if self.trying.is_some() { tried } else { self.followed.window.set_rejected(hash) };
        let Some(sender) = sender else { return };
        self.blame(cx, sender, hash, error);
    }

    /// A peer has sent a bad block.
    fn blame(&mut self, cx: &mut Context<'_, Event>, sender: ConnectionId, hash: Hash, error: InvalidObject) {
        if self.followed.window.next().is_some_and(|next| next.hash == hash) {
            self.next_block_failures = self.next_block_failures.saturating_add(1);
            self.is_refused |= error == InvalidObject::Refused;
        }
        // What else it sent would be found out one by one, while all others wait.
        self.followed.window.distrust(sender);
        let offence = Offence::InvalidBlock(error);
        cx.report(sender, offence);
        cx.close(sender, CloseReason::Violation(offence));
    }

    /// Asks for wanted blocks, each from the best of the peers that have shown to have it, of those
    /// that blocks are downloaded from already, or one more.
    pub(super) fn ask_for_blocks(&mut self, cx: &mut Context<'_, Event>) {
        let max_height = self.max_height(cx.now());
        while let Some(wanted) = self.next_wanted(max_height) {
            let Some(connection) = self.choose_peer(&wanted, cx.now()) else { break };
            let HeaderInfo { height, hash, .. } = wanted;
            let expect = Expect {
                answer: MessageType::BLOCK,
                object_id: Some(hash),
                timeout: self.config.request_timeout(),
            };
            match cx.request(connection, &GetBlock { hash }, expect) {
                Ok(id) => {
                    let asked = Asked::Block { height, hash };
                    self.requests.insert(id, Request::new(connection, asked, cx.now()));
                    self.followed.window.set_asked(height, id);
                    if let Some(peer) = self.peers.get_mut(connection) {
                        peer.was_asked_for_block(cx.now());
                    }
                }
                Err(SendError::Full | SendError::Closed) => {
                    self.peers.rest(connection, self.config.poll_interval(), cx.now());
                }
                Err(error) => {
                    debug_assert!(false, "a GetBlock can always be encoded: {error}");
                    break;
                }
            }
        }
        let next = self.followed.window.next_request();
        let asked = next.and_then(|next| self.requests.get(&next)).map(|request| request.connection);
        let others_send = self.peers.iter().any(|(it, peer)| peer.in_flight > 0 && Some(it) != asked);
        let all_wait = !others_send || !self.is_chain_proven || self.next_wanted(max_height).is_none();
        self.stall.set_waiting(next, all_wait, cx.now());
    }

    fn next_wanted(&mut self, max_height: u64) -> Option<HeaderInfo> {
        let (max_blocks, max_bytes) = (self.config.max_window_blocks(), self.config.max_window_bytes());
        let wanted = self.followed.window.next_wanted(max_blocks, max_bytes, self.expected_bytes);
        wanted.filter(|wanted| wanted.height <= max_height)
    }

    fn choose_peer(&self, wanted: &HeaderInfo, now: Time) -> Option<ConnectionId> {
        let busy_peers = self.peers.count(|peer| peer.in_flight > 0 && !peer.is_silent(now));
        let may_use_another = busy_peers < self.config.parallel_downloads();
        let max_retries = self.config.max_retries();
        let has_it = |peer: &Peer| peer.can_send(wanted, max_retries);
        // Whoever is slow is of use only where nobody is fast.
        let has_fast = self.peers.any(|peer| has_it(peer) && !peer.pace.is_slow());
        self.peers
            .iter()
            .filter(|(_, peer)| has_it(peer) && peer.pace.has_room(peer.in_flight, self.expected_bytes))
            .filter(|(_, peer)| !(peer.is_silent(now) || has_fast && peer.pace.is_slow()))
            .filter(|(_, peer)| may_use_another || peer.in_flight > 0)
            .min_by_key(|(_, peer)| peer.rank(wanted))
            .map(|(connection, _)| connection)
    }

    /// Who holds up all others, by not sending the next block.
    pub(super) fn staller(&self) -> Option<ConnectionId> {
        match self.requests.get(&self.stall.waiting()?)? {
            Request { connection, asked: Asked::Block { .. }, is_given_up: false, .. } => Some(*connection),
            _ => None,
        }
    }

    /// Whether somebody else than the one that holds up all others can be asked for the next block.
    fn has_other_than(&self, staller: ConnectionId, is_it: impl Fn(&Peer) -> bool) -> bool {
        let Some(next) = self.followed.window.next() else { return false };
        let can_send = |peer: &Peer| peer.can_send(next, self.config.max_retries()) && is_it(peer);
        self.peers.iter().any(|(connection, peer)| connection != staller && can_send(peer))
    }

    /// When it has done so for too long.
    pub(super) fn stalled_at(&self) -> Option<Time> {
        let staller = self.staller()?;
        let is_line_good = self.has_other_than(staller, Peer::is_fast);
        let silent_since = self.peers.get(staller).map(Peer::silent_since);
        self.stall.deadline(is_line_good, silent_since)
    }

    /// If one peer has held up all others for too long, another one is asked. If there is none, a rival of
    /// the chain may be the better one. Whether anybody had.
    pub(super) fn pass_over_staller(&mut self, cx: &Context<'_, Event>) -> bool {
        if self.stalled_at().is_none_or(|at| at > cx.now()) {
            return false;
        }
        let Some(staller) = self.staller() else { return false };
        let is_held = self.stall.since().is_some_and(|since| cx.was_held_since(staller, since));
        if self.stall.wait_again(is_held, cx.now()) {
            return true;
        }
        self.next_block_failures = self.next_block_failures.saturating_add(1);
        if self.has_other_than(staller, |_| true) {
            let waiting = self.stall.waiting();
            self.stall.passed_over();
            if self.peers.get(staller).is_some_and(|peer| peer.is_silent(cx.now())) {
                self.pass_over(cx, staller);
            } else if let Some(id) = waiting {
                // The rest is on its way.
                self.give_up_alone(id);
                if let (Some(next), Some(peer)) = (self.followed.window.next(), self.peers.get_mut(staller)) {
                    peer.missed.failed(next.height, next.hash, self.followed.window.anchor().height);
                }
                self.peers.rest_after_failure(staller, &self.config, cx.now());
            }
        }
        true
    }

    /// A peer has sent what it was asked for later than for other blocks. One that many have overtaken is
    /// asked from another peer; nobody is charged for that, and it is used if it comes.
    fn give_up_skipped(&mut self, from: ConnectionId, sent: RequestId) {
        let mut skipped = Vec::new();
        for (id, request) in self.requests.range_mut(..sent) {
            if request.connection == from
                && !request.is_given_up
                && matches!(request.asked, Asked::Block { .. })
            {
                request.skipped += 1;
                if request.skipped >= MAX_SKIPPED {
                    skipped.push(*id);
                }
            }
        }
        skipped.into_iter().for_each(|id| self.give_up_alone(id));
    }

    /// One block is asked from another peer.
    fn give_up_alone(&mut self, id: RequestId) {
        let Some(mut request) = self.requests.remove(&id) else { return };
        if let (Asked::Block { height, hash }, Some(peer)) =
            (&request.asked, self.peers.get_mut(request.connection))
        {
            peer.missed.put_off(*height, *hash, self.followed.window.anchor().height);
        }
        self.give_up(id, &request);
        request.is_given_up = true;
        self.requests.insert(id, request);
    }

    /// Nobody waits any longer for the blocks that were asked for.
    pub(super) fn give_up_blocks(&mut self) {
        self.give_up_where(|request| matches!(request.asked, Asked::Block { .. }));
    }
}
