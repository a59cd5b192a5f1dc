//! The handshake: the gate of a tree, which finds out who connected and whether to let them in.
//!
//! # What it promises
//!
//! * No other behaviour hears of a peer before the peer has said who it is, or was let in without
//!   a word by configuration.
//! * A peer that gets in belongs to this chain and speaks a version of the protocol that this node
//!   speaks, as far as it says so; it is not this node itself; and where the transport proves
//!   identities or the dialled address names one, it is the one.
//! * What a peer says about its clock is noted and believed in nothing.
//!
//! # On the wire
//!
//! The dialer sends [`Handshake`](wire::Handshake), with an extension behind the user agent that a
//! version-1 node ignores. The listener answers [`HandshakeAck`], and if the dialer's Handshake had
//! an extension, with a Handshake of its own right after it. A version-1 listener sends the
//! acknowledgement only, or nothing.
//!
//! ```text
//! dialer                                        listener
//!
//! opened: send Handshake                        opened
//!    |                                             |
//!    v                                             v
//! waits for the ack --- other frame ----+       waits for Handshake --- other frame --+
//!    | ack             (legacy = serve) |          |                 (legacy = serve) |
//!    v                                  v          | Handshake                        v
//! waits for Handshake -- grace over, -> version 1  |  with extension -> known      version 1
//!    | Handshake         other frame               |  without        -> version 1
//!    v                                             v
//!  known                                        send HandshakeAck, [Handshake]
//! ```
//!
//! # Limits
//!
//! Everything before the last step is under the Swarm's `opening_timeout` (5 s) and in frames of at
//! most 1024 bytes of payload. Per connection that is opening the gate keeps a few bytes.
//!
//! # What each violation costs
//!
//! | what the peer does | what happens |
//! |---|---|
//! | malformed Handshake or extension | closed, charged |
//! | another frame first (`legacy = refuse`) | closed, charged |
//! | another chain, no common version, itself, not the expected peer | closed, not charged |
//! | nothing in time | closed by the Swarm, not charged |
//! | a second Handshake | ignored and charged |

#![no_std]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

extern crate alloc;

mod config;

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use core::convert::Infallible;
use core::num::NonZeroU16;

pub use config::{Config, InvalidConfig, Legacy};
use spacetime_core::wire::{self, Announcement, Extension, Frame, HandshakeAck, MessageType, TypeRule};
use spacetime_core::{
    Claims, CloseReason, ConnectionId, ConnectionMap, Context, Deadlines, Direction, Hash, Input,
    NetworkBehaviour, Offence, OpeningConnection, Patience, PeerId, PeerInfo, Rng, Role, Signal, Time,
    Violation,
};

/// The gate. One per node; see the [crate].
#[derive(Debug)]
pub struct Handshake {
    config: Config,
    /// Made up at the start; a peer that sends it is this node.
    nonce: u64,
    best_block: Option<(u64, Hash)>,
    opening: ConnectionMap<Step>,
    /// How long a peer may be silent until it is taken for a version-1 node.
    graces: ConnectionMap<Patience>,
    deadlines: Deadlines<ConnectionId>,
}

/// What the gate waits for on a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// We listen: for the dialer's Handshake.
    Handshake,
    /// We dialled: for the acknowledgement of ours.
    Ack,
    /// We dialled and were acknowledged: for the listener's Handshake, if it sends one.
    AnsweringHandshake,
}

/// Why a peer is not let in, or how it broke the protocol.
enum Refusal {
    Close(CloseReason),
    Violation(Violation),
}

impl From<Violation> for Refusal {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl Handshake {
    /// The gate of a node that has this configuration.
    pub fn new(config: Config, rng: &Rng) -> Result<Self, InvalidConfig> {
        config.validate()?;
        let best_block = config.best_block();
        Ok(Self {
            config,
            nonce: rng.fork("handshake").u64(),
            best_block,
            opening: ConnectionMap::new(),
            graces: ConnectionMap::new(),
            deadlines: Deadlines::new(),
        })
    }

    /// The port on which the node takes connections, where it is known only later.
    pub fn set_listen_port(&mut self, port: Option<NonZeroU16>) {
        self.config = self.config.clone().with_listen_port(port.map(NonZeroU16::get));
    }

    fn on_opened(&mut self, cx: &mut Context<'_, Infallible>, connection: ConnectionId) {
        let Some(OpeningConnection { direction, .. }) = cx.opening(connection) else {
            return;
        };
        let step = match direction {
            Direction::Inbound => Step::Handshake,
            Direction::Outbound => Step::Ack,
        };
        self.opening.insert(connection, step);
        if self.config.legacy() == Legacy::Serve {
            self.begin_grace(cx, connection);
        }
        if direction == Direction::Outbound {
            self.send_handshake(cx, connection);
        }
    }

    fn send_handshake(&self, cx: &mut Context<'_, Infallible>, connection: ConnectionId) {
        let announcement = Announcement {
            protocol_versions: self.config.protocol_versions(),
            chain_id: self.config.chain_id(),
            listen_port: self.config.listen_port(),
            capabilities: self.config.capabilities().to_vec(),
            nonce: self.nonce,
            best_block: self.best_block,
        };
        let sent = announcement.to_bytes().map_err(Into::into).and_then(|bytes| {
            let handshake = wire::Handshake {
                version: wire::PROTOCOL_VERSION,
                timestamp: cx.unix_seconds(),
                node_id: &cx.local_id().to_string(),
                user_agent: self.config.user_agent(),
                extension: Some(Extension::new(&bytes).map_err(wire::EncodeError::from)?),
            };
            cx.send(connection, &handshake)
        });
        debug_assert_eq!(sent, Ok(()), "the configuration was validated, and a new connection has room");
    }

    fn on_opening_frame(
        &mut self,
        cx: &mut Context<'_, Infallible>,
        connection: ConnectionId,
        frame: &Frame,
    ) -> Result<(), Violation> {
        let Some(step) = self.opening.get_mut(connection) else {
            return Ok(());
        };
        let outcome = match (frame.message_type(), *step) {
            (MessageType::HANDSHAKE, _) => self.on_handshake(cx, connection, frame),
            (MessageType::HANDSHAKE_ACK, Step::Ack) => {
                // A listener like ours sends its Handshake right behind; a version-1 one nothing.
                *step = Step::AnsweringHandshake;
                self.begin_grace(cx, connection);
                Ok(())
            }
            (_, Step::AnsweringHandshake) => self.let_in_unnamed(cx, connection, Some(frame)),
            (MessageType::HANDSHAKE_ACK, Step::Handshake) => Err(out_of_place(frame).into()),
            (_, Step::Handshake | Step::Ack) if self.config.legacy() == Legacy::Serve => {
                self.let_in_unnamed(cx, connection, Some(frame))
            }
            (_, Step::Handshake | Step::Ack) => Err(out_of_place(frame).into()),
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(Refusal::Close(reason)) => {
                cx.close(connection, reason);
                Ok(())
            }
            Err(Refusal::Violation(violation)) => Err(violation),
        }
    }

    fn on_handshake(
        &mut self,
        cx: &mut Context<'_, Infallible>,
        connection: ConnectionId,
        frame: &Frame,
    ) -> Result<(), Refusal> {
        let malformed =
            |error| Violation::fatal(Offence::Malformed { message_type: MessageType::HANDSHAKE, error });
        let handshake: wire::Handshake<'_> = frame.decode().map_err(malformed)?;
        let announcement = match handshake.extension {
            Some(extension) => {
                cx.understands_errors(connection);
                Some(Announcement::read(extension).map_err(malformed)?)
            }
            None => None,
        };
        self.check(cx, connection, &handshake, announcement.as_ref()).map_err(Refusal::Close)?;

        let Some(OpeningConnection { direction, .. }) = cx.opening(connection) else {
            return Ok(());
        };
        if direction == Direction::Inbound {
            let sent = cx.send(connection, &HandshakeAck);
            debug_assert_eq!(sent, Ok(()), "a new connection has room");
            if announcement.is_some() {
                self.send_handshake(cx, connection);
            }
        }
        self.finish(connection);
        let info = PeerInfo {
            name: handshake.node_id.into(),
            user_agent: handshake.user_agent.into(),
            clock_skew_seconds: handshake.timestamp.saturating_sub(cx.unix_seconds()),
            is_version_1: announcement.is_none(),
            announcement: announcement.map(Box::new),
        };
        cx.establish(connection, info);
        Ok(())
    }

    /// Whether what a peer says of itself lets it in.
    fn check(
        &self,
        cx: &Context<'_, Infallible>,
        connection: ConnectionId,
        handshake: &wire::Handshake<'_>,
        announcement: Option<&Announcement>,
    ) -> Result<(), CloseReason> {
        if let Some(announcement) = announcement {
            if announcement.nonce == self.nonce {
                return Err(CloseReason::SelfConnection);
            }
            if announcement.chain_id != self.config.chain_id() {
                return Err(CloseReason::WrongChain);
            }
            let (our_low, our_high) = self.config.protocol_versions();
            let (low, high) = announcement.protocol_versions;
            if low.max(our_low) > high.min(our_high) {
                return Err(CloseReason::WrongVersion);
            }
        }
        if handshake.version < wire::PROTOCOL_VERSION {
            return Err(CloseReason::WrongVersion);
        }
        let Some(opening) = cx.opening(connection) else {
            return Ok(());
        };
        // Where the transport proves who it is, the claim must be the same. On plain TCP the claim
        // to be the pinned peer is all there is.
        let expected: Option<PeerId> = opening.proven.or(opening.address.peer_id());
        let named: String = handshake.node_id.to_ascii_lowercase();
        if expected.is_some_and(|peer_id| peer_id.to_string() != named) || named == cx.local_id().to_string()
        {
            return Err(CloseReason::WrongPeer);
        }
        Ok(())
    }

    /// Establishes a version-1 node that does not say who it is, with the frame it said instead.
    fn let_in_unnamed(
        &mut self,
        cx: &mut Context<'_, Infallible>,
        connection: ConnectionId,
        frame: Option<&Frame>,
    ) -> Result<(), Refusal> {
        self.finish(connection);
        let Some(opening) = cx.opening(connection) else {
            return Ok(());
        };
        // Who has proven who it is is no version-1 node, and must say the same here. Who was dialled by
        // its peer id must at least claim to be that peer.
        if opening.proven.is_some() || opening.address.peer_id().is_some() {
            return Err(Refusal::Close(CloseReason::WrongPeer));
        }
        match frame {
            Some(frame) => cx.establish_with(connection, PeerInfo::version_1(), frame),
            None => cx.establish(connection, PeerInfo::version_1()),
        }
        Ok(())
    }

    /// Gives a peer so much time to say something before it is taken for a version-1 node. One that has
    /// proven who it is never is, so it has all the time there is.
    fn begin_grace(&mut self, cx: &Context<'_, Infallible>, connection: ConnectionId) {
        if cx.opening(connection).is_some_and(|it| it.proven.is_some()) {
            return;
        }
        let grace = cx.patience(connection, self.config.grace());
        self.deadlines.set(connection, cx.patience_ends(connection, &grace));
        self.graces.insert(connection, grace);
    }

    fn finish(&mut self, connection: ConnectionId) {
        self.opening.remove(connection);
        self.graces.remove(connection);
        self.deadlines.cancel(connection);
    }

    /// A Handshake or an acknowledgement from a peer that is in already.
    fn on_late_frame(
        &self,
        cx: &mut Context<'_, Infallible>,
        connection: ConnectionId,
        frame: &Frame,
    ) -> Result<(), Violation> {
        let Some(peer) = cx.peer(connection) else {
            return Ok(());
        };
        let let_in_early = peer.is_version_1();
        match frame.message_type() {
            // It was taken for a version-1 node while its frame was on the way.
            _ if let_in_early && peer.direction == Direction::Outbound => Ok(()),
            MessageType::HANDSHAKE if let_in_early && peer.info.name.is_empty() => {
                // It was let in without a word and now has one; it waits for the acknowledgement.
                match cx.send(connection, &HandshakeAck) {
                    Ok(()) | Err(_) => Ok(()),
                }
            }
            _ => Err(Violation::tolerable(Offence::OutOfPlace(frame.message_type()))),
        }
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, Infallible>) {
        while let Some(connection) = self.deadlines.pop_due(cx.now()) {
            let grace = self.graces.get(connection).copied();
            let ends = grace.map(|grace| cx.patience_ends(connection, &grace));
            if let Some(ends) = ends.filter(|ends| *ends > cx.now()) {
                self.deadlines.set(connection, ends);
                continue;
            }
            if let Err(Refusal::Close(reason)) = self.let_in_unnamed(cx, connection, None) {
                cx.close(connection, reason);
            }
        }
    }
}

fn out_of_place(frame: &Frame) -> Violation {
    Violation::fatal(Offence::OutOfPlace(frame.message_type()))
}

impl NetworkBehaviour for Handshake {
    const CLAIMS: Claims = Claims::NONE
        .with(Role::Message, &[TypeRule::of::<wire::Handshake<'_>>(), TypeRule::of::<HandshakeAck>()])
        .with_gate();
    type Event = Infallible;
    type Command = Infallible;

    fn on_input(&mut self, cx: &mut Context<'_, Infallible>, input: &Input<'_>) -> Result<(), Violation> {
        match *input {
            Input::Opened { connection } => self.on_opened(cx, connection),
            Input::OpeningFrame { connection, frame } => return self.on_opening_frame(cx, connection, frame),
            Input::OpeningClosed { connection, .. } => self.finish(connection),
            Input::Frame { connection, frame } => return self.on_late_frame(cx, connection, frame),
            Input::Signal(Signal::TipChanged { height, hash }) => self.best_block = Some((*height, *hash)),
            Input::Deadline => self.on_deadline(cx),
            _ => {}
        }
        Ok(())
    }

    fn on_command(&mut self, _: &mut Context<'_, Infallible>, command: Infallible) {
        match command {}
    }

    fn deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }
}
