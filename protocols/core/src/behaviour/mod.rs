//! Behaviours: protocols as state machines, and trees of them.
//!
//! A behaviour is called with an input (`on_*`) and pushes what it wants into a [`Context`]:
//! frames, dials, closes, events. Nothing inside the tree is polled, so nothing that is queued can
//! be forgotten and an idle behaviour costs nothing.
//!
//! * [`Protocol`] is a leaf: one protocol with typed messages. Most people implement this one.
//! * [`NetworkBehaviour`] is a node of a tree: a leaf (by a blanket implementation), a struct of
//!   behaviours with `#[derive(NetworkBehaviour)]`, a [`Toggle`], or a [`Dynamic`] set composed at
//!   run time.
//!
//! # In which order things are told
//!
//! 1. A behaviour hears `on_established` of a connection once, before anything else about it, and
//!    `on_closed` once, after everything else. In between it hears only of established peers.
//! 2. Frames of one connection are delivered in the order in which they arrived.
//! 3. What an input causes (signals, closes, failed requests, room in a queue) is delivered after
//!    the call that caused it has returned, in the order in which it was caused, and before the
//!    next input. No behaviour is ever called from inside a call.
//! 4. Deadlines that are due are fired before the next input, so no traffic can hold timers up.
//! 5. Each request ends once: with its answer, or with `on_request_failed`, and before `on_closed`
//!    of its connection.
//! 6. Each dial that was taken ends once: with `on_established`, or with `on_dial_failed`.
//! 7. Events come out in the order in which they were emitted; those about a connection after its
//!    `Established` and before its `Closed`.

mod claims;
mod context;
mod dynamic;
mod input;
mod protocol;
mod toggle;

use core::fmt;

pub use claims::{Claims, Role};
pub use context::Context;
pub(crate) use context::EventSink;
pub use dynamic::{ClaimConflict, Dynamic};
pub use input::Input;
pub use protocol::Protocol;
pub use toggle::Toggle;

use crate::admission::{Candidate, Verdict};
use crate::offence::Violation;
use crate::time::Time;
use crate::wire::MessageType;

/// A node of a tree of behaviours.
///
/// Implement [`Protocol`] for a protocol of your own, and derive this one for a struct of
/// behaviours. By hand it is for gates, which decide who is let in, and for parents that do more
/// than pass [`Input`]s on.
pub trait NetworkBehaviour {
    /// Which types it receives, and in which role.
    const CLAIMS: Claims;
    /// What it tells the application.
    type Event: fmt::Debug;
    /// What the application tells it.
    type Command: fmt::Debug;

    /// Which types it receives, where that depends on its value: at least those in [`CLAIMS`](Self::CLAIMS).
    fn claims(&self) -> Claims {
        Self::CLAIMS
    }

    /// Whether it receives frames of a type in a role: at least of those in [`CLAIMS`](Self::CLAIMS).
    #[inline]
    fn takes(&self, message_type: MessageType, role: Role) -> bool {
        const { &Self::CLAIMS }.takes(message_type, role)
    }

    /// Whether a connection may come to be. Asked of the whole tree before anything changes, at
    /// every [`Stage`](crate::Stage); being asked changes nothing.
    fn admit(&self, candidate: &Candidate<'_>) -> Verdict {
        let _ = candidate;
        Verdict::Accept
    }

    /// Something happened. Only for frames is a violation anything else than a bug.
    fn on_input(&mut self, cx: &mut Context<'_, Self::Event>, input: &Input<'_>) -> Result<(), Violation>;

    /// The application wants something.
    fn on_command(&mut self, cx: &mut Context<'_, Self::Event>, command: Self::Command);

    /// When it wants to be called, if nothing happens before. Read whenever the driver is about to
    /// sleep, so it must be cheap and must follow from the state: there is nothing to arm. After
    /// an [`Input::Deadline`] it must lie in the future.
    fn deadline(&self) -> Option<Time> {
        None
    }
}
