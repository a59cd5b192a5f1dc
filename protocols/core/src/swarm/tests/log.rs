//! What happened to a tree, in the order in which it happened.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use crate::wire::Priority;
use crate::{CloseReason, ConnectionId, DialError, RequestError, RequestId, Signal, Time};

/// A step that never ends must not eat all memory first.
const MAX_ENTRIES: usize = 2_000_000;

/// A member of a tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Who {
    Gate,
    First,
    Second,
}

impl Who {
    pub(super) const ALL: [Self; 3] = [Self::Gate, Self::First, Self::Second];
}

/// What a behaviour was told.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Heard {
    Opened(ConnectionId),
    OpeningFrame(ConnectionId),
    OpeningClosed(ConnectionId, CloseReason),
    Established(ConnectionId),
    Closed(ConnectionId, CloseReason),
    DialFailed(ConnectionId, DialError),
    Message(ConnectionId, u32),
    Answer(ConnectionId, RequestId, u32),
    RequestFailed(ConnectionId, RequestId, RequestError),
    Writable(ConnectionId, Priority),
    Signal(Signal),
    Deadline,
    Command,
}

impl Heard {
    /// Which connection it is about, if it is part of that connection's life.
    pub(super) fn connection(&self) -> Option<ConnectionId> {
        match self {
            Self::Opened(connection)
            | Self::OpeningFrame(connection)
            | Self::OpeningClosed(connection, _)
            | Self::Established(connection)
            | Self::Closed(connection, _)
            | Self::DialFailed(connection, _)
            | Self::Message(connection, _)
            | Self::Answer(connection, ..)
            | Self::RequestFailed(connection, ..)
            | Self::Writable(connection, _) => Some(*connection),
            Self::Signal(_) | Self::Deadline | Self::Command => None,
        }
    }

    /// Whether it comes from outside of the Swarm, and is not caused by another input.
    pub(super) fn is_from_outside(&self) -> bool {
        matches!(
            self,
            Self::Opened(_) | Self::OpeningFrame(_) | Self::Message(..) | Self::Answer(..) | Self::Command
        )
    }
}

/// What a behaviour did about it.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Did {
    /// A signal of its own, with a number that no other one has.
    Signalled(u64),
    /// Closed what was a session.
    Closed(ConnectionId),
    Dialled(ConnectionId),
    Asked(ConnectionId, RequestId, Time),
    /// Told the application something, with a number that nothing else has.
    Emitted(u64),
    /// Wants to be called.
    Armed(Time),
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Entry {
    /// The test called the Swarm.
    Step(Time),
    Heard(Who, Heard),
    Did(Who, Did),
}

/// One log for all members of a tree.
#[derive(Clone, Default, Debug)]
pub(super) struct Log(Rc<RefCell<Vec<Entry>>>);

impl Log {
    pub(super) fn step(&self, now: Time) {
        self.0.borrow_mut().push(Entry::Step(now));
    }

    pub(super) fn heard(&self, who: Who, what: Heard) {
        let mut entries = self.0.borrow_mut();
        assert!(entries.len() < MAX_ENTRIES, "steps end");
        entries.push(Entry::Heard(who, what));
    }

    pub(super) fn did(&self, who: Who, what: Did) {
        self.0.borrow_mut().push(Entry::Did(who, what));
    }

    /// A number that was not given out before.
    pub(super) fn number(&self) -> u64 {
        self.0.borrow().len() as u64
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.0.borrow().clone()
    }

    /// What one member was told, in order.
    pub(super) fn heard_by(&self, who: Who) -> Vec<Heard> {
        self.entries()
            .into_iter()
            .filter_map(|entry| match entry {
                Entry::Heard(by, what) if by == who => Some(what),
                _ => None,
            })
            .collect()
    }

    /// What one member was told about a connection, in order.
    pub(super) fn heard_about(&self, who: Who, connection: ConnectionId) -> Vec<Heard> {
        let mut heard = self.heard_by(who);
        heard.retain(|what| what.connection() == Some(connection));
        heard
    }

    /// Forgets what happened so far.
    pub(super) fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}
