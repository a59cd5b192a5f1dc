//! Crates that allow themselves nothing can use the derive.

#![deny(
    warnings,
    clippy::pedantic,
    missing_debug_implementations,
    missing_docs,
    single_use_lifetimes,
    unreachable_pub,
    unused_qualifications,
    variant_size_differences
)]

use std::convert::Infallible;

use spacetime_core::wire::{Frame, GetBlock, MessageSet, Nothing, Ping, Pong, TxPoolRequest};
use spacetime_core::{ConnectionId, Context, NetworkBehaviour, Protocol, Violation};

/// Receives one kind of message.
#[derive(Debug)]
pub struct Leaf<M>(std::marker::PhantomData<fn() -> M>);

impl<M> Default for Leaf<M> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<M: for<'a> MessageSet<'a>> Protocol for Leaf<M> {
    type Message<'a> = M;
    type Answer<'a> = Nothing;
    type Event = [u8; 64];
    type Command = Infallible;

    fn on_message(
        &mut self,
        _: &mut Context<'_, [u8; 64]>,
        _: ConnectionId,
        _: M,
        _: &Frame,
    ) -> Result<(), Violation> {
        Ok(())
    }
}

/// A tree of which nobody makes a command and in which nobody looks at an event.
#[derive(Debug, NetworkBehaviour)]
pub struct Unused {
    /// The first.
    pub ping: Leaf<Ping>,
    /// The second.
    pub pong: Leaf<Pong>,
}

#[derive(NetworkBehaviour)]
struct Private<T> {
    concrete: Leaf<Ping>,
    generic: T,
    sign_pong: Leaf<Pong>,
    sign_block: Leaf<GetBlock>,
    sign_pool: Leaf<TxPoolRequest>,
}

mod inner {
    use super::{Leaf, NetworkBehaviour, Ping};

    /// Which member it has is its own business.
    #[derive(NetworkBehaviour)]
    pub(crate) struct Closed<T> {
        hidden: Hidden<T>,
    }

    #[derive(NetworkBehaviour)]
    struct Hidden<T> {
        generic: T,
    }

    pub(crate) fn closed() -> Closed<Leaf<Ping>> {
        Closed { hidden: Hidden { generic: Leaf::default() } }
    }
}

#[test]
fn trees_bring_no_warnings_with_them() {
    let private = Private {
        concrete: Leaf::default(),
        generic: inner::closed(),
        sign_pong: Leaf::default(),
        sign_block: Leaf::default(),
        sign_pool: Leaf::default(),
    };
    assert_eq!(private.deadline(), None);
}
