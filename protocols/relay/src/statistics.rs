//! What became of items.

/// How many items met which end, of one session or of all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// New items that came, and were given to the application.
    pub received: u64,
    /// Items that came when they were known.
    pub duplicates: u64,
    /// New items for which there was no room, or that were over the rate of who sent them.
    pub dropped: u64,
    /// Items that were passed on, once for each however many peers there are.
    pub relayed: u64,
    /// Items that break the rules, each time that one came.
    pub rejected: u64,
    /// Items that were announced instead of sent, once for each peer.
    pub announced: u64,
    /// Items that were asked for.
    pub fetched: u64,
    /// Times that a peer did not send what it had announced.
    pub not_sent: u64,
}
