//! A small node for the tests: handshake, ping, and notes that anybody may send.

use std::time::Duration;

use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use spacetime_handshake::Handshake;
use spacetime_network::swarm::Config;
use spacetime_network::transport::Transport;
use spacetime_network::wire::{ApplicationMessage, Frame, Nothing};
use spacetime_network::{
    CloseReason, ConnectionId, Context, Event, Hash, Limits, NetworkBehaviour, PeerId, Protocol, Rng,
    SendError, Swarm, Violation,
};
use spacetime_ping::Ping;
use tokio::time::timeout;

pub(crate) const CHAIN: Hash = Hash([7; 32]);

/// Any text.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) text: String,
}

impl ApplicationMessage for Note {
    const TYPE_BYTE: u8 = 0x80;
    const MAX_BYTES: u32 = 1 << 20;
}

/// Emits the notes that arrive, and answers those that begin with `echo`.
pub(crate) struct Notes;

#[derive(Debug)]
pub(crate) enum Command {
    Send(ConnectionId, Note),
}

impl Protocol for Notes {
    type Message<'a> = Note;
    type Answer<'a> = Nothing;
    type Event = (ConnectionId, String);
    type Command = Command;

    fn on_message(
        &mut self,
        cx: &mut Context<'_, Self::Event>,
        from: ConnectionId,
        note: Note,
        _: &Frame,
    ) -> Result<(), Violation> {
        if let Some(rest) = note.text.strip_prefix("echo ") {
            match cx.send(from, &Note { text: rest.into() }) {
                Ok(()) | Err(SendError::Closed | SendError::Full) => {}
                Err(error) => panic!("{error}"),
            }
        }
        cx.emit((from, note.text));
        Ok(())
    }

    fn on_command(&mut self, cx: &mut Context<'_, Self::Event>, Command::Send(to, note): Command) {
        let _full_or_closed = cx.send(to, &note);
    }
}

#[derive(NetworkBehaviour)]
pub(crate) struct Node {
    pub(crate) handshake: Handshake,
    pub(crate) ping: Ping,
    pub(crate) notes: Notes,
}

pub(crate) fn node(number: u8, transport: impl Transport) -> Swarm<Node> {
    node_with(number, transport, Limits::default())
}

pub(crate) fn node_with(number: u8, transport: impl Transport, limits: Limits) -> Swarm<Node> {
    let rng = Rng::from_number(number.into());
    let behaviour = Node {
        handshake: Handshake::new(spacetime_handshake::Config::new(CHAIN), &rng).unwrap(),
        ping: Ping::new(spacetime_ping::Config::default(), &rng).unwrap(),
        notes: Notes,
    };
    let config = Config::new(PeerId([number; 32]))
        .with_transport(transport)
        .with_limits(limits)
        .with_unix_clock(|| 1_800_000_000);
    Swarm::new(behaviour, config).unwrap()
}

/// Polls a Swarm until an event is what is wanted; not a measure of speed.
pub(crate) async fn next<B: NetworkBehaviour + 'static, T>(
    swarm: &mut Swarm<B>,
    mut wanted: impl FnMut(&Event<B::Event>) -> Option<T>,
) -> T {
    let found = async {
        loop {
            let event = swarm.next().await.expect("a Swarm does not end");
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    };
    timeout(Duration::from_secs(60), found).await.expect("the event comes")
}

pub(crate) fn established<E>(event: &Event<E>) -> Option<ConnectionId> {
    match event {
        Event::Established { connection, .. } => Some(*connection),
        _ => None,
    }
}

pub(crate) fn note(event: &Event<NodeEvent>) -> Option<String> {
    match event {
        Event::Behaviour(NodeEvent::Notes((_, text))) => Some(text.clone()),
        _ => None,
    }
}

/// The same from a tree that is nothing but [`Notes`].
pub(crate) fn bare_note(event: &Event<(ConnectionId, String)>) -> Option<String> {
    match event {
        Event::Behaviour((_, text)) => Some(text.clone()),
        _ => None,
    }
}

pub(crate) fn closed<E>(event: &Event<E>) -> Option<CloseReason> {
    match event {
        Event::Closed { reason, .. } | Event::Refused { reason, .. } => Some(reason.clone()),
        _ => None,
    }
}
