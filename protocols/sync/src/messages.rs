//! What sync receives.

use core::marker::PhantomData;

use spacetime_core::chain::ChainRules;
use spacetime_core::message_set;
use spacetime_core::wire::{
    Block, Decode as _, DecodeError, GetBlock, GetHeaders, Headers, Locate, MAX_HEADERS, MAX_PAYLOAD,
    MessageSet, MessageType, TypeRule,
};

message_set! {
    /// What peers send unasked.
    #[derive(Debug)]
    pub enum Message<'a> {
        /// Wants headers.
        GetHeaders(GetHeaders),
        /// Wants headers, and tells where its chain may part from ours.
        Locate(Locate<'a>),
        /// Wants a block.
        GetBlock(GetBlock),
    }
}

/// What peers answer. The rules of the chain say how long a header may be and what the hash of a
/// block is.
#[derive(Debug)]
pub enum Answer<'a, R> {
    /// Headers.
    Headers(Headers<'a>),
    /// A block, which has the hash that was asked for.
    Block(BlockOf<'a, R>),
}

/// A block of the chain with these rules.
#[derive(Debug)]
pub struct BlockOf<'a, R> {
    /// The block, not looked into.
    pub bytes: &'a [u8],
    rules: PhantomData<fn() -> R>,
}

const fn max_headers_payload(header_bytes: u32) -> u32 {
    let bytes = 4 + MAX_HEADERS as u64 * (4 + header_bytes as u64);
    if bytes > MAX_PAYLOAD as u64 { MAX_PAYLOAD } else { bytes as u32 }
}

impl<'a, R: ChainRules> MessageSet<'a> for Answer<'a, R> {
    const TYPES: &'static [TypeRule] = &[
        TypeRule::of::<Headers<'static>>().with_max_payload(max_headers_payload(R::MAX_HEADER_BYTES)),
        TypeRule::of::<Block<'static>>().with_object_id(R::block_id),
    ];

    fn decode_type(message_type: MessageType, payload: &'a [u8]) -> Result<Self, DecodeError> {
        match message_type {
            MessageType::HEADERS => Headers::decode(payload).map(Self::Headers),
            _ => {
                let Block { bytes } = Block::decode(payload)?;
                Ok(Self::Block(BlockOf { bytes, rules: PhantomData }))
            }
        }
    }
}
