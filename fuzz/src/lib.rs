//! What the fuzz targets do with their input.
//!
//! Each target is an ordinary function that takes any bytes and panics if something that must hold
//! does not. libFuzzer calls it from `fuzz_targets`; the tests of the main workspace depend on this
//! crate and replay the corpus with it.

#![forbid(unsafe_code)]

mod application;
mod application_postcard;
mod chain;
mod chain_objects;
mod chain_store;
mod driver;
mod frame_reader;
mod frames;
mod handshake;
mod header_machine;
mod message_decoders;
mod operations;
mod peer;
mod relay_machine;
mod seen_set;
/// The store of a node, without the node: that would bring its TLS into every test that replays a corpus.
#[path = "../../src/store/mod.rs"]
#[allow(dead_code, unreachable_pub, unused_imports, reason = "of what others use, only a part is used here")]
mod store;
mod swarm;
mod sync_machine;
mod token_bucket;

pub use application_postcard::application_postcard;
pub use chain_objects::chain_objects;
pub use chain_store::chain_store;
pub use frame_reader::frame_reader;
pub use handshake::handshake;
pub use header_machine::header_machine;
pub use message_decoders::message_decoders;
pub use relay_machine::relay_machine;
pub use seen_set::seen_set;
pub use swarm::swarm;
pub use sync_machine::sync_machine;
pub use token_bucket::token_bucket;

/// What a target does with an input.
pub type Target = fn(&[u8]);

/// All targets, by the names of their folders in the corpus.
pub const TARGETS: [(&str, Target); 12] = [
    ("application_postcard", application_postcard),
    ("chain_objects", chain_objects),
    ("chain_store", chain_store),
    ("frame_reader", frame_reader),
    ("handshake", handshake),
    ("header_machine", header_machine),
    ("message_decoders", message_decoders),
    ("relay_machine", relay_machine),
    ("seen_set", seen_set),
    ("swarm", swarm),
    ("sync_machine", sync_machine),
    ("token_bucket", token_bucket),
];
