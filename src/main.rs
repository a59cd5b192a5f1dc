//! The `spacetime` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    spacetime_network::app::commands::run()
}
