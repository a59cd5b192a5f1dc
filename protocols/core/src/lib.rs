//! The sans-IO core of `spacetime-network`.

#![no_std]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)
)]

extern crate alloc;

mod address;
pub mod chain;
mod hash;
mod rng;
mod time;
pub mod wire;

pub use address::{Address, Endpoint, InvalidAddress};
pub use hash::{Hash, InvalidHex, PeerId};
pub use rng::Rng;
pub use time::{Now, Time};
