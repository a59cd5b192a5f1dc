//! Other chains than the one that is followed.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use spacetime_core::chain::{ChainRules, HeaderInfo};
use spacetime_core::wire::{GetBlock, MessageType};
use spacetime_core::{ConnectionId, Context, Expect, Hash, Time};

use super::peers::Peer;
use super::{Asked, Downloader, Request};
use crate::config::MAX_WAITING_HEADERS;
use crate::effect::Event;

/// Rivals that are kept at a time, each of another peer. As many as there are peers asked at a time by
/// default, so that seven that lie do not keep the eighth from being heard.
const MAX_RIVALS: usize = 8;

/// How long the first block of a rival is waited for, before another rival may take its place.
const PATIENCE: Duration = Duration::from_secs(2);

/// How far its first block has come.
#[derive(Debug)]
enum Trial {
    /// Not asked for.
    None,
    /// Asked for at this time.
    Asked(Time),
    /// Asked for, and it takes long. Another rival may take the place of this one.
    Overdue,
    /// It has arrived.
    Arrived(Bytes),
    /// It is being applied.
    Applying,
}

/// Headers of a chain that one peer has, and that parts from the followed one.
///
/// # Security
///
/// Headers cost nothing to make up, whatever they claim. So a rival chain must have its first block
/// verified before it takes the place of the one that is followed, which goes on meanwhile. There are
/// 8 rivals at a time, one of each peer, of at most 6000 headers: 4.2 MB, whatever is offered. They are
/// tried side by side, so that one that is made up costs the others no time.
#[derive(Debug)]
pub(super) struct Rival {
    from: ConnectionId,
    /// The block of the followed chain after which it begins.
    fork: HeaderInfo,
    headers: Vec<HeaderInfo>,
    /// So many of its first blocks are those of the best chain, where what is followed is another one: they
    /// are verified already. Not counted again once it is being tried.
    verified: usize,
    /// The peer has no more of it.
    is_whole: bool,
    /// It has been compared, and more of it is needed to tell.
    is_undecided: bool,
    trial: Trial,
}

/// The block by which a rival is tried, while it is being applied. Its peer may be gone by then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trying {
    pub(super) from: ConnectionId,
    pub(super) hash: Hash,
}

impl Rival {
    /// Its last header.
    pub(super) fn head(&self) -> &HeaderInfo {
        self.headers.last().unwrap_or(&self.fork)
    }

    /// Headers that are kept of it.
    pub(super) fn len(&self) -> usize {
        self.headers.len()
    }

    /// The first block that is not verified: the one by which it is tried.
    fn first_new(&self) -> Option<&HeaderInfo> {
        self.headers.get(self.verified)
    }

    fn is_first_new(&self, hash: Hash) -> bool {
        self.first_new().is_some_and(|first| first.hash == hash)
    }

    const fn wants_headers(&self) -> bool {
        self.is_undecided && matches!(self.trial, Trial::None)
    }

    /// Another one that parts below this height may take its place: any, if its block takes long; one that
    /// parts lower, if the blocks before it are not verified yet.
    const fn makes_room_below(&self, anchor_height: u64) -> u64 {
        match self.trial {
            Trial::Overdue => u64::MAX,
            Trial::None if self.fork.height > anchor_height => self.fork.height,
            Trial::None | Trial::Asked(_) | Trial::Arrived(_) | Trial::Applying => 0,
        }
    }

    /// When its block takes long.
    fn overdue_at(&self) -> Option<Time> {
        match self.trial {
            Trial::Asked(at) => Some(at + PATIENCE),
            _ => None,
        }
    }

    fn weight(&self, rules: &impl ChainRules, max: usize) -> u128 {
        rules.branch_weight(&self.fork, self.headers.iter().take(max))
    }
}

impl<R: ChainRules> Downloader<R> {
    pub(super) fn rival_of(&self, from: ConnectionId) -> Option<&Rival> {
        self.rivals.iter().find(|rival| rival.from == from)
    }

    /// One that parts from the followed chain below this height has a place.
    pub(super) fn rivals_below(&self) -> u64 {
        if self.rivals.len() < MAX_RIVALS {
            return u64::MAX;
        }
        let anchor = self.followed.window.anchor().height;
        self.rivals.iter().map(|rival| rival.makes_room_below(anchor)).max().unwrap_or(u64::MAX)
    }

    /// The rivals of which more headers are needed, and the last one that is known.
    pub(super) fn rivals_that_want_headers(&self) -> Vec<(ConnectionId, HeaderInfo)> {
        let rivals = self.rivals.iter().filter(|rival| rival.wants_headers());
        rivals.map(|rival| (rival.from, *rival.head())).collect()
    }

    /// When the block of one of the rivals takes long.
    pub(super) fn rival_overdue_at(&self) -> Option<Time> {
        self.rivals.iter().filter_map(Rival::overdue_at).min()
    }

    pub(super) fn set_rivals_overdue(&mut self, now: Time) {
        for rival in &mut self.rivals {
            if rival.overdue_at().is_some_and(|at| at <= now) {
                rival.trial = Trial::Overdue;
            }
        }
    }

    /// A peer has other headers than those that are followed.
    pub(super) fn offer_rival(
        &mut self,
        cx: &Context<'_, Event>,
        from: ConnectionId,
        fork: HeaderInfo,
        fresh: Vec<HeaderInfo>,
        is_whole: bool,
    ) {
        let anchor = self.followed.window.anchor().height;
        if let Some(rival) = self.rivals.iter_mut().find(|rival| rival.from == from) {
            if rival.head().hash == fork.hash {
                let room = MAX_WAITING_HEADERS.saturating_sub(rival.headers.len());
                rival.is_whole = is_whole && fresh.len() <= room;
                rival.headers.extend(fresh.into_iter().take(room));
                return;
            }
            // What it has offered does not come, and it offers something else.
            if !matches!(rival.trial, Trial::None) {
                return self.peers.wait_for_newer(from, &self.config, cx.now());
            }
            self.rivals.retain(|rival| rival.from != from);
        }
        if self.rivals.len() >= MAX_RIVALS {
            let weakest = self.rivals.iter().enumerate().max_by_key(|(_, it)| it.makes_room_below(anchor));
            match weakest.filter(|(_, it)| fork.height < it.makes_room_below(anchor)).map(|(index, _)| index)
            {
                Some(index) => drop(self.rivals.remove(index)),
                None => return self.peers.wait_for_newer(from, &self.config, cx.now()),
            }
        }
        self.peers.end_turn(from);
        let (verified, is_undecided, trial) = (0, false, Trial::None);
        self.rivals.push(Rival { from, fork, headers: fresh, verified, is_whole, is_undecided, trial });
    }

    /// Whether the rival is heavier than what is followed; none if that takes more of its headers.
    fn is_heavier(&self, rival: &Rival) -> Option<bool> {
        let fork = rival.fork.height;
        let known = usize::try_from(self.followed.height().saturating_sub(fork)).unwrap_or(usize::MAX);
        // What there may be after the tip counts for nothing while nobody has shown it.
        let is_known = !self.may_have_more || self.followed.window.len() == 0;
        if rival.is_whole || is_known {
            let ours = self.followed.weight_after(&self.rules, fork, usize::MAX);
            if rival.weight(&self.rules, usize::MAX) > ours {
                return Some(true);
            }
        } else {
            // Neither is known to its end: as far as both are.
            let both = known.min(rival.headers.len());
            let ours = self.followed.weight_after(&self.rules, fork, both);
            if rival.weight(&self.rules, both) > ours {
                return Some(true);
            }
        }
        let may_grow = !rival.is_whole
            && rival.headers.len() + self.config.max_headers_per_request() <= MAX_WAITING_HEADERS
            && rival.headers.len() <= known;
        if may_grow { None } else { Some(false) }
    }

    /// Compares the rivals with what is followed, and tries them, follows one or lets them go.
    pub(super) fn judge_rivals(&mut self, cx: &mut Context<'_, Event>) {
        if self.trying.is_some() || self.followed.window.is_applying() {
            return;
        }
        self.forget_rivals_that_are_followed();
        self.rivals.retain(|rival| self.followed.has(rival.fork.height, rival.fork.hash));
        let untried = |rival: &&Rival| matches!(rival.trial, Trial::None);
        let untried: Vec<_> = self.rivals.iter().filter(untried).map(|rival| rival.from).collect();
        for from in untried {
            self.count_verified(from);
            let Some(rival) = self.rival_of(from) else { continue };
            let is_heavier = self.is_heavier(rival);
            // Where blocks come, nothing is to be won by a lighter chain.
            let is_wanted = is_heavier == Some(true) || self.is_doubtful();
            let is_verified_below = rival.fork.height <= self.followed.window.anchor().height;
            if is_heavier == Some(true) && self.followed.window.len() == 0 {
                return self.follow_rival(from, false, cx.now());
            }
            let has_new = rival.first_new().is_some();
            if has_new && is_wanted && is_verified_below {
                self.try_rival(cx, from);
            } else if has_new && rival.fork.height >= self.followed.window.anchor().height {
                // Nothing of what is followed after it is verified either: it is kept in case that does not come.
            } else if is_heavier.is_none() {
                self.want_more_of_rival(from);
            } else {
                self.forget_rival(from);
                if has_new {
                    self.peers.wait_long(from, cx.now());
                } else {
                    // It is the best chain, to which sync goes back by itself if what it follows does not come.
                    self.peers.wait_for_newer(from, &self.config, cx.now());
                }
            }
        }
    }

    fn want_more_of_rival(&mut self, from: ConnectionId) {
        if let Some(rival) = self.rivals.iter_mut().find(|rival| rival.from == from) {
            rival.is_undecided = true;
        }
    }

    /// The chain that is followed may be another one than the best, and the rival the best one, or go on
    /// from it.
    fn count_verified(&mut self, from: ConnectionId) {
        let Some(rival) = self.rivals.iter_mut().find(|rival| rival.from == from) else { return };
        // Where one is not in the best chain, none after it is.
        rival.verified = rival.headers.partition_point(|info| self.followed.best_has(info));
    }

    /// Who has offered what is followed now has shown to have it.
    fn forget_rivals_that_are_followed(&mut self) {
        let Self { followed, peers, .. } = self;
        self.rivals.retain(|rival| {
            let common = rival.headers.iter().take_while(|info| followed.has(info.height, info.hash)).last();
            if let Some(common) = common {
                peers.has_shown(rival.from, common.height);
            }
            common.is_none()
        });
    }

    fn forget_rival(&mut self, from: ConnectionId) {
        self.rivals.retain(|rival| rival.from != from);
    }

    /// Asks for the first block of a rival.
    fn try_rival(&mut self, cx: &mut Context<'_, Event>, from: ConnectionId) {
        let Some(rival) = self.rivals.iter_mut().find(|rival| rival.from == from) else { return };
        let Some(HeaderInfo { height, hash, .. }) = rival.first_new().copied() else { return };
        if !self.peers.get_mut(from).is_some_and(|peer| peer.can_be_asked()) {
            return self.forget_rival(from);
        }
        let timeout = self.config.request_timeout();
        let expect = Expect { answer: MessageType::BLOCK, object_id: Some(hash), timeout };
        match cx.request(from, &GetBlock { hash }, expect) {
            Ok(id) => {
                rival.trial = Trial::Asked(cx.now());
                self.requests.insert(id, Request::new(from, Asked::Trial { height, hash }, cx.now()));
            }
            Err(_) => {
                self.forget_rival(from);
                self.peers.rest(from, self.config.poll_interval(), cx.now());
            }
        }
    }

    /// The block that a rival is tried by has arrived. If the rival is followed by now, it is one block
    /// less to be asked for.
    pub(super) fn on_trial_block(&mut self, from: ConnectionId, height: u64, hash: Hash, bytes: Bytes) {
        match self.rivals.iter_mut().find(|it| it.from == from && it.is_first_new(hash)) {
            Some(rival) if !matches!(rival.trial, Trial::Applying) => rival.trial = Trial::Arrived(bytes),
            Some(_) => {}
            None => {
                let max_bytes = self.config.max_window_bytes();
                self.followed.window.set_arrived(height, hash, from, bytes, max_bytes);
            }
        }
    }

    /// Has a block applied that a rival is tried by, if one has arrived.
    pub(super) fn apply_trial(&mut self, cx: &mut Context<'_, Event>) {
        if self.trying.is_some() || self.followed.window.is_applying() {
            return;
        }
        let arrived = self.rivals.iter_mut().find(|it| matches!(it.trial, Trial::Arrived(_)));
        if let Some(rival) = arrived
            && let Some(hash) = rival.first_new().map(|first| first.hash)
            && let Trial::Arrived(bytes) = core::mem::replace(&mut rival.trial, Trial::Applying)
        {
            self.trying = Some(Trying { from: rival.from, hash });
            cx.emit(Event::Apply { blocks: vec![bytes] });
        }
    }

    /// The block was verified, or was not.
    pub(super) fn on_trial_ended(&mut self, trying: Trying, last: &HeaderInfo, tip: &HeaderInfo, now: Time) {
        let is_tried = |it: &&mut Rival| matches!(it.trial, Trial::Applying) && it.is_first_new(trying.hash);
        let from = trying.from;
        let mut rival = self.rivals.iter_mut().filter(|it| it.from == from).find(is_tried);
        let has_passed = last.hash == trying.hash;
        if let Some(rival) = rival.as_mut().filter(|_| has_passed) {
            rival.verified += 1;
        }
        let is_passed_rival = has_passed && rival.is_some();
        if tip.hash != self.followed.tip().hash {
            let head = self.followed.head().hash;
            self.followed.move_tip(tip);
            if self.followed.head().hash == head {
                // The best chain has grown, and what is followed is still another one.
            } else if let Some(rival) = rival.filter(|_| has_passed && tip.hash == trying.hash) {
                // One block was enough to outweigh what there was. Whoever had that has nothing after the fork.
                self.peers.forget_shown_after(rival.fork.height);
                rival.fork = *tip;
                rival.headers.drain(..core::mem::take(&mut rival.verified));
                return self.follow_rival(from, true, now);
            } else {
                self.forget_rival(from);
                return self.follow_tip();
            }
        }
        let is_heavier = || self.rival_of(from).and_then(|rival| self.is_heavier(rival)) == Some(true);
        if is_passed_rival && (self.is_doubtful() || is_heavier()) {
            self.follow_rival(from, true, now);
        } else {
            self.forget_rival(from);
        }
    }

    /// Whether no block of what is followed has come yet, or the next one does not come, however often it was
    /// asked for, or nobody is left to be asked for it.
    fn is_doubtful(&self) -> bool {
        let Some(next) = self.followed.window.next() else { return false };
        let staller = self.staller();
        // Who has missed it before is no hope.
        let can_send = |peer: &Peer| {
            peer.can_send(next, self.config.max_retries())
                && peer.missed.times(next.height, next.hash).is_none()
        };
        let may_send =
            |(connection, peer): (ConnectionId, &Peer)| Some(connection) != staller && can_send(peer);
        let failures = self.next_block_failures;
        !self.is_chain_proven
            || failures > 0 && (failures >= self.config.max_retries() || !self.peers.iter().any(may_send))
    }

    /// A rival takes the place of what was followed after its fork. Whether a block of it was verified that
    /// was not known.
    fn follow_rival(&mut self, from: ConnectionId, is_proven: bool, now: Time) {
        let Some(index) = self.rivals.iter().position(|rival| rival.from == from) else { return };
        if self.next_block_failures > 0
            && let Some(staller) = self.staller()
        {
            // What it has offered does not come.
            self.peers.rest_after_failure(staller, &self.config, now);
        }
        let Rival { fork, headers, verified, is_whole, .. } = self.rivals.remove(index);
        self.give_up_blocks();
        self.followed.follow(fork, &headers, verified);
        self.peers.forget_shown_after(fork.height);
        self.peers.has_shown(from, self.followed.head().height);
        self.may_have_more = !is_whole;
        self.is_chain_proven = is_proven;
        self.begin_next_block();
    }

    /// The peer of a rival has failed, or is gone.
    pub(super) fn drop_rival_of(&mut self, from: ConnectionId) {
        if self.rival_of(from).is_some() {
            self.forget_rival(from);
            // Those that were put off for its sake are asked at once.
            self.peers.ask_all_again();
        }
    }
}
