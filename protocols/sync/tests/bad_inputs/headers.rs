//! Headers that were asked for, and those that were not.

use super::*;

const HEADERS: MessageType = MessageType::HEADERS;

#[track_caller]
fn malformed(payload: &[u8]) {
    let case = Case::new().gives_payload(HEADERS, payload);
    case.leaves(after(Charge::Malformed(HEADERS), -2, 0), 6 * KIB + 2 * payload.len() as u64);
}

/// The last of these headers is bad.
#[track_caller]
fn bad_header(headers: &[Vec<u8>]) {
    let bytes: usize = headers.iter().map(Vec::len).sum();
    let case = Case::new().gives_headers(headers);
    case.leaves(after(Charge::InvalidHeader, -10, 0), 5 * KIB + 2 * bytes as u64);
}

/// The payload of a Headers, whatever it says.
fn payload(count: i32, headers: &[&[u8]]) -> Vec<u8> {
    let mut payload = count.to_le_bytes().to_vec();
    for header in headers {
        payload.extend((header.len() as i32).to_le_bytes());
        payload.extend_from_slice(header);
    }
    payload
}

#[test]
fn a_list_cut_short_or_with_something_behind_it() {
    let header = &headers(&blocks(1))[0];
    let whole = payload(1, &[header]);
    for len in [0, 3, 4, 7, 8, whole.len() - 1] {
        malformed(&whole[..len]);
    }
    malformed(&[&whole[..], &[0]].concat());
}

#[test]
fn a_list_of_more_headers_than_there_are_or_of_less_than_none() {
    let header = &headers(&blocks(1))[0];
    for count in [2, 2000, 2001, -1, i32::MIN, i32::MAX] {
        malformed(&payload(count, &[header]));
    }
}

#[test]
fn a_header_of_a_length_that_is_none() {
    for length in [-1, i32::MIN, i32::MAX, 10_485_761] {
        malformed(&[&1_i32.to_le_bytes()[..], &length.to_le_bytes(), &[0; 290]].concat());
    }
}

#[test]
fn a_list_larger_than_any_can_be() {
    let length = (4 + 2000 * (4 + 290) + 2_u32).to_le_bytes();
    let case = Case::new().gives(&[&length[..], &[HEADERS.byte()]].concat());
    case.leaves(after(Charge::Frame, -10, 0), 4 * KIB);
}

#[test]
fn a_header_that_is_too_short_or_too_long() {
    let header = &headers(&blocks(1))[0];
    for len in [0, 1, 226, 289] {
        bad_header(&[header[..len].to_vec()]);
    }
    bad_header(&[[&header[..], &[0]].concat()]);
}

#[test]
fn a_header_with_numbers_below_zero() {
    for at in [33, 41, 49, 57] {
        let mut header = headers(&blocks(1)).remove(0);
        header[at..at + 8].copy_from_slice(&(-1_i64).to_le_bytes());
        bad_header(&[header]);
    }
}

#[test]
fn a_header_that_follows_no_block_that_was_named() {
    bad_header(&headers(&blocks(3))[1..]);
    bad_header(&headers(&[development_genesis()]));
}

#[test]
fn a_list_with_a_gap_in_it_or_in_another_order() {
    let all = headers(&blocks(4));
    bad_header(&[all[0].clone(), all[2].clone()]);
    bad_header(&[all[0].clone(), all[1].clone(), all[1].clone()]);
    bad_header(&all.iter().rev().cloned().collect::<Vec<_>>());
}

#[test]
fn a_header_of_another_height_than_its_place() {
    let all = blocks(2);
    for height in [0, 1, 3, i64::MAX] {
        let second = with_header(&all[1], |header| header.height = height);
        bad_header(&headers(&[all[0].clone(), second]));
    }
}

#[test]
fn a_header_that_is_older_than_its_parent() {
    let all = blocks(2);
    let second = with_header(&all[1], |header| header.timestamp = 0);
    bad_header(&headers(&[all[0].clone(), second]));
}

#[test]
fn a_header_from_the_future() {
    for timestamp in [1_800_000_000 + 2 * 3600 + 60, i64::MAX] {
        let block = with_header(&blocks(1)[0], |header| header.timestamp = timestamp);
        let mut case = Case::new().gives_headers(&headers(&[block]));
        assert!(!case.sent().contains(&MessageType::GET_BLOCK), "it has to wait");
        // It may be our clock that is wrong.
        case.leaves(after(Charge::Nothing, 0, 0), 4 * KIB);
    }
}

#[test]
fn more_headers_than_were_asked_for() {
    let case = Case::new().gives_headers(&headers(&blocks(MAX_HEADERS + 1)));
    case.leaves(After { is_open: false, ..after(Charge::TooMuch, -2, 0) }, 96 * KIB);
}

#[test]
fn headers_that_nobody_asked_for() {
    let all = blocks(10);
    let case = Case::asked_for(&all).gives_headers(&headers(&all));
    case.leaves(after(Charge::Unsolicited(HEADERS), -2, 0), 6 * KIB);
}

#[test]
fn an_empty_list_whenever_it_is_asked() {
    let mut case = Case::new();
    let mut questions = 0;
    for _ in 0..50 {
        case = case.gives_headers(&[]).waits(20 * SECOND);
        questions += case.sent().iter().filter(|it| **it == MessageType::GET_HEADERS).count();
    }
    assert!(questions <= 52, "{questions} questions in 1000 s");
    case.leaves(after(Charge::Nothing, 0, 0), 4 * KIB);
}

#[test]
fn no_list_at_all() {
    let case = Case::new().waits(31 * SECOND);
    case.leaves(after(Charge::NoAnswer(HEADERS), -1, 0), 4 * KIB);
}

#[test]
fn headers_without_end_and_no_blocks() {
    let mut made = DevelopmentBranch::new(&development_genesis(), 1000).unwrap();
    let (mut case, mut asked, mut given) = (Case::new(), Some(16), 0);
    while let Some(count) = asked {
        let list: Vec<_> = made.by_ref().take(count).collect();
        case = case.gives_headers(&headers(&list));
        given += count;
        assert!(given <= 6000 + MAX_HEADERS, "it asks for more than it keeps");
        asked = case.asked_headers();
    }
    // As long as a whole list has room.
    assert!(given > 6000 - MAX_HEADERS, "{given} of 6000 headers that may wait");
    case.leaves(after(Charge::Nothing, 0, 0), 2000 * KIB);
}

#[test]
fn a_chain_beside_the_first_one_whenever_it_is_asked() {
    // Each time another one, so that nothing of it is known; the first blocks never come.
    let mut case = Case::asked_for(&blocks(10));
    for difficulty in 2..40 {
        let made = DevelopmentBranch::new(&development_genesis(), difficulty * 1000).unwrap();
        case = case.waits(20 * SECOND);
        if let Some(count) = case.asked_headers() {
            case = case.gives_headers(&headers(&made.take(count).collect::<Vec<_>>()));
        }
    }
    let bytes = case.max_bytes;
    assert!(bytes <= 128 * KIB, "{bytes} bytes allocated");
}
