//! What peers ask for.

use super::*;

#[track_caller]
fn malformed(message_type: MessageType, payload: &[u8]) {
    let mut case = Case::new().gives_payload(message_type, payload);
    assert!(case.sent().is_empty(), "it is not answered");
    case.leaves(after(Charge::Malformed(message_type), -2, 0), 4 * KIB + 2 * payload.len() as u64);
}

#[test]
fn a_question_for_a_block_by_less_or_more_than_a_hash() {
    for len in [0, 31] {
        malformed(MessageType::GET_BLOCK, &vec![1; len]);
    }
    let case = Case::new().gives_payload(MessageType::GET_BLOCK, &[1; 33]);
    case.leaves(after(Charge::Frame, -10, 0), 4 * KIB);
}

#[test]
fn a_question_for_headers_cut_short_or_with_a_flag_that_is_none() {
    let whole = [&[1; 32][..], &[0], &1_i32.to_le_bytes()].concat();
    for len in [0, 31, 32, 33, 36] {
        malformed(MessageType::GET_HEADERS, &whole[..len]);
    }
    malformed(MessageType::GET_HEADERS, &[&whole[..], &[0]].concat());
    for flag in [1, 2, 0xff] {
        malformed(MessageType::GET_HEADERS, &[&[1; 32][..], &[flag], &1_i32.to_le_bytes()].concat());
    }
}

#[test]
fn a_question_for_no_headers_or_for_less() {
    for max in [0, -1, i32::MIN] {
        malformed(MessageType::GET_HEADERS, &[&[1; 32][..], &[0], &max.to_le_bytes()].concat());
    }
}

#[test]
fn a_question_that_names_no_block_or_others_than_it_counts() {
    let frame = Frame::encode(&Locate { locator: [Hash([1; 32])][..].into(), max_headers: 10 }).unwrap();
    let whole = frame.payload();
    for len in 0..whole.len() {
        malformed(MessageType::LOCATE, &whole[..len]);
    }
    malformed(MessageType::LOCATE, &[whole, &[0]].concat());
}

#[test]
fn a_question_that_names_102_blocks() {
    let hashes = [Hash([1; 32]); 101];
    let frame = Frame::encode(&Locate { locator: Hashes::from(&hashes[..]), max_headers: 10 }).unwrap();
    let length = (frame.payload().len() as u32 + 32 + 1).to_le_bytes();
    let case = Case::new().gives(&[&length[..], &[MessageType::LOCATE.byte()]].concat());
    case.leaves(after(Charge::Frame, -10, 0), 4 * KIB);
}

#[test]
fn questions_without_end_for_blocks_that_are_not_there() {
    let question = Frame::encode(&GetBlock { hash: Hash([1; 32]) }).unwrap();
    let mut case = Case::new();
    for _ in 0..10_000 {
        case = case.gives(question.bytes());
    }
    assert!(case.sent().is_empty(), "there is no answer to give");
    case.leaves(after(Charge::Nothing, 0, 0), 4 * KIB);
}

#[test]
fn more_questions_at_a_time_than_may_wait() {
    let question = Frame::encode(&GetBlock { hash: Hash([1; 32]) }).unwrap();
    let many = question.bytes().repeat(260);
    // One is being read, 256 wait, and 3 are over.
    let case = Case::new().gives(&many);
    case.leaves(after(Charge::TooMuch, -6, 0), 128 * KIB);
}

#[test]
fn more_names_in_questions_at_a_time_than_may_wait() {
    let hashes = [Hash([1; 32]); 101];
    let question = Frame::encode(&Locate { locator: Hashes::from(&hashes[..]), max_headers: 10 }).unwrap();
    // One is being read, five are 505 names, and one is over.
    let case = Case::new().gives(&question.bytes().repeat(7));
    case.leaves(after(Charge::TooMuch, -2, 0), 96 * KIB);
}

#[test]
fn a_question_for_all_headers_that_there_can_be() {
    let question = GetHeaders { locator: Hash::ZERO, stop: Some(Hash([1; 32])), max_headers: i32::MAX };
    let mut case = Case::new().gives_message(&question);
    assert_eq!(case.sent(), [MessageType::HEADERS]);
    case.leaves(after(Charge::Nothing, 0, 0), 4 * KIB);
}
