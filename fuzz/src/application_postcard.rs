//! Messages of applications: one value, one encoding.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use serde::{Deserialize, Serialize};
use spacetime_core::wire::{ApplicationMessage, Decode as _, EncodeError, Frame, Message};

/// A message with all that serde has to offer.
#[derive(Serialize, Deserialize, Arbitrary, Debug)]
struct Report {
    number: u64,
    offset: i32,
    share: f32,
    sign: char,
    is_last: bool,
    name: String,
    key: [u8; 4],
    payload: Vec<u8>,
    parent: Option<Option<i128>>,
    entries: Vec<Entry>,
    prices: BTreeMap<u16, i8>,
    nothing: (),
}

#[derive(Serialize, Deserialize, Arbitrary, Debug)]
enum Entry {
    Empty,
    Weight(u16),
    Range { from: Option<i64>, to: Option<i64> },
    Names(Vec<String>),
    Inner(Inner),
}

#[derive(Serialize, Deserialize, Arbitrary, Debug)]
enum Inner {
    Left(Box<str>),
    Right(u32, u8),
}

impl ApplicationMessage for Report {
    const TYPE_BYTE: u8 = 0x80;
    const MAX_BYTES: u32 = 2048;
}

/// `u8 which | bytes`, where an even `which` takes the bytes for a payload and an odd one makes a
/// value of them.
pub fn application_postcard(data: &[u8]) {
    let Some((which, bytes)) = data.split_first() else {
        return;
    };
    if which % 2 == 0 {
        if let Ok(report) = Report::decode(bytes) {
            // A frame cuts longer ones off before they are decoded.
            match encode(&report) {
                Ok(encoded) => assert_eq!(encoded, bytes, "{report:?}"),
                Err(_) => assert!(bytes.len() > Report::MAX_BYTES as usize),
            }
        }
    } else if let Ok(report) = Report::arbitrary(&mut Unstructured::new(bytes))
        && let Ok(encoded) = encode(&report)
    {
        let decoded = Report::decode(&encoded).unwrap_or_else(|error| panic!("{report:?}: {error}"));
        // Not the values: a number that is none differs from itself.
        assert_eq!(encode(&decoded), Ok(encoded));
    }
}

fn encode(report: &Report) -> Result<Vec<u8>, EncodeError> {
    let mut encoded = vec![0xaa];
    let result = report.encode(&mut encoded);
    assert_eq!(encoded.first(), Some(&0xaa), "what stood there stays");
    if let Err(error) = result {
        let max_bytes = Report::MAX_BYTES;
        let bytes = report.encoded_len() as u64;
        assert!(bytes > max_bytes.into(), "{report:?}: {error}");
        assert_eq!(error, EncodeError::TooLarge { bytes, max_bytes });
        assert_eq!(encoded, [0xaa], "nothing is left behind");
        assert!(Frame::encode(report).is_err());
        return Err(error);
    }
    encoded.remove(0);
    assert_eq!(report.encoded_len(), encoded.len(), "{report:?}");
    let frame = Frame::encode(report).expect("it was encoded before");
    assert_eq!(frame.payload(), encoded);
    assert_eq!(frame.message_type().byte(), Report::TYPE_BYTE);
    Ok(encoded)
}
