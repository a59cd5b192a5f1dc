//! The same work done by ours, by bare sockets, and by others. See the README beside the manifest.
//!
//! Each subject does [`Work`] in a process of its own, which [`run`] measures; `compare` starts one
//! after the other.

mod allocations;
mod job;
mod options;
mod program;
mod window;
mod work;

pub use job::{Job, cpu_seconds};
pub use options::{Options, short};
pub use program::{Subject, run};
pub use window::Window;
pub use work::{IDLE_NODES, RELAYED_BYTES, ROWS, Row, Security, Shape, Work};
