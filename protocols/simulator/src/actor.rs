//! Peers that are no nodes: they speak in bytes, and need not keep to any protocol.

use std::fmt;
use std::time::Duration;

use spacetime_core::{Address, NetworkBehaviour, Rng, Time};

use super::puppet::PuppetId;
use super::queue::{Dialer, Scheduled};
use super::{Place, Simulation};

/// A peer that says whatever it likes, in bytes.
pub trait Actor {
    /// The simulation begins.
    fn on_start(&mut self, hands: &mut Hands);

    /// A connection stands, dialled or accepted.
    fn on_connected(&mut self, hands: &mut Hands, connection: PuppetId);

    /// Bytes arrived. Those that stay in `received` come again with the next ones.
    fn on_received(&mut self, hands: &mut Hands, connection: PuppetId, received: &mut Vec<u8>);

    /// A connection ended, or a dial came to nothing.
    fn on_closed(&mut self, hands: &mut Hands, connection: PuppetId);

    /// The time that it asked for has come.
    fn on_wake(&mut self, hands: &mut Hands);
}

/// What an actor can do.
#[derive(Debug)]
pub struct Hands {
    now: Time,
    rng: Rng,
    address: Address,
    wants: Vec<Want>,
}

#[derive(Debug)]
enum Want {
    Dial(Address, Option<Address>),
    Send(PuppetId, Vec<u8>),
    Close(PuppetId),
    Wake(Time),
    Fired(&'static str),
}

impl Hands {
    /// What time it is.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// Where it is reached.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Its randomness.
    pub const fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// Dials an address.
    pub fn dial(&mut self, address: Address) {
        self.wants.push(Want::Dial(address, None));
    }

    /// Dials an address, and seems to come from this one.
    pub fn dial_from(&mut self, from: Address, address: Address) {
        self.wants.push(Want::Dial(address, Some(from)));
    }

    /// Sends bytes.
    pub fn send(&mut self, connection: PuppetId, bytes: Vec<u8>) {
        self.wants.push(Want::Send(connection, bytes));
    }

    /// Closes a connection.
    pub fn close(&mut self, connection: PuppetId) {
        self.wants.push(Want::Close(connection));
    }

    /// Asks to be called after this time.
    pub fn wake_after(&mut self, duration: Duration) {
        self.wants.push(Want::Wake(self.now + duration));
    }

    /// Counts something that it did to somebody, among the faults.
    pub fn count(&mut self, name: &'static str) {
        self.wants.push(Want::Fired(name));
    }
}

pub(crate) struct Cast {
    actor: Box<dyn Actor>,
    hands: Hands,
}

impl fmt::Debug for Cast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cast").field("hands", &self.hands).finish_non_exhaustive()
    }
}

/// Actors live beyond all puppets.
const FIRST_ADDRESS: u64 = 1 << 40;

impl<B: NetworkBehaviour> Simulation<B> {
    /// Adds an actor, which is reached at the address that is returned.
    pub fn add_actor(&mut self, actor: impl Actor + 'static) -> Address {
        let index = self.actors.len();
        let address = Address::memory(FIRST_ADDRESS + index as u64);
        let rng = self.rng.fork(&format!("actor {index}"));
        let hands = Hands { now: self.now, rng, address: address.clone(), wants: Vec::new() };
        self.actors.push(Some(Cast { actor: Box::new(actor), hands }));
        self.places.insert(address.clone(), Place::Actor(index));
        self.with_actor(index, |actor, hands| actor.on_start(hands));
        address
    }

    fn with_actor(&mut self, index: usize, f: impl FnOnce(&mut dyn Actor, &mut Hands)) {
        // An actor is never called from inside a call.
        let Some(mut cast) = self.actors[index].take() else { return };
        cast.hands.now = self.now;
        f(&mut *cast.actor, &mut cast.hands);
        let wants = std::mem::take(&mut cast.hands.wants);
        self.actors[index] = Some(cast);
        for want in wants {
            match want {
                Want::Dial(address, from) => {
                    let puppet = self.new_puppet(Some(index));
                    if let Some(it) = self.puppets.get_mut(&puppet) {
                        it.comes_from = from;
                    }
                    self.start_dial(Dialer::Puppet(puppet), address);
                }
                Want::Send(puppet, bytes) => self.puppet_send(puppet, &bytes),
                Want::Close(puppet) => self.puppet_close(puppet),
                Want::Wake(at) => self.queue.push(at, Scheduled::ActorWake(index)),
                Want::Fired(name) => self.injector.fired(name),
            }
        }
    }

    pub(crate) fn wake_actor(&mut self, index: usize) {
        self.with_actor(index, |actor, hands| actor.on_wake(hands));
    }

    pub(crate) fn puppet_connected(&mut self, puppet: usize, link: usize, side: usize) {
        self.set_puppet_link(puppet, link, side);
        if let Some(actor) = self.puppets.get(&puppet).and_then(|it| it.actor) {
            self.with_actor(actor, |actor, hands| actor.on_connected(hands, PuppetId(puppet)));
        }
    }

    pub(crate) fn puppet_received_something(&mut self, puppet: usize) {
        let Some(it) = self.puppets.get_mut(&puppet) else { return };
        if let Some(actor) = it.actor {
            let mut received = std::mem::take(&mut it.received);
            self.with_actor(actor, |actor, hands| actor.on_received(hands, PuppetId(puppet), &mut received));
            if let Some(it) = self.puppets.get_mut(&puppet) {
                it.received = received;
            }
        }
    }

    /// The other end is gone.
    pub(crate) fn puppet_ended(&mut self, puppet: usize) {
        let Some(it) = self.puppets.get_mut(&puppet).filter(|it| !it.ended) else { return };
        it.ended = true;
        if let Some(actor) = it.actor {
            self.puppet_received_something(puppet);
            self.puppet_close(PuppetId(puppet));
            self.with_actor(actor, |actor, hands| actor.on_closed(hands, PuppetId(puppet)));
        }
    }
}
