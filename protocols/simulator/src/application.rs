//! What stands above a node's tree: it carries out effects, and keeps what must outlive a crash.

use std::time::Duration;

use spacetime_core::{Event, NetworkBehaviour, Time};

/// How long an application takes to carry out an effect, beside what the disk takes.
const EFFECT_TIME: Duration = Duration::from_millis(1);

/// The application of one node, in one of its lives. What it wrote to its
/// [`Disk`](crate::Disk) is there in the next one.
pub trait Application<B: NetworkBehaviour> {
    /// The Swarm said something.
    fn on_event(&mut self, event: &Event<B::Event>, effects: &mut Effects<B::Command>);
}

impl<B: NetworkBehaviour, F: FnMut(&Event<B::Event>, &mut Effects<B::Command>)> Application<B> for F {
    fn on_event(&mut self, event: &Event<B::Event>, effects: &mut Effects<B::Command>) {
        self(event, effects);
    }
}

/// What an application does about an event.
#[derive(Debug)]
pub struct Effects<C> {
    now: Time,
    unix_seconds: i64,
    pub(crate) commands: Vec<C>,
    pub(crate) exit: Option<String>,
}

impl<C> Effects<C> {
    pub(crate) const fn new(now: Time, unix_seconds: i64) -> Self {
        Self { now, unix_seconds, commands: Vec::new(), exit: None }
    }

    /// What time it is in this life of the node.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// What the node's wall clock says.
    pub const fn unix_seconds(&self) -> i64 {
        self.unix_seconds
    }

    /// Gives the tree a command, when the effect has had its time: a millisecond, and what the disk
    /// takes for it. Commands arrive in order.
    pub fn command(&mut self, command: C) {
        self.commands.push(command);
    }

    /// Ends the process, as a node does whose disk failed. It is started again after a while.
    pub fn exit(&mut self, why: impl Into<String>) {
        self.exit = Some(why.into());
    }

    /// What it takes beside what the disk takes.
    pub(crate) fn time(&self) -> Duration {
        if self.commands.is_empty() { Duration::ZERO } else { EFFECT_TIME }
    }
}
