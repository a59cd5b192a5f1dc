//! Requests that wait for their answers.

use alloc::collections::VecDeque;

use crate::patience::{Held, Patience};
use crate::request::{Expect, RequestError, RequestId};
use crate::time::Time;
use crate::wire::{Frame, MessageType};

/// What an arriving frame is to the requests of its connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// The answer to this request.
    Answer(RequestId),
    /// The answer to a request that was given up. To be dropped.
    Late,
    /// No request waits for such a frame.
    None,
}

#[derive(Debug)]
struct Outstanding {
    id: RequestId,
    expect: Expect,
    patience: Patience,
    /// The timeout passed. The entry stays: without request ids on the wire, a late answer would
    /// otherwise be taken for the answer to the next request.
    given_up: bool,
}

/// The requests of one connection that wait for answers, in the order they were sent.
///
/// # Security
///
/// Bounded by `max_requests`, given-up ones included: a peer that answers nothing is asked nothing
/// more after so many requests, where only their order tells whose answer comes.
#[derive(Debug, Default)]
pub(super) struct Requests {
    outstanding: VecDeque<Outstanding>,
    /// Somebody was told that there is no room, and wants to hear when there is.
    refused: bool,
}

impl Requests {
    /// Whether there may be one more, of at most `max`.
    pub(super) fn make_room(&mut self, max: usize) -> bool {
        if self.len() < max {
            return true;
        }
        // An object's answer cannot be mistaken for another one, so it does no harm to forget that
        // it was asked for. Else a peer that lacks some, and cannot say so, would fill the table.
        let forgettable = |request: &Outstanding| request.given_up && request.expect.object_id.is_some();
        match self.outstanding.iter().position(forgettable) {
            Some(oldest) => self.outstanding.remove(oldest).is_some(),
            None => {
                self.refused = true;
                false
            }
        }
    }

    /// Whether somebody was refused and half of the room is free again. Said once per refusal.
    pub(super) fn take_writable(&mut self, max: usize) -> bool {
        self.refused && self.len() <= max / 2 && core::mem::take(&mut self.refused)
    }

    pub(super) fn len(&self) -> usize {
        self.outstanding.len()
    }

    pub(super) fn push(&mut self, id: RequestId, expect: Expect, patience: Patience) {
        if self.outstanding.capacity() == 0 {
            // Most peers are never asked more than one thing at a time.
            self.outstanding.reserve_exact(1);
        }
        self.outstanding.push_back(Outstanding { id, expect, patience, given_up: false });
    }

    /// Finds the request that a frame answers, and forgets it.
    pub(super) fn take_answered(&mut self, frame: &Frame) -> Match {
        let message_type = frame.message_type();
        let answers = |request: &Outstanding| {
            request.expect.answer == message_type
                && (request.expect.object_id.is_none() || request.expect.object_id == frame.object_id())
        };
        let Some(first) = self.outstanding.iter().position(answers) else {
            return Match::None;
        };
        // An object that is known by its hash is for whoever still waits for it, whichever request
        // the peer means. Without a hash only the order says whose answer it is.
        let by_hash_and_given_up =
            |request: &Outstanding| request.given_up && request.expect.object_id.is_some();
        let position = match self.outstanding.get(first).is_some_and(by_hash_and_given_up) {
            true => self.outstanding.iter().position(|it| !it.given_up && answers(it)).unwrap_or(first),
            false => first,
        };
        match self.outstanding.remove(position) {
            Some(request) if request.given_up => Match::Late,
            Some(request) => Match::Answer(request.id),
            None => Match::None,
        }
    }

    /// Gives up the requests whose time is over; their ids, the types of their answers, and why there
    /// is none.
    pub(super) fn give_up_due(
        &mut self,
        now: Time,
        held: Held,
    ) -> impl Iterator<Item = (RequestId, MessageType, RequestError)> {
        self.outstanding
            .iter_mut()
            .filter(move |request| !request.given_up && request.patience.ends(now, held) <= now)
            .map(move |request| {
                request.given_up = true;
                let is_excused = request.patience.is_exhausted(held);
                let error = if is_excused { RequestError::HeldBack } else { RequestError::Timeout };
                (request.id, request.expect.answer, error)
            })
    }

    /// Forgets all requests; those that were still waited for.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (RequestId, MessageType)> {
        self.outstanding
            .drain(..)
            .filter(|request| !request.given_up)
            .map(|request| (request.id, request.expect.answer))
    }

    /// When the next request is given up.
    pub(super) fn deadline(&self, now: Time, held: Held) -> Option<Time> {
        self.outstanding
            .iter()
            .filter(|request| !request.given_up)
            .map(|request| request.patience.ends(now, held))
            .min()
    }
}
