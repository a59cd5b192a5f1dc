//! Which behaviour of a tree receives which type, decided when the tree is compiled.

#![allow(clippy::indexing_slicing, reason = "tables of 256 entries indexed by a byte")]

use super::input::Input;
use crate::wire::{FrameRules, MessageType, TypeRule};

/// How a frame is received. The same type may be claimed once in each role.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// It came by itself.
    Message,
    /// It answers a request of the behaviour.
    Answer,
}

/// The types that a behaviour receives, and in which role.
///
/// Joining two claims to the same type in the same role panics, which in a `const` fails the build.
#[derive(Clone, Debug)]
pub struct Claims {
    rules: FrameRules,
    messages: [u8; 256],
    answers: [u8; 256],
    /// How many claims were joined to these.
    members: u8,
    has_gate: bool,
}

/// Nobody receives a type. Else it is the place among the members, from 1 on, of who does.
const NOBODY: u8 = 0;
/// Somebody does, further behind than is counted.
const SOMEBODY: u8 = u8::MAX;

impl Claims {
    /// No claim.
    pub const NONE: Self = Self {
        rules: FrameRules::new(),
        messages: [NOBODY; 256],
        answers: [NOBODY; 256],
        members: 0,
        has_gate: false,
    };

    /// The same claims, and these types in this role.
    #[must_use]
    #[track_caller]
    pub const fn with(mut self, role: Role, mut types: &[TypeRule]) -> Self {
        while let [rule, rest @ ..] = types {
            let taken = match role {
                Role::Message => &mut self.messages,
                Role::Answer => &mut self.answers,
            };
            let index = rule.message_type.index();
            assert!(taken[index] == NOBODY, "a message type is claimed twice in the same role");
            taken[index] = SOMEBODY;
            self.rules = self.rules.with(*rule);
            types = rest;
        }
        self
    }

    /// The same claims, by a behaviour that decides who is let in.
    #[must_use]
    pub const fn with_gate(mut self) -> Self {
        self.has_gate = true;
        self
    }

    /// Both claims.
    #[must_use]
    #[track_caller]
    pub const fn and(mut self, other: &Self) -> Self {
        assert!(!self.overlaps(other), "two behaviours claim the same message type in the same role");
        self.members = self.members.saturating_add(1);
        let mut index = 0;
        while index < 256 {
            if other.messages[index] != NOBODY {
                self.messages[index] = self.members;
            }
            if other.answers[index] != NOBODY {
                self.answers[index] = self.members;
            }
            index += 1;
        }
        assert!(!(self.has_gate && other.has_gate), "a tree has at most one gate");
        self.has_gate |= other.has_gate;
        self.rules = self.rules.merge(&other.rules);
        self
    }

    /// Panics with one of the messages if these claims and those of a member before cannot be in
    /// one tree. The derive's way to say which members they are.
    #[doc(hidden)]
    #[track_caller]
    pub const fn check_beside(&self, before: &Self, same_type: &str, two_gates: &str) {
        if self.overlaps(before) {
            panic!("{}", same_type);
        }
        if self.has_gate && before.has_gate {
            panic!("{}", two_gates);
        }
    }

    /// Whether both claim a type in the same role.
    const fn overlaps(&self, other: &Self) -> bool {
        let mut index = 0;
        while index < 256 {
            if self.messages[index] != NOBODY && other.messages[index] != NOBODY
                || self.answers[index] != NOBODY && other.answers[index] != NOBODY
            {
                return true;
            }
            index += 1;
        }
        false
    }

    /// Whether a frame of this type is received in this role.
    pub const fn takes(&self, message_type: MessageType, role: Role) -> bool {
        self.taken_by(message_type, role) != NOBODY
    }

    const fn taken_by(&self, message_type: MessageType, role: Role) -> u8 {
        match role {
            Role::Message => self.messages[message_type.index()],
            Role::Answer => self.answers[message_type.index()],
        }
    }

    /// Of the claims that were joined, the place of those of the only member that an input is for, if
    /// that is known: so a frame finds its way past however many members in one step.
    #[doc(hidden)]
    #[inline]
    pub fn member(&self, input: &Input<'_>) -> Option<u8> {
        let member = match input {
            Input::Frame { frame, .. } => self.taken_by(frame.message_type(), Role::Message),
            Input::Answer { frame, .. } => self.taken_by(frame.message_type(), Role::Answer),
            Input::RequestFailed { answer, .. } => self.taken_by(*answer, Role::Answer),
            _ => NOBODY,
        };
        if member == SOMEBODY { None } else { member.checked_sub(1) }
    }

    /// Whether one of the behaviours decides who is let in.
    pub const fn has_gate(&self) -> bool {
        self.has_gate
    }

    /// What frame readers must know.
    pub const fn rules(&self) -> &FrameRules {
        &self.rules
    }
}
