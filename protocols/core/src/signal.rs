//! What the behaviours of a tree tell each other.

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::time::Duration;

use crate::address::Address;
use crate::connection::ConnectionId;
use crate::hash::Hash;
use crate::offence::Offence;
use crate::peer::Identity;

/// Something that other behaviours of the tree may want to know.
///
/// A signal reaches every behaviour after the input that caused it, in the order of sending.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Signal {
    /// A peer did something wrong. The connection may be gone already.
    Offence {
        /// On which connection.
        connection: ConnectionId,
        /// Where that came from, or where it was dialled; none if the peer has left before.
        address: Option<Address>,
        /// Who.
        identity: Identity,
        /// What.
        offence: Offence,
    },
    /// The last block of our chain is another one now.
    TipChanged {
        /// Its height.
        height: u64,
        /// Its hash.
        hash: Hash,
    },
    /// A peer has this block, which may be new.
    BlockAnnounced {
        /// On which connection.
        from: ConnectionId,
        /// The block's hash; where it was only announced, the name under which it was, which is the
        /// hash of no block.
        hash: Hash,
    },
    /// This node is far behind, and downloads the chain: what is new is of no use to it yet. Or it is
    /// not any more.
    InitialDownload(bool),
    /// A peer told addresses of others, or its own: hearsay, charged to who told it.
    AddressesLearned {
        /// From which connection.
        from: ConnectionId,
        /// What it told, at most 1000; admission rules have not been applied.
        addresses: Arc<[SocketAddr]>,
    },
    /// This node has too few peers, and nobody left to dial.
    AddressesWanted,
    /// What this node may tell others of the addresses that it knows, at most 1000; in the place of
    /// what was said before.
    AddressesToShare(Arc<[SocketAddr]>),
    /// A peer answered a ping.
    RoundTrip {
        /// On which connection.
        connection: ConnectionId,
        /// After how long.
        duration: Duration,
    },
    /// A peer was of use: the first to bring something that was wanted and proved valid.
    Useful {
        /// On which connection.
        connection: ConnectionId,
    },
}
