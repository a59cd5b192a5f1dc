//! A behaviour that writes down how it is called, and a Swarm that is driven by hand.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use spacetime_core::wire::{
    Frame, FrameReader, FrameRules, HandshakeAck, Message, MessageSet, MessageType, Nothing, Priority,
    ReadStep, TxPoolRequest, TypeRule,
};
use spacetime_core::{
    Address, Candidate, Claims, CloseReason, ConnectionId, Context, DialError, Event, Expect, Hash, Input,
    Limits, NetworkBehaviour, Now, Offence, PeerId, PeerInfo, Protocol, RequestError, RequestId, Role,
    Signal, Stage, Swarm, Time, Transmit, Verdict, Violation,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What a behaviour was called with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    Admit(Stage),
    Established,
    Closed,
    DialFailed,
    Message(MessageType),
    Answer(MessageType),
    RequestFailed(RequestError),
    Writable,
    TipChanged(u64),
    Offence,
    Command(Do),
    Deadline,
    // For gates.
    Opened,
    OpeningFrame(MessageType),
    OpeningClosed,
}

/// One call, and of which behaviour.
pub(crate) type Call = (&'static str, What);

/// What a probe can be told to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Do {
    Nothing,
    /// Ask a peer for the first of the types that it claims as answers, and wait a second for it.
    Ask(ConnectionId),
    /// Tell all behaviours of a new tip.
    TellTip(u64),
    WakeAt(Time),
}

/// The calls of all behaviours that share it, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Call>>>);

impl Log {
    pub(crate) fn push(&self, who: &'static str, what: What) {
        self.0.lock().unwrap().push((who, what));
    }

    pub(crate) fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Receives `M` as a message and `A` as an answer. It writes down every call, and tells the
/// application of those with messages, answers and commands.
#[derive(Debug)]
pub(crate) struct Probe<M = Nothing, A = Nothing> {
    name: &'static str,
    log: Log,
    denies: Option<(Stage, &'static str)>,
    breaks_off: bool,
    wake_at: Option<Time>,
    receives: PhantomData<fn() -> (M, A)>,
}

impl<M, A> Probe<M, A> {
    pub(crate) fn new(name: &'static str, log: &Log) -> Self {
        Self { name, log: log.clone(), denies: None, breaks_off: false, wake_at: None, receives: PhantomData }
    }

    pub(crate) fn denying(mut self, stage: Stage, why: &'static str) -> Self {
        self.denies = Some((stage, why));
        self
    }

    /// Takes each message for a fatal violation.
    pub(crate) fn breaking_off(mut self) -> Self {
        self.breaks_off = true;
        self
    }

    pub(crate) fn waking_at(mut self, at: Time) -> Self {
        self.wake_at = Some(at);
        self
    }

    fn say(&self, cx: &mut Context<'_, Call>, what: What) {
        self.log.push(self.name, what);
        cx.emit((self.name, what));
    }
}

impl<M: for<'a> MessageSet<'a>, A: for<'a> MessageSet<'a>> Protocol for Probe<M, A> {
    type Message<'a> = M;
    type Answer<'a> = A;
    type Event = Call;
    type Command = Do;

    fn admit(&self, candidate: &Candidate<'_>) -> Verdict {
        self.log.push(self.name, What::Admit(candidate.stage));
        match self.denies {
            Some((stage, why)) if stage == candidate.stage => Verdict::Deny(why),
            _ => Verdict::Accept,
        }
    }

    fn on_established(&mut self, _: &mut Context<'_, Call>, _: ConnectionId) {
        self.log.push(self.name, What::Established);
    }

    fn on_closed(&mut self, _: &mut Context<'_, Call>, _: ConnectionId, _: &CloseReason) {
        self.log.push(self.name, What::Closed);
    }

    fn on_dial_failed(&mut self, _: &mut Context<'_, Call>, _: ConnectionId, _: &Address, _: &DialError) {
        self.log.push(self.name, What::DialFailed);
    }

    fn on_message(
        &mut self,
        cx: &mut Context<'_, Call>,
        _: ConnectionId,
        _: M,
        frame: &Frame,
    ) -> Result<(), Violation> {
        self.say(cx, What::Message(frame.message_type()));
        if self.breaks_off {
            return Err(Violation::fatal(Offence::OutOfPlace(frame.message_type())));
        }
        Ok(())
    }

    fn on_answer(
        &mut self,
        cx: &mut Context<'_, Call>,
        _: ConnectionId,
        _: RequestId,
        _: A,
        frame: &Frame,
    ) -> Result<(), Violation> {
        self.say(cx, What::Answer(frame.message_type()));
        Ok(())
    }

    fn on_request_failed(
        &mut self,
        _: &mut Context<'_, Call>,
        _: ConnectionId,
        _: RequestId,
        error: RequestError,
    ) {
        self.log.push(self.name, What::RequestFailed(error));
    }

    fn on_writable(&mut self, _: &mut Context<'_, Call>, _: ConnectionId, _: Priority) {
        self.log.push(self.name, What::Writable);
    }

    fn on_signal(&mut self, _: &mut Context<'_, Call>, signal: &Signal) {
        let what = match signal {
            Signal::TipChanged { height, .. } => What::TipChanged(*height),
            _ => What::Offence,
        };
        self.log.push(self.name, what);
    }

    fn on_command(&mut self, cx: &mut Context<'_, Call>, command: Do) {
        self.say(cx, What::Command(command));
        match command {
            Do::Nothing => {}
            Do::Ask(connection) => {
                let expect = Expect {
                    answer: A::TYPES.first().unwrap().message_type,
                    object_id: None,
                    timeout: SECOND,
                };
                let question = TxPoolRequest { max_transactions: 1, include_data: false };
                cx.request(connection, &question, expect).unwrap();
            }
            Do::TellTip(height) => cx.signal(Signal::TipChanged { height, hash: Hash::ZERO }),
            Do::WakeAt(at) => self.wake_at = Some(at),
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.wake_at
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, Call>) {
        assert!(self.wake_at.take_if(|at| *at <= cx.now()).is_some(), "called too early");
        self.log.push(self.name, What::Deadline);
    }
}

/// A Swarm under test, its clock and its peers.
#[derive(Debug)]
pub(crate) struct Driver<B: NetworkBehaviour> {
    pub(crate) swarm: Swarm<B>,
    now: Time,
    peers: u64,
    rules: Arc<FrameRules>,
}

impl<B: NetworkBehaviour> Driver<B> {
    pub(crate) fn new(behaviour: B) -> Self {
        let swarm = Swarm::new(behaviour, PeerId([1; 32]), Limits::default()).unwrap();
        Self { rules: Arc::new(swarm.rules().clone()), swarm, now: Time::ZERO, peers: 0 }
    }

    pub(crate) fn now(&self) -> Now {
        Now::new(self.now, 0)
    }

    /// A peer connects, from an address of its own.
    pub(crate) fn accept(&mut self) -> Result<ConnectionId, CloseReason> {
        self.peers += 1;
        let connection = self.swarm.handle_accept(self.now(), Address::memory(self.peers))?;
        self.swarm.handle_opened(self.now(), connection, None);
        Ok(connection)
    }

    /// A session with a peer that connects.
    pub(crate) fn session(&mut self) -> ConnectionId {
        let connection = self.accept().unwrap();
        assert!(self.swarm.peer(connection).is_some(), "the peer was let in");
        connection
    }

    pub(crate) fn receive<M: Message>(&mut self, from: ConnectionId, message: &M) {
        self.receive_bytes(from, Frame::encode(message).unwrap().bytes());
    }

    pub(crate) fn receive_bytes(&mut self, from: ConnectionId, bytes: &[u8]) {
        let mut reader = FrameReader::new(Arc::clone(&self.rules), 1024);
        reader.set_established();
        reader.push(bytes);
        loop {
            match reader.poll_frames() {
                Ok(ReadStep::Frames(batch)) => {
                    let rest = self.swarm.handle_frames(self.now(), from, batch);
                    assert!(rest.is_none(), "there are no limits of bandwidth");
                }
                Ok(_) => return,
                Err(error) => return self.swarm.handle_closed(self.now(), from, error.into()),
            }
        }
    }

    pub(crate) fn command(&mut self, command: B::Command) {
        self.swarm.handle_command(self.now(), command);
    }

    /// Time passes and the driver calls, whether or not anything is due.
    pub(crate) fn wait(&mut self, duration: Duration) {
        self.now += duration;
        self.swarm.handle_deadline(self.now());
    }

    /// What the tree told the application, without what the Swarm did.
    pub(crate) fn events(&mut self) -> Vec<B::Event> {
        std::iter::from_fn(|| self.swarm.poll_event())
            .filter_map(|event| match event {
                Event::Behaviour(event) => Some(event),
                _ => None,
            })
            .collect()
    }

    /// The offences that were charged to peers.
    pub(crate) fn offences(&mut self) -> Vec<Offence> {
        std::iter::from_fn(|| self.swarm.poll_event())
            .filter_map(|event| match event {
                Event::Offence { offence, .. } => Some(offence),
                _ => None,
            })
            .collect()
    }

    /// Takes out what waits to be sent to a peer.
    pub(crate) fn sent(&mut self, to: ConnectionId) -> Vec<u8> {
        let mut out = Transmit::new();
        while self.swarm.poll_transmit(to, 1024, &mut out) {}
        out.segments().flatten().copied().collect()
    }
}

/// A gate that lets a peer in with its first frame. It writes down what only gates hear.
#[derive(Debug)]
pub(crate) struct Door {
    log: Log,
}

impl Door {
    pub(crate) fn new(log: &Log) -> Self {
        Self { log: log.clone() }
    }
}

impl NetworkBehaviour for Door {
    const CLAIMS: Claims = Claims::NONE.with(Role::Message, &[TypeRule::of::<HandshakeAck>()]).with_gate();
    type Event = Infallible;
    type Command = Infallible;

    fn on_input(&mut self, cx: &mut Context<'_, Infallible>, input: &Input<'_>) -> Result<(), Violation> {
        let what = match *input {
            Input::Opened { .. } => What::Opened,
            Input::OpeningFrame { connection, frame } => {
                cx.establish(connection, PeerInfo::default());
                What::OpeningFrame(frame.message_type())
            }
            Input::OpeningClosed { .. } => What::OpeningClosed,
            Input::Frame { frame, .. } => What::Message(frame.message_type()),
            _ => return Ok(()),
        };
        self.log.push("door", what);
        Ok(())
    }

    fn on_command(&mut self, _: &mut Context<'_, Infallible>, command: Infallible) {
        match command {}
    }
}
