//! Sync: download the chain from the peers that have it, and serve it to those that have not.
//!
//! # What it promises
//!
//! * Headers first: a block is asked for only after its header has linked, one by one, to the last
//!   block that was applied. A block that arrives is taken only if it has the hash that was asked
//!   for.
//! * Blocks come from several peers at a time and are applied in the order of the chain. What waits
//!   to be applied is a window, not the chain.
//! * A peer that does not answer, or answers badly, is passed over; what it was asked for is asked
//!   from another. Nobody is charged for what somebody else sent.
//! * Whatever was applied when the node stopped is where it goes on when it starts.
//! * Serving is bounded per peer, and never in the way of the node's own download.
//!
//! It owns no chain: [`Event`]s say what is to be read and applied, the node carries that out where
//! disks and signature checks hold nothing up, and answers with [`Command`]s.
//!
//! # On the wire
//!
//! [`GetHeaders`](wire::GetHeaders) (20) with the hash of the last header as locator,
//! [`Headers`](wire::Headers) (21), [`GetBlock`](wire::GetBlock) (22), [`Block`](wire::Block) (23).
//! A Block that nobody asked for and a [`NewBlock`](wire::NewBlock) (31) are taken as the news that
//! the peer has it.
//!
//! ```text
//!   Idle -- peer --> Discovering -- headers --> DownloadingHeaders --> DownloadingBlocks
//!    ^                   |  nobody has more             ^                  | all arrived
//!    | no peers          v                              | more headers     v
//!    +---------------- Synced <-------------------------+----------- Validating
//!                        ^  all applied                                    |
//!                        +-------------------------------------------------+
//!   Failed: there are headers, and no peer gives their blocks.   Cancelled: stopped.
//! ```
//!
//! # Limits
//!
//! | what | bound |
//! |---|---|
//! | headers that wait for their blocks | 4000 |
//! | blocks asked for ahead of the last applied one | 1024 |
//! | bytes of blocks that wait | 32 MiB and one block |
//! | requests per peer | 16 blocks, 1 list of headers |
//! | per served peer | 64 questions; 4 answers read ahead, 256 KiB before the last of them |
//!
//! # What each violation costs
//!
//! | what the peer does | what happens |
//! |---|---|
//! | header that does not link, or breaks the rules | closed, charged |
//! | more headers than were asked for | closed, charged |
//! | block that breaks the rules | closed, charged; asked from another |
//! | no answer in time | charged, passed over for a while |
//! | a block that nobody asked for | taken as news |
//! | too many questions at a time | charged, ignored |

#![no_std]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

extern crate alloc;

mod config;
mod download;
mod effect;
mod messages;
mod progress;
mod serve;
mod window;

pub use config::{Config, InvalidConfig};
use download::Downloader;
pub use effect::{Command, Event, ReadId};
pub use messages::{Answer, Message};
pub use progress::{Progress, State};
use serve::Server;
use spacetime_core::chain::{ChainRules, HeaderInfo};
use spacetime_core::wire::{self, Frame, MessageType, Priority};
use spacetime_core::{
    CloseReason, ConnectionId, Context, Protocol, RequestError, RequestId, Rng, Time, Violation,
};

/// The behaviour. See the [crate].
#[derive(Debug)]
pub struct Sync<R> {
    downloader: Downloader<R>,
    server: Server,
}

impl<R: ChainRules> Sync<R> {
    /// A node whose chain ends at `tip`.
    pub fn new(config: Config, rules: R, tip: HeaderInfo, rng: &Rng) -> Result<Self, InvalidConfig> {
        config.validate()?;
        Ok(Self {
            downloader: Downloader::new(config, rules, tip, rng.fork("sync")),
            server: Server::default(),
        })
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        self.downloader.progress()
    }

    fn on_read(
        &mut self,
        cx: &mut Context<'_, Event>,
        read: ReadId,
        answer: Option<Frame>,
        expected: MessageType,
    ) {
        if let Some(connection) = self.server.on_read(cx, read, answer, expected) {
            self.downloader.set_waits_for_us(cx, connection, self.server.has_questions(connection));
        }
    }
}

impl<R: ChainRules + 'static> Protocol for Sync<R> {
    type Message<'a> = Message<'a>;
    type Answer<'a> = Answer<'a, R>;
    type Event = Event;
    type Command = Command;

    fn on_established(&mut self, cx: &mut Context<'_, Event>, connection: ConnectionId) {
        self.server.on_established(connection);
        self.downloader.on_established(cx, connection);
    }

    fn on_closed(&mut self, cx: &mut Context<'_, Event>, connection: ConnectionId, _: &CloseReason) {
        self.server.on_closed(connection);
        self.downloader.on_closed(cx, connection);
    }

    fn on_message(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        message: Message<'_>,
        _: &Frame,
    ) -> Result<(), Violation> {
        let result = match message {
            Message::GetHeaders(message) => self.server.on_get_headers(cx, from, message),
            Message::GetBlock(message) => self.server.on_get_block(cx, from, message),
            Message::Block(wire::Block { bytes }) | Message::NewBlock(wire::NewBlock { bytes }) => {
                self.downloader.on_announced(cx, from, bytes);
                Ok(())
            }
        };
        self.downloader.set_waits_for_us(cx, from, self.server.has_questions(from));
        result
    }

    fn on_answer(
        &mut self,
        cx: &mut Context<'_, Event>,
        from: ConnectionId,
        request: RequestId,
        answer: Answer<'_, R>,
        frame: &Frame,
    ) -> Result<(), Violation> {
        match answer {
            Answer::Headers(headers) => self.downloader.on_headers(cx, from, request, headers),
            Answer::Block(_) => {
                self.downloader.on_block(cx, from, request, frame);
                Ok(())
            }
        }
    }

    fn on_request_failed(
        &mut self,
        cx: &mut Context<'_, Event>,
        connection: ConnectionId,
        request: RequestId,
        error: RequestError,
    ) {
        self.downloader.on_request_failed(cx, connection, request, error);
    }

    fn on_writable(&mut self, cx: &mut Context<'_, Event>, connection: ConnectionId, _: Priority) {
        self.server.go_on(cx, connection);
        self.downloader.set_waits_for_us(cx, connection, self.server.has_questions(connection));
        self.downloader.go_on(cx);
    }

    fn on_command(&mut self, cx: &mut Context<'_, Event>, command: Command) {
        match command {
            Command::HeadersRead { read, answer } => {
                self.on_read(cx, read, Some(answer), MessageType::HEADERS)
            }
            Command::BlockRead { read, answer } => self.on_read(cx, read, answer, MessageType::BLOCK),
            Command::Rejected { hash, error } => self.downloader.on_rejected(cx, hash, error),
            Command::Applied { tip } => self.downloader.on_applied(cx, tip),
            Command::Start => self.downloader.start(cx),
            Command::Stop => self.downloader.stop(cx),
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.downloader.deadline()
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, Event>) {
        self.downloader.on_deadline(cx);
    }
}
