//! Blocks: from whom, and what becomes of them.

use spacetime_core::chain::{ChainRules, HeaderInfo, InvalidObject};
use spacetime_core::wire::{Frame, GetBlock, MessageType};
use spacetime_core::{CloseReason, ConnectionId, Context, Expect, Hash, Offence, RequestId, SendError};

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
        let Some(request) = self.end_request(request) else { return };
        let Asked::Block { height, hash } = request.asked else { return };
        debug_assert_eq!(frame.object_id(), Some(hash), "the Swarm matches answers by the hash");
        let len = frame.payload().len();
        self.expected_bytes = match self.downloaded_blocks {
            0 => len,
            // A burst of large ones over a slow line must not end in a timeout.
            _ => len.max((self.expected_bytes * 7 + len) / 8),
        };
        self.downloaded_blocks += 1;
        self.downloaded_bytes += len as u64;
        if let Some(peer) = self.peers.get_mut(from)
            && !request.is_given_up
        {
            peer.sent_block(&self.config, cx.now());
        }
        let max_bytes = self.config.max_window_bytes();
        self.window.set_arrived(height, hash, from, frame.keep_payload(), max_bytes);
        self.go_on(cx);
    }

    pub(crate) fn on_rejected(&mut self, cx: &mut Context<'_, Event>, hash: Hash, error: InvalidObject) {
        // Neither proof nor signature is covered by the hash: another peer may have a good copy of
        // the same block, so only who sent this one is to blame.
        if let Some(sender) = self.window.set_rejected(hash) {
            self.next_block_failures = self.next_block_failures.saturating_add(1);
            let offence = Offence::InvalidBlock(error);
            cx.report(sender, offence);
            cx.close(sender, CloseReason::Violation(offence));
        }
    }

    /// Asks for wanted blocks, each from the best of the peers that have shown to have it, of those
    /// that blocks are downloaded from already, or one more.
    pub(super) fn ask_for_blocks(&mut self, cx: &mut Context<'_, Event>) {
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
                Ok(id) => {
                    let asked = Asked::Block { height, hash };
                    self.requests.insert(id, Request { connection, asked, is_given_up: false });
                    self.window.set_asked(height, id);
                    if let Some(peer) = self.peers.get_mut(connection) {
                        peer.in_flight += 1;
                    }
                }
                Err(SendError::Full | SendError::Closed) => {
                    self.peers.rest(connection, self.config.poll_interval(), cx.now());
                }
                Err(error) => {
                    debug_assert!(false, "a GetBlock can always be encoded: {error}");
                    return;
                }
            }
        }
    }

    fn choose_peer(&self, height: u64) -> Option<ConnectionId> {
        let busy_peers = self.peers.count(|peer| peer.in_flight > 0);
        let may_use_another = busy_peers < self.config.parallel_downloads();
        self.peers
            .iter()
            .filter(|(_, peer)| {
                peer.can_be_asked() && peer.shown_height >= height && peer.has_room(self.expected_bytes)
            })
            .filter(|(_, peer)| may_use_another || peer.in_flight > 0)
            .min_by_key(|(_, peer)| peer.rank())
            .map(|(connection, _)| connection)
    }
}
