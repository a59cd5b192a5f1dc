//! Nobody keeps others waiting.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use futures::future::join;
use futures::{FutureExt as _, Stream as _, StreamExt as _};
use spacetime_network::swarm::Config;
use spacetime_network::transport::MemoryNetwork;
use spacetime_network::wire::{Frame, Heartbeat};
use spacetime_network::{Address, CloseReason, ConnectionId, Event, Limits, PeerId, Swarm};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use crate::scripted::{Remote, Scripted};
use crate::tree::{Command, Note, Notes, bare_note, closed, established, next};

#[tokio::test(start_paused = true)]
async fn an_error_about_one_connection_does_not_hold_up_the_next() {
    let (mut swarm, arrivals) = Scripted::notes(Limits::default()).await;
    let start = Instant::now();
    for _ in 0..100 {
        arrivals.fail(ErrorKind::ConnectionAborted);
    }
    arrivals.connect();
    next(&mut swarm, established).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_shortage_makes_a_listener_rest_and_then_it_goes_on() {
    let (mut swarm, arrivals) = Scripted::notes(Limits::default()).await;
    let start = Instant::now();
    for _ in 0..10 {
        arrivals.fail(ErrorKind::OutOfMemory);
    }
    arrivals.connect();
    next(&mut swarm, established).await;
    let rested = start.elapsed().as_millis();
    assert!((1000..1100).contains(&rested), "{rested} ms");
}

fn few() -> Limits {
    Limits::default().with_max_connections(5).with_max_opening(4)
}

/// Connections, those that are not established, and as many that are being closed as there may be
/// connections.
const MAX_OPEN: usize = 5 + 4 + 5;

/// What comes while the runtime is never idle, so that no clock moves and no timeout passes.
async fn soon<T>(
    swarm: &mut Swarm<Notes>,
    mut wanted: impl FnMut(&Event<(ConnectionId, String)>) -> Option<T>,
) -> T {
    for _ in 0..1000 {
        if let Some(Some(event)) = swarm.next().now_or_never()
            && let Some(found) = wanted(&event)
        {
            return found;
        }
        yield_now().await;
    }
    panic!("it does not come");
}

#[tokio::test(start_paused = true)]
async fn connections_that_ended_give_their_places_back_however_busy_the_swarm_is() {
    let (mut swarm, arrivals) = Scripted::notes(few()).await;
    for _ in 0..4 {
        let talker = arrivals.connect();
        next(&mut swarm, established).await;
        let heartbeat = Frame::encode(&Heartbeat).unwrap();
        talker.change(|state| state.endless = Some(heartbeat.bytes().to_vec()));
    }
    for _ in 0..5 * MAX_OPEN {
        let remote = arrivals.connect();
        soon(&mut swarm, established).await;
        remote.end();
        soon(&mut swarm, closed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn connections_that_are_being_closed_are_bounded() {
    let dialled = Arc::new(Mutex::new(Vec::new()));
    let (transport, _arrivals) = Scripted::new({
        let dialled = dialled.clone();
        move |_| {
            let remote = Remote::new(usize::MAX);
            dialled.lock().unwrap().push(remote.clone());
            remote
        }
    });
    let config = Config::new(PeerId([1; 32])).with_transport(transport).with_limits(few());
    let mut swarm = Swarm::new(Notes, config).unwrap();
    for number in 0..100 {
        let connection = swarm.dial(Address::memory(number)).unwrap();
        // Those that are being closed take no place from this one.
        next(&mut swarm, established).await;
        // The peer does not say that it has heard it.
        swarm.act(|_, cx| cx.close(connection, CloseReason::Requested));
        next(&mut swarm, closed).await;
        let dialled = dialled.lock().unwrap();
        let open: Vec<_> = dialled.iter().map(|remote| !remote.look().dropped).collect();
        let count = open.iter().filter(|is_open| **is_open).count();
        assert!(count <= MAX_OPEN, "{count} are open");
        // Whoever was closed last has its moment.
        assert!(open.iter().rev().take(5).all(|is_open| *is_open), "{open:?}");
    }
    sleep(Duration::from_secs(2)).await;
    assert!(dialled.lock().unwrap().iter().all(|remote| remote.look().ended));
    assert!(dialled.lock().unwrap().iter().all(|remote| remote.look().dropped));
}

#[tokio::test(start_paused = true)]
async fn others_have_their_turn_however_much_there_is_to_tell() {
    let limits = Limits::default().with_max_connections(200).with_max_opening(200);
    let (mut swarm, arrivals) = Scripted::notes(limits).await;
    let remotes: Vec<_> = (0..200).map(|_| arrivals.connect()).collect();
    for _ in &remotes {
        next(&mut swarm, established).await;
    }
    for remote in &remotes {
        remote.say(&Note { text: "a".into() });
    }
    sleep(Duration::from_millis(1)).await;
    let told = poll_fn(|cx| {
        let mut told = 0;
        while Pin::new(&mut swarm).poll_next(cx).is_ready() {
            told += 1;
        }
        Poll::Ready(told)
    });
    let told = told.await;
    assert!((1..=64).contains(&told), "{told} events without a pause");
    // And it has not forgotten the rest.
    for _ in told..200 {
        swarm.next().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn commands_and_peers_have_turns() {
    let (mut swarm, arrivals) = Scripted::notes(Limits::default()).await;
    let remote = arrivals.connect();
    let connection = next(&mut swarm, established).await;
    let handle = swarm.handle();
    let busy = tokio::spawn(async move {
        loop {
            let note = Note { text: "x".repeat(1000) };
            handle.send(Command::Send(connection, note)).await.unwrap();
        }
    });
    for number in 0..1000 {
        remote.say(&Note { text: number.to_string() });
        assert_eq!(next(&mut swarm, bare_note).await, number.to_string());
    }
    assert!(!remote.notes().is_empty());
    busy.abort();
}

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread, without a runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn a_swarm_is_driven_from_outside_of_the_runtime_it_was_made_in() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let network = MemoryNetwork::new();
    let (far_transport, near_transport) = (network.transport(), network.transport());
    let address = far_transport.address();
    let swarm = |number, transport| {
        Swarm::new(Notes, Config::new(PeerId([number; 32])).with_transport(transport)).unwrap()
    };
    let (mut far, mut near) = {
        let _inside = runtime.enter();
        (swarm(2, far_transport), swarm(1, near_transport))
    };
    block_on(async {
        far.listen(address.clone()).await.unwrap();
        near.dial(address).unwrap();
        join(near.next(), far.next()).await;
        join(near.shutdown(), far.shutdown()).await;
    });
}
