//! A protocol that sends as much as it is told to, on all levels, and remembers what arrived when.

use std::convert::Infallible;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use spacetime_core::wire::{ApplicationMessage, FRAME_HEADER, Frame, MAX_PAYLOAD, Nothing, Priority};
use spacetime_core::{
    Bandwidth, CloseReason, ConnectionId, ConnectionMap, Context, Limits, Protocol, Time, Violation,
    message_set,
};
use spacetime_simulator::{LinkConfig, Simulation};

/// How often queues are filled.
const TICK: Duration = Duration::from_millis(5);

/// Queues in which more waits are not filled. Where they hold critical frames, it would close the
/// connection.
const ENOUGH_BYTES: usize = 32 * 1024;

const fn priority_of(byte: u8) -> Priority {
    match byte {
        0x91 => Priority::Critical,
        0x92 => Priority::High,
        0x94 => Priority::Low,
        _ => Priority::Normal,
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Load<'a, const BYTE: u8> {
    /// In nanoseconds: all clocks of these simulations are the same.
    sent_at: u64,
    #[serde(serialize_with = "in_one_piece")]
    body: &'a [u8],
}

/// Serde would take a slice for a sequence and write it byte by byte.
fn in_one_piece<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

impl<const BYTE: u8> ApplicationMessage for Load<'_, BYTE> {
    const TYPE_BYTE: u8 = BYTE;
    const MAX_BYTES: u32 = MAX_PAYLOAD;
    const PRIORITY: Priority = priority_of(BYTE);
}

/// A frame of nothing but its header.
#[derive(Serialize, Deserialize)]
pub(crate) struct Empty;

impl ApplicationMessage for Empty {
    const TYPE_BYTE: u8 = 0x90;
    const MAX_BYTES: u32 = 0;
}

message_set! {
    pub(crate) enum Said<'a> {
        Empty(Empty),
        Critical(Load<'a, 0x91>),
        High(Load<'a, 0x92>),
        Normal(Load<'a, 0x93>),
        Low(Load<'a, 0x94>),
    }
}

/// What a node sends to each of its peers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    pub(crate) priority: Priority,
    /// Bytes of a frame, header included; 5 or at least 30.
    pub(crate) frame_bytes: usize,
    /// How often it sends one; always, if nothing is said.
    pub(crate) every: Option<Duration>,
}

impl Stream {
    /// As many frames of this size as the peer takes.
    pub(crate) const fn of(frame_bytes: usize) -> Self {
        Self { priority: Priority::Normal, frame_bytes, every: None }
    }

    pub(crate) const fn every(mut self, interval: Duration) -> Self {
        self.every = Some(interval);
        self
    }

    pub(crate) const fn at(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    fn frame(&self, now: Time) -> Frame {
        let sent_at = now.as_nanos();
        let mut body = vec![7; self.frame_bytes - FRAME_HEADER];
        if body.is_empty() {
            return Frame::encode(&Empty).unwrap();
        }
        // The numbers before it take some bytes of it.
        let head = varint_bytes(sent_at) + varint_bytes((body.len() - 12) as u64);
        body.truncate(self.frame_bytes - FRAME_HEADER - head);
        let body = &body[..];
        let frame = match self.priority {
            Priority::Critical => Frame::encode(&Load::<0x91> { sent_at, body }),
            Priority::High => Frame::encode(&Load::<0x92> { sent_at, body }),
            Priority::Normal => Frame::encode(&Load::<0x93> { sent_at, body }),
            Priority::Low => Frame::encode(&Load::<0x94> { sent_at, body }),
        };
        frame.unwrap()
    }
}

const fn varint_bytes(number: u64) -> usize {
    (64 - number.leading_zeros() as usize).div_ceil(7)
}

/// A frame that arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) at: Time,
    pub(crate) from: ConnectionId,
    pub(crate) priority: Priority,
    pub(crate) bytes: usize,
    /// How long it took from being queued.
    pub(crate) latency: Duration,
}

pub(crate) struct Speaker {
    streams: Vec<(Stream, Time)>,
    next_at: Time,
    peers: ConnectionMap<()>,
    pub(crate) sent: [u64; 4],
    pub(crate) heard: Vec<Heard>,
    pub(crate) closed: Vec<(Time, ConnectionId, CloseReason)>,
}

impl Speaker {
    pub(crate) fn new(streams: &[Stream]) -> Self {
        Self {
            streams: streams.iter().map(|it| (*it, Time::ZERO)).collect(),
            next_at: Time::ZERO + TICK,
            peers: ConnectionMap::new(),
            sent: [0; 4],
            heard: Vec::new(),
            closed: Vec::new(),
        }
    }
}

impl Protocol for Speaker {
    type Message<'a> = Said<'a>;
    type Answer<'a> = Nothing;
    type Event = Infallible;
    type Command = Infallible;

    fn on_established(&mut self, _: &mut Context<'_, Infallible>, connection: ConnectionId) {
        self.peers.insert(connection, ());
    }

    fn on_closed(&mut self, cx: &mut Context<'_, Infallible>, connection: ConnectionId, why: &CloseReason) {
        self.peers.remove(connection);
        self.closed.push((cx.now(), connection, why.clone()));
    }

    fn on_message(
        &mut self,
        cx: &mut Context<'_, Infallible>,
        from: ConnectionId,
        said: Said<'_>,
        frame: &Frame,
    ) -> Result<(), Violation> {
        let sent_at = match said {
            Said::Empty(_) => cx.now().as_nanos(),
            Said::Critical(Load { sent_at, .. }) => sent_at,
            Said::High(Load { sent_at, .. }) => sent_at,
            Said::Normal(Load { sent_at, .. }) => sent_at,
            Said::Low(Load { sent_at, .. }) => sent_at,
        };
        let latency = cx.now().since(Time::from_nanos(sent_at));
        let (at, priority) = (cx.now(), frame.priority());
        self.heard.push(Heard { at, from, priority, bytes: frame.len(), latency });
        Ok(())
    }

    fn deadline(&self) -> Option<Time> {
        (!self.streams.is_empty()).then_some(self.next_at)
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, Infallible>) {
        self.next_at = cx.now() + TICK;
        for (stream, due) in &mut self.streams {
            let level = Priority::ALL.iter().position(|it| *it == stream.priority).unwrap();
            let is_due = *due <= cx.now();
            if let Some(interval) = stream.every {
                if !is_due {
                    continue;
                }
                *due = (*due).max(cx.now() - interval) + interval;
            }
            // A frame of 16 MiB is not made to be refused.
            let may_wait = stream.every.is_some() && stream.priority != Priority::Critical;
            let has_room = |it| may_wait || cx.queued_bytes(it, stream.priority) < ENOUGH_BYTES;
            let peers: Vec<_> = self.peers.keys().filter(|it| has_room(*it)).collect();
            if peers.is_empty() {
                continue;
            }
            let frame = stream.frame(cx.now());
            for peer in peers {
                let fits = |cx: &Context<'_, Infallible>| {
                    stream.priority != Priority::Critical
                        || cx.queued_bytes(peer, Priority::Critical) + frame.len() <= ENOUGH_BYTES
                };
                while fits(cx) && cx.send_frame(peer, &frame).is_ok() {
                    self.sent[level] += 1;
                    if stream.every.is_some() {
                        break;
                    }
                }
            }
        }
    }
}

/// Links that hold nothing up: 2 ms, and more under way than any frame has.
pub(crate) fn quick() -> LinkConfig {
    LinkConfig::default()
        .with_latency(Duration::from_millis(2))
        .with_jitter(Duration::ZERO)
        .with_cut_percent(0)
        .with_max_piece_bytes(64 * 1024)
        .with_window_bytes(64 << 20)
}

/// A node in the middle, with these limits, and others around it that have none. Node 0 is the one
/// in the middle; `streams` says what each sends.
pub(crate) fn star(links: LinkConfig, bandwidth: Bandwidth, streams: &[Vec<Stream>]) -> Simulation<Speaker> {
    let mut simulation = Simulation::new(1).link(links).keep_events(false);
    for (index, streams) in streams.iter().enumerate() {
        let limits = Limits::default();
        let limits = if index == 0 { limits.with_bandwidth(bandwidth) } else { limits };
        simulation.add_node(limits, |_| Speaker::new(streams));
    }
    for node in 1..streams.len() {
        simulation.dial(node, 0).unwrap();
    }
    simulation
}

pub(crate) fn heard(simulation: &Simulation<Speaker>, node: usize) -> &[Heard] {
    &simulation.swarm(node).behaviour().heard
}
