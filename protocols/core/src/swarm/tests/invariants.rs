//! What holds of every Swarm between two calls.

use core::time::Duration;

use crate::swarm::Swarm;
use crate::swarm::network::Delivery;
use crate::swarm::sessions::SessionKey;
use crate::swarm::table::State;
use crate::{Direction, NetworkBehaviour};

pub(super) fn check<B: NetworkBehaviour>(swarm: &Swarm<B>) {
    let network = &swarm.network;
    let now = network.now.time;
    let (mut opening, mut sessions, mut established, mut timers) = (0, 0, 0, 0);
    let (mut sending, mut reading) = (0, 0);
    for (id, connection) in network.table.iter() {
        if connection.direction == Direction::Inbound && !connection.is_established() {
            opening += 1;
        } else {
            sessions += 1;
        }
        match &connection.state {
            State::Established(peer) => {
                established += 1;
                let key = SessionKey::of(&peer.identity);
                assert_eq!(network.sessions.get(&key), Some(&id), "each session has its key");
            }
            State::Connecting | State::Securing | State::Opening => {}
            state => panic!("{id} was left in the middle of a step: {state:?}"),
        }
        let held = connection.held(now);
        let timer = network.timers.get(id);
        timers += usize::from(timer.is_some());
        let shares = connection.shares.as_deref();
        // What was held back a moment ago is looked at again an eighth of its timeout later.
        let slack = if shares.is_some() { network.limits.opening_timeout() / 8 } else { Duration::ZERO };
        let waits_for = [
            (!connection.is_established()).then(|| connection.opening.ends(now, held) + slack),
            connection.waiting_since.map(|since| since + network.limits.write_timeout()),
            connection.whole_by(now, held).map(|at| at + slack),
            connection.requests.deadline(now, held).map(|at| at + slack),
            shares.and_then(|it| it.upload.wake_at()),
            shares.and_then(|it| it.download.wake_at()),
        ];
        for at in waits_for.into_iter().flatten() {
            assert!(timer.is_some_and(|timer| timer <= at), "{id} has a timer for all it waits for");
        }
        assert_eq!(
            connection.waiting_since.is_some() || connection.is_held(),
            !connection.queues.is_empty(),
            "{id} is watched while frames wait for it, and not for a limit"
        );
        if let Some(shares) = &connection.shares {
            sending += shares.upload.places();
            reading += shares.download.places();
        }
        assert!(connection.requests.len() <= network.limits.max_requests());
    }
    assert_eq!((network.upload.places(), network.download.places()), (sending, reading));
    assert_eq!((network.table.opening(), network.table.sessions()), (opening, sessions));
    assert!(opening <= network.limits.max_opening());
    assert!(sessions <= network.limits.max_connections(), "the cap is never overshot");
    assert_eq!(network.sessions.len(), established, "sessions are established connections");
    assert_eq!(network.timers.len(), timers, "only live connections have timers");
    assert!(network.timers.next().is_none_or(|at| at >= now), "what was due has fired");
    assert!(swarm.deadline().is_none_or(|at| at >= now), "no deadline lies in the past");
    if !network.deliveries.is_empty() {
        assert_eq!(swarm.deadline(), Some(now), "what waits to be told is told at once");
    }
    for delivery in &network.deliveries {
        assert!(
            matches!(delivery, Delivery::Writable(..)),
            "only room in a queue may appear between two steps: {delivery:?}"
        );
    }
}
