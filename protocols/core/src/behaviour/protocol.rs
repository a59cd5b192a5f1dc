//! The leaf of a tree: one protocol, with typed messages.

use core::fmt;

use super::NetworkBehaviour;
use super::claims::{Claims, Role};
use super::context::Context;
use super::input::Input;
use crate::address::Address;
use crate::admission::{Candidate, Verdict};
use crate::close::{CloseReason, DialError};
use crate::connection::ConnectionId;
use crate::offence::{Offence, Violation};
use crate::request::{RequestError, RequestId};
use crate::signal::Signal;
use crate::time::Time;
use crate::wire::{DecodeError, Frame, MessageSet, Priority};

/// One protocol: a state machine that receives its own messages and nothing else's.
///
/// Every implementation is a [`NetworkBehaviour`], so it can stand alone in a Swarm or be a field
/// of a derived tree. All methods but [`on_message`](Self::on_message) have a default that does
/// nothing.
pub trait Protocol {
    /// What peers send unasked.
    type Message<'a>: MessageSet<'a>;
    /// What peers send in answer to this protocol's requests; [`Nothing`](crate::wire::Nothing) if
    /// it makes none.
    type Answer<'a>: MessageSet<'a>;
    /// What it tells the application; [`Infallible`](core::convert::Infallible) if nothing.
    type Event: fmt::Debug;
    /// What the application tells it; [`Infallible`](core::convert::Infallible) if nothing.
    type Command: fmt::Debug;

    /// Whether a connection may come to be. See [`NetworkBehaviour::admit`].
    fn admit(&self, candidate: &Candidate<'_>) -> Verdict {
        let _ = candidate;
        Verdict::Accept
    }

    /// A session with a peer began. `cx.peer(connection)` says with whom.
    fn on_established(&mut self, cx: &mut Context<'_, Self::Event>, connection: ConnectionId) {
        let _ = (cx, connection);
    }

    /// A session ended. Nothing more can be sent on it, nothing more is heard of it.
    fn on_closed(
        &mut self,
        cx: &mut Context<'_, Self::Event>,
        connection: ConnectionId,
        reason: &CloseReason,
    ) {
        let _ = (cx, connection, reason);
    }

    /// A dial came to nothing. All behaviours hear of all dials.
    fn on_dial_failed(
        &mut self,
        cx: &mut Context<'_, Self::Event>,
        connection: ConnectionId,
        address: &Address,
        error: &DialError,
    ) {
        let _ = (cx, connection, address, error);
    }

    /// A message arrived. `frame` is what it was decoded from, to be forwarded or kept.
    fn on_message(
        &mut self,
        cx: &mut Context<'_, Self::Event>,
        from: ConnectionId,
        message: Self::Message<'_>,
        frame: &Frame,
    ) -> Result<(), Violation>;

    /// An answer to one of its requests arrived.
    fn on_answer(
        &mut self,
        cx: &mut Context<'_, Self::Event>,
        from: ConnectionId,
        request: RequestId,
        answer: Self::Answer<'_>,
        frame: &Frame,
    ) -> Result<(), Violation> {
        let _ = (cx, from, request, answer, frame);
        Ok(())
    }

    /// One of its requests will not be answered, or was answered with bytes that are no answer.
    fn on_request_failed(
        &mut self,
        cx: &mut Context<'_, Self::Event>,
        connection: ConnectionId,
        request: RequestId,
        error: RequestError,
    ) {
        let _ = (cx, connection, request, error);
    }

    /// A queue that answered `Full` to somebody in the tree has room again.
    fn on_writable(
        &mut self,
        cx: &mut Context<'_, Self::Event>,
        connection: ConnectionId,
        priority: Priority,
    ) {
        let _ = (cx, connection, priority);
    }

    /// Another behaviour, or the Swarm, has something to say to all.
    fn on_signal(&mut self, cx: &mut Context<'_, Self::Event>, signal: &Signal) {
        let _ = (cx, signal);
    }

    /// The application wants something.
    fn on_command(&mut self, cx: &mut Context<'_, Self::Event>, command: Self::Command) {
        let _ = (cx, command);
    }

    /// When it wants to be called, if nothing happens before. It must be cheap and follow from the
    /// state: there is nothing to arm.
    fn deadline(&self) -> Option<Time> {
        None
    }

    /// Its deadline is over. Afterwards the deadline must lie in the future.
    fn on_deadline(&mut self, cx: &mut Context<'_, Self::Event>) {
        let _ = cx;
    }
}

impl<P: Protocol> NetworkBehaviour for P {
    const CLAIMS: Claims = Claims::NONE
        .with(Role::Message, <P::Message<'static> as MessageSet<'static>>::TYPES)
        .with(Role::Answer, <P::Answer<'static> as MessageSet<'static>>::TYPES);
    type Event = P::Event;
    type Command = P::Command;

    fn admit(&self, candidate: &Candidate<'_>) -> Verdict {
        Protocol::admit(self, candidate)
    }

    fn on_input(&mut self, cx: &mut Context<'_, Self::Event>, input: &Input<'_>) -> Result<(), Violation> {
        match *input {
            Input::Frame { connection, frame } => {
                let message = P::Message::decode_type(frame.message_type(), frame.payload())
                    .map_err(|error| malformed(frame, error))?;
                return self.on_message(cx, connection, message, frame);
            }
            Input::Answer { connection, request, frame } => {
                return match P::Answer::decode_type(frame.message_type(), frame.payload()) {
                    Ok(answer) => self.on_answer(cx, connection, request, answer, frame),
                    Err(error) => {
                        // The request is over all the same; nobody may wait for it any longer.
                        self.on_request_failed(cx, connection, request, RequestError::Malformed);
                        Err(malformed(frame, error))
                    }
                };
            }
            Input::RequestFailed { connection, request, error, .. } => {
                self.on_request_failed(cx, connection, request, error);
            }
            Input::Established { connection } => self.on_established(cx, connection),
            Input::Closed { connection, reason } => self.on_closed(cx, connection, reason),
            Input::DialFailed { connection, address, error } => {
                self.on_dial_failed(cx, connection, address, error);
            }
            Input::Writable { connection, priority } => self.on_writable(cx, connection, priority),
            Input::Signal(signal) => self.on_signal(cx, signal),
            Input::Deadline => self.on_deadline(cx),
            Input::Opened { .. } | Input::OpeningFrame { .. } | Input::OpeningClosed { .. } => {}
        }
        Ok(())
    }

    fn on_command(&mut self, cx: &mut Context<'_, Self::Event>, command: Self::Command) {
        Protocol::on_command(self, cx, command);
    }

    fn deadline(&self) -> Option<Time> {
        Protocol::deadline(self)
    }
}

fn malformed(frame: &Frame, error: DecodeError) -> Violation {
    Violation::tolerable(Offence::Malformed { message_type: frame.message_type(), error })
}
