//! Headers: from whom, and whether they are to be believed.

use core::time::Duration;

use spacetime_core::chain::{ChainRules, HeaderInfo, InvalidObject};
use spacetime_core::wire::{GetHeaders, Headers, MessageType};
use spacetime_core::{ConnectionId, Context, Expect, Hash, Offence, RequestId, SendError, Violation};

use super::peers::Peer;
use super::{Asked, Downloader, Request};
use crate::effect::Event;

/// Headers that may wait for their blocks: two messages full, so that one is downloaded while the
/// blocks of the other are.
const MAX_WAITING_HEADERS: usize = 4000;

/// How long one peer is waited for alone, where no other may be asked. More than 2000 headers take
/// over a line of 1 Mbit/s.
const PATIENCE: Duration = Duration::from_secs(5);

impl<R: ChainRules> Downloader<R> {
    pub(crate) fn on_headers(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        request: RequestId,
        headers: Headers<'_>,
    ) -> Result<(), Violation> {
        let result = match self.end_request(request).map(|request| request.asked) {
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
            // Others were faster, or the chain has gone elsewhere; the answer is of no use.
            return Ok(());
        }
        for header in headers.iter() {
            // What came before a bad header was good and is kept: others may have it too.
            let info =
                self.check_header(header).map_err(|error| Violation::fatal(Offence::InvalidHeader(error)))?;
            self.window.push(info);
        }
        if !headers.is_empty() {
            self.peers.gave_headers(from, self.window.head().height);
        }
        if headers.len() < max_headers {
            self.peers.wait_for_newer(from, &self.config, cx.now());
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
        // Another header after the same parent shows that it has the parent.
        let (height, hash) =
            if info.hash == head.hash { (head.height, head.hash) } else { (head.height - 1, head.parent) };
        if self.window.has(height, hash)
            && let Some(peer) = self.peers.get_mut(from)
        {
            peer.shown_height = peer.shown_height.max(height);
        }
        Ok(())
    }

    /// Headers are cheap to make up. They are forgotten if those who vouch for them have failed too
    /// often to send the next block, or if there are others to ask and none of them vouches for it;
    /// and those who do have had their turn.
    pub(super) fn drop_headers_without_blocks(&mut self) {
        if !self.window.next_is_wanted() {
            return;
        }
        let (head, next_height) = (self.window.head().hash, self.window.tip().height.saturating_add(1));
        let is_beyond_belief = self.next_block_failures >= self.config.max_retries().max(1);
        let is_hope = |peer: &Peer| {
            peer.shown_height >= next_height || peer.is_asked_for_headers || peer.probed != Some(head)
        };
        let is_vain = !self.peers.any(|peer| peer.can_be_asked() && is_hope(peer));
        if is_beyond_belief || is_vain && self.peers.any(|peer| peer.can_be_asked()) {
            for connection in self.peers.in_turn(|peer| peer.shown_height >= next_height) {
                self.peers.end_turn(connection);
            }
            self.forget_headers();
        }
    }

    /// Asks for headers whoever waits longest, and one more if that takes long; and those that have
    /// not shown to have the blocks that are wanted for one header: the last one that is known.
    pub(super) fn ask_for_headers(&mut self, cx: &mut Context<'_, Event>) {
        let max_headers = self.config.max_headers_per_request();
        let head = *self.window.head();
        let knows_headers = self.window.len() > 0;
        let has_room = self.window.len() + max_headers <= MAX_WAITING_HEADERS;
        let mut may_ask = has_room && self.next_headers_at.is_none();
        let is_unsure =
            |peer: &Peer| knows_headers && peer.shown_height < head.height && peer.probed != Some(head.hash);
        if !may_ask && !knows_headers {
            return;
        }
        let candidates = self.peers.in_turn(|peer| {
            peer.can_be_asked_for_headers() && (may_ask && !peer.has_nothing_newer || is_unsure(peer))
        });
        let asked = self.peers.count(|peer| peer.is_asked_for_headers);
        let mut places = self.config.max_peers().saturating_sub(asked);
        for connection in candidates {
            let Some(peer) = self.peers.get_mut(connection).filter(|_| places > 0) else { return };
            let is_asked = if may_ask && !peer.has_nothing_newer {
                may_ask = !self.request_headers(cx, connection, head.hash, max_headers, Asked::Headers(head));
                !may_ask
            } else {
                is_unsure(peer) && self.request_headers(cx, connection, head.parent, 1, Asked::Probe(head))
            };
            places -= usize::from(is_asked);
        }
    }

    /// Whether the peer was asked.
    fn request_headers(
        &mut self,
        cx: &mut Context<'_, Event>,
        connection: ConnectionId,
        locator: Hash,
        max_headers: usize,
        asked: Asked,
    ) -> bool {
        let max_headers = i32::try_from(max_headers).unwrap_or(i32::MAX);
        let message = GetHeaders { locator, stop: None, max_headers };
        let expect =
            Expect { answer: MessageType::HEADERS, object_id: None, timeout: self.config.request_timeout() };
        match cx.request(connection, &message, expect) {
            Ok(request) => {
                self.requests.insert(request, Request { connection, asked, is_given_up: false });
                if let Some(peer) = self.peers.get_mut(connection) {
                    peer.is_asked_for_headers = true;
                    match asked {
                        Asked::Probe(head) => peer.probed = Some(head.hash),
                        _ => self.next_headers_at = Some(cx.now() + PATIENCE),
                    }
                }
                true
            }
            // The queue is full, or too many requests were given up: later, if at all.
            Err(SendError::Full | SendError::Closed) => {
                self.peers.rest(connection, self.config.poll_interval(), cx.now());
                false
            }
            Err(error) => {
                debug_assert!(false, "a GetHeaders can always be encoded: {error}");
                false
            }
        }
    }
}
