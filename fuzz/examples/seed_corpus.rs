//! Writes the first corpus: the cases of the wire vectors, and a few scripts in which all goes well.
//!
//! ```text
//! cargo run --example seed_corpus
//! ```

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use spacetime_core::chain::{DevelopmentChain, block_hash, development_genesis};
use spacetime_core::wire::{Announcement, Capability, EXTENSION_MAGIC};
use spacetime_core::{Hash, PeerId};

/// Larger cases are left out.
const MAX_SEED_BYTES: usize = 4096;

/// Cases of one message type and list.
const MAX_CASES_PER_TYPE: usize = 2;

/// The setting of a swarm: version-1 nodes that say nothing are not served, large limits, height 0,
/// no addresses.
const SWARM_SETTING: [u8; 5] = [0; 5];

/// The setting of the sync machine: height 0, then its limits.
const SYNC_SETTING: [u8; 8] = [0, 3, 2, 6, 3, 9, 0xff, 0xff];

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let vectors = fs::read_to_string(here.join("../protocols/core/tests/vectors/wire.json"))?;
    let seeds = Seeds { vectors: serde_json::from_str(&vectors)?, corpus: here.join("corpus") };
    seeds.message_decoders()?;
    seeds.frame_reader()?;
    seeds.chain_objects()?;
    seeds.application_postcard()?;
    seeds.handshake()?;
    seeds.swarm()?;
    seeds.header_machine()?;
    seeds.sync_machine()
}

struct Seeds {
    vectors: Value,
    corpus: PathBuf,
}

impl Seeds {
    fn cases(&self, list: &str) -> Result<&[Value]> {
        let cases = self.vectors[list].as_array();
        Ok(cases.ok_or_else(|| format!("no list {list}"))?)
    }

    fn write(&self, target: &str, name: &str, parts: &[&[u8]]) -> Result<()> {
        let seed = parts.concat();
        if seed.len() > MAX_SEED_BYTES {
            return Ok(());
        }
        let folder = self.corpus.join(target);
        fs::create_dir_all(&folder)?;
        let name = name.to_lowercase();
        let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        Ok(fs::write(folder.join(words.collect::<Vec<_>>().join("-")), seed)?)
    }

    fn message_decoders(&self) -> Result<()> {
        for (list, max_cases) in [("valid", MAX_CASES_PER_TYPE), ("lenient", 1)] {
            let mut last_type = "";
            let mut count = 0;
            for case in self.cases(list)? {
                let message_type = text(case, "type_hex")?;
                count = if message_type == last_type { count + 1 } else { 1 };
                last_type = message_type;
                if count <= max_cases {
                    let payload = unhex(text(case, "payload_hex")?)?;
                    let name = format!("{list} {}", text(case, "name")?);
                    self.write("message_decoders", &name, &[&unhex(message_type)?, &payload])?;
                }
            }
        }
        self.write(
            "message_decoders",
            "valid error",
            &[&[0xff], b"full: no place is left for the connection"],
        )?;
        self.write("message_decoders", "extension", &[&[0], &announcement(Hash([9; 32]))?])?;
        let handshake = handshake(PeerId([7; 32]), Some(&announcement(Hash([9; 32]))?));
        self.write("message_decoders", "valid handshake with extension", &[&[1], &handshake[5..]])
    }

    fn frame_reader(&self) -> Result<()> {
        for case in self.cases("frames")? {
            let stream = unhex(text(case, "stream_hex")?)?;
            let name = text(case, "name")?;
            self.write("frame_reader", name, &[&[0, 0, 0, 1, 1], &stream])?;
        }
        let heartbeat = frame(0x03, &[]);
        for trust in 0..4 {
            // 99 KiB and 99 bytes of a block, and a frame behind it.
            let large = [&(100 * 1023_i32).to_le_bytes()[..], &[0x23], &[7; 921]].concat();
            let parts = [&[trust, 99, 5, 3, 0, 255, 201], &heartbeat[..], &large, &heartbeat];
            self.write("frame_reader", &format!("large block trust {trust}"), &parts)?;
        }
        // A transaction is skipped where nobody takes one.
        let skipped = frame(0x32, &[1; 5]);
        self.write("frame_reader", "skipped", &[&[1, 0, 0, 2, 3, 4], &skipped, &heartbeat])?;
        self.chunks(&heartbeat)
    }

    /// Frames in chunks, of which the filler is the largest part, and chunks that are wrong.
    fn chunks(&self, heartbeat: &[u8]) -> Result<()> {
        let chunk = |level: u8, len: u32, bytes: &[u8]| {
            [&(len + 2).to_le_bytes()[..], &[0x51, level], bytes].concat()
        };
        let begin = |message_type: u8, len: u32| [&len.to_le_bytes()[..], &[message_type]].concat();
        // 65,600 bytes: a chunk of 1,000, and one of which 63 KiB are filler.
        let first = chunk(1, 1_000, &[begin(0x23, 65_596), vec![7; 995]].concat());
        let second = chunk(1, 64_600, &[7; 64_600 - 63 * 1024 - 50]);
        let ignored = chunk(2, 300, &[begin(0x31, 69_996), vec![1; 295]].concat());
        let tail = [&[7; 50][..], heartbeat].concat();
        for trust in 0..4 {
            let sizes = [4 + trust, 63, tail.len() as u8, 3, 0, 3, 201];
            let parts = [&sizes[..], heartbeat, &first, heartbeat, &ignored, &second, &tail];
            self.write("frame_reader", &format!("chunks trust {trust}"), &parts)?;
        }
        for (name, trust, filler, stream) in [
            ("chunk overrun", 4, 64, [first.clone(), chunk(1, 64_601, &[])].concat()),
            ("chunk nested", 4, 0, chunk(1, 20, &chunk(1, 60_000, &[0; 20]))),
            ("chunk needless", 4, 0, chunk(2, 20, &frame(0x23, &[0; 15]))),
            ("chunk cut", 4, 0, first[..50].to_vec()),
            ("chunk not announced", 0, 0, first[..50].to_vec()),
        ] {
            self.write("frame_reader", name, &[&[trust, filler, 0, 0], &stream])?;
        }
        Ok(())
    }

    fn chain_objects(&self) -> Result<()> {
        for (list, which, key) in [
            ("block_headers", 0, "serialized_hex"),
            ("block_headers_invalid", 0, "hex"),
            ("transactions", 1, "serialized_hex"),
            ("blocks", 2, "serialized_hex"),
            ("blocks", 3, "proof_hex"),
        ] {
            for case in self.cases(list)? {
                let name = format!("{list} {} {which}", text(case, "name")?);
                self.write("chain_objects", &name, &[&[which], &unhex(text(case, key)?)?])?;
            }
        }
        self.write("chain_objects", "genesis", &[&[2], &development_genesis()])?;
        let block = DevelopmentChain::new(1, 900).next().ok_or("an endless chain")?;
        self.write("chain_objects", "block with transactions", &[&[2], &block])
    }

    fn application_postcard(&self) -> Result<()> {
        self.write("application_postcard", "zeros", &[&[0], &[0; 19]])?;
        self.write("application_postcard", "too long a number", &[&[0], &[0x80, 0], &[0; 18]])?;
        for case in self.cases("valid")?.iter().filter(|case| case["type"] == "Handshake").take(4) {
            let payload = unhex(text(case, "payload_hex")?)?;
            self.write(
                "application_postcard",
                &format!("value of {}", text(case, "name")?),
                &[&[1], &payload],
            )?;
        }
        Ok(())
    }

    fn handshake(&self) -> Result<()> {
        let chain_id = block_hash(&development_genesis()).ok_or("genesis is a block")?;
        let extended = handshake(PeerId([7; 32]), Some(&announcement(chain_id)?));
        let plain = handshake(PeerId([7; 32]), None);
        let acknowledged = [frame(0x02, &[]), extended.clone()].concat();
        let scripts: [(&str, u8, Vec<u8>); 9] = [
            ("listener extended", 0, arrives(0, &extended)),
            ("listener version 1", 0, arrives(0, &plain)),
            ("listener quiet served", 1, vec![111, 111, 96]),
            ("listener quiet served then speaks", 1, [&[111, 96][..], &arrives(0, &plain)].concat()),
            ("dialer extended", 0b0000_0110, arrives(0x80, &acknowledged)),
            (
                "dialer version 1",
                0b0000_0110,
                [&arrives(0x80, &frame(0x02, &[]))[..], &[0x80 | 111]].concat(),
            ),
            ("dialer pinned and proven", 0b0010_1110, arrives(0x80, &acknowledged)),
            ("both ways", 0b0000_0100, [arrives(0x80, &acknowledged), arrives(0, &extended)].concat()),
            ("itself", 0b0000_0100, vec![122]),
        ];
        for (name, setting, script) in scripts {
            self.write("handshake", name, &[&[setting], &script])?;
        }
        for case in self.cases("valid")?.iter().filter(|case| case["type"] == "Handshake") {
            let frame = unhex(text(case, "frame_hex")?)?;
            self.write("handshake", text(case, "name")?, &[&[0], &arrives(0, &frame)])?;
        }
        Ok(())
    }

    fn swarm(&self) -> Result<()> {
        const MEET: usize = 3;
        const ANSWER: usize = 7;
        const TRANSMIT: usize = 14;
        const CARRY_OUT: usize = 15;
        let operation = |index, fields: &[u8]| [&variant(index, 23), fields].concat();
        // Peer 1, not proven; named 1, version 1, of this chain, versions 1 to 1, listens, height 16.
        let hello = [1, 0, 1, 1, 1, 1, 1, 0, 1, 1, 16];
        let meet = operation(MEET, &hello);
        let transmit = operation(TRANSMIT, &[0, 0xff, 0xff]);
        let answer = operation(ANSWER, &[&[0, 0][..], &variant(0, 7)].concat());
        let carry_out = operation(CARRY_OUT, &[&[0][..], &variant(0, 3), &[1]].concat());
        let round = [transmit, answer.repeat(4), carry_out].concat();
        self.write("swarm", "a peer is met", &[&SWARM_SETTING, &meet])?;
        self.write("swarm", "some blocks are downloaded", &[&SWARM_SETTING, &meet, &round.repeat(8)])
    }

    fn header_machine(&self) -> Result<()> {
        const CONNECT: usize = 0;
        const OFFER: usize = 1;
        const HONEST: usize = 2;
        const PASS: usize = 7;
        let operation = |index, fields: &[u8]| [&variant(index, 9), fields].concat();
        let connect =
            |can_locate: u8| operation(CONNECT, &[&[can_locate][..], &300_u64.to_le_bytes()].concat());
        let offer = |which: u8, difficulty: i64, flaw: &[u8]| {
            let head = [which, 0, 255];
            operation(OFFER, &[&head[..], &difficulty.to_le_bytes(), flaw].concat())
        };
        let pass = operation(PASS, &3000_u16.to_le_bytes());
        // Height 0, 2000 headers at a time, 1000 blocks back, a clock that is late enough.
        let setting = [&[0][..], &1999_u16.to_le_bytes(), &999_u16.to_le_bytes(), &[0]].concat();
        let early = [&[0][..], &1999_u16.to_le_bytes(), &999_u16.to_le_bytes(), &[1]].concat();
        let (plain, locates) = (connect(0), connect(1));
        let honest = operation(HONEST, &[0]);
        self.write("header_machine", "one honest peer", &[&setting, &locates, &honest.repeat(6)])?;
        let long = offer(0, 1000, &[0]).repeat(8);
        self.write("header_machine", "headers without end", &[&setting, &plain, &long])?;
        self.write("header_machine", "ahead of the clock", &[&early, &plain, &long, &pass, &long])?;
        let crowd: Vec<_> = (0..12).flat_map(|_| locates.clone()).collect();
        let rivals: Vec<_> = (0..36_u8)
            .flat_map(|it| [offer(it % 12, 1000 + i64::from(it), &[0]), pass.clone()].concat())
            .collect();
        self.write("header_machine", "twelve chains", &[&setting, &crowd, &rivals])?;
        for (name, kind) in [("gap", 0), ("height", 1), ("time", 2), ("bit", 3), ("one more", 4)] {
            let flaw = [&[1][..], &variant(kind, 5), &[3, 0, 5, 0, 0, 0, 0, 0, 0, 0]].concat();
            let parts = [&setting[..], &locates, &offer(0, 1000, &flaw), &locates, &honest];
            self.write("header_machine", &format!("flaw {name}"), &parts)?;
        }
        Ok(())
    }

    fn sync_machine(&self) -> Result<()> {
        const CONNECT: usize = 0;
        const ANSWER_ALL: usize = 2;
        const CARRY_OUT: usize = 8;
        let operation = |index, fields: &[u8]| [&variant(index, 15), fields].concat();
        let connect = |fields: &[u8]| operation(CONNECT, fields);
        let round = [
            operation(ANSWER_ALL, &[0]),
            operation(ANSWER_ALL, &[1]),
            operation(CARRY_OUT, &[&[0][..], &variant(0, 3), &[1]].concat()),
        ];
        let (one, other) = (connect(&[0, 1, 16, 16, 0]), connect(&[0, 0, 16, 1]));
        self.write("sync_machine", "one honest peer", &[&SYNC_SETTING, &one, &round.concat().repeat(6)])?;
        self.write("sync_machine", "one on a fork", &[&SYNC_SETTING, &one, &other, &round.concat().repeat(6)])
    }
}

/// The first bytes of the variant of an enum with so many of them.
fn variant(index: usize, variants: usize) -> [u8; 4] {
    let first = ((index as u64) << 32).div_ceil(variants as u64);
    (first as u32).to_le_bytes()
}

/// Events of the handshake's script: these bytes arrive in pieces.
fn arrives(connection: u8, bytes: &[u8]) -> Vec<u8> {
    bytes.chunks(96).flat_map(|piece| [&[connection | (piece.len() as u8 - 1)], piece].concat()).collect()
}

fn frame(type_byte: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as i32 + 1;
    [&length.to_le_bytes(), &[type_byte][..], payload].concat()
}

fn handshake(peer_id: PeerId, extension: Option<&[u8]>) -> Vec<u8> {
    let mut payload = 1_i32.to_le_bytes().to_vec();
    payload.extend(1_700_000_000_i64.to_le_bytes());
    for text in [&peer_id.to_string(), "seed"] {
        payload.extend((text.len() as i32).to_le_bytes());
        payload.extend(text.as_bytes());
    }
    if let Some(extension) = extension {
        payload.extend(EXTENSION_MAGIC);
        payload.extend(extension);
    }
    frame(0x01, &payload)
}

fn announcement(chain_id: Hash) -> Result<Vec<u8>> {
    let announcement = Announcement {
        protocol_versions: (1, 2),
        chain_id,
        listen_port: Some(8333),
        capabilities: vec![Capability { name: "relay.announce".into(), version: 1 }],
        nonce: 300,
        best_block: Some((24, chain_id)),
    };
    Ok(announcement.to_bytes()?)
}

fn text<'a>(case: &'a Value, key: &str) -> Result<&'a str> {
    Ok(case[key].as_str().ok_or_else(|| format!("no {key} in {case}"))?)
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    (0..text.len()).step_by(2).map(|at| Ok(u8::from_str_radix(&text[at..at + 2], 16)?)).collect()
}
