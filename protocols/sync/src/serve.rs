//! Answering peers that synchronise from us.

use alloc::collections::{BTreeMap, VecDeque};

use spacetime_core::wire::{Frame, GetBlock, GetHeaders, MAX_HEADERS, MessageType};
use spacetime_core::{ConnectionId, ConnectionMap, Context, Offence, SendError, Violation};

use super::effect::{Event, ReadId};

/// Questions of one peer that may wait. Ours asks for 16 blocks and one list of headers at a time.
const MAX_WAITING_QUESTIONS: usize = 64;

/// Answers to one peer that were read and wait to be sent, before no more is read.
const MAX_READS: usize = 4;

/// Their bytes, before no more is read.
const MAX_READ_BYTES: usize = 256 * 1024;

/// A question that waits for its turn.
#[derive(Clone, Copy, Debug)]
enum Question {
    Headers(GetHeaders),
    Block(GetBlock),
}

/// A question whose answer is being read, or was.
#[derive(Debug)]
struct Read {
    id: ReadId,
    /// The answer; none yet. An answer that there is none is dropped.
    answer: Option<Frame>,
}

#[derive(Debug, Default)]
struct Client {
    waiting: VecDeque<Question>,
    /// In the order of the questions, which is that of the answers: version 1 knows no other way
    /// to tell them apart.
    reads: VecDeque<Read>,
}

impl Client {
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
/// answer is as large as it is, so the next one is read when the size of the last one is known.
#[derive(Debug, Default)]
pub(crate) struct Server {
    clients: ConnectionMap<Client>,
    readers: BTreeMap<ReadId, ConnectionId>,
    next_read: u64,
}

impl Server {
    pub(crate) fn on_established(&mut self, connection: ConnectionId) {
        self.clients.insert(connection, Client::default());
    }

    pub(crate) fn on_closed(&mut self, connection: ConnectionId) {
        if let Some(client) = self.clients.remove(connection) {
            for read in client.reads {
                self.readers.remove(&read.id);
            }
        }
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
        self.ask(cx, from, Question::Headers(message))
    }

    pub(crate) fn on_get_block(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        message: GetBlock,
    ) -> Result<(), Violation> {
        self.ask(cx, from, Question::Block(message))
    }

    fn ask(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        question: Question,
    ) -> Result<(), Violation> {
        let Some(client) = self.clients.get_mut(from) else { return Ok(()) };
        if client.waiting.len() >= MAX_WAITING_QUESTIONS {
            return Err(Violation::tolerable(Offence::TooMuch("questions for headers and blocks at a time")));
        }
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
        let client = self.clients.get_mut(connection)?;
        match answer {
            Some(frame) => {
                if let Some(read) = client.reads.iter_mut().find(|read| read.id == id) {
                    read.answer = Some(frame);
                }
            }
            None => client.reads.retain(|read| read.id != id),
        }
        self.go_on(cx, connection);
        Some(connection)
    }

    /// Sends what can be sent to a peer, and has the next things read.
    pub(crate) fn go_on(&mut self, cx: &mut Context<'_, Event>, connection: ConnectionId) {
        let Some(client) = self.clients.get_mut(connection) else { return };
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
        let is_reading = client.reads.back().is_some_and(|read| read.answer.is_none());
        if !is_reading
            && client.reads.len() < MAX_READS
            && client.read_bytes() < MAX_READ_BYTES
            && let Some(question) = client.waiting.pop_front()
        {
            let read = ReadId(self.next_read);
            self.next_read += 1;
            client.reads.push_back(Read { id: read, answer: None });
            self.readers.insert(read, connection);
            cx.emit(match question {
                Question::Headers(GetHeaders { locator, stop, max_headers }) => {
                    // More than fits a message is served with what fits.
                    let max_headers = usize::try_from(max_headers).unwrap_or(1).min(MAX_HEADERS);
                    Event::ReadHeaders { read, locator, stop, max_headers }
                }
                Question::Block(GetBlock { hash }) => Event::ReadBlock { read, hash },
            });
        }
    }
}
