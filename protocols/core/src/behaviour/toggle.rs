//! A behaviour that can be left out by configuration.

use super::NetworkBehaviour;
use super::claims::{Claims, Role};
use super::context::Context;
use super::input::Input;
use crate::admission::{Candidate, Verdict};
use crate::offence::Violation;
use crate::peer::PeerInfo;
use crate::time::Time;
use crate::wire::MessageType;

/// A behaviour that is there or not. Where it is not, its messages are read and ignored, and its
/// commands do nothing.
#[derive(Clone, Debug)]
pub struct Toggle<B> {
    behaviour: Option<B>,
}

impl<B> Toggle<B> {
    /// The behaviour, switched on.
    pub const fn on(behaviour: B) -> Self {
        Self { behaviour: Some(behaviour) }
    }

    /// No behaviour.
    pub const fn off() -> Self {
        Self { behaviour: None }
    }

    /// The behaviour, if it is there.
    pub const fn get(&self) -> Option<&B> {
        self.behaviour.as_ref()
    }

    /// The behaviour, to change it, if it is there.
    pub const fn get_mut(&mut self) -> Option<&mut B> {
        self.behaviour.as_mut()
    }
}

impl<B> From<Option<B>> for Toggle<B> {
    fn from(behaviour: Option<B>) -> Self {
        Self { behaviour }
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Toggle<B> {
    const CLAIMS: Claims = B::CLAIMS;
    type Event = B::Event;
    type Command = B::Command;

    fn claims(&self) -> Claims {
        self.get().map_or(B::CLAIMS, B::claims)
    }

    fn takes(&self, message_type: MessageType, role: Role) -> bool {
        self.get().map_or_else(|| B::CLAIMS.takes(message_type, role), |it| it.takes(message_type, role))
    }

    fn admit(&self, candidate: &Candidate<'_>) -> Verdict {
        self.get().map_or(Verdict::Accept, |it| it.admit(candidate))
    }

    fn on_input(&mut self, cx: &mut Context<'_, Self::Event>, input: &Input<'_>) -> Result<(), Violation> {
        match (self.get_mut(), input) {
            (Some(behaviour), _) => behaviour.on_input(cx, input),
            // A gate that is left out is open.
            (None, Input::Opened { connection }) => {
                cx.establish(*connection, PeerInfo::default());
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }

    fn on_command(&mut self, cx: &mut Context<'_, Self::Event>, command: Self::Command) {
        if let Some(behaviour) = self.get_mut() {
            behaviour.on_command(cx, command);
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.get()?.deadline()
    }
}
