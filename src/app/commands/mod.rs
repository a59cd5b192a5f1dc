//! The commands of `spacetime`.

mod addresses;
mod bans;
mod chain;
mod decode;
mod devnet;
mod keys;
mod logging;
mod node_folder;
mod peers;
mod running_node;
mod send_transaction;
mod sim;
mod start;
mod status;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::AppError;

/// A node of the Spacetime network.
///
/// Exit codes: 0 done, 1 failed, 2 usage, 75 data folder locked or port in use, 78 bad configuration.
#[derive(Parser, Debug)]
#[command(name = "spacetime", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    start: start::Arguments,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run a node (the default)
    Start(Box<start::Arguments>),
    /// Say what the running node says of itself
    Status(status::Arguments),
    /// List the sessions of the running node
    Peers(peers::Arguments),
    /// List the address book of the running node
    Addresses(addresses::Arguments),
    /// Close all sessions with somebody and let it in no more
    Ban(bans::BanArguments),
    /// Take a ban back, and forget what led to it
    Unban(bans::TargetArguments),
    /// List who is banned, and who is trusted
    Bans(bans::BansArguments),
    /// Let somebody in whatever it does and however many there are
    Trust(bans::TargetArguments),
    /// Treat somebody like everybody
    Untrust(bans::TargetArguments),
    /// Tell the network of a transaction, through the running node
    SendTx(send_transaction::Arguments),
    /// Make, show and check chains
    #[command(subcommand)]
    Chain(chain::Command),
    /// Print the peer id that belongs to the key of a node
    PeerId(keys::Arguments),
    /// Make and show the key of a node
    #[command(subcommand)]
    Key(keys::Command),
    /// Explain frames in hexadecimal digits, one per line
    Decode(decode::Arguments),
    /// Run a whole network in this process: one node has a chain, the others find and sync it
    Devnet(devnet::Arguments),
    /// Run networks under virtual time, repeatable from a seed
    #[command(subcommand)]
    Sim(sim::Command),
}

/// Runs the command that the arguments of the process name.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command.unwrap_or(Command::Start(Box::new(cli.start))) {
        Command::Start(arguments) => start::run(*arguments),
        Command::Status(arguments) => status::run(arguments),
        Command::Peers(arguments) => peers::run(arguments),
        Command::Addresses(arguments) => addresses::run(arguments),
        Command::Ban(arguments) => bans::ban(arguments),
        Command::Unban(arguments) => bans::unban(arguments),
        Command::Bans(arguments) => bans::bans(arguments),
        Command::Trust(arguments) => bans::trust(arguments),
        Command::Untrust(arguments) => bans::untrust(arguments),
        Command::SendTx(arguments) => send_transaction::run(arguments),
        Command::Chain(command) => chain::run(command),
        Command::PeerId(arguments) => keys::peer_id(&arguments),
        Command::Key(command) => keys::run(&command),
        Command::Decode(arguments) => decode::run(arguments),
        Command::Devnet(arguments) => devnet::run(arguments),
        Command::Sim(command) => sim::run(command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            error.exit_code()
        }
    }
}

#[allow(clippy::print_stderr, reason = "this is where a command says why it failed")]
fn report(error: &AppError) {
    eprintln!("spacetime: {error}");
}

/// A runtime for a command that talks to the network or to a node.
fn runtime() -> Result<tokio::runtime::Runtime, AppError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| AppError::failed("cannot start the runtime", error))
}

/// Writes a line to standard output. Whoever reads it may have gone; then there is nobody to tell.
fn say(line: impl std::fmt::Display) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}
