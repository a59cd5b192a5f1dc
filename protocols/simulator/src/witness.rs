//! Stands around a node's tree and watches what it is told.

use std::ops::{Deref, DerefMut};

use spacetime_core::wire::MessageType;
use spacetime_core::{
    Candidate, Claims, ConnectionId, ConnectionMap, Context, Input, NetworkBehaviour, Role, Time, Verdict,
    Violation,
};

/// Complaints that are kept until somebody takes them.
const MAX_COMPLAINTS: usize = 20;

/// Signals that may follow each other with no other input in between. The Swarm takes 4096 of one
/// input; only behaviours that answer signals with signals, round and round, come near it.
const MAX_SIGNALS: u32 = 4000;

/// A tree, and what must hold of everything it is told. It is used like the tree itself.
#[derive(Debug)]
pub struct Witness<B> {
    tree: B,
    sessions: ConnectionMap<()>,
    now: Time,
    signals: u32,
    complaints: Vec<String>,
}

impl<B> Witness<B> {
    pub(crate) const fn new(tree: B) -> Self {
        let sessions = ConnectionMap::new();
        Self { tree, sessions, now: Time::ZERO, signals: 0, complaints: Vec::new() }
    }

    /// What did not hold since the last call.
    pub(crate) fn take_complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }

    pub(crate) const fn has_complaints(&self) -> bool {
        !self.complaints.is_empty()
    }

    /// The tree, to be used by somebody else than the Swarm.
    pub(crate) const fn tree_mut(&mut self) -> &mut B {
        self.signals = 0;
        &mut self.tree
    }

    fn complain(&mut self, complaint: String) {
        if self.complaints.len() < MAX_COMPLAINTS {
            self.complaints.push(complaint);
        }
    }

    fn look_at_time(&mut self, now: Time) {
        if now < self.now {
            self.complain(format!("time went back from {:?} to {now:?}", self.now));
        }
        self.now = now;
    }

    fn expect_session(&mut self, connection: ConnectionId, what: &str) {
        if !self.sessions.contains(connection) {
            self.complain(format!("{what} of {connection}, with which there is no session"));
        }
    }
}

impl<B> Deref for Witness<B> {
    type Target = B;

    fn deref(&self) -> &B {
        &self.tree
    }
}

impl<B> DerefMut for Witness<B> {
    fn deref_mut(&mut self) -> &mut B {
        &mut self.tree
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Witness<B> {
    const CLAIMS: Claims = B::CLAIMS;
    type Event = B::Event;
    type Command = B::Command;

    fn claims(&self) -> Claims {
        self.tree.claims()
    }

    fn takes(&self, message_type: MessageType, role: Role) -> bool {
        self.tree.takes(message_type, role)
    }

    fn admit(&self, candidate: &Candidate<'_>) -> Verdict {
        self.tree.admit(candidate)
    }

    fn on_input(&mut self, cx: &mut Context<'_, Self::Event>, input: &Input<'_>) -> Result<(), Violation> {
        let now = cx.now();
        self.look_at_time(now);
        match input {
            Input::Signal(_) if self.signals >= MAX_SIGNALS => {
                // The tree hears of no more, and comes to an end.
                self.complain(format!("after {MAX_SIGNALS} signals in a row come more"));
                return Ok(());
            }
            Input::Signal(_) => self.signals += 1,
            _ => self.signals = 0,
        }
        match *input {
            Input::Established { connection } if self.sessions.insert(connection, ()).is_some() => {
                self.complain(format!("a second beginning of {connection}"));
            }
            Input::Closed { connection, .. } => {
                self.expect_session(connection, "the end");
                self.sessions.remove(connection);
            }
            Input::Frame { connection, .. } => self.expect_session(connection, "a frame"),
            Input::Answer { connection, .. } => self.expect_session(connection, "an answer"),
            Input::RequestFailed { connection, .. } => self.expect_session(connection, "a failed request"),
            Input::Writable { connection, .. } => self.expect_session(connection, "room in a queue"),
            Input::Deadline if self.tree.deadline().is_none_or(|at| at > now) => {
                self.complain("woken before its deadline".into());
            }
            _ => {}
        }
        let result = self.tree.on_input(cx, input);
        if matches!(input, Input::Deadline)
            && let Some(again) = self.tree.deadline().filter(|at| *at <= now)
        {
            self.complain(format!("a deadline that fired at {now:?} fires again at {again:?}"));
        }
        result
    }

    fn on_command(&mut self, cx: &mut Context<'_, Self::Event>, command: Self::Command) {
        self.look_at_time(cx.now());
        self.signals = 0;
        self.tree.on_command(cx, command);
    }

    fn deadline(&self) -> Option<Time> {
        self.tree.deadline()
    }
}
