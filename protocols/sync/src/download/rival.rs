//! Another chain than the one that is followed.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use spacetime_core::chain::{ChainRules, HeaderInfo};
use spacetime_core::wire::{GetBlock, MessageType};
use spacetime_core::{ConnectionId, Context, Expect, Hash, Time};

use super::headers::{MAX_WAITING_HEADERS, PATIENCE};
use super::{Asked, Downloader, Request};
use crate::effect::Event;

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
/// verified before it takes the place of the one that is followed, which goes on meanwhile. There is
/// one rival at a time, of at most 6000 headers: 528 KB, whatever is offered. A peer that offers what
/// it cannot prove waits longer each time before it may offer again.
#[derive(Debug)]
pub(super) struct Rival {
    pub(super) from: ConnectionId,
    /// The block of the followed chain after which it begins.
    fork: HeaderInfo,
    headers: Vec<HeaderInfo>,
    /// The peer has no more of it.
    is_whole: bool,
    /// It has been compared, and more of it is needed to tell.
    is_undecided: bool,
    trial: Trial,
}

impl Rival {
    /// Its last header.
    pub(super) fn head(&self) -> &HeaderInfo {
        self.headers.last().unwrap_or(&self.fork)
    }

    pub(super) const fn wants_headers(&self) -> bool {
        self.is_undecided && matches!(self.trial, Trial::None)
    }

    /// Another one that parts below this height may take its place: any, if its block takes long; one that
    /// parts lower, if the blocks before it are not verified yet.
    pub(super) const fn makes_room_below(&self, anchor_height: u64) -> u64 {
        match self.trial {
            Trial::Overdue => u64::MAX,
            Trial::None if self.fork.height > anchor_height => self.fork.height,
            Trial::None | Trial::Asked(_) | Trial::Arrived(_) | Trial::Applying => 0,
        }
    }

    /// When its block takes long.
    pub(super) fn overdue_at(&self) -> Option<Time> {
        match self.trial {
            Trial::Asked(at) => Some(at + PATIENCE),
            _ => None,
        }
    }

    pub(super) fn on_deadline(&mut self, now: Time) {
        if self.overdue_at().is_some_and(|at| at <= now) {
            self.trial = Trial::Overdue;
        }
    }

    fn weight(&self, rules: &impl ChainRules, max: usize) -> u128 {
        let mut parent = &self.fork;
        self.headers.iter().take(max).fold(0, |sum: u128, info| {
            let added = rules.weight(core::mem::replace(&mut parent, info), info);
            sum.saturating_add(added.into())
        })
    }
}

impl<R: ChainRules> Downloader<R> {
    /// A peer has other headers than those that are followed.
    pub(super) fn offer_rival(
        &mut self,
        cx: &Context<'_, Event>,
        from: ConnectionId,
        fork: HeaderInfo,
        fresh: Vec<HeaderInfo>,
        is_whole: bool,
    ) {
        match &mut self.rival {
            Some(rival) if rival.from == from && rival.head().hash == fork.hash => {
                let room = MAX_WAITING_HEADERS.saturating_sub(rival.headers.len());
                rival.is_whole = is_whole && fresh.len() <= room;
                rival.headers.extend(fresh.into_iter().take(room));
            }
            // One after the other.
            Some(rival) if fork.height >= rival.makes_room_below(self.followed.window.anchor().height) => {
                self.peers.wait_for_newer(from, &self.config, cx.now());
            }
            // What it has offered does not come, and it offers it again.
            Some(rival) if rival.from == from && fork.height == rival.fork.height => {}
            _ => {
                self.peers.end_turn(from);
                let (is_undecided, trial) = (false, Trial::None);
                self.rival = Some(Rival { from, fork, headers: fresh, is_whole, is_undecided, trial });
            }
        }
    }

    /// Whether the rival is heavier than what is followed; none if that takes more of its headers.
    fn rival_is_heavier(&self, rival: &Rival) -> Option<bool> {
        let fork = rival.fork.height;
        let known = usize::try_from(self.followed.height().saturating_sub(fork)).unwrap_or(usize::MAX);
        if rival.is_whole || !self.may_have_more {
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

    /// Compares the rival with what is followed, and tries it, follows it or lets it go.
    pub(super) fn judge_rival(&mut self, cx: &mut Context<'_, Event>) {
        if self.is_trying || self.followed.window.is_applying() {
            return;
        }
        let Some(rival) = &self.rival else { return };
        if !self.followed.has(rival.fork.height, rival.fork.hash) {
            self.rival = None;
            return;
        }
        if !matches!(rival.trial, Trial::None) {
            return;
        }
        let is_heavier = self.rival_is_heavier(rival);
        // Where blocks come, nothing is to be won by a lighter chain.
        let is_wanted = is_heavier == Some(true) || self.is_doubtful();
        let is_verified_below = rival.fork.height <= self.followed.window.anchor().height;
        if is_heavier == Some(true) && self.followed.window.len() == 0 {
            return self.follow_rival(0, cx.now());
        }
        let from = rival.from;
        if is_wanted && is_verified_below {
            self.try_rival(cx);
        } else if is_heavier == Some(false) && !is_wanted {
            self.rival = None;
            self.peers.wait_long(from, cx.now());
        } else if let Some(rival) = &mut self.rival {
            rival.is_undecided = is_heavier.is_none();
        }
    }

    /// Asks for the first block of the rival.
    fn try_rival(&mut self, cx: &mut Context<'_, Event>) {
        let Some(rival) = &mut self.rival else { return };
        let (from, Some(first)) = (rival.from, rival.headers.first()) else { return };
        let hash = first.hash;
        if !self.peers.get_mut(from).is_some_and(|peer| peer.can_be_asked()) {
            self.rival = None;
            return;
        }
        let timeout = self.config.request_timeout();
        let expect = Expect { answer: MessageType::BLOCK, object_id: Some(hash), timeout };
        match cx.request(from, &GetBlock { hash }, expect) {
            Ok(id) => {
                rival.trial = Trial::Asked(cx.now());
                self.requests.insert(id, Request::new(from, Asked::Trial(hash), cx.now()));
            }
            Err(_) => {
                self.rival = None;
                self.peers.rest(from, self.config.poll_interval(), cx.now());
            }
        }
    }

    /// The block that a rival is tried by has arrived.
    pub(super) fn on_trial_block(&mut self, from: ConnectionId, hash: Hash, bytes: Bytes) {
        if let Some(rival) = self.rival.as_mut().filter(|it| it.from == from && is_first(it, hash)) {
            rival.trial = Trial::Arrived(bytes);
        }
    }

    /// Has the block applied that a rival is tried by.
    pub(super) fn apply_trial(&mut self, cx: &mut Context<'_, Event>) {
        if self.is_trying || self.followed.window.is_applying() {
            return;
        }
        if let Some(rival) = &mut self.rival
            && let Trial::Arrived(_) = rival.trial
            && let Trial::Arrived(bytes) = core::mem::replace(&mut rival.trial, Trial::Applying)
        {
            self.is_trying = true;
            cx.emit(Event::Apply { blocks: vec![bytes] });
        }
    }

    /// The block was verified, or was not.
    pub(super) fn on_trial_ended(&mut self, last: &HeaderInfo, tip: &HeaderInfo, now: Time) {
        self.is_trying = false;
        let has_passed = self
            .rival
            .as_ref()
            .is_some_and(|it| matches!(it.trial, Trial::Applying) && is_first(it, last.hash));
        if !has_passed {
            self.rival = None;
            return self.followed.move_tip(tip);
        }
        if tip.hash != self.followed.tip().hash {
            // One block was enough to outweigh what there was.
            let Some(rival) = &mut self.rival else { return };
            self.followed.reorganise(&rival.fork, *tip);
            rival.fork = *tip;
            rival.headers.remove(0);
            return self.follow_rival(0, now);
        }
        let is_heavier = self.rival.as_ref().and_then(|rival| self.rival_is_heavier(rival));
        if is_heavier == Some(true) || self.is_doubtful() {
            self.follow_rival(1, now);
        } else {
            self.rival = None;
        }
    }

    /// Whether no block of what is followed has come yet, or none comes any more.
    fn is_doubtful(&self) -> bool {
        self.followed.window.len() > 0 && (!self.is_chain_proven || self.next_block_failures > 0)
    }

    /// The rival takes the place of what was followed. So many blocks of it are verified.
    fn follow_rival(&mut self, verified: usize, now: Time) {
        let Some(rival) = self.rival.take() else { return };
        if self.next_block_failures > 0
            && let Some((staller, _)) = self.staller()
        {
            // What it has offered does not come.
            self.peers.rest_after_failure(staller, &self.config, now);
        }
        let Rival { from, fork, headers, is_whole, .. } = rival;
        self.give_up_blocks();
        self.followed.follow(fork, &headers, verified);
        self.peers.forget_shown_after(fork.height);
        self.peers.has_shown(from, self.followed.head().height);
        self.may_have_more = !is_whole;
        self.is_chain_proven = verified > 0;
        self.begin_next_block();
    }

    /// The peer of a rival has failed, or is gone.
    pub(super) fn drop_rival_of(&mut self, from: ConnectionId) {
        if self.rival.as_ref().is_some_and(|rival| rival.from == from) {
            self.rival = None;
            // Those that were put off for its sake are asked at once.
            self.peers.ask_all_again();
        }
    }
}

fn is_first(rival: &Rival, hash: Hash) -> bool {
    rival.headers.first().is_some_and(|first| first.hash == hash)
}
