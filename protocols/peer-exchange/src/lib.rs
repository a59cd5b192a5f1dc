//! Peer exchange: telling peers about other peers.
//!
//! # What it promises
//!
//! * A peer that asks is answered, with addresses that this node has dialled itself and found a peer
//!   of this chain at; never with hearsay, never with the port from which somebody called.
//! * Asking often gives nothing more: one full answer per peer in [`ANSWER_INTERVAL`], empty ones in
//!   between, so that a version-1 node that waits for an answer gets one.
//!
//! It does not ask yet.
//!
//! # On the wire
//!
//! [`GetPeers`] (10) with a maximum and the addresses that the asker knows, [`Peers`] (11).
//!
//! ```text
//!   peer asks --> interval over? -- yes --> Peers: dialled addresses, less the exclusions
//!                      | no
//!                      +----> Peers: none
//! ```
//!
//! # Limits
//!
//! Nothing is kept but a moment per session. An answer holds what was asked for, 1000 addresses at
//! most; exclusions are read in place.
//!
//! # What each violation costs
//!
//! | what the peer does | what happens |
//! |---|---|
//! | malformed GetPeers | charged |
//! | asks again too soon | answered with nothing |

#![no_std]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

extern crate alloc;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::time::Duration;

use spacetime_core::wire::{Exclude, Frame, GetPeers, Nothing, Peers};
use spacetime_core::{
    Address, CloseReason, ConnectionId, ConnectionMap, Context, Direction, Protocol, SendError, Time,
    Violation,
};

/// How long after a full answer a peer gets the next one (seed).
pub const ANSWER_INTERVAL: Duration = Duration::from_secs(300);

/// The behaviour. See the [crate].
#[derive(Debug, Default)]
pub struct PeerExchange {
    /// When each peer got its last full answer.
    answered: ConnectionMap<Option<Time>>,
}

impl PeerExchange {
    /// The behaviour.
    pub const fn new() -> Self {
        Self { answered: ConnectionMap::new() }
    }
}

/// The addresses that this node has dialled and found a peer at, but for the asker's own.
fn known_addresses(
    cx: &Context<'_, Infallible>,
    asker: ConnectionId,
    exclude: Exclude<'_>,
    max_count: usize,
) -> Vec<core::net::SocketAddr> {
    // Texts that are no addresses exclude nothing.
    let excluded: BTreeSet<_> =
        exclude.iter().filter_map(|text| text.parse::<Address>().ok()?.socket_addr()).collect();
    cx.peers()
        .filter(|(connection, peer)| *connection != asker && peer.direction == Direction::Outbound)
        .filter_map(|(_, peer)| peer.address.socket_addr())
        .filter(|address| !excluded.contains(address))
        .take(max_count)
        .collect()
}

impl Protocol for PeerExchange {
    type Message<'a> = GetPeers<'a>;
    type Answer<'a> = Nothing;
    type Event = Infallible;
    type Command = Infallible;

    fn on_established(&mut self, _: &mut Context<'_, Infallible>, connection: ConnectionId) {
        self.answered.insert(connection, None);
    }

    fn on_closed(&mut self, _: &mut Context<'_, Infallible>, connection: ConnectionId, _: &CloseReason) {
        self.answered.remove(connection);
    }

    fn on_message(
        &mut self,
        cx: &mut Context<'_, Infallible>,
        from: ConnectionId,
        GetPeers { max_count, exclude }: GetPeers<'_>,
        _: &Frame,
    ) -> Result<(), Violation> {
        let Some(answered) = self.answered.get_mut(from) else { return Ok(()) };
        let may_know_more = answered.is_none_or(|at| at + ANSWER_INTERVAL <= cx.now());
        let addresses = if may_know_more {
            *answered = Some(cx.now());
            known_addresses(cx, from, exclude, usize::try_from(max_count).unwrap_or(0))
        } else {
            Vec::new()
        };
        match cx.send(from, &Peers::new(&addresses)) {
            // Whoever does not read its answers gets none.
            Ok(()) | Err(SendError::Full | SendError::Closed) => {}
            Err(error) => debug_assert!(false, "so many addresses can be sent: {error}"),
        }
        Ok(())
    }
}
