//! `spacetime decode`: explain frames and payloads, for people with a capture in hand.

use std::io::{self, BufRead as _, Write as _};
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};
use spacetime_core::wire::{
    Announcement, AnyMessage, FrameReader, FrameRules, MAX_PAYLOAD, MessageType, Priority, ReadStep, TypeRule,
};

use crate::app::{AppError, hex};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The lines are payloads of this type, without a frame around them; two hexadecimal digits
    #[arg(long, value_name = "TYPE_HEX", value_parser = parse_type)]
    payload: Option<MessageType>,
}

fn parse_type(text: &str) -> Result<MessageType, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u8::from_str_radix(digits, 16)
        .map(MessageType::from_byte)
        .map_err(|_| "not two hexadecimal digits".into())
}

pub(super) fn run(arguments: Arguments) -> Result<(), AppError> {
    let failed = |error| AppError::failed("cannot read and write lines", error);
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().split(b'\n') {
        let line = line.map_err(failed)?;
        let result = hex::decode(line.trim_ascii()).and_then(|bytes| match arguments.payload {
            Some(message_type) => explain(message_type, &bytes),
            None => explain_frame(&bytes),
        });
        let object = match result {
            Ok(object) => object,
            Err(error) => json!({"ok": false, "error": error}),
        };
        match writeln!(out, "{object}") {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            result => result.map_err(failed)?,
        }
    }
    out.flush().map_err(failed)
}

/// Explains exactly one frame.
fn explain_frame(bytes: &[u8]) -> Result<Value, String> {
    let rule = |message_type: MessageType| TypeRule {
        message_type,
        max_payload: message_type.max_payload(),
        priority: Priority::Normal,
        object_id: None,
    };
    let rules = MessageType::VERSION_1.iter().fold(FrameRules::new(), |rules, it| rules.with(rule(*it)));
    let mut reader = FrameReader::new(Arc::new(rules), MAX_PAYLOAD);
    reader.push(bytes);
    match reader.poll_frames().map_err(|error| error.to_string())? {
        ReadStep::Frames(mut batch) => {
            let frame = batch.next().ok_or("there is no frame")?;
            if frame.len() < bytes.len() {
                return Err(format!("{} bytes follow after the end of the frame", bytes.len() - frame.len()));
            }
            explain(frame.message_type(), frame.payload())
        }
        ReadStep::NeedBytes | ReadStep::Blocked if bytes.is_empty() => {
            Err("the line is empty, a frame has 5 bytes".into())
        }
        ReadStep::NeedBytes | ReadStep::Blocked => {
            reader.finish().map_err(|error| error.to_string())?;
            Err("there is no frame".into())
        }
    }
}

/// Explains a payload.
fn explain(message_type: MessageType, payload: &[u8]) -> Result<Value, String> {
    let message = AnyMessage::decode(message_type, payload).map_err(|error| match message_type.name() {
        Some(name) => format!("{name}: {error}"),
        None => error.to_string(),
    })?;
    Ok(json!({"ok": true, "type": message_type.to_string(), "fields": fields(&message)?}))
}

fn fields(message: &AnyMessage<'_>) -> Result<Value, String> {
    Ok(match message {
        AnyMessage::Handshake(it) => {
            let mut fields = json!({
                "protocol_version": it.version, "timestamp": it.timestamp,
                "node_id": it.node_id, "user_agent": it.user_agent,
            });
            if let Some(extension) = it.extension {
                let announcement =
                    Announcement::read(extension).map_err(|error| format!("Handshake extension: {error}"))?;
                fields["extension"] = extension_fields(&announcement);
            }
            fields
        }
        AnyMessage::HandshakeAck(_) | AnyMessage::Heartbeat(_) => json!({}),
        AnyMessage::Ping(it) => json!({"nonce": it.nonce, "timestamp": it.timestamp}),
        AnyMessage::Pong(it) => json!({"nonce": it.nonce, "timestamp": it.timestamp}),
        AnyMessage::GetPeers(it) => {
            json!({"max_count": it.max_count, "exclude": it.exclude.iter().collect::<Vec<_>>()})
        }
        AnyMessage::Peers(it) => {
            let peer = |peer: std::net::SocketAddr| json!({"ip": peer.ip().to_string(), "port": peer.port()});
            json!({"peers": it.iter().map(peer).collect::<Vec<_>>()})
        }
        AnyMessage::GetHeaders(it) => json!({
            "locator_hash": it.locator.to_string(),
            "stop_hash": it.stop.map(|hash| hash.to_string()),
            "max_headers": it.max_headers,
        }),
        AnyMessage::Headers(it) => json!({"headers": it.iter().map(hex::encode).collect::<Vec<_>>()}),
        AnyMessage::GetBlock(it) => json!({"block_hash": it.hash.to_string()}),
        AnyMessage::Block(it) => json!({"block_data": hex::encode(it.bytes)}),
        AnyMessage::NewBlock(it) => json!({"block_data": hex::encode(it.bytes)}),
        AnyMessage::Transaction(it) => json!({"transaction_data": hex::encode(it.bytes)}),
        AnyMessage::TxPoolRequest(it) => json!({
            "max_transactions": it.max_transactions, "include_transaction_data": it.include_data,
        }),
        AnyMessage::ProofSubmission(it) => json!({
            "block_height": it.block_height, "miner_id": hex::encode(&it.miner_id), "proof_data": hex::encode(it.proof),
        }),
        AnyMessage::BlockAccepted(it) => {
            json!({"block_hash": it.hash.to_string(), "block_height": it.height})
        }
        AnyMessage::Error(it) => json!({"text": it.text}),
        other => return Err(format!("{} is newer than this command", other.message_type())),
    })
}

fn extension_fields(announcement: &Announcement) -> Value {
    let capability = |it: &spacetime_core::wire::Capability| format!("{}/{}", it.name, it.version);
    json!({
        "protocol_versions": announcement.protocol_versions,
        "chain_id": announcement.chain_id.to_string(),
        "listen_port": announcement.listen_port,
        "capabilities": announcement.capabilities.iter().map(capability).collect::<Vec<_>>(),
        "nonce": announcement.nonce,
        "best_block": announcement.best_block.map(|(height, hash)| {
            json!({"height": height, "hash": hash.to_string()})
        }),
    })
}
