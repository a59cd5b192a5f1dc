//! The objects of the chain: what decodes encodes to the same bytes.

use spacetime_core::Hash;
use spacetime_core::chain::{
    Block, BlockHeader, ChainRules as _, HEADER_BYTES, InvalidObject, MIN_BLOCK_BYTES, Proof, SpacetimeRules,
    TRANSACTION_BYTES, Transaction, block_hash, transaction_root,
};

use super::chain;

/// `u8 which | object`, where `which` is 0 for a header, 1 a transaction, 2 a block, 3 a proof.
pub fn chain_objects(data: &[u8]) {
    let Some((which, bytes)) = data.split_first() else {
        return;
    };
    match which % 4 {
        0 => header(bytes),
        1 => transaction(bytes),
        2 => block(bytes),
        _ => proof(bytes),
    }
}

fn header(bytes: &[u8]) {
    let rules = chain::rules();
    let Ok(header) = BlockHeader::decode(bytes) else {
        assert!(matches!(rules.read_header(bytes), Err(InvalidObject::Malformed(_))));
        return;
    };
    assert_eq!(bytes.len(), HEADER_BYTES);
    assert_eq!(header.to_bytes(), bytes);
    assert_eq!(Some(header.hash()), BlockHeader::hash_of(bytes));
    let info = rules.read_header(bytes).expect("it was read before");
    assert_eq!((info.hash, info.parent), (header.hash(), header.parent_hash));
    // Nothing follows itself, and whatever a header claims does not overflow.
    assert!(rules.check_link(&info, &info).is_err());
}

fn transaction(bytes: &[u8]) {
    let Ok(transaction) = Transaction::decode(bytes) else {
        return;
    };
    assert_eq!(bytes.len(), TRANSACTION_BYTES);
    assert_eq!(transaction.to_bytes(), bytes);
    assert_eq!(Some(transaction.hash()), Transaction::hash_of(bytes));
    assert!(transaction.amount > 0 && transaction.nonce >= 0 && transaction.fee >= 0);
}

fn block(bytes: &[u8]) {
    let rules = chain::rules();
    let Ok(block) = Block::decode(bytes) else {
        assert!(matches!(rules.check_block(bytes), Err(InvalidObject::Malformed(_))));
        return;
    };
    assert!(bytes.len() >= MIN_BLOCK_BYTES);
    let transactions: Vec<_> = block
        .transactions()
        .map(|bytes| Transaction::decode(bytes).expect("the block was checked"))
        .collect();
    assert_eq!(transactions.len(), block.transaction_count());
    let mut encoded = Vec::new();
    Block::encode(&block.header, &transactions, &block.proof, &mut encoded);
    assert_eq!(encoded, bytes);

    assert_eq!(block_hash(bytes), Some(block.header.hash()));
    assert_eq!(SpacetimeRules::block_id(bytes), block_hash(bytes));
    assert_eq!(rules.header_of(bytes), Ok(&bytes[..HEADER_BYTES]));
    let root = transaction_root(transactions.iter().map(Transaction::hash));
    assert_eq!(root == Hash::ZERO, transactions.is_empty());
    assert_eq!(block.commits_to_transactions(), root == block.header.transaction_root);
    assert_eq!(rules.check_block(bytes).is_ok(), block.commits_to_transactions());
}

fn proof(bytes: &[u8]) {
    let Ok(proof) = Proof::decode(bytes) else { return };
    let mut encoded = Vec::new();
    proof.encode(&mut encoded);
    assert_eq!(encoded, bytes);
    assert_eq!(proof.path.len(), proof.orientation.len() * 32);
    assert!(proof.leaf_index >= 0 && proof.leaf_count > 0);
}
