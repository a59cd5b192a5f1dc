//! Blocks, transactions and proofs.

use super::*;

const PROOF: MessageType = MessageType::PROOF_SUBMISSION;

#[track_caller]
fn malformed(message_type: MessageType, payload: &[u8]) {
    let case = Case::new().gives_payload(message_type, payload);
    case.leaves(after(Charge::Malformed(message_type), -2, 0), 4 * KIB + 2 * payload.len() as u64);
}

/// A block that is seen to be none before the application is asked.
#[track_caller]
fn no_block(bytes: &[u8]) {
    for message_type in [MessageType::BLOCK, MessageType::NEW_BLOCK] {
        let case = Case::new().gives_payload(message_type, bytes);
        case.leaves(after(Charge::InvalidBlock, -10, 0), 6 * KIB + 2 * bytes.len() as u64);
    }
}

/// A block that the application rejects.
#[track_caller]
fn bad_block(bytes: &[u8]) {
    let case = Case::new().gives_payload(MessageType::NEW_BLOCK, bytes);
    case.leaves(after(Charge::InvalidBlock, -10, 1), 16 * KIB + 2 * bytes.len() as u64);
}

/// The payload of a proof, whatever it says.
fn proof(height: i64, len: i32, bytes: &[u8]) -> Vec<u8> {
    [&height.to_le_bytes()[..], &[2; 33], &len.to_le_bytes(), bytes].concat()
}

#[test]
fn a_transaction_cut_short_or_with_something_behind_it() {
    let whole = transaction(1);
    for len in [1, 90, 154] {
        malformed(MessageType::TRANSACTION, &whole[..len]);
    }
    malformed(MessageType::TRANSACTION, &[&whole[..], &[0]].concat());
    malformed(MessageType::TRANSACTION, &[]);
}

#[test]
fn a_transaction_of_less_than_nothing() {
    for (at, number) in [(67, 0), (67, -1), (75, -1), (83, i64::MIN)] {
        let mut bytes = transaction(1);
        bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        malformed(MessageType::TRANSACTION, &bytes);
    }
}

#[test]
fn a_transaction_larger_than_any_can_be() {
    let case = Case::new().gives(&frame(MessageType::TRANSACTION, &[1; 1_048_577])[..5]);
    case.leaves(after(Charge::Frame, -10, 0), 4 * KIB);
}

#[test]
fn a_transaction_that_the_application_rejects_again_and_again_until_the_peer_is_banned() {
    let mut bytes = transaction(1);
    bytes[0] = INVALID;
    let charge = Charge::Invalid(MessageType::TRANSACTION);
    let mut case = Case::new();
    for _ in 0..4 {
        case = case.gives_message(&Transaction { bytes: &bytes });
    }
    // It is looked at once.
    case = case.leaves(after(charge, -8, 1), 16 * KIB);
    case.gives_message(&Transaction { bytes: &bytes }).leaves(after(charge, -10, 1), 16 * KIB);
}

#[test]
fn variants_of_a_transaction_that_the_application_rejects() {
    let mut case = Case::new();
    for variant in 0..4 {
        let mut bytes = transaction(1);
        (bytes[0], bytes[154]) = (INVALID, variant);
        case = case.gives_message(&Transaction { bytes: &bytes });
    }
    case.leaves(after(Charge::Invalid(MessageType::TRANSACTION), -8, 4), 16 * KIB);
}

#[test]
fn the_same_transaction_a_thousand_times() {
    let frame = Frame::encode(&Transaction { bytes: &transaction(1) }).unwrap();
    let mut case = Case::new();
    for _ in 0..1000 {
        case = case.gives(frame.bytes());
    }
    case.leaves(after(Charge::Nothing, 0, 1), 16 * KIB);
}

#[test]
fn a_flood_of_new_transactions() {
    let frames: Vec<u8> =
        (0..2000).flat_map(|it| frame(MessageType::TRANSACTION, &transaction(it))).collect();
    // What is over the rate is dropped, and no offence.
    Case::new().gives(&frames).leaves(after(Charge::Nothing, 0, 100), 800 * KIB);
}

#[test]
fn a_block_too_short_for_a_header() {
    let whole = block(500);
    for len in [1, 225, 289] {
        no_block(&whole[..len]);
    }
}

#[test]
fn a_block_with_numbers_below_zero() {
    for at in [33, 41, 49, 57] {
        let mut bytes = block(500);
        bytes[at..at + 8].copy_from_slice(&(-1_i64).to_le_bytes());
        no_block(&bytes);
    }
}

#[test]
fn a_block_of_nothing() {
    malformed(MessageType::BLOCK, &[]);
    malformed(MessageType::NEW_BLOCK, &[]);
}

#[test]
fn a_block_larger_than_any_can_be() {
    let case = Case::new().gives(&[&16_777_217_u32.to_le_bytes()[..], &[0x31]].concat());
    case.leaves(after(Charge::Frame, -10, 0), 4 * KIB);
}

#[test]
fn a_block_whose_header_is_of_other_transactions() {
    let mut bytes = block(2000);
    bytes[310] ^= 1;
    bad_block(&bytes);
}

#[test]
fn a_block_with_something_behind_it_or_too_little() {
    let bytes = block(2000);
    bad_block(&[&bytes[..], &[0]].concat());
    bad_block(&bytes[..bytes.len() - 1]);
}

#[test]
fn a_block_that_claims_more_transactions_than_any_has() {
    for count in [-1, i32::MIN, i32::MAX, 1_000_000] {
        let mut bytes = block(2000);
        bytes[290..294].copy_from_slice(&i32::to_le_bytes(count));
        bad_block(&bytes);
    }
}

#[test]
fn another_signature_around_a_block_that_was_accepted() {
    let bytes = block(500);
    let mut padded = bytes.clone();
    padded[289] ^= 1;
    let case = Case::new().gives_message(&NewBlock { bytes: &bytes });
    let mut case = case.gives_message(&NewBlock { bytes: &padded });
    assert!(case.sent().is_empty());
    // The block was of use.
    case.leaves(after(Charge::Nothing, 1, 1), 16 * KIB);
}

#[test]
fn half_a_block_is_nothing_yet() {
    let frame = Frame::encode(&NewBlock { bytes: &block(60_000) }).unwrap();
    let (half, rest) = frame.bytes().split_at(30_000);
    let case = Case::new().gives(half).leaves(after(Charge::Nothing, 0, 0), 64 * KIB);
    case.gives(rest).leaves(after(Charge::Nothing, 1, 1), 192 * KIB);
}

#[test]
fn a_bad_block_of_a_version_1_node() {
    let mut bytes = block(2000);
    bytes[310] ^= 1;
    let case = Case::version_1().gives_message(&NewBlock { bytes: &bytes });
    let charge = Charge::Unchecked(MessageType::NEW_BLOCK);
    let case = case.leaves(after(charge, -1, 1), 16 * KIB);
    case.gives_payload(MessageType::BLOCK, &[0xff; 400]).leaves(after(charge, -2, 1), 16 * KIB);
}

#[test]
fn a_proof_of_nothing_or_of_less() {
    for len in [0, -1, i32::MIN] {
        malformed(PROOF, &proof(1, len, &[]));
    }
}

#[test]
fn a_proof_longer_than_what_is_there() {
    malformed(PROOF, &proof(1, 4, &[1, 2, 3]));
    malformed(PROOF, &proof(1, i32::MAX, &[1, 2, 3]));
    malformed(PROOF, &proof(1, 3, &[1, 2, 3])[..44]);
}

#[test]
fn a_proof_with_something_behind_it() {
    malformed(PROOF, &proof(1, 3, &[1, 2, 3, 4]));
}

#[test]
fn a_proof_for_a_height_below_zero() {
    malformed(PROOF, &proof(-1, 3, &[1, 2, 3]));
}

#[test]
fn a_proof_that_the_application_rejects() {
    let proof = ProofSubmission { block_height: INVALID.into(), miner_id: [2; 33], proof: &[1; 100] };
    Case::new().gives_message(&proof).leaves(after(Charge::Invalid(PROOF), -2, 1), 16 * KIB);
}

#[test]
fn news_of_a_block_cut_short_or_with_something_behind_it_or_of_a_height_below_zero() {
    let accepted = MessageType::BLOCK_ACCEPTED;
    malformed(accepted, &[1; 39]);
    malformed(accepted, &[&[1; 32][..], &(-1_i64).to_le_bytes()].concat());
    let too_long = Case::new().gives_payload(accepted, &[1; 41]);
    too_long.leaves(after(Charge::Frame, -10, 0), 4 * KIB);
}
