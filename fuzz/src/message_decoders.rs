//! Every message: what decodes encodes to the same bytes, and travels.

use std::hint::black_box;

use spacetime_core::wire::{
    Announcement, AnyMessage, EncodeError, Extension, FRAME_HEADER, FrameReader, MAX_ADDRESSES, MAX_HEADERS,
    MessageType, ReadStep, validate,
};

use super::frames::version_1_rules;

/// `u8 type | payload`. Type 00, which no message has, is the extension of a Handshake by itself.
pub fn message_decoders(data: &[u8]) {
    let Some((type_byte, payload)) = data.split_first() else {
        return;
    };
    if *type_byte == 0 {
        return read_extension(payload);
    }
    let message_type = MessageType::from_byte(*type_byte);
    let message = match AnyMessage::decode(message_type, payload) {
        Ok(message) => message,
        Err(error) => {
            assert_eq!(validate(message_type, payload), Err(error));
            assert!(!error.to_string().is_empty(), "it says why");
            return;
        }
    };
    assert_eq!(validate(message_type, payload), Ok(()));
    assert_eq!(message.message_type(), message_type);

    let mut encoded = Vec::new();
    assert_eq!(message.encode(&mut encoded), Ok(()), "{message:?}");
    assert_eq!(message.encoded_len(), encoded.len(), "{message:?}");
    if message_type == MessageType::HANDSHAKE_ACK || message_type == MessageType::HEARTBEAT {
        assert!(encoded.is_empty(), "their payloads are ignored");
    } else {
        assert_eq!(encoded, payload, "{message:?}");
    }
    travel(&message, &encoded);
    look_inside(&message);
}

/// What can be encoded is taken by a reader, and is the same message there.
fn travel(message: &AnyMessage<'_>, payload: &[u8]) {
    let sent = message.to_frame().unwrap_or_else(|error| panic!("{message:?}: {error}"));
    assert_eq!(sent.len(), FRAME_HEADER + payload.len());
    let mut reader = FrameReader::new(version_1_rules(), 1024);
    reader.set_established();
    reader.push(sent.bytes());
    let Ok(ReadStep::Frames(batch)) = reader.poll_frames() else {
        panic!("{message:?} is refused by a reader");
    };
    let received: Vec<_> = batch.collect();
    assert_eq!(received, [sent]);
    let decoded = AnyMessage::decode(message.message_type(), received[0].payload());
    assert_eq!(decoded.as_ref(), Ok(message));
    assert_eq!(reader.finish(), Ok(()));
}

/// The parts of a message that are read when somebody asks for them.
fn look_inside(message: &AnyMessage<'_>) {
    match message {
        AnyMessage::Handshake(it) => {
            assert!(!it.node_id.trim().is_empty() && !it.user_agent.trim().is_empty());
            if let Some(extension) = it.extension {
                read_announcement(extension);
            }
        }
        AnyMessage::GetPeers(it) => {
            assert_eq!(it.exclude.iter().count(), it.exclude.len());
            assert!(it.exclude.len() <= MAX_ADDRESSES);
            for text in it.exclude.iter() {
                read_address(text);
            }
        }
        AnyMessage::Peers(it) => {
            assert_eq!(it.iter().count(), it.len());
            assert!(it.len() <= MAX_ADDRESSES);
        }
        AnyMessage::Headers(it) => {
            assert_eq!(it.iter().count(), it.len());
            assert!(it.len() <= MAX_HEADERS);
        }
        _ => {}
    }
}

/// What prints as an address parses as the same one.
fn read_address(text: &str) {
    if let Ok(address) = text.parse::<spacetime_core::Address>() {
        let printed = address.to_string();
        assert_eq!(printed.parse(), Ok(address), "{text} prints as {printed}");
    }
}

fn read_extension(bytes: &[u8]) {
    if let Ok(extension) = Extension::new(bytes) {
        read_announcement(extension);
    }
}

fn read_announcement(extension: Extension<'_>) {
    let keys: Vec<_> = extension.entries().map(|(key, _)| key).collect();
    assert!(keys.is_sorted_by(|a, b| a < b));
    let announcement = match Announcement::read(extension) {
        Ok(announcement) => announcement,
        Err(error) => return assert!(!error.to_string().is_empty(), "it says why"),
    };
    // Entries that are not known are gone, and so is an empty list; what is known stays.
    let bytes =
        announcement.to_bytes().unwrap_or_else(|error: EncodeError| panic!("{announcement:?}: {error}"));
    let again = Extension::new(&bytes).and_then(Announcement::read);
    assert_eq!(again.as_ref(), Ok(&announcement));
    for capability in &announcement.capabilities {
        assert!(announcement.can(&capability.name, capability.version));
    }
    black_box(announcement);
}
