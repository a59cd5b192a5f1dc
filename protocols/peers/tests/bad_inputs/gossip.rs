//! Gossip that is too much, or comes back.

use super::*;

/// Ten more peers that connect, in groups of their own.
fn others(case: &mut Case) -> Vec<ConnectionId> {
    (0..10)
        .map(|number| {
            let peer = case.lone.connect_from(format!("60.{number}.1.1:1000").parse().unwrap(), None);
            case.lone.give_bytes(peer, &introduction(None));
            case.lone.sent(peer);
            peer
        })
        .collect()
}

/// How many addresses were sent to these peers since the last call.
fn passed_on(case: &mut Case, to: &[ConnectionId]) -> usize {
    case.lone.advance(SECOND * 6);
    let sent: Vec<_> = to.iter().flat_map(|peer| case.lone.sent(*peer)).collect();
    let peers = sent.iter().filter(|it| it.0 == MessageType::PEERS);
    let theirs = |it: &SocketAddr| *it != address(OWN);
    peers.map(|(_, payload)| PeersMessage::decode(payload).unwrap().iter().filter(theirs).count()).sum()
}

#[test]
fn a_flood_of_gossip() {
    let mut case = Case::inbound();
    let all = addresses(9000);
    for message in 0..360 {
        case = case.gives_peers(&all[message * 20..][..1000]).waits(SECOND * 10);
    }
    // 20 at once, and one in ten seconds, but for those that have no place in the book.
    assert!((340..20 + 359).contains(&case.learned()), "{}", case.learned());
    let learned = case.learned();
    case.leaves(after(Verdict::Nothing, 0, learned), 120 * KIB);
}

#[test]
fn a_flood_of_gossip_on_one_connection_after_the_other() {
    let mut case = Case::inbound();
    let all = addresses(5000);
    for (number, message) in all.chunks(50).enumerate() {
        case.lone.end(case.peer);
        case.peer = case.lone.connect_from(format!("8.8.8.8:{}", 2000 + number).parse().unwrap(), None);
        case = case.gives(&introduction(None)).gives_peers(message);
    }
    case.leaves(after(Verdict::Nothing, 0, 20), 48 * KIB);
}

#[test]
fn more_than_gossip_holds_is_passed_on_to_nobody() {
    let mut case = Case::inbound();
    let others = others(&mut case);
    passed_on(&mut case, &others);
    case = case.gives_peers(&addresses(21));
    assert_eq!(passed_on(&mut case, &others), 0);
    case.leaves(after(Verdict::Nothing, 0, 20), 48 * KIB);
}

#[test]
fn gossip_that_comes_back_goes_nowhere() {
    let mut case = Case::inbound();
    let others = others(&mut case);
    passed_on(&mut case, &others);
    case = case.gives_peers(&addresses(10));
    assert_eq!(passed_on(&mut case, &others), 30, "to three each");
    // Everybody who was told tells it back, and to this node only.
    let told = Frame::encode(&PeersMessage::new(&addresses(10))).unwrap();
    for other in &others {
        case.lone.give_bytes(*other, told.bytes());
    }
    case = case.gives(told.bytes());
    assert_eq!(passed_on(&mut case, &others), 0);
    assert!(case.told().iter().flatten().all(|it| *it == address(OWN)), "nor to who told it first");
    case.leaves(after(Verdict::Nothing, 0, 10), 24 * KIB);
}

#[test]
fn the_same_gossip_again_and_again() {
    let mut case = Case::inbound();
    let others = others(&mut case);
    passed_on(&mut case, &others);
    for _ in 0..50 {
        case = case.gives_peers(&addresses(1));
    }
    assert_eq!(passed_on(&mut case, &others), 3);
    case.leaves(after(Verdict::Nothing, 0, 1), 12 * KIB);
}

#[test]
fn what_one_peer_makes_up_does_not_displace_what_another_one_told() {
    let mut case = Case::inbound();
    let others = others(&mut case);
    let honest: Vec<_> = (0..20).map(|it| address(&format!("50.{it}.1.1:8333"))).collect();
    case.lone.give_bytes(others[0], Frame::encode(&PeersMessage::new(&honest)).unwrap().bytes());
    for round in 0..200 {
        let made_up: Vec<_> =
            (0..20).map(|it| address(&format!("90.{it}.{}.{}:8333", round % 250, round / 250 + 1))).collect();
        case = case.gives_peers(&made_up).waits(SECOND * 10);
    }
    let book = case.lone.behaviour().peers.book();
    assert!(honest.iter().all(|it| book.get(*it).is_some()));
}
