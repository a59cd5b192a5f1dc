//! Fifty peers that tear, delay, stall and break as a seed has it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use spacetime_network::swarm::Config;
use spacetime_network::wire::{Frame, Priority};
use spacetime_network::{
    Address, CloseReason, ConnectionId, Event, Limits, PeerId, QueueLimit, Rng, SendError, Swarm,
};
use tokio::time::{Instant, sleep, timeout};

use crate::scripted::{Piece, Remote, Scripted};
use crate::tree::{Note, Notes};

const PEERS: usize = 50;
const FIRST_INBOUND: usize = PEERS / 2;

/// How a peer's stream ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    SaysAll,
    IsReset,
    TurnsDeaf,
    SaysGarbage,
    StopsReading,
    IsClosed,
}

/// What a peer says: where each of its notes ends in the stream.
struct Words {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

fn words(rng: &mut Rng) -> Words {
    let mut words = Words { bytes: Vec::new(), ends: Vec::new() };
    for number in 0..rng.below(60) {
        let filler = if rng.below(10) == 0 { rng.below(100_000) } else { rng.below(100) };
        let text = format!("{number} {}", "x".repeat(filler as usize));
        words.bytes.extend_from_slice(Frame::encode(&Note { text }).unwrap().bytes());
        words.ends.push(words.bytes.len());
    }
    words
}

/// Lives as a peer: says its words in pieces, now and then takes some of what is sent to it, and
/// comes to its end.
async fn live(remote: Remote, words: Arc<Words>, fate: Fate, mut rng: Rng) {
    let mut rest = &words.bytes[..];
    while !rest.is_empty() {
        let (piece, later) = rest.split_at((1 + rng.below(20_000) as usize).min(rest.len()));
        rest = later;
        let room = rng.below(20_000) as usize;
        let flush_blocked = rng.below(8) == 0;
        remote.change(|state| {
            state.pieces.push_back(Piece::Bytes(piece.to_vec()));
            if fate != Fate::StopsReading {
                state.room += room;
                state.flush_blocked = flush_blocked;
            }
        });
        if rng.below(2) == 0 {
            sleep(Duration::from_millis(rng.below(300))).await;
        }
    }
    remote.change(|state| {
        if fate != Fate::StopsReading {
            state.room = usize::MAX;
            state.flush_blocked = false;
        }
        match fate {
            Fate::SaysAll => state.pieces.push_back(Piece::End),
            Fate::IsReset => state.pieces.push_back(Piece::Error(ErrorKind::ConnectionReset)),
            Fate::TurnsDeaf => state.write_error = Some(ErrorKind::BrokenPipe),
            Fate::SaysGarbage => state.pieces.push_back(Piece::Bytes(vec![0xff; 9])),
            Fate::StopsReading | Fate::IsClosed => {}
        }
    });
}

/// What the application knows of one peer.
struct Known {
    peer: usize,
    heard: usize,
    said: usize,
    closed: Option<CloseReason>,
}

fn peer_of(address: &Address) -> usize {
    let number: usize = address.to_string().strip_prefix("memory:").unwrap().parse().unwrap();
    // The listener counts from 1001.
    if number > 1000 { number - 1001 + FIRST_INBOUND } else { number }
}

async fn storm(seed: u64) {
    let rng = Rng::from_number(seed);
    let mut choice = rng.fork("choice");
    let peers: Vec<_> = (0..PEERS)
        .map(|_| {
            let fate = match choice.below(6) {
                0 => Fate::SaysAll,
                1 => Fate::IsReset,
                2 => Fate::TurnsDeaf,
                3 => Fate::SaysGarbage,
                4 => Fate::StopsReading,
                _ => Fate::IsClosed,
            };
            (Remote::new(choice.below(5000) as usize), Arc::new(words(&mut choice)), fate)
        })
        .collect();

    let dialled: Vec<_> = peers.iter().map(|(remote, ..)| remote.clone()).collect();
    let (transport, arrivals) = Scripted::new(move |address| dialled[peer_of(address)].clone());
    // A queue that is full now and then.
    let queue = QueueLimit { max_frames: 20, max_bytes: 200_000 };
    let limits = Limits::default()
        .with_queue(Priority::Normal, queue)
        // The application rests so often that it hears of some only after many seconds.
        .with_opening_timeout(Duration::from_secs(600))
        .with_write_timeout(Duration::from_secs(10));
    let config = Config::new(PeerId([1; 32])).with_transport(transport).with_limits(limits);
    let mut swarm = Swarm::new(Notes, config).unwrap();
    swarm.listen(Address::memory(1)).await.unwrap();
    for (number, (remote, words, fate)) in peers.iter().enumerate() {
        if number < FIRST_INBOUND {
            swarm.dial(Address::memory(number as u64)).unwrap();
        } else {
            arrivals.put(remote.clone());
        }
        let rng = rng.fork(&format!("peer {number}"));
        tokio::spawn(live(remote.clone(), Arc::clone(words), *fate, rng));
    }

    let mut known: BTreeMap<ConnectionId, Known> = BTreeMap::new();
    let mut open = 0;
    let start = Instant::now();
    let mut tidied = false;
    while known.len() < PEERS || open > 0 {
        if !tidied && start.elapsed() > Duration::from_secs(60) {
            tidied = true;
            // Whoever is left is closed by us.
            swarm.act(|_, cx| {
                let all: Vec<_> = cx.peers().map(|(connection, _)| connection).collect();
                all.into_iter().for_each(|it| cx.close(it, CloseReason::Requested));
            });
        }
        match timeout(Duration::from_secs(1), swarm.next()).await.ok().flatten() {
            Some(Event::Established { connection, peer }) => {
                open += 1;
                let peer = peer_of(&peer.address);
                let entry = Known { peer, heard: 0, said: 0, closed: None };
                assert!(known.insert(connection, entry).is_none(), "{connection} begins twice");
            }
            Some(Event::Behaviour((connection, text))) => {
                let entry = known.get_mut(&connection).expect("it began");
                assert_eq!(entry.closed, None, "nothing is heard after the end");
                let (number, _) = text.split_once(' ').unwrap();
                assert_eq!(number.parse(), Ok(entry.heard), "peer {}", entry.peer);
                entry.heard += 1;
                for _ in 0..choice.below(6) {
                    let filler = "y".repeat(choice.below(20_000) as usize);
                    let answer = Note { text: format!("{} {filler}", entry.said) };
                    match swarm.act(|_, cx| cx.send(connection, &answer)) {
                        Ok(()) => entry.said += 1,
                        Err(SendError::Full | SendError::Closed) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            Some(Event::Closed { connection, reason, .. }) => {
                open -= 1;
                let entry = known.get_mut(&connection).expect("it began");
                assert_eq!(entry.closed.replace(reason), None, "{connection} ends twice");
            }
            Some(Event::Offence { .. }) | None => {}
            Some(other) => panic!("{other:?}"),
        }
        if choice.below(20) == 0 {
            // The application has other things to do.
            sleep(Duration::from_millis(choice.below(500))).await;
        }
    }

    let stop = Instant::now();
    swarm.shutdown().await;
    assert!(stop.elapsed() < Duration::from_secs(2), "{:?}", stop.elapsed());

    let mut reasons = BTreeSet::new();
    for entry in known.values() {
        let (remote, words, fate) = &peers[entry.peer];
        let reason = entry.closed.as_ref().expect("all have ended");
        let about = format!("peer {}, which {fate:?}, {reason}", entry.peer);
        reasons.insert(reason.to_string());
        let state = remote.look();
        assert!(state.dropped, "{about}");
        // All that was read was heard, unless we had enough.
        let read = words.ends.iter().filter(|end| **end <= state.bytes_read).count();
        match reason {
            CloseReason::Requested | CloseReason::SlowReader => assert!(entry.heard <= read, "{about}"),
            _ => assert_eq!(entry.heard, read, "{about}"),
        }
        match fate {
            Fate::SaysAll | Fate::IsReset | Fate::SaysGarbage
                if !matches!(reason, CloseReason::Requested | CloseReason::SlowReader) =>
            {
                assert_eq!(entry.heard, words.ends.len(), "{about}");
            }
            _ => {}
        }
        drop(state);
        // What arrived is what was said, from the beginning and without a gap.
        let arrived = remote.notes();
        assert!(arrived.len() <= entry.said, "{about}");
        for (number, text) in arrived.iter().enumerate() {
            assert!(text.starts_with(&format!("{number} ")), "{about}");
        }
    }
    assert!(reasons.len() >= 6, "many things happen: {reasons:?}");
}

#[test]
fn whatever_fifty_peers_do_each_is_heard_in_order_and_ends_once() {
    for seed in 0..20 {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let end = timeout(Duration::from_secs(600), storm(seed)).await;
            assert!(end.is_ok(), "seed {seed} hangs");
        });
    }
}
