//! Answering peers that synchronise from us.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;

use spacetime_core::wire::{Frame, GetBlock, GetHeaders, Locate, MAX_HEADERS, MessageType};
use spacetime_core::{ConnectionId, ConnectionMap, Context, Hash, Offence, SendError, Violation};

use super::effect::{Event, ReadId};
use super::hot_headers::{self, HotHeaders};

/// Questions of one peer that may wait. Ours asks for 128 blocks and one list of headers at a time.
const MAX_WAITING_QUESTIONS: usize = 256;

/// Hashes in the questions of one peer that may wait: 16 KiB.
const MAX_WAITING_HASHES: usize = 512;

/// Answers to one peer that were read and wait to be sent, before no more is read.
const MAX_READS: usize = 4;

/// Their bytes, before no more is read.
const MAX_READ_BYTES: usize = 256 * 1024;

/// A question that waits for its turn.
#[derive(Clone, Debug)]
enum Question {
    Headers { locator: Vec<Hash>, stop: Option<Hash>, max_headers: i32 },
    Block(Hash),
}

impl Question {
    fn hashes(&self) -> usize {
        match self {
            Self::Headers { locator, .. } => locator.len(),
            Self::Block(_) => 1,
        }
    }

    /// What to look for among the answers that were given to others.
    fn hot(&self) -> Option<hot_headers::Question> {
        match self {
            Self::Headers { locator, stop: None, max_headers } => match **locator {
                [locator] => Some(hot_headers::Question { locator, max_headers: served(*max_headers) }),
                _ => None,
            },
            _ => None,
        }
    }
}

/// A question whose answer is being read, or was.
#[derive(Debug)]
struct Read {
    id: ReadId,
    /// The question, if the next one that asks it may have the same answer, and when it was read.
    hot: Option<(hot_headers::Question, u64)>,
    /// The answer; none yet. An answer that there is none is dropped.
    answer: Option<Frame>,
}

#[derive(Debug, Default)]
struct Client {
    waiting: VecDeque<Question>,
    waiting_hashes: usize,
    /// It stands in the queue of those for whom something is to be read.
    is_queued: bool,
    /// In the order of the questions, which is that of the answers: version 1 knows no other way
    /// to tell them apart.
    reads: VecDeque<Read>,
}

impl Client {
    /// Whether the next thing may be read for it.
    fn wants_read(&self) -> bool {
        let is_reading = self.reads.back().is_some_and(|read| read.answer.is_none());
        let has_room = self.reads.len() < MAX_READS && self.read_bytes() < MAX_READ_BYTES;
        !self.waiting.is_empty() && !is_reading && has_room
    }

    fn read_bytes(&self) -> usize {
        self.reads.iter().filter_map(|read| read.answer.as_ref()).map(Frame::len).sum()
    }
}

/// The peers that ask, and what they asked for.
///
/// # Security
///
/// Nothing is read from the store for a peer that does not take what was read before: per peer at
/// most 4 answers wait (and no more than 256 KiB before the last of them), however much it asks. An
/// answer is as large as it is, so the next one is read when the size of the last one is known. For all
/// peers together no more is read at a time than is configured, for one after the other: who asks much
/// has as many turns as who asks little. What another one has just asked for is not read again.
#[derive(Debug)]
pub(crate) struct Server {
    clients: ConnectionMap<Client>,
    readers: BTreeMap<ReadId, ConnectionId>,
    /// For whom something is to be read, in the order of their turns.
    queue: VecDeque<ConnectionId>,
    max_reads: usize,
    next_read: u64,
    hot_headers: HotHeaders,
    /// Those whose questions were answered without a read, in the turn of somebody else.
    answered: Vec<ConnectionId>,
    statistics: Statistics,
}

/// What was asked for by peers, since the node started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Answers that were read from the store.
    pub reads: u64,
    /// Answers that were not: another peer had just asked for the same, or has all there is.
    pub saved_reads: u64,
}

impl Server {
    /// Of a chain that ends with this block.
    pub(crate) fn new(max_reads: usize, tip: Hash) -> Self {
        Self {
            clients: ConnectionMap::new(),
            readers: BTreeMap::new(),
            queue: VecDeque::new(),
            max_reads,
            next_read: 0,
            hot_headers: HotHeaders::new(tip),
            answered: Vec::new(),
            statistics: Statistics::default(),
        }
    }

    pub(crate) fn on_established(&mut self, connection: ConnectionId) {
        self.clients.insert(connection, Client::default());
    }

    pub(crate) fn on_closed(&mut self, connection: ConnectionId) {
        // What is being read is being read all the same, and holds its place until it was.
        self.clients.remove(connection);
        self.queue.retain(|queued| *queued != connection);
    }

    pub(crate) const fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// The best chain ends here now, and may have left some of its blocks.
    pub(crate) fn set_tip(&mut self, tip: Hash, has_left_blocks: bool) {
        self.hot_headers.set_tip(tip, has_left_blocks);
    }

    /// Whether a peer waits for answers.
    pub(crate) fn has_questions(&self, connection: ConnectionId) -> bool {
        self.clients
            .get(connection)
            .is_some_and(|client| !client.waiting.is_empty() || !client.reads.is_empty())
    }

    pub(crate) fn on_get_headers(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        message: GetHeaders,
    ) -> Result<(), Violation> {
        let GetHeaders { locator, stop, max_headers } = message;
        self.ask(cx, from, Question::Headers { locator: vec![locator], stop, max_headers })
    }

    pub(crate) fn on_locate(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        message: Locate<'_>,
    ) -> Result<(), Violation> {
        let Locate { locator, max_headers } = message;
        self.ask(cx, from, Question::Headers { locator: locator.iter().collect(), stop: None, max_headers })
    }

    pub(crate) fn on_get_block(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        message: GetBlock,
    ) -> Result<(), Violation> {
        self.ask(cx, from, Question::Block(message.hash))
    }

    fn ask(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        question: Question,
    ) -> Result<(), Violation> {
        let Some(client) = self.clients.get_mut(from) else { return Ok(()) };
        let hashes = client.waiting_hashes + question.hashes();
        if client.waiting.len() >= MAX_WAITING_QUESTIONS || hashes > MAX_WAITING_HASHES {
            return Err(Violation::tolerable(Offence::TooMuch("questions for headers and blocks at a time")));
        }
        client.waiting_hashes = hashes;
        client.waiting.push_back(question);
        self.go_on(cx, from);
        Ok(())
    }

    /// What was to be read was read; no answer means that it is not there. For whom it was.
    pub(crate) fn on_read(
        &mut self,
        cx: &mut Context<'_, Event>,
        id: ReadId,
        answer: Option<Frame>,
        expected: MessageType,
    ) -> Option<ConnectionId> {
        debug_assert!(answer.as_ref().is_none_or(|frame| frame.message_type() == expected));
        let connection = self.readers.remove(&id)?;
        let client = self.clients.get_mut(connection);
        let is_there = client.is_some();
        if let Some(client) = client {
            match answer {
                Some(frame) => {
                    if let Some(read) = client.reads.iter_mut().find(|read| read.id == id) {
                        if let Some((question, generation)) = read.hot {
                            self.hot_headers.insert(question, &frame, generation);
                        }
                        read.answer = Some(frame);
                    }
                }
                None => client.reads.retain(|read| read.id != id),
            }
        }
        self.go_on(cx, connection);
        is_there.then_some(connection)
    }

    /// One whose question was answered in the turn of somebody else.
    pub(crate) fn take_answered(&mut self) -> Option<ConnectionId> {
        self.answered.pop()
    }

    /// Sends what can be sent to a peer, and has the next things read.
    pub(crate) fn go_on(&mut self, cx: &mut Context<'_, Event>, connection: ConnectionId) {
        self.send(cx, connection);
        self.read_next(cx);
    }

    /// Sends what can be sent to a peer. If something is to be read for it then, it gets a place in the queue.
    fn send(&mut self, cx: &mut Context<'_, Event>, connection: ConnectionId) {
        if let Some(client) = self.clients.get_mut(connection) {
            while let Some(frame) = client.reads.front().and_then(|read| read.answer.as_ref()) {
                match cx.send_frame(connection, frame) {
                    Ok(()) => {
                        client.reads.pop_front();
                    }
                    // `on_writable` or `on_closed` follows.
                    Err(SendError::Full | SendError::Closed) => break,
                    Err(error) => {
                        debug_assert!(false, "a frame that was encoded can be sent: {error}");
                        client.reads.pop_front();
                    }
                }
            }
            // Most ask once, when they connect.
            if client.reads.is_empty() {
                client.reads = VecDeque::new();
            }
            if client.waiting.is_empty() {
                client.waiting = VecDeque::new();
            }
            if client.wants_read() && !core::mem::replace(&mut client.is_queued, true) {
                self.queue.push_back(connection);
            }
        }
    }

    /// Has the next things read, as many as may be at a time.
    fn read_next(&mut self, cx: &mut Context<'_, Event>) {
        while self.readers.len() < self.max_reads
            && let Some(connection) = self.queue.pop_front()
        {
            let Some(client) = self.clients.get_mut(connection) else { continue };
            client.is_queued = false;
            let Some(question) = client.waiting.pop_front() else { continue };
            client.waiting_hashes -= question.hashes();
            let hot = question.hot();
            let read = ReadId(self.next_read);
            self.next_read += 1;
            if let Some(frame) = hot.and_then(|question| self.hot_headers.get(question)) {
                self.statistics.saved_reads += 1;
                client.reads.push_back(Read { id: read, hot: None, answer: Some(frame) });
                self.answered.push(connection);
                self.send(cx, connection);
                continue;
            }
            self.statistics.reads += 1;
            let hot = hot.map(|question| (question, self.hot_headers.generation()));
            client.reads.push_back(Read { id: read, hot, answer: None });
            self.readers.insert(read, connection);
            cx.emit(match question {
                Question::Headers { locator, stop, max_headers } => {
                    Event::ReadHeaders { read, locator, stop, max_headers: served(max_headers) }
                }
                Question::Block(hash) => Event::ReadBlock { read, hash },
            });
        }
    }
}

/// More headers than fit a message are served with what fits.
fn served(max_headers: i32) -> usize {
    usize::try_from(max_headers).unwrap_or(1).min(MAX_HEADERS)
}
