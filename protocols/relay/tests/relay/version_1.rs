//! Version-1 nodes: what they may be sent and when, and what they are charged with.

use super::*;

const PEER: &str = "9.9.9.9:1";

/// A question that is answered with whatever is sent to the peer alone; here there is nothing.
const QUESTION: TxPoolRequest = TxPoolRequest { max_transactions: 1, include_data: true };

#[test]
fn nothing_is_sent_to_a_version_1_node_that_waits_for_an_answer_until_it_has_it() {
    let mut case = Case::new(Config::default());
    let [other] = case.peers();
    let old = case.connect_version_1(PEER);
    case.lone.give(old, &QUESTION);
    case.publish(Item::transaction(&transaction(1)).unwrap());
    case.publish(Item::block(&block(1, 5000)).unwrap());
    assert!(case.sent(old).is_empty());
    assert!(!case.sent(other).is_empty());
    case.lone.advance(SECOND * 10);
    assert!(case.sent(old).is_empty());
    case.lone.act(|_, cx| cx.send(old, &Block { bytes: &block(2, 500) }).unwrap());
    assert_eq!(case.sent(old), [MessageType::BLOCK]);
    case.lone.advance(SECOND);
    assert_eq!(case.sent(old), [MessageType::NEW_BLOCK, MessageType::TRANSACTION]);
    // Then all goes on as before.
    case.publish(Item::transaction(&transaction(2)).unwrap());
    assert_eq!(case.sent(old), [MessageType::TRANSACTION]);
    assert_eq!(case.lone.deadline().map(|it| it > SECOND * 2), Some(true), "nothing is looked at any more");
}

#[test]
fn what_a_version_1_node_waits_for_in_vain_holds_nothing_back_for_ever() {
    let mut case = Case::new(Config::default());
    let old = case.connect_version_1(PEER);
    case.lone.give(old, &QUESTION);
    case.publish(Item::transaction(&transaction(1)).unwrap());
    case.lone.advance(SECOND * 29);
    assert!(case.sent(old).is_empty());
    case.lone.advance(SECOND * 2);
    assert_eq!(case.sent(old), [MessageType::TRANSACTION]);
}

#[test]
fn what_is_held_back_is_bounded_and_the_oldest_makes_room() {
    let mut case = Case::new(Config::default());
    let old = case.connect_version_1(PEER);
    case.lone.give(old, &QUESTION);
    for number in 0..300 {
        case.publish(Item::transaction(&transaction(number)).unwrap());
    }
    case.lone.advance(SECOND * 31);
    let sent: Vec<_> = case.lone.sent(old).into_iter().map(|it| it.1).collect();
    assert_eq!(sent, (44..300).map(transaction).collect::<Vec<_>>());
    assert_eq!(case.relay().statistics().dropped, 44);
    let mut case = Case::new(Config::default());
    let old = case.connect_version_1(PEER);
    case.lone.give(old, &QUESTION);
    for number in 0..30 {
        case.publish(Item::proof(&proof(number, &[number; 100_000])).unwrap());
    }
    case.lone.advance(SECOND * 35);
    assert_eq!(case.sent(old).len(), 11, "1 MiB and one");
}

#[test]
fn who_passes_on_before_anybody_looks_is_charged_as_one_that_knows_no_better() {
    let mut case = Case::new(Config::default());
    let old = case.connect_version_1(PEER);
    case.lone.give(old, &NewBlock { bytes: &block(1, 500) });
    let [(item, _)] = case.received().try_into().unwrap();
    case.decide(&item, Verdict::Reject);
    let unchecked = Offence::Unchecked(MessageType::NEW_BLOCK);
    assert_eq!(case.offences(), [(old, unchecked)]);
    // The same again, and one whose header is none.
    case.lone.give(old, &Block { bytes: &block(1, 500) });
    case.lone.give(old, &NewBlock { bytes: &[0xff; 500] });
    assert_eq!(case.offences(), [(old, unchecked), (old, unchecked)]);
    // What leaves before the verdict is no other than it was.
    case.lone.give(old, &Transaction { bytes: &transaction(1) });
    let [(item, _)] = case.received().try_into().unwrap();
    case.lone.end(old);
    case.decide(&item, Verdict::Reject);
    assert_eq!(case.offences(), [(old, Offence::Unchecked(MessageType::TRANSACTION))]);
    // One of ours looks before it passes on.
    let [ours] = case.peers();
    case.lone.give(ours, &NewBlock { bytes: &block(1, 500) });
    assert!(matches!(*case.offences(), [(peer, Offence::InvalidBlock(_))] if peer == ours));
}
