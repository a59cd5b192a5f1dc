//! Talking to a Swarm from elsewhere.

use std::fmt;

use spacetime_core::{Address, CloseReason, ConnectionId, Context, DialError, NetworkBehaviour, Peer};
use tokio::sync::{mpsc, oneshot};

/// Orders that may wait before [`Handle::send`] waits.
pub(super) const MAX_WAITING_ORDERS: usize = 64;

/// What a handle wants of the Swarm.
pub(super) enum Order<B: NetworkBehaviour> {
    Command(B::Command),
    Act(Act<B>),
}

/// Something to be done with the tree.
pub(super) type Act<B> = Box<dyn FnOnce(&mut B, &mut Context<'_, <B as NetworkBehaviour>::Event>) + Send>;

/// A way to talk to a running Swarm, from any task; cheap to clone.
pub struct Handle<B: NetworkBehaviour> {
    orders: mpsc::Sender<Order<B>>,
}

/// The Swarm is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SwarmGone;

impl fmt::Display for SwarmGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the swarm has ended")
    }
}

impl std::error::Error for SwarmGone {}

impl<B: NetworkBehaviour + 'static> Handle<B> {
    pub(super) const fn new(orders: mpsc::Sender<Order<B>>) -> Self {
        Self { orders }
    }

    /// Gives a behaviour of the tree a command. Waits while the Swarm is behind.
    pub async fn send(&self, command: B::Command) -> Result<(), SwarmGone> {
        self.orders.send(Order::Command(command)).await.map_err(|_| SwarmGone)
    }

    /// The same from a thread that may wait, outside of the runtime.
    pub fn blocking_send(&self, command: B::Command) -> Result<(), SwarmGone> {
        self.orders.blocking_send(Order::Command(command)).map_err(|_| SwarmGone)
    }

    /// Does something with the tree, between two inputs, and returns what it returns.
    pub async fn act<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut B, &mut Context<'_, B::Event>) -> R + Send + 'static,
    ) -> Result<R, SwarmGone> {
        let (answer, result) = oneshot::channel();
        let act: Act<B> = Box::new(move |behaviour, cx| {
            // Nobody waits any more if the caller was dropped; what it wanted is done all the same.
            let _unheard = answer.send(f(behaviour, cx));
        });
        self.orders.send(Order::Act(act)).await.map_err(|_| SwarmGone)?;
        result.await.map_err(|_| SwarmGone)
    }

    /// Dials an address. What comes of it is an event with the id that is returned.
    pub async fn dial(&self, address: Address) -> Result<Result<ConnectionId, DialError>, SwarmGone> {
        self.act(|_, cx| cx.dial(address)).await
    }

    /// Closes a connection.
    pub async fn close(&self, connection: ConnectionId) -> Result<(), SwarmGone> {
        self.act(move |_, cx| cx.close(connection, CloseReason::Requested)).await
    }

    /// The sessions there are.
    pub async fn peers(&self) -> Result<Vec<(ConnectionId, Peer)>, SwarmGone> {
        self.act(|_, cx| cx.peers().map(|(connection, peer)| (connection, peer.clone())).collect()).await
    }
}

impl<B: NetworkBehaviour> Clone for Handle<B> {
    fn clone(&self) -> Self {
        Self { orders: self.orders.clone() }
    }
}

impl<B: NetworkBehaviour> fmt::Debug for Handle<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}
