//! What becomes of what comes.

use super::*;

#[test]
fn what_is_accepted_goes_to_all_but_those_who_have_it() {
    let mut case = Case::new(Config::default());
    let [first, second, third, fourth] = case.peers();
    let bytes = transaction(1);
    case.lone.give(first, &Transaction { bytes: &bytes });
    case.lone.give(second, &Transaction { bytes: &bytes });
    let received = case.received();
    assert_eq!(received.len(), 1);
    assert_eq!(
        (received[0].0.kind(), received[0].0.payload(), received[0].1),
        (Kind::Transaction, &*bytes, first)
    );
    assert!([first, second, third, fourth].iter().all(|peer| case.sent(*peer).is_empty()));

    case.decide(&received[0].0, Verdict::Accept);
    assert_eq!(case.lone.sent(third), [(MessageType::TRANSACTION, bytes.clone())]);
    assert_eq!(case.sent(fourth), [MessageType::TRANSACTION]);
    assert!(case.sent(first).is_empty() && case.sent(second).is_empty());
    // Transactions cost nothing, so they earn nothing.
    assert!(case.signals().is_empty());

    case.lone.give(fourth, &Transaction { bytes: &bytes });
    assert!(case.received().is_empty() && case.offences().is_empty());
    let statistics = case.relay().statistics();
    assert_eq!((statistics.received, statistics.duplicates, statistics.relayed), (1, 2, 1));
}

#[test]
fn what_is_rejected_goes_nowhere_and_all_who_sent_it_are_charged_each_time() {
    let mut case = Case::new(Config::default());
    let [first, second, announcer, late] = case.peers();
    let bytes = transaction(1);
    case.lone.give(first, &Transaction { bytes: &bytes });
    case.lone.give(second, &Transaction { bytes: &bytes });
    let [(item, _)] = case.received().try_into().unwrap();
    let announced = Announced { message_type: MessageType::TRANSACTION, payload_bytes: 155, id: item.id() };
    case.lone.give(announcer, &Announce::new(&[announced]));
    case.decide(&item, Verdict::Reject);
    let offence = Offence::InvalidItem(MessageType::TRANSACTION);
    assert_eq!(case.offences(), [(second, offence), (first, offence)]);

    case.lone.give(late, &Transaction { bytes: &bytes });
    assert_eq!(case.offences(), [(late, offence)]);
    assert!(case.received().is_empty());
    assert!([first, second, announcer, late].iter().all(|peer| case.sent(*peer).is_empty()));
    assert_eq!(case.relay().statistics().rejected, 3);
}

#[test]
fn what_the_relay_itself_refuses_counts_as_rejected_and_is_not_waited_for() {
    let mut case = Case::new(Config::default());
    let [first, second] = case.peers();
    let bytes = [0xff; 500];
    let item = Item::block(&bytes).unwrap();
    let announced = Announced { message_type: MessageType::NEW_BLOCK, payload_bytes: 500, id: item.id() };
    for peer in [first, second] {
        case.lone.give(peer, &Announce::new(&[announced]));
    }
    case.sent(second);
    case.lone.give(first, &NewBlock { bytes: &bytes });
    assert!(matches!(*case.offences(), [(peer, Offence::InvalidBlock(_))] if peer == first));
    assert_eq!(case.relay().statistics().rejected, 1);
    assert_eq!(case.relay().session_statistics(first).unwrap().rejected, 1);
    assert_eq!(case.relay().fetches(), 0);
    case.lone.advance(SECOND * 60);
    assert!(case.offences().is_empty() && case.sent(second).is_empty());
}

#[test]
fn who_leaves_before_the_verdict_is_charged_all_the_same() {
    let mut case = Case::new(Config::default());
    let [first, second, _other] = case.peers();
    case.lone.give(first, &Transaction { bytes: &transaction(1) });
    case.lone.give(second, &Transaction { bytes: &transaction(1) });
    let [(item, _)] = case.received().try_into().unwrap();
    case.lone.end(first);
    case.lone.end(second);
    case.decide(&item, Verdict::Reject);
    let charged = case.signals().into_iter().filter_map(|signal| match signal {
        Signal::Offence { connection, offence: Offence::InvalidItem(_), .. } => Some(connection),
        _ => None,
    });
    assert_eq!(charged.collect::<Vec<_>>(), [second, first]);
}

#[test]
fn what_is_ignored_goes_nowhere_and_nobody_is_charged() {
    let mut case = Case::new(Config::default());
    let [first, second] = case.peers();
    let bytes = transaction(1);
    case.lone.give(first, &Transaction { bytes: &bytes });
    let [(item, _)] = case.received().try_into().unwrap();
    case.decide(&item, Verdict::Ignore);
    case.lone.give(second, &Transaction { bytes: &bytes });
    assert!(case.received().is_empty() && case.offences().is_empty());
    assert!(case.sent(first).is_empty() && case.sent(second).is_empty());
    let now = spacetime_core::Time::ZERO;
    assert_eq!(case.relay().mark(&item.id(), now), Some(Mark::Ignored));
}

#[test]
fn no_verdict_in_time_is_as_if_it_was_ignored() {
    let mut case = Case::new(Config::default().with_verdict_timeout(SECOND * 10));
    let [first, second] = case.peers();
    case.lone.give(first, &Transaction { bytes: &transaction(1) });
    let [(item, _)] = case.received().try_into().unwrap();
    assert_eq!(case.lone.deadline(), Some(SECOND * 10));
    case.lone.advance(SECOND * 10);
    assert_eq!(case.relay().pending(), (0, 0));
    // Too late.
    case.decide(&item, Verdict::Accept);
    assert!(case.sent(second).is_empty() && case.offences().is_empty());
}

#[test]
fn after_five_minutes_it_may_come_again() {
    let mut case = Case::new(Config::default());
    let [first, second] = case.peers();
    case.lone.give(first, &proof(1, &[1; 100]));
    let [(item, _)] = case.received().try_into().unwrap();
    case.decide(&item, Verdict::Accept);
    case.lone.advance(SECOND * 299);
    case.lone.give(second, &proof(1, &[1; 100]));
    assert!(case.received().is_empty());
    case.lone.advance(SECOND);
    case.lone.give(second, &proof(1, &[1; 100]));
    assert_eq!(case.received().len(), 1);
}

#[test]
fn a_corrupted_copy_that_comes_first_does_not_suppress_the_block() {
    let mut case = Case::new(Config::default().with_push_peers(2));
    let [liar, honest, third] = case.peers();
    let right = block(1, 1000);
    // The hash covers the header without its signature.
    let mut wrong = right.clone();
    wrong[289] ^= 1;
    assert_eq!(block_hash(&wrong), block_hash(&right));
    case.lone.give(liar, &NewBlock { bytes: &wrong });
    let [(item, _)] = case.received().try_into().unwrap();
    case.decide(&item, Verdict::Reject);
    assert_eq!(case.offences().len(), 1);
    case.lone.give(honest, &NewBlock { bytes: &right });
    let [(item, from)] = case.received().try_into().unwrap();
    assert_eq!((item.payload(), from), (&*right, honest));
    case.decide(&item, Verdict::Accept);
    assert_eq!(case.sent(third), [MessageType::NEW_BLOCK]);
    assert!(case.signals().contains(&Signal::Useful { connection: honest }));
    // Now it is known, whatever is put around it.
    let mut padded = right.clone();
    padded[288] ^= 1;
    case.lone.give(third, &NewBlock { bytes: &padded });
    assert!(case.received().is_empty() && case.offences().is_empty());
}

#[test]
fn a_block_whose_header_is_none_is_not_even_looked_at() {
    let mut case = Case::new(Config::default());
    let [liar] = case.peers();
    let mut bytes = block(1, 2000);
    // The height is negative.
    bytes[40] = 0xff;
    case.lone.give(liar, &NewBlock { bytes: &bytes });
    assert!(matches!(*case.offences(), [(peer, Offence::InvalidBlock(_))] if peer == liar));
    assert!(case.received().is_empty());
    case.lone.give(liar, &NewBlock { bytes: &[1; 50] });
    assert!(matches!(*case.offences(), [(_, Offence::InvalidBlock(_))]));
}

#[test]
fn block_and_new_block_are_the_same_item() {
    let mut case = Case::new(Config::default().with_announce_from_bytes(usize::MAX));
    let [first, second, third] = case.peers();
    let bytes = block(1, 500);
    case.lone.give(first, &Block { bytes: &bytes });
    case.lone.give(second, &NewBlock { bytes: &bytes });
    let [(item, _)] = case.received().try_into().unwrap();
    assert_eq!((item.kind(), item.id()), (Kind::Block, Kind::Block.id(&bytes)));
    case.decide(&item, Verdict::Accept);
    // It goes on under the name by which it is known.
    assert_eq!(case.lone.sent(third), [(MessageType::NEW_BLOCK, bytes)]);
    assert!(case.sent(second).is_empty());
}

#[test]
fn blocks_that_this_node_cannot_take_are_told_to_whoever_downloads() {
    let mut case = Case::new(Config::default());
    let [first, second, third] = case.peers();
    let bytes = block(1, 500);
    let said = |from| Signal::BlockAnnounced { from, hash: block_hash(&block(1, 500)) };
    case.lone.give(first, &NewBlock { bytes: &bytes });
    case.lone.give(second, &NewBlock { bytes: &bytes });
    let [(item, _)] = case.received().try_into().unwrap();
    assert!(case.signals().is_empty());
    case.decide(&item, Verdict::Ignore);
    assert_eq!(case.signals(), [said(second), said(first)]);
    case.lone.give(third, &NewBlock { bytes: &bytes });
    assert_eq!(case.signals(), [said(third)]);
}

#[test]
fn a_peer_that_sends_the_same_again_and_again_is_news_once_and_many_blocks_are_news_a_few_times() {
    let mut case = Case::new(Config::default().with_adaptive(false));
    let [peer] = case.peers();
    let blocks: Vec<_> = (0..20).map(|seed| block(seed, 500)).collect();
    for bytes in &blocks {
        case.lone.give(peer, &NewBlock { bytes });
    }
    for (item, _) in case.received() {
        case.decide(&item, Verdict::Ignore);
    }
    assert_eq!(case.signals().len(), 4);
    case.lone.advance(SECOND);
    for _ in 0..10 {
        case.lone.give(peer, &NewBlock { bytes: &blocks[0] });
    }
    assert_eq!(case.signals().len(), 1);
    assert!(case.offences().is_empty());
}

#[test]
fn verdicts_that_are_late_for_everything_that_waits_are_said_of_in_bounds() {
    let mut case = Case::new(Config::default().with_rate(Rate { capacity: 100_000, interval: SECOND }));
    let [first, second] = case.peers();
    for seed in 0..500 {
        let bytes = block(seed, 500);
        case.lone.give(first, &NewBlock { bytes: &bytes });
        case.lone.give(second, &NewBlock { bytes: &bytes });
    }
    assert_eq!(case.received().len(), 500);
    // All of them at the same moment.
    case.lone.advance(SECOND * 60);
    assert_eq!((case.relay().pending(), case.signals().len()), ((0, 0), 8));
}

#[test]
fn what_cannot_be_judged_yet_may_come_again() {
    let mut case = Case::new(Config::default());
    let [first, second, third] = case.peers();
    let early = BlockAccepted { hash: Hash([5; 32]), height: 7 };
    case.lone.give(first, &early);
    let [(item, _)] = case.received().try_into().unwrap();
    case.decide(&item, Verdict::NotYet);
    assert_eq!(case.relay().mark(&item.id(), spacetime_core::Time::ZERO), None);
    case.lone.give(second, &early);
    let [(item, _)] = case.received().try_into().unwrap();
    case.decide(&item, Verdict::Accept);
    assert_eq!(case.sent(third), [MessageType::BLOCK_ACCEPTED]);
    assert!(case.offences().is_empty());
}

#[test]
fn verdicts_may_come_in_any_order_and_more_than_once() {
    let mut case = Case::new(Config::default());
    let [first, second] = case.peers();
    (0..4).for_each(|number| case.lone.give(first, &Transaction { bytes: &transaction(number) }));
    let items: Vec<_> = case.received().into_iter().map(|it| it.0).collect();
    for place in [3, 1, 1, 0, 2] {
        case.decide(&items[place], Verdict::Accept);
        case.decide(&items[place], Verdict::Reject);
    }
    let sent: Vec<_> = case.lone.sent(second).into_iter().map(|it| it.1).collect();
    assert_eq!(sent, [3, 1, 0, 2].map(transaction));
    assert!(case.offences().is_empty());
    case.lone.command(NodeCommand::Relay(Command::Verdict { id: Hash([9; 32]), verdict: Verdict::Reject }));
    assert!(case.offences().is_empty());
}

#[test]
fn a_node_that_downloads_the_chain_relays_nothing_and_hears_of_blocks() {
    let mut case = Case::new(Config::default());
    let [first, second] = case.peers();
    case.lone.act(|_, cx| cx.signal(Signal::InitialDownload(true)));
    case.lone.give(first, &Transaction { bytes: &transaction(1) });
    case.lone.give(first, &NewBlock { bytes: &block(1, 500) });
    assert!(case.received().is_empty() && case.sent(second).is_empty());
    assert!(
        case.signals().contains(&Signal::BlockAnnounced { from: first, hash: block_hash(&block(1, 500)) })
    );
    // Nothing is asked for either, and sync hears of each block once.
    case.signals();
    let announced = |kind: Kind, number| Announced {
        message_type: kind.message_type(),
        payload_bytes: 155,
        id: Hash([number; 32]),
    };
    let items = [announced(Kind::Block, 1), announced(Kind::Transaction, 2), announced(Kind::Block, 1)];
    case.lone.give(second, &Announce::new(&items));
    assert!(case.sent(second).is_empty() && case.relay().fetches() == 0);
    assert_eq!(case.signals(), [Signal::BlockAnnounced { from: second, hash: Hash([1; 32]) }]);
    case.lone.act(|_, cx| cx.signal(Signal::InitialDownload(false)));
    case.lone.give(first, &Transaction { bytes: &transaction(1) });
    assert_eq!(case.received().len(), 1);
}

#[test]
fn what_is_over_the_rate_is_dropped_and_nobody_is_charged_also_after_connecting_again() {
    let mut case = Case::new(Config::default().with_adaptive(false));
    let [flooder, honest] = case.peers();
    let give = |case: &mut Case, peer, numbers: std::ops::Range<u64>| {
        numbers.for_each(|number| case.lone.give(peer, &Transaction { bytes: &transaction(number) }));
        case.received().len()
    };
    assert_eq!(give(&mut case, flooder, 0..500), 100);
    assert_eq!(give(&mut case, honest, 1000..1010), 10);
    assert!(case.offences().is_empty());
    assert_eq!(case.relay().statistics().dropped, 400);
    case.lone.end(flooder);
    let again = case.connect("8.8.0.8:1001", true);
    assert_eq!(give(&mut case, again, 500..600), 0);
    case.lone.advance(SECOND);
    assert_eq!(give(&mut case, again, 500..600), 10);
    // What was dropped had not been there.
    assert_eq!(give(&mut case, honest, 400..410), 10);
}

#[test]
fn a_rate_changes_with_what_a_host_sends() {
    let mut case = Case::new(Config::default().with_rate(Rate { capacity: 1, interval: SECOND }));
    let [useful, liar] = case.peers();
    for (peer, verdict, number) in [(useful, Verdict::Accept, 1), (liar, Verdict::Reject, 2)] {
        case.lone.give(peer, &Transaction { bytes: &transaction(number) });
        let [(item, _)] = case.received().try_into().unwrap();
        case.decide(&item, verdict);
    }
    let mut taken = [0, 0];
    for number in 10..90 {
        case.lone.advance(SECOND / 10);
        for (peer, taken) in [useful, liar].into_iter().zip(&mut taken) {
            let bytes = transaction(number + 1000 * u64::from(peer == liar));
            case.lone.give(peer, &Transaction { bytes: &bytes });
            *taken += case.received().len();
        }
    }
    // In eight seconds: four a second, and one in four seconds.
    assert!((26..=32).contains(&taken[0]) && (1..=2).contains(&taken[1]), "{taken:?}");
}

#[test]
fn what_waits_for_verdicts_is_bounded_and_one_peer_takes_no_more_than_its_part() {
    let mut case = Case::new(Config::default().with_rate(Rate { capacity: 100_000, interval: SECOND }));
    let [flooder, honest] = case.peers();
    let large = vec![9; 1_000_000];
    for number in 0..40 {
        case.lone.give(flooder, &proof(number, &large));
    }
    let (items, bytes) = case.relay().pending();
    assert!(items == 9 && bytes < 8 * 1024 * 1024 + 1_000_000, "{items} items, {bytes} bytes");
    assert_eq!(case.received().len(), 9);
    case.lone.give(honest, &Transaction { bytes: &transaction(1) });
    assert_eq!(case.received().len(), 1);
    for number in 0..3000 {
        case.lone.give(honest, &Transaction { bytes: &transaction(number) });
    }
    assert_eq!(case.relay().pending().0, 9 + 1024);
    assert!(case.offences().is_empty());
}

#[test]
fn proofs_and_accepted_blocks_spread_as_they_are() {
    let mut case = Case::new(Config::default());
    let [first, second] = case.peers();
    case.lone.give(first, &proof(1, &[1, 2, 3]));
    case.lone.give(first, &BlockAccepted { hash: Hash([5; 32]), height: 7 });
    let received = case.received();
    assert_eq!(
        received.iter().map(|(item, _)| item.kind()).collect::<Vec<_>>(),
        [Kind::Proof, Kind::BlockAccepted]
    );
    for (item, _) in &received {
        case.decide(item, Verdict::Accept);
    }
    let mut sent = case.sent(second);
    sent.sort();
    assert_eq!(sent, [MessageType::PROOF_SUBMISSION, MessageType::BLOCK_ACCEPTED]);
}

#[test]
fn relay_first_passes_on_before_the_verdict_and_charges_after_it() {
    let mut case = Case::new(Config::default().with_relay_first(true));
    let [first, second] = case.peers();
    case.lone.give(first, &Transaction { bytes: &transaction(1) });
    assert_eq!(case.sent(second), [MessageType::TRANSACTION]);
    let [(item, _)] = case.received().try_into().unwrap();
    case.decide(&item, Verdict::Reject);
    assert_eq!(case.offences().len(), 1);
    assert!(case.sent(second).is_empty());
}

#[test]
fn what_this_node_publishes_goes_to_everybody_and_is_known() {
    let mut case = Case::new(Config::default());
    let [first, second] = case.peers();
    let version_1_like = case.connect("9.9.9.9:1", false);
    case.publish(Item::transaction(&transaction(1)).unwrap());
    for peer in [first, second, version_1_like] {
        assert_eq!(case.sent(peer), [MessageType::TRANSACTION]);
    }
    case.lone.give(first, &Transaction { bytes: &transaction(1) });
    assert!(case.received().is_empty());
}
