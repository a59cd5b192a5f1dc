//! Whole networks under virtual time: what `spacetime sim` runs.
//!
//! A [`Scenario`] is a file: how many production nodes there are, what they have to tell each other,
//! what goes wrong. [`run_seed`] runs one seed of it and says what came of it; everything else
//! here is built on that: many seeds at a time, cutting a failing run down, comparing reports.

mod bench;
mod disk_store;
mod download;
mod flood;
mod liar;
mod made_chain;
mod peers_disk;
mod propagation;
mod relay_judge;
mod relay_liars;
mod report;
mod runner;
mod scenario;
mod shrink;
mod world;

pub use bench::{Measurement, Workload};
pub use disk_store::DiskStore;
pub use download::{Download, Downloaded};
pub use flood::{Flood, FloodEvent, Item};
pub use liar::ChainLie;
pub use report::{Summary, compare};
pub use runner::{Outcome, run_seed, run_seeds};
pub use scenario::{BytesPerSecond, Links, Scenario, Traffic};
pub use shrink::shrink;
pub use world::{SimulatedNode, SimulatedNodeCommand, SimulatedNodeEvent};
