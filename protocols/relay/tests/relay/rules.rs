//! What of version 1 is relayed, and how urgent it is.

use spacetime_core::wire::{Message, Priority};

use super::*;

/// A frame with something of each type that is relayed.
fn example(message_type: MessageType) -> Option<Frame> {
    fn frame(message: &impl Message) -> Option<Frame> {
        Some(Frame::encode(message).unwrap())
    }
    match message_type {
        MessageType::BLOCK => frame(&Block { bytes: &block(1, 500) }),
        MessageType::NEW_BLOCK => frame(&NewBlock { bytes: &block(1, 500) }),
        MessageType::TRANSACTION => frame(&Transaction { bytes: &transaction(1) }),
        MessageType::PROOF_SUBMISSION => frame(&proof(1, &[1])),
        MessageType::BLOCK_ACCEPTED => frame(&BlockAccepted { hash: Hash([1; 32]), height: 1 }),
        _ => None,
    }
}

#[test]
fn what_the_relay_rules_of_version_1_say_holds_for_each_type() {
    let rules: serde_json::Value = serde_json::from_str(include_str!("../vectors/relay_rules.json")).unwrap();
    let rules = rules.as_array().unwrap();
    assert_eq!(rules.len(), MessageType::VERSION_1.len());
    for rule in rules {
        let byte = u8::from_str_radix(rule["type_hex"].as_str().unwrap(), 16).unwrap();
        let message_type = MessageType::from_byte(byte);
        assert_eq!(message_type.name(), rule["type"].as_str());
        let value = rule["priority_value"].as_u64().unwrap() as usize;
        assert_eq!(Priority::ALL[3 - value], message_type.priority(), "{message_type}");
        assert_eq!(rule["priority"], format!("{:?}", message_type.priority()), "{message_type}");

        let is_relayed = rule["relayed"].as_bool().unwrap();
        assert_eq!(Kind::of(message_type).is_some(), is_relayed, "{message_type}");
        let Some(frame) = example(message_type) else {
            assert!(!is_relayed, "{message_type}");
            continue;
        };
        let mut case = Case::new(Config::default());
        let [sender] = case.peers();
        let old = case.connect_version_1("9.9.9.9:1");
        case.lone.give_bytes(sender, frame.bytes());
        let [(item, _)] = case.received().try_into().unwrap();
        case.decide(&item, Verdict::Accept);
        let [(sent, payload)] = case.lone.sent(old).try_into().unwrap();
        assert_eq!((Kind::of(sent), &*payload), (Kind::of(message_type), frame.payload()));
        assert!(case.sent(sender).is_empty());
    }
}
