//! The relay.

use std::sync::Arc;

use bytes::Buf as _;
use spacetime_network::chain::{SpacetimeRules, Transaction as Tx, development_genesis};
use spacetime_network::relay::{Command, Config, Event, MemoryPool, Relay, Verdict};
use spacetime_network::wire::{Frame, FrameReader, ReadStep, Transaction};
use spacetime_network::{Address, ConnectionId, Limits, Now, PeerId, Rng, Time, sans_io};

const PEERS: u64 = 8;

/// Each from the first peer, with the verdict of the application.
pub(crate) fn relay_transactions(count: usize) {
    let rng = Rng::from_number(1);
    let rules = SpacetimeRules::new(&development_genesis()).expect("a block");
    let relay: Relay<SpacetimeRules> =
        Relay::new(Config::default(), rules, MemoryPool::default(), &rng).expect("valid");
    let mut swarm =
        sans_io::Swarm::new(relay, PeerId([0; 32]), Limits::default()).expect("the limits are valid");
    let mut now = Now::new(Time::ZERO, 0);
    let peers: Vec<ConnectionId> = (1..=PEERS)
        .map(|number| {
            let peer = swarm.handle_accept(now, Address::memory(number)).expect("there is room");
            swarm.handle_opened(now, peer, None);
            peer
        })
        .collect();
    let mut reader = FrameReader::new(Arc::new(swarm.rules().clone()), 1024);
    reader.set_established();
    let mut out = sans_io::Transmit::new();
    for number in 0..count as u64 {
        now = Now::new(now.time + std::time::Duration::from_secs(1), 0);
        let transaction = Tx {
            version: 1,
            sender: [2; 33],
            recipient: [3; 33],
            amount: 1,
            nonce: number as i64,
            fee: 1,
            signature: [7; 64],
        };
        let bytes = transaction.to_bytes();
        reader.push(Frame::encode(&Transaction { bytes: &bytes }).expect("it can be encoded").bytes());
        let Ok(ReadStep::Frames(batch)) = reader.poll_frames() else { panic!("it is whole") };
        assert!(swarm.handle_frames(now, peers[0], batch).is_none());
        while let Some(event) = swarm.poll_event() {
            if let sans_io::Event::Behaviour(Event::Received { item, .. }) = event {
                swarm.handle_command(now, Command::Verdict { id: item.id(), verdict: Verdict::Accept });
            }
        }
        while swarm.poll_ready().is_some() {}
        let mut copies = 0;
        for peer in &peers {
            while swarm.poll_transmit(*peer, usize::MAX / 2, &mut out) {}
            copies += usize::from(out.len() > bytes.len());
            out.advance(out.len());
        }
        assert_eq!(copies, 7, "to all but the one that sent it");
    }
}
