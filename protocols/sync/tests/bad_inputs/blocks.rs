//! Blocks that were asked for, and those that were not.

use super::*;

const BLOCK: MessageType = MessageType::BLOCK;

/// A block with the hash that was asked for which is a bad one.
#[track_caller]
fn bad_block(good: &[u8], bad: &[u8], why: InvalidObject) {
    bad_block_within(good, bad, why, 4 * KIB + 3 * bad.len() as u64 / 2);
}

#[track_caller]
fn bad_block_within(good: &[u8], bad: &[u8], why: InvalidObject, max_bytes: u64) {
    assert_eq!(info(good).hash, info(bad).hash, "it is the block that was asked for");
    let case = Case::asked_for(&[good.to_vec()]).gives_block(bad);
    case.leaves(after(Charge::InvalidBlock(why), -10, 0), max_bytes);
}

/// A block that is not the one that was asked for.
#[track_caller]
fn other_block(bytes: &[u8]) {
    let case = Case::asked_for(&blocks(1)).gives_payload(BLOCK, bytes);
    case.leaves(after(Charge::Unsolicited(BLOCK), -2, 0), 6 * KIB);
}

#[test]
fn the_good_block_is_taken() {
    let all = blocks(1);
    Case::asked_for(&all).gives_block(&all[0]).leaves(after(Charge::Nothing, 0, 1), 4 * KIB);
}

#[test]
fn a_block_with_other_transactions_than_its_header_says() {
    let good = &blocks(1)[0];
    let mut bad = good.clone();
    bad[310] ^= 1;
    bad_block(good, &bad, InvalidObject::Transactions);
}

#[test]
fn a_block_that_the_application_refuses() {
    let good = &blocks(1)[0];
    let mut bad = good.clone();
    bad[226] = INVALID;
    bad_block(good, &bad, InvalidObject::Refused);
}

#[test]
fn a_block_cut_short_or_with_something_behind_it() {
    let good = &blocks(1)[0];
    let longer = [&good[..], &[0]].concat();
    for bad in [&good[..good.len() - 1], &longer] {
        let why = rules().check_block(bad).unwrap_err();
        bad_block(good, bad, why);
    }
}

#[test]
fn a_block_that_is_padded_to_a_mebibyte() {
    let good = &blocks(1)[0];
    let mut bad = good.clone();
    bad.resize(1 << 20, 0);
    let why = rules().check_block(&bad).unwrap_err();
    // A buffer that has grown once too often, and it.
    bad_block_within(good, &bad, why, 2200 * KIB);
}

#[test]
fn a_block_of_less_than_no_transactions() {
    let good = &blocks(1)[0];
    for count in [-1, i32::MIN, i32::MAX] {
        let mut bad = good.clone();
        bad[HEADER_BYTES..HEADER_BYTES + 4].copy_from_slice(&count.to_le_bytes());
        let why = rules().check_block(&bad).unwrap_err();
        bad_block(good, &bad, why);
    }
}

#[test]
fn a_block_of_nothing_or_of_a_header_alone() {
    let good = &blocks(1)[0];
    for len in [0, 1, 225, HEADER_BYTES] {
        other_block(&good[..len]);
    }
}

#[test]
fn another_block_than_was_asked_for() {
    let all = blocks(2);
    other_block(&all[1]);
    other_block(&development_genesis());
}

#[test]
fn a_block_larger_than_any_can_be() {
    let length = (16_777_217_u32).to_le_bytes();
    let case = Case::asked_for(&blocks(1)).gives(&[&length[..], &[BLOCK.byte()]].concat());
    case.leaves(after(Charge::Frame, -10, 0), 4 * KIB);
}

#[test]
fn the_largest_block_of_which_nothing_comes() {
    let length = (16_777_216_u32).to_le_bytes();
    let case = Case::asked_for(&blocks(1)).gives(&[&length[..], &[BLOCK.byte()], &[0; 100]].concat());
    // What is claimed is not reserved.
    case.leaves(after(Charge::Nothing, 0, 0), 65 * KIB);
}

#[test]
fn a_block_twice() {
    let all = blocks(1);
    let case = Case::asked_for(&all).gives_block(&all[0]).gives_block(&all[0]);
    case.leaves(after(Charge::Unsolicited(BLOCK), -2, 1), 6 * KIB);
}

#[test]
fn a_block_that_is_asked_for_later() {
    let all = blocks(10);
    let case = Case::asked_for(&all).gives_block(&all[9]);
    case.leaves(after(Charge::Unsolicited(BLOCK), -2, 0), 6 * KIB);
}

#[test]
fn blocks_in_another_order_than_they_were_asked_for() {
    let all = blocks(2);
    let case = Case::asked_for(&all).gives_block(&all[1]).gives_block(&all[0]);
    case.leaves(after(Charge::Nothing, 0, 2), 6 * KIB);
}

#[test]
fn no_block_at_all() {
    let case = Case::asked_for(&blocks(2)).waits(40 * SECOND);
    // However many it was asked for.
    case.leaves(after(Charge::NoAnswer(BLOCK), -1, 0), 4 * KIB);
}

#[test]
fn a_bad_block_behind_good_ones() {
    let all = blocks(3);
    let mut bad = all[1].clone();
    bad[226] = INVALID;
    let case = Case::asked_for(&all).gives_block(&all[0]).gives_block(&bad);
    case.leaves(after(Charge::InvalidBlock(InvalidObject::Refused), -10, 1), 4 * KIB);
}
