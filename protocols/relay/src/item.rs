//! What is relayed, and by which name it is known.

use spacetime_core::wire::{
    BlockAccepted, EncodeError, Frame, Message, MessageType, NewBlock, ProofSubmission, Transaction,
};
use spacetime_core::{Hash, Offence};

/// What is relayed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Kind {
    /// A block that is new: NewBlock, or a Block that nobody asked for.
    Block,
    /// A transaction.
    Transaction,
    /// A miner's proof.
    Proof,
    /// The news that a block was accepted.
    BlockAccepted,
}

impl Kind {
    /// The type under which its items are announced and named.
    pub const fn message_type(self) -> MessageType {
        match self {
            Self::Block => MessageType::NEW_BLOCK,
            Self::Transaction => MessageType::TRANSACTION,
            Self::Proof => MessageType::PROOF_SUBMISSION,
            Self::BlockAccepted => MessageType::BLOCK_ACCEPTED,
        }
    }

    /// What a message of this type brings. Block and NewBlock bring the same.
    pub const fn of(message_type: MessageType) -> Option<Self> {
        Some(match message_type {
            MessageType::BLOCK | MessageType::NEW_BLOCK => Self::Block,
            MessageType::TRANSACTION => Self::Transaction,
            MessageType::PROOF_SUBMISSION => Self::Proof,
            MessageType::BLOCK_ACCEPTED => Self::BlockAccepted,
            _ => return None,
        })
    }

    /// What somebody did who sent an item that is refused. A version-1 node passes on what has the
    /// layout of its message, before anybody has looked at more: that it sent the item says little about
    /// it.
    pub(crate) const fn refused(self, by_version_1: bool) -> Offence {
        use spacetime_core::chain::InvalidObject;

        match self {
            _ if by_version_1 => Offence::Unchecked(self.message_type()),
            Self::Block => Offence::InvalidBlock(InvalidObject::Refused),
            _ => Offence::InvalidItem(self.message_type()),
        }
    }

    /// The name of an item: the hash of its type and its payload, as in version 1. Two payloads that
    /// differ in a bit have two names, whatever they claim to be.
    pub fn id(self, payload: &[u8]) -> Hash {
        Hash::of_parts(&[&[self.message_type().byte()], payload])
    }
}

/// Something to be relayed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    pub(crate) kind: Kind,
    pub(crate) id: Hash,
    pub(crate) frame: Frame,
}

impl Item {
    /// A block that is new.
    pub fn block(bytes: &[u8]) -> Result<Self, EncodeError> {
        Self::new(Kind::Block, &NewBlock { bytes })
    }

    /// A transaction.
    pub fn transaction(bytes: &[u8]) -> Result<Self, EncodeError> {
        Self::new(Kind::Transaction, &Transaction { bytes })
    }

    /// A proof.
    pub fn proof(proof: &ProofSubmission<'_>) -> Result<Self, EncodeError> {
        Self::new(Kind::Proof, proof)
    }

    /// The news that a block was accepted.
    pub fn block_accepted(accepted: &BlockAccepted) -> Result<Self, EncodeError> {
        Self::new(Kind::BlockAccepted, accepted)
    }

    fn new<M: Message>(kind: Kind, message: &M) -> Result<Self, EncodeError> {
        let frame = Frame::encode(message)?;
        Ok(Self { kind, id: kind.id(frame.payload()), frame })
    }

    /// What it is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its name.
    pub const fn id(&self) -> Hash {
        self.id
    }

    /// The message's payload: the serialized block or transaction, or what [`ProofSubmission`] and
    /// [`BlockAccepted`] decode.
    pub fn payload(&self) -> &[u8] {
        self.frame.payload()
    }

    /// The frame in which it goes out.
    pub const fn frame(&self) -> &Frame {
        &self.frame
    }
}
