#![deny(warnings)]

#[path = "../leaf.rs"]
mod leaf;

use std::marker::PhantomData;

use leaf::Leaf;
use spacetime_core::wire::{Frame, MessageSet, Nothing, Ping, Pong};
use spacetime_core::{ConnectionId, Context, Limits, NetworkBehaviour, PeerId, Protocol, Swarm, Violation};

/// A part of a protocol that its user chooses.
trait Rules {
    type Asked: for<'a> MessageSet<'a>;
    type Sync: NetworkBehaviour;
}

struct Chain;

impl Rules for Chain {
    type Asked = Pong;
    type Sync = Leaf<Nothing, Ping>;
}

struct Sync<R>(PhantomData<R>);

impl<R: Rules> Protocol for Sync<R> {
    type Message<'a> = R::Asked;
    type Answer<'a> = Nothing;
    type Event = u64;
    type Command = u64;

    fn on_message(
        &mut self,
        _: &mut Context<'_, u64>,
        _: ConnectionId,
        _: R::Asked,
        _: &Frame,
    ) -> Result<(), Violation> {
        Ok(())
    }
}

struct Borrowing<'a, const N: usize>(&'a [u8; N]);

impl<const N: usize> Protocol for Borrowing<'_, N> {
    type Message<'a> = Nothing;
    type Answer<'a> = Nothing;
    type Event = [u8; N];
    type Command = [u8; N];

    fn on_message(
        &mut self,
        cx: &mut Context<'_, [u8; N]>,
        _: ConnectionId,
        _: Nothing,
        _: &Frame,
    ) -> Result<(), Violation> {
        cx.emit(*self.0);
        Ok(())
    }
}

#[derive(NetworkBehaviour)]
struct Bounded<R: Rules> {
    ping: Leaf<Ping>,
    sync: Sync<R>,
}

#[derive(NetworkBehaviour)]
struct Where<R>
where
    R: Rules,
    R::Sync: NetworkBehaviour<Command = u8>,
{
    ping: Leaf<Ping>,
    associated: R::Sync,
    boxed: Sync<R>,
}

#[derive(NetworkBehaviour)]
struct Default<T = Leaf<Ping>, const N: usize = 3> {
    any: T,
    borrowing: Borrowing<'static, N>,
    pong: Leaf<Pong>,
}

#[derive(NetworkBehaviour)]
struct Lifetimes<'a, 'b: 'a, const N: usize> {
    borrowing: Borrowing<'a, N>,
    another: Borrowing<'b, 2>,
    ping: Leaf<Ping>,
}

#[derive(NetworkBehaviour)]
struct Outer<'a, R: Rules, T: 'a> {
    bounded: Bounded<R>,
    lifetimes: Borrowing<'a, 1>,
    any: T,
}

fn swarm<B: NetworkBehaviour>(behaviour: B) -> Swarm<B> {
    Swarm::new(behaviour, PeerId([0; 32]), Limits::default()).unwrap()
}

/// What is generic in a tree can stay generic around it.
fn generic_swarm<R: Rules>() -> Swarm<Bounded<R>> {
    swarm(Bounded { ping: Leaf::default(), sync: Sync(PhantomData) })
}

// The defaults hold for events and commands too.
fn sum(event: DefaultEvent) -> u8 {
    match event {
        DefaultEvent::Any(text) | DefaultEvent::Pong(text) => text.len() as u8,
        DefaultEvent::Borrowing([a, b, c]) => a + b + c,
    }
}

fn main() {
    generic_swarm::<Chain>();
    swarm(Where::<Chain> {
        ping: Leaf::default(),
        associated: Leaf::default(),
        boxed: Sync(PhantomData),
    });
    let default: Default = Default {
        any: Leaf::default(),
        borrowing: Borrowing(&[1, 2, 3]),
        pong: Leaf::default(),
    };
    swarm(default);
    assert_eq!(sum(DefaultEvent::Borrowing([1, 2, 3])), 6);
    let bytes = [0; 2];
    swarm(Lifetimes { borrowing: Borrowing(&[]), another: Borrowing(&bytes), ping: Leaf::default() });
    swarm(Outer {
        bounded: Bounded::<Chain> { ping: Leaf::default(), sync: Sync(PhantomData) },
        lifetimes: Borrowing(&[0]),
        any: Leaf::<Nothing>::default(),
    });
    let _ = OuterCommand::<Chain, Leaf<Ping>>::Bounded(BoundedCommand::Sync(7));
}
