//! Every case of `vectors/wire.json` against the codec.

use std::sync::Arc;

use serde_json::Value;
use spacetime_core::Hash;
use spacetime_core::wire::{
    AnyMessage, Block, BlockAccepted, EncodeError, Exclude, Frame, FrameError, FrameReader, FrameRules,
    GetHeaders, GetPeers, Handshake, Headers, Message, MessageType, NewBlock, Peers, ProofSubmission,
    ReadStep, Transaction, TxPoolRequest, validate,
};

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/wire.json")).unwrap()
}

fn cases(list: &str) -> Vec<Value> {
    vectors()[list].as_array().unwrap().clone()
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_else(|| panic!("{key} of {case}"))
}

fn bytes(case: &Value, key: &str) -> Vec<u8> {
    unhex(text(case, key))
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn message_type(case: &Value) -> MessageType {
    let message_type = MessageType::from_byte(bytes(case, "type_hex")[0]);
    assert_eq!(message_type.name(), Some(text(case, "type")));
    message_type
}

/// The fields of a message under the names of the vectors.
fn fields(message: &AnyMessage<'_>) -> Value {
    use serde_json::json;
    match message {
        AnyMessage::Handshake(it) => json!({
            "protocol_version": it.version, "timestamp": it.timestamp,
            "node_id": it.node_id, "user_agent": it.user_agent,
        }),
        AnyMessage::HandshakeAck(_) | AnyMessage::Heartbeat(_) => json!({}),
        AnyMessage::Ping(it) => json!({"nonce": it.nonce, "timestamp": it.timestamp}),
        AnyMessage::Pong(it) => json!({"nonce": it.nonce, "timestamp": it.timestamp}),
        AnyMessage::GetPeers(it) => {
            json!({"max_count": it.max_count, "exclude": it.exclude.iter().collect::<Vec<_>>()})
        }
        AnyMessage::Peers(it) => {
            let peers: Vec<_> =
                it.iter().map(|peer| json!({"ip": peer.ip().to_string(), "port": peer.port()})).collect();
            json!({"peers": peers})
        }
        AnyMessage::GetHeaders(it) => json!({
            "locator_hash": it.locator.to_string(), "stop_hash": it.stop.map(|hash| hash.to_string()),
            "max_headers": it.max_headers,
        }),
        AnyMessage::Headers(it) => json!({"headers": it.iter().map(hex).collect::<Vec<_>>()}),
        AnyMessage::GetBlock(it) => json!({"block_hash": it.hash.to_string()}),
        AnyMessage::Block(it) => json!({"block_data": hex(it.bytes)}),
        AnyMessage::NewBlock(it) => json!({"block_data": hex(it.bytes)}),
        AnyMessage::Transaction(it) => json!({"transaction_data": hex(it.bytes)}),
        AnyMessage::TxPoolRequest(it) => json!({
            "max_transactions": it.max_transactions, "include_transaction_data": it.include_data,
        }),
        AnyMessage::ProofSubmission(it) => json!({
            "block_height": it.block_height, "miner_id": hex(&it.miner_id), "proof_data": hex(it.proof),
        }),
        AnyMessage::BlockAccepted(it) => {
            json!({"block_hash": it.hash.to_string(), "block_height": it.height})
        }
        other => panic!("no fields for {other:?}"),
    }
}

/// The textual form of an IP differs between writers; the addresses must be the same.
fn normalized(mut fields: Value) -> Value {
    if let Some(peers) = fields.get_mut("peers").and_then(Value::as_array_mut) {
        for peer in peers {
            let ip: std::net::IpAddr = text(peer, "ip").parse().unwrap();
            peer["ip"] = ip.to_string().into();
        }
    }
    fields
}

/// Takes every version-1 type, as a node that runs all protocols does.
fn all_rules() -> Arc<FrameRules> {
    macro_rules! rules {
        ($($message:ty),*) => { FrameRules::new()$(.with(TypeRule::of::<$message>()))* };
    }
    use spacetime_core::wire::*;
    Arc::new(rules!(
        Handshake<'_>,
        HandshakeAck,
        Heartbeat,
        Ping,
        Pong,
        GetPeers<'_>,
        Peers<'_>,
        GetHeaders,
        Headers<'_>,
        GetBlock,
        Block<'_>,
        Transaction<'_>,
        NewBlock<'_>,
        TxPoolRequest,
        ProofSubmission<'_>,
        BlockAccepted,
        Error<'_>
    ))
}

/// Feeds `stream` in pieces of `piece` bytes and returns the frames and how it ended.
fn read(stream: &[u8], piece: usize) -> (Vec<Frame>, Result<(), FrameError>) {
    let mut reader = FrameReader::new(all_rules(), 1024);
    reader.set_established();
    let mut frames = Vec::new();
    for piece in stream.chunks(piece) {
        reader.push(piece);
        loop {
            match reader.poll_frames() {
                Ok(ReadStep::Frames(batch)) => frames.extend(batch),
                Ok(ReadStep::NeedBytes) => break,
                Ok(ReadStep::Blocked) => panic!("the reader is established"),
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    let end = reader.finish();
    (frames, end)
}

#[test]
fn valid_payloads_decode_and_encode_back_to_the_same_bytes() {
    let cases = cases("valid");
    assert_eq!(cases.len(), 65);
    for case in &cases {
        let name = text(case, "name");
        let payload = bytes(case, "payload_hex");
        let message =
            AnyMessage::decode(message_type(case), &payload).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(fields(&message), normalized(case["fields"].clone()), "{name}");

        let mut encoded = Vec::new();
        message.encode(&mut encoded).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(hex(&encoded), hex(&payload), "{name}");
        assert_eq!(message.encoded_len(), payload.len(), "{name}");
        let frame = message.to_frame().unwrap();
        assert_eq!(hex(frame.bytes()), text(case, "frame_hex"), "{name}");

        let (frames, end) = read(frame.bytes(), 7);
        assert_eq!((frames.as_slice(), end), ([frame].as_slice(), Ok(())), "{name}");

        let dedup_key =
            format!("{:02x}:{}", message.message_type().byte(), Hash::of(&payload)).to_uppercase();
        assert_eq!(dedup_key, text(case, "dedup_key"), "{name}");
    }
}

#[test]
fn invalid_payloads_are_refused_with_a_reason() {
    let cases = cases("invalid");
    assert_eq!(cases.len(), 80);
    for case in &cases {
        let name = text(case, "name");
        let error = validate(message_type(case), &bytes(case, "payload_hex")).expect_err(name);
        // A reason that a person can act on names a field and what is wrong with it.
        let reason = error.to_string();
        assert!(!error.field.is_empty() && reason.len() > error.field.len() + 5, "{name}: {reason}");
    }
}

#[test]
fn what_the_reference_tolerates_is_refused_but_for_two_ignored_payloads() {
    let cases = cases("lenient");
    assert_eq!(cases.len(), 21);
    for case in &cases {
        let name = text(case, "name");
        let message_type = message_type(case);
        let payload = bytes(case, "payload_hex");
        let ignored = matches!(message_type, MessageType::HANDSHAKE_ACK | MessageType::HEARTBEAT);
        let result = AnyMessage::decode(message_type, &payload);
        assert_eq!(result.is_ok(), ignored && payload.len() <= 1024, "{name}: {result:?}");
        if let Ok(message) = result {
            assert_eq!(message.encoded_len(), 0, "{name}");
        }
        let canonical = bytes(case, "canonical_payload_hex");
        if canonical != payload && name != "Handshake/invalid-utf8-only-is-not-blank" {
            assert_eq!(validate(message_type, &canonical), Ok(()), "canonical form of {name}");
        }
    }
}

#[test]
fn large_payloads_meet_the_limit_of_their_type() {
    let cases = cases("large");
    assert_eq!(cases.len(), 6);
    for case in &cases {
        let name = text(case, "name");
        let mut payload = bytes(case, "prefix_hex");
        let count = case["fill_count"].as_u64().unwrap() as usize;
        payload.extend(std::iter::repeat_n(bytes(case, "fill_hex")[0], count));
        assert_eq!(Hash::of(&payload).to_string(), text(case, "payload_sha256"), "{name}");

        let accept = case["expect"]["frame_decoder"] == "accept";
        let result = AnyMessage::decode(message_type(case), &payload);
        assert_eq!(result.is_ok(), accept, "{name}");

        let mut stream = bytes(case, "frame_header_hex");
        stream.extend_from_slice(&payload);
        let (frames, end) = read(&stream, 100_000);
        if let Ok(message) = result {
            assert_eq!(message.to_frame().unwrap().bytes()[..], stream[..], "{name}");
            assert_eq!((frames.len(), end), (1, Ok(())), "{name}");
            assert_eq!(frames[0].payload(), payload, "{name}");
        } else {
            assert!(frames.is_empty() && end.is_err(), "{name}");
        }
    }
}

fn encode_any<M: Message>(message: &M) -> Result<Frame, EncodeError> {
    let encoded = Frame::encode(message);
    if encoded.is_err() {
        let mut out = vec![1, 2, 3];
        assert!(message.encode(&mut out).is_err());
        assert_eq!(out, [1, 2, 3], "a refused message leaves nothing behind");
    }
    encoded
}

#[test]
fn what_cannot_be_constructed_is_not_encoded() {
    let cases = cases("constructor_invalid");
    assert_eq!(cases.len(), 19);
    let many_headers = vec![&[0_u8][..]; 2001];
    let many_texts = vec!["a:1"; 1001];
    let many_peers = vec!["127.0.0.1:1".parse().unwrap(); 1001];
    for case in &cases {
        let name = text(case, "name");
        let fields = &case["fields"];
        let number = |key: &str| fields[key].as_i64().unwrap();
        // A hash of 16 bytes cannot even be written down: the type has 32.
        let short_hash = ["locator_hash", "stop_hash", "block_hash"]
            .iter()
            .any(|key| fields[key].as_str().is_some_and(|hash| hash.parse::<Hash>().is_err()));
        let short_miner = fields["miner_id"].as_str().is_some_and(|id| id.len() != 66);
        if short_hash || short_miner {
            continue;
        }
        let result = match text(case, "type") {
            "Handshake" => encode_any(&Handshake {
                version: 1,
                timestamp: number("timestamp"),
                node_id: text(fields, "node_id"),
                user_agent: text(fields, "user_agent"),
                extension: None,
            }),
            "GetPeers" => {
                let count = fields["exclude_count"].as_u64().unwrap_or(0) as usize;
                let exclude = Exclude::new(&many_texts[..count]);
                encode_any(&GetPeers { max_count: number("max_count") as i32, exclude })
            }
            "Peers" => encode_any(&Peers::new(&many_peers[..number("peer_count") as usize])),
            "GetHeaders" => {
                let max_headers = number("max_headers") as i32;
                encode_any(&GetHeaders { locator: Hash::ZERO, stop: None, max_headers })
            }
            "Headers" => encode_any(&Headers::new(&many_headers[..number("header_count") as usize])),
            "Block" => encode_any(&Block { bytes: &[] }),
            "NewBlock" => encode_any(&NewBlock { bytes: &[] }),
            "Transaction" => encode_any(&Transaction { bytes: &[] }),
            "TxPoolRequest" => {
                let max_transactions = number("max_transactions") as i32;
                encode_any(&TxPoolRequest { max_transactions, include_data: true })
            }
            "ProofSubmission" => {
                encode_any(&ProofSubmission { block_height: 0, miner_id: [0; 33], proof: &[] })
            }
            "BlockAccepted" => {
                encode_any(&BlockAccepted { hash: Hash::ZERO, height: number("block_height") })
            }
            other => panic!("no constructor for {other}"),
        };
        assert!(matches!(result, Err(EncodeError::Invalid(_))), "{}/{name}: {result:?}", text(case, "type"));
    }
}

#[test]
fn streams_are_cut_as_the_reference_cuts_them_however_they_arrive() {
    let cases = cases("frames");
    assert_eq!(cases.len(), 19);
    for case in &cases {
        let name = text(case, "name");
        let stream = bytes(case, "stream_hex");
        for piece in [1, 2, 3, 5, stream.len().max(1)] {
            let (frames, end) = read(&stream, piece);
            let mut frames = frames.iter();
            let mut consumed = 0;
            for expected in case["expect"].as_array().unwrap() {
                match text(expected, "outcome") {
                    "message" => {
                        let frame = frames.next().unwrap_or_else(|| panic!("{name}: a message is missing"));
                        consumed += frame.len();
                        assert_eq!(expected["consumed"], consumed, "{name}");
                        let message = AnyMessage::decode(frame.message_type(), frame.payload()).unwrap();
                        assert_eq!(frame.message_type(), message_type(expected));
                        assert_eq!(fields(&message), expected["fields"], "{name}");
                    }
                    "eof" => assert_eq!(end, Ok(()), "{name}"),
                    "error" => {
                        let why = text(expected, "why");
                        let error = end.expect_err(name);
                        let matches = match error {
                            FrameError::Length { .. } => why.starts_with("length"),
                            FrameError::UnknownType { .. } => why.starts_with("undefined type"),
                            FrameError::Truncated { .. } => why.contains("cut") || why == "type missing",
                            // The reference knows no limits by type and waits for the payload.
                            FrameError::TooLarge { .. } => why == "payload cut",
                            _ => false,
                        };
                        assert!(matches, "{name}: {error} for {why}");
                    }
                    other => panic!("unknown outcome {other}"),
                }
            }
            assert_eq!(frames.next(), None, "{name}");
        }
    }
}

fn array<const N: usize>(case: &Value, key: &str) -> [u8; N] {
    bytes(case, key).try_into().unwrap()
}

fn check_header(header: &spacetime_core::chain::BlockHeader, fields: &Value) {
    assert_eq!(fields["version"], header.version);
    assert_eq!(text(fields, "parent_hash"), header.parent_hash.to_string());
    assert_eq!(fields["height"], header.height);
    assert_eq!(fields["timestamp"], header.timestamp);
    assert_eq!(fields["difficulty"], header.difficulty);
    assert_eq!(fields["epoch"], header.epoch);
    assert_eq!(array(fields, "challenge"), header.challenge);
    assert_eq!(array(fields, "plot_root"), header.plot_root);
    assert_eq!(array(fields, "proof_score"), header.proof_score);
    assert_eq!(text(fields, "tx_root"), header.transaction_root.to_string());
    assert_eq!(array(fields, "miner_id"), header.miner_id);
    assert_eq!(array(fields, "signature"), header.signature);
}

fn check_transaction(transaction: &spacetime_core::chain::Transaction, fields: &Value) {
    assert_eq!(fields["version"], transaction.version);
    assert_eq!(array(fields, "sender"), transaction.sender);
    assert_eq!(array(fields, "recipient"), transaction.recipient);
    assert_eq!(fields["amount"], transaction.amount);
    assert_eq!(fields["nonce"], transaction.nonce);
    assert_eq!(fields["fee"], transaction.fee);
    assert_eq!(array(fields, "signature"), transaction.signature);
}

#[test]
fn headers_go_both_ways_and_have_their_hash() {
    use spacetime_core::chain::{BlockHeader, UNSIGNED_HEADER_BYTES};
    let cases = cases("block_headers");
    assert_eq!(cases.len(), 3);
    for case in &cases {
        let serialized = bytes(case, "serialized_hex");
        let header = BlockHeader::decode(&serialized).unwrap();
        check_header(&header, &case["fields"]);
        assert_eq!(hex(&header.to_bytes()), hex(&serialized));
        assert_eq!(hex(&serialized[..UNSIGNED_HEADER_BYTES]), text(case, "unsigned_hex"));
        assert_eq!(header.hash().to_string(), text(case, "hash_hex"));
    }
}

#[test]
fn invalid_headers_are_refused() {
    let cases = cases("block_headers_invalid");
    assert_eq!(cases.len(), 5);
    for case in &cases {
        let name = text(case, "name");
        let error = spacetime_core::chain::BlockHeader::decode(&bytes(case, "hex")).expect_err(name);
        assert!(name.contains(error.field) || error.to_string().contains("cut short"), "{name}: {error}");
    }
}

#[test]
fn transactions_go_both_ways_and_have_their_hash() {
    use spacetime_core::chain::Transaction;
    let cases = cases("transactions");
    assert_eq!(cases.len(), 2);
    for case in &cases {
        let serialized = bytes(case, "serialized_hex");
        let transaction = Transaction::decode(&serialized).unwrap();
        check_transaction(&transaction, &case["fields"]);
        assert_eq!(hex(&transaction.to_bytes()), hex(&serialized));
        assert_eq!(transaction.hash().to_string(), text(case, "hash_hex"));
        for cut in 0..serialized.len() {
            assert!(Transaction::decode(&serialized[..cut]).is_err());
        }
    }
}

#[test]
fn blocks_go_both_ways_and_have_their_hash() {
    use spacetime_core::chain::{Block, Transaction, block_hash};
    let cases = cases("blocks");
    assert!(!cases.is_empty());
    for case in &cases {
        let serialized = bytes(case, "serialized_hex");
        assert_eq!(case["serialized_len"], serialized.len());
        let block = Block::decode(&serialized).unwrap();
        check_header(&block.header, &case["header"]);
        let transactions: Vec<_> =
            block.transactions().map(|bytes| Transaction::decode(bytes).unwrap()).collect();
        for (transaction, expected) in transactions.iter().zip(case["transactions"].as_array().unwrap()) {
            check_transaction(transaction, expected.get("fields").unwrap_or(expected));
        }
        let mut proof = Vec::new();
        block.proof.encode(&mut proof);
        assert_eq!(hex(&proof), text(case, "proof_hex"));
        assert_eq!(array(&case["proof"], "leaf_value"), block.proof.leaf);
        assert_eq!(case["proof"]["leaf_index"], block.proof.leaf_index);
        let plot = &case["proof"]["plot"];
        assert_eq!(plot["leaf_count"], block.proof.leaf_count);
        assert_eq!(array(plot, "plot_id"), block.proof.plot_id);
        assert_eq!(array(plot, "plot_header_hash"), block.proof.plot_header_hash);
        assert_eq!(plot["version"], block.proof.version);

        let mut encoded = Vec::new();
        Block::encode(&block.header, &transactions, &block.proof, &mut encoded);
        assert_eq!(hex(&encoded), hex(&serialized));
        assert_eq!(block_hash(&serialized).unwrap().to_string(), text(case, "hash_hex"));

        for cut in 0..serialized.len() {
            assert!(Block::decode(&serialized[..cut]).is_err(), "cut to {cut} bytes");
        }
        let mut longer = serialized.clone();
        longer.push(0);
        assert!(Block::decode(&longer).is_err());
    }
}

#[test]
fn transaction_roots() {
    let cases = cases("tx_roots");
    assert_eq!(cases.len(), 7);
    for case in &cases {
        let hashes = case["tx_hashes"].as_array().unwrap();
        let hashes = hashes.iter().map(|hash| hash.as_str().unwrap().parse().unwrap());
        assert_eq!(spacetime_core::chain::transaction_root(hashes).to_string(), text(case, "root"));
    }
}

/// Handshake and announcement in a payload, if both are valid.
fn read_extension(payload: &[u8]) -> Option<spacetime_core::wire::Announcement> {
    use spacetime_core::wire::{Announcement, Decode as _};
    Announcement::read(Handshake::decode(payload).ok()?.extension?).ok()
}

#[test]
fn handshake_extensions_go_both_ways() {
    use spacetime_core::wire::Decode as _;
    let vectors: Value = serde_json::from_str(include_str!("vectors/extensions.json")).unwrap();
    for case in vectors["valid"].as_array().unwrap() {
        let name = text(case, "name");
        let payload = bytes(case, "handshake_payload_hex");
        let announcement = read_extension(&payload).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(case["protocol_versions"][0], announcement.protocol_versions.0);
        assert_eq!(case["protocol_versions"][1], announcement.protocol_versions.1);
        assert_eq!(text(case, "chain_id"), announcement.chain_id.to_string());
        assert_eq!(case["listen_port"].as_u64(), announcement.listen_port.map(u64::from));
        let capabilities: Vec<_> =
            announcement.capabilities.iter().map(|it| format!("{}/{}", it.name, it.version)).collect();
        assert_eq!(case["capabilities"], serde_json::json!(capabilities));
        assert_eq!(case["nonce"], announcement.nonce);
        let best = announcement.best_block;
        assert_eq!(case["best_block"]["height"].as_u64(), best.map(|(height, _)| height));
        assert_eq!(case["best_block"]["hash"].as_str(), best.map(|(_, hash)| hash.to_string()).as_deref());

        assert_eq!(hex(&announcement.to_bytes().unwrap()), text(case, "entries_hex"), "{name}");
        let mut encoded = Vec::new();
        Handshake::decode(&payload).unwrap().encode(&mut encoded).unwrap();
        assert_eq!(hex(&encoded), hex(&payload), "{name}");
    }
    let unknown_key = bytes(&vectors["unknown_key"], "handshake_payload_hex");
    assert!(read_extension(&unknown_key).is_some());
}

#[test]
fn malformed_handshake_extensions_are_refused() {
    let vectors: Value = serde_json::from_str(include_str!("vectors/extensions.json")).unwrap();
    let cases = vectors["invalid"].as_array().unwrap();
    assert!(cases.len() >= 15);
    for case in cases {
        assert!(read_extension(&bytes(case, "handshake_payload_hex")).is_none(), "{case}");
    }
}

#[test]
fn exclusions_are_the_addresses_among_the_texts_in_every_form_that_is_in_use() {
    for case in cases("exclude_parse") {
        let found: Vec<_> = Exclude::new(&[text(&case, "text")]).addresses().collect();
        let expected = match (case["endpoint"]["ip"].as_str(), case["endpoint"]["port"].as_u64()) {
            (Some(ip), Some(port)) => vec![format!("{ip}:{port}")],
            // The forms of IPv6, which the reference writes and cannot read.
            _ if case["note"].is_string() => vec!["[2001:db8::1]:8333".into()],
            _ => Vec::new(),
        };
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{case}");
    }
    for address in ["203.0.113.1:8333", "[2001:db8::1]:8333"] {
        let address = address.parse().unwrap();
        for is_version_1 in [true, false] {
            let text = Exclude::text(address, is_version_1);
            assert_eq!(text.contains('['), address.is_ipv6() && !is_version_1);
            assert_eq!(Exclude::new(&[&text]).addresses().collect::<Vec<_>>(), [address]);
        }
    }
    let long = format!("{}203.0.113.1:8333", "0".repeat(16_384));
    assert_eq!(Exclude::new(&[&long, "[::ffff:203.0.113.1]:1"]).addresses().count(), 1);
}
