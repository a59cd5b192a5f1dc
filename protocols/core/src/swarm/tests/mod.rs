//! The Swarm driven by hand: the test says what arrives, what time it is and what is written when.

mod accepting;
mod admission;
mod bandwidth;
mod begun;
mod closing;
mod dialling;
mod fairness;
mod gates;
mod guarantees;
mod invariants;
mod log;
mod messages;
mod node;
mod operations;
mod queues;
mod random;
mod requests;
mod sending;
mod sessions;
mod time;
mod tree;
mod world;
