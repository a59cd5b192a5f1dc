//! A transport whose streams do what the test says: piece by piece, and at any point nothing.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use futures::FutureExt as _;
use futures::future::{self, BoxFuture};
use spacetime_network::transport::{Connected, Incoming, Listener, Outgoing, Transport};
use spacetime_network::wire::{Frame, FrameReader, Message, ReadStep};
use spacetime_network::{Address, Endpoint, Swarm};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Mutex as AsyncMutex, mpsc};

use crate::tree::{Note, Notes};

/// What one read of the node gives.
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    End,
    Error(ErrorKind),
}

/// What both the node's stream and the test look at.
#[derive(Default)]
pub(crate) struct State {
    /// What the node reads, one after the other.
    pub(crate) pieces: VecDeque<Piece>,
    /// It reads this again and again, behind them.
    pub(crate) endless: Option<Vec<u8>>,
    /// Reads that gave something.
    pub(crate) reads: usize,
    /// Bytes that they gave.
    pub(crate) bytes_read: usize,
    /// Bytes that the node can write before it must wait.
    pub(crate) room: usize,
    /// It must wait for as long as it has not read everything.
    pub(crate) writes_after_reads: bool,
    pub(crate) write_error: Option<ErrorKind>,
    /// What was written arrives when it is flushed, and flushing must wait.
    pub(crate) flush_blocked: bool,
    /// Taken, and not flushed.
    pub(crate) unflushed: Vec<u8>,
    /// What arrived at the peer.
    pub(crate) arrived: Vec<u8>,
    /// The node has ended its direction.
    pub(crate) ended: bool,
    /// The node has dropped the stream.
    pub(crate) dropped: bool,
    wakers: Vec<Waker>,
}

impl State {
    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.wakers.push(cx.waker().clone());
        Poll::Pending
    }
}

/// The peer's end, in the hands of the test.
#[derive(Clone)]
pub(crate) struct Remote(Arc<Mutex<State>>);

impl Remote {
    /// A peer with room for `room` bytes.
    pub(crate) fn new(room: usize) -> Self {
        Self(Arc::new(Mutex::new(State { room, ..State::default() })))
    }

    pub(crate) fn look(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Changes what the stream does, and wakes who waits for it.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let (result, wakers) = {
            let mut state = self.look();
            let result = change(&mut state);
            (result, std::mem::take(&mut state.wakers))
        };
        wakers.into_iter().for_each(Waker::wake);
        result
    }

    /// Sends a message, to be read in one piece.
    pub(crate) fn say<M: Message>(&self, message: &M) {
        let bytes = Frame::encode(message).unwrap().bytes().to_vec();
        self.change(|state| state.pieces.push_back(Piece::Bytes(bytes)));
    }

    pub(crate) fn end(&self) {
        self.change(|state| state.pieces.push_back(Piece::End));
    }

    /// The notes that arrived.
    pub(crate) fn notes(&self) -> Vec<String> {
        let rules = gateless_rules();
        let mut reader = FrameReader::new(rules, 1 << 20);
        let mut notes = Vec::new();
        for bytes in self.look().arrived.chunks(4096) {
            reader.push(bytes);
            while let ReadStep::Frames(batch) = reader.poll_frames().unwrap() {
                notes.extend(batch.map(|frame| frame.decode::<Note>().unwrap().text));
            }
        }
        notes
    }

    fn stream(&self) -> ScriptedStream {
        ScriptedStream(self.0.clone())
    }
}

fn gateless_rules() -> Arc<spacetime_network::wire::FrameRules> {
    let swarm = spacetime_network::sans_io::Swarm::new(
        Notes,
        spacetime_network::PeerId([0; 32]),
        spacetime_network::Limits::default(),
    );
    Arc::new(swarm.unwrap().rules().clone())
}

struct ScriptedStream(Arc<Mutex<State>>);

impl AsyncRead for ScriptedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.0.lock().unwrap();
        match state.pieces.pop_front() {
            Some(Piece::Bytes(mut bytes)) => {
                let rest = bytes.split_off(bytes.len().min(buffer.remaining()));
                buffer.put_slice(&bytes);
                state.bytes_read += bytes.len();
                if !rest.is_empty() {
                    state.pieces.push_front(Piece::Bytes(rest));
                }
            }
            Some(Piece::End) => state.pieces.push_front(Piece::End),
            Some(Piece::Error(kind)) => {
                state.pieces.push_front(Piece::Error(kind));
                return Poll::Ready(Err(kind.into()));
            }
            None => match &state.endless {
                Some(bytes) => buffer.put_slice(&bytes[..bytes.len().min(buffer.remaining())]),
                None => return state.wait(cx),
            },
        }
        state.reads += 1;
        state.wakers.drain(..).for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ScriptedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock().unwrap();
        if let Some(kind) = state.write_error {
            return Poll::Ready(Err(kind.into()));
        }
        let count = bytes.len().min(state.room);
        if count == 0 || (state.writes_after_reads && !state.pieces.is_empty()) {
            return state.wait(cx);
        }
        state.room -= count;
        state.unflushed.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock().unwrap();
        if state.flush_blocked && !state.unflushed.is_empty() {
            return state.wait(cx);
        }
        let flushed = std::mem::take(&mut state.unflushed);
        state.arrived.extend(flushed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.as_mut().poll_flush(cx))?;
        self.0.lock().unwrap().ended = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for ScriptedStream {
    fn drop(&mut self) {
        self.0.lock().unwrap().dropped = true;
    }
}

/// A transport on whose listener the test puts connections, and whose dials reach what the test
/// says.
#[derive(Clone)]
pub(crate) struct Scripted {
    incoming: Arc<AsyncMutex<mpsc::UnboundedReceiver<io::Result<Remote>>>>,
    dialled: Arc<dyn Fn(&Address) -> Remote + Send + Sync>,
}

/// Puts connections, and errors, on a listener.
#[derive(Clone)]
pub(crate) struct Arrivals(mpsc::UnboundedSender<io::Result<Remote>>);

impl Arrivals {
    /// A peer connects that takes all that is written to it.
    pub(crate) fn connect(&self) -> Remote {
        self.connect_with_room(usize::MAX)
    }

    pub(crate) fn connect_with_room(&self, room: usize) -> Remote {
        let remote = Remote::new(room);
        self.put(remote.clone());
        remote
    }

    pub(crate) fn put(&self, remote: Remote) {
        assert!(self.0.send(Ok(remote)).is_ok(), "the listener is there");
    }

    pub(crate) fn fail(&self, error: ErrorKind) {
        assert!(self.0.send(Err(error.into())).is_ok(), "the listener is there");
    }
}

impl Scripted {
    pub(crate) fn new(dialled: impl Fn(&Address) -> Remote + Send + Sync + 'static) -> (Self, Arrivals) {
        let (sender, incoming) = mpsc::unbounded_channel();
        let incoming = Arc::new(AsyncMutex::new(incoming));
        (Self { incoming, dialled: Arc::new(dialled) }, Arrivals(sender))
    }

    /// A listening Swarm of nothing but [`Notes`], which lets everybody in.
    pub(crate) async fn notes(limits: spacetime_network::Limits) -> (Swarm<Notes>, Arrivals) {
        let (transport, arrivals) = Self::new(|_| Remote::new(usize::MAX));
        let config = spacetime_network::swarm::Config::new(spacetime_network::PeerId([1; 32]))
            .with_transport(transport)
            .with_limits(limits);
        let mut swarm = Swarm::new(Notes, config).unwrap();
        swarm.listen(Address::memory(1)).await.unwrap();
        (swarm, arrivals)
    }
}

impl Transport for Scripted {
    fn supports(&self, endpoint: &Endpoint) -> bool {
        matches!(endpoint, Endpoint::Memory(_))
    }

    fn dial(&self, address: &Address) -> BoxFuture<'static, io::Result<Outgoing>> {
        let remote = (self.dialled)(address);
        let connected = Connected::unproven(remote.stream());
        future::ready(Ok(Outgoing::finished(connected))).boxed()
    }

    fn listen(&self, _: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let listener = ScriptedListener { incoming: Arc::clone(&self.incoming), next: 1000 };
        future::ready(Ok(Box::new(listener) as Box<dyn Listener>)).boxed()
    }
}

struct ScriptedListener {
    incoming: Arc<AsyncMutex<mpsc::UnboundedReceiver<io::Result<Remote>>>>,
    next: u64,
}

impl Listener for ScriptedListener {
    fn local_address(&self) -> Address {
        Address::memory(1)
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Incoming>> {
        async {
            let Some(arrival) = self.incoming.lock().await.recv().await else {
                return future::pending().await;
            };
            let stream = arrival?.stream();
            self.next += 1;
            let upgrade = future::ready(Ok(Connected::unproven(stream))).boxed();
            Ok(Incoming { remote: Address::memory(self.next), upgrade })
        }
        .boxed()
    }
}
