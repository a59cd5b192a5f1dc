//! What peers say that they have.

use super::*;

const ANNOUNCE: MessageType = MessageType::ANNOUNCE;

#[track_caller]
fn malformed(payload: &[u8]) {
    let mut case = Case::new().gives_payload(ANNOUNCE, payload);
    assert!(case.sent().is_empty(), "nothing is asked for");
    case.leaves(after(Charge::Malformed(ANNOUNCE), -2, 0), 4 * KIB + 2 * payload.len() as u64);
}

/// The payload of an announcement of so many items, whatever they are.
fn payload(count: i32, items: &[u8]) -> Vec<u8> {
    [&count.to_le_bytes()[..], items].concat()
}

/// One item.
fn item(message_type: u8, bytes: i32) -> Vec<u8> {
    [&[message_type][..], &bytes.to_le_bytes(), &[9; 32]].concat()
}

fn made_up(number: u32) -> Announced {
    let id = Hash::of(&number.to_le_bytes());
    Announced { message_type: MessageType::TRANSACTION, payload_bytes: 155, id }
}

#[test]
fn an_announcement_of_nothing() {
    malformed(&[]);
    malformed(&payload(0, &[]));
}

#[test]
fn an_announcement_of_501_items() {
    let length = (payload(501, &item(0x30, 155).repeat(501)).len() as u32 + 1).to_le_bytes();
    let case = Case::new().gives(&[&length[..], &[ANNOUNCE.byte()]].concat());
    case.leaves(after(Charge::Frame, -10, 0), 4 * KIB);
}

#[test]
fn a_count_of_items_that_is_not_theirs() {
    for count in [2, 500, -1, i32::MIN, i32::MAX] {
        malformed(&payload(count, &item(0x30, 155)));
    }
    malformed(&payload(1, &item(0x30, 155).repeat(2)));
    malformed(&payload(1, &item(0x30, 155)[..36]));
}

#[test]
fn an_item_of_a_type_that_is_none() {
    for message_type in [0x00, 0x33, 0x50, 0x99] {
        malformed(&payload(1, &item(message_type, 100)));
    }
}

#[test]
fn an_item_of_a_type_that_nobody_relays_is_nothing_to_ask_for() {
    let mut case = Case::new().gives_payload(ANNOUNCE, &payload(1, &item(0x11, 100)));
    assert!(case.sent().is_empty());
    case.leaves(after(Charge::Nothing, 0, 0), 4 * KIB);
}

#[test]
fn an_item_of_a_size_that_it_cannot_have() {
    for (message_type, bytes) in [(0x30, 0), (0x30, -1), (0x30, 1_048_577), (0x31, 16_777_216), (0x41, 41)] {
        malformed(&payload(1, &item(message_type, bytes)));
    }
}

#[test]
fn an_item_of_another_size_than_it_was_announced_with() {
    let bytes = block(5000);
    let item = Item::block(&bytes).unwrap();
    let said =
        |payload_bytes| Announced { message_type: MessageType::NEW_BLOCK, payload_bytes, id: item.id() };
    for payload_bytes in [1, bytes.len() as u32 + 1, 16_777_215] {
        let case = Case::new().gives_message(&Announce::new(&[said(payload_bytes)]));
        // The item itself was of use.
        case.gives(item.frame().bytes()).leaves(after(Charge::FalseSize, -1, 1), 32 * KIB);
    }
}

#[test]
fn a_flood_of_items_that_do_not_exist() {
    let mut case = Case::new();
    for message in 0..20 {
        let items: Vec<_> = (message * 500..(message + 1) * 500).map(made_up).collect();
        case = case.gives_message(&Announce::new(&items));
    }
    assert_eq!(case.lone.behaviour().relay.fetches(), 100);
    let charge = Charge::NoAnswer(MessageType::TRANSACTION);
    case.waits(SECOND * 4).leaves(after(charge, -1, 0), 96 * KIB);
}

#[test]
fn the_same_announcement_again_and_again_and_never_the_item() {
    let mut case = Case::new();
    for _ in 0..4 {
        for _ in 0..100 {
            case = case.gives_message(&Announce::new(&[made_up(1)]));
        }
        assert_eq!(case.sent(), [MessageType::FETCH], "it is asked for once");
        case = case.waits(SECOND * 4);
    }
    case.leaves(after(Charge::NoAnswer(MessageType::TRANSACTION), -4, 0), 8 * KIB);
}

#[test]
fn that_something_is_not_there_which_nobody_asked_for() {
    let ids: Vec<_> = (0..500_u32).map(|number| made_up(number).id).collect();
    let case = Case::new().gives_message(&NotFound { hashes: Hashes::from(&*ids) });
    case.leaves(after(Charge::Nothing, 0, 0), 64 * KIB);
}
