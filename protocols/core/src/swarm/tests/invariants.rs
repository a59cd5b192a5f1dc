//! What holds of every Swarm between two calls.

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
            State::Connecting | State::Opening => {}
            state => panic!("{id} was left in the middle of a step: {state:?}"),
        }
        let timer = network.timers.get(id);
        timers += usize::from(timer.is_some());
        let waits_for = [
            (!connection.is_established()).then_some(connection.open_by),
            connection.waiting_since.map(|since| since + network.limits.write_timeout()),
            connection.requests.deadline(),
            connection.shares.as_ref().and_then(|it| it.upload.wake_at()),
            connection.shares.as_ref().and_then(|it| it.download.wake_at()),
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
            sending += usize::from(shares.upload.waits_for_turn());
            reading += usize::from(shares.download.waits_for_turn());
        }
        assert!(connection.requests.len() <= network.limits.max_requests());
    }
    assert_eq!((network.upload.waiting(), network.download.waiting()), (sending, reading));
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
