//! Which frames a connection may carry.

#![allow(clippy::indexing_slicing, reason = "a table of 256 entries indexed by a byte")]

use super::message::TypeRule;
use super::types::MessageType;

/// What a reader knows about each of the 256 types.
#[derive(Clone, Debug)]
pub struct FrameRules {
    rules: [Option<TypeRule>; 256],
}

impl FrameRules {
    /// No type is taken. The types of version 1 are skipped, all others are refused.
    pub const fn new() -> Self {
        Self { rules: [None; 256] }
    }

    /// Takes frames of one more type. Where two rules are about one type, the larger limit holds,
    /// and the object's hash is found if either can find it.
    #[must_use]
    pub const fn with(mut self, rule: TypeRule) -> Self {
        let index = rule.message_type.index();
        self.rules[index] = match self.rules[index] {
            Some(before) => Some(before.join(rule)),
            None => Some(rule),
        };
        self
    }

    /// The rule for a type, if frames of it are taken.
    pub const fn get(&self, message_type: MessageType) -> Option<&TypeRule> {
        self.rules[message_type.index()].as_ref()
    }

    /// The same rules and those of `other`.
    pub(crate) const fn merge(mut self, other: &Self) -> Self {
        let mut index = 0;
        while index < 256 {
            if let Some(rule) = other.rules[index] {
                self = self.with(rule);
            }
            index += 1;
        }
        self
    }
}

impl Default for FrameRules {
    fn default() -> Self {
        Self::new()
    }
}
