//! The async Swarm over memory and TCP, and over streams that do what the test says.

mod bandwidth;
mod bounds;
mod closing;
mod determinism;
mod life;
mod pressure;
mod scripted;
mod shortage;
mod storm;
mod tree;
mod turns;
