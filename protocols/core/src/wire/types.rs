//! The type byte and what follows from it.

use core::fmt;

/// The largest value of a frame's length field: type byte and payload together.
pub const MAX_LENGTH: u32 = 16_777_216;
/// The largest payload a frame can carry.
pub const MAX_PAYLOAD: u32 = MAX_LENGTH - 1;
/// Bytes of a frame before its payload: `i32` length and type byte.
pub const FRAME_HEADER: usize = 5;

/// How urgent a message is. Each connection sends in this order, with a share for those that wait
/// (see `Limits`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Priority {
    /// Transactions. A broadcast drops the oldest of these when their queue is full.
    Low,
    /// Requests, answers, the handshake. Never dropped: a full queue answers `Full`.
    Normal,
    /// Blocks. A broadcast drops the oldest of these when their queue is full.
    High,
    /// Signs of life. A peer whose queue of these is full is gone; the connection closes.
    Critical,
}

impl Priority {
    /// All levels, the most urgent first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::High, Self::Normal, Self::Low];
}

/// The type byte of a frame.
///
/// `0x01..=0x41` and `0xFF` are version 1's. Ours adds `0x33..=0x3F` and `0x50..=0x5F`, sent only
/// to peers that announced the capability; `0x80..=0xEF` belong to applications.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageType(u8);

/// What is fixed for a type: its name, the largest payload and the priority.
struct Row(MessageType, &'static str, u32, Priority);

macro_rules! types {
    ($(
        [$(#[$list_doc:meta])* $list:ident]
        $($(#[$doc:meta])* $name:ident = $byte:literal, $text:literal, $max:expr, $priority:ident;)*
    )*) => {
        impl MessageType {
            $(
                $($(#[$doc])* pub const $name: Self = Self($byte);)*

                $(#[$list_doc])*
                pub const $list: &'static [Self] = &[$(Self::$name),*];
            )*
        }

        const ROWS: &[Row] = &[
            $($(Row(MessageType::$name, $text, $max, Priority::$priority),)*)*
        ];
    };
}

types! {
    [
        /// Every type of version 1, in the order of their bytes.
        VERSION_1
    ]
    /// Who I am; the dialer's first frame.
    HANDSHAKE = 0x01, "Handshake", 1024, Normal;
    /// Your handshake arrived. Its payload is ignored.
    HANDSHAKE_ACK = 0x02, "HandshakeAck", 1024, Normal;
    /// Legacy sign of life. Its payload is ignored.
    HEARTBEAT = 0x03, "Heartbeat", 1024, Critical;
    /// Are you there? Version 1 also answers with this type.
    PING = 0x04, "Ping", 16, Critical;
    /// I am here.
    PONG = 0x05, "Pong", 16, Critical;
    /// Tell me addresses. 128 KiB hold the 1000 exclusions with room to spare; the reference has
    /// no limit below the frame's, which buys an attacker 16 MiB of parsing for one request.
    GET_PEERS = 0x10, "GetPeers", 131_072, Normal;
    /// Addresses: 1000 of them with 24 bytes each, and their count.
    PEERS = 0x11, "Peers", 4 + 1000 * 24, Normal;
    /// Tell me headers after this one.
    GET_HEADERS = 0x20, "GetHeaders", 69, Normal;
    /// Headers.
    HEADERS = 0x21, "Headers", MAX_PAYLOAD, Normal;
    /// Send me this block.
    GET_BLOCK = 0x22, "GetBlock", 32, Normal;
    /// A block, asked for or not.
    BLOCK = 0x23, "Block", MAX_PAYLOAD, High;
    /// A transaction.
    TRANSACTION = 0x30, "Transaction", 1_048_576, Low;
    /// A block that is new.
    NEW_BLOCK = 0x31, "NewBlock", MAX_PAYLOAD, High;
    /// Tell me what is in your pool.
    TX_POOL_REQUEST = 0x32, "TxPoolRequest", 5, Normal;
    /// A proof of space and time.
    PROOF_SUBMISSION = 0x40, "ProofSubmission", 45 + 1_048_576, Normal;
    /// This block was accepted.
    BLOCK_ACCEPTED = 0x41, "BlockAccepted", 40, High;
    /// Why I close this connection. Version 1 names it and drops the connection on receipt.
    ERROR = 0xff, "Error", 1024, Normal;

    [
        /// Every type that this implementation adds, in the order of their bytes. Each belongs to a
        /// capability, and is sent only to peers that announced it.
        EXTENSIONS
    ]
    /// I have these.
    ANNOUNCE = 0x33, "Announce", 4 + 500 * 37, Normal;
    /// Send me these.
    FETCH = 0x34, "Fetch", 4 + 500 * 32, Normal;
    /// Of what you want I do not have these.
    NOT_FOUND = 0x35, "NotFound", 4 + 500 * 32, Normal;
    /// What is in my pool.
    POOL_HASHES = 0x36, "PoolHashes", 4 + 50_000 * 32, Normal;
    /// Tell me headers after the first of these that you have.
    LOCATE = 0x50, "Locate", 8 + 101 * 32, Normal;
    /// A part of a large frame. The Swarm cuts and joins them; nobody else sees one.
    CHUNK = 0x51, "Chunk", 1 + 65_536, Normal;
}

impl MessageType {
    /// The type with this byte, known or not.
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// A type of an application's own.
    ///
    /// # Panics
    ///
    /// If `byte` is not in `0x80..=0xEF`: in a `const`, the build fails.
    #[track_caller]
    pub const fn application(byte: u8) -> Self {
        assert!(byte >= 0x80 && byte <= 0xEF, "application message types are 0x80..=0xEF");
        Self(byte)
    }

    /// The type byte.
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// The type as an index into a table of 256.
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Whether the type is one of version 1's.
    pub(crate) fn is_version_1(self) -> bool {
        Self::VERSION_1.contains(&self)
    }

    /// Whether the type belongs to applications.
    pub const fn is_application(self) -> bool {
        self.0 >= 0x80 && self.0 <= 0xEF
    }

    const fn row(self) -> Option<&'static Row> {
        let mut rows = ROWS;
        while let [row, rest @ ..] = rows {
            if row.0.0 == self.0 {
                return Some(row);
            }
            rows = rest;
        }
        None
    }

    /// The name of a type of version 1 or of ours.
    pub const fn name(self) -> Option<&'static str> {
        match self.row() {
            Some(row) => Some(row.1),
            None => None,
        }
    }

    /// The type of version 1, or of ours, with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// The largest payload of a type of version 1 or of ours, in bytes; nothing for other types.
    pub const fn max_payload(self) -> u32 {
        match self.row() {
            Some(row) => row.2,
            None => 0,
        }
    }

    /// The priority of a type of version 1 or of ours; `Normal` for other types.
    pub const fn priority(self) -> Priority {
        match self.row() {
            Some(row) => row.3,
            None => Priority::Normal,
        }
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "type 0x{:02x}", self.0),
        }
    }
}

impl fmt::Debug for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
