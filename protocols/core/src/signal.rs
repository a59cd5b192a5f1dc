//! What the behaviours of a tree tell each other.

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
}
