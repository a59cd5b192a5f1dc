//! Who is asked for what, and for how long.

use spacetime_core::wire::Priority;
use spacetime_relay::MAX_FETCHES_PER_HOST;

use super::*;

fn made_up(number: u32, payload_bytes: u32) -> Announced {
    Announced { message_type: MessageType::NEW_BLOCK, payload_bytes, id: Hash::of(&number.to_le_bytes()) }
}

fn fetched(case: &mut Case, from: ConnectionId) -> Vec<Vec<Hash>> {
    let sent = case.lone.sent(from).into_iter();
    let fetches = sent.filter(|(message_type, _)| *message_type == MessageType::FETCH);
    fetches.map(|(_, payload)| Fetch::decode(&payload).unwrap().hashes.iter().collect()).collect()
}

/// Takes as many announcements as anybody sends.
fn greedy() -> Config {
    Config::default().with_adaptive(false).with_rate(Rate { capacity: 1_000_000, interval: SECOND })
}

fn announce(case: &mut Case, from: ConnectionId, numbers: std::ops::Range<u32>) {
    let items: Vec<_> = numbers.map(|number| made_up(number, 500)).collect();
    items.chunks(500).for_each(|items| case.lone.give(from, &Announce::new(items)));
}

#[test]
fn who_is_asked_instead_of_another_is_asked_for_no_more_than_its_part_and_in_one_message() {
    let mut case = Case::new(greedy());
    let [leaver, busy, idle] = case.peers();
    announce(&mut case, leaver, 0..200);
    announce(&mut case, busy, 1000..1200);
    announce(&mut case, busy, 0..200);
    announce(&mut case, idle, 0..150);
    for peer in [leaver, busy, idle] {
        fetched(&mut case, peer);
    }
    case.lone.end(leaver);
    let asked = [busy, idle].map(|peer| fetched(&mut case, peer));
    assert!(asked.iter().all(|messages| messages.len() == 1), "one message for each peer");
    assert_eq!(asked[0][0].len(), MAX_FETCHES_PER_HOST - 200);
    // Some of the rest were announced by the busy one alone.
    assert!(asked[1][0].len() < 200 - asked[0][0].len());
    assert_eq!(case.relay().fetches(), 200 + asked[0][0].len() + asked[1][0].len());
    assert!(case.offences().is_empty());
}

#[test]
fn however_many_have_an_item_all_of_them_are_asked_one_after_the_other() {
    let mut case = Case::new(Config::default());
    let peers: [_; 40] = case.peers();
    for peer in peers {
        case.lone.give(peer, &Announce::new(&[made_up(1, 500)]));
    }
    let mut asked = Vec::new();
    for _ in peers {
        asked.extend(peers.iter().filter(|peer| !fetched(&mut case, **peer).is_empty()));
        case.lone.advance(SECOND * 4);
    }
    assert_eq!((asked, case.relay().fetches()), (peers.to_vec(), 0));
}

#[test]
fn of_so_many_items_a_peer_is_noted_that_it_has_them_too_and_no_more() {
    let mut case = Case::new(greedy());
    let peers: [_; 6] = case.peers();
    let [first @ .., last] = peers;
    for (number, peer) in (0..).zip(first) {
        announce(&mut case, peer, number * 1000..number * 1000 + 250);
        announce(&mut case, last, number * 1000..number * 1000 + 250);
    }
    assert_eq!(case.relay().session_statistics(last).unwrap().dropped, 5 * 250 - 1024);
    for peer in peers {
        case.lone.end(peer);
    }
    assert_eq!(case.relay().fetches(), 0);
}

#[test]
fn a_size_that_is_too_large_does_not_make_the_others_wait_and_costs_who_said_it() {
    let mut case = Case::new(Config::default());
    let [liar, honest] = case.peers();
    let item = Item::block(&block(1, 5000)).unwrap();
    let said =
        |payload_bytes| Announced { message_type: MessageType::NEW_BLOCK, payload_bytes, id: item.id() };
    case.lone.give(liar, &Announce::new(&[said(16_000_000)]));
    case.lone.advance(SECOND);
    case.lone.give(honest, &Announce::new(&[said(item.payload().len() as u32)]));
    assert!(fetched(&mut case, honest).is_empty());
    case.lone.advance(SECOND * 5 / 2);
    assert_eq!(fetched(&mut case, honest), [[item.id()]]);
    assert!(case.offences().is_empty(), "it has the time that such an item takes");
    case.lone.give_bytes(honest, item.frame().bytes());
    assert_eq!(case.offences(), [(liar, FALSE_ANNOUNCEMENT)]);
    assert_eq!(case.received().len(), 1);
}

#[test]
fn a_size_that_is_too_small_costs_who_said_it_and_no_honest_peer_its_time() {
    let mut case = Case::new(Config::default());
    let [honest, liar] = case.peers();
    let item = Item::proof(&proof(1, &[1; 1_000_000])).unwrap();
    for (peer, payload_bytes) in [(honest, item.payload().len() as u32), (liar, 1)] {
        let message_type = MessageType::PROOF_SUBMISSION;
        case.lone.give(peer, &Announce::new(&[Announced { message_type, payload_bytes, id: item.id() }]));
    }
    case.lone.advance(SECOND * 7 / 2);
    assert_eq!(fetched(&mut case, liar), [[item.id()]]);
    assert!(case.offences().is_empty(), "so much takes nearly eleven seconds");
    case.lone.give_bytes(honest, item.frame().bytes());
    assert_eq!(case.offences(), [(liar, FALSE_ANNOUNCEMENT)]);
    assert_eq!((case.received().len(), case.relay().fetches()), (1, 0));
}

#[test]
fn nothing_is_waited_for_longer_than_four_minutes_however_large_and_by_however_many() {
    let mut case = Case::new(Config::default());
    let peers: [_; 9] = case.peers();
    for peer in peers {
        case.lone.give(peer, &Announce::new(&[made_up(1, 16_000_000)]));
    }
    case.lone.advance(SECOND * 239);
    assert_eq!(case.relay().fetches(), 1);
    case.lone.advance(SECOND);
    assert_eq!(case.relay().fetches(), 0);
    assert!(peers[2..].iter().all(|peer| fetched(&mut case, *peer).is_empty()), "for them it is too late");
    // The second one had no more than 115 s.
    assert_eq!(case.offences(), [(peers[0], Offence::NoAnswer(MessageType::NEW_BLOCK))]);
}

#[test]
fn of_a_block_that_nobody_sends_sync_hears() {
    let mut case = Case::new(Config::default());
    let [first, second, other] = case.peers();
    let block = made_up(1, 500);
    case.lone.give(first, &Announce::new(&[block]));
    case.lone.give(second, &Announce::new(&[block]));
    case.lone.give(
        other,
        &Announce::new(&[Announced { message_type: MessageType::TRANSACTION, ..made_up(2, 155) }]),
    );
    case.signals();
    case.lone.advance(SECOND * 4);
    assert!(!case.signals().iter().any(|it| matches!(it, Signal::BlockAnnounced { .. })));
    case.lone.advance(SECOND * 4);
    let news: Vec<_> =
        case.signals().into_iter().filter(|it| matches!(it, Signal::BlockAnnounced { .. })).collect();
    assert_eq!(news, [Signal::BlockAnnounced { from: second, hash: block.id }]);
}

#[test]
fn a_peer_that_takes_no_questions_is_not_asked_and_somebody_else_is() {
    let small = QueueLimit { max_frames: 1, max_bytes: 1024 };
    let limits = Limits::default().with_queue(Priority::Normal, small);
    let mut case = Case::with_limits(greedy(), limits);
    let [full, other] = case.peers();
    case.lone.give(other, &Announce::new(&[made_up(0, 500)]));
    case.sent(other);
    let items = [made_up(1, 500), made_up(2, 500)];
    // Two announcements in one turn, and room for one question.
    let frames = items.map(|item| Frame::encode(&Announce::new(&[item])).unwrap());
    case.lone.give(other, &NotFound { hashes: Hashes::from(&[made_up(0, 500).id][..]) });
    case.lone.give_bytes(other, frames[1].bytes());
    case.sent(other);
    case.lone.act(|node, cx| {
        // What fills the queue.
        cx.send(full, &NotFound { hashes: Hashes::from(&[Hash([1; 32])][..]) }).unwrap();
        for frame in &frames {
            node.on_input(cx, &Input::Frame { connection: full, frame }).unwrap();
        }
    });
    assert!(fetched(&mut case, full).is_empty());
    assert_eq!(case.relay().fetches(), 1, "the one that the other is asked for");
    assert!(case.offences().is_empty());
}

#[test]
fn a_question_that_has_not_left_is_no_failure_of_who_was_to_answer_it() {
    let slow = Bandwidth::default().with_upload_per_peer(Some(8192));
    let mut case = Case::with_limits(Config::default(), Limits::default().with_bandwidth(slow));
    let [peer, other] = case.peers();
    // It may be sent nothing for a while after this.
    case.lone.act(|_, cx| cx.send(peer, &proof(1, &[1; 1_000_000])).unwrap());
    case.sent(peer);
    case.lone.give(peer, &Announce::new(&[made_up(1, 500)]));
    case.lone.give(other, &Announce::new(&[made_up(1, 500)]));
    assert!(fetched(&mut case, peer).is_empty());
    case.lone.advance(SECOND * 4);
    assert!(case.offences().is_empty());
    assert_eq!(fetched(&mut case, other), [[made_up(1, 500).id]]);
}

#[test]
fn who_is_held_back_by_this_nodes_own_limits_has_more_time() {
    let slow = Bandwidth::default().with_upload_per_peer(Some(8192));
    let mut case = Case::with_limits(Config::default(), Limits::default().with_bandwidth(slow));
    let [peer, other] = case.peers();
    for connection in [peer, other] {
        case.lone.give(connection, &Announce::new(&[made_up(1, 500)]));
    }
    assert_eq!(fetched(&mut case, peer).len(), 1);
    // More than it may be sent for a while, and a block that waits behind it.
    case.lone.act(|_, cx| cx.send(peer, &proof(1, &[1; 1_000_000])).unwrap());
    case.lone.act(|_, cx| cx.send(peer, &NewBlock { bytes: &block(1, 500) }).unwrap());
    case.lone.advance(SECOND * 8);
    assert_eq!((fetched(&mut case, other).len(), case.offences()), (0, Vec::new()));
    case.lone.advance(SECOND * 5);
    assert_eq!(fetched(&mut case, other).len(), 1, "but not for ever");
}
