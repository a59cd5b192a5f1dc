//! Answering those who ask.

use alloc::vec::Vec;
use core::convert::Infallible;
use core::net::SocketAddr;
use core::time::Duration;

use spacetime_core::wire::{GetPeers, Peers};
use spacetime_core::{
    ConnectionId, Context, Direction, Offence, Rate, SendError, Time, TokenBucket, Violation, listens_at,
};

use crate::{PeerExchange, Session};

/// How many questions of one connection are answered, if only with nothing, before they are charged:
/// 10 at once, and one every 30 s. The seed asks every 5 min.
const QUESTIONS: Rate = Rate { capacity: 10, interval: Duration::from_secs(30) };

/// What is kept of one connection for the answers.
#[derive(Debug)]
pub(crate) struct Asker {
    questions: TokenBucket,
    /// It got a full answer on this connection.
    is_answered: bool,
}

impl Asker {
    pub(crate) const fn new(now: Time) -> Self {
        Self { questions: TokenBucket::new(QUESTIONS.capacity, now), is_answered: false }
    }
}

impl PeerExchange {
    pub(crate) fn on_get_peers(
        &mut self,
        cx: &mut Context<'_, Infallible>,
        from: ConnectionId,
        question: &GetPeers<'_>,
    ) -> Result<(), Violation> {
        let Some(Session { asker, .. }) = self.sessions.get_mut(from) else { return Ok(()) };
        if !asker.questions.take(QUESTIONS, cx.now()) {
            return Err(Violation::tolerable(Offence::TooMuch("GetPeers")));
        }
        let addresses = if self.may_answer_in_full(cx, from) {
            self.addresses_for(cx, from, question)
        } else {
            Vec::new()
        };
        // With nothing, too: a version-1 node waits for it.
        match cx.send(from, &Peers::new(&addresses)) {
            // Whoever does not read its answers gets none.
            Ok(()) | Err(SendError::Full | SendError::Closed) => {}
            Err(error) => debug_assert!(false, "so many addresses can be sent: {error}"),
        }
        Ok(())
    }

    /// Whether a peer gets addresses, and notes that it did.
    fn may_answer_in_full(&mut self, cx: &Context<'_, Infallible>, from: ConnectionId) -> bool {
        let Some(peer) = cx.peer(from) else { return false };
        let Some(Session { asker, .. }) = self.sessions.get_mut(from) else { return false };
        // Whoever came to ask once has what it came for; what it asks for later it asks in order to
        // find out what this node learns, and when.
        let has_had_its_answer = asker.is_answered && peer.direction == Direction::Inbound;
        // Where there is nothing to tell, nothing is used up.
        if has_had_its_answer || self.to_share.is_empty() {
            return false;
        }
        let may = self.answered.take(&self.config, peer, cx.now()).is_ok();
        asker.is_answered |= may;
        may
    }

    /// What may be told, less what the asker knows: itself, and what it excludes.
    fn addresses_for(
        &mut self,
        cx: &Context<'_, Infallible>,
        asker: ConnectionId,
        GetPeers { max_count, exclude }: &GetPeers<'_>,
    ) -> Vec<SocketAddr> {
        let max_count = usize::try_from(*max_count).unwrap_or(0);
        let mut excluded = Vec::with_capacity(exclude.len() + 2);
        // Texts that are no addresses exclude nothing.
        excluded.extend(exclude.addresses());
        excluded.extend(cx.peer(asker).and_then(listens_at));
        excluded.extend(self.config.own_address());
        excluded.sort_unstable();
        // From anywhere, so that not everybody who wants a few is told the same ones.
        let start = self.rng.below(self.to_share.len() as u64) as usize;
        let (behind, ahead) = self.to_share.split_at_checked(start).unwrap_or((&[], &self.to_share));
        ahead
            .iter()
            .chain(behind)
            .filter(|address| excluded.binary_search(address).is_err())
            .take(max_count)
            .copied()
            .collect()
    }
}
