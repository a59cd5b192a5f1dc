//! The simulator itself: what its network does to bytes, its faults to nodes, and its judges to
//! those who break what must hold.

mod bandwidth;
mod faults;
mod judges;
mod lone;
mod network;
mod speaker;
mod talker;
