//! What waits to be in a block.

use spacetime_relay::Mempool as _;

use super::*;

#[test]
fn accepted_transactions_wait_in_the_pool_until_they_are_in_a_block() {
    let mut case = Case::new(Config::default());
    let [peer] = case.peers();
    let block = block(1, 1000);
    let in_block: Vec<Vec<u8>> =
        spacetime_core::chain::Block::decode(&block).unwrap().transactions().map(<[u8]>::to_vec).collect();
    assert!(in_block.len() > 1);
    in_block.iter().for_each(|bytes| case.accept(peer, bytes));
    case.accept(peer, &transaction(1));
    assert_eq!(case.relay().mempool().len(), in_block.len() + 1);
    // Another signature is another item, and the same transaction.
    let mut resigned = in_block[0].clone();
    resigned[154] ^= 1;
    case.accept(peer, &resigned);
    assert_eq!(case.relay().mempool().len(), in_block.len() + 2);
    case.lone.command(NodeCommand::Relay(Command::Included(block.into())));
    let left: Vec<_> = case.relay().mempool().transactions().map(|(hash, _)| hash).collect();
    assert_eq!(left, [Tx::hash_of(&transaction(1)).unwrap()]);
}

#[test]
fn what_waits_in_the_pool_is_not_new_when_its_name_was_forgotten() {
    let mut case = Case::new(Config::default());
    let [sender, replayer, other] = case.peers();
    let block = block(1, 1000);
    let transaction = spacetime_core::chain::Block::decode(&block).unwrap().transactions().next().unwrap();
    case.accept(sender, transaction);
    case.sent(other);
    case.lone.advance(SECOND * 301);
    for _ in 0..2 {
        case.lone.give(replayer, &Transaction { bytes: transaction });
    }
    assert!(case.received().is_empty() && case.sent(other).is_empty() && case.offences().is_empty());
    assert_eq!(case.relay().statistics().duplicates, 2);
    // Once it is in a block, whether it may come again is for the application to say.
    case.lone.advance(SECOND * 301);
    case.lone.command(NodeCommand::Relay(Command::Included(block.clone().into())));
    case.accept(replayer, transaction);
}

#[test]
fn who_asks_is_told_what_is_in_the_pool_but_not_often() {
    let mut case = Case::new(Config::default());
    let [sender, asker] = case.peers();
    (0..5).for_each(|number| case.accept(sender, &transaction(number)));
    case.sent(asker);
    case.lone.give(asker, &TxPoolRequest { max_transactions: 3, include_data: true });
    let sent = case.lone.sent(asker);
    let expected: Vec<_> = (0..3).map(|number| (MessageType::TRANSACTION, transaction(number))).collect();
    assert_eq!(sent, expected);
    case.lone.give(asker, &TxPoolRequest { max_transactions: i32::MAX, include_data: true });
    assert!(case.sent(asker).is_empty());
    case.lone.advance(SECOND * 10);
    case.lone.give(asker, &TxPoolRequest { max_transactions: i32::MAX, include_data: false });
    let [(message_type, payload)] = case.lone.sent(asker).try_into().unwrap();
    assert_eq!(message_type, MessageType::POOL_HASHES);
    let hashes: Vec<_> = PoolHashes::decode(&payload).unwrap().hashes.iter().collect();
    assert_eq!(hashes, (0..5).map(|it| Tx::hash_of(&transaction(it)).unwrap()).collect::<Vec<_>>());
    assert!(case.offences().is_empty());
}

#[test]
fn hashes_only_are_not_sent_to_who_cannot_read_them() {
    let mut case = Case::new(Config::default());
    let [sender] = case.peers();
    let old = case.connect("9.9.9.9:1", false);
    case.accept(sender, &transaction(1));
    case.sent(old);
    case.lone.give(old, &TxPoolRequest { max_transactions: 1, include_data: false });
    assert!(case.sent(old).is_empty());
}

#[test]
fn what_is_in_no_block_for_three_hours_goes_though_nothing_else_happens() {
    let mut case = Case::new(Config::default());
    let [peer] = case.peers();
    case.accept(peer, &transaction(1));
    case.lone.advance(SECOND * 3600 * 3 - SECOND);
    assert_eq!(case.relay().mempool().len(), 1);
    case.lone.advance(SECOND);
    assert!(case.relay().mempool().is_empty());
}

#[test]
fn a_host_asks_for_the_pool_at_one_rate_however_many_connections_it_has() {
    let mut case = Case::new(Config::default());
    let [sender] = case.peers();
    case.accept(sender, &transaction(1));
    let request = TxPoolRequest { max_transactions: 1, include_data: false };
    let told = (0..5).filter(|port| {
        let asker = case.connect(&format!("9.9.9.9:{}", 1000 + port), true);
        case.lone.give(asker, &request);
        let is_told = !case.sent(asker).is_empty();
        case.lone.end(asker);
        is_told
    });
    assert_eq!(told.count(), 1);
}

#[test]
fn hashes_of_a_large_pool_are_told_as_far_as_a_queue_holds_them() {
    let mut case = Case::new(Config::default().with_rate(Rate { capacity: 10_000, interval: SECOND }));
    let [sender, asker] = case.peers();
    (0..5000).for_each(|number| case.accept(sender, &transaction(number)));
    case.sent(asker);
    case.lone.give(asker, &TxPoolRequest { max_transactions: i32::MAX, include_data: false });
    let [(_, payload)] = case.lone.sent(asker).try_into().unwrap();
    assert_eq!(PoolHashes::decode(&payload).unwrap().hashes.iter().count(), 4000);
}

#[test]
fn a_large_pool_is_told_as_far_as_the_asker_reads() {
    let mut case = Case::new(Config::default().with_rate(Rate { capacity: 10_000, interval: SECOND }));
    let [sender, asker] = case.peers();
    (0..5000).for_each(|number| case.accept(sender, &transaction(number)));
    case.lone.give(asker, &TxPoolRequest { max_transactions: 5000, include_data: true });
    assert!(case.lone.closed(asker).is_none() && case.offences().is_empty());
}
