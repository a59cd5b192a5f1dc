//! Not to run away from those that may have another chain.

use core::time::Duration;

use spacetime_core::Time;
use spacetime_core::chain::ChainRules;

use super::Downloader;
use super::headers::PATIENCE;
use super::peers::Peer;

/// How long blocks wait for peers to say which chain they have.
const MAX_HOLD: Duration = Duration::from_secs(3);

/// Since when blocks wait for that, if they do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hold {
    since: Option<Time>,
    /// When the first of them has had its time to answer.
    question_until: Option<Time>,
    /// They have waited long enough.
    is_over: bool,
}

impl Hold {
    /// When blocks wait no longer.
    pub(super) fn deadline(&self) -> Option<Time> {
        let since = self.since.filter(|_| !self.is_over)?;
        [Some(since + MAX_HOLD), self.question_until].into_iter().flatten().min()
    }
}

impl<R: ChainRules> Downloader<R> {
    /// The height up to which blocks may be asked for.
    ///
    /// # Security
    ///
    /// Whoever comes first with a chain that weighs little could have so many of its blocks applied,
    /// before others are heard, that the heavy one parts too deep to be followed ever after. So no block
    /// is asked for that would put the last block that a peer has shown to have out of reach, while it
    /// may say more. A peer can hold blocks up so for 2 s with a question that it does not answer, and all
    /// of them together for 3 s at a time.
    pub(super) fn max_height(&mut self, now: Time) -> u64 {
        let depth = self.config.max_reorg_depth() as u64;
        let anchor = self.followed.window.anchor().height;
        let has_answered = |peer: &Peer| peer.has_answered && !peer.is_asked_for_headers;
        let question_until = |peer: &Peer| peer.headers_asked_at + PATIENCE;
        let may_part = |peer: &Peer| {
            let is_heard = has_answered(peer) || question_until(peer) > now;
            let is_in_reach = peer.shown_height.saturating_add(depth) >= anchor;
            peer.can_be_asked() && !peer.has_nothing_newer && is_heard && is_in_reach
        };
        let holding = || self.peers.iter().map(|(_, peer)| peer).filter(|peer| may_part(peer));
        let lowest = holding().map(|peer| peer.shown_height).min();
        self.hold.question_until = holding().filter(|peer| !has_answered(peer)).map(question_until).min();
        let max_height = lowest.map_or(u64::MAX, |lowest| lowest.saturating_add(depth));
        if self.followed.head().height <= max_height {
            self.hold = Hold::default();
            return max_height;
        }
        // It counts from the moment at which nothing below is to be asked for any more.
        let is_held = self.followed.window.first_wanted_height().is_none_or(|wanted| wanted > max_height);
        if is_held && self.hold.since.is_none() {
            self.hold.since = Some(now);
        }
        self.hold.is_over |= self.hold.since.is_some_and(|since| since + MAX_HOLD <= now);
        if self.hold.is_over { u64::MAX } else { max_height }
    }
}
