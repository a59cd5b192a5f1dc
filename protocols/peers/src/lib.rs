//! Peers: with whom to keep connections.
//!
//! # What it promises
//!
//! * The node keeps a number of connections that it chose itself, each with another part of the
//!   network, and looks for another one when one ends. Addresses that it was given are dialled, and
//!   dialled again, whatever happens.
//! * What it hears of other nodes goes into an [address book](book) that nobody can take over by
//!   telling it much. What it tells others it has reached itself.
//! * Whoever was connected for longest is dialled first after a restart, also after a crash. Seeds are
//!   asked only when nobody else is known or answers.
//! * Peers that connect are let in as long as there are places, then as long as somebody can be
//!   [asked to make room](eviction) who has not earned protection.
//! * A peer whose offences add up is closed, and not let in again for a while, also after it connects
//!   again and after this node starts again. Whoever is trusted is not. Who offended pays, never who
//!   is named.
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
//! The [`guide`] explains how addresses become connections, for whoever runs a node.
//!
//! # What each violation costs
//!
//! The siblings say what is an offence; see their tables. Each is of one of three kinds:
//!
//! | offence | severity | score |
//! |---|---|---|
//! | no answer in time, a frame cut short | minor | -1 |
//! | malformed, unsolicited, out of place, wrong answer, too much | serious | -2 (seed) |
//! | bytes that are no frame, an invalid header or block | grave | -10, and the session ends |
//!
//! | what adds up | what follows |
//! |---|---|
//! | five offences without a good deed in between (seed) | the session ends; the peer may come again |
//! | -10 (seed) | its proven identity is banned for 24 h; if it proved none its host |
//! | -40 of all the proven identities of one host together | the host is banned for 24 h |
//! | a good deed | +1 (seed), up to [`MAX_SCORE`] |
//! | an hour | a point closer to 0 |
//!
//! A host is an IPv4 address or an IPv6 /64, and an IPv6 address that carries an IPv4 address is that; on
//! a private network it is where the peer can be reached. Addresses that are of no use, duplicates and
//! what is told too often cost nothing: they are left out.
//!
//! # Limits
//!
//! | what | how much |
//! |---|---|
//! | [book] | [`MAX_ENTRIES`](book::MAX_ENTRIES) addresses, 10 of one subnet |
//! | outbound | 8, each of another group; [`MAX_DIALS`] dials wait at a time, 0.1 s to 10 s between two |
//! | feelers | one in 2 min, and one in 45 s for each of 16 peers that were lost, for an hour |
//! | inbound | 4 of a host, 10 of a group, 40; addresses that are not public: 40 |
//! | seeds | 3 at a time, 1 min to 30 min apart; [`MAX_ADDRESSES_PER_SEED`] addresses of a name |
//! | kept | [`MAX_KEPT`] addresses, 1 s to 1 min between two dials |
//! | bans | [`MAX_BANS`]; then the one that ends first gives way; up to a minute beyond their end |
//! | trusted | [`MAX_TRUSTED`] |
//! | scores | [`MAX_STANDINGS`], the oldest forgotten |
//! | own addresses | 100 |
//!
//! What is kept of each session is bounded by the Swarm's connections.
//!
//! # What it does not do
//!
//! * An identity that was proven before its peer was let in pays for what it did until then, its host
//!   does not: nobody says where it was.
//! * Trust in an identity holds from where it is proven. Where its host is banned it has to be dialled
//!   with the identity in its address, or the host to be trusted as well.
//! * Connections on which nobody has said yet who is there are counted by the Swarm alone
//!   ([`Limits`]), not by host.

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
#[doc = include_str!("../guide.md")]
pub mod guide {}
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
use spacetime_core::{Limits, Signal};
pub use state::{State, Stored};
pub use target::{InvalidTarget, Target};
