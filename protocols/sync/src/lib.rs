//! Sync: download the chain from the peers that have it, and serve it to those that have not.
//!
//! # What it promises
//!
//! * Headers first: a block is asked for only after its header has linked, one by one, to a block that
//!   was verified, and only from a peer that has shown to have that header. A block that arrives is
//!   taken only if it has the hash that was asked for, and the body that its header names.
//! * The heaviest chain is followed, by [`ChainRules::weight`].
//!   What headers claim only ranks whom to try: the tip moves by verified blocks, and where that means
//!   to leave blocks for a heavier chain, in one step. See [forks](#forks).
//! * Blocks come from several peers at a time and are applied in the order of the chain. What waits
//!   to be applied is a window, not the chain. Each peer is asked for as much at a time as it sends in
//!   about half a second.
//! * One honest peer is enough. Peers are asked in the order in which they came, and who was asked
//!   stands at the end again: however many come again and again, and whatever they claim, each of
//!   the others has its turn before they have a second one.
//! * A peer that does not answer, or answers badly, is passed over; what it was asked for is asked
//!   from another. However much that was, it is one failure. So is a peer for whose block all others
//!   wait, after 1 s, twice as long for each such peer, less again with each block that is applied; at once
//!   if it has been silent for as long already. A block that eight later ones have overtaken is asked from
//!   another as well, and used whoever sends it first.
//!   Nobody is charged for what somebody else sent, nor for being slow while it sends.
//! * A bad body says nothing about the block: its sender is closed, what else it sent is not used, and
//!   the same block is taken from another. What others have sent behind it waits.
//! * Whatever was applied when the node stopped is where it goes on when it starts.
//! * Serving is bounded per peer and for all together, and never in the way of the node's own download.
//!
//! # Forks
//!
//! The node remembers its last blocks ([`RecentChain`]), and asks a peer for headers after the first
//! of them that both have: in one question if the peer has announced [`CAPABILITY`], else with a block
//! further and further back in each. What it gets after another block than the last one is a rival of
//! the chain that is followed; of 8 peers one each is kept, and all are tried side by side.
//!
//! ```text
//!   heavier than what is followed,       its first block     verified   followed, and the other one
//!   as far as both are known; or    -->  is asked for from  ---------->  forgotten
//!   no block of that has come            the peer            else  -->  the rival is forgotten
//! ```
//!
//! Meanwhile the download goes on, so that headers that cost nothing hold up nothing. The blocks of
//! a chain that parts below the tip are kept beside the best chain until they outweigh it. A rival that
//! parts where nothing is verified yet is neither better nor worse than what is followed: it is kept until
//! that is verified, or does not come.
//!
//! It owns no chain: [`Event`]s say what is to be read and applied, the node carries that out where
//! disks and signature checks hold nothing up, and answers with [`Command`]s.
//!
//! # On the wire
//!
//! [`GetHeaders`](spacetime_core::wire::GetHeaders) (20) with the hash of one block as locator,
//! [`Locate`](spacetime_core::wire::Locate) (50) with many, [`Headers`](spacetime_core::wire::Headers) (21),
//! [`GetBlock`](spacetime_core::wire::GetBlock) (22), [`Block`](spacetime_core::wire::Block) (23).
//! Whether a peer has a header is asked with a GetHeaders for one header after its parent. Whoever is new,
//! or seems to have another chain, is asked for 16 headers first, many peers at once; for 2000 only one that
//! has answered. What two served peers ask for one after the other, as those do that download at the same
//! time, is read once.
//! That a peer has a new block it hears from whoever receives those
//! ([`Signal::BlockAnnounced`]; in a full node that is the relay).
//!
//! A version-1 node takes whatever comes next for the answer it waits for. It is asked nothing while
//! it waits for one of ours; and if it has connected to us, nothing until it has not asked for as
//! long as the interval between two polls.
//!
//! ```text
//!   Idle -- peer --> Discovering -- headers --> DownloadingHeaders -- who has them --+
//!    ^                   |                              ^                            v
//!    | no peers          | nobody has more              | headers           DownloadingBlocks
//!    |                   v                              |                            |
//!    +---------------- Synced --------------------------+                            | all arrived
//!                        ^                                                           v
//!                        +---------------------- all applied ------------------- Validating
//!
//!   Failed: all peers have failed too often, or the clock is behind.   Cancelled: stopped.
//! ```
//!
//! DownloadingHeaders is passed over where the peer that gave the headers can be asked for blocks at
//! once. While it is far behind, by headers of a chain of which a block was verified,
//! [`Signal::InitialDownload`] keeps the relay quiet. After 10 min without a new block all peers are asked
//! whether they have one.
//!
//! # Limits
//!
//! | what | bound |
//! |---|---|
//! | headers that wait for their blocks | 6000, and as many of each of 8 rival chains |
//! | blocks that are left for a heavier chain | 1000 |
//! | headers that are taken | up to 2 h ahead of the wall clock |
//! | blocks asked for ahead of the last applied one | 1024 |
//! | bytes of blocks that wait or are being applied | 32 MiB and one block |
//! | peers that are asked for headers at a time | 8, of which one more every 2 s for the next 2000; who does not answer holds its place for 1 s (16 headers) or 5 s |
//! | peers that are asked for blocks at a time | 4, without those that have sent none for 1 s |
//! | requests per peer | 1 list of headers; 2 blocks, more while they come within 0.5 s or twice the fastest, up to 128 (16 from version-1 nodes) and about 1 MiB |
//! | time for an answer | 30 s |
//! | questions for the same block to the same peer | 3, then others only, until nobody is left |
//! | questions for headers because a peer says it has news | 1 in 1 s; none for 60 s after it showed a lighter chain |
//! | time for the block that all others wait for | 1 s to 64 s; four times that while our own limits of bandwidth hold the line back |
//! | rest after a failure | 10 s, then 20 s; after the third in a row 10 min |
//! | per served peer | 256 questions with 512 hashes; 1 being read; 4 answers that wait, 256 KiB before the last of them |
//! | being read for all served peers | 4 |
//! | lists of headers that are kept for others that ask for the same | 64, 4 MiB |
//!
//! # What each violation costs
//!
//! | what the peer does | what happens |
//! |---|---|
//! | header that does not link, or breaks the rules | closed, charged |
//! | more headers than were asked for | closed, charged |
//! | block that breaks the rules | closed, charged; asked from another |
//! | no answer in time, and no block either | charged once, rests |
//! | no answer in time, but blocks came | asked for less at a time |
//! | all others wait for its block | passed over, rests |
//! | headers of a heavier chain whose first block does not come | charged once, rests |
//! | bytes that are no answer | charged once, rests |
//! | headers whose blocks nobody gives | those who have shown to have them go to the end of the queue |
//! | too many questions at a time | charged, ignored |

#![no_std]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

extern crate alloc;

mod config;
mod download;
mod effect;
mod followed;
mod hot_headers;
mod messages;
mod progress;
mod recent;
mod serve;
mod window;

pub use config::{Config, InvalidConfig, MAX_REORG_DEPTH};
use download::Downloader;
pub use effect::{Command, Event, ReadId};
pub use messages::{Answer, Message};
pub use progress::{Progress, StallReason, State};
pub use recent::RecentChain;
use serve::Server;
pub use serve::Statistics;
use spacetime_core::chain::ChainRules;
use spacetime_core::wire::{Frame, MessageType, Priority};
use spacetime_core::{
    CloseReason, ConnectionId, Context, Protocol, RequestError, RequestId, Rng, Signal, Time, Violation,
};

/// What a node announces that takes a [`Locate`](spacetime_core::wire::Locate).
pub const CAPABILITY: &str = "sync.locate";
/// The version of that.
pub const CAPABILITY_VERSION: u16 = 1;

/// The behaviour. See the [crate].
#[derive(Debug)]
pub struct Sync<R> {
    downloader: Downloader<R>,
    server: Server,
}

impl<R: ChainRules> Sync<R> {
    /// A node whose chain ends with these blocks, or with this one. It leaves only those that it is told
    /// here for a heavier chain, and those that come after.
    pub fn new(
        config: Config,
        rules: R,
        recent: impl Into<RecentChain>,
        rng: &Rng,
    ) -> Result<Self, InvalidConfig> {
        config.validate()?;
        let recent = recent.into();
        Ok(Self {
            server: Server::new(config.max_reads(), recent.tip().hash),
            downloader: Downloader::new(config, rules, recent, rng.fork("sync")),
        })
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        self.downloader.progress()
    }

    /// What peers have asked for.
    pub fn statistics(&self) -> Statistics {
        self.server.statistics()
    }

    fn on_read(
        &mut self,
        cx: &mut Context<'_, Event>,
        read: ReadId,
        answer: Option<Frame>,
        expected: MessageType,
    ) {
        if let Some(connection) = self.server.on_read(cx, read, answer, expected) {
            self.note_questions(cx, connection);
        }
    }

    /// A peer has asked or was answered, and with it those that had waited for the same place.
    fn note_questions(&mut self, cx: &mut Context<'_, Event>, connection: ConnectionId) {
        let mut next = Some(connection);
        while let Some(connection) = next {
            self.downloader.set_waits_for_us(cx, connection, self.server.has_questions(connection));
            next = self.server.take_answered();
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
            Message::Locate(message) => self.server.on_locate(cx, from, message),
            Message::GetBlock(message) => self.server.on_get_block(cx, from, message),
        };
        self.note_questions(cx, from);
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
        self.note_questions(cx, connection);
        self.downloader.go_on(cx);
    }

    fn on_signal(&mut self, cx: &mut Context<'_, Event>, signal: &Signal) {
        if let Signal::BlockAnnounced { from, hash } = signal {
            self.downloader.on_announced(cx, *from, *hash);
        }
    }

    fn on_command(&mut self, cx: &mut Context<'_, Event>, command: Command) {
        match command {
            Command::HeadersRead { read, answer } => {
                self.on_read(cx, read, Some(answer), MessageType::HEADERS)
            }
            Command::BlockRead { read, answer } => self.on_read(cx, read, answer, MessageType::BLOCK),
            Command::Rejected { hash, error } => self.downloader.on_rejected(cx, hash, error),
            Command::Applied { last, tip } => {
                let has_left_blocks = self.downloader.on_applied(cx, last, tip);
                self.server.set_tip(tip.hash, has_left_blocks);
            }
            Command::TipMoved { tip } => {
                let has_left_blocks = self.downloader.on_tip_moved(cx, tip);
                self.server.set_tip(tip.hash, has_left_blocks);
            }
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
