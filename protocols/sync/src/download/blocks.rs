//! Blocks: from whom, and what becomes of them.

use spacetime_core::chain::{ChainRules, HeaderInfo, InvalidObject};
use spacetime_core::wire::{Frame, GetBlock, MessageType};
use spacetime_core::{CloseReason, ConnectionId, Context, Expect, Hash, Offence, RequestId, SendError, Time};

use super::peers::Peer;
use super::{Asked, Downloader, Request};
use crate::effect::Event;

impl<R: ChainRules> Downloader<R> {
    pub(crate) fn on_block(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        request: RequestId,
        frame: &Frame,
    ) {
        let Some(Request { asked, is_given_up, asked_at, .. }) = self.end_request(request) else { return };
        let len = frame.payload().len();
        if let Some(peer) = self.peers.get_mut(from) {
            peer.has_answered = true;
            if !is_given_up {
                peer.sent_block(cx.now().since(asked_at), cx.now());
            }
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
            Asked::Trial(hash) => self.on_trial_block(from, hash, frame.keep_payload()),
            Asked::Headers { .. } | Asked::Probe(_) => return,
        }
        self.downloaded_blocks += 1;
        self.downloaded_bytes += len as u64;
        self.go_on(cx);
    }

    pub(crate) fn on_rejected(&mut self, cx: &mut Context<'_, Event>, hash: Hash, error: InvalidObject) {
        // Neither proof nor signature is covered by the hash: another peer may have a good copy of
        // the same block, so only who sent this one is to blame.
        let trial = self.rival.as_ref().filter(|_| self.is_trying).map(|rival| rival.from);
        let sender = if self.is_trying { trial } else { self.followed.window.set_rejected(hash) };
        let Some(sender) = sender else { return };
        if !self.is_trying {
            self.next_block_failures = self.next_block_failures.saturating_add(1);
            self.is_refused |= error == InvalidObject::Refused;
            // What else it sent would be found out one by one, while all others wait.
            self.followed.window.distrust(sender);
        }
        let offence = Offence::InvalidBlock(error);
        cx.report(sender, offence);
        cx.close(sender, CloseReason::Violation(offence));
    }

    /// Asks for wanted blocks, each from the best of the peers that have shown to have it, of those
    /// that blocks are downloaded from already, or one more.
    pub(super) fn ask_for_blocks(&mut self, cx: &mut Context<'_, Event>) {
        let max_height = self.max_height(cx.now());
        while let Some(wanted) = self.next_wanted(max_height) {
            let Some(connection) = self.choose_peer(&wanted) else { break };
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
                        peer.in_flight += 1;
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
        let all_wait = self.next_wanted(max_height).is_none() || !self.is_chain_proven;
        self.stall.set_waiting(self.followed.window.next_request(), all_wait, cx.now());
    }

    fn next_wanted(&mut self, max_height: u64) -> Option<HeaderInfo> {
        let (max_blocks, max_bytes) = (self.config.max_window_blocks(), self.config.max_window_bytes());
        let wanted = self.followed.window.next_wanted(max_blocks, max_bytes, self.expected_bytes);
        wanted.filter(|wanted| wanted.height <= max_height)
    }

    fn choose_peer(&self, wanted: &HeaderInfo) -> Option<ConnectionId> {
        let busy_peers = self.peers.count(|peer| peer.in_flight > 0);
        let may_use_another = busy_peers < self.config.parallel_downloads();
        let has_it = |peer: &Peer| peer.can_send(wanted.height);
        // Whoever is slow is of use only where nobody is fast.
        let has_fast = self.peers.any(|peer| has_it(peer) && !peer.pace.is_slow());
        self.peers
            .iter()
            .filter(|(_, peer)| has_it(peer) && peer.pace.has_room(peer.in_flight, self.expected_bytes))
            .filter(|(_, peer)| !(has_fast && peer.pace.is_slow()))
            .filter(|(_, peer)| may_use_another || peer.in_flight > 0)
            .min_by_key(|(_, peer)| peer.rank(wanted.hash))
            .map(|(connection, _)| connection)
    }

    /// Who holds up all others, and with which block.
    pub(super) fn staller(&self) -> Option<(ConnectionId, u64)> {
        match self.requests.get(&self.stall.waiting()?)? {
            Request { connection, asked: Asked::Block { height, .. }, .. } => Some((*connection, *height)),
            _ => None,
        }
    }

    /// When it has done so for too long.
    pub(super) fn stalled_at(&self) -> Option<Time> {
        let (staller, height) = self.staller()?;
        let is_line_good = self
            .peers
            .iter()
            .any(|(connection, peer)| connection != staller && peer.can_send(height) && peer.is_fast());
        self.stall.deadline(is_line_good)
    }

    /// If one peer has held up all others for too long, another one is asked. If there is none, a rival of
    /// the chain may be the better one.
    pub(super) fn pass_over_staller(&mut self, cx: &Context<'_, Event>) {
        if self.stalled_at().is_none_or(|at| at > cx.now()) {
            return;
        }
        let Some((staller, height)) = self.staller() else { return };
        self.stall.wait_again(cx.now());
        self.next_block_failures = self.next_block_failures.saturating_add(1);
        if self.peers.iter().any(|(connection, peer)| connection != staller && peer.can_send(height)) {
            self.stall.passed_over();
            self.pass_over(cx, staller);
        }
    }

    /// Nobody waits any longer for the blocks that were asked for.
    pub(super) fn give_up_blocks(&mut self) {
        self.give_up_where(|request| matches!(request.asked, Asked::Block { .. }));
    }
}
