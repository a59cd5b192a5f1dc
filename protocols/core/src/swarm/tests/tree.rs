//! A tree of a gate and two leaves that write down what they hear and do what they are told.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::marker::PhantomData;
use core::net::IpAddr;
use core::time::Duration;

use super::log::{Did, Heard, Log, Who};
use super::messages::{
    ASK, FirstAnswer, FirstMessage, GOSSIP, HasNumber, Hello, ITEM, NEWS, NOTE, Numbered, OTHER_NOTE,
    OTHER_REPLY, REPLY, SecondMessage, URGENT, item_id, numbered,
};
use crate::OpeningConnection;
use crate::wire::{Announcement, Frame, MessageSet, MessageType, Priority, TypeRule};
use crate::{
    Address, Candidate, Claims, CloseReason, ConnectionId, Context, DialError, Direction, Expect, Hash,
    Input, NetworkBehaviour, Offence, PeerInfo, Protocol, RequestError, RequestId, Role, Signal, Stage, Time,
    Verdict, Violation,
};

#[derive(crate::NetworkBehaviour)]
#[behaviour(crate = crate)]
pub(super) struct Tree {
    pub(super) gate: Gate,
    pub(super) first: Leaf<First>,
    pub(super) second: Leaf<Second>,
}

impl Tree {
    pub(super) fn new(log: &Log, name: &str) -> Self {
        Self { gate: Gate::new(log, name), first: Leaf::new(log), second: Leaf::new(log) }
    }
}

#[derive(crate::NetworkBehaviour)]
#[behaviour(crate = crate)]
pub(super) struct GatelessTree {
    pub(super) first: Leaf<First>,
    pub(super) second: Leaf<Second>,
}

impl GatelessTree {
    pub(super) fn new(log: &Log) -> Self {
        Self { first: Leaf::new(log), second: Leaf::new(log) }
    }
}

/// A member denies what it is told to deny, and changes nothing when it is asked.
fn verdict(denies: Option<Stage>, candidate: &Candidate<'_>) -> Verdict {
    if denies == Some(candidate.stage) { Verdict::Deny("told to") } else { Verdict::Accept }
}

/// A gate that wants to hear a name from the peer, and says its own as the real handshake does: the
/// dialer first, the listener in answer.
pub(super) struct Gate {
    pub(super) log: Log,
    pub(super) name: Box<str>,
    pub(super) listen_port: Option<u16>,
    pub(super) understands_errors: bool,
    /// Lets peers in whose first frame is something else.
    pub(super) is_lenient: bool,
    pub(super) denies: Option<Stage>,
    /// Who comes from here is exempt.
    pub(super) exempts: Option<IpAddr>,
    /// Connections that it lets in when its deadline is over.
    pub(super) lets_in: Vec<(ConnectionId, PeerInfo)>,
    pub(super) wake: Option<Time>,
}

impl Gate {
    fn new(log: &Log, name: &str) -> Self {
        Self {
            log: log.clone(),
            name: name.into(),
            listen_port: Some(8333),
            understands_errors: true,
            is_lenient: false,
            denies: None,
            exempts: None,
            lets_in: Vec::new(),
            wake: None,
        }
    }

    fn say_hello(&self, cx: &mut Context<'_, Infallible>, connection: ConnectionId) {
        let hello = Hello {
            name: (*self.name).into(),
            listen_port: self.listen_port,
            understands_errors: self.understands_errors,
        };
        cx.send(connection, &hello).expect("a new connection has room");
    }

    fn on_frame(
        &self,
        cx: &mut Context<'_, Infallible>,
        connection: ConnectionId,
        frame: &Frame,
    ) -> Result<(), Violation> {
        let Ok(hello) = frame.decode::<Hello>() else {
            if self.is_lenient {
                cx.establish_with(connection, PeerInfo::default(), frame);
                return Ok(());
            }
            return Err(Violation::fatal(Offence::OutOfPlace(frame.message_type())));
        };
        if hello.understands_errors {
            cx.understands_errors(connection);
        }
        let Some(OpeningConnection { direction, .. }) = cx.opening(connection) else {
            return Ok(());
        };
        if direction == Direction::Inbound {
            self.say_hello(cx, connection);
        }
        cx.establish(connection, info(&hello));
        Ok(())
    }
}

/// What a gate knows about a peer from what it says.
pub(super) fn info(hello: &Hello) -> PeerInfo {
    let announcement = Announcement {
        protocol_versions: (1, 1),
        chain_id: Hash::ZERO,
        listen_port: hello.listen_port,
        capabilities: Vec::new(),
        nonce: 0,
        best_block: None,
    };
    PeerInfo {
        name: (*hello.name).into(),
        announcement: hello.understands_errors.then(|| announcement.into()),
        ..PeerInfo::default()
    }
}

impl NetworkBehaviour for Gate {
    const CLAIMS: Claims = Claims::NONE.with(Role::Message, &[TypeRule::of::<Hello>()]).with_gate();
    type Event = Infallible;
    type Command = Infallible;

    fn admit(&self, candidate: &Candidate<'_>) -> Verdict {
        let is_exempt = self.exempts.is_some() && candidate.address.ip() == self.exempts;
        verdict(self.denies, candidate).and_then(|| match is_exempt {
            true => Verdict::AcceptExempt,
            false => Verdict::Accept,
        })
    }

    fn on_input(&mut self, cx: &mut Context<'_, Infallible>, input: &Input<'_>) -> Result<(), Violation> {
        let heard = match *input {
            Input::Opened { connection } => Heard::Opened(connection),
            Input::OpeningFrame { connection, .. } => Heard::OpeningFrame(connection),
            Input::OpeningClosed { connection, reason } => Heard::OpeningClosed(connection, reason.clone()),
            Input::Established { connection } => Heard::Established(connection),
            Input::Closed { connection, reason } => Heard::Closed(connection, reason.clone()),
            Input::DialFailed { connection, error, .. } => Heard::DialFailed(connection, error.clone()),
            Input::Frame { connection, .. } => Heard::Message(connection, 0),
            Input::Writable { connection, priority } => Heard::Writable(connection, priority),
            Input::Signal(signal) => Heard::Signal(signal.clone()),
            Input::Deadline => Heard::Deadline,
            Input::Answer { .. } | Input::RequestFailed { .. } => unreachable!("the gate asks for nothing"),
        };
        self.log.heard(Who::Gate, heard);
        match *input {
            Input::Opened { connection } => {
                let direction = cx.opening(connection).map(|it| it.direction);
                if direction == Some(Direction::Outbound) {
                    self.say_hello(cx, connection);
                }
            }
            Input::OpeningFrame { connection, frame } => return self.on_frame(cx, connection, frame),
            Input::Deadline => {
                self.wake = None;
                for (connection, info) in self.lets_in.drain(..) {
                    cx.establish(connection, info);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn on_command(&mut self, _: &mut Context<'_, Infallible>, command: Infallible) {
        match command {}
    }

    fn deadline(&self) -> Option<Time> {
        self.wake
    }
}

/// What makes the two leaves different.
pub(super) trait Kind {
    const WHO: Who;
    /// The type that answers its requests by their order.
    const REPLY: u8;
    type Message<'a>: MessageSet<'a> + HasNumber;
    type Answer<'a>: MessageSet<'a> + HasNumber;
}

pub(super) struct First;

impl Kind for First {
    const WHO: Who = Who::First;
    const REPLY: u8 = REPLY;
    type Message<'a> = FirstMessage<'a>;
    type Answer<'a> = FirstAnswer;
}

pub(super) struct Second;

impl Kind for Second {
    const WHO: Who = Who::Second;
    const REPLY: u8 = OTHER_REPLY;
    type Message<'a> = SecondMessage<'a>;
    type Answer<'a> = Numbered<'a, OTHER_REPLY>;
}

/// Something that a leaf does when it is called. A number means one of the sessions, or of the
/// connections that it ever heard of.
#[derive(Clone, Debug)]
pub(super) enum Reaction {
    Nothing,
    Send { to: usize, byte: u8, bytes: usize },
    Broadcast { byte: u8, bytes: usize },
    Close(usize),
    Dial(Address),
    Ask { whom: usize, item: Option<u8>, timeout: Duration },
    Signal,
    Emit { about: usize },
    Report(usize),
    WakeIn(Duration),
}

/// What a leaf tells the application.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Said {
    pub(super) number: u64,
    pub(super) about: Option<ConnectionId>,
}

/// A leaf that writes down what it hears and does one thing of its script each time.
pub(super) struct Leaf<K> {
    pub(super) log: Log,
    pub(super) script: VecDeque<Reaction>,
    pub(super) denies: Option<Stage>,
    pub(super) wake: Option<Time>,
    /// What it does about each end of a session, after its script.
    pub(super) on_closed: Option<Reaction>,
    /// What it does about each dial that fails, after its script.
    pub(super) on_dial_failed: Option<Reaction>,
    /// What it does about each signal, after its script.
    pub(super) on_signal: Option<Reaction>,
    /// What it does about each new session, after its script.
    pub(super) on_established: Option<Reaction>,
    known: Vec<ConnectionId>,
    /// The session whose end it is hearing of.
    ending: Option<ConnectionId>,
    kind: PhantomData<K>,
}

impl<K: Kind> Leaf<K> {
    fn new(log: &Log) -> Self {
        Self {
            log: log.clone(),
            script: VecDeque::new(),
            denies: None,
            wake: None,
            on_closed: None,
            on_dial_failed: None,
            on_signal: None,
            on_established: None,
            known: Vec::new(),
            ending: None,
            kind: PhantomData,
        }
    }

    fn hear(&mut self, cx: &mut Context<'_, Said>, what: Heard) {
        if let Heard::Established(connection) = what {
            self.known.push(connection);
        }
        self.log.heard(K::WHO, what);
        if let Some(reaction) = self.script.pop_front() {
            self.react(cx, reaction);
        }
    }

    fn also(&mut self, cx: &mut Context<'_, Said>, reaction: Option<Reaction>) {
        if let Some(reaction) = reaction {
            self.react(cx, reaction);
        }
    }

    /// One of the connections that it heard of or dialled, dead or alive.
    fn known(&self, back: usize) -> Option<ConnectionId> {
        let last = self.known.len().checked_sub(1)?;
        self.known.get(last - back % self.known.len()).copied()
    }

    /// One of the sessions there are.
    fn session(cx: &Context<'_, Said>, index: usize) -> Option<ConnectionId> {
        let count = cx.peers().count().max(1);
        cx.peers().nth(index % count).map(|(connection, _)| connection)
    }

    pub(super) fn react(&mut self, cx: &mut Context<'_, Said>, reaction: Reaction) {
        match reaction {
            Reaction::Nothing => {}
            Reaction::Send { to, byte, bytes } => {
                let frame = numbered(byte, 0, self.log.number() as u32, &alloc::vec![byte; bytes]);
                if let Some(connection) = Self::session(cx, to) {
                    let _full_or_not = cx.send_frame(connection, &frame);
                }
            }
            Reaction::Broadcast { byte, bytes } => {
                let frame = numbered(byte, 0, self.log.number() as u32, &alloc::vec![byte; bytes]);
                let all: Vec<_> = cx.peers().map(|(connection, _)| connection).collect();
                cx.broadcast(all, &frame);
            }
            Reaction::Close(which) => {
                if let Some(connection) = self.known(which) {
                    if cx.peer(connection).is_some() {
                        self.log.did(K::WHO, Did::Closed(connection));
                    }
                    cx.close(connection, CloseReason::Requested);
                }
            }
            Reaction::Dial(address) => {
                if let Ok(connection) = cx.dial(address) {
                    self.known.push(connection);
                    self.log.did(K::WHO, Did::Dialled(connection));
                }
            }
            Reaction::Ask { whom, item, timeout } => {
                if let Some(connection) = Self::session(cx, whom) {
                    self.ask(cx, connection, item, timeout);
                }
            }
            Reaction::Signal => {
                let number = self.log.number();
                self.log.did(K::WHO, Did::Signalled(number));
                cx.signal(Signal::TipChanged { height: number, hash: Hash::ZERO });
            }
            Reaction::Emit { about } => {
                let number = self.log.number();
                let about = self.ending.or(Self::session(cx, about));
                self.log.did(K::WHO, Did::Emitted(number));
                cx.emit(Said { number, about });
            }
            Reaction::Report(which) => {
                if let Some(connection) = self.known(which) {
                    cx.report(connection, Offence::Other("told to"));
                }
            }
            Reaction::WakeIn(after) => {
                let at = cx.now() + after;
                self.wake = Some(at);
                self.log.did(K::WHO, Did::Armed(at));
            }
        }
    }

    /// Asks for the next reply, or for an item by its hash, which only the first leaf can.
    pub(super) fn ask(
        &self,
        cx: &mut Context<'_, Said>,
        whom: ConnectionId,
        item: Option<u8>,
        timeout: Duration,
    ) -> Option<RequestId> {
        let item = item.filter(|_| K::WHO == Who::First);
        let answer = MessageType::application(if item.is_some() { ITEM } else { K::REPLY });
        let question =
            Numbered::<'_, ASK> { item: item.unwrap_or(0), number: self.log.number() as u32, body: &[] };
        let expect = Expect { answer, object_id: item.map(item_id), timeout };
        let request = cx.request(whom, &question, expect).ok()?;
        self.log.did(K::WHO, Did::Asked(whom, request, cx.now() + timeout));
        Some(request)
    }
}

impl<K: Kind> Protocol for Leaf<K> {
    type Message<'a> = K::Message<'a>;
    type Answer<'a> = K::Answer<'a>;
    type Event = Said;
    type Command = Reaction;

    fn admit(&self, candidate: &Candidate<'_>) -> Verdict {
        verdict(self.denies, candidate)
    }

    fn on_established(&mut self, cx: &mut Context<'_, Said>, connection: ConnectionId) {
        self.hear(cx, Heard::Established(connection));
        self.also(cx, self.on_established.clone());
    }

    fn on_closed(&mut self, cx: &mut Context<'_, Said>, connection: ConnectionId, reason: &CloseReason) {
        self.ending = Some(connection);
        self.hear(cx, Heard::Closed(connection, reason.clone()));
        self.also(cx, self.on_closed.clone());
        self.ending = None;
    }

    fn on_dial_failed(
        &mut self,
        cx: &mut Context<'_, Said>,
        connection: ConnectionId,
        _: &Address,
        error: &DialError,
    ) {
        self.hear(cx, Heard::DialFailed(connection, error.clone()));
        self.also(cx, self.on_dial_failed.clone());
    }

    fn on_message(
        &mut self,
        cx: &mut Context<'_, Said>,
        from: ConnectionId,
        message: K::Message<'_>,
        _: &Frame,
    ) -> Result<(), Violation> {
        self.hear(cx, Heard::Message(from, message.number()));
        Ok(())
    }

    fn on_answer(
        &mut self,
        cx: &mut Context<'_, Said>,
        from: ConnectionId,
        request: RequestId,
        answer: K::Answer<'_>,
        _: &Frame,
    ) -> Result<(), Violation> {
        self.hear(cx, Heard::Answer(from, request, answer.number()));
        Ok(())
    }

    fn on_request_failed(
        &mut self,
        cx: &mut Context<'_, Said>,
        connection: ConnectionId,
        request: RequestId,
        error: RequestError,
    ) {
        self.hear(cx, Heard::RequestFailed(connection, request, error));
    }

    fn on_writable(&mut self, cx: &mut Context<'_, Said>, connection: ConnectionId, priority: Priority) {
        self.hear(cx, Heard::Writable(connection, priority));
    }

    fn on_signal(&mut self, cx: &mut Context<'_, Said>, signal: &Signal) {
        self.hear(cx, Heard::Signal(signal.clone()));
        self.also(cx, self.on_signal.clone());
    }

    fn on_command(&mut self, cx: &mut Context<'_, Said>, command: Reaction) {
        self.log.heard(K::WHO, Heard::Command);
        self.react(cx, command);
    }

    fn deadline(&self) -> Option<Time> {
        self.wake
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, Said>) {
        self.wake = None;
        self.hear(cx, Heard::Deadline);
    }
}

/// The types that a leaf sends of itself, from the most urgent to the least.
pub(super) const BY_PRIORITY: [u8; 4] = [URGENT, NEWS, NOTE, GOSSIP];

/// Types that arrive: taken by either leaf, or answers.
pub(super) const ARRIVING: [u8; 9] = [NOTE, URGENT, NEWS, GOSSIP, ASK, REPLY, ITEM, OTHER_NOTE, OTHER_REPLY];
