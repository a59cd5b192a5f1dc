//! The async Swarm over memory and TCP.

mod determinism;
mod life;
mod pressure;
mod tree;
