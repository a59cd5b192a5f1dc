//! Behaviours for the cases beside this file.

#![allow(dead_code)]

use std::convert::Infallible;
use std::marker::PhantomData;

use spacetime_core::wire::{Frame, MessageSet, Nothing};
use spacetime_core::{Claims, ConnectionId, Context, Input, NetworkBehaviour, Protocol, Violation};

/// Receives `M` as a message and `A` as an answer, and does nothing with either.
pub struct Leaf<M, A = Nothing>(PhantomData<fn() -> (M, A)>);

impl<M, A> Default for Leaf<M, A> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<M: for<'a> MessageSet<'a>, A: for<'a> MessageSet<'a>> Protocol for Leaf<M, A> {
    type Message<'a> = M;
    type Answer<'a> = A;
    type Event = &'static str;
    type Command = u8;

    fn on_message(
        &mut self,
        _: &mut Context<'_, &'static str>,
        _: ConnectionId,
        _: M,
        _: &Frame,
    ) -> Result<(), Violation> {
        Ok(())
    }
}

/// Lets nobody in.
#[derive(Default)]
pub struct Gate;

impl NetworkBehaviour for Gate {
    const CLAIMS: Claims = Claims::NONE.with_gate();
    type Event = Infallible;
    type Command = Infallible;

    fn on_input(&mut self, _: &mut Context<'_, Infallible>, _: &Input<'_>) -> Result<(), Violation> {
        Ok(())
    }

    fn on_command(&mut self, _: &mut Context<'_, Infallible>, command: Infallible) {
        match command {}
    }
}
