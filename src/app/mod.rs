//! The program around a node: folder, identity, configuration, chain worker, control socket,
//! progress, and the commands of `spacetime`.
//!
//! Needs the feature `node`. [`FullNode`] is what the `start` command runs, for programs that
//! embed a whole node; everything below it is usable alone.

mod chain_keeper;
mod chain_worker;
pub mod commands;
mod config;
mod control;
mod durable_file;
mod error;
mod folder;
mod full_node;
mod hex;
mod key_file;
mod node_handle;
mod orphans;
mod peers_file;
mod peers_worker;
mod progress;
mod questions;
mod rate;
mod resolver;
pub mod sim;
mod trust_options;

pub use chain_keeper::{AcceptAll, ChainKeeper, Verifier};
pub use chain_worker::ChainWorker;
pub use config::FileConfig;
pub use control::{ControlSocket, query_status};
pub use error::AppError;
pub use folder::{DataFolder, default_config_file, default_data_folder};
pub use full_node::{FullNode, FullNodeBehaviour, Options};
pub use key_file::{KeyFile, KeyFileError};
pub use node_handle::{ChangeError, NodeHandle, PublishError};
pub use rate::{InvalidRate, RateLimit};
pub use resolver::{Resolver, SystemResolver};
pub use trust_options::TrustOptions;
