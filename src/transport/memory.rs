//! A network inside of one process.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::{self, BoxFuture};
use spacetime_core::{Address, Endpoint};
use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc;

use super::{Connected, Incoming, Listener, Outgoing, Transport};

/// Bytes that may be under way in each direction before a writer must wait.
const WINDOW_BYTES: usize = 64 * 1024;

/// Connections that may wait to be accepted at one place.
const BACKLOG: usize = 128;

/// Places that can connect to each other. A value, not a global: two networks never meet, so tests
/// need no numbers of their own.
#[derive(Clone, Debug, Default)]
pub struct MemoryNetwork {
    places: Arc<Mutex<Places>>,
}

#[derive(Debug, Default)]
struct Places {
    next: u64,
    listening: BTreeMap<u64, mpsc::Sender<(u64, DuplexStream)>>,
}

impl MemoryNetwork {
    /// A network without places.
    pub fn new() -> Self {
        Self::default()
    }

    /// The transport of a new place, which is reached as `memory:NUMBER`.
    pub fn transport(&self) -> MemoryTransport {
        let mut places = self.lock();
        places.next += 1;
        MemoryTransport { place: places.next, network: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One place of a [`MemoryNetwork`]. What it dials, it dials from its place.
#[derive(Clone, Debug)]
pub struct MemoryTransport {
    place: u64,
    network: MemoryNetwork,
}

impl MemoryTransport {
    /// Where this place is reached once it listens.
    pub fn address(&self) -> Address {
        Address::memory(self.place)
    }
}

impl Transport for MemoryTransport {
    fn supports(&self, endpoint: &Endpoint) -> bool {
        matches!(endpoint, Endpoint::Memory(_))
    }

    fn dial(&self, address: &Address) -> BoxFuture<'static, io::Result<Outgoing>> {
        let from = self.place;
        let listener = match address.endpoint() {
            Endpoint::Memory(place) => self.network.lock().listening.get(place).cloned(),
            _ => None,
        };
        async move {
            let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
            let (ours, theirs) = duplex(WINDOW_BYTES);
            listener.ok_or_else(refused)?.send((from, theirs)).await.map_err(|_| refused())?;
            Ok(Outgoing::finished(Connected::unproven(ours)))
        }
        .boxed()
    }

    fn listen(&self, address: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let ours = self.address();
        if *address != ours {
            let error = format!("this place is {ours}, it cannot listen on {address}");
            return future::ready(Err(io::Error::new(io::ErrorKind::AddrNotAvailable, error))).boxed();
        }
        let mut places = self.network.lock();
        if places.listening.get(&self.place).is_some_and(|listener| !listener.is_closed()) {
            return future::ready(Err(io::ErrorKind::AddrInUse.into())).boxed();
        }
        let (sender, incoming) = mpsc::channel(BACKLOG);
        places.listening.insert(self.place, sender);
        let listener = MemoryListener { local_address: ours, incoming };
        future::ready(Ok(Box::new(listener) as Box<dyn Listener>)).boxed()
    }
}

struct MemoryListener {
    local_address: Address,
    incoming: mpsc::Receiver<(u64, DuplexStream)>,
}

impl Listener for MemoryListener {
    fn local_address(&self) -> Address {
        self.local_address.clone()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Incoming>> {
        async {
            // The network holds a sender for as long as this listener lives.
            let (from, stream) = self.incoming.recv().await.ok_or(io::ErrorKind::BrokenPipe)?;
            let upgrade = future::ready(Ok(Connected::unproven(stream))).boxed();
            Ok(Incoming { remote: Address::memory(from), upgrade })
        }
        .boxed()
    }
}
