//! What peers ask for.

use super::*;

#[track_caller]
fn malformed(message_type: MessageType, payload: &[u8]) {
    let mut case = Case::new().gives_payload(message_type, payload);
    assert!(case.sent().is_empty(), "it is not answered");
    case.leaves(after(Charge::Malformed(message_type), -2, 0), 4 * KIB + 2 * payload.len() as u64);
}

#[test]
fn a_question_for_no_items_or_for_others_than_are_named() {
    for message_type in [MessageType::FETCH, MessageType::NOT_FOUND] {
        malformed(message_type, &[]);
        malformed(message_type, &0_i32.to_le_bytes());
        for count in [2, -1, i32::MIN, i32::MAX] {
            malformed(message_type, &[&i32::to_le_bytes(count)[..], &[1; 32]].concat());
        }
        malformed(message_type, &[&1_i32.to_le_bytes()[..], &[1; 33]].concat());
    }
}

#[test]
fn a_question_for_501_items() {
    let length = (4 + 501 * 32 + 1_u32).to_le_bytes();
    let case = Case::new().gives(&[&length[..], &[MessageType::FETCH.byte()]].concat());
    case.leaves(after(Charge::Frame, -10, 0), 4 * KIB);
}

#[test]
fn questions_without_end_for_what_is_not_there() {
    let ids: Vec<_> = (0..500_u32).map(|number| Hash::of(&number.to_le_bytes())).collect();
    let mut case = Case::new();
    for _ in 0..50 {
        case = case.gives_message(&Fetch { hashes: Hashes::from(&*ids) });
        assert_eq!(case.sent(), [MessageType::NOT_FOUND]);
    }
    case.leaves(after(Charge::Nothing, 0, 0), 256 * KIB);
}

#[test]
fn a_question_about_the_pool_for_none_or_with_a_flag_that_is_none() {
    let pool = MessageType::TX_POOL_REQUEST;
    for max in [0, -1, i32::MIN] {
        malformed(pool, &[&i32::to_le_bytes(max)[..], &[0]].concat());
    }
    malformed(pool, &[&1_i32.to_le_bytes()[..], &[2]].concat());
    malformed(pool, &1_i32.to_le_bytes());
}

#[test]
fn questions_about_the_pool_without_end() {
    let mut case = Case::new().gives_message(&Transaction { bytes: &transaction(1) });
    let mut answers = 0;
    for _ in 0..100 {
        case = case.gives_message(&TxPoolRequest { max_transactions: i32::MAX, include_data: false });
        answers += case.sent().len();
    }
    assert_eq!(answers, 1);
    case.leaves(after(Charge::Nothing, 0, 1), 16 * KIB);
}

#[test]
fn hashes_of_a_pool_that_nobody_asked_about_or_of_none() {
    malformed(MessageType::POOL_HASHES, &[1, 0, 0, 0]);
    malformed(MessageType::POOL_HASHES, &[0xff; 36]);
    let case =
        Case::new().gives_payload(MessageType::POOL_HASHES, &[&2_i32.to_le_bytes()[..], &[1; 64]].concat());
    case.leaves(after(Charge::Nothing, 0, 0), 4 * KIB);
}
