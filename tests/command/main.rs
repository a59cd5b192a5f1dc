//! The `spacetime` command as a user meets it: processes, exit codes, signals, output.

mod chain;
mod decode;
mod keys;
mod peers;
mod process;
mod start;
mod sync;

use std::process::{Command, Output};

/// The command, without the environment's own settings.
fn spacetime() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spacetime"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SPACETIME_")) {
        command.env_remove(name);
    }
    // No configuration file but the test's own.
    command.env("XDG_CONFIG_HOME", "/nonexistent").env("NO_COLOR", "1");
    command
}

/// Runs the command to its end.
fn run(arguments: &[&str]) -> Output {
    spacetime().args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Makes a chain and returns its tip, as printed.
fn generate(datadir: &str, blocks: &str, block_bytes: &str) -> String {
    let output = run(&[
        "chain",
        "generate",
        "--blocks",
        blocks,
        "--block-bytes",
        block_bytes,
        "--seed",
        "7",
        "--datadir",
        datadir,
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}
