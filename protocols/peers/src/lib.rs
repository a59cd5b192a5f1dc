//! Peers: with whom to keep connections.
//!
//! # What it promises
//!
//! * The node keeps a number of connections that it chose itself, each with another part of the
//!   network, and looks for another one when one ends. Addresses that it was given are dialled, and
//!   dialled again, whatever happens.
//! * What it hears of other nodes goes into an [address book](book) that nobody can take over by
//!   telling it much; what it may tell others is drawn from there.
//! * Peers that connect are let in as long as there are places, then as long as somebody can be
//!   [asked to make room](eviction) who has not earned protection.
//! * A peer whose offences add up is closed, and not let in again for a while, also after it connects
//!   again and after this node starts again. Whoever is trusted is not.
//!
//! It sends nothing and receives nothing; [`Peers`] watches, dials and closes. It hears from its
//! siblings in the tree by [`Signal`]s: offences, addresses that were learned, round trips, and who was
//! of use; and tells them what may be shared.
//!
//! ```text
//!   addresses learned ---> book ---> dial ---> session ---> useful +1, offence -1, -2, -10
//!                           ^          |          |               |
//!                           +-- outcome+----------+               v
//!                                                        at -10: ban of 24 h
//! ```
//!
//! # What each violation costs
//!
//! | offence | score |
//! |---|---|
//! | minor: no answer in time, a frame cut short | -1 |
//! | serious: malformed, unsolicited, too much | -2 (seed) |
//! | grave: what no honest node sends | -10 |
//!
//! At -10 (seed) its identity is banned, or its host if the transport proves no identity; the session
//! ends as well at five offences in a row (seed). A host from which several peers with proven identities
//! come takes four times as much. A point is forgiven each hour.
//!
//! # Limits
//!
//! The [book](book) has its own. [`MAX_KEPT`] addresses that are kept, [`MAX_BANS`] bans,
//! [`MAX_STANDINGS`] scores; what is kept of each session is bounded by the Swarm's connections.

#![no_std]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

extern crate alloc;

mod admission;
mod bans;
mod behaviour;
pub mod book;
mod conduct;
mod config;
mod dialling;
pub mod eviction;
mod group;
mod kept;
mod pool;
mod reputation;
mod session;
mod state;
mod storing;
mod target;

pub use admission::{AddressRules, NotAdmitted};
pub use bans::{Ban, Bans, MAX_BANS};
pub use behaviour::{Command, Event, MAX_ADDRESSES_PER_SEED, MAX_TRUSTED, Peers};
pub use book::{AddressBook, BookConfig, BucketKey};
pub use config::{Config, InvalidConfig};
pub use group::{AsnMap, Group, Grouping, InvalidPrefix, Subnet};
pub use kept::MAX_KEPT;
pub use pool::{MAX_DIALS, Role};
pub use reputation::{MAX_SCORE, MAX_STANDINGS, Reputation, ReputationRules, Standing};
#[cfg(doc)]
use spacetime_core::Signal;
pub use state::{State, Stored};
pub use target::{InvalidTarget, Target};
