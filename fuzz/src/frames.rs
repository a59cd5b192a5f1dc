//! Frames as a second pair of eyes sees them: cut with nothing of the product's own reader.

use std::sync::{Arc, LazyLock};

use spacetime_core::wire::{self, FrameRules, MessageType, TypeRule};

/// The type byte and the payload of the frame that `bytes` begin with, and what follows it; none if
/// it is not whole.
pub(super) fn first_frame(bytes: &[u8]) -> Option<(MessageType, &[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(i32::from_le_bytes(*length)).ok()?;
    let (body, rest) = rest.split_at_checked(length)?;
    let (type_byte, payload) = body.split_first()?;
    Some((MessageType::from_byte(*type_byte), payload, rest))
}

/// The whole frames that `bytes` begin with.
pub(super) fn frames(mut bytes: &[u8]) -> impl Iterator<Item = (MessageType, &[u8])> {
    std::iter::from_fn(move || {
        let (message_type, payload, rest) = first_frame(bytes)?;
        bytes = rest;
        Some((message_type, payload))
    })
}

/// A frame of any type with any payload.
pub(super) fn raw_frame(type_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as i32 + 1).to_le_bytes().to_vec();
    frame.push(type_byte);
    frame.extend(payload);
    frame
}

/// Takes every type of version 1.
pub(super) fn version_1_rules() -> Arc<FrameRules> {
    static RULES: LazyLock<Arc<FrameRules>> = LazyLock::new(|| {
        let rules = FrameRules::new()
            .with(TypeRule::of::<wire::Handshake<'_>>())
            .with(TypeRule::of::<wire::HandshakeAck>())
            .with(TypeRule::of::<wire::Heartbeat>())
            .with(TypeRule::of::<wire::Ping>())
            .with(TypeRule::of::<wire::Pong>())
            .with(TypeRule::of::<wire::GetPeers<'_>>())
            .with(TypeRule::of::<wire::Peers<'_>>())
            .with(TypeRule::of::<wire::GetHeaders>())
            .with(TypeRule::of::<wire::Headers<'_>>())
            .with(TypeRule::of::<wire::GetBlock>())
            .with(TypeRule::of::<wire::Block<'_>>())
            .with(TypeRule::of::<wire::Transaction<'_>>())
            .with(TypeRule::of::<wire::NewBlock<'_>>())
            .with(TypeRule::of::<wire::TxPoolRequest>())
            .with(TypeRule::of::<wire::ProofSubmission<'_>>())
            .with(TypeRule::of::<wire::BlockAccepted>())
            .with(TypeRule::of::<wire::Error<'_>>());
        assert!(MessageType::VERSION_1.iter().all(|it| rules.get(*it).is_some()), "all of version 1");
        Arc::new(rules)
    });
    Arc::clone(&RULES)
}
