//! The objects of the chain: headers, transactions, blocks, proofs, and the rules that link them.
//!
//! The network layer never owns a chain. It moves headers and blocks as bytes and asks
//! [`ChainRules`] what it must know about them; the layouts here are the default.

mod block;
mod development;
mod header;
mod rules;
mod transaction;

pub use block::{Block, MIN_BLOCK_BYTES, Proof, block_hash};
pub use development::{DevelopmentBranch, DevelopmentChain, development_genesis};
pub use header::{BlockHeader, HEADER_BYTES, UNSIGNED_HEADER_BYTES};
pub use rules::{ChainRules, HeaderInfo, InvalidObject, MAX_AHEAD_SECONDS, SpacetimeRules};
pub use transaction::{TRANSACTION_BYTES, Transaction, UNSIGNED_TRANSACTION_BYTES, transaction_root};
