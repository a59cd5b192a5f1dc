//! What the relay receives.

use spacetime_core::Hash;
use spacetime_core::wire::{
    Announce, Block, BlockAccepted, Decode, DecodeError, Fetch, MessageSet, MessageType, NewBlock, NotFound,
    Nothing, PoolHashes, ProofSubmission, Transaction, TxPoolRequest, TypeRule,
};

use crate::item::Kind;

/// What peers send unasked. Items are given as they are in the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Message<'a> {
    /// Something to be passed on.
    Item(Kind),
    /// Wants to know what is in the pool.
    TxPoolRequest(TxPoolRequest),
    /// Has items.
    Announce(Announce<'a>),
    /// Wants items.
    Fetch(Fetch<'a>),
    /// Does not have items that were wanted.
    NotFound(NotFound<'a>),
    /// Has these transactions in its pool.
    PoolHashes(PoolHashes<'a>),
}

/// The name of an item, which readers of frames find off the Swarm's path. That of a Block is the
/// block's hash, as long as it may be an answer.
macro_rules! id {
    ($kind:ident) => {
        |payload: &[u8]| -> Option<Hash> { Some(Kind::$kind.id(payload)) }
    };
}

impl<'a> MessageSet<'a> for Message<'a> {
    const TYPES: &'static [TypeRule] = &[
        TypeRule::of::<Block<'static>>(),
        TypeRule::of::<NewBlock<'static>>().with_object_id(id!(Block)),
        TypeRule::of::<Transaction<'static>>().with_object_id(id!(Transaction)),
        TypeRule::of::<ProofSubmission<'static>>().with_object_id(id!(Proof)),
        TypeRule::of::<BlockAccepted>().with_object_id(id!(BlockAccepted)),
        TypeRule::of::<TxPoolRequest>(),
        TypeRule::of::<Announce<'static>>(),
        TypeRule::of::<Fetch<'static>>(),
        TypeRule::of::<NotFound<'static>>(),
        TypeRule::of::<PoolHashes<'static>>(),
    ];

    fn decode_type(message_type: MessageType, payload: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(match message_type {
            MessageType::TX_POOL_REQUEST => Self::TxPoolRequest(TxPoolRequest::decode(payload)?),
            MessageType::ANNOUNCE => Self::Announce(Announce::decode(payload)?),
            MessageType::FETCH => Self::Fetch(Fetch::decode(payload)?),
            MessageType::NOT_FOUND => Self::NotFound(NotFound::decode(payload)?),
            MessageType::POOL_HASHES => Self::PoolHashes(PoolHashes::decode(payload)?),
            _ => {
                let Some(kind) = Kind::of(message_type) else {
                    return Nothing::decode_type(message_type, payload).map(|never| match never {});
                };
                match kind {
                    Kind::Block => Block::decode(payload).map(drop)?,
                    Kind::Transaction => Transaction::decode(payload).map(drop)?,
                    Kind::Proof => ProofSubmission::decode(payload).map(drop)?,
                    Kind::BlockAccepted => BlockAccepted::decode(payload).map(drop)?,
                }
                Self::Item(kind)
            }
        })
    }
}
