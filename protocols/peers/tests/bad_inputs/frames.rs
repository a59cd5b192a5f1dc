//! Bytes that are no Peers, no GetPeers, or no frame.

use super::*;

const MALFORMED_PEERS: Verdict = Verdict::Malformed(MessageType::PEERS);
const MALFORMED_QUESTION: Verdict = Verdict::Malformed(MessageType::GET_PEERS);

#[track_caller]
fn malformed_peers(payload: &[u8]) {
    for case in [Case::inbound(), Case::asked()] {
        let case = case.gives_payload(MessageType::PEERS, payload);
        case.leaves(after(MALFORMED_PEERS, -2, 0), 4 * KIB + 2 * payload.len() as u64);
    }
}

#[track_caller]
fn malformed_question(payload: &[u8]) {
    let mut case = Case::inbound().shares(&addresses(3)).gives_payload(MessageType::GET_PEERS, payload);
    assert!(case.told().is_empty(), "it is not answered");
    case.leaves(after(MALFORMED_QUESTION, -2, 0), 4 * KIB + 2 * payload.len() as u64);
}

#[track_caller]
fn no_frame(bytes: &[u8]) {
    let case = Case::inbound().gives(bytes);
    case.leaves(After { is_open: false, ..after(Verdict::Frame, -10, 0) }, 4 * KIB);
}

#[test]
fn a_list_of_1001() {
    let entries: Vec<_> = (0..1001).map(|_| entry(4, &[9, 9, 9, 9], 8333)).collect();
    malformed_peers(&peers_payload(1001, &entries.iter().map(Vec::as_slice).collect::<Vec<_>>()));
}

#[test]
fn a_list_cut_short() {
    let whole = peers_payload(2, &[&entry(4, &[9, 9, 9, 9], 1), &entry(16, &[0x2a; 16], 2)]);
    for len in 0..whole.len() {
        let case = Case::inbound().gives_payload(MessageType::PEERS, &whole[..len]);
        case.leaves(after(MALFORMED_PEERS, -2, 0), 4 * KIB);
    }
}

#[test]
fn a_count_beyond_the_content() {
    malformed_peers(&peers_payload(1000, &[&entry(4, &[9, 9, 9, 9], 1)]));
}

#[test]
fn a_count_below_the_content() {
    malformed_peers(&peers_payload(1, &[&entry(4, &[9, 9, 9, 9], 1), &entry(4, &[9, 9, 9, 8], 1)]));
}

#[test]
fn a_negative_count() {
    for count in [-1, i32::MIN] {
        malformed_peers(&peers_payload(count, &[]));
    }
}

#[test]
fn one_byte_too_many() {
    malformed_peers(&peers_payload(1, &[&entry(4, &[9, 9, 9, 9], 1), &[0]]));
}

#[test]
fn an_address_of_another_length() {
    for len in [0, 5, 15, 17, -4, i32::MAX, i32::MIN] {
        malformed_peers(&peers_payload(1, &[&entry(len, &[9; 16], 1)]));
    }
}

#[test]
fn a_port_that_is_none() {
    for port in [65_536, -1, i32::MAX, i32::MIN] {
        malformed_peers(&peers_payload(1, &[&entry(4, &[9, 9, 9, 9], port)]));
    }
}

#[test]
fn a_question_for_none_or_too_many() {
    for max_count in [0, -1, 1001, i32::MAX, i32::MIN] {
        malformed_question(&question_payload(max_count, 0, &[]));
    }
}

#[test]
fn more_exclusions_than_there_are_or_may_be() {
    malformed_question(&question_payload(10, 2, b"\x099.9.9.9:1"));
    malformed_question(&question_payload(10, 1001, &[0; 1001][..]));
    malformed_question(&question_payload(10, -1, &[]));
    malformed_question(&question_payload(10, i32::MAX, &[]));
}

#[test]
fn an_exclusion_that_is_no_text() {
    malformed_question(&question_payload(10, 1, b"\x03\xff\xfe\xfd"));
}

#[test]
fn an_exclusion_longer_than_what_is_there() {
    malformed_question(&question_payload(10, 1, b"\x7f9.9.9.9:1"));
    // Lengths of five bytes, of more, and below zero.
    malformed_question(&question_payload(10, 1, &[0xff, 0xff, 0xff, 0xff, 0x07]));
    malformed_question(&question_payload(10, 1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0x01]));
    malformed_question(&question_payload(10, 1, &[0xff, 0xff, 0xff, 0xff, 0x0f]));
}

#[test]
fn a_question_with_something_behind_it() {
    malformed_question(&question_payload(10, 0, b"x"));
}

#[test]
fn a_list_larger_than_any_can_be() {
    no_frame(&frame(MessageType::PEERS, &[0; 24_005])[..100]);
}

#[test]
fn a_question_larger_than_any_can_be() {
    no_frame(&[&200_001_u32.to_le_bytes()[..], &[MessageType::GET_PEERS.byte()]].concat());
}

#[test]
fn a_length_that_is_none() {
    for length in [0, -1, i32::MIN, i32::MAX, 16_777_217] {
        no_frame(&[&i32::to_le_bytes(length)[..], &[MessageType::PEERS.byte()], &[0; 20]].concat());
    }
}

#[test]
fn a_type_that_nobody_knows() {
    no_frame(&frame(MessageType::from_byte(0x7e), b"hello"));
}

#[test]
fn half_a_frame_is_nothing_yet() {
    let frame = Frame::encode(&PeersMessage::new(&addresses(1000))).unwrap();
    let half = &frame.bytes()[..frame.bytes().len() / 2];
    let case = Case::inbound().gives(half).leaves(after(Verdict::Nothing, 0, 0), 24 * KIB);
    let rest = &frame.bytes()[half.len()..];
    case.gives(rest).leaves(after(Verdict::Nothing, 0, 20), 44 * KIB);
}

#[test]
fn malformed_lists_again_and_again_until_the_peer_is_banned() {
    let mut case = Case::inbound();
    for _ in 0..4 {
        case = case.gives_payload(MessageType::PEERS, &[]);
    }
    case = case.leaves(after(MALFORMED_PEERS, -8, 0), 4 * KIB);
    case = case.gives_payload(MessageType::PEERS, &[]).gives_payload(MessageType::PEERS, &[]);
    case.leaves(after(MALFORMED_PEERS, -10, 0), 4 * KIB);
}
