//! Asking those that this node has dialled, and others when there is nobody else.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::net::SocketAddr;
use core::time::Duration;

use spacetime_core::wire::{Exclude, GetPeers, MessageType, Peers};
use spacetime_core::{
    ConnectionId, Context, Direction, Expect, Offence, RequestError, RequestId, SendError, Signal, Violation,
};

use crate::PeerExchange;

/// Addresses that a question excludes: a twentieth of what may be told, which this node would tell
/// anybody who asked. More would cost more bytes than they save in an answer.
pub const MAX_EXCLUSIONS: usize = 50;

/// How long a version-1 node must have been silent before it is asked. While it waits for an answer
/// of ours it would take the question for it; it gives up after 30 s at the latest (seed).
pub const VERSION_1_IDLE: Duration = Duration::from_secs(120);

/// Of those that have dialled this node so many are asked at a time, if it knows nobody else.
///
/// # Security
///
/// Whoever dials is an attacker more often than who is dialled. Each of them can tell what the book
/// takes from one source, and is asked only when there is nobody left to be dialled at all.
const INBOUND_AT_A_TIME: usize = 2;

/// What is kept of one connection for the questions.
#[derive(Debug)]
pub(crate) struct Source {
    /// The question that waits for an answer.
    request: Option<RequestId>,
    /// How long after an answer the next question is asked.
    wait: Duration,
}

impl PeerExchange {
    pub(crate) const fn new_source(&self) -> Source {
        Source { request: None, wait: self.config.interval() }
    }

    /// Asks a peer, or sees to it that it is asked as soon as it may be.
    pub(crate) fn ask(&mut self, cx: &mut Context<'_, Infallible>, connection: ConnectionId) {
        let now = cx.now();
        let Some(peer) = cx.peer(connection) else { return };
        let is_version_1 = peer.is_version_1();
        if is_version_1 {
            let idle_at = cx.last_received(connection).unwrap_or(now) + VERSION_1_IDLE;
            if idle_at > now {
                return self.deadlines.set(connection, idle_at);
            }
        }
        if let Err(later) = self.asked.take(&self.config, peer, now) {
            // A moment more: the peer may count from when it got the last question.
            return self.deadlines.set(connection, later + self.rng.jitter(self.config.timeout()));
        }
        let known = self.rng.sample(&self.to_share, MAX_EXCLUSIONS);
        let texts: Vec<String> = known.into_iter().map(|it| Exclude::text(it, is_version_1)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let max_count = i32::try_from(self.config.ask_count()).unwrap_or(i32::MAX);
        let question = GetPeers { max_count, exclude: Exclude::new(&texts) };
        let expect = Expect { answer: MessageType::PEERS, object_id: None, timeout: self.config.timeout() };
        match cx.request(connection, &question, expect) {
            Ok(request) => {
                if let Some(source) = self.source_mut(connection) {
                    source.request = Some(request);
                }
            }
            Err(SendError::Full) => self.ask_later(cx, connection),
            Err(SendError::Closed) => {}
            Err(error) => debug_assert!(false, "a question can always be encoded: {error}"),
        }
    }

    /// This node has nobody left to dial: asks some of those that have dialled it.
    pub(crate) fn ask_who_has_dialled(&mut self, cx: &mut Context<'_, Infallible>) {
        let unasked = self.sessions.iter().filter(|(_, it)| it.source.is_none());
        let unasked: Vec<_> = unasked.map(|(connection, _)| connection).collect();
        for connection in self.rng.sample(&unasked, INBOUND_AT_A_TIME) {
            let source = self.new_source();
            if let Some(session) = self.sessions.get_mut(connection) {
                session.source = Some(source);
                self.ask(cx, connection);
            }
        }
    }

    fn source_mut(&mut self, connection: ConnectionId) -> Option<&mut Source> {
        self.sessions.get_mut(connection)?.source.as_mut()
    }

    fn ask_later(&mut self, cx: &Context<'_, Infallible>, connection: ConnectionId) {
        if let Some(wait) = self.source_mut(connection).map(|source| source.wait) {
            self.deadlines.set(connection, cx.now() + self.rng.jitter(wait));
        }
    }

    pub(crate) fn on_peers(
        &mut self,
        cx: &mut Context<'_, Infallible>,
        from: ConnectionId,
        request: RequestId,
        answer: Peers<'_>,
    ) -> Result<(), Violation> {
        let Some(source) = self.source_mut(from) else { return Ok(()) };
        if source.request.take_if(|asked| *asked == request).is_none() {
            return Ok(());
        }
        let own = self.config.own_address();
        let mut told = BTreeSet::new();
        let addresses: Vec<_> = answer
            .iter()
            .take(self.config.ask_count())
            .map(|it| SocketAddr::new(it.ip().to_canonical(), it.port()))
            .filter(|it| it.port() != 0 && Some(*it) != own && told.insert(*it))
            .collect();
        let mut brings_something_new = false;
        for address in &addresses {
            brings_something_new |= self.known.get(address).is_none();
            self.known.insert(*address, ());
        }
        let (interval, longest) = (self.config.interval(), self.config.max_ask_interval());
        if let Some(source) = self.source_mut(from) {
            source.wait =
                if brings_something_new { interval } else { source.wait.saturating_mul(2).min(longest) };
        }
        if cx.peer(from).is_some_and(|peer| peer.direction == Direction::Outbound) {
            self.ask_later(cx, from);
        } else if let Some(session) = self.sessions.get_mut(from) {
            // Until nobody is known again.
            session.source = None;
        }
        if !addresses.is_empty() {
            cx.signal(Signal::AddressesLearned { from, addresses: addresses.into() });
        }
        if answer.len() > self.config.ask_count() {
            return Err(Violation::tolerable(Offence::TooMuch("addresses")));
        }
        Ok(())
    }

    /// A question will not be answered. After silence none follows on this connection: a late answer
    /// could not be told from the next one. After bytes that are no answer one follows much later.
    pub(crate) fn on_no_answer(
        &mut self,
        cx: &mut Context<'_, Infallible>,
        connection: ConnectionId,
        error: RequestError,
    ) {
        let longest = self.config.max_ask_interval();
        let Some(source) = self.source_mut(connection) else { return };
        source.request = None;
        match error {
            RequestError::Timeout => {
                cx.report(connection, Offence::NoAnswer(MessageType::PEERS));
            }
            RequestError::Malformed => {
                source.wait = longest;
                self.ask_later(cx, connection);
            }
            _ => {}
        }
    }
}
