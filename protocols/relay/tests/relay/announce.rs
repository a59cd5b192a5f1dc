//! Announcing and fetching.

use super::*;

/// Large enough to be announced.
const LARGE: usize = 5000;

fn large(number: u8) -> Item {
    Item::proof(&proof(number, &[number; LARGE])).unwrap()
}

fn announced(item: &Item) -> Announced {
    Announced {
        message_type: item.kind().message_type(),
        payload_bytes: item.payload().len() as u32,
        id: item.id(),
    }
}

/// The ids that a peer was asked for since the last call.
fn fetched(case: &mut Case, from: ConnectionId) -> Vec<Hash> {
    let sent = case.lone.sent(from).into_iter();
    let fetches = sent.filter(|(message_type, _)| *message_type == MessageType::FETCH);
    fetches
        .flat_map(|(_, payload)| Fetch::decode(&payload).unwrap().hashes.iter().collect::<Vec<_>>())
        .collect()
}

fn gives(case: &mut Case, from: ConnectionId, item: &Item) {
    case.lone.give_bytes(from, item.frame().bytes());
}

#[test]
fn large_items_are_sent_to_few_and_announced_to_the_rest_and_sent_whole_to_those_who_cannot_ask() {
    let mut case = Case::new(Config::default().with_push_peers(2));
    let peers: [_; 8] = case.peers();
    let old = case.connect("9.9.9.9:1", false);
    let item = large(1);
    case.publish(item.clone());
    assert_eq!(case.sent(old), [MessageType::PROOF_SUBMISSION]);
    let mut whole = 0;
    for peer in peers {
        match &*case.lone.sent(peer) {
            [(MessageType::PROOF_SUBMISSION, payload)] => {
                assert_eq!(payload, item.payload());
                whole += 1;
            }
            [(MessageType::ANNOUNCE, payload)] => {
                assert_eq!(Announce::decode(payload).unwrap().iter().collect::<Vec<_>>(), [announced(&item)]);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((whole, case.relay().statistics().announced), (2, 6));
}

#[test]
fn an_item_is_asked_of_one_peer_at_a_time_and_of_the_next_when_it_does_not_come() {
    let mut case = Case::new(Config::default());
    let [first, second, third] = case.peers();
    let item = large(1);
    for peer in [first, second, third] {
        case.lone.give(peer, &Announce::new(&[announced(&item)]));
    }
    assert_eq!(fetched(&mut case, first), [item.id()]);
    assert!(fetched(&mut case, second).is_empty() && fetched(&mut case, third).is_empty());

    // The first one keeps silent, the second one does not have it.
    case.lone.advance(SECOND * 4);
    assert_eq!(case.offences(), [(first, Offence::NoAnswer(MessageType::PROOF_SUBMISSION))]);
    assert_eq!(fetched(&mut case, second), [item.id()]);
    case.lone.give(second, &NotFound { hashes: Hashes::from(&[item.id()][..]) });
    assert!(case.offences().is_empty());
    assert_eq!(fetched(&mut case, third), [item.id()]);
    gives(&mut case, third, &item);
    assert_eq!(case.received().len(), 1);
    assert_eq!(case.relay().fetches(), 0);
    case.lone.advance(SECOND * 60);
    assert!(case.offences().is_empty());
}

#[test]
fn when_the_asked_peer_leaves_the_next_one_is_asked_at_once() {
    let mut case = Case::new(Config::default());
    let [first, second] = case.peers();
    let item = large(1);
    case.lone.give(first, &Announce::new(&[announced(&item)]));
    case.lone.give(second, &Announce::new(&[announced(&item)]));
    case.lone.end(first);
    assert_eq!(fetched(&mut case, second), [item.id()]);
    case.lone.end(second);
    assert_eq!(case.relay().fetches(), 0);
}

#[test]
fn a_large_item_is_given_the_time_that_it_takes() {
    let mut case = Case::new(Config::default());
    let [peer] = case.peers();
    let slow =
        Announced { message_type: MessageType::NEW_BLOCK, payload_bytes: 1024 * 1024, id: Hash([1; 32]) };
    case.lone.give(peer, &Announce::new(&[slow]));
    case.lone.advance(SECOND * 10);
    assert!(case.offences().is_empty());
    case.lone.advance(SECOND * 2);
    assert_eq!(case.offences(), [(peer, Offence::NoAnswer(MessageType::NEW_BLOCK))]);
}

#[test]
fn what_is_known_is_not_asked_for_and_who_announces_it_is_not_sent_it() {
    let mut case = Case::new(Config::default().with_push_peers(9));
    let [first, second, third] = case.peers();
    let item = large(1);
    gives(&mut case, first, &item);
    case.lone.give(second, &Announce::new(&[announced(&item)]));
    assert!(fetched(&mut case, second).is_empty());
    case.decide(&item, Verdict::Accept);
    assert!(case.sent(second).is_empty());
    assert_eq!(case.sent(third), [MessageType::PROOF_SUBMISSION]);
    case.lone.give(third, &Announce::new(&[announced(&item)]));
    assert!(fetched(&mut case, third).is_empty());
}

#[test]
fn who_announced_an_item_is_not_sent_it_when_it_comes_from_another_or_is_made_here() {
    for is_published in [false, true] {
        let mut case = Case::new(Config::default().with_push_peers(9));
        let [asked, other, sender, third] = case.peers();
        let item = large(1);
        for peer in [asked, other] {
            case.lone.give(peer, &Announce::new(&[announced(&item)]));
        }
        case.sent(asked);
        if is_published {
            case.publish(item.clone());
        } else {
            gives(&mut case, sender, &item);
            case.decide(&item, Verdict::Accept);
        }
        assert!(case.sent(asked).is_empty() && case.sent(other).is_empty(), "{is_published}");
        assert_eq!(case.sent(third), [MessageType::PROOF_SUBMISSION]);
        assert_eq!(case.relay().fetches(), 0);
        case.lone.advance(SECOND * 60);
        assert!(case.offences().is_empty());
    }
}

#[test]
fn an_announced_item_is_sent_once_to_each_who_asks_and_to_nobody_else() {
    let mut case = Case::new(Config::default().with_push_peers(0));
    let [first, second] = case.peers();
    let item = large(1);
    case.publish(item.clone());
    let stranger = case.connect("9.9.9.9:1", true);
    case.sent(first);
    let ids = [item.id()];
    let fetch = Fetch { hashes: Hashes::from(&ids[..]) };
    case.lone.give(first, &fetch);
    assert_eq!(case.lone.sent(first), [(MessageType::PROOF_SUBMISSION, item.payload().to_vec())]);
    for peer in [first, stranger] {
        case.lone.give(peer, &fetch);
        let [(message_type, payload)] = case.lone.sent(peer).try_into().unwrap();
        assert_eq!(message_type, MessageType::NOT_FOUND);
        assert_eq!(NotFound::decode(&payload).unwrap().hashes.iter().collect::<Vec<_>>(), ids);
    }
    case.sent(second);
    case.lone.give(second, &fetch);
    assert_eq!(case.sent(second), [MessageType::PROOF_SUBMISSION]);
    assert!(case.offences().is_empty());
}

#[test]
fn what_is_kept_to_be_fetched_is_bounded_in_bytes_and_time() {
    let config = Config::default().with_push_peers(0).with_max_stock_bytes(20_000);
    let mut case = Case::new(config);
    let [peer] = case.peers();
    let items: Vec<_> = (0..10).map(large).collect();
    items.iter().for_each(|item| case.publish(item.clone()));
    assert!(case.relay().stock_bytes() <= 20_000);
    case.sent(peer);
    let ids = [items[0].id(), items[9].id()];
    case.lone.give(peer, &Fetch { hashes: Hashes::from(&ids[..]) });
    assert_eq!(case.sent(peer), [MessageType::PROOF_SUBMISSION, MessageType::NOT_FOUND]);
    case.lone.advance(SECOND * 301);
    assert_eq!(case.relay().stock_bytes(), 0);
}

#[test]
fn a_flood_of_announcements_is_asked_for_at_the_rate_of_its_host() {
    let mut case = Case::new(Config::default().with_adaptive(false));
    let [flooder] = case.peers();
    let made_up = |number: u32| Announced {
        message_type: MessageType::TRANSACTION,
        payload_bytes: 155,
        id: Hash::of(&number.to_le_bytes()),
    };
    for message in 0..20 {
        let items: Vec<_> = (message * 500..(message + 1) * 500).map(made_up).collect();
        case.lone.give(flooder, &Announce::new(&items));
    }
    assert_eq!((case.relay().fetches(), fetched(&mut case, flooder).len()), (100, 100));
    // It sends none of them, which is one failure: honest nodes that stand still do the same.
    case.lone.advance(SECOND * 4);
    assert_eq!(case.relay().fetches(), 0);
    assert_eq!(case.offences().len(), 1);
}

#[test]
fn what_was_asked_for_is_taken_whatever_the_rate_says_by_then() {
    let rate = Rate { capacity: 2, interval: SECOND * 1000 };
    let mut case = Case::new(Config::default().with_adaptive(false).with_rate(rate));
    let [peer] = case.peers();
    let items = [large(1), large(2)];
    case.lone.give(peer, &Announce::new(&items.each_ref().map(announced)));
    items.iter().for_each(|item| gives(&mut case, peer, item));
    assert_eq!(case.received().len(), 2);
    gives(&mut case, peer, &large(3));
    assert!(case.received().is_empty());
}

#[test]
fn answers_that_nobody_waits_for_change_nothing() {
    let mut case = Case::new(Config::default());
    let [peer, other] = case.peers();
    let item = large(1);
    let ids = [item.id()];
    case.lone.give(peer, &NotFound { hashes: Hashes::from(&ids[..]) });
    case.lone.give(peer, &Announce::new(&[announced(&item)]));
    case.lone.give(other, &NotFound { hashes: Hashes::from(&ids[..]) });
    assert_eq!(case.relay().fetches(), 1);
    assert!(case.offences().is_empty());
}

#[test]
fn announcements_that_make_no_sense_are_malformed() {
    let mut row = vec![0x30];
    row.extend_from_slice(&155_i32.to_le_bytes());
    row.extend_from_slice(&[1; 32]);
    let list = |count: i32, rows: &[u8]| [&count.to_le_bytes()[..], rows].concat();
    let changed = |at: usize, byte: u8| {
        let mut row = row.clone();
        row[at] = byte;
        row
    };
    let bad = [
        list(0, &[]),
        list(501, &row.repeat(501)),
        list(2, &row),
        list(1, &row.repeat(2)),
        list(-1, &row),
        // No such type, a size of nothing, and one that a transaction cannot have.
        list(1, &changed(0, 0x99)),
        list(1, &[&[0x30, 0, 0, 0, 0][..], &[1; 32]].concat()),
        list(1, &changed(4, 0x7f)),
        Vec::new(),
    ];
    for payload in bad {
        let mut case = Case::new(Config::default());
        let [peer] = case.peers();
        let length = (payload.len() as u32 + 1).to_le_bytes();
        case.lone.give_bytes(peer, &[&length[..], &[0x33], &payload].concat());
        let offences = case.offences();
        let is_too_long = payload.len() > 4 + 500 * 37;
        assert!(
            matches!(*offences, [(_, Offence::Malformed { message_type: MessageType::ANNOUNCE, .. })])
                || is_too_long && matches!(*offences, [(_, Offence::Frame(_))]),
            "{payload:?}: {offences:?}"
        );
        assert_eq!(case.relay().fetches(), 0);
    }
}

#[test]
fn an_item_that_somebody_else_sends_beyond_its_rate_is_still_waited_for() {
    let rate = Rate { capacity: 1, interval: SECOND * 1000 };
    let mut case = Case::new(Config::default().with_adaptive(false).with_rate(rate));
    let [asked, busy] = case.peers();
    let item = large(1);
    gives(&mut case, busy, &large(2));
    case.lone.give(asked, &Announce::new(&[announced(&item)]));
    gives(&mut case, busy, &item);
    assert_eq!((case.received().len(), case.relay().fetches()), (1, 1));
    gives(&mut case, asked, &item);
    assert_eq!((case.received().len(), case.relay().fetches()), (1, 0));
}

#[test]
fn who_does_not_have_it_is_not_asked_again_however_often_it_says_so() {
    let mut case = Case::new(Config::default());
    let [liar, honest] = case.peers();
    let item = large(1);
    let ids = [item.id()];
    case.lone.give(liar, &Announce::new(&[announced(&item)]));
    case.lone.give(honest, &Announce::new(&[announced(&item)]));
    for _ in 0..5 {
        case.lone.give(liar, &NotFound { hashes: Hashes::from(&ids[..]) });
        case.lone.give(liar, &Announce::new(&[announced(&item)]));
    }
    assert_eq!((fetched(&mut case, liar).len(), fetched(&mut case, honest).len()), (1, 1));
    gives(&mut case, honest, &item);
    assert_eq!(case.received().len(), 1);
}
