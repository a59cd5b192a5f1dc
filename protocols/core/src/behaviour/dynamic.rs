//! Behaviours that are put together when the program runs.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use super::NetworkBehaviour;
use super::claims::{Claims, Role};
use super::context::Context;
use super::input::Input;
use crate::admission::{Candidate, Verdict};
use crate::offence::Violation;
use crate::time::Time;
use crate::wire::MessageType;

/// A set of behaviours chosen at run time, for programs with plug-ins.
///
/// All members speak the set's event `E` and command `C`. A command is offered to each member in
/// turn until one takes it. Prefer `#[derive(NetworkBehaviour)]` where the members are known: it
/// checks claims when it is compiled and calls without indirection.
///
/// A set can stand alone in a Swarm or be a field of a derived tree. Members cannot be gates.
pub struct Dynamic<E, C> {
    members: Vec<Box<dyn Member<E, C>>>,
    claims: Claims,
}

/// Two members of a set, or a member and the set's type, claim the same message type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClaimConflict {
    message_type: MessageType,
}

impl fmt::Display for ClaimConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is claimed by another behaviour in the same role, or by a gate", self.message_type)
    }
}

impl core::error::Error for ClaimConflict {}

impl<E, C> Dynamic<E, C> {
    /// No behaviours.
    pub const fn new() -> Self {
        Self { members: Vec::new(), claims: Claims::NONE }
    }

    /// Adds a behaviour. `event` makes its events those of the set; `command` picks out the
    /// commands that are for it and gives the others back.
    pub fn with<B>(
        mut self,
        behaviour: B,
        event: fn(B::Event) -> E,
        command: fn(C) -> Result<B::Command, C>,
    ) -> Result<Self, ClaimConflict>
    where
        B: NetworkBehaviour + Send + 'static,
        E: 'static,
        C: 'static,
    {
        let claims = behaviour.claims();
        for message_type in (0..=u8::MAX).map(MessageType::from_byte) {
            for role in [Role::Message, Role::Answer] {
                if self.claims.takes(message_type, role) && claims.takes(message_type, role) {
                    return Err(ClaimConflict { message_type });
                }
            }
        }
        if claims.has_gate() {
            return Err(ClaimConflict { message_type: MessageType::HANDSHAKE });
        }
        self.claims = self.claims.and(&claims);
        self.members.push(Box::new(Adapted { behaviour, event, command }));
        Ok(self)
    }
}

impl<E, C> Default for Dynamic<E, C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E, C> fmt::Debug for Dynamic<E, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dynamic").field("members", &self.members.len()).finish_non_exhaustive()
    }
}

/// A member of a set, as the set calls it.
trait Member<E, C>: Send {
    fn is_for(&self, input: &Input<'_>, now: Time) -> bool;
    fn admit(&self, candidate: &Candidate<'_>) -> Verdict;
    fn on_input(&mut self, cx: &mut Context<'_, E>, input: &Input<'_>) -> Result<(), Violation>;
    fn on_command(&mut self, cx: &mut Context<'_, E>, command: C) -> Result<(), C>;
    fn deadline(&self) -> Option<Time>;
}

struct Adapted<B: NetworkBehaviour, E, C> {
    behaviour: B,
    event: fn(B::Event) -> E,
    command: fn(C) -> Result<B::Command, C>,
}

impl<B: NetworkBehaviour + Send, E, C> Member<E, C> for Adapted<B, E, C> {
    fn is_for(&self, input: &Input<'_>, now: Time) -> bool {
        input.is_for(&self.behaviour, now)
    }

    fn admit(&self, candidate: &Candidate<'_>) -> Verdict {
        self.behaviour.admit(candidate)
    }

    fn on_input(&mut self, cx: &mut Context<'_, E>, input: &Input<'_>) -> Result<(), Violation> {
        cx.with_child(self.event, |cx| self.behaviour.on_input(cx, input))
    }

    fn on_command(&mut self, cx: &mut Context<'_, E>, command: C) -> Result<(), C> {
        let command = (self.command)(command)?;
        cx.with_child(self.event, |cx| self.behaviour.on_command(cx, command));
        Ok(())
    }

    fn deadline(&self) -> Option<Time> {
        self.behaviour.deadline()
    }
}

impl<E: fmt::Debug, C: fmt::Debug> NetworkBehaviour for Dynamic<E, C> {
    const CLAIMS: Claims = Claims::NONE;
    type Event = E;
    type Command = C;

    fn claims(&self) -> Claims {
        self.claims.clone()
    }

    fn takes(&self, message_type: MessageType, role: Role) -> bool {
        self.claims.takes(message_type, role)
    }

    fn admit(&self, candidate: &Candidate<'_>) -> Verdict {
        self.members
            .iter()
            .fold(Verdict::Accept, |verdict, member| verdict.and_then(|| member.admit(candidate)))
    }

    fn on_input(&mut self, cx: &mut Context<'_, E>, input: &Input<'_>) -> Result<(), Violation> {
        let now = cx.now();
        self.members
            .iter_mut()
            .filter(|member| member.is_for(input, now))
            .try_for_each(|it| it.on_input(cx, input))
    }

    fn on_command(&mut self, cx: &mut Context<'_, E>, mut command: C) {
        for member in &mut self.members {
            match member.on_command(cx, command) {
                Ok(()) => return,
                Err(given_back) => command = given_back,
            }
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.members.iter().filter_map(|member| member.deadline()).min()
    }
}
